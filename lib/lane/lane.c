/* SPDX-License-Identifier: BSD-3-Clause */
#include "lane.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ring_peek.h>

#include "pool.h"
#include "stage.h"

int
dt_lane_init(struct dt_lane *lane, const char *name, unsigned int at, unsigned int len, enum dt_cause closed_cause,
	int node, bool single_producer)
{
	unsigned int flags = RING_F_EXACT_SZ | RING_F_SC_DEQ | (single_producer ? RING_F_SP_ENQ : 0);
	int err;

	*lane = (struct dt_lane){
		.at = at,
		.large_max = dt_pool_lane_large(len),
		.full_cause = closed_cause,
		.closed_cause = closed_cause,
		.node = node,
	};
	lane->ring = rte_ring_create(name, len, node, flags);
	if (lane->ring == NULL)
		return -rte_errno;
	err = dt_ledger_watch(at, lane->ring);
	if (err != 0)
		dt_lane_fini(lane);
	return err;
}

void
dt_lane_fini(struct dt_lane *lane)
{
	rte_ring_free(lane->ring);
	lane->ring = NULL;
}

/* A lane that has moved says where to: "dt_lane_1_0@1". */
static void
name_at(char name[static RTE_RING_NAMESIZE], const struct rte_ring *ring, int node)
{
	int len = (int)strcspn(ring->name, "@");

	snprintf(name, RTE_RING_NAMESIZE, "%.*s@%d", len, ring->name, node);
}

int
dt_lane_move_begin(struct dt_lane *to, const struct dt_lane *from, int node)
{
	char name[RTE_RING_NAMESIZE];

	name_at(name, from->ring, node);
	*to = (struct dt_lane){ .node = node };
	to->ring = rte_ring_create(name, from->ring->capacity, node, (unsigned int)from->ring->flags);
	return to->ring != NULL ? 0 : -rte_errno;
}

void
dt_lane_move(struct dt_lane *to, const struct dt_lane *from)
{
	struct rte_ring *ring = to->ring;
	int node = to->node;

	*to = *from;
	to->ring = ring;
	to->node = node;
}

void
dt_lane_move_end(const struct dt_lane *to, struct dt_lane *from)
{
	dt_ledger_watch_instead(from->ring, to->ring);
	dt_lane_fini(from);
}

void
dt_lane_set_bell(struct dt_lane *lane, struct dt_bell *bell)
{
	__atomic_store_n(&lane->bell, bell, __ATOMIC_RELEASE);
}

/*
 * Packets are in the lane, which its consumer looked at last when it fell asleep. Pairs with the barrier in
 * dt_bell_want(). Whose bell to ring is read behind it: if we find that of a consumer before, the present one has begun
 * to look after we put the packets there.
 */
static inline void
wake_consumer(struct dt_lane *lane)
{
	struct dt_bell *bell;

	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
	bell = __atomic_load_n(&lane->bell, __ATOMIC_RELAXED);
	if (unlikely(dt_bell_is_wanted(bell)))
		dt_bell_strike(bell);
}

/* Mbufs that a frame of several keeps from its pools; one that points into others' data keeps those as well. */
static uint16_t
weight_of(const struct rte_mbuf *m)
{
	if (m->nb_segs == 1)
		return 0;
	return RTE_MBUF_DIRECT(m) && RTE_MBUF_DIRECT(m->next) ? m->nb_segs : (uint16_t)(2 * m->nb_segs);
}

static inline uint32_t
weigh(const struct dt_lane *lane)
{
	return __atomic_load_n(&lane->large, __ATOMIC_RELAXED);
}

static inline void
unload(struct dt_lane *lane, uint32_t weight)
{
	__atomic_fetch_sub(&lane->large, weight, __ATOMIC_RELAXED);
}

/* Drop the frames of several mbufs for which there is no room. @return packets left, in their order */
static unsigned int
load(struct dt_lane *lane, struct rte_mbuf **pkts, unsigned int n)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint32_t weight = weight_of(pkts[i]);

		if (weight > 0 && __atomic_add_fetch(&lane->large, weight, __ATOMIC_RELAXED) > lane->large_max) {
			unload(lane, weight);
			dt_drop(lane->at, pkts[i], DT_CAUSE_LANE_LARGE_FULL);
		} else {
			pkts[kept++] = pkts[i];
		}
	}
	return kept;
}

/* What did not fit, though a large one among it was let in by load(). */
static void
overflow(struct dt_lane *lane, struct rte_mbuf **pkts, unsigned int n, bool loaded)
{
	for (unsigned int i = 0; loaded && i < n; i++)
		unload(lane, weight_of(pkts[i]));
	dt_drop_burst(lane->at, pkts, n, (enum dt_cause)__atomic_load_n(&lane->full_cause, __ATOMIC_RELAXED));
}

static inline unsigned int
enqueue(struct dt_lane *lane, struct rte_mbuf **pkts, unsigned int n, bool large)
{
	uint8_t closed = __atomic_load_n(&lane->closed_cause, __ATOMIC_RELAXED);
	unsigned int sent;

	if (unlikely(closed != DT_CAUSE_MAX)) {
		dt_drop_burst(lane->at, pkts, n, (enum dt_cause)closed);
		return 0;
	}
	if (unlikely(large))
		n = load(lane, pkts, n);
	sent = rte_ring_enqueue_burst(lane->ring, (void **)pkts, n, NULL);
	if (unlikely(sent < n))
		overflow(lane, &pkts[sent], n - sent, large);
	if (unlikely(__atomic_load_n(&lane->bell, __ATOMIC_RELAXED) != NULL) && sent > 0)
		wake_consumer(lane);
	return sent;
}

unsigned int
dt_lane_queue(struct dt_lane *lane, struct rte_mbuf **pkts, unsigned int n)
{
	DT_STAGE(DT_STAGE_LANE);
	return enqueue(lane, pkts, n, dt_lane_burst(pkts, n).mbufs > n);
}

unsigned int
dt_lane_put_burst(
	struct dt_lane *lane, unsigned int from, struct rte_mbuf **pkts, unsigned int n, struct dt_lane_burst burst)
{
	DT_STAGE(DT_STAGE_LANE);
	dt_handed_on(from, n, burst.bytes);
	dt_received(lane->at, n, burst.bytes);
	return enqueue(lane, pkts, n, burst.mbufs > n);
}

unsigned int
dt_lane_peek(struct dt_lane *lane, struct rte_mbuf **pkts, unsigned int n)
{
	DT_STAGE(DT_STAGE_LANE);
	n = rte_ring_dequeue_burst_start(lane->ring, (void **)pkts, n, NULL);
	/* Who enqueued any of these has added to `large` before. */
	lane->weighed = weigh(lane) > 0;
	for (unsigned int i = 0; unlikely(lane->weighed) && i < n; i++)
		lane->weights[i] = weight_of(pkts[i]);
	return n;
}

void
dt_lane_finish(struct dt_lane *lane, unsigned int n)
{
	DT_STAGE(DT_STAGE_LANE);
	uint32_t weight = 0;

	for (unsigned int i = 0; unlikely(lane->weighed) && i < n; i++)
		weight += lane->weights[i];
	rte_ring_dequeue_finish(lane->ring, n);
	if (unlikely(weight > 0))
		unload(lane, weight);
}

unsigned int
dt_lane_drain(struct dt_lane *lane, enum dt_cause cause)
{
	struct rte_mbuf *pkts[DT_BURST];
	unsigned int n, drained = 0;

	while ((n = dt_lane_peek(lane, pkts, DT_BURST)) > 0) {
		dt_lane_finish(lane, n);
		dt_drop_burst(lane->at, pkts, n, cause);
		drained += n;
	}
	return drained;
}
