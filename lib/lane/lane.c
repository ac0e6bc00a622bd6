/* SPDX-License-Identifier: BSD-3-Clause */
#include "lane.h"

#include <errno.h>

#include <rte_errno.h>
#include <rte_ring_peek.h>

int
dt_lane_init(struct dt_lane *lane, const char *name, unsigned int at, unsigned int len, enum dt_cause closed_cause,
	int node, bool single_producer)
{
	unsigned int flags = RING_F_EXACT_SZ | RING_F_SC_DEQ | (single_producer ? RING_F_SP_ENQ : 0);
	int err;

	*lane = (struct dt_lane){ .at = at, .full_cause = closed_cause, .closed_cause = closed_cause };
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

unsigned int
dt_lane_put(struct dt_lane *lane, unsigned int from, struct rte_mbuf **pkts, unsigned int n)
{
	uint64_t bytes = dt_burst_bytes(pkts, n);
	uint8_t closed = __atomic_load_n(&lane->closed_cause, __ATOMIC_RELAXED);
	unsigned int sent;

	dt_handed_on(from, n, bytes);
	dt_received(lane->at, n, bytes);
	if (unlikely(closed != DT_CAUSE_MAX)) {
		dt_drop_burst(lane->at, pkts, n, (enum dt_cause)closed);
		return 0;
	}
	sent = rte_ring_enqueue_burst(lane->ring, (void **)pkts, n, NULL);
	if (unlikely(sent < n))
		dt_drop_burst(lane->at, &pkts[sent], n - sent,
			(enum dt_cause)__atomic_load_n(&lane->full_cause, __ATOMIC_RELAXED));
	return sent;
}

unsigned int
dt_lane_peek(struct dt_lane *lane, struct rte_mbuf **pkts, unsigned int n)
{
	return rte_ring_dequeue_burst_start(lane->ring, (void **)pkts, n, NULL);
}

void
dt_lane_finish(struct dt_lane *lane, unsigned int n)
{
	rte_ring_dequeue_finish(lane->ring, n);
}

unsigned int
dt_lane_drain(struct dt_lane *lane, enum dt_cause cause)
{
	struct rte_mbuf *pkts[DT_BURST];
	unsigned int n, drained = 0;

	while ((n = rte_ring_sc_dequeue_burst(lane->ring, (void **)pkts, DT_BURST, NULL)) > 0) {
		dt_drop_burst(lane->at, pkts, n, cause);
		drained += n;
	}
	return drained;
}
