/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets into a guest: whole and in order into buffers of any shape; they wait for buffers, and know whom to blame. */
#include "testing.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "eal.h"
#include "packet.h"
#include "receiver.h"
#include "vnet.h"

#define HDR     DT_VNET_HDR_MRG
#define OUT     DT_TEST_RECEIVER_OUT
#define put     dt_test_receiver_put
#define post    dt_test_receiver_post
#define expect  dt_test_receiver_expect
#define deliver dt_pair_to_guest

static struct dt_test_receiver *const receiver = &dt_test_receiver;

static void
an_empty_lane_yields_nothing(void **state)
{
	post(1, 1526);

	assert_int_equal(deliver(&receiver->pair), 0);
	assert_int_equal(dt_test_count_used(&receiver->ring), 0);
}

static void
a_packet_lands_behind_a_header_of_zeros(void **state)
{
	post(2, 1526);
	put(1, 1514, 1);
	put(1, 60, 2);

	assert_int_equal(deliver(&receiver->pair), 2);

	expect(1514, 1, 1);
	expect(60, 2, 1);
	assert_int_equal(dt_test_account(OUT).delivered.packets, 2);
	assert_int_equal(dt_test_account(OUT).delivered.bytes, 1574);
}

static void
a_burst_keeps_its_order_and_interrupts_once(void **state)
{
	eventfd_t n = 0;

	receiver->vq->callfd = eventfd(0, EFD_NONBLOCK);
	post(DT_BURST, 1526);
	put(DT_BURST, 60, 0);

	assert_int_equal(deliver(&receiver->pair), DT_BURST);

	assert_int_equal(eventfd_read(receiver->vq->callfd, &n), 0);
	assert_int_equal(n, 1);
	for (uint16_t i = 0; i < DT_BURST; i++)
		expect(60, i, 1);
	close(receiver->vq->callfd);
}

static void
packets_without_a_buffer_wait(void **state)
{
	post(3, 1526);
	put(5, 60, 0);

	assert_int_equal(deliver(&receiver->pair), 3);
	assert_int_equal(dt_lane_count(&receiver->pair.lane), 2);
	assert_int_equal(deliver(&receiver->pair), 0);
	post(2, 1526);
	assert_int_equal(deliver(&receiver->pair), 2);

	for (uint16_t i = 0; i < 5; i++)
		expect(60, i, 1);
	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
a_lane_that_fills_for_want_of_buffers_blames_the_guest(void **state)
{
	put(10, 60, 0);
	assert_int_equal(deliver(&receiver->pair), 0);
	put(DT_TEST_RECEIVER_LANE, 60, 10);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_GUEST_NO_BUFFERS), 10);
	dt_lane_drain(&receiver->pair.lane, DT_CAUSE_SHUTTING_DOWN);
}

static void
a_guest_that_took_some_and_ran_out_is_blamed_too(void **state)
{
	post(3, 1526);
	put(10, 60, 0);
	assert_int_equal(deliver(&receiver->pair), 3);
	put(DT_TEST_RECEIVER_LANE, 60, 10);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_GUEST_NO_BUFFERS), 7);
	dt_lane_drain(&receiver->pair.lane, DT_CAUSE_SHUTTING_DOWN);
}

static void
a_lane_that_fills_while_the_guest_keeps_up_blames_the_worker(void **state)
{
	post(100, 200);
	put(10, 60, 0);
	assert_int_equal(deliver(&receiver->pair), 10);
	put(DT_TEST_RECEIVER_LANE + 3, 60, 10);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_WORKER_BUSY), 3);
	assert_int_equal(dt_cause_reason(DT_CAUSE_LANE_WORKER_BUSY), DT_REASON_FULL_RING);
	while (deliver(&receiver->pair) > 0)
		;
	for (uint16_t i = 0; i < 10 + DT_TEST_RECEIVER_LANE; i++)
		expect(60, i, 1);
}

static void
a_large_packet_is_merged_from_several_buffers(void **state)
{
	post(8, 1526);
	put(1, 60, 0);
	put(1, 5000, 1); /* several mbufs, too */
	put(1, 1514, 2);
	put(1, 1515, 3);

	assert_int_equal(deliver(&receiver->pair), 4);

	expect(60, 0, 1);
	expect(5000, 1, 4);
	expect(1514, 2, 1);
	expect(1515, 3, 2);
}

static void
a_packet_whose_buffers_are_not_all_there_waits_and_is_not_overtaken(void **state)
{
	post(3, 1526);
	put(1, 5000, 0);
	put(1, 60, 1);

	assert_int_equal(deliver(&receiver->pair), 0);
	assert_int_equal(deliver(&receiver->pair), 0);
	assert_int_equal(dt_test_count_used(&receiver->ring), 0);
	assert_int_equal(dt_lane_count(&receiver->pair.lane), 2);
	post(1, 100); /* still too few */
	assert_int_equal(deliver(&receiver->pair), 0);
	post(2, 1526);
	assert_int_equal(deliver(&receiver->pair), 2);

	expect(5000, 0, 5);
	expect(60, 1, 1);
}

static void
without_mergeable_buffers_a_packet_too_large_is_dropped_alone(void **state)
{
	dt_test_ring_start(&receiver->ring, 1ULL << VIRTIO_F_VERSION_1, receiver->vq);
	post(3, 1526);
	put(1, 60, 0);
	put(1, 1515, 1);
	put(1, 5000, 2);
	put(1, 1514, 3);

	assert_int_equal(deliver(&receiver->pair), 4);

	expect(60, 0, 1);
	expect(1514, 3, 1); /* into the very buffer that was too small for the two */
	assert_int_equal(receiver->ring.n_back, 2);
	assert_int_equal(dt_test_count_used(&receiver->ring), 0);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_BUFFER_TOO_SMALL), 2);
	assert_int_equal(dt_test_dropped_bytes(OUT, DT_CAUSE_GUEST_BUFFER_TOO_SMALL), 6515);
}

static void
a_packet_that_a_whole_ring_of_buffers_cannot_hold_is_dropped_alone(void **state)
{
	post(receiver->ring.size, 72);
	put(1, 20000, 0); /* 256 buffers of 72 bytes are 18432 */
	put(1, 60, 1);

	assert_int_equal(deliver(&receiver->pair), 2);

	expect(60, 1, 1);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_BUFFER_TOO_SMALL), 1);
}

static void
a_legacy_header_has_ten_bytes(void **state)
{
	dt_test_ring_start(&receiver->ring, 0, receiver->vq);
	post(2, 70);
	put(1, 60, 0);
	put(1, 61, 1);

	assert_int_equal(deliver(&receiver->pair), 2);

	expect(60, 0, 1);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_BUFFER_TOO_SMALL), 1);
}

static void
buffers_of_all_shapes_hold_their_packets_in_order(void **state)
{
	const struct dt_test_memory *memory = &receiver->memory;
	uint64_t gpa = dt_test_take(&receiver->memory, 0, 4096);
	uint64_t border = dt_test_region(memory, 1) - 100;
	const struct dt_test_part split[] = { { gpa, HDR }, { gpa + 100, 1514 } };
	const struct dt_test_part crumbs[] = { { gpa + 2000, 3 }, { gpa + 2010, 0 }, { gpa + 2020, 12 },
		{ gpa + 2040, 200 } };
	const struct dt_test_part across[] = { { border, 300 } };

	post(1, 1526);
	dt_test_offer(&receiver->ring, dt_test_chain(&receiver->ring, split, 2, true));
	dt_test_offer(&receiver->ring, dt_test_chain(&receiver->ring, crumbs, 4, true));
	dt_test_offer(&receiver->ring, dt_test_chain(&receiver->ring, across, 1, true));
	post(1, HDR + 9000);
	for (uint16_t i = 0; i < 4; i++)
		put(1, 150, i);
	put(1, 9000, 4);

	assert_int_equal(deliver(&receiver->pair), 5);

	for (uint16_t i = 0; i < 4; i++)
		expect(150, i, 1);
	expect(9000, 4, 1);
}

static void
an_indirect_buffer_holds_a_packet(void **state)
{
	uint64_t gpa = dt_test_take(&receiver->memory, 0, 4096);
	uint64_t table = dt_test_take(&receiver->memory, 0, 32);
	const struct vring_desc descs[] = { { gpa, HDR, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1 },
		{ gpa + 200, 1514, VRING_DESC_F_WRITE, 0 } };
	struct vring_used_elem elem;

	dt_test_offer(&receiver->ring, dt_test_indirect(&receiver->ring, table, descs, 2));
	put(1, 1000, 7);

	assert_int_equal(deliver(&receiver->pair), 1);

	assert_true(dt_test_used(&receiver->ring, &elem));
	assert_int_equal(elem.len, HDR + 1000);
	assert_true(dt_test_frame_is(dt_test_at(&receiver->memory, gpa + 200), 1000, 7));
}

int
main(void)
{
#define PAIR(test) DT_TEST_EACH_LAYOUT(test, dt_test_receiver_open, dt_test_receiver_close)
	const struct CMUnitTest tests[] = {
		PAIR(an_empty_lane_yields_nothing),
		PAIR(a_packet_lands_behind_a_header_of_zeros),
		PAIR(a_burst_keeps_its_order_and_interrupts_once),
		PAIR(packets_without_a_buffer_wait),
		PAIR(a_lane_that_fills_for_want_of_buffers_blames_the_guest),
		PAIR(a_guest_that_took_some_and_ran_out_is_blamed_too),
		PAIR(a_lane_that_fills_while_the_guest_keeps_up_blames_the_worker),
		PAIR(a_large_packet_is_merged_from_several_buffers),
		PAIR(a_packet_whose_buffers_are_not_all_there_waits_and_is_not_overtaken),
		PAIR(without_mergeable_buffers_a_packet_too_large_is_dropped_alone),
		PAIR(a_packet_that_a_whole_ring_of_buffers_cannot_hold_is_dropped_alone),
		PAIR(a_legacy_header_has_ten_bytes),
		PAIR(buffers_of_all_shapes_hold_their_packets_in_order),
		PAIR(an_indirect_buffer_holds_a_packet),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
