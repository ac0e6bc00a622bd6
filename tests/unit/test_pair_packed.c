/* SPDX-License-Identifier: BSD-3-Clause */
/* What only a packed ring can do: be of any size, end a chain anywhere. And rubbish, in either layout. */
#include "testing.h"

#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "eal.h"
#include "packet.h"
#include "receiver.h"
#include "sender.h"
#include "vnet.h"

#define HDR   DT_VNET_HDR_MRG
#define NEXT  VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define IN    DT_TEST_SENDER_IN
#define OUT   DT_TEST_RECEIVER_OUT

static struct dt_test_sender *const sender = &dt_test_sender;
static struct dt_test_receiver *const receiver = &dt_test_receiver;

static const uint16_t sizes[] = { 1, 2, 3, 31, 32, 33, 100 };

static void
frames_leave_a_ring_of_any_size_lap_after_lap(void **state)
{
	uint64_t gpa = dt_test_sender_write(0, 60, 5);
	const struct dt_test_part two[] = { { gpa, HDR + 7 }, { gpa + HDR + 7, 53 } };

	for (unsigned int i = 0; i < RTE_DIM(sizes); i++) {
		struct dt_test_ring *ring = &sender->ring;
		unsigned int n = 0;

		dt_test_ring_new(ring, &sender->memory, 1, sizes[i], *(const uint64_t *)*state);
		dt_test_ring_start(ring, DT_TEST_SENDER_FEATURES, sender->vq);
		sender->given_back = 0;
		for (unsigned int lap = 0; lap < 20; lap++, n = 0) {
			ring->next_desc = 0;
			/* As many as fit, and the marks turn amid a chain of two where the size is odd. */
			if (sizes[i] > 1)
				dt_test_offer(ring, dt_test_chain(ring, two, 2, false));
			while (ring->next_desc < sizes[i])
				dt_test_sender_send(60, (uint16_t)++n);

			while (dt_pair_from_guest(&sender->pair) > 0)
				;

			if (sizes[i] > 1)
				dt_test_sender_expect(60, 5);
			for (unsigned int k = 1; k <= n; k++)
				dt_test_sender_expect(60, (uint16_t)k);
			dt_test_sender_expect_back(n + (sizes[i] > 1));
			sender->memory.next[0] = gpa - DT_TEST_GPA + 4096;
		}
	}
}

static void
packets_enter_a_ring_of_any_size_lap_after_lap(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(sizes); i++) {
		struct dt_test_ring *ring = &receiver->ring;
		unsigned int n = RTE_MIN(sizes[i], DT_TEST_RECEIVER_LANE);

		dt_test_ring_new(ring, &receiver->memory, 1, sizes[i], *(const uint64_t *)*state);
		dt_test_ring_start(ring, DT_TEST_RECEIVER_FEATURES, receiver->vq);
		for (unsigned int lap = 0; lap < 20; lap++) {
			receiver->memory.next[0] = 0x10000;
			ring->next_desc = 0;
			dt_test_receiver_post(n, 200);
			dt_test_receiver_put(n, 100, (uint16_t)lap);

			while (dt_pair_to_guest(&receiver->pair) > 0)
				;

			for (unsigned int k = 0; k < n; k++)
				dt_test_receiver_expect(100, (uint16_t)(lap + k), 1);
		}
	}
}

static void
a_chain_that_is_cut_short_goes_back_and_the_queue_goes_on(void **state)
{
	uint64_t gpa = dt_test_sender_write(0, 60, 1);
	struct dt_test_ring *ring = &sender->ring;

	dt_test_packed_desc(ring, 0, gpa, 20, NEXT, 0);
	dt_test_packed_desc(ring, 1, gpa, 20, NEXT, 7);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 1);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_CHAIN_CUT_SHORT), 1);
	assert_int_equal(ring->packed[0].id, 7);
	assert_int_equal(ring->packed[0].flags, DT_PACKED_MARKS);
	assert_int_equal(dt_vq_base(sender->vq), 0x8002);

	dt_test_packed_desc(ring, 2, gpa, HDR + 60, 0, 9);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 1);
	dt_test_sender_expect(60, 1);
	assert_int_equal(ring->packed[2].id, 9);
}

static void
a_ring_that_is_one_endless_chain_goes_back_whole(void **state)
{
	uint64_t gpa = dt_test_sender_write(0, 60, 1);
	struct dt_test_ring *ring = &sender->ring;

	for (unsigned int i = 0; i < ring->size; i++)
		dt_test_packed_desc(ring, i, gpa, 0, NEXT, (uint16_t)i);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 1);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 0);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_CHAIN_LOOP), 1);
	assert_int_equal(dt_vq_base(sender->vq), 0);

	ring->avail_wrap = false;
	dt_test_packed_desc(ring, 0, gpa, HDR + 60, 0, 9);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 1);
	dt_test_sender_expect(60, 1);
	assert_false(dt_vq_broken(sender->vq));
}

static void
a_table_in_a_chain_goes_back_with_it(void **state)
{
	uint64_t gpa = dt_test_sender_write(0, 60, 1);
	struct dt_test_ring *ring = &sender->ring;

	dt_test_packed_desc(ring, 0, gpa, HDR, NEXT, 0);
	dt_test_packed_desc(ring, 1, gpa, 16, VRING_DESC_F_INDIRECT | NEXT, 0);
	dt_test_packed_desc(ring, 2, gpa, 16, 0, 4);
	dt_test_packed_desc(ring, 3, gpa, HDR + 60, 0, 9);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 2);

	dt_test_sender_expect(60, 1);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_INDIRECT_NESTED), 1);
	assert_int_equal(dt_vq_base(sender->vq), 0x8004);
}

static void
a_lap_that_is_marked_before_its_time_is_taken_in_its_time(void **state)
{
	uint64_t gpa = dt_test_sender_write(0, 60, 1);
	struct dt_test_ring *ring = &sender->ring;

	dt_test_ring_new(ring, &sender->memory, 1, 3, *(const uint64_t *)*state);
	dt_test_ring_start(ring, DT_TEST_SENDER_FEATURES, sender->vq);
	for (unsigned int lap = 0; lap < 10; lap++, ring->avail_wrap = !ring->avail_wrap) {
		for (unsigned int i = 0; i < 3; i++)
			dt_test_packed_desc(ring, i, gpa, HDR + 60, 0, 0);
		if (lap % 2 == 1) /* the first of them says that it is of the lap to come */
			ring->packed[0].flags ^= DT_PACKED_MARKS;

		assert_int_equal(dt_pair_from_guest(&sender->pair), lap % 2 == 1 ? 0 : 3);

		if (lap % 2 == 1) {
			ring->packed[0].flags ^= DT_PACKED_MARKS;
			assert_int_equal(dt_pair_from_guest(&sender->pair), 3);
		}
		for (unsigned int i = 0; i < 3; i++)
			dt_test_sender_expect(60, 1);
	}
}

/* ---- rubbish ---- */

static uint64_t
any(uint64_t below)
{
	return below == 0 ? 0 : ((uint64_t)rand() << 31 ^ (uint64_t)rand()) % below;
}

/* An address in memory mostly, or near its ends, or anywhere. */
static uint64_t
any_address(void)
{
	switch (any(8)) {
	case 0:
		return any(UINT64_MAX);
	case 1:
		return DT_TEST_GPA + 2 * DT_TEST_SENDER_REGION - any(100);
	default:
		return DT_TEST_GPA + 0x20000 + any(0x80000); /* spares the ring, which would undo itself */
	}
}

static uint32_t
any_len(void)
{
	static const uint32_t lens[] = { 0, 1, 11, 12, 16, 26, 60, 72, 160, 2060, 4096, 65562, 70000, UINT32_MAX };

	return any(3) == 0 ? (uint32_t)any(3000) : lens[any(RTE_DIM(lens))];
}

static void
write_rubbish(struct dt_test_ring *ring)
{
	uint16_t flags = (uint16_t)any(3) == 0 ? (uint16_t)any(65536) : (uint16_t)(any(8) & any(8));
	uint16_t i = (uint16_t)any(ring->size);

	if (ring->packed != NULL) {
		dt_test_packed_desc(
			ring, (unsigned int)any(2 * ring->size), any_address(), any_len(), flags, (uint16_t)any(65536));
		return;
	}
	ring->desc[i] = (struct vring_desc){ any_address(), any_len(), flags, (uint16_t)any(ring->size + 1u) };
	ring->avail->ring[any(ring->size)] = (uint16_t)any(ring->size + (any(50) == 0));
	ring->avail->idx = (uint16_t)(ring->avail->idx + any(3));
}

static void
fill_with_rubbish(struct dt_test_memory *memory)
{
	/* Tables among it; the ring is at the beginning. */
	for (uint64_t at = 0x20000; at < 0x22000; at++)
		memory->hva[0][at] = (uint8_t)any(256);
}

static void
empty_lane(struct dt_lane *lane, unsigned int at)
{
	struct rte_mbuf *pkts[DT_BURST];
	unsigned int n;

	while ((n = dt_lane_peek(lane, pkts, DT_BURST)) > 0) {
		dt_lane_finish(lane, n);
		dt_delivered(at, pkts, n);
	}
}

#define ROUNDS 20000
#define VISITS 4

static void
rubbish_out_of_a_guest_is_taken_or_dropped_and_nothing_else_happens(void **state)
{
	srand(1);
	fill_with_rubbish(&sender->memory);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		for (unsigned int k = 0; k < 8; k++)
			write_rubbish(&sender->ring);
		for (unsigned int k = 0; k < VISITS; k++)
			assert_in_range(dt_pair_from_guest(&sender->pair), 0, DT_BURST);
		empty_lane(&sender->lane, DT_TEST_SENDER_OUT);
		if (sender->ring.packed != NULL && any(20) == 0)
			dt_test_ring_go_to(&sender->ring, dt_vq_base(sender->vq));
		if (dt_vq_broken(sender->vq))
			assert_int_equal(dt_vq_start(sender->vq), 0);
	}
	assert_int_not_equal(dt_test_account(IN).received.packets, 0);
	assert_int_not_equal(dt_test_account(IN).delivered.packets, 0);
}

static void
rubbish_to_receive_into_takes_packets_or_costs_them_and_nothing_else_happens(void **state)
{
	srand(2);
	fill_with_rubbish(&receiver->memory);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		for (unsigned int k = 0; k < 8; k++)
			write_rubbish(&receiver->ring);
		dt_test_receiver_put((unsigned int)any(4), 60, 0);
		dt_test_receiver_put(any(4) == 0, (uint32_t)(60 + any(9000)), 0);
		for (unsigned int k = 0; k < VISITS; k++)
			assert_in_range(dt_pair_to_guest(&receiver->pair), 0, DT_TEST_RECEIVER_LANE);
		if (receiver->ring.packed != NULL && any(20) == 0)
			dt_test_ring_go_to(&receiver->ring, dt_vq_base(receiver->vq));
		if (dt_vq_broken(receiver->vq)) {
			assert_int_equal(dt_vq_start(receiver->vq), 0);
			dt_lane_open(&receiver->pair.lane);
		}
	}
	dt_lane_drain(&receiver->pair.lane, DT_CAUSE_SHUTTING_DOWN);
	assert_int_not_equal(dt_test_account(OUT).delivered.packets, 0);
}

int
main(void)
{
#define OUT_OF(test, layout) DT_TEST_OF(test, dt_test_sender_open, dt_test_sender_close, layout)
#define INTO(test, layout)   DT_TEST_OF(test, dt_test_receiver_open, dt_test_receiver_close, layout)
	const struct CMUnitTest tests[] = {
		OUT_OF(frames_leave_a_ring_of_any_size_lap_after_lap, PACKED),
		OUT_OF(frames_leave_a_ring_of_any_size_lap_after_lap, PACKED_IN_ORDER),
		INTO(packets_enter_a_ring_of_any_size_lap_after_lap, PACKED),
		OUT_OF(a_chain_that_is_cut_short_goes_back_and_the_queue_goes_on, PACKED),
		OUT_OF(a_chain_that_is_cut_short_goes_back_and_the_queue_goes_on, PACKED_IN_ORDER),
		OUT_OF(a_ring_that_is_one_endless_chain_goes_back_whole, PACKED),
		OUT_OF(a_table_in_a_chain_goes_back_with_it, PACKED),
		OUT_OF(a_lap_that_is_marked_before_its_time_is_taken_in_its_time, PACKED),
		OUT_OF(rubbish_out_of_a_guest_is_taken_or_dropped_and_nothing_else_happens, SPLIT),
		OUT_OF(rubbish_out_of_a_guest_is_taken_or_dropped_and_nothing_else_happens, SPLIT_IN_ORDER),
		OUT_OF(rubbish_out_of_a_guest_is_taken_or_dropped_and_nothing_else_happens, PACKED),
		OUT_OF(rubbish_out_of_a_guest_is_taken_or_dropped_and_nothing_else_happens, PACKED_IN_ORDER),
		INTO(rubbish_to_receive_into_takes_packets_or_costs_them_and_nothing_else_happens, SPLIT),
		INTO(rubbish_to_receive_into_takes_packets_or_costs_them_and_nothing_else_happens, PACKED),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
