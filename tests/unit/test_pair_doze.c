/* SPDX-License-Identifier: BSD-3-Clause */
/* What a pair waits for when its worker wants to sleep: kicks are asked for what is not there, and what is, is told. */
#include "testing.h"

#include <linux/vhost_types.h>

#include "eal.h"
#include "packet.h"
#include "receiver.h"
#include "sender.h"

static struct dt_test_sender *const sender = &dt_test_sender;
static struct dt_test_receiver *const receiver = &dt_test_receiver;

/* Whether a driver would kick for what it offers next. */
static bool
kicks(const struct dt_test_ring *ring)
{
	if (ring->packed != NULL)
		return ring->device_event->flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	return (ring->used->flags & VRING_USED_F_NO_NOTIFY) == 0;
}

static int
open_sender(void **state)
{
	dt_test_sender_open(state);
	sender->pair.on[DT_RING_FROM_GUEST] = true;
	sender->pair.kicks[DT_RING_FROM_GUEST] = true;
	return 0;
}

static int
open_receiver(void **state)
{
	dt_test_receiver_open(state);
	receiver->pair.on[DT_RING_TO_GUEST] = true;
	receiver->pair.kicks[DT_RING_TO_GUEST] = true;
	return 0;
}

static void
an_empty_ring_is_kicked_for_until_the_worker_is_awake(void **state)
{
	assert_false(kicks(&sender->ring));
	assert_int_equal(dt_pair_doze(&sender->pair), DT_DOZE_WOKEN);
	assert_true(kicks(&sender->ring));

	dt_pair_rouse(&sender->pair);

	assert_false(kicks(&sender->ring));
}

static void
a_frame_in_the_ring_keeps_it_awake(void **state)
{
	dt_test_sender_send(60, 0);

	assert_int_equal(dt_pair_doze(&sender->pair), DT_DOZE_NOT);
	dt_pair_rouse(&sender->pair);
	assert_int_equal(dt_pair_poll(&sender->pair), 1);
	assert_int_equal(dt_pair_doze(&sender->pair), DT_DOZE_WOKEN);
	dt_pair_rouse(&sender->pair);

	dt_test_sender_expect(60, 0);
}

static void
a_ring_without_kicks_is_looked_at_by_the_clock(void **state)
{
	sender->pair.kicks[DT_RING_FROM_GUEST] = false;

	assert_int_equal(dt_pair_doze(&sender->pair), DT_DOZE_TIMED);
	assert_false(kicks(&sender->ring));
	dt_pair_rouse(&sender->pair);
}

static void
a_ring_that_is_off_is_left_alone(void **state)
{
	sender->pair.on[DT_RING_FROM_GUEST] = false;
	dt_test_sender_send(60, 0);

	assert_int_equal(dt_pair_doze(&sender->pair), DT_DOZE_WOKEN);
	assert_false(kicks(&sender->ring));
	dt_pair_rouse(&sender->pair);
}

static void
a_broken_ring_is_waited_for_no_more(void **state)
{
	dt_vq_break(sender->vq, DT_VQ_BAD_HEADS);

	assert_int_equal(dt_pair_doze(&sender->pair), DT_DOZE_WOKEN);
	assert_false(kicks(&sender->ring));
	dt_pair_rouse(&sender->pair);
}

static void
memory_that_vanishes_is_seen_before_it_sleeps(void **state)
{
	assert_int_equal(dt_gmem_catch_faults(), 0); /* cmocka has a handler of its own by now */
	dt_test_vanish(&sender->memory, 0);

	assert_int_equal(dt_pair_doze(&sender->pair), DT_DOZE_NOT);
	dt_pair_rouse(&sender->pair);
	assert_int_equal(dt_pair_poll(&sender->pair), 0);
	assert_true(dt_vq_broken(sender->vq));
	assert_int_equal(dt_pair_doze(&sender->pair), DT_DOZE_WOKEN);
	dt_pair_rouse(&sender->pair);
}

static void
an_empty_lane_needs_no_kicks(void **state)
{
	dt_test_receiver_post(1, 2048);

	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_WOKEN);
	assert_false(kicks(&receiver->ring));
	dt_pair_rouse(&receiver->pair);
}

static void
a_packet_and_a_buffer_keep_it_awake(void **state)
{
	dt_test_receiver_post(1, 2048);
	dt_test_receiver_put(1, 60, 0);

	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_NOT);
	dt_pair_rouse(&receiver->pair);
	assert_int_equal(dt_pair_poll(&receiver->pair), 1);

	dt_test_receiver_expect(60, 0, 1);
}

static void
a_packet_without_a_buffer_is_kicked_for(void **state)
{
	dt_test_receiver_put(1, 60, 0);

	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_WOKEN);
	assert_true(kicks(&receiver->ring));
	dt_pair_rouse(&receiver->pair);
	assert_false(kicks(&receiver->ring));

	dt_test_receiver_post(1, 2048);
	assert_int_equal(dt_pair_poll(&receiver->pair), 1);
	dt_test_receiver_expect(60, 0, 1);
}

static void
a_packet_that_needs_more_buffers_than_there_are_lets_it_sleep(void **state)
{
	dt_test_receiver_put(1, 3000, 0);
	dt_test_receiver_post(1, 2048);
	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_NOT); /* nobody has tried yet */
	dt_pair_rouse(&receiver->pair);
	assert_int_equal(dt_pair_poll(&receiver->pair), 0);

	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_WOKEN);
	assert_true(kicks(&receiver->ring));
	dt_test_receiver_post(1, 2048);
	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_NOT);
	dt_pair_rouse(&receiver->pair);

	assert_int_equal(dt_pair_poll(&receiver->pair), 1);
	dt_test_receiver_expect(3000, 0, 2);
}

static void
a_paused_ring_waits_for_control_and_a_closed_lane_is_drained(void **state)
{
	struct dt_lane *lane = &receiver->pair.lane;

	dt_test_receiver_put(1, 60, 0);
	receiver->pair.on[DT_RING_TO_GUEST] = false;

	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_WOKEN);
	assert_false(kicks(&receiver->ring));
	dt_pair_rouse(&receiver->pair);

	dt_lane_close(lane, DT_CAUSE_GUEST_QUEUE_STOPPED); /* a sender had looked before that */
	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_NOT);
	dt_pair_rouse(&receiver->pair);
	assert_int_equal(dt_pair_poll(&receiver->pair), 1);
	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_WOKEN);
	assert_int_equal(dt_test_dropped(DT_TEST_RECEIVER_OUT, DT_CAUSE_GUEST_QUEUE_STOPPED), 1);
}

static void
what_waits_for_a_broken_ring_is_drained_before_it_sleeps(void **state)
{
	dt_test_receiver_put(2, 60, 0);
	dt_vq_break(receiver->vq, DT_VQ_BAD_HEADS);

	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_NOT);
	dt_pair_rouse(&receiver->pair);
	assert_int_equal(dt_pair_poll(&receiver->pair), 2);

	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_WOKEN);
	assert_int_equal(dt_test_dropped(DT_TEST_RECEIVER_OUT, DT_CAUSE_GUEST_QUEUE_BROKEN), 2);
}

static void
it_stays_awake_until_a_turn_is_over(void **state)
{
	receiver->pair.turn.on = true;

	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_NOT);
	dt_pair_rouse(&receiver->pair);
	receiver->pair.turn.on = false;
	assert_int_equal(dt_pair_doze(&receiver->pair), DT_DOZE_WOKEN);
}

int
main(void)
{
#define SENDS(test)    DT_TEST_EACH_LAYOUT(test, open_sender, dt_test_sender_close)
#define RECEIVES(test) DT_TEST_EACH_LAYOUT(test, open_receiver, dt_test_receiver_close)
	const struct CMUnitTest tests[] = {
		SENDS(an_empty_ring_is_kicked_for_until_the_worker_is_awake),
		SENDS(a_frame_in_the_ring_keeps_it_awake),
		SENDS(a_ring_without_kicks_is_looked_at_by_the_clock),
		SENDS(a_ring_that_is_off_is_left_alone),
		SENDS(a_broken_ring_is_waited_for_no_more),
		SENDS(memory_that_vanishes_is_seen_before_it_sleeps),
		RECEIVES(an_empty_lane_needs_no_kicks),
		RECEIVES(a_packet_and_a_buffer_keep_it_awake),
		RECEIVES(a_packet_without_a_buffer_is_kicked_for),
		RECEIVES(a_packet_that_needs_more_buffers_than_there_are_lets_it_sleep),
		RECEIVES(a_paused_ring_waits_for_control_and_a_closed_lane_is_drained),
		RECEIVES(what_waits_for_a_broken_ring_is_drained_before_it_sleeps),
		RECEIVES(it_stays_awake_until_a_turn_is_over),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
