/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * mbuf pools: one for each NUMA node that has a worker, large enough that no lane can starve another.
 *
 * Made and freed on the main thread; workers take from the pool of their node. A pool holds all that lanes and NIC
 * rings can hold and workers have in their hands, to the last mbuf: a lane is bounded in packets and, since a frame of
 * 64 KiB takes as many mbufs as dozens of others, in mbufs of such frames.
 */
#ifndef DT_POOL_H
#define DT_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

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
	uint32_t mbufs; /* as the user wants it, 0: as needed */
	unsigned int n_workers;
};

/** Add a lane of @p len packets to @p need, whose frame_mbufs is known. */
void dt_pool_need_lane(struct dt_pool_need *need, uint32_t len);

/** Mbufs that frames of several may fill in a lane of @p len packets, besides these. Of pools that are made. */
uint32_t dt_pool_lane_large(uint32_t len);

/**
 * Make the pools.
 *
 * @param nodes    NUMA nodes, may repeat; -1: any
 * @param n_nodes  above 0
 * @return 0; -ENOMEM: not enough (huge)page memory; -EINVAL: need->mbufs is less than the ports need
 */
int dt_pool_init(const struct dt_pool_need *need, const int nodes[], unsigned int n_nodes);

/** Mbufs that a pool has at the least for @p need. */
uint32_t dt_pool_least(const struct dt_pool_need *need);

/** Bytes of memory that a pool of @p mbufs takes, for messages. */
uint64_t dt_pool_bytes(uint32_t mbufs);

/** The pool of a node; that of another node if it has none. */
struct rte_mempool *dt_pool_of(int node);

/**
 * Take @p n mbufs for a large frame.
 * @return false: the pool is empty, which takes more than full lanes; none were taken
 */
bool dt_pool_take_large(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n);

/** Mbufs of all pools, and how many of them are unused. */
void dt_pool_count(uint32_t *ret_total, uint32_t *ret_free);

void dt_pool_fini(void);

#endif
