/* SPDX-License-Identifier: BSD-3-Clause */
/* Into a guest when it breaks the rules, loses its memory, or has its queue paused, stopped and started again. */
#include "testing.h"

#include "eal.h"
#include "packet.h"
#include "receiver.h"
#include "vnet.h"

#define OUT     DT_TEST_RECEIVER_OUT
#define NO_HEAD receiver->ring.size /* the first that is none, of a split ring */
#define put     dt_test_receiver_put
#define post    dt_test_receiver_post
#define expect  dt_test_receiver_expect
#define deliver dt_pair_to_guest

static struct dt_test_receiver *const receiver = &dt_test_receiver;

static void
broken_buffers_cost_a_packet_each_and_the_queue_goes_on(void **state)
{
	struct dt_test_ring *ring = &receiver->ring;
	uint64_t gpa = dt_test_take(&receiver->memory, 0, 4096);
	const struct dt_test_part mixed[] = { { gpa, 100 }, { gpa + 100, 100 } };
	uint16_t bad[3] = {
		dt_test_desc(ring, gpa, 1526, 0, 0),
		dt_test_desc(ring, 0, 1526, VRING_DESC_F_WRITE, 0),
		dt_test_chain(ring, mixed, 2, true),
	};

	ring->desc[bad[2] + 1].flags = 0;
	for (unsigned int i = 0; i < 3; i++) {
		post(1, 1526);
		dt_test_offer(ring, bad[i]);
	}
	put(6, 60, 0);

	assert_int_equal(deliver(&receiver->pair), 6);

	for (uint16_t i = 0; i < 3; i++) {
		expect(60, (uint16_t)(2 * i), 1);
		assert_int_equal(dt_test_receiver_expect_empty(), bad[i]);
	}
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_CHAIN_DIRECTION), 2);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_ADDR_OUTSIDE_MEMORY), 1);
	assert_false(dt_vq_broken(receiver->vq));
}

static void
split_buffers_that_lead_astray_cost_a_packet_each_too(void **state)
{
	struct dt_test_ring *ring = &receiver->ring;
	uint64_t gpa = dt_test_take(&receiver->memory, 0, 4096);
	const uint16_t flags = VRING_DESC_F_WRITE | VRING_DESC_F_NEXT;
	uint16_t bad[2] = {
		dt_test_desc(ring, gpa, 1526, flags, 0),
		dt_test_desc(ring, gpa, 1526, flags, ring->size),
	};

	for (unsigned int i = 0; i < 2; i++) {
		post(1, 1526);
		dt_test_offer(ring, bad[i]);
	}
	put(4, 60, 0);

	assert_int_equal(deliver(&receiver->pair), 4);

	for (uint16_t i = 0; i < 2; i++) {
		expect(60, (uint16_t)(2 * i), 1);
		assert_int_equal(dt_test_receiver_expect_empty(), bad[i]);
	}
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_CHAIN_LOOP), 1);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_CHAIN_BAD_INDEX), 1);
	assert_false(dt_vq_broken(receiver->vq));
}

static void
a_merged_packet_with_one_broken_buffer_gives_all_back_empty(void **state)
{
	uint64_t gpa = dt_test_take(&receiver->memory, 0, 2048);

	post(2, 1526);
	dt_test_offer(&receiver->ring, dt_test_desc(&receiver->ring, gpa, 1526, 0, 0));
	post(2, 1526);
	put(1, 5000, 0);
	put(1, 60, 1);

	assert_int_equal(deliver(&receiver->pair), 2);

	for (unsigned int i = 0; i < 3; i++)
		dt_test_receiver_expect_empty();
	expect(60, 1, 1);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_CHAIN_DIRECTION), 1);
	assert_int_equal(dt_test_dropped_bytes(OUT, DT_CAUSE_CHAIN_DIRECTION), 5000);
}

static void
a_bad_head_costs_a_packet_and_its_slot_is_skipped(void **state)
{
	post(1, 1526);
	dt_test_offer(&receiver->ring, NO_HEAD);
	post(1, 1526);
	put(3, 60, 0);

	assert_int_equal(deliver(&receiver->pair), 3);

	expect(60, 0, 1);
	expect(60, 2, 1);
	assert_int_equal(receiver->ring.used->idx, 2);
	assert_int_equal(receiver->vq->last_avail, 3);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_HEAD_BAD_INDEX), 1);
	assert_false(dt_vq_broken(receiver->vq));
}

static void
too_many_bad_heads_break_the_queue_and_nobody_waits_for_it(void **state)
{
	for (unsigned int i = 0; i < 2 * DT_VQ_BAD_HEADS_MAX; i++)
		dt_test_offer(&receiver->ring, NO_HEAD);
	put(40, 60, 0);

	deliver(&receiver->pair);
	assert_int_equal(receiver->vq->fault, DT_VQ_BAD_HEADS);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_HEAD_BAD_INDEX), DT_VQ_BAD_HEADS_MAX);

	deliver(&receiver->pair);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_BROKEN), 40 - DT_VQ_BAD_HEADS_MAX);
	put(1, 60, 0);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_BROKEN), 41 - DT_VQ_BAD_HEADS_MAX);
	assert_int_equal(deliver(&receiver->pair), 0);
}

static void
an_index_too_far_ahead_breaks_the_queue(void **state)
{
	receiver->ring.avail->idx = receiver->ring.size + 1;
	put(2, 60, 0);

	assert_int_equal(deliver(&receiver->pair), 0);
	assert_int_equal(receiver->vq->fault, DT_VQ_AVAIL_TOO_FAR);
	assert_int_equal(deliver(&receiver->pair), 2);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_BROKEN), 2);
}

/* A buffer in the second region, away from the ring. */
static void
post_in_second_region(uint32_t len)
{
	const struct dt_test_part part = { dt_test_take(&receiver->memory, 1, len), len };

	dt_test_offer(&receiver->ring, dt_test_chain(&receiver->ring, &part, 1, true));
}

static void
packets_for_memory_that_vanished_are_dropped_and_the_queue_breaks(void **state)
{
	assert_int_equal(dt_gmem_catch_faults(), 0);
	for (unsigned int i = 0; i < 3; i++)
		post_in_second_region(1526);
	put(3, 60, 0);
	dt_test_vanish(&receiver->memory, 1);

	assert_int_equal(deliver(&receiver->pair), 3);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_MEMORY_VANISHED), 3);
	assert_int_equal(receiver->vq->fault, DT_VQ_VANISHED);
	assert_int_equal(dt_test_account(OUT).delivered.packets, 0);
}

static void
a_large_packet_for_memory_that_vanished_is_dropped_too(void **state)
{
	assert_int_equal(dt_gmem_catch_faults(), 0);
	for (unsigned int i = 0; i < 4; i++)
		post_in_second_region(1526);
	put(1, 5000, 0);
	put(1, 60, 1);
	dt_test_vanish(&receiver->memory, 1);

	deliver(&receiver->pair);
	deliver(&receiver->pair);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_MEMORY_VANISHED), 1);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_BROKEN), 1);
}

/* ---- what control does to a pair; the worker does not run, so its mail runs here ---- */

static int
open_with_worker(void **state)
{
	dt_test_receiver_open(state);
	return dt_workers_init(DT_IDLE_POLL);
}

static int
close_with_worker(void **state)
{
	dt_workers_fini();
	return dt_test_receiver_close(state);
}

static bool
stop(enum dt_stop how, struct dt_vq *ret_vq)
{
	return dt_pair_stop(
		&receiver->pair, dt_worker_at(0), DT_RING_TO_GUEST, how, DT_CAUSE_GUEST_QUEUE_STOPPED, ret_vq);
}

static void
start(const struct dt_vq *vq)
{
	dt_pair_start(&receiver->pair, dt_worker_at(0), DT_RING_TO_GUEST, vq);
}

static void
a_paused_queue_keeps_its_lane_and_blames_the_pause(void **state)
{
	struct dt_vq vq = *receiver->vq;

	start(&vq);
	post(10, 1526);
	put(3, 60, 0);
	assert_true(stop(DT_STOP_PAUSE, &vq));
	put(DT_TEST_RECEIVER_LANE, 60, 3);

	assert_int_equal(dt_pair_poll(&receiver->pair), 0);
	assert_int_equal(dt_lane_count(&receiver->pair.lane), DT_TEST_RECEIVER_LANE);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_QUEUE_PAUSED), 3);
	start(&vq);
	assert_int_equal(dt_pair_poll(&receiver->pair), 10);
	for (uint16_t i = 0; i < 10; i++)
		expect(60, i, 1);
	dt_lane_drain(&receiver->pair.lane, DT_CAUSE_SHUTTING_DOWN);
}

static void
a_stopped_queue_drops_what_waits_and_what_comes(void **state)
{
	struct dt_vq vq = *receiver->vq;

	start(&vq);
	put(3, 60, 0);
	assert_true(stop(DT_STOP_CLOSE, &vq));
	put(2, 60, 3);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_STOPPED), 5);
	assert_false(stop(DT_STOP_CLOSE, &vq)); /* it does not run any more */
	dt_pair_close(&receiver->pair, dt_worker_at(0), DT_CAUSE_GUEST_NOT_CONNECTED);
	put(1, 60, 5);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_NOT_CONNECTED), 1);
}

static void
a_packet_that_came_while_the_lane_closed_does_not_stay_in_it(void **state)
{
	struct dt_vq vq = *receiver->vq;

	start(&vq);
	stop(DT_STOP_CLOSE, &vq);
	dt_lane_open(&receiver->pair.lane); /* as a sender saw it that looked just before */
	put(1, 60, 0);
	dt_lane_close(&receiver->pair.lane, DT_CAUSE_GUEST_QUEUE_STOPPED);

	assert_int_equal(dt_pair_poll(&receiver->pair), 1);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_STOPPED), 1);
}

static void
a_stopped_queue_tells_where_it_stood(void **state)
{
	struct dt_vq vq = *receiver->vq;

	start(&vq);
	post(5, 1526);
	put(2, 60, 0);
	dt_pair_poll(&receiver->pair);
	stop(DT_STOP_PAUSE, &vq);

	assert_int_equal(dt_vq_base(&vq), vq.packed ? 0x8002 : 2);
	assert_int_equal(dt_vq_used_base(&vq), dt_vq_base(&vq));
}

static void
a_visit_empties_a_full_lane(void **state)
{
	struct dt_vq vq = *receiver->vq;

	start(&vq);
	post(DT_TEST_RECEIVER_LANE, 200);
	put(DT_TEST_RECEIVER_LANE, 60, 0);

	assert_int_equal(dt_pair_poll(&receiver->pair), DT_TEST_RECEIVER_LANE);

	for (uint16_t i = 0; i < DT_TEST_RECEIVER_LANE; i++)
		expect(60, i, 1);
}

int
main(void)
{
#define PAIR(test)   DT_TEST_EACH_LAYOUT(test, dt_test_receiver_open, dt_test_receiver_close)
#define SPLIT(test)  DT_TEST_OF(test, dt_test_receiver_open, dt_test_receiver_close, SPLIT)
#define WORKER(test) DT_TEST_EACH_LAYOUT(test, open_with_worker, close_with_worker)
	const struct CMUnitTest tests[] = {
		PAIR(broken_buffers_cost_a_packet_each_and_the_queue_goes_on),
		SPLIT(split_buffers_that_lead_astray_cost_a_packet_each_too),
		PAIR(a_merged_packet_with_one_broken_buffer_gives_all_back_empty),
		SPLIT(a_bad_head_costs_a_packet_and_its_slot_is_skipped),
		SPLIT(too_many_bad_heads_break_the_queue_and_nobody_waits_for_it),
		SPLIT(an_index_too_far_ahead_breaks_the_queue),
		PAIR(packets_for_memory_that_vanished_are_dropped_and_the_queue_breaks),
		PAIR(a_large_packet_for_memory_that_vanished_is_dropped_too),
		WORKER(a_paused_queue_keeps_its_lane_and_blames_the_pause),
		WORKER(a_stopped_queue_drops_what_waits_and_what_comes),
		WORKER(a_packet_that_came_while_the_lane_closed_does_not_stay_in_it),
		WORKER(a_stopped_queue_tells_where_it_stood),
		WORKER(a_visit_empties_a_full_lane),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
