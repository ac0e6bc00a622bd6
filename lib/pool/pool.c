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
} pools[DT_POOLS_MAX];

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

/* The pools that workers take from, without their sizes. */
static unsigned int
places_of(const struct dt_pool_need *need, struct dt_pool_share shares[static DT_POOLS_MAX])
{
	unsigned int n = 0, n_anywhere = 0;

	for (unsigned int i = 0; i < need->n_workers; i++) {
		unsigned int k = 0;

		if (need->nodes[i] < 0) {
			n_anywhere++;
			continue;
		}
		while (k < n && shares[k].node != need->nodes[i])
			k++;
		if (k == n)
			shares[n++] = (struct dt_pool_share){ .node = need->nodes[i] };
		shares[k].n_workers++;
	}
	if (n == 0)
		shares[n++] = (struct dt_pool_share){ .node = -1 };
	shares[0].n_workers += n_anywhere;
	return n;
}

/* What each pool must have. @return their sum */
static uint32_t
fill_least(const struct dt_pool_need *need, struct dt_pool_share *shares, unsigned int n)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		shares[i].mbufs = need->packets + need->large + need->nic_rx + shares[i].n_workers * PER_WORKER;
		sum += shares[i].mbufs;
	}
	return sum;
}

uint32_t
dt_pool_least(const struct dt_pool_need *need)
{
	struct dt_pool_share shares[DT_POOLS_MAX];

	return fill_least(need, shares, places_of(need, shares));
}

unsigned int
dt_pool_shares(const struct dt_pool_need *need, struct dt_pool_share shares[static DT_POOLS_MAX])
{
	unsigned int n = places_of(need, shares), n_workers = need->n_workers;
	uint32_t least = fill_least(need, shares, n), more;

	if (need->mbufs == 0)
		return n;
	if (need->mbufs < least)
		return 0;
	more = need->mbufs - least;
	/* To each by its workers, of what is left: the last one gets the rest. */
	for (unsigned int i = 0; i < n; i++) {
		uint32_t part = (uint32_t)((uint64_t)more * shares[i].n_workers / n_workers);

		shares[i].mbufs += part;
		more -= part;
		n_workers -= shares[i].n_workers;
	}
	return n;
}

uint64_t
dt_pool_bytes(uint32_t mbufs)
{
	return (uint64_t)mbufs *
	       rte_mempool_calc_obj_size(sizeof(struct rte_mbuf) + RTE_PKTMBUF_HEADROOM + DT_POOL_ROOM, 0, NULL);
}

static struct rte_mempool *
pool_new(const struct dt_pool_share *share)
{
	char name[RTE_MEMPOOL_NAMESIZE] = "dptap";

	if (share->node >= 0)
		snprintf(name, sizeof(name), "dptap_%d", share->node);
	return rte_pktmbuf_pool_create(
		name, share->mbufs, CACHE_SIZE, 0, RTE_PKTMBUF_HEADROOM + DT_POOL_ROOM, share->node);
}

int
dt_pool_init(const struct dt_pool_need *need)
{
	struct dt_pool_share shares[DT_POOLS_MAX];
	unsigned int n = dt_pool_shares(need, shares);

	if (n == 0)
		return -EINVAL;
	frame_mbufs = need->frame_mbufs;
	for (unsigned int i = 0; i < n; i++) {
		pools[i].node = shares[i].node;
		pools[i].pool = pool_new(&shares[i]);
		if (pools[i].pool == NULL) {
			dt_pool_fini();
			return -ENOMEM;
		}
		n_pools++;
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

unsigned int
dt_pools_count(void)
{
	return n_pools;
}

#define SAMPLE_PAGES 64 /* of each piece of memory; a pool has one or a few */

static void
sample_memory(struct rte_mempool *pool, void *sample, struct rte_mempool_memhdr *memory, unsigned int i)
{
	(void)pool;
	(void)i;
	dt_node_sample(sample, memory->addr, memory->len, SAMPLE_PAGES, false);
}

void
dt_pool_info(unsigned int i, struct dt_pool_info *ret_info)
{
	*ret_info = (struct dt_pool_info){
		.node = pools[i].node,
		.mbufs = pools[i].pool->size,
		.n_free = rte_mempool_avail_count(pools[i].pool),
		.pool = pools[i].pool,
	};
	rte_mempool_mem_iter(pools[i].pool, sample_memory, &ret_info->memory);
}

void
dt_pool_fini(void)
{
	for (unsigned int i = 0; i < n_pools; i++)
		rte_mempool_free(pools[i].pool);
	n_pools = 0;
}
