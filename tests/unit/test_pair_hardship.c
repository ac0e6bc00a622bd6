/* SPDX-License-Identifier: BSD-3-Clause */
/* Out of a guest when something is short or breaks: mbufs, the ring itself, the memory; and the pace of bursts. */
#include "testing.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "eal.h"
#include "packet.h"
#include "pool.h"
#include "sender.h"
#include "vnet.h"

#define HDR         DT_VNET_HDR_MRG
#define IN          DT_TEST_SENDER_IN
#define NO_HEAD     sender->ring.size /* the first that is none, of a split ring */
#define expect      dt_test_sender_expect
#define expect_back dt_test_sender_expect_back

static struct dt_test_sender *const sender = &dt_test_sender;

static void
send_many(unsigned int n, uint16_t seq)
{
	for (unsigned int i = 0; i < n; i++)
		dt_test_sender_send(60, (uint16_t)(seq + i));
}

static void
a_visit_takes_one_burst(void **state)
{
	send_many(DT_BURST + 8, 0);

	assert_int_equal(dt_pair_from_guest(&sender->pair), DT_BURST);
	assert_int_equal(dt_test_count_used(&sender->ring), DT_BURST);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 8);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 0);

	for (uint16_t i = 0; i < DT_BURST + 8; i++)
		expect(60, i);
	expect_back(DT_BURST + 8);
}

static void
long_chains_are_taken_in_several_visits(void **state)
{
	struct vring_desc descs[DT_TEST_RING_MAX];
	uint16_t size = sender->ring.size;
	uint64_t gpa = dt_test_sender_write(0, 60, 0);
	uint64_t table = dt_test_take(&sender->memory, 0, size * sizeof(descs[0]));
	unsigned int taken = 0, n;

	/* A frame in crumbs of a byte, and nothing in the many that follow. */
	for (uint16_t i = 0; i < size; i++)
		descs[i] = (struct vring_desc){ gpa + RTE_MIN(i, HDR + 59), i < HDR + 60, VRING_DESC_F_NEXT,
			(uint16_t)(i + 1) };
	descs[size - 1].flags = 0;
	for (unsigned int i = 0; i < DT_BURST; i++)
		dt_test_offer(&sender->ring, dt_test_indirect(&sender->ring, table, descs, size));

	while ((n = dt_pair_from_guest(&sender->pair)) > 0) {
		assert_in_range(n, 1, DT_BURST / 2); /* a visit has to end, however long the chains are */
		taken += n;
	}

	assert_int_equal(taken, DT_BURST);
	for (unsigned int i = 0; i < DT_BURST; i++)
		expect(60, 0);
	expect_back(DT_BURST);
}

static void
bad_heads_behind_long_chains_are_counted_once(void **state)
{
	struct vring_desc descs[DT_TEST_RING_MAX];
	uint16_t size = sender->ring.size;
	uint64_t gpa = dt_test_sender_write(0, 60, 0);
	uint64_t table = dt_test_take(&sender->memory, 0, size * sizeof(descs[0]));
	uint16_t head;

	for (uint16_t i = 0; i < size; i++)
		descs[i] = (struct vring_desc){ gpa + RTE_MIN(i, HDR + 59), i < HDR + 60, VRING_DESC_F_NEXT,
			(uint16_t)(i + 1) };
	descs[size - 1].flags = 0;
	head = dt_test_indirect(&sender->ring, table, descs, size);
	for (unsigned int i = 0; i < 8; i++)
		dt_test_offer(&sender->ring, head);
	for (unsigned int i = 0; i < DT_VQ_BAD_HEADS_MAX - 4; i++)
		dt_test_offer(&sender->ring, NO_HEAD);

	while (dt_pair_from_guest(&sender->pair) > 0)
		;

	assert_false(dt_vq_broken(sender->vq));
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_HEAD_BAD_INDEX), DT_VQ_BAD_HEADS_MAX - 4);
	for (unsigned int i = 0; i < 8; i++)
		expect(60, 0);
}

static void
a_burst_interrupts_the_guest_once(void **state)
{
	eventfd_t n = 0;

	sender->vq->callfd = eventfd(0, EFD_NONBLOCK);
	send_many(10, 0);
	dt_pair_from_guest(&sender->pair);

	assert_int_equal(eventfd_read(sender->vq->callfd, &n), 0);
	assert_int_equal(n, 1);
	for (uint16_t i = 0; i < 10; i++)
		expect(60, i);
	close(sender->vq->callfd);
}

static void
frames_go_on_over_the_wrap_of_the_ring(void **state)
{
	uint16_t head = dt_test_desc(&sender->ring, dt_test_sender_write(0, 60, 5), HDR + 60, 0, 0);

	for (unsigned int i = 0; i < 70000; i++) {
		struct vring_used_elem elem;

		dt_test_offer(&sender->ring, head);
		assert_int_equal(dt_pair_from_guest(&sender->pair), 1);
		assert_true(dt_test_used(&sender->ring, &elem));
		assert_int_equal(elem.id, head);
		expect(60, 5);
	}
}

static void
without_mbufs_frames_wait_in_the_guest(void **state)
{
	static struct rte_mbuf *all[16384];
	struct rte_mempool *pool = dt_pool_of(0);
	unsigned int n = rte_mempool_avail_count(pool);

	assert_in_range(n, 1, 16384);
	send_many(3, 0);
	assert_int_equal(rte_mempool_get_bulk(pool, (void **)all, n - 2), 0);

	/* Two are left, and the burst would be three: it is all or nothing, but nothing is lost. */
	assert_int_equal(dt_pair_from_guest(&sender->pair), 0);
	assert_int_equal(dt_test_count_used(&sender->ring), 0);
	assert_int_equal(dt_test_dropped_anywhere(), 0);

	rte_mempool_put_bulk(pool, (void **)all, n - 2);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 3);
	for (uint16_t i = 0; i < 3; i++)
		expect(60, i);
	expect_back(3);
}

static void
large_frames_that_find_no_mbufs_are_dropped_as_proto_mem(void **state)
{
	static struct rte_mbuf *all[16384];
	struct rte_mempool *pool = dt_pool_of(0);
	unsigned int n = rte_mempool_avail_count(pool) - 4; /* the first mbuf of each, and one of two more */

	assert_int_equal(rte_mempool_get_bulk(pool, (void **)all, n), 0);
	dt_test_sender_send(60, 0);
	dt_test_sender_send(5000, 1);
	dt_test_sender_send(2048, 2);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 3);

	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_LARGE_NO_MBUF), 1);
	assert_int_equal(dt_test_dropped_bytes(IN, DT_CAUSE_LARGE_NO_MBUF), 5000);
	assert_int_equal(dt_cause_reason(DT_CAUSE_LARGE_NO_MBUF), DT_REASON_PROTO_MEM);
	expect(60, 0);
	expect(2048, 2);
	expect_back(3);
	rte_mempool_put_bulk(pool, (void **)all, n);
	dt_test_sender_send(5000, 3);
	dt_pair_from_guest(&sender->pair);
	expect(5000, 3);
}

static void
a_bad_head_is_counted_and_its_slot_skipped(void **state)
{
	send_many(1, 0);
	dt_test_offer(&sender->ring, NO_HEAD);
	dt_test_offer(&sender->ring, 65535);
	send_many(1, 1);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 4);

	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_HEAD_BAD_INDEX), 2);
	assert_int_equal(sender->ring.used->idx, 2); /* there was nothing to give back */
	assert_int_equal(sender->vq->last_avail, 4);
	assert_false(dt_vq_broken(sender->vq));
	expect(60, 0);
	expect(60, 1);
}

static void
a_good_head_ends_a_row_of_bad_ones(void **state)
{
	for (unsigned int i = 0; i < 5; i++) {
		for (unsigned int k = 0; k < DT_VQ_BAD_HEADS_MAX - 1; k++)
			dt_test_offer(&sender->ring, NO_HEAD);
		send_many(1, (uint16_t)i);
	}

	while (dt_pair_from_guest(&sender->pair) > 0)
		;

	assert_false(dt_vq_broken(sender->vq));
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_HEAD_BAD_INDEX), 5 * (DT_VQ_BAD_HEADS_MAX - 1));
	for (uint16_t i = 0; i < 5; i++)
		expect(60, i);
}

static void
too_many_bad_heads_in_a_row_break_the_queue_but_not_what_came_before(void **state)
{
	send_many(2, 0);
	for (unsigned int i = 0; i < DT_VQ_BAD_HEADS_MAX; i++)
		dt_test_offer(&sender->ring, NO_HEAD);
	send_many(2, 2);

	dt_pair_from_guest(&sender->pair);

	assert_true(dt_vq_broken(sender->vq));
	assert_int_equal(sender->vq->fault, DT_VQ_BAD_HEADS);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_HEAD_BAD_INDEX), DT_VQ_BAD_HEADS_MAX);
	expect(60, 0);
	expect(60, 1);
	assert_int_equal(dt_lane_count(&sender->lane), 0);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 0);
	expect_back(2);
}

static void
an_index_too_far_ahead_breaks_the_queue(void **state)
{
	send_many(1, 0);
	sender->ring.avail->idx = sender->ring.size + 1;

	assert_int_equal(dt_pair_from_guest(&sender->pair), 0);

	assert_int_equal(sender->vq->fault, DT_VQ_AVAIL_TOO_FAR);
	assert_int_equal(dt_test_account(IN).received.packets, 0);
}

/* Frames whose bytes lie in the second region, away from the ring. */
static void
send_from_second_region(uint32_t len, uint16_t seq)
{
	uint64_t gpa = dt_test_sender_write(1, len, seq);

	dt_test_offer(&sender->ring, dt_test_desc(&sender->ring, gpa, HDR + len, 0, 0));
}

static void
frames_in_memory_that_vanished_are_dropped_and_the_queue_breaks(void **state)
{
	assert_int_equal(dt_gmem_catch_faults(), 0);
	send_from_second_region(60, 0);
	send_from_second_region(1514, 1);
	send_from_second_region(6000, 2);
	dt_test_vanish(&sender->memory, 1);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 3);

	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_MEMORY_VANISHED), 3);
	assert_int_equal(dt_test_dropped_bytes(IN, DT_CAUSE_MEMORY_VANISHED), 60 + 1514 + 6000);
	assert_int_equal(sender->vq->fault, DT_VQ_VANISHED);
	assert_int_equal(dt_lane_count(&sender->lane), 0);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 0);
}

static void
a_ring_that_vanished_breaks_without_a_frame(void **state)
{
	assert_int_equal(dt_gmem_catch_faults(), 0);
	sender->pair.on[DT_RING_FROM_GUEST] = true;
	dt_test_vanish(&sender->memory, 0);

	dt_pair_poll(&sender->pair); /* reads the available index: zeros now */
	assert_int_equal(dt_pair_poll(&sender->pair), 0);

	assert_int_equal(sender->vq->fault, DT_VQ_VANISHED);
}

int
main(void)
{
#define PAIR(test)  DT_TEST_EACH_LAYOUT(test, dt_test_sender_open, dt_test_sender_close)
#define SPLIT(test) DT_TEST_OF(test, dt_test_sender_open, dt_test_sender_close, SPLIT)
	const struct CMUnitTest tests[] = {
		PAIR(a_visit_takes_one_burst),
		PAIR(long_chains_are_taken_in_several_visits),
		SPLIT(bad_heads_behind_long_chains_are_counted_once),
		PAIR(a_burst_interrupts_the_guest_once),
		PAIR(frames_go_on_over_the_wrap_of_the_ring),
		PAIR(without_mbufs_frames_wait_in_the_guest),
		PAIR(large_frames_that_find_no_mbufs_are_dropped_as_proto_mem),
		SPLIT(a_bad_head_is_counted_and_its_slot_skipped),
		SPLIT(a_good_head_ends_a_row_of_bad_ones),
		SPLIT(too_many_bad_heads_in_a_row_break_the_queue_but_not_what_came_before),
		SPLIT(an_index_too_far_ahead_breaks_the_queue),
		PAIR(frames_in_memory_that_vanished_are_dropped_and_the_queue_breaks),
		PAIR(a_ring_that_vanished_breaks_without_a_frame),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
