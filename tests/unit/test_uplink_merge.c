/* SPDX-License-Identifier: BSD-3-Clause */
/* GRO: segments that came together go on as one packet to cut, and what may not be merged passes in its place. */
#include "testing.h"

#include <string.h>

#include <netinet/in.h>

#include <rte_ether.h>

#include "eal.h"
#include "frame.h"
#include "nic.h"
#include "packet.h"

#define NIC_IN  DT_TEST_NIC_IN
#define VM1_OUT DT_AT_OUT(DT_TEST_VM1)
#define MSS     1448
#define HEADERS (14 + 20 + 32) /* with twelve bytes of TCP options */
#define ACK     0x10
#define PSH     0x08

static struct dt_test_nic *const nic = &dt_test_nic;
static struct dt_lane lane; /* where received packets go */

static unsigned int
into_lane(void *self, struct rte_mbuf **pkts, unsigned int n)
{
	dt_lane_put(self, NIC_IN, pkts, n);
	return 1;
}

static int
start(void **state)
{
	dt_test_books_open(state);
	assert_int_equal(dt_lane_init(&lane, "lane", VM1_OUT, 100, DT_CAUSE_SHUTTING_DOWN, 0, true), 0);
	dt_lane_open(&lane);
	dt_test_nic_start_merging((struct dt_sink){ into_lane, &lane });
	return 0;
}

static int
stop(void **state)
{
	int result;

	dt_lane_drain(&lane, DT_CAUSE_SHUTTING_DOWN);
	dt_test_nic_stop();
	result = dt_test_books_close(state);
	dt_test_nic_free();
	dt_lane_fini(&lane);
	return result;
}

/* ---- segments of a connection ---- */

static struct dt_test_frame frame; /* the segment that was made last */
static uint8_t stream[DT_TEST_FRAME_MAX]; /* what the connection carries */

/* A change of a segment before its checksums are made. */
struct twist {
	uint16_t port; /* of another connection */
	uint8_t tos;
	uint8_t flags; /* 0: ACK */
	unsigned int n_tags;
	bool bad_checksum;
};

static void
put16(uint8_t *at, uint32_t number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
}

static void
put_sums(void)
{
	uint8_t *ip = frame.bytes + frame.l3;

	put16(ip + 10, 0);
	put16(ip + 10, (uint16_t)~dt_test_sum(ip, frame.l4 - frame.l3, 0));
	put16(frame.bytes + frame.l4 + 16, 0);
	put16(frame.bytes + frame.l4 + 16, (uint16_t)~dt_test_sum(frame.bytes + frame.l4, frame.len - frame.l4,
						   dt_test_pseudo_sum(&frame, frame.len - frame.l4)));
}

static struct rte_mbuf *
segment(uint32_t seq, uint32_t len, struct twist twist)
{
	const struct dt_test_frame_spec spec = {
		.type = RTE_ETHER_TYPE_IPV4,
		.n_tags = twist.n_tags,
		.proto = IPPROTO_TCP,
		.tcp_options = 12,
		.tcp_flags = twist.flags != 0 ? twist.flags : ACK,
		.payload = len,
	};

	dt_test_frame_build(&spec, 3, &frame);
	memset(frame.bytes, 0, 12);
	frame.bytes[0] = frame.bytes[6] = 2;
	frame.bytes[frame.l3 + 1] = twist.tos;
	put16(frame.bytes + frame.l3 + 6, 0x4000); /* may not be fragmented: its number does not matter */
	put16(frame.bytes + frame.l4, 1000 + twist.port);
	put16(frame.bytes + frame.l4 + 4, seq >> 16);
	put16(frame.bytes + frame.l4 + 6, seq);
	memcpy(frame.bytes + frame.payload, stream + seq, len);
	put_sums();
	if (twist.bad_checksum)
		frame.bytes[frame.l4 + 17] ^= 1;
	return dt_test_packet_of(frame.bytes, frame.len, NULL, 0);
}

static void
arrives(uint32_t seq, uint32_t len, struct twist twist)
{
	dt_test_nic_arrives(segment(seq, len, twist));
}

/* The next that waits carries these bytes of the stream; a merged one says how it is to be cut. */
static void
expect(uint32_t seq, uint32_t len, uint16_t merged_from)
{
	static uint8_t found[DT_TEST_FRAME_MAX];
	struct rte_mbuf *pkt;
	uint32_t n;

	assert_int_equal(dt_lane_peek(&lane, &pkt, 1), 1);
	n = dt_test_packet_read(pkt, found);
	assert_int_equal(n, frame.payload + len);
	assert_int_equal(
		found[frame.l4 + 4] << 24 | found[frame.l4 + 5] << 16 | found[frame.l4 + 6] << 8 | found[frame.l4 + 7],
		seq);
	assert_memory_equal(found + frame.payload, stream + seq, len);
	assert_int_equal(found[frame.l3 + 2] << 8 | found[frame.l3 + 3], n - frame.l3);
	assert_int_equal(dt_test_sum(found + frame.l3, 20, 0), 0xffff);
	assert_int_equal(dt_vnet_needs(pkt), merged_from > 0 ? DT_TAKES_TCP_CSUM | DT_TAKES_TSO4 : 0);
	if (merged_from > 0)
		assert_int_equal(pkt->tso_segsz, merged_from);
	dt_lane_finish(&lane, 1);
	dt_delivered(VM1_OUT, &pkt, 1);
}

static void
segments_that_follow_each_other_become_one_packet(void **state)
{
	struct dt_uplink_info info;

	for (uint32_t i = 0; i < 20; i++)
		arrives(i * MSS, MSS, (struct twist){ 0 });

	assert_int_equal(dt_test_nic_poll(), 20);

	expect(0, 20 * MSS, MSS);
	assert_int_equal(dt_test_account(NIC_IN).received.packets, 1);
	assert_int_equal(dt_test_account(NIC_IN).received.bytes, HEADERS + 20 * MSS);
	dt_uplink_info(nic->uplink, &info);
	assert_int_equal(info.merged, 19);
}

static void
what_was_merged_comes_out_again_as_it_came(void **state)
{
	struct dt_fit none = { .multi_segment = true };
	struct rte_mbuf *pkt;

	for (uint32_t i = 0; i < 5; i++)
		arrives(i * 100, 100, (struct twist){ 0 });
	assert_int_equal(dt_test_nic_poll(), 5);

	/* To a guest that takes nothing: through its own lane again, as if it were the next one. */
	assert_int_equal(dt_lane_peek(&lane, &pkt, 1), 1);
	dt_lane_finish(&lane, 1);
	dt_delivered(VM1_OUT, (struct rte_mbuf *[]){ segment(0, 500, (struct twist){ 0 }) }, 1);
	dt_received(NIC_IN, 1, pkt->pkt_len);
	assert_int_equal(dt_fit_put(&lane, &none, NIC_IN, &pkt, 1), 5);

	for (uint32_t i = 0; i < 5; i++) {
		struct rte_mbuf *sent = segment(i * 100, 100, (struct twist){ 0 });

		assert_int_equal(dt_lane_peek(&lane, &pkt, 1), 1);
		assert_int_equal(pkt->pkt_len, sent->pkt_len);
		/* all but IPv4's number, which counts on */
		assert_memory_equal(rte_pktmbuf_mtod(pkt, uint8_t *), frame.bytes, frame.l3 + 4);
		assert_memory_equal(
			rte_pktmbuf_mtod(pkt, uint8_t *) + frame.l4, frame.bytes + frame.l4, frame.len - frame.l4);
		dt_test_packet_free(sent);
		dt_lane_finish(&lane, 1);
		dt_delivered(VM1_OUT, &pkt, 1);
	}
}

static void
connections_are_merged_apart(void **state)
{
	for (uint32_t i = 0; i < 3; i++) {
		arrives(i * MSS, MSS, (struct twist){ .port = 1 });
		arrives(i * 500, 500, (struct twist){ .port = 2 });
	}

	assert_int_equal(dt_test_nic_poll(), 6);

	expect(0, 3 * MSS, MSS);
	expect(0, 1500, 500);
}

static void
a_gap_in_the_stream_is_kept(void **state)
{
	arrives(0, MSS, (struct twist){ 0 });
	arrives(MSS, MSS, (struct twist){ 0 });
	arrives(3 * MSS, MSS, (struct twist){ 0 });
	arrives(4 * MSS, MSS, (struct twist){ 0 });

	assert_int_equal(dt_test_nic_poll(), 4);

	expect(0, 2 * MSS, MSS);
	expect(3 * MSS, 2 * MSS, MSS);
}

static void
a_segment_that_is_not_like_the_others_keeps_its_place(void **state)
{
	static const struct twist twists[] = {
		{ .flags = ACK | PSH }, { .flags = ACK | 1 }, /* FIN */
		{ .flags = ACK | 0x40 }, /* ECE */
		{ .bad_checksum = true }, { .tos = 3 }, /* congestion was met */
	};

	for (unsigned int i = 0; i < RTE_DIM(twists); i++) {
		arrives(0, MSS, (struct twist){ 0 });
		arrives(MSS, MSS, (struct twist){ 0 });
		arrives(2 * MSS, 10, twists[i]);
		arrives(2 * MSS + 10, MSS, (struct twist){ 0 });
		arrives(3 * MSS + 10, MSS, (struct twist){ 0 });

		assert_int_equal(dt_test_nic_poll(), 5);

		expect(0, 2 * MSS, MSS);
		expect(2 * MSS, 10, 0);
		expect(2 * MSS + 10, 2 * MSS, MSS);
	}
}

static void
other_packets_keep_their_place_too(void **state)
{
	struct rte_mbuf *pkt;

	arrives(0, MSS, (struct twist){ 0 });
	arrives(MSS, MSS, (struct twist){ 0 });
	dt_test_nic_arrives(dt_test_packet(60, 9));
	arrives(2 * MSS, 0, (struct twist){ 0 }); /* an acknowledgement alone */
	arrives(2 * MSS, MSS, (struct twist){ 0 });

	assert_int_equal(dt_test_nic_poll(), 5);

	expect(0, 2 * MSS, MSS);
	assert_int_equal(dt_lane_peek(&lane, &pkt, 1), 1);
	assert_true(dt_test_packet_is(pkt, 60, 9));
	dt_lane_finish(&lane, 1);
	dt_delivered(VM1_OUT, &pkt, 1);
	expect(2 * MSS, 0, 0);
	expect(2 * MSS, MSS, 0);
}

static void
tagged_segments_are_merged_with_those_of_their_vlan(void **state)
{
	for (uint32_t i = 0; i < 3; i++)
		arrives(i * MSS, MSS, (struct twist){ .n_tags = 1 });
	assert_int_equal(dt_test_nic_poll(), 3);
	expect(0, 3 * MSS, MSS);

	for (uint32_t i = 0; i < 4; i++) {
		struct rte_mbuf *pkt = segment(i * MSS, MSS, (struct twist){ .n_tags = 1 });

		rte_pktmbuf_mtod(pkt, uint8_t *)[15] = (uint8_t)(i / 2); /* two networks */
		dt_test_nic_arrives(pkt);
	}
	assert_int_equal(dt_test_nic_poll(), 4);
	expect(0, 2 * MSS, MSS);
	expect(2 * MSS, 2 * MSS, MSS);
}

static void
segments_that_the_nic_has_verified_are_not_summed_again(void **state)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct rte_mbuf *pkt = segment(i * MSS, MSS, (struct twist){ .bad_checksum = true });

		pkt->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		dt_test_nic_arrives(pkt);
	}

	assert_int_equal(dt_test_nic_poll(), 2);

	expect(0, 2 * MSS, MSS); /* so it has looked at no more than the flag */
}

static void
the_largest_of_the_parts_says_how_to_cut(void **state)
{
	arrives(0, 100, (struct twist){ 0 });
	arrives(100, MSS, (struct twist){ 0 });
	arrives(100 + MSS, 7, (struct twist){ 0 });

	assert_int_equal(dt_test_nic_poll(), 3);

	expect(0, 107 + MSS, MSS);
}

static void
nothing_is_held_back(void **state)
{
	for (uint32_t i = 0; i < 3; i++) {
		arrives(i * MSS, MSS, (struct twist){ 0 });
		assert_int_equal(dt_test_nic_poll(), 1);
		expect(i * MSS, MSS, 0);
	}
}

static void
a_burst_of_as_many_connections_as_packets_passes(void **state)
{
	for (uint16_t i = 0; i < DT_BURST; i++)
		arrives(0, MSS, (struct twist){ .port = i });

	assert_int_equal(dt_test_nic_poll(), DT_BURST);

	for (uint16_t i = 0; i < DT_BURST; i++)
		expect(0, MSS, 0);
}

int
main(void)
{
#define GRO(test) cmocka_unit_test_setup_teardown(test, start, stop)
	const struct CMUnitTest tests[] = {
		GRO(segments_that_follow_each_other_become_one_packet),
		GRO(what_was_merged_comes_out_again_as_it_came),
		GRO(connections_are_merged_apart),
		GRO(a_gap_in_the_stream_is_kept),
		GRO(a_segment_that_is_not_like_the_others_keeps_its_place),
		GRO(other_packets_keep_their_place_too),
		GRO(tagged_segments_are_merged_with_those_of_their_vlan),
		GRO(segments_that_the_nic_has_verified_are_not_summed_again),
		GRO(the_largest_of_the_parts_says_how_to_cut),
		GRO(nothing_is_held_back),
		GRO(a_burst_of_as_many_connections_as_packets_passes),
	};

	for (uint32_t i = 0; i < sizeof(stream); i++)
		stream[i] = (uint8_t)(i * 31 + (i >> 8));
	dt_test_eal_start();
	if (dt_vnet_init() != 0)
		return 1;
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
