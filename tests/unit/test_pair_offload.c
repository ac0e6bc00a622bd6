/* SPDX-License-Identifier: BSD-3-Clause */
/* What a guest left undone, on its way out of its ring and into that of another, whatever the layout. */
#include "testing.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>

#include "eal.h"
#include "frame.h"
#include "packet.h"
#include "pool.h"
#include "receiver.h"
#include "sender.h"
#include "vnet.h"

#define BIT(NAME) (1ULL << VIRTIO_NET_F_##NAME)

#define NC   VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TCP4 VIRTIO_NET_HDR_GSO_TCPV4

#define OUT DT_TEST_RECEIVER_OUT

static struct dt_test_sender *const sender = &dt_test_sender;
static struct dt_test_receiver *const receiver = &dt_test_receiver;

static struct dt_test_frame frame;

static void
build(uint32_t payload)
{
	const struct dt_test_frame_spec spec = { RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_TCP, .payload = payload };

	dt_test_frame_build(&spec, payload, &frame);
	dt_test_frame_leave_csum(&frame);
}

/* ---- from a guest ---- */

/* Send the frame behind that header, in one buffer or in two. */
static void
offer(const struct virtio_net_hdr *hdr, bool whole)
{
	uint32_t hdr_len = sender->vq->hdr_len, len = hdr_len + frame.len;
	uint64_t gpa = dt_test_take(&sender->memory, 0, len);
	const struct dt_test_part parts[] = { { gpa, whole ? len : hdr_len + 20 },
		{ gpa + hdr_len + 20, frame.len - 20 } };
	uint8_t bytes[DT_VNET_HDR_MRG] = { 0 };

	memcpy(bytes, hdr, sizeof(*hdr));
	dt_test_write(&sender->memory, gpa, bytes, hdr_len);
	dt_test_write(&sender->memory, gpa + hdr_len, frame.bytes, frame.len);
	dt_test_offer(&sender->ring, dt_test_chain(&sender->ring, parts, whole ? 1 : 2, false));
}

/* The next that came is the frame, and says this. */
static void
expect_undone(uint64_t ol_flags, uint16_t segment)
{
	static uint8_t bytes[DT_TEST_FRAME_MAX];
	struct rte_mbuf *pkt;

	assert_int_equal(dt_lane_peek(&sender->lane, &pkt, 1), 1);
	assert_int_equal(dt_test_packet_read(pkt, bytes), frame.len);
	assert_memory_equal(bytes, frame.bytes, frame.len);
	assert_true(pkt->ol_flags == ol_flags);
	assert_int_equal(pkt->l2_len, frame.l3);
	assert_int_equal(pkt->l3_len, frame.l4 - frame.l3);
	assert_int_equal(pkt->tso_segsz, segment);
	dt_lane_finish(&sender->lane, 1);
	dt_delivered(DT_TEST_SENDER_OUT, &pkt, 1);
}

static void
what_a_guest_leaves_undone_is_said_in_the_mbuf(void **state)
{
	const struct virtio_net_hdr partial = { NC, 0, 0, 0, 34, 16 }, large = { NC, TCP4, 54, 1448, 34, 16 };
	const uint64_t csum = RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;

	sender->vq->features |= BIT(CSUM) | BIT(HOST_TSO4);
	for (unsigned int whole = 0; whole <= 1; whole++) {
		build(1000);
		offer(&partial, whole != 0);
		assert_int_equal(dt_pair_from_guest(&sender->pair), 1);
		expect_undone(csum, 0);

		build(60000);
		offer(&large, whole != 0);
		assert_int_equal(dt_pair_from_guest(&sender->pair), 1);
		expect_undone(csum | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM, 1448);
	}
	dt_test_sender_expect_back(4);
}

static void
a_large_packet_that_nobody_could_cut_is_dropped_at_once(void **state)
{
	const struct virtio_net_hdr large = { NC, TCP4, 54, 1448, 42, 16 };

	sender->vq->features |= BIT(CSUM) | BIT(HOST_TSO4);
	build(4000);
	offer(&large, true);
	assert_int_equal(dt_pair_from_guest(&sender->pair), 1);

	assert_int_equal(dt_test_dropped(DT_TEST_SENDER_IN, DT_CAUSE_GSO_MALFORMED), 1);
	assert_int_equal(dt_test_dropped_bytes(DT_TEST_SENDER_IN, DT_CAUSE_GSO_MALFORMED), frame.len);
	dt_test_sender_expect_back(1);
}

/* ---- to a guest ---- */

static struct rte_mbuf *
accepted(const struct virtio_net_hdr *hdr)
{
	struct rte_mbuf *pkt = dt_test_packet_of(frame.bytes, frame.len, NULL, 0);

	assert_int_equal(dt_vnet_accept(hdr, UINT64_MAX, pkt), DT_CAUSE_MAX);
	return pkt;
}

static void
put(struct rte_mbuf *pkt)
{
	dt_received(DT_TEST_RECEIVER_IN, 1, pkt->pkt_len);
	dt_lane_put(&receiver->pair.lane, DT_TEST_RECEIVER_IN, &pkt, 1);
}

/* The next that the guest finds, in @p n buffers, has that header and those bytes. */
static void
expect_told(const struct virtio_net_hdr *hdr, const uint8_t *bytes, uint32_t len, unsigned int n)
{
	static uint8_t found[DT_VNET_HDR_MRG + DT_TEST_FRAME_MAX];
	uint32_t at = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vring_used_elem elem;

		assert_true(dt_test_used(&receiver->ring, &elem));
		memcpy(found + at, dt_test_at(&receiver->memory, receiver->ring.desc[elem.id].addr), elem.len);
		at += elem.len;
	}
	assert_int_equal(at, receiver->vq->hdr_len + len);
	assert_memory_equal(found, hdr, sizeof(*hdr));
	assert_memory_equal(found + receiver->vq->hdr_len, bytes, len);
}

static void
a_guest_that_takes_it_is_told_what_is_undone(void **state)
{
	const struct virtio_net_hdr partial = { NC, 0, 0, 0, 34, 16 }, large = { NC, TCP4, 54, 1448, 34, 16 };

	receiver->vq->features |= BIT(GUEST_CSUM) | BIT(GUEST_TSO4);
	dt_test_receiver_post(1, 2048);
	dt_test_receiver_post(1, 50000);
	dt_test_receiver_post(1, 50000);
	build(1000);
	put(accepted(&partial));
	assert_int_equal(dt_pair_to_guest(&receiver->pair), 1);
	expect_told(&partial, frame.bytes, frame.len, 1);

	build(60000);
	put(accepted(&large));
	assert_int_equal(dt_pair_to_guest(&receiver->pair), 1);
	expect_told(&large, frame.bytes, frame.len, 2);
}

static void
a_verified_checksum_is_told_where_it_can_be(void **state)
{
	static const struct virtio_net_hdr zeros, valid = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };

	build(100);
	for (unsigned int takes = 0; takes <= 1; takes++) {
		struct rte_mbuf *pkt = dt_test_packet_of(frame.bytes, frame.len, NULL, 0);

		pkt->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		if (takes)
			receiver->vq->features |= BIT(GUEST_CSUM);
		dt_test_receiver_post(1, 2048);
		put(pkt);

		assert_int_equal(dt_pair_to_guest(&receiver->pair), 1);

		expect_told(takes ? &valid : &zeros, frame.bytes, frame.len, 1);
	}
}

static void
a_checksum_that_the_guest_takes_no_more_is_completed(void **state)
{
	static const struct virtio_net_hdr zeros, partial = { NC, 0, 0, 0, 34, 16 };
	static uint8_t whole[DT_TEST_FRAME_MAX];
	struct rte_mbuf *pkt, *clone;
	uint16_t check;

	build(1000);
	memcpy(whole, frame.bytes, frame.len);
	check = (uint16_t)~dt_test_sum(whole + frame.l4, frame.len - frame.l4, 0);
	whole[frame.l4 + 16] = (uint8_t)(check >> 8);
	whole[frame.l4 + 17] = (uint8_t)check;
	pkt = accepted(&partial);
	clone = rte_pktmbuf_clone(pkt, dt_pool_of(0));
	dt_test_receiver_post(2, 2048);
	put(pkt); /* shared */
	put(clone);

	assert_int_equal(dt_pair_to_guest(&receiver->pair), 2);

	expect_told(&zeros, whole, frame.len, 1);
	expect_told(&zeros, whole, frame.len, 1);
}

static void
a_large_packet_that_the_guest_takes_no_more_is_dropped_alone(void **state)
{
	static const struct virtio_net_hdr zeros, large = { NC, TCP4, 54, 1448, 34, 16 };

	receiver->vq->features |= BIT(GUEST_CSUM);
	dt_test_receiver_post(1, 8192);
	build(4000);
	put(accepted(&large));
	put(dt_test_packet_of(frame.bytes, frame.len, NULL, 0));

	assert_int_equal(dt_pair_to_guest(&receiver->pair), 2);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GSO_TAKEN_NO_MORE), 1);
	expect_told(&zeros, frame.bytes, frame.len, 1);
}

int
main(void)
{
#define FROM(test) DT_TEST_EACH_LAYOUT(test, dt_test_sender_open, dt_test_sender_close)
#define TO(test)   DT_TEST_EACH_LAYOUT(test, dt_test_receiver_open, dt_test_receiver_close)
	const struct CMUnitTest tests[] = {
		FROM(what_a_guest_leaves_undone_is_said_in_the_mbuf),
		FROM(a_large_packet_that_nobody_could_cut_is_dropped_at_once),
		TO(a_guest_that_takes_it_is_told_what_is_undone),
		TO(a_verified_checksum_is_told_where_it_can_be),
		TO(a_checksum_that_the_guest_takes_no_more_is_completed),
		TO(a_large_packet_that_the_guest_takes_no_more_is_dropped_alone),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
