/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

/* {"cause": packets, ...} of one reason, NULL: none was dropped for it */
static struct rte_tel_data *
causes_of(const struct dt_account *account, enum dt_drop_reason reason)
{
	struct rte_tel_data *causes = NULL;

	for (unsigned int i = 0; i < DT_CAUSE_MAX; i++) {
		uint64_t packets = account->dropped[i].packets;

		if (packets == 0 || dt_cause_reason((enum dt_cause)i) != reason)
			continue;
		if (causes == NULL) {
			causes = rte_tel_data_alloc();
			if (causes == NULL)
				return NULL;
			rte_tel_data_start_dict(causes);
		}
		rte_tel_data_add_dict_uint(causes, dt_cause_name((enum dt_cause)i), packets);
	}
	return causes;
}

void
dt_tele_add_drops(struct rte_tel_data *data, const struct dt_account *account)
{
	for (unsigned int i = 0; i < DT_REASON_MAX; i++) {
		struct rte_tel_data *causes = causes_of(account, (enum dt_drop_reason)i);

		if (causes != NULL)
			rte_tel_data_add_dict_container(data, dt_reason_name((enum dt_drop_reason)i), causes, 0);
	}
}

static void
add_totals(struct rte_tel_data *data, struct dt_count dropped)
{
	rte_tel_data_add_dict_uint(data, "packets", dropped.packets);
	rte_tel_data_add_dict_uint(data, "bytes", dropped.bytes);
}

/* {"packets": 3, "bytes": 180, "FULL_RING": {"lane_guest_no_buffers": 3}} */
static void
drops_of_all(const struct dt_path *path, struct rte_tel_data *data)
{
	struct dt_account sum = { 0 };

	for (unsigned int at = 0; at < 2 * dt_path_n_ports(path); at++) {
		struct dt_account a;

		dt_ledger_sum(at, &a);
		for (unsigned int i = 0; i < DT_CAUSE_MAX; i++) {
			sum.dropped[i].packets += a.dropped[i].packets;
			sum.dropped[i].bytes += a.dropped[i].bytes;
		}
	}
	rte_tel_data_start_dict(data);
	add_totals(data, dt_account_dropped(&sum));
	dt_tele_add_drops(data, &sum);
}

static void
add_direction(struct rte_tel_data *data, unsigned int at, const struct dt_account *account)
{
	struct rte_tel_data *one = rte_tel_data_alloc();

	if (one == NULL)
		return;
	rte_tel_data_start_dict(one);
	dt_tele_add_drops(one, account);
	rte_tel_data_add_dict_container(data, dt_ledger_direction(at), one, 0);
}

static void
add_lost(struct rte_tel_data *data, const char *reason, const char *counter, uint64_t packets)
{
	struct rte_tel_data *one = rte_tel_data_alloc();

	if (one == NULL)
		return;
	rte_tel_data_start_dict(one);
	rte_tel_data_add_dict_uint(one, counter, packets);
	rte_tel_data_add_dict_container(data, reason, one, 0);
}

/* Beside the sum: what the NIC lost before dptap could see it. */
static void
add_lost_before(struct rte_tel_data *data, struct dt_uplink *uplink)
{
	struct rte_tel_data *lost = rte_tel_data_alloc();
	struct dt_uplink_info info;

	if (lost == NULL)
		return;
	dt_uplink_info(uplink, &info);
	rte_tel_data_start_dict(lost);
	add_lost(lost, dt_reason_name(DT_REASON_FULL_RING), "imissed", info.lost.imissed);
	add_lost(lost, dt_reason_name(DT_REASON_PROTO_MEM), "rx_nombuf", info.lost.rx_nombuf);
	/* Damaged on the wire: none of the kernel's reasons is for that. */
	rte_tel_data_add_dict_uint(lost, "ierrors", info.lost.ierrors);
	rte_tel_data_add_dict_container(data, "lost_before", lost, 0);
}

/* {"name": "vm0", "packets": 3, "bytes": 180, "from_guest": {}, "to_guest": {"FULL_RING": {"lane_worker_busy": 3}}} */
static void
drops_of_port(const struct dt_path *path, unsigned int port, struct rte_tel_data *data)
{
	struct dt_uplink *uplink = dt_path_uplink(path, port);
	struct dt_account in, out;
	struct dt_count dropped, more;

	dt_ledger_sum(DT_AT_IN(port), &in);
	dt_ledger_sum(DT_AT_OUT(port), &out);
	dropped = dt_account_dropped(&in);
	more = dt_account_dropped(&out);
	dropped.packets += more.packets;
	dropped.bytes += more.bytes;
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "name", dt_path_name(path, port));
	add_totals(data, dropped);
	add_direction(data, DT_AT_IN(port), &in);
	add_direction(data, DT_AT_OUT(port), &out);
	if (uplink != NULL)
		add_lost_before(data, uplink);
}

void
dt_tele_drops(const struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	int port;

	if (params == NULL || params[0] == '\0') {
		drops_of_all(path, data);
		return;
	}
	port = dt_tele_port_param(path, params, data);
	if (port >= 0)
		drops_of_port(path, (unsigned int)port, data);
}
