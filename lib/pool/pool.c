/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include <errno.h>
#include <stdio.h>

#define CACHE_SIZE 256

/* Workers hold back mbufs in their caches, and have bursts in their hands. */
#define PER_WORKER (2 * CACHE_SIZE + 256)

/* At the least so many frames of the largest size at once, beyond all single mbufs. */
#define LARGE_FRAMES 128

static struct {
	int node;
	struct rte_mempool *pool;
} pools[RTE_MAX_NUMA_NODES + 1];

static unsigned int n_pools;
static uint32_t reserve; /* mbufs that large frames may not have */

static uint32_t
singles(const struct dt_pool_need *need)
{
	return need->packets + need->n_workers * PER_WORKER;
}

uint32_t
dt_pool_least(const struct dt_pool_need *need)
{
	return singles(need) + need->nic_rx + LARGE_FRAMES * DT_POOL_FRAME_MBUFS;
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
	reserve = singles(need);
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
dt_pool_spares(struct rte_mempool *pool, unsigned int n)
{
	/* Counts over all lcores' caches: too dear for each packet, cheap beside a copy of many kilobytes. */
	return rte_mempool_avail_count(pool) >= reserve + n;
}

bool
dt_pool_take_large(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int n)
{
	return dt_pool_spares(pool, n) && rte_mempool_get_bulk(pool, (void **)mbufs, n) == 0;
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
