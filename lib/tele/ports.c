/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#include <rte_ether.h>

#include "feature.h"

static const char *
state_of(const struct dt_path *path, unsigned int port)
{
	struct dt_guest *guest = dt_path_guest(path, port);
	struct dt_guest_info guest_info;

	if (guest != NULL) {
		dt_guest_info(guest, &guest_info);
		return dt_guest_state_name(guest_info.state);
	}
	return dt_uplink_link_is_up(dt_path_uplink(path, port)) ? "up" : "down";
}

static void
add_identity(const struct dt_path *path, unsigned int port, struct rte_tel_data *data)
{
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "name", dt_path_name(path, port));
	rte_tel_data_add_dict_string(data, "kind", dt_path_guest(path, port) != NULL ? "guest" : "uplink");
	rte_tel_data_add_dict_string(data, "state", state_of(path, port));
}

/* What one element takes in JSON besides its name: keys, numbers and the longest values. */
#define PORT_JSON 110

/* {"0": {"name": "vm0", "kind": "guest", "state": "RUNNING", "dropped": 12}, ...} */
void
dt_tele_ports(const struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	unsigned int first;
	size_t used = 0;

	if (!dt_tele_first(params, data, &first))
		return;
	rte_tel_data_start_dict(data);
	for (unsigned int port = first; port < dt_path_n_ports(path); port++) {
		struct rte_tel_data *one = rte_tel_data_alloc();
		struct dt_account in, out;

		if (one == NULL)
			return;
		used += PORT_JSON + strlen(dt_path_name(path, port));
		if (used > DT_TELE_ROOM) {
			rte_tel_data_free(one);
			rte_tel_data_add_dict_uint(data, "next", port);
			return;
		}
		dt_ledger_sum(DT_AT_IN(port), &in);
		dt_ledger_sum(DT_AT_OUT(port), &out);
		add_identity(path, port, one);
		rte_tel_data_add_dict_uint(
			one, "dropped", dt_account_dropped(&in).packets + dt_account_dropped(&out).packets);
		dt_tele_add_numbered(data, port, one);
	}
}

static void
add_account(struct rte_tel_data *data, unsigned int at)
{
	struct rte_tel_data *one = rte_tel_data_alloc();
	struct dt_account a;
	struct dt_count dropped;

	if (one == NULL)
		return;
	dt_ledger_sum(at, &a);
	dropped = dt_account_dropped(&a);
	rte_tel_data_start_dict(one);
	rte_tel_data_add_dict_uint(one, "received", a.received.packets);
	rte_tel_data_add_dict_uint(one, "received_bytes", a.received.bytes);
	rte_tel_data_add_dict_uint(one, "created", a.created.packets);
	rte_tel_data_add_dict_uint(one, "created_bytes", a.created.bytes);
	rte_tel_data_add_dict_uint(one, "delivered", a.delivered.packets);
	rte_tel_data_add_dict_uint(one, "delivered_bytes", a.delivered.bytes);
	rte_tel_data_add_dict_uint(one, "dropped", dropped.packets);
	rte_tel_data_add_dict_uint(one, "dropped_bytes", dropped.bytes);
	rte_tel_data_add_dict_uint(one, "held", dt_ledger_held(at));
	rte_tel_data_add_dict_container(data, dt_ledger_direction(at), one, 0);
}

static void
add_mac(struct rte_tel_data *data, const struct rte_ether_addr *mac)
{
	char text[RTE_ETHER_ADDR_FMT_SIZE] = "";

	if (mac != NULL)
		rte_ether_format_addr(text, sizeof(text), mac);
	rte_tel_data_add_dict_string(data, "mac", text);
}

/* Where it is polled, and whether that is far from what it works on. */
static void
add_place(struct rte_tel_data *data, unsigned int lcore, int node, int far_node)
{
	rte_tel_data_add_dict_uint(data, "lcore", lcore);
	rte_tel_data_add_dict_int(data, "lcore_node", node);
	rte_tel_data_add_dict_int(data, "memory_node", far_node);
	rte_tel_data_add_dict_string(data, "cross_node", node >= 0 && far_node >= 0 && node != far_node ? "yes" : "no");
}

static const char *
running(bool runs)
{
	return runs ? "running" : "stopped";
}

static bool
any_runs(const struct dt_guest_info *info, unsigned int direction)
{
	for (unsigned int i = 0; i < info->n_pairs; i++)
		if (info->pairs[i].runs[direction])
			return true;
	return false;
}

/* "pairs": {"0": {"to_guest_ring": "running", "from_guest_ring": "running", "takes": "yes", "held": 0, ...}, ...} */
static void
add_pairs(struct rte_tel_data *data, const struct dt_guest_info *info)
{
	struct rte_tel_data *pairs = rte_tel_data_alloc();

	if (pairs == NULL)
		return;
	rte_tel_data_start_dict(pairs);
	for (unsigned int i = 0; i < info->n_pairs; i++) {
		const struct dt_guest_pair_info *pair = &info->pairs[i];
		struct rte_tel_data *one = rte_tel_data_alloc();

		if (one == NULL)
			break;
		rte_tel_data_start_dict(one);
		rte_tel_data_add_dict_string(one, "to_guest_ring", running(pair->runs[0]));
		rte_tel_data_add_dict_string(one, "from_guest_ring", running(pair->runs[1]));
		rte_tel_data_add_dict_string(one, "takes", pair->takes ? "yes" : "no");
		rte_tel_data_add_dict_uint(one, "held", pair->held);
		rte_tel_data_add_dict_uint(one, "lcore", pair->lcore);
		rte_tel_data_add_dict_int(one, "lcore_node", pair->node);
		dt_tele_add_numbered(pairs, i, one);
	}
	rte_tel_data_add_dict_container(data, "pairs", pairs, 0);
}

/* "feature_names": ["mrg_rxbuf", "version_1", ...] */
static void
add_feature_names(struct rte_tel_data *data, uint64_t features)
{
	struct rte_tel_data *names = rte_tel_data_alloc();

	if (names == NULL)
		return;
	rte_tel_data_start_array(names, RTE_TEL_STRING_VAL);
	for (unsigned int bit = 0; bit < 64; bit++)
		if ((features & 1ULL << bit) != 0 && dt_feature_name(bit) != NULL)
			rte_tel_data_add_array_string(names, dt_feature_name(bit));
	rte_tel_data_add_dict_container(data, "feature_names", names, 0);
}

static void
add_guest(struct rte_tel_data *data, struct dt_guest *guest)
{
	const struct dt_conf_guest *conf = dt_guest_conf(guest);
	struct dt_guest_info info;
	char features[2 + 16 + 1];

	dt_guest_info(guest, &info);
	snprintf(features, sizeof(features), "0x%llx", (unsigned long long)info.features);
	rte_tel_data_add_dict_string(data, "socket", conf->socket);
	rte_tel_data_add_dict_string(data, "socket_mode", conf->socket_mode == DT_SOCKET_CLIENT ? "client" : "server");
	add_mac(data, conf->has_mac ? &conf->mac : NULL);
	rte_tel_data_add_dict_uint(data, "queue_len", conf->queue_len);
	rte_tel_data_add_dict_uint(data, "queues", conf->n_queues);
	rte_tel_data_add_dict_uint(data, "connections", info.connections);
	rte_tel_data_add_dict_string(data, "features", features);
	add_feature_names(data, info.features);
	rte_tel_data_add_dict_uint(data, "mtu", info.mtu);
	rte_tel_data_add_dict_string(data, "mergeable", info.features & (1ULL << 15) ? "yes" : "no");
	rte_tel_data_add_dict_string(data, "event_idx", info.features & (1ULL << 29) ? "yes" : "no");
	rte_tel_data_add_dict_string(data, "to_guest_ring", running(any_runs(&info, 0)));
	rte_tel_data_add_dict_string(data, "from_guest_ring", running(any_runs(&info, 1)));
	add_place(data, info.pairs[0].lcore, info.pairs[0].node, info.memory_node);
	add_pairs(data, &info);
}

/* "tx_offloads": ["MULTI_SEGS", "TCP_TSO"]: by the device library's names */
static void
add_offloads(struct rte_tel_data *data, const char *key, uint64_t offloads, const char *(*name)(uint64_t))
{
	struct rte_tel_data *names = rte_tel_data_alloc();

	if (names == NULL)
		return;
	rte_tel_data_start_array(names, RTE_TEL_STRING_VAL);
	for (uint64_t bit = 1; bit != 0; bit <<= 1)
		if ((offloads & bit) != 0)
			rte_tel_data_add_array_string(names, name(bit));
	rte_tel_data_add_dict_container(data, key, names, 0);
}

/* "pairs": {"0": {"held": 0, "lcore": 1, "lcore_node": 0}, ...} */
static void
add_queues(struct rte_tel_data *data, struct dt_uplink *uplink)
{
	struct rte_tel_data *pairs = rte_tel_data_alloc();

	if (pairs == NULL)
		return;
	rte_tel_data_start_dict(pairs);
	for (unsigned int q = 0; q < dt_uplink_conf(uplink)->n_queues; q++) {
		const struct dt_worker *worker = dt_uplink_worker(uplink, q);
		struct rte_tel_data *one = rte_tel_data_alloc();

		if (one == NULL)
			break;
		rte_tel_data_start_dict(one);
		rte_tel_data_add_dict_uint(one, "held", dt_lane_count(dt_uplink_lane(uplink, q)));
		rte_tel_data_add_dict_uint(one, "lcore", dt_worker_lcore(worker));
		rte_tel_data_add_dict_int(one, "lcore_node", dt_worker_node(worker));
		dt_tele_add_numbered(pairs, q, one);
	}
	rte_tel_data_add_dict_container(data, "pairs", pairs, 0);
}

static void
add_uplink(struct rte_tel_data *data, struct dt_uplink *uplink)
{
	const struct dt_conf_uplink *conf = dt_uplink_conf(uplink);
	struct rte_tel_data *lost = rte_tel_data_alloc();
	struct dt_uplink_info info;
	const struct dt_worker *worker = dt_uplink_worker(uplink, 0);

	dt_uplink_info(uplink, &info);
	rte_tel_data_add_dict_string(data, "device", conf->device);
	rte_tel_data_add_dict_string(data, "driver", info.driver);
	rte_tel_data_add_dict_string(data, "mode", conf->mode == DT_MODE_PASSTHRU ? "passthru" : "bridge");
	add_mac(data, &info.mac);
	rte_tel_data_add_dict_string(data, "link", info.link_up ? "up" : "down");
	rte_tel_data_add_dict_uint(data, "link_mbps", info.link_mbps);
	rte_tel_data_add_dict_uint(data, "mtu", info.mtu);
	rte_tel_data_add_dict_uint(data, "queues", conf->n_queues);
	rte_tel_data_add_dict_uint(data, "queue_len", conf->queue_len);
	rte_tel_data_add_dict_string(data, "promiscuous", conf->promiscuous ? "on" : "off");
	add_place(data, dt_worker_lcore(worker), dt_worker_node(worker), info.node);
	add_queues(data, uplink);
	add_offloads(data, "rx_offloads", info.rx_offloads, rte_eth_dev_rx_offload_name);
	add_offloads(data, "tx_offloads", info.tx_offloads, rte_eth_dev_tx_offload_name);
	rte_tel_data_add_dict_string(data, "gro", conf->gro ? "on" : "off");
	rte_tel_data_add_dict_uint(data, "merged", info.merged);
	rte_tel_data_add_dict_uint(data, "lost_after_delivery", info.oerrors);
	if (lost == NULL)
		return;
	rte_tel_data_start_dict(lost);
	rte_tel_data_add_dict_uint(lost, "imissed", info.lost.imissed);
	rte_tel_data_add_dict_uint(lost, "rx_nombuf", info.lost.rx_nombuf);
	rte_tel_data_add_dict_uint(lost, "ierrors", info.lost.ierrors);
	rte_tel_data_add_dict_container(data, "lost_before", lost, 0);
}

/* {"name": "vm0", "kind": "guest", "state": "RUNNING", ..., "from_guest": {"received": 5, ...}, "to_guest": {...}} */
void
dt_tele_port(const struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	int port = dt_tele_port_param(path, params, data);
	struct dt_guest *guest;

	if (port < 0)
		return;
	guest = dt_path_guest(path, (unsigned int)port);
	add_identity(path, (unsigned int)port, data);
	if (guest != NULL)
		add_guest(data, guest);
	else
		add_uplink(data, dt_path_uplink(path, (unsigned int)port));
	add_account(data, DT_AT_IN((unsigned int)port));
	add_account(data, DT_AT_OUT((unsigned int)port));
}
