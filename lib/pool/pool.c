/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include <errno.h>
#include <stdio.h>

#define CACHE_SIZE 256

/* A burst of the largest frames: what a worker takes in one visit, and the least that a lane has room for. */
#define LARGE_BURST (32 * DT_POOL_FRAME_MBUFS)

/* Workers hold back mbufs in their caches, and have bursts in their hands. */
#define PER_WORKER (2 * CACHE_SIZE + 256 + LARGE_BURST)

/* Of frames of several mbufs a lane holds so many mbufs for each of its packets, sixty frames of 64 KiB at 1000. */
#define LARGE_SHARE 2u

static struct {
	int node;
	struct rte_mempool *pool;
} pools[RTE_MAX_NUMA_NODES + 1];

static unsigned int n_pools;
static unsigned int frame_mbufs = 1; /* that an uplink's largest frame lies in */

static uint32_t
large_of(uint32_t len, unsigned int mbufs)
{
	uint32_t share = len * RTE_MAX(LARGE_SHARE, mbufs);

	return RTE_MAX((uint32_t)LARGE_BURST, share);
}

void
dt_pool_need_lane(struct dt_pool_need *need, uint32_t len)
{
	need->packets += len;
	need->large += large_of(len, need->frame_mbufs);
}

uint32_t
dt_pool_lane_large(uint32_t len)
{
	return large_of(len, frame_mbufs);
}

uint32_t
dt_pool_least(const struct dt_pool_need *need)
{
	return need->packets + need->large + need->nic_rx + need->n_workers * PER_WORKER;
}

uint64_t
dt_pool_bytes(uint32_t mbufs)
{
	return (uint64_t)mbufs *
	       rte_mempool_calc_obj_size(sizeof(struct rte_mbuf) + RTE_PKTMBUF_HEADROOM + DT_POOL_ROOM, 0, NULL);
}

int
dt_pool_init(const struct dt_pool_need *need, const int nodes[], unsigned int n_nodes)
{
	uint32_t mbufs = need->mbufs != 0 ? need->mbufs : dt_pool_least(need);

	if (mbufs < dt_pool_least(need))
		return -EINVAL;
	frame_mbufs = need->frame_mbufs;
	for (unsigned int i = 0; i < n_nodes; i++) {
		char name[RTE_MEMPOOL_NAMESIZE];
		struct rte_mempool *pool;
		bool known = false;

		for (unsigned int k = 0; k < n_pools; k++)
			known |= pools[k].node == nodes[i];
		if (known || n_pools == RTE_DIM(pools))
			continue;
		snprintf(name, sizeof(name), "dptap_%d", nodes[i]);
		pool = rte_pktmbuf_pool_create(
			name, mbufs, CACHE_SIZE, 0, RTE_PKTMBUF_HEADROOM + DT_POOL_ROOM, nodes[i]);
		if (pool == NULL) {
			dt_pool_fini();
			return -ENOMEM;
		}
		pools[n_pools].node = nodes[i];
		pools[n_pools++].pool = pool;
	}
	return 0;
}

struct rte_mempool *
dt_pool_of(int node)
{
	for (unsigned int i = 0; i < n_pools; i++)
		if (pools[i].node == node)
			return pools[i].pool;
	return pools[0].pool;
}

bool
dt_pool_take_large(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n)
{
	return rte_mempool_get_bulk(pool, (void **)mbufs, n) == 0;
}

void
dt_pool_count(uint32_t *ret_total, uint32_t *ret_free)
{
	uint32_t total = 0, unused = 0;

	for (unsigned int i = 0; i < n_pools; i++) {
		total += pools[i].pool->size;
		unused += rte_mempool_avail_count(pools[i].pool);
	}
	*ret_total = total;
	*ret_free = unused;
}

void
dt_pool_fini(void)
{
	for (unsigned int i = 0; i < n_pools; i++)
		rte_mempool_free(pools[i].pool);
	n_pools = 0;
}
