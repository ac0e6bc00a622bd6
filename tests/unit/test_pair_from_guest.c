/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames out of a guest: chains of any shape arrive whole and in order, broken ones are counted and given back. */
#include "testing.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "books.h"
#include "eal.h"
#include "packet.h"
#include "pool.h"
#include "sender.h"
#include "vnet.h"

#define HDR   DT_VNET_HDR_MRG
#define NEXT  VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE

#define IN           DT_TEST_SENDER_IN
#define send_simple  dt_test_sender_send
#define write_frame  dt_test_sender_write
#define expect_frame dt_test_sender_expect
#define expect_back  dt_test_sender_expect_back

static struct dt_test_sender *const sender = &dt_test_sender;

/* The same in descriptors of these lengths and a last one for the rest. */
static void
send_pieces(uint32_t len, uint16_t seq, const uint32_t lens[], unsigned int n)
{
	uint64_t gpa = write_frame(0, len, seq);
	uint32_t left = sender->vq->hdr_len + len;
	struct dt_test_part parts[32];

	for (unsigned int i = 0; i < n; i++) {
		parts[i] = (struct dt_test_part){ gpa, lens[i] };
		gpa += lens[i];
		left -= lens[i];
	}
	parts[n] = (struct dt_test_part){ gpa, left };
	dt_test_offer(&sender->ring, dt_test_chain(&sender->ring, parts, n + 1, false));
}

static void
an_empty_ring_yields_nothing(void **state)
{
	assert_int_equal(dt_pair_from_guest(&sender->pair), 0);
	assert_int_equal(dt_test_count_used(&sender->ring), 0);
}

static void
a_frame_in_one_buffer_arrives(void **state)
{
	send_simple(60, 1);
	send_simple(1514, 2);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 2);

	expect_frame(60, 1);
	expect_frame(1514, 2);
	expect_back(2);
	assert_int_equal(dt_test_account(IN).received.packets, 2);
	assert_int_equal(dt_test_account(IN).received.bytes, 1574);
	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
frames_of_all_shapes_keep_their_order_in_one_burst(void **state)
{
	const uint32_t header[] = { HDR }, bytes[] = { 1, 0, 3, 7, 2, 0, 9 };
	struct vring_desc descs[2];
	uint64_t gpa;

	send_simple(60, 0);
	send_pieces(100, 1, header, 1);
	send_simple(2048, 2);
	send_pieces(1514, 3, bytes, 7); /* header and frame in crumbs, some of them empty */
	gpa = write_frame(0, 700, 4);
	descs[0] = (struct vring_desc){ gpa, 100, NEXT, 1 };
	descs[1] = (struct vring_desc){ gpa + 100, HDR + 600, 0, 0 };
	dt_test_offer(&sender->ring,
		dt_test_indirect(&sender->ring, dt_test_take(&sender->memory, 0, sizeof(descs)), descs, 2));
	send_simple(9014, 5); /* several mbufs */
	send_simple(14, 6);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 7);

	expect_frame(60, 0);
	expect_frame(100, 1);
	expect_frame(2048, 2);
	expect_frame(1514, 3);
	expect_frame(700, 4);
	expect_frame(9014, 5);
	expect_frame(14, 6);
	expect_back(7);
	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
a_frame_over_two_regions_arrives(void **state)
{
	static uint8_t bytes[HDR + 200];
	uint64_t gpa = DT_TEST_GPA + DT_TEST_SENDER_REGION - 50;

	dt_test_frame_fill(bytes + HDR, 200, 9);
	dt_test_write(&sender->memory, gpa, bytes, sizeof(bytes));
	dt_test_offer(&sender->ring, dt_test_desc(&sender->ring, gpa, sizeof(bytes), 0, 0));

	assert_int_equal(dt_pair_from_guest(&sender->pair), 1);

	expect_frame(200, 9);
}

static void
the_largest_frame_arrives_and_one_byte_more_does_not(void **state)
{
	send_simple(DT_VNET_FRAME_MAX, 1);
	send_simple(DT_VNET_FRAME_MAX + 1, 2);
	send_simple(60, 3);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 3);

	expect_frame(DT_VNET_FRAME_MAX, 1);
	expect_frame(60, 3);
	expect_back(3);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_CHAIN_TOO_LONG), 1);
}

static void
a_frame_takes_no_more_mbufs_than_it_needs(void **state)
{
	static const uint32_t lens[] = { DT_POOL_ROOM, DT_POOL_ROOM + 1, 2 * DT_POOL_ROOM, 2 * DT_POOL_ROOM + 1 };
	static const uint16_t segs[] = { 1, 2, 2, 3 };
	struct rte_mbuf *pkts[4];

	for (uint16_t i = 0; i < 4; i++)
		send_simple(lens[i], i);
	dt_pair_from_guest(&sender->pair);

	assert_int_equal(dt_lane_peek(&sender->lane, pkts, 4), 4);
	dt_lane_finish(&sender->lane, 0);
	for (uint16_t i = 0; i < 4; i++) {
		assert_int_equal(pkts[i]->nb_segs, segs[i]);
		expect_frame(lens[i], i);
	}
}

static void
a_frame_shorter_than_ethernet_is_too_short(void **state)
{
	send_simple(13, 1);
	send_simple(0, 2);
	send_simple(14, 3);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 3);

	expect_frame(14, 3);
	expect_back(3);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_FRAME_TOO_SHORT), 2);
	assert_int_equal(dt_test_dropped_bytes(IN, DT_CAUSE_FRAME_TOO_SHORT), 13);
}

static void
a_legacy_header_has_ten_bytes(void **state)
{
	dt_test_ring_start(&sender->ring, 0, sender->vq);
	assert_int_equal(sender->vq->hdr_len, DT_VNET_HDR_LEGACY);
	send_simple(60, 1);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 1);

	expect_frame(60, 1);
}

static void
bad_headers_are_dropped_by_verdict_simple_or_not(void **state)
{
	static const struct {
		struct virtio_net_hdr hdr;
		enum dt_cause cause;
	} bad[] = {
		{ { .gso_type = 9 }, DT_CAUSE_HDR_GSO_TYPE },
		{ { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 }, DT_CAUSE_HDR_GSO_SIZE },
		{ { VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 0, 1, 30, 16 },
			DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 59 }, DT_CAUSE_HDR_CSUM_RANGE },
		{ { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 58 }, DT_CAUSE_HDR_CSUM_NOT_NEGOTIATED },
	};

	for (unsigned int i = 0; i < 5; i++) {
		for (unsigned int slow = 0; slow <= 1; slow++) {
			uint64_t gpa = write_frame(0, 60, 0);
			const struct dt_test_part parts[] = { { gpa, 5 }, { gpa + 5, HDR + 55 } };
			const struct dt_test_part whole = { gpa, HDR + 60 };

			dt_test_write(&sender->memory, gpa, &bad[i].hdr, sizeof(bad[i].hdr));
			dt_test_offer(&sender->ring,
				dt_test_chain(&sender->ring, slow ? parts : &whole, slow ? 2 : 1, false));
		}
	}
	send_simple(60, 7);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 11);

	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(dt_test_dropped(IN, bad[i].cause), 2);
		assert_int_equal(dt_test_dropped_bytes(IN, bad[i].cause), 120);
	}
	expect_frame(60, 7);
	expect_back(11);
}

static void
broken_chains_are_given_back_and_the_queue_goes_on(void **state)
{
	uint64_t gpa = dt_test_take(&sender->memory, 0, 4096);
	uint16_t n = 0;

	send_simple(60, n++);
	dt_test_offer(&sender->ring, dt_test_desc(&sender->ring, gpa, HDR - 1, 0, 0));
	send_simple(60, n++);
	dt_test_offer(&sender->ring, dt_test_desc(&sender->ring, gpa, 72, WRITE, 0));
	send_simple(60, n++);
	dt_test_offer(&sender->ring, dt_test_desc(&sender->ring, 0, 72, 0, 0));
	send_simple(60, n++);
	dt_test_offer(&sender->ring, dt_test_desc(&sender->ring, gpa, 24, VRING_DESC_F_INDIRECT, 0));
	send_simple(60, n++);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 9);

	for (uint16_t i = 0; i < n; i++)
		expect_frame(60, i);
	expect_back(9);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_HDR_TRUNCATED), 1);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_CHAIN_DIRECTION), 1);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_ADDR_OUTSIDE_MEMORY), 1);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_INDIRECT_BAD_LENGTH), 1);
	assert_false(dt_vq_broken(sender->vq));
}

static void
split_chains_that_lead_astray_are_given_back_too(void **state)
{
	uint64_t gpa = dt_test_take(&sender->memory, 0, 4096);
	const struct vring_desc nested[] = { { gpa, 16, VRING_DESC_F_INDIRECT, 0 } };

	send_simple(60, 0);
	dt_test_offer(&sender->ring, dt_test_desc(&sender->ring, gpa, 72, NEXT, sender->ring.size));
	send_simple(60, 1);
	dt_test_offer(&sender->ring, dt_test_desc(&sender->ring, gpa, 72, NEXT, sender->ring.next_desc));
	send_simple(60, 2);
	dt_test_offer(&sender->ring, dt_test_indirect(&sender->ring, dt_test_take(&sender->memory, 0, 16), nested, 1));
	send_simple(60, 3);

	assert_int_equal(dt_pair_from_guest(&sender->pair), 7);

	for (uint16_t i = 0; i < 4; i++)
		expect_frame(60, i);
	expect_back(7);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_CHAIN_BAD_INDEX), 1);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_CHAIN_LOOP), 1);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_INDIRECT_NESTED), 1);
	assert_false(dt_vq_broken(sender->vq));
}

static void
a_table_that_was_not_negotiated_is_dropped(void **state)
{
	const struct vring_desc descs[] = { { write_frame(0, 60, 0), HDR + 60, 0, 0 } };

	dt_test_ring_start(&sender->ring, DT_TEST_SENDER_FEATURES & ~(1ULL << VIRTIO_RING_F_INDIRECT_DESC), sender->vq);
	dt_test_offer(&sender->ring, dt_test_indirect(&sender->ring, dt_test_take(&sender->memory, 0, 16), descs, 1));

	assert_int_equal(dt_pair_from_guest(&sender->pair), 1);

	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_INDIRECT_NOT_NEGOTIATED), 1);
	expect_back(1);
}

int
main(void)
{
#define PAIR(test)       DT_TEST_EACH_LAYOUT(test, dt_test_sender_open, dt_test_sender_close)
#define OF(test, layout) DT_TEST_OF(test, dt_test_sender_open, dt_test_sender_close, layout)
	const struct CMUnitTest tests[] = {
		PAIR(an_empty_ring_yields_nothing),
		PAIR(a_frame_in_one_buffer_arrives),
		PAIR(frames_of_all_shapes_keep_their_order_in_one_burst),
		PAIR(a_frame_over_two_regions_arrives),
		PAIR(the_largest_frame_arrives_and_one_byte_more_does_not),
		PAIR(a_frame_takes_no_more_mbufs_than_it_needs),
		PAIR(a_frame_shorter_than_ethernet_is_too_short),
		PAIR(a_legacy_header_has_ten_bytes),
		PAIR(bad_headers_are_dropped_by_verdict_simple_or_not),
		PAIR(broken_chains_are_given_back_and_the_queue_goes_on),
		OF(split_chains_that_lead_astray_are_given_back_too, SPLIT),
		OF(split_chains_that_lead_astray_are_given_back_too, SPLIT_IN_ORDER),
		PAIR(a_table_that_was_not_negotiated_is_dropped),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
