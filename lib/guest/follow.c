/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pair follows its worker to another NUMA node: it is made anew in memory there, and its lane with it. Senders know
 * where the pair is, and its worker polls it; all of them have the new one before the old one goes.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include <rte_malloc.h>

static bool
is_at_rest(const struct dt_guest *guest, unsigned int i)
{
	return !guest->ring[DT_RINGS * i + DT_RING_TO_GUEST].on && !guest->ring[DT_RINGS * i + DT_RING_FROM_GUEST].on &&
	       !dt_lane_is_open(&guest->pairs[i].pair->lane);
}

/* @return 0; -ENOMEM */
static int
make(const struct dt_pair *old, int node, struct dt_pair **ret_pair)
{
	struct dt_pair *pair = rte_zmalloc_socket("dt_pair", sizeof(*pair), RTE_CACHE_LINE_SIZE, node);
	int err;

	if (pair == NULL)
		return -ENOMEM;
	err = dt_lane_move_begin(&pair->lane, &old->lane, node);
	if (err != 0) {
		rte_free(pair);
		return err;
	}
	*ret_pair = pair;
	return 0;
}

/* On the worker. */
static void
become(void *to, const void *from)
{
	struct dt_pair *pair = to;
	const struct dt_pair *old = from;
	struct dt_lane lane = pair->lane;

	*pair = *old;
	pair->lane = lane;
	dt_lane_move(&pair->lane, &old->lane);
}

static void
put_in_place(struct dt_guest *guest, unsigned int i, struct dt_pair *pair)
{
	struct dt_worker *worker = guest->pairs[i].worker;
	struct dt_pair *old = guest->pairs[i].pair;

	/* What a sender had in its hands when it saw the lane open is in there now. */
	dt_workers_pass();
	dt_pair_close(old, worker, (enum dt_cause)old->lane.closed_cause);
	dt_worker_replace(worker, &dt_pair_polled, old, pair, become);
	guest->pairs[i].pair = pair;
	/* Pairs with the acquire in dt_guest_lane_now(). */
	__atomic_store_n(&guest->lanes[i], pair, __ATOMIC_RELEASE);
	dt_workers_pass();
	dt_lane_move_end(&pair->lane, &old->lane);
	rte_free(old);
}

void
dt_guest_follow(struct dt_guest *guest, unsigned int i)
{
	const struct dt_guest_pair *pair = &guest->pairs[i];
	int node = dt_worker_memory(pair->worker);
	struct dt_pair *new;
	int err;

	if (node < 0 || node == pair->pair->lane.node || !is_at_rest(guest, i))
		return;
	err = make(pair->pair, node, &new);
	if (err == 0)
		put_in_place(guest, i, new);
	else
		GUEST_SAY(guest, WARNING,
			"queue pair %u: no memory for it on NUMA node %d, where its worker is (lcore %u): %s: slower; "
			"give that node more in --socket-mem",
			i, node, dt_worker_lcore(pair->worker), strerror(-err));
}
