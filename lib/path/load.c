/* SPDX-License-Identifier: BSD-3-Clause */
/* How busy workers are and which queue pairs take their time, and what rebalance=auto makes of it. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_cycles.h>

#include "even.h"
#include "log.h"

#define LOOK_MS 1000

/* What a look found, and what the next one needs to know. */
struct dt_load {
	/* set when made */
	unsigned int n_pairs; /* of all ports, in their order */
	unsigned int *first; /* index of each port's first pair */
	struct {
		unsigned int port;
		unsigned int pair;
	} * names; /* of each pair */

	/* the main thread writes, any thread reads .load */
	uint64_t looked_at; /* TSC */
	uint64_t *busy; /* cycles of each worker */
	uint64_t *cycles; /* of each pair, sampled */
	uint64_t *grown; /* they, between the last two looks */
	struct dt_even_worker *workers;
	struct dt_even_pair *pairs;
};

int
dt_load_new(const struct dt_path *path, struct dt_load **ret_load)
{
	struct dt_load *load = calloc(1, sizeof(*load));
	unsigned int n_workers = dt_workers_count();

	if (load == NULL)
		return -ENOMEM;
	for (unsigned int port = 0; port < path->n_ports; port++)
		load->n_pairs += dt_path_n_pairs(path, port);
	load->first = calloc(path->n_ports, sizeof(*load->first));
	load->names = calloc(load->n_pairs, sizeof(*load->names));
	load->cycles = calloc(load->n_pairs, sizeof(*load->cycles));
	load->grown = calloc(load->n_pairs, sizeof(*load->grown));
	load->pairs = calloc(load->n_pairs, sizeof(*load->pairs));
	load->busy = calloc(n_workers, sizeof(*load->busy));
	load->workers = calloc(n_workers, sizeof(*load->workers));
	if (load->first == NULL || load->names == NULL || load->cycles == NULL || load->grown == NULL ||
		load->pairs == NULL || load->busy == NULL || load->workers == NULL) {
		dt_load_free(load);
		return -ENOMEM;
	}
	for (unsigned int port = 0, i = 0; port < path->n_ports; port++) {
		load->first[port] = i;
		for (unsigned int pair = 0; pair < dt_path_n_pairs(path, port); pair++, i++) {
			load->names[i].port = port;
			load->names[i].pair = pair;
		}
	}
	for (unsigned int i = 0; i < n_workers; i++)
		load->workers[i].node = dt_worker_node(dt_worker_at(i));
	load->looked_at = rte_rdtsc();
	*ret_load = load;
	return 0;
}

void
dt_load_free(struct dt_load *load)
{
	if (load == NULL)
		return;
	free(load->first);
	free(load->names);
	free(load->cycles);
	free(load->grown);
	free(load->pairs);
	free(load->busy);
	free(load->workers);
	free(load);
}

unsigned int
dt_path_worker_load(const struct dt_path *path, unsigned int worker)
{
	return __atomic_load_n(&path->load->workers[worker].load, __ATOMIC_RELAXED);
}

unsigned int
dt_path_pair_load(const struct dt_path *path, unsigned int port, unsigned int pair)
{
	return __atomic_load_n(&path->load->pairs[path->load->first[port] + pair].load, __ATOMIC_RELAXED);
}

/* ---- measured ---- */

static unsigned int
index_of(unsigned int lcore)
{
	unsigned int i = 0;

	while (dt_worker_lcore(dt_worker_at(i)) != lcore)
		i++;
	return i;
}

/* What a counter has grown by since the last look. */
static uint64_t
growth(uint64_t *then, uint64_t now)
{
	uint64_t grown = now - *then;

	*then = now;
	return grown;
}

/* Where each pair is, where it belongs, and what it has taken. */
static void
ask_pairs(const struct dt_path *path, struct dt_load *load)
{
	for (unsigned int port = 0; port < path->n_ports; port++) {
		struct dt_uplink *uplink = dt_path_uplink(path, port);
		struct dt_guest_info info;

		if (uplink == NULL)
			dt_guest_info(dt_path_guest(path, port), &info);
		for (unsigned int q = 0; q < dt_path_n_pairs(path, port); q++) {
			unsigned int i = load->first[port] + q;

			load->pairs[i].worker = index_of(
				uplink != NULL ? dt_worker_lcore(dt_uplink_worker(uplink, q)) : info.pairs[q].lcore);
			load->pairs[i].node = uplink != NULL ? dt_uplink_node(uplink) : info.memory_node;
			load->grown[i] = growth(
				&load->cycles[i], uplink != NULL ? dt_uplink_cycles(uplink, q) : info.pairs[q].cycles);
		}
	}
}

static void
measure_workers(struct dt_load *load, uint64_t passed)
{
	for (unsigned int i = 0; i < dt_workers_count(); i++) {
		struct dt_even_worker *worker = &load->workers[i];
		struct dt_worker_times times;
		unsigned int share;

		dt_worker_times(dt_worker_at(i), &times);
		share = (unsigned int)(RTE_MIN(growth(&load->busy[i], times.busy), passed) * 1000 / passed);
		__atomic_store_n(&worker->load, share, __ATOMIC_RELAXED);
		worker->full_for = share >= DT_EVEN_FULL ? worker->full_for + 1 : 0;
	}
}

/* Samples tell how a worker's pairs share what it was busy. */
static void
measure_pairs(struct dt_load *load)
{
	uint64_t sampled[RTE_MAX_LCORE] = { 0 }; /* of each worker's pairs together */

	for (unsigned int i = 0; i < load->n_pairs; i++)
		sampled[load->pairs[i].worker] += load->grown[i];
	for (unsigned int i = 0; i < load->n_pairs; i++) {
		struct dt_even_pair *pair = &load->pairs[i];
		uint64_t share = load->workers[pair->worker].load * load->grown[i];

		__atomic_store_n(&pair->load, (unsigned int)(share / RTE_MAX(sampled[pair->worker], UINT64_C(1))),
			__ATOMIC_RELAXED);
		pair->rest -= pair->rest > 0;
	}
}

/* ---- evened ---- */

static bool
any_is_full(const struct dt_load *load)
{
	for (unsigned int i = 0; i < dt_workers_count(); i++)
		if (load->workers[i].full_for >= DT_EVEN_LOOKS)
			return true;
	return false;
}

static void
even(struct dt_path *path, struct dt_load *load)
{
	struct dt_even_move move;
	struct dt_even_worker *from;
	struct dt_even_pair *pair;

	if (!dt_even_choose(load->workers, dt_workers_count(), load->pairs, load->n_pairs, &move))
		return;
	pair = &load->pairs[move.pair];
	from = &load->workers[pair->worker];
	dt_path_move_by_itself(path, load->names[move.pair].port, load->names[move.pair].pair, dt_worker_at(move.to),
		&(struct dt_path_why){ from->load, pair->load, load->workers[move.to].load });
	/* Whatever came of it: what the next move is worth has to be measured anew. */
	pair->rest = DT_EVEN_REST;
	from->full_for = 0;
}

void
dt_path_look(struct dt_path *path)
{
	struct dt_load *load = path->load;
	uint64_t now = rte_rdtsc();

	if (now - load->looked_at < rte_get_tsc_hz() / 1000 * LOOK_MS)
		return;
	measure_workers(load, now - load->looked_at);
	ask_pairs(path, load);
	measure_pairs(load);
	load->looked_at = now;
	if (path->conf->rebalance && any_is_full(load))
		even(path, load);
}
