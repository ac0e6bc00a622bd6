/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * mbuf pools: one for each NUMA node that has a worker, large enough that no lane can starve another.
 *
 * Made and freed on the main thread; workers take from the pool of their node, and an mbuf goes back to where it came
 * from, whoever frees it. A pool holds all that lanes and NIC rings can hold and its workers have in their hands, to
 * the last mbuf, since what one node's workers take may fill every lane: a lane is bounded in packets and, since a
 * frame of 64 KiB takes as many mbufs as dozens of others, in mbufs of such frames.
 */
#ifndef DT_POOL_H
#define DT_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "node.h"

/** Bytes of packet data in one mbuf, behind the headroom. */
#define DT_POOL_ROOM 2048

/** Most mbufs that one frame may consist of. */
#define DT_POOL_FRAME_MBUFS 33

/** What the pools must be able to hold at once, in mbufs. */
struct dt_pool_need {
	unsigned int frame_mbufs; /* that an uplink's largest frame lies in; 0: one */
	uint32_t packets; /* in lanes and the NICs' transmit rings */
	uint32_t large; /* in lanes, of frames of several mbufs */
	uint32_t nic_rx; /* ready in the NICs' receive rings */
	uint32_t mbufs; /* in all pools together, as the user wants it; 0: as needed */
	unsigned int n_workers;
	const int *nodes; /* of each worker, where EAL has memory for it; -1: anywhere */
};

/** Most pools: one for each node, or one that lies anywhere. */
#define DT_POOLS_MAX RTE_MAX_NUMA_NODES

/** A pool that is to be made. */
struct dt_pool_share {
	int node; /* -1: anywhere */
	unsigned int n_workers; /* that take from it */
	uint32_t mbufs;
};

/** A pool that there is. */
struct dt_pool_info {
	int node; /* -1: anywhere */
	uint32_t mbufs;
	uint32_t n_free;
	const struct rte_mempool *pool;
	struct dt_node_sample memory; /* where its mbufs really lie */
};

/** Add a lane of @p len packets to @p need, whose frame_mbufs is known. */
void dt_pool_need_lane(struct dt_pool_need *need, uint32_t len);

/** Mbufs that frames of several may fill in a lane of @p len packets, besides these. Of pools that are made. */
uint32_t dt_pool_lane_large(uint32_t len);

/**
 * Distribute mbufs over nodes: each node that has workers gets what its pool needs, and of what the user wants beyond
 * that a part for each of its workers. Workers that may take mbufs anywhere share the first node's.
 *
 * @return pools, at least 1; 0: need->mbufs is less than the ports need
 */
unsigned int dt_pool_shares(const struct dt_pool_need *need, struct dt_pool_share shares[static DT_POOLS_MAX]);

/**
 * Make the pools.
 *
 * @param need  has a worker at least
 * @return 0; -ENOMEM: not enough (huge)page memory; -EINVAL: need->mbufs is less than the ports need
 */
int dt_pool_init(const struct dt_pool_need *need);

/** Mbufs that all pools have at the least for @p need. */
uint32_t dt_pool_least(const struct dt_pool_need *need);

/** Bytes of memory that @p mbufs take, for messages. */
uint64_t dt_pool_bytes(uint32_t mbufs);

/** The pool of a node; the first one if it has none. */
struct rte_mempool *dt_pool_of(int node);

/** @return the pools; what is known of pool @p i, below that. Any thread. */
unsigned int dt_pools_count(void);
void dt_pool_info(unsigned int i, struct dt_pool_info *ret_info);

/**
 * Take @p n mbufs for a large frame.
 * @return false: the pool is empty, which takes more than full lanes; none were taken
 */
bool dt_pool_take_large(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n);

/** Mbufs of all pools, and how many of them are unused. */
void dt_pool_count(uint32_t *ret_total, uint32_t *ret_free);

void dt_pool_fini(void);

#endif
