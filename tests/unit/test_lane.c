/* SPDX-License-Identifier: BSD-3-Clause */
/* A lane: as long as it says, first in first out, and it counts what it refuses under whoever is to blame. */
#include "testing.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "books.h"
#include "eal.h"
#include "lane.h"
#include "packet.h"
#include "pool.h"

#define IN  DT_AT_IN(DT_TEST_VM0)
#define OUT DT_AT_OUT(DT_TEST_VM1)
#define LEN 100 /* no power of two */

static struct dt_lane lane;
static struct dt_lane other; /* some tests make it; rings outlive the books that watch them */

static int
open_lane(void **state)
{
	dt_test_books_open(state);
	assert_int_equal(dt_lane_init(&lane, "lane", OUT, LEN, DT_CAUSE_GUEST_NOT_CONNECTED, 0, true), 0);
	dt_lane_open(&lane);
	return 0;
}

static int
close_lane(void **state)
{
	int result;

	dt_lane_drain(&lane, DT_CAUSE_SHUTTING_DOWN);
	result = dt_test_books_close(state);
	dt_lane_fini(&lane);
	dt_lane_fini(&other);
	return result;
}

static unsigned int
put(unsigned int n, uint16_t seq)
{
	struct rte_mbuf *pkts[2 * LEN];

	dt_test_bring(IN, pkts, n, 60, seq);
	return dt_lane_put(&lane, IN, pkts, n);
}

static void
a_lane_holds_exactly_what_it_was_made_for(void **state)
{
	assert_int_equal(put(LEN - 1, 0), LEN - 1);
	assert_int_equal(put(2, 0), 1);

	assert_int_equal(dt_lane_count(&lane), LEN);
	assert_int_equal(dt_ledger_held(OUT), LEN);
	assert_int_equal(dt_test_dropped_anywhere(), 1);
}

static void
packets_beyond_capacity_are_counted_as_full_ring(void **state)
{
	dt_lane_blame(&lane, DT_CAUSE_LANE_GUEST_NO_BUFFERS);

	assert_int_equal(put(LEN + 7, 0), LEN);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_GUEST_NO_BUFFERS), 7);
	assert_int_equal(dt_test_dropped_bytes(OUT, DT_CAUSE_LANE_GUEST_NO_BUFFERS), 7 * 60);
	assert_int_equal(dt_cause_reason(DT_CAUSE_LANE_GUEST_NO_BUFFERS), DT_REASON_FULL_RING);
}

static void
an_overflow_is_blamed_on_what_the_consumer_said_last(void **state)
{
	put(LEN, 0);

	dt_lane_blame(&lane, DT_CAUSE_LANE_QUEUE_PAUSED);
	put(1, 0);
	dt_lane_blame(&lane, DT_CAUSE_LANE_WORKER_BUSY);
	put(2, 0);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_QUEUE_PAUSED), 1);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_WORKER_BUSY), 2);
}

static void
a_new_lane_is_closed_for_the_cause_it_was_given(void **state)
{
	struct rte_mbuf *pkt;

	assert_int_equal(dt_lane_init(&other, "other", OUT, 8, DT_CAUSE_GUEST_NOT_READY, 0, false), 0);
	dt_test_bring(IN, &pkt, 1, 60, 0);

	assert_false(dt_lane_is_open(&other));
	assert_int_equal(dt_lane_put(&other, IN, &pkt, 1), 0);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_NOT_READY), 1);
}

static void
a_closed_lane_keeps_what_waits_and_refuses_what_comes(void **state)
{
	put(5, 0);

	dt_lane_close(&lane, DT_CAUSE_GUEST_QUEUE_STOPPED);
	put(3, 5);

	assert_int_equal(dt_lane_count(&lane), 5);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_STOPPED), 3);
}

static void
a_lane_that_opens_again_takes_packets_again(void **state)
{
	dt_lane_close(&lane, DT_CAUSE_GUEST_QUEUE_STOPPED);
	dt_lane_open(&lane);

	assert_true(dt_lane_is_open(&lane));
	assert_int_equal(put(3, 0), 3);
	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
what_was_peeked_at_and_not_finished_stays_in_order(void **state)
{
	struct rte_mbuf *pkts[DT_BURST];

	put(10, 0);

	assert_int_equal(dt_lane_peek(&lane, pkts, 6), 6);
	dt_lane_finish(&lane, 4);
	dt_delivered(OUT, pkts, 4);
	put(1, 10);

	assert_int_equal(dt_lane_peek(&lane, pkts, DT_BURST), 7);
	for (unsigned int i = 0; i < 7; i++)
		assert_true(dt_test_packet_is(pkts[i], 60, (uint16_t)(4 + i)));
	dt_lane_finish(&lane, 0);
	assert_int_equal(dt_lane_count(&lane), 7);
}

static void
order_holds_over_the_end_of_the_ring(void **state)
{
	struct rte_mbuf *pkts[DT_BURST];
	uint16_t next = 0;

	for (uint16_t seq = 0; seq < 500; seq = (uint16_t)(seq + 25)) {
		unsigned int n;

		put(25, seq);
		while ((n = dt_lane_peek(&lane, pkts, 7)) > 0) {
			for (unsigned int i = 0; i < n; i++)
				assert_true(dt_test_packet_is(pkts[i], 60, next++));
			dt_lane_finish(&lane, n);
			dt_delivered(OUT, pkts, n);
		}
	}

	assert_int_equal(next, 500);
	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
peeking_into_an_empty_lane_finds_nothing(void **state)
{
	struct rte_mbuf *pkts[DT_BURST];

	assert_int_equal(dt_lane_peek(&lane, pkts, DT_BURST), 0);
	assert_int_equal(dt_lane_count(&lane), 0);
}

static void
draining_drops_all_that_waits_for_one_cause(void **state)
{
	put(70, 0);

	assert_int_equal(dt_lane_drain(&lane, DT_CAUSE_SHUTTING_DOWN), 70);

	assert_int_equal(dt_lane_count(&lane), 0);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_SHUTTING_DOWN), 70);
	assert_int_equal(dt_test_dropped_bytes(OUT, DT_CAUSE_SHUTTING_DOWN), 70 * 60);
}

static void
packets_change_accounts_even_if_the_lane_drops_them(void **state)
{
	put(LEN + 20, 0);

	assert_int_equal(dt_test_account(IN).delivered.packets, LEN + 20);
	assert_int_equal(dt_test_account(OUT).received.packets, LEN + 20);
	assert_int_equal(dt_test_account(OUT).received.bytes, (LEN + 20) * 60);
}

/* Frames of 64 KiB. */
static unsigned int
put_large(unsigned int n)
{
	struct rte_mbuf *pkts[LEN];

	dt_test_bring(IN, pkts, n, DT_POOL_FRAME_MBUFS * DT_POOL_ROOM, 0);
	return dt_lane_put(&lane, IN, pkts, n);
}

/* The lane's first packets arrive. */
static void
take(unsigned int n)
{
	struct rte_mbuf *pkts[DT_BURST];

	assert_true(dt_lane_peek(&lane, pkts, DT_BURST) >= n);
	dt_delivered(OUT, pkts, n);
	dt_lane_finish(&lane, n);
}

static void
frames_of_many_mbufs_fill_their_room_and_leave_the_rest_to_others(void **state)
{
	assert_int_equal(put_large(31), 31);
	assert_int_equal(put_large(3), 1);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_LARGE_FULL), 2);
	assert_int_equal(dt_test_dropped_bytes(OUT, DT_CAUSE_LANE_LARGE_FULL), 2 * DT_POOL_FRAME_MBUFS * DT_POOL_ROOM);
	assert_int_equal(dt_cause_reason(DT_CAUSE_LANE_LARGE_FULL), DT_REASON_FULL_RING);
	assert_int_equal(put(LEN - 32, 0), LEN - 32);
}

static void
only_the_large_of_a_burst_are_refused(void **state)
{
	struct rte_mbuf *pkts[4];

	put_large(32);
	for (uint16_t i = 0; i < 4; i++)
		pkts[i] = dt_test_packet(i % 2 == 0 ? 60 : 3000, i);
	dt_received(IN, 4, dt_burst_bytes(pkts, 4));

	assert_int_equal(dt_lane_put(&lane, IN, pkts, 4), 2);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_LARGE_FULL), 2);
	take(32);
	assert_int_equal(dt_lane_peek(&lane, pkts, 4), 2);
	assert_true(dt_test_packet_is(pkts[0], 60, 0));
	assert_true(dt_test_packet_is(pkts[1], 60, 2));
	dt_lane_finish(&lane, 0);
}

static void
large_frames_that_have_left_make_room(void **state)
{
	put_large(32);

	take(0);
	assert_int_equal(put_large(1), 0);
	take(5);
	assert_int_equal(put_large(6), 5);
	dt_lane_drain(&lane, DT_CAUSE_SHUTTING_DOWN);
	assert_int_equal(put_large(32), 32);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_LARGE_FULL), 2);
}

static void
large_frames_that_overflow_take_no_room(void **state)
{
	put(LEN - 1, 0);

	assert_int_equal(put_large(10), 1);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_NOT_CONNECTED), 9); /* as the consumer blames */
	dt_lane_drain(&lane, DT_CAUSE_SHUTTING_DOWN);
	assert_int_equal(put_large(32), 32);
}

static void
a_large_clone_counts_for_what_it_pins(void **state)
{
	struct rte_mbuf *pkt, *clone;

	put_large(31);
	dt_test_bring(IN, &pkt, 1, 20 * DT_POOL_ROOM, 0);
	clone = rte_pktmbuf_clone(pkt, dt_pool_of(0));
	assert_non_null(clone);
	dt_received(IN, 1, clone->pkt_len);

	assert_int_equal(dt_lane_put(&lane, IN, &clone, 1), 0); /* twenty mbufs, and twenty that it points into */
	assert_int_equal(dt_lane_put(&lane, IN, &pkt, 1), 1);
}

static void
segments_are_queued_within_their_account(void **state)
{
	struct rte_mbuf *pkts[3];

	dt_test_bring(OUT, pkts, 3, 60, 0);

	assert_int_equal(dt_lane_queue(&lane, pkts, 3), 3);

	assert_int_equal(dt_test_account(IN).delivered.packets, 0);
	assert_int_equal(dt_test_account(OUT).received.packets, 3);
	dt_lane_close(&lane, DT_CAUSE_GUEST_QUEUE_STOPPED);
	dt_test_bring(OUT, pkts, 1, 60, 0);
	assert_int_equal(dt_lane_queue(&lane, pkts, 1), 0);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_STOPPED), 1);
	/* What was handed on is what was received, for the audit. */
	dt_received(IN, 4, 240);
	dt_handed_on(IN, 4, 240);
}

/* @return whether it was struck since the last look */
static bool
was_struck(const struct dt_bell *bell)
{
	eventfd_t n;

	return eventfd_read(bell->fd, &n) == 0;
}

static void
what_is_queued_wakes_a_consumer_that_sleeps(void **state)
{
	struct dt_bell bell;

	assert_int_equal(dt_bell_init(&bell), 0);
	dt_lane_set_bell(&lane, &bell);
	put(1, 0);
	assert_false(was_struck(&bell)); /* it is awake */
	for (uint16_t i = 1; i < 4; i++) {
		dt_bell_want(&bell);
		put(1, i);
		assert_true(was_struck(&bell));
		put(1, i);
		assert_false(was_struck(&bell)); /* once is enough */
	}
	dt_bell_fini(&bell);
}

static void
what_is_refused_wakes_nobody(void **state)
{
	struct dt_bell bell;

	assert_int_equal(dt_bell_init(&bell), 0);
	dt_lane_set_bell(&lane, &bell);
	put(LEN, 0);
	dt_bell_want(&bell);
	put(1, 0);
	dt_lane_close(&lane, DT_CAUSE_GUEST_QUEUE_STOPPED);
	put(1, 0);

	assert_false(was_struck(&bell));
	assert_true(dt_bell_is_wanted(&bell));
	dt_bell_fini(&bell);
}

static void
a_lane_with_a_name_that_is_taken_is_refused(void **state)
{
	assert_int_equal(dt_lane_init(&other, "lane", OUT, 8, DT_CAUSE_SHUTTING_DOWN, 0, true), -EEXIST);
}

int
main(void)
{
#define LANE(test) cmocka_unit_test_setup_teardown(test, open_lane, close_lane)
	const struct CMUnitTest tests[] = {
		LANE(a_lane_holds_exactly_what_it_was_made_for),
		LANE(packets_beyond_capacity_are_counted_as_full_ring),
		LANE(an_overflow_is_blamed_on_what_the_consumer_said_last),
		LANE(a_closed_lane_keeps_what_waits_and_refuses_what_comes),
		LANE(a_lane_that_opens_again_takes_packets_again),
		LANE(what_was_peeked_at_and_not_finished_stays_in_order),
		LANE(order_holds_over_the_end_of_the_ring),
		LANE(peeking_into_an_empty_lane_finds_nothing),
		LANE(draining_drops_all_that_waits_for_one_cause),
		LANE(packets_change_accounts_even_if_the_lane_drops_them),
		LANE(frames_of_many_mbufs_fill_their_room_and_leave_the_rest_to_others),
		LANE(only_the_large_of_a_burst_are_refused),
		LANE(large_frames_that_have_left_make_room),
		LANE(large_frames_that_overflow_take_no_room),
		LANE(a_large_clone_counts_for_what_it_pins),
		LANE(segments_are_queued_within_their_account),
		LANE(a_lane_with_a_name_that_is_taken_is_refused),
		LANE(what_is_queued_wakes_a_consumer_that_sleeps),
		LANE(what_is_refused_wakes_nobody),
		LANE(a_new_lane_is_closed_for_the_cause_it_was_given),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
