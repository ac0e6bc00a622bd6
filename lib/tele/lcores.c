/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#include "stage.h"

/* Names in one answer, in bytes of JSON; a worker may have thousands. */
#define QUEUES_JSON 8000

/* @p ret_len grows by their length in JSON */
static struct rte_tel_data *
queues_of(const struct dt_path *path, unsigned int lcore, size_t *ret_len)
{
	struct rte_tel_data *queues = rte_tel_data_alloc();
	size_t full = *ret_len + QUEUES_JSON;

	if (queues == NULL)
		return NULL;
	rte_tel_data_start_array(queues, RTE_TEL_STRING_VAL);
	for (unsigned int port = 0; port < dt_path_n_ports(path); port++) {
		const struct dt_uplink *uplink = dt_path_uplink(path, port);
		struct dt_guest_info info = { 0 };
		unsigned int n;

		if (uplink == NULL)
			dt_guest_info(dt_path_guest(path, port), &info);
		n = uplink != NULL ? dt_uplink_conf(uplink)->n_queues : info.n_pairs;
		for (unsigned int q = 0; q < n; q++) {
			char name[DT_NAME_SIZE + 16];

			if ((uplink != NULL ? dt_worker_lcore(dt_uplink_worker(uplink, q)) : info.pairs[q].lcore) !=
				lcore)
				continue;
			snprintf(name, sizeof(name), "%s:%u", dt_path_name(path, port), q);
			*ret_len += strlen(name) + 4;
			if (*ret_len > full) {
				rte_tel_data_add_array_string(queues, "...");
				return queues;
			}
			rte_tel_data_add_array_string(queues, name);
		}
	}
	return queues;
}

/* One lcore's books over all ports: in from them, out to them, dropped in both. */
static void
add_books(struct rte_tel_data *data, unsigned int lcore)
{
	struct dt_account in = { 0 }, out = { 0 }, all = { 0 };

	for (unsigned int at = 0; at < 2 * dt_ledger_n_ports(); at++) {
		const struct dt_account *from = &dt_books[lcore][at];
		struct dt_account *to = at % 2 == 0 ? &in : &out;

		to->received.packets += dt_counter_read(&from->received.packets);
		to->created.packets += dt_counter_read(&from->created.packets);
		to->delivered.packets += dt_counter_read(&from->delivered.packets);
		for (unsigned int i = 0; i < DT_CAUSE_MAX; i++)
			all.dropped[i].packets += dt_counter_read(&from->dropped[i].packets);
	}
	rte_tel_data_add_dict_uint(data, "received", in.received.packets);
	rte_tel_data_add_dict_uint(data, "created", in.created.packets);
	rte_tel_data_add_dict_uint(data, "delivered", out.delivered.packets);
	rte_tel_data_add_dict_uint(data, "dropped", dt_account_dropped(&all).packets);
	dt_tele_add_drops(data, &all);
}

#ifdef DT_STAGES_TIMED
static void
add_stages(struct rte_tel_data *data, unsigned int lcore)
{
	const struct dt_stage_clock *clock = &dt_stage_clocks[lcore];

#define DT_STAGE_ADD(upper, lower)                                                                                     \
	rte_tel_data_add_dict_uint(data, "stage_" #lower, dt_counter_read(&clock->busy_cycles[DT_STAGE_##upper]));     \
	rte_tel_data_add_dict_uint(data, "clock_" #lower, dt_counter_read(&clock->busy_entries[DT_STAGE_##upper]));
	DT_STAGES(DT_STAGE_ADD)
#undef DT_STAGE_ADD
}
#else
static void
add_stages(struct rte_tel_data *data, unsigned int lcore)
{
	(void)data;
	(void)lcore;
}
#endif

/* What one element takes in JSON besides its queues: keys, numbers, and every cause at its longest. */
#define LCORE_JSON (360 + 60 * DT_CAUSE_MAX)

/*
 * {"1": {"lcore": 1, "socket": 0, "idle": "poll", "busy_cycles": 9, "idle_cycles": 9, "sleeps": 0, "sleep_cycles": 0,
 *  "rounds": 9, "queues": ["vm0:0"], "received": 5, ...}, ...}
 */
void
dt_tele_lcores(const struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	unsigned int first, n = 0;
	size_t used = 0;

	if (!dt_tele_first(params, data, &first))
		return;
	rte_tel_data_start_dict(data);
	for (unsigned int i = 0; i < dt_workers_count(); i++) {
		const struct dt_worker *worker = dt_worker_at(i);
		unsigned int lcore = dt_worker_lcore(worker);
		struct rte_tel_data *one, *queues;
		struct dt_worker_times times;

		if (lcore < first)
			continue;
		one = rte_tel_data_alloc();
		queues = queues_of(path, lcore, &used);
		used += LCORE_JSON;
		if (one == NULL || queues == NULL || (used > DT_TELE_ROOM && n > 0)) {
			rte_tel_data_free(one);
			rte_tel_data_free(queues);
			rte_tel_data_add_dict_uint(data, "next", lcore);
			return;
		}
		dt_worker_times(worker, &times);
		rte_tel_data_start_dict(one);
		rte_tel_data_add_dict_uint(one, "lcore", lcore);
		rte_tel_data_add_dict_int(one, "socket", dt_worker_node(worker));
		rte_tel_data_add_dict_string(one, "idle", dt_idle_name(dt_workers_idle()));
		rte_tel_data_add_dict_uint(one, "busy_cycles", times.busy);
		rte_tel_data_add_dict_uint(one, "idle_cycles", times.idle);
		rte_tel_data_add_dict_uint(one, "sleeps", times.n_sleeps);
		rte_tel_data_add_dict_uint(one, "sleep_cycles", times.asleep);
		rte_tel_data_add_dict_uint(one, "rounds", dt_worker_rounds(worker));
		rte_tel_data_add_dict_container(one, "queues", queues, 0);
		add_books(one, lcore);
		add_stages(one, lcore);
		dt_tele_add_numbered(data, lcore, one);
		n++;
	}
}
