/* SPDX-License-Identifier: BSD-3-Clause */
/* The mbuf pools: never smaller than what lanes can hold of packets and of large frames. */
#include "testing.h"

#include <errno.h>

#include "eal.h"
#include "pool.h"

#define PACKETS 100
#define LARGE   200
#define NIC_RX  50

static const struct dt_pool_need need = { .packets = PACKETS, .large = LARGE, .nic_rx = NIC_RX, .n_workers = 1 };
static const int node0 = 0;

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

	assert_int_equal(dt_pool_init(&need, &node0, 1), 0);
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
	/* A worker has a burst of the largest frames in its hands. */
	assert_true(dt_pool_least(&more) > dt_pool_least(&need) + 22 + 32 * DT_POOL_FRAME_MBUFS);
}

static void
a_lane_has_room_for_large_frames_of_its_own(void **state)
{
	struct dt_pool_need two = { .n_workers = 1 };

	dt_pool_need_lane(&two, 1000);
	dt_pool_need_lane(&two, 64);

	assert_int_equal(two.packets, 1064);
	assert_int_equal(two.large, 2000 + 32 * DT_POOL_FRAME_MBUFS); /* the shorter one takes a burst all the same */
	assert_int_equal(dt_pool_init(&two, &node0, 1), 0);
	assert_int_equal(dt_pool_lane_large(1000), 2000);
	assert_int_equal(dt_pool_lane_large(64), 32 * DT_POOL_FRAME_MBUFS);
}

static void
a_lane_holds_as_many_jumbo_frames_of_an_uplinks_as_packets(void **state)
{
	struct dt_pool_need jumbo = { .frame_mbufs = 5, .n_workers = 1 };

	dt_pool_need_lane(&jumbo, 1000);

	assert_int_equal(jumbo.large, 5000);
	assert_int_equal(dt_pool_init(&jumbo, &node0, 1), 0);
	assert_int_equal(dt_pool_lane_large(1000), 5000);
}

static void
one_mbuf_less_than_the_ports_need_is_refused(void **state)
{
	struct dt_pool_need wish = need;
	uint32_t total, unused;

	wish.mbufs = dt_pool_least(&need) - 1;
	assert_int_equal(dt_pool_init(&wish, &node0, 1), -EINVAL);
	dt_pool_count(&total, &unused);
	assert_int_equal(total, 0);

	wish.mbufs++;
	assert_int_equal(dt_pool_init(&wish, &node0, 1), 0);
}

static void
a_wish_for_more_is_granted(void **state)
{
	struct dt_pool_need wish = need;
	uint32_t total, unused;

	wish.mbufs = dt_pool_least(&need) + 1000;
	assert_int_equal(dt_pool_init(&wish, &node0, 1), 0);
	dt_pool_count(&total, &unused);

	assert_int_equal(total, wish.mbufs);
}

static void
a_pool_that_memory_cannot_hold_is_refused(void **state)
{
	struct dt_pool_need wish = need;
	uint32_t total, unused;

	wish.mbufs = 1000000; /* two gigabytes */
	assert_int_equal(dt_pool_init(&wish, &node0, 1), -ENOMEM);
	dt_pool_count(&total, &unused);

	assert_int_equal(total, 0);
	assert_true(dt_pool_bytes(wish.mbufs) > 2000000000ULL);
}

static void
an_mbuf_has_the_room_that_is_promised(void **state)
{
	struct rte_mbuf *m;

	assert_int_equal(dt_pool_init(&need, &node0, 1), 0);
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

	assert_int_equal(dt_pool_init(&need, &node0, 1), 0);
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

static void
each_node_has_one_pool_however_often_it_is_named(void **state)
{
	const int nodes[] = { 0, -1, 0, -1, -1 }; /* this machine may have one node only */
	uint32_t total, unused;

	assert_int_equal(dt_pool_init(&need, nodes, 5), 0);
	dt_pool_count(&total, &unused);

	assert_int_equal(total, 2 * dt_pool_least(&need));
	assert_ptr_not_equal(dt_pool_of(0), dt_pool_of(-1));
}

static void
a_node_without_a_pool_borrows_anothers(void **state)
{
	assert_int_equal(dt_pool_init(&need, &node0, 1), 0);

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
		POOL(each_node_has_one_pool_however_often_it_is_named),
		POOL(a_node_without_a_pool_borrows_anothers),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
