/* SPDX-License-Identifier: BSD-3-Clause */
#include "setting.h"

#include <string.h>

static int
check_number_of_ports(const struct dt_conf *conf, char error[static DT_ERROR_SIZE])
{
	unsigned int n = conf->n_uplinks + conf->n_guests;

	if (n == 0)
		return dt_conf_error(error, "no uplink and no guest; name them with --config, --uplink or --guest, "
					    "or give EAL a device (-a or --vdev)");
	if (n > DT_CONF_PORTS_MAX)
		return dt_conf_error(
			error, "%u uplinks and guests; one process serves at most %u", n, DT_CONF_PORTS_MAX);
	return 0;
}

static int
check_uplinks(const struct dt_conf *conf, char error[static DT_ERROR_SIZE])
{
	for (unsigned int i = 0; i < conf->n_uplinks; i++) {
		const struct dt_conf_uplink *uplink = &conf->uplinks[i];

		for (unsigned int k = 0; k < i; k++)
			if (strcmp(uplink->device, conf->uplinks[k].device) == 0)
				return dt_conf_error(error,
					"uplink %s: device %s is already that of uplink %s; give each its own",
					uplink->name, uplink->device, conf->uplinks[k].name);
	}
	return 0;
}

static int
check_mac(const struct dt_conf *conf, unsigned int i, char error[static DT_ERROR_SIZE])
{
	const struct dt_conf_guest *guest = &conf->guests[i];
	char mac[RTE_ETHER_ADDR_FMT_SIZE];

	if (!guest->has_mac)
		return 0;
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", RTE_ETHER_ADDR_BYTES(&guest->mac));

	if (rte_is_zero_ether_addr(&guest->mac))
		return dt_conf_error(error, "guest %s: mac %s is nobody's; give it the address that QEMU's mac= says",
			guest->name, mac);
	if (rte_is_multicast_ether_addr(&guest->mac))
		return dt_conf_error(
			error, "guest %s: mac %s is a group's address; the first byte must be even", guest->name, mac);
	for (unsigned int k = 0; k < i; k++)
		if (conf->guests[k].has_mac && rte_is_same_ether_addr(&guest->mac, &conf->guests[k].mac))
			return dt_conf_error(error, "guest %s: mac %s is already that of guest %s; give each its own",
				guest->name, mac, conf->guests[k].name);
	return 0;
}

static int
check_socket(const struct dt_conf *conf, unsigned int i, char error[static DT_ERROR_SIZE])
{
	const struct dt_conf_guest *guest = &conf->guests[i];

	for (unsigned int k = 0; k < i; k++)
		if (strcmp(guest->socket, conf->guests[k].socket) == 0)
			return dt_conf_error(error,
				"guest %s: socket %s is already that of guest %s; give each its own", guest->name,
				guest->socket, conf->guests[k].name);
	return 0;
}

static int
find_uplink(const struct dt_conf *conf, const char *name)
{
	for (unsigned int i = 0; i < conf->n_uplinks; i++)
		if (strcmp(conf->uplinks[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int
resolve_uplink(struct dt_conf *conf, unsigned int i, char error[static DT_ERROR_SIZE])
{
	struct dt_conf_guest *guest = &conf->guests[i];
	int uplink = conf->n_uplinks > 0 ? 0 : -1;

	if (guest->uplink_name[0] != '\0') {
		uplink = find_uplink(conf, guest->uplink_name);
		/* What EAL will probe is not known when only the configuration is looked at. */
		if (uplink < 0 && !(conf->check_only && conf->n_uplinks == 0))
			return dt_conf_error(error,
				"guest %s: uplink %s: no uplink has that name; add [uplink %s] or --uplink %s",
				guest->name, guest->uplink_name, guest->uplink_name, guest->uplink_name);
	}

	if (uplink >= 0 && conf->uplinks[uplink].mode == DT_MODE_PASSTHRU)
		for (unsigned int k = 0; k < i; k++)
			if (conf->guests[k].uplink == uplink)
				return dt_conf_error(error,
					"guest %s: uplink %s is in passthru mode and already that of guest %s; "
					"use mode=bridge or another uplink",
					guest->name, conf->uplinks[uplink].name, conf->guests[k].name);
	guest->uplink = uplink;
	return 0;
}

int
dt_conf_check(struct dt_conf *conf, char error[static DT_ERROR_SIZE])
{
	int ret = check_number_of_ports(conf, error);

	if (ret == 0)
		ret = check_uplinks(conf, error);
	for (unsigned int i = 0; ret == 0 && i < conf->n_guests; i++) {
		ret = check_mac(conf, i, error);
		if (ret == 0)
			ret = check_socket(conf, i, error);
		if (ret == 0)
			ret = resolve_uplink(conf, i, error);
	}
	return ret;
}
