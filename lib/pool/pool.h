/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * mbuf pools: one for each NUMA node that has a worker, large enough that no lane can starve another.
 *
 * Made and freed on the main thread; workers take from the pool of their node. A pool holds what all
 * lanes and NIC rings can hold of single-mbuf packets, and beyond that a share for frames that need several mbufs:
 * these get none once only the former is left.
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

/** What the pools must be able to hold at once. */
struct dt_pool_need {
	uint32_t packets; /* mbufs that lanes and the NICs' transmit rings can hold */
	uint32_t nic_rx; /* mbufs that lie ready in the NICs' receive rings */
	uint32_t mbufs; /* as the user wants it, 0: as needed */
	unsigned int n_workers;
};

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

/** Whether @p n more mbufs for a large frame, or a clone of one, are within the share for such. */
bool dt_pool_spares(struct rte_mempool *pool, unsigned int n);

/**
 * Take @p n mbufs for a large frame, at most DT_POOL_FRAME_MBUFS, out of the share for such.
 * @return false: the share is used up, none were taken
 */
bool dt_pool_take_large(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n);

/** Mbufs of all pools, and how many of them are unused. */
void dt_pool_count(uint32_t *ret_total, uint32_t *ret_free);

void dt_pool_fini(void);

#endif
