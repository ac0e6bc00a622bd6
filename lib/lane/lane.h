/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A lane: the rte_ring in front of an egress queue, what ptr_ring is in the kernel's tap.
 *
 * Any worker puts; the one worker that owns the egress queue peeks, delivers what fits and finishes. A full lane is
 * the only place where a slow consumer loses packets, and the lane itself counts them, under a cause that its
 * consumer keeps up to date: who is to blame. It is full of packets, or full of the mbufs of frames that take
 * several, each lane for itself. It never frees but through the ledger, and never blocks.
 */
#ifndef DT_LANE_H
#define DT_LANE_H

#include <stdbool.h>

#include "bell.h"
#include "ledger.h"

/* The most packets that move as one. */
#define DT_BURST 32

struct dt_lane {
	/* set at start */
	struct rte_ring *ring;
	unsigned int at; /* the egress port's outward account */
	uint32_t large_max; /* mbufs that frames of several may have here */
	int node; /* where its memory was asked for; -1: anywhere */

	/* control writes, producers read */
	struct dt_bell *bell; /* to be rung for the consumer, NULL: that never sleeps */

	/* the consumer (or control by mail to it) writes, producers read */
	uint8_t full_cause __rte_cache_aligned; /* enum dt_cause of an overflow */
	uint8_t closed_cause; /* enum dt_cause of a packet that comes while closed; DT_CAUSE_MAX: open */

	/* producers add before they enqueue, the consumer subtracts; leave the line alone for all other packets */
	uint32_t large __rte_cache_aligned; /* mbufs of frames of several */

	/* the consumer's own, of what it peeked at last */
	bool weighed __rte_cache_aligned; /* there may be frames of several: */
	uint16_t weights[DT_BURST]; /* what each packet counts for in `large` */
};

_Static_assert(DT_CAUSE_MAX <= UINT8_MAX, "a lane keeps a cause in a byte");

/** Where a port hands on what it yielded: @p take owns the packets from then on. @return runs for one destination */
struct dt_sink {
	unsigned int (*take)(void *self, struct rte_mbuf **pkts, unsigned int n);
	void *self;
};

/**
 * Make a lane, closed.
 *
 * @param at               the egress port's outward account, for what is received, held and dropped here
 * @param len              packets it holds; what it may hold of large frames follows from it (see pool.h)
 * @param closed_cause     why it is closed for now
 * @param node             NUMA node of its consumer
 * @param single_producer  only one lcore will ever put
 * @return 0; -ENOMEM; -EINVAL, -EEXIST: @p name or @p len will not do
 */
int dt_lane_init(struct dt_lane *lane, const char *name, unsigned int at, unsigned int len, enum dt_cause closed_cause,
	int node, bool single_producer);

/** Free an empty lane. */
void dt_lane_fini(struct dt_lane *lane);

/**
 * Move a lane to another NUMA node, in three steps: have memory there; make the new lane what the old one is, on the
 * consumer; and free the old one, once nobody looks at it any more.
 *
 * Before the second step, the old one is closed and empty, and whoever saw it open has begun a new round since
 * (dt_workers_pass()). The new one takes its place in the books. Control.
 *
 * @return 0; -ENOMEM: there is none on @p node
 */
int dt_lane_move_begin(struct dt_lane *to, const struct dt_lane *from, int node);
void dt_lane_move(struct dt_lane *to, const struct dt_lane *from);
void dt_lane_move_end(const struct dt_lane *to, struct dt_lane *from);

/**
 * Say who has to be woken for what comes, NULL: nobody.
 *
 * @note Control, before the consumer first looks. One that sleeps may be followed by another that does, while packets
 *       come: it must begin to look at the lane after this, and may sleep no sooner.
 */
void dt_lane_set_bell(struct dt_lane *lane, struct dt_bell *bell);

static inline bool
dt_lane_is_open(const struct dt_lane *lane)
{
	return __atomic_load_n(&lane->closed_cause, __ATOMIC_RELAXED) == DT_CAUSE_MAX;
}

/** The consumer says what an overflow from now on is to be blamed on. */
static inline void
dt_lane_blame(struct dt_lane *lane, enum dt_cause cause)
{
	/* The line is shared with producers: leave it alone unless something changed. */
	if (lane->full_cause != cause)
		__atomic_store_n(&lane->full_cause, (uint8_t)cause, __ATOMIC_RELAXED);
}

/** Packets are welcome. On the consumer. */
static inline void
dt_lane_open(struct dt_lane *lane)
{
	__atomic_store_n(&lane->closed_cause, (uint8_t)DT_CAUSE_MAX, __ATOMIC_RELAXED);
}

/** Packets that come are dropped for @p cause; those that wait stay until dt_lane_drain(). On the consumer. */
static inline void
dt_lane_close(struct dt_lane *lane, enum dt_cause cause)
{
	__atomic_store_n(&lane->closed_cause, (uint8_t)cause, __ATOMIC_RELAXED);
}

/** What a burst comes to. */
struct dt_lane_burst {
	uint64_t bytes;
	unsigned int mbufs;
};

static inline struct dt_lane_burst
dt_lane_burst(struct rte_mbuf *const *pkts, unsigned int n)
{
	struct dt_lane_burst burst = { 0 };

	for (unsigned int i = 0; i < n; i++) {
		burst.bytes += dt_bytes_of(pkts[i]);
		burst.mbufs += pkts[i]->nb_segs;
	}
	return burst;
}

/** dt_lane_put() for whom has looked at the packets and knows what they come to. */
unsigned int dt_lane_put_burst(
	struct dt_lane *lane, unsigned int from, struct rte_mbuf **pkts, unsigned int n, struct dt_lane_burst burst);

/**
 * Hand packets over to the lane's egress queue, out of one account into the other.
 *
 * Takes ownership of all @p n packets; those that do not fit, or come while it is closed, are dropped and counted
 * by the egress.
 *
 * @param from  the inward account that they leave
 * @param pkts  whole Ethernet frames, without FCS
 * @return      packets queued, 0 to @p n
 * @note any worker may call it; never blocks
 */
static inline unsigned int
dt_lane_put(struct dt_lane *lane, unsigned int from, struct rte_mbuf **pkts, unsigned int n)
{
	return dt_lane_put_burst(lane, from, pkts, n, dt_lane_burst(pkts, n));
}

/**
 * The same for packets that the egress account has received or created already: segments of one.
 * @return packets queued, 0 to @p n
 */
unsigned int dt_lane_queue(struct dt_lane *lane, struct rte_mbuf **pkts, unsigned int n);

/** Why a packet is refused that has just been. @param several  it lies in several mbufs */
static inline enum dt_cause
dt_lane_refusal(const struct dt_lane *lane, bool several)
{
	uint8_t closed = __atomic_load_n(&lane->closed_cause, __ATOMIC_RELAXED);

	if (closed != DT_CAUSE_MAX)
		return (enum dt_cause)closed;
	if (several && rte_ring_free_count(lane->ring) > 0)
		return DT_CAUSE_LANE_LARGE_FULL;
	return (enum dt_cause)__atomic_load_n(&lane->full_cause, __ATOMIC_RELAXED);
}

/** @return packets that wait; exact only for the consumer, a lower bound there */
static inline unsigned int
dt_lane_count(const struct dt_lane *lane)
{
	return rte_ring_count(lane->ring);
}

/**
 * Look at the first packets without taking them; dt_lane_finish() must follow if any are returned.
 * On the consumer.
 *
 * @param n  at most DT_BURST
 * @return   packets in @p pkts, 0 to @p n
 */
unsigned int dt_lane_peek(struct dt_lane *lane, struct rte_mbuf **pkts, unsigned int n);

/** Take the first @p n of the packets last peeked at (they may be gone); the others stay, in order. On the consumer. */
void dt_lane_finish(struct dt_lane *lane, unsigned int n);

/** Drop all that waits for @p cause. On the consumer. @return packets dropped */
unsigned int dt_lane_drain(struct dt_lane *lane, enum dt_cause cause);

#endif
