/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#include "stage.h"

/* Names in one answer, in bytes of JSON; a worker may have thousands. */
#define QUEUES_JSON 8000

/* The queue pairs of one worker, by name and by the share of its time that they take. */
struct queues {
	struct rte_tel_data *names;
	struct rte_tel_data *loads; /* percent */
	size_t len; /* in JSON */
	unsigned int n;
	bool full;
};

static void
add_queue(struct queues *queues, const struct dt_path *path, unsigned int port, unsigned int pair)
{
	char name[DT_NAME_SIZE + 16];

	if (queues->full)
		return;
	snprintf(name, sizeof(name), "%s:%u", dt_path_name(path, port), pair);
	queues->len += strlen(name) + 4 + 4;
	queues->full = queues->len > QUEUES_JSON || ++queues->n == RTE_TEL_MAX_ARRAY_ENTRIES;
	rte_tel_data_add_array_string(queues->names, queues->full ? "..." : name);
	if (!queues->full)
		rte_tel_data_add_array_int(queues->loads, (int)dt_path_pair_load(path, port, pair) / 10);
}

/* @return false: no memory, and nothing is kept */
static bool
find_queues(struct queues *queues, const struct dt_path *path, unsigned int lcore)
{
	*queues = (struct queues){ .names = rte_tel_data_alloc(), .loads = rte_tel_data_alloc() };
	if (queues->names == NULL || queues->loads == NULL) {
		rte_tel_data_free(queues->names);
		rte_tel_data_free(queues->loads);
		*queues = (struct queues){ 0 };
		return false;
	}
	rte_tel_data_start_array(queues->names, RTE_TEL_STRING_VAL);
	rte_tel_data_start_array(queues->loads, RTE_TEL_INT_VAL);
	for (unsigned int port = 0; port < dt_path_n_ports(path); port++) {
		const struct dt_uplink *uplink = dt_path_uplink(path, port);
		struct dt_guest_info info = { 0 };

		if (uplink == NULL)
			dt_guest_info(dt_path_guest(path, port), &info);
		for (unsigned int q = 0; q < dt_path_n_pairs(path, port); q++)
			if ((uplink != NULL ? dt_worker_lcore(dt_uplink_worker(uplink, q)) : info.pairs[q].lcore) ==
				lcore)
				add_queue(queues, path, port, q);
	}
	return true;
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
#define LCORE_JSON (460 + 60 * DT_CAUSE_MAX)

static void
add_worker(struct rte_tel_data *data, const struct dt_path *path, unsigned int i, const struct queues *queues)
{
	const struct dt_worker *worker = dt_worker_at(i);
	struct dt_worker_times times;

	dt_worker_times(worker, &times);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_uint(data, "lcore", dt_worker_lcore(worker));
	rte_tel_data_add_dict_int(data, "socket", dt_worker_node(worker));
	rte_tel_data_add_dict_string(data, "idle", dt_idle_name(dt_workers_idle()));
	rte_tel_data_add_dict_uint(data, "load_percent", dt_path_worker_load(path, i) / 10);
	rte_tel_data_add_dict_uint(data, "busy_cycles", times.busy);
	rte_tel_data_add_dict_uint(data, "idle_cycles", times.idle);
	rte_tel_data_add_dict_uint(data, "sleeps", times.n_sleeps);
	rte_tel_data_add_dict_uint(data, "sleep_cycles", times.asleep);
	rte_tel_data_add_dict_uint(data, "rounds", dt_worker_rounds(worker));
	rte_tel_data_add_dict_container(data, "queues", queues->names, 0);
	rte_tel_data_add_dict_container(data, "queue_load_percent", queues->loads, 0);
	add_books(data, dt_worker_lcore(worker));
	add_stages(data, dt_worker_lcore(worker));
}

/*
 * {"1": {"lcore": 1, "socket": 0, "idle": "poll", "load_percent": 90, "busy_cycles": 9, "idle_cycles": 9, "sleeps": 0,
 *  "sleep_cycles": 0, "rounds": 9, "queues": ["vm0:0"], "queue_load_percent": [85], "received": 5, ...}, ...}
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
		unsigned int lcore = dt_worker_lcore(dt_worker_at(i));
		struct rte_tel_data *one;
		struct queues queues = { 0 };

		if (lcore < first)
			continue;
		one = rte_tel_data_alloc();
		if (one != NULL && find_queues(&queues, path, lcore))
			used += LCORE_JSON + queues.len;
		if (queues.names == NULL || (used > DT_TELE_ROOM && n > 0)) {
			rte_tel_data_free(one);
			rte_tel_data_free(queues.names);
			rte_tel_data_free(queues.loads);
			rte_tel_data_add_dict_uint(data, "next", lcore);
			return;
		}
		add_worker(one, path, i, &queues);
		dt_tele_add_numbered(data, lcore, one);
		n++;
	}
}
