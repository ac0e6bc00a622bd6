/* SPDX-License-Identifier: BSD-3-Clause */
#include "turn.h"

#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "internal.h"

/* A guest that takes nothing for so long has its packets in whatever order they come. */
#define TURN_MS 500

/* Control waits for a guest so long at the most, and once that was in vain not at all for a while: others wait too. */
#define PATIENCE_MS  100
#define IMPATIENT_MS 5000

/* ---- on the worker ---- */

static void
set_behind(struct dt_pair *pair, bool behind)
{
	__atomic_store_n(&pair->turn.behind, behind, __ATOMIC_RELEASE);
}

static void
catch_up(struct dt_pair *pair)
{
	set_behind(pair, false);
	/* The guest has these packets. Pairs with the acquire in dt_turn_look() of the others. */
	__atomic_fetch_sub(&pair->turn.shared->n_behind, 1, __ATOMIC_RELEASE);
}

void
dt_turn_look(struct dt_pair *pair)
{
	struct dt_pair_turn *turn = &pair->turn;
	bool over = rte_rdtsc() >= turn->until;

	/* Some may have been dropped, in a lane that was closed. */
	turn->left = RTE_MIN(turn->left, dt_lane_count(&pair->lane));
	if (turn->behind && (turn->left == 0 || over))
		catch_up(pair);
	if (over || (!turn->held && __atomic_load_n(&turn->shared->n_behind, __ATOMIC_ACQUIRE) == 0)) {
		turn->on = false;
		pair->burst = DT_BURST;
		return;
	}
	pair->burst = RTE_MIN(turn->left, (uint32_t)DT_BURST);
}

void
dt_turn_moved(struct dt_pair *pair, unsigned int n)
{
	pair->turn.left -= RTE_MIN(pair->turn.left, n);
}

static void
hold(struct dt_pair *pair)
{
	if (pair->turn.behind) /* in an earlier turn, which has lasted too long */
		catch_up(pair);
	pair->turn.on = true;
	pair->turn.held = true;
	pair->turn.left = 0;
	pair->turn.until = rte_rdtsc() + rte_get_tsc_hz() / 1000 * TURN_MS;
	pair->burst = 0;
}

/* All that waits now is of before the turn. */
static void
mark(struct dt_pair *pair)
{
	pair->turn.held = false;
	pair->turn.left = dt_lane_count(&pair->lane);
	set_behind(pair, true);
	dt_turn_look(pair);
}

/* ---- on control ---- */

/* One mail to a worker, for all of the guest's pairs that it has. */
struct order {
	struct dt_guest *guest;
	const struct dt_worker *worker;
	void (*each)(struct dt_pair *pair);
};

static void
run_order(void *arg)
{
	const struct order *order = arg;

	for (unsigned int i = 0; i < order->guest->n_pairs; i++)
		if (order->guest->pairs[i].worker == order->worker)
			order->each(order->guest->pairs[i].pair);
}

static void
on_each_pair(struct dt_guest *guest, void (*each)(struct dt_pair *pair))
{
	for (unsigned int i = 0; i < guest->n_pairs; i++) {
		struct order order = { .guest = guest, .worker = guest->pairs[i].worker, .each = each };
		bool told = false;

		for (unsigned int k = 0; k < i; k++)
			told |= guest->pairs[k].worker == order.worker;
		if (!told)
			dt_worker_call(guest->pairs[i].worker, run_order, &order);
	}
}

/* Wait until @p is_done(@p arg). */
static void
await(struct dt_guest *guest, bool (*is_done)(const void *arg), const void *arg)
{
	uint64_t now = rte_rdtsc(), end = now + rte_get_tsc_hz() / 1000 * PATIENCE_MS;

	if (now < guest->impatient_until)
		return;
	while (!is_done(arg)) {
		if (rte_rdtsc() >= end) {
			guest->impatient_until = end + rte_get_tsc_hz() / 1000 * IMPATIENT_MS;
			return;
		}
		usleep(20);
	}
}

static bool
is_over(const void *turn)
{
	return __atomic_load_n(&((const struct dt_turn *)turn)->n_behind, __ATOMIC_ACQUIRE) == 0;
}

static bool
has_caught_up(const void *pair)
{
	return !__atomic_load_n(&((const struct dt_pair *)pair)->turn.behind, __ATOMIC_ACQUIRE);
}

void
dt_guest_await_lane(struct dt_guest *guest, const struct dt_pair *pair)
{
	await(guest, has_caught_up, pair);
}

void
dt_guest_respread(struct dt_guest *guest)
{
	uint8_t pairs[DT_CONF_QUEUES_MAX];
	unsigned int n = 0, n_before = guest->n_joined;

	for (unsigned int i = 0; i < guest->n_pairs; i++)
		if (guest->pairs[i].joined)
			pairs[n++] = (uint8_t)i;
	guest->n_joined = n;
	if (n == 0)
		pairs[n++] = 0; /* its lane is closed, and says why */
	if (n == guest->spread.n && memcmp(pairs, guest->spread.pair, n) == 0)
		return;
	if (n_before == 0) {
		dt_spread_set(&guest->spread, pairs, n); /* nothing has been let in yet that could be overtaken */
		return;
	}
	await(guest, is_over, &guest->turn);
	on_each_pair(guest, hold);
	dt_spread_set(&guest->spread, pairs, n);
	dt_workers_pass();
	__atomic_store_n(&guest->turn.n_behind, guest->n_pairs, __ATOMIC_RELAXED);
	on_each_pair(guest, mark);
}
