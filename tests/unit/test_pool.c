/* SPDX-License-Identifier: BSD-3-Clause */
/* The mbuf pools: never smaller than what lanes can hold of packets and of large frames. */
#include "testing.h"

#include <errno.h>

#include "eal.h"
#include "pool.h"

#define PACKETS 100
#define LARGE   200
#define NIC_RX  50

static const int node0 = 0;
static const struct dt_pool_need need = {
	.packets = PACKETS,
	.large = LARGE,
	.nic_rx = NIC_RX,
	.n_workers = 1,
	.nodes = &node0,
};

static int
fini(void **state)
{
	dt_pool_fini();
	return 0;
}

static void
a_pool_is_as_large_as_its_need(void **state)
{
	uint32_t total, unused;

	assert_int_equal(dt_pool_init(&need), 0);
	dt_pool_count(&total, &unused);

	assert_int_equal(total, dt_pool_least(&need));
	assert_int_equal(unused, total);
}

static void
the_least_grows_by_every_packet_that_something_can_hold(void **state)
{
	struct dt_pool_need more = need;

	more.packets += 10;
	assert_int_equal(dt_pool_least(&more), dt_pool_least(&need) + 10);
	more.nic_rx += 5;
	assert_int_equal(dt_pool_least(&more), dt_pool_least(&need) + 15);
	more.large += 7;
	assert_int_equal(dt_pool_least(&more), dt_pool_least(&need) + 22);
	more.n_workers++;
	more.nodes = (const int[]){ 0, 0 };
	/* A worker has a burst of the largest frames in its hands. */
	assert_true(dt_pool_least(&more) > dt_pool_least(&need) + 22 + 32 * DT_POOL_FRAME_MBUFS);
}

static void
a_lane_has_room_for_large_frames_of_its_own(void **state)
{
	struct dt_pool_need two = { .n_workers = 1, .nodes = &node0 };

	dt_pool_need_lane(&two, 1000);
	dt_pool_need_lane(&two, 64);

	assert_int_equal(two.packets, 1064);
	assert_int_equal(two.large, 2000 + 32 * DT_POOL_FRAME_MBUFS); /* the shorter one takes a burst all the same */
	assert_int_equal(dt_pool_init(&two), 0);
	assert_int_equal(dt_pool_lane_large(1000), 2000);
	assert_int_equal(dt_pool_lane_large(64), 32 * DT_POOL_FRAME_MBUFS);
}

static void
a_lane_holds_as_many_jumbo_frames_of_an_uplinks_as_packets(void **state)
{
	struct dt_pool_need jumbo = { .frame_mbufs = 5, .n_workers = 1, .nodes = &node0 };

	dt_pool_need_lane(&jumbo, 1000);

	assert_int_equal(jumbo.large, 5000);
	assert_int_equal(dt_pool_init(&jumbo), 0);
	assert_int_equal(dt_pool_lane_large(1000), 5000);
}

static void
one_mbuf_less_than_the_ports_need_is_refused(void **state)
{
	struct dt_pool_need wish = need;
	uint32_t total, unused;

	wish.mbufs = dt_pool_least(&need) - 1;
	assert_int_equal(dt_pool_init(&wish), -EINVAL);
	dt_pool_count(&total, &unused);
	assert_int_equal(total, 0);

	wish.mbufs++;
	assert_int_equal(dt_pool_init(&wish), 0);
}

static void
a_wish_for_more_is_granted(void **state)
{
	struct dt_pool_need wish = need;
	uint32_t total, unused;

	wish.mbufs = dt_pool_least(&need) + 1000;
	assert_int_equal(dt_pool_init(&wish), 0);
	dt_pool_count(&total, &unused);

	assert_int_equal(total, wish.mbufs);
}

static void
a_pool_that_memory_cannot_hold_is_refused(void **state)
{
	struct dt_pool_need wish = need;
	uint32_t total, unused;

	wish.mbufs = 1000000; /* two gigabytes */
	assert_int_equal(dt_pool_init(&wish), -ENOMEM);
	dt_pool_count(&total, &unused);

	assert_int_equal(total, 0);
	assert_true(dt_pool_bytes(wish.mbufs) > 2000000000ULL);
}

static void
an_mbuf_has_the_room_that_is_promised(void **state)
{
	struct rte_mbuf *m;

	assert_int_equal(dt_pool_init(&need), 0);
	m = rte_pktmbuf_alloc(dt_pool_of(0));

	assert_non_null(m);
	assert_int_equal(rte_pktmbuf_tailroom(m), DT_POOL_ROOM);
	assert_int_equal(rte_pktmbuf_headroom(m), RTE_PKTMBUF_HEADROOM);
	rte_pktmbuf_free(m);
}

static void
mbufs_for_a_large_frame_are_had_all_or_none(void **state)
{
	static struct rte_mbuf *mbufs[8192];
	struct rte_mempool *pool;
	uint32_t total, unused;

	assert_int_equal(dt_pool_init(&need), 0);
	pool = dt_pool_of(0);
	dt_pool_count(&total, &unused);
	assert_in_range(total, 1, 8192);

	assert_int_equal(rte_mempool_get_bulk(pool, (void **)mbufs, total - 10), 0);
	assert_false(dt_pool_take_large(pool, &mbufs[total - 10], 11));
	assert_true(dt_pool_take_large(pool, &mbufs[total - 10], 10));
	rte_mempool_put_bulk(pool, (void **)mbufs, total);
	dt_pool_count(&total, &unused);
	assert_int_equal(unused, total);
}

/* Workers on these nodes, and nothing but what they need themselves. */
#define WORKERS(...)                                                                                                   \
	{                                                                                                              \
		.n_workers = sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int), .nodes = (const int[])                \
		{                                                                                                      \
			__VA_ARGS__                                                                                    \
		}                                                                                                      \
	}

static uint32_t
total_of(const struct dt_pool_share *shares, unsigned int n)
{
	uint32_t total = 0;

	for (unsigned int i = 0; i < n; i++)
		total += shares[i].mbufs;
	return total;
}

static void
each_node_with_workers_gets_what_its_pool_needs(void **state)
{
	const struct dt_pool_need one = WORKERS(0), two = WORKERS(0, 0);
	struct dt_pool_need both = need;
	struct dt_pool_share shares[DT_POOLS_MAX];

	both.n_workers = 3;
	both.nodes = (const int[]){ 0, 3, 0 };
	assert_int_equal(dt_pool_shares(&both, shares), 2);

	assert_int_equal(shares[0].node, 0);
	assert_int_equal(shares[0].n_workers, 2);
	assert_int_equal(shares[0].mbufs, PACKETS + LARGE + NIC_RX + dt_pool_least(&two));
	assert_int_equal(shares[1].node, 3);
	assert_int_equal(shares[1].n_workers, 1);
	assert_int_equal(shares[1].mbufs, PACKETS + LARGE + NIC_RX + dt_pool_least(&one));
	assert_int_equal(total_of(shares, 2), dt_pool_least(&both));
}

static void
what_the_user_wants_beyond_the_need_is_split_by_workers(void **state)
{
	const int nodes[] = { 0, 0, 1, 2 };
	struct dt_pool_need wish = need;
	struct dt_pool_share least[DT_POOLS_MAX], shares[DT_POOLS_MAX];

	wish.n_workers = 4;
	wish.nodes = nodes;
	assert_int_equal(dt_pool_shares(&wish, least), 3);
	wish.mbufs = dt_pool_least(&wish) + 403;
	assert_int_equal(dt_pool_shares(&wish, shares), 3);

	assert_int_equal(total_of(shares, 3), wish.mbufs);
	assert_int_equal(shares[0].mbufs, least[0].mbufs + 201);
	assert_int_equal(shares[1].mbufs, least[1].mbufs + 101);
	assert_int_equal(shares[2].mbufs, least[2].mbufs + 101);
}

static void
one_mbuf_less_than_all_nodes_need_is_refused(void **state)
{
	struct dt_pool_need wish = need;
	struct dt_pool_share shares[DT_POOLS_MAX];

	wish.n_workers = 2;
	wish.nodes = (const int[]){ 0, 1 };
	wish.mbufs = dt_pool_least(&wish) - 1;
	assert_int_equal(dt_pool_shares(&wish, shares), 0);

	wish.mbufs++;
	assert_int_equal(dt_pool_shares(&wish, shares), 2);
}

static void
workers_without_memory_of_their_own_share_the_first_nodes(void **state)
{
	const struct dt_pool_need some = WORKERS(-1, 1, -1, 0), none = WORKERS(-1, -1);
	struct dt_pool_share shares[DT_POOLS_MAX];

	assert_int_equal(dt_pool_shares(&some, shares), 2);
	assert_int_equal(shares[0].node, 1);
	assert_int_equal(shares[0].n_workers, 3);
	assert_int_equal(shares[1].node, 0);
	assert_int_equal(shares[1].n_workers, 1);

	assert_int_equal(dt_pool_shares(&none, shares), 1);
	assert_int_equal(shares[0].node, -1);
	assert_int_equal(shares[0].n_workers, 2);
}

static void
workers_of_one_node_share_a_pool_whose_use_is_told(void **state)
{
	struct dt_pool_need wish = need;
	struct dt_pool_info info;
	struct rte_mbuf *m;

	wish.n_workers = 3;
	wish.nodes = (const int[]){ 0, 0, -1 };
	wish.mbufs = dt_pool_least(&wish) + 300;
	assert_int_equal(dt_pool_init(&wish), 0);
	m = rte_pktmbuf_alloc(dt_pool_of(0));
	assert_non_null(m);

	assert_int_equal(dt_pools_count(), 1);
	dt_pool_info(0, &info);
	assert_int_equal(info.node, 0);
	assert_int_equal(info.mbufs, wish.mbufs);
	assert_int_equal(info.n_free, wish.mbufs - 1);
	rte_pktmbuf_free(m);
	dt_pool_info(0, &info);
	assert_int_equal(info.n_free, wish.mbufs);
}

static void
where_a_pool_lies_is_looked_up(void **state)
{
	struct dt_pool_info info;

	assert_int_equal(dt_pool_init(&need), 0);
	dt_pool_info(0, &info);

	if (dt_node_of(dt_pool_of(0)) < 0)
		skip(); /* the kernel does not tell */
	assert_true(info.memory.n > 0);
	assert_int_equal(info.memory.n_on[dt_node_of_most(&info.memory)], info.memory.n);
}

static void
a_node_without_a_pool_borrows_the_first_ones(void **state)
{
	assert_int_equal(dt_pool_init(&need), 0);

	assert_non_null(dt_pool_of(0));
	assert_ptr_equal(dt_pool_of(7), dt_pool_of(0));
	assert_ptr_equal(dt_pool_of(-1), dt_pool_of(0));
}

int
main(void)
{
#define POOL(test) cmocka_unit_test_teardown(test, fini)
	const struct CMUnitTest tests[] = {
		POOL(a_pool_is_as_large_as_its_need),
		POOL(the_least_grows_by_every_packet_that_something_can_hold),
		POOL(a_lane_has_room_for_large_frames_of_its_own),
		POOL(a_lane_holds_as_many_jumbo_frames_of_an_uplinks_as_packets),
		POOL(one_mbuf_less_than_the_ports_need_is_refused),
		POOL(a_wish_for_more_is_granted),
		POOL(a_pool_that_memory_cannot_hold_is_refused),
		POOL(an_mbuf_has_the_room_that_is_promised),
		POOL(mbufs_for_a_large_frame_are_had_all_or_none),
		cmocka_unit_test(each_node_with_workers_gets_what_its_pool_needs),
		cmocka_unit_test(what_the_user_wants_beyond_the_need_is_split_by_workers),
		cmocka_unit_test(one_mbuf_less_than_all_nodes_need_is_refused),
		cmocka_unit_test(workers_without_memory_of_their_own_share_the_first_nodes),
		POOL(workers_of_one_node_share_a_pool_whose_use_is_told),
		POOL(where_a_pool_lies_is_looked_up),
		POOL(a_node_without_a_pool_borrows_the_first_ones),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
