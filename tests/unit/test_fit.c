/* SPDX-License-Identifier: BSD-3-Clause */
/* What an egress takes goes to it as it is; the rest is made to fit, in order, or dropped for what stands against it */
#include "testing.h"

#include <string.h>

#include <netinet/in.h>

#include <rte_ether.h>

#include "books.h"
#include "eal.h"
#include "fit.h"
#include "frame.h"
#include "packet.h"
#include "pool.h"

#define IN      DT_AT_IN(DT_TEST_VM0)
#define OUT     DT_AT_OUT(DT_TEST_VM1)
#define LEN     200
#define MSS     1448
#define HEADERS (14 + 20 + 20) /* of TCP over IPv4 */

#define ALL_FEATURES                                                                                                   \
	(1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_HOST_TSO4 | 1ULL << VIRTIO_NET_F_HOST_TSO6 |                 \
		1ULL << VIRTIO_NET_F_HOST_UFO | 1ULL << VIRTIO_NET_F_HOST_ECN | 1ULL << VIRTIO_NET_F_HOST_USO)
#define ALL_CSUMS (DT_TAKES_TCP_CSUM | DT_TAKES_UDP_CSUM | DT_TAKES_SCTP_CSUM)
#define EVERYTHING                                                                                                     \
	(ALL_CSUMS | DT_TAKES_TSO4 | DT_TAKES_TSO6 | DT_TAKES_ECN | DT_TAKES_UFO | DT_TAKES_USO4 | DT_TAKES_USO6)

static struct dt_lane lane;
static struct dt_fit fit; /* of a guest that takes nothing undone, until a test says else */
static struct dt_test_frame frame; /* the one that was made last */

static int
open_lane(void **state)
{
	dt_test_books_open(state);
	assert_int_equal(dt_lane_init(&lane, "lane", OUT, LEN, DT_CAUSE_LANE_GUEST_NO_BUFFERS, 0, true), 0);
	dt_lane_open(&lane);
	fit = (struct dt_fit){ .multi_segment = true };
	return 0;
}

static int
close_lane(void **state)
{
	int result;

	dt_lane_drain(&lane, DT_CAUSE_SHUTTING_DOWN);
	result = dt_test_books_close(state);
	dt_lane_fini(&lane);
	return result;
}

/* A packet with a partial checksum and, with a type, to be cut at @p size; as a guest sends it. */
static struct rte_mbuf *
undone(const struct dt_test_frame_spec *spec, uint8_t gso_type, uint16_t size)
{
	struct virtio_net_hdr hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = gso_type, .gso_size = size };
	struct rte_mbuf *pkt;

	dt_test_frame_build(spec, 1, &frame);
	dt_test_frame_leave_csum(&frame);
	hdr.hdr_len = (uint16_t)frame.payload;
	hdr.csum_start = (uint16_t)frame.l4;
	hdr.csum_offset = (uint16_t)dt_test_check_offset(spec->proto);
	pkt = dt_test_packet_of(frame.bytes, frame.len, NULL, 0);
	assert_int_equal(dt_vnet_accept(&hdr, ALL_FEATURES, pkt), DT_CAUSE_MAX);
	return pkt;
}

static struct rte_mbuf *
tcp4(uint32_t payload, uint16_t size)
{
	const struct dt_test_frame_spec spec = { RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_TCP, .payload = payload };

	return undone(&spec, size > 0 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_NONE, size);
}

static struct rte_mbuf *
partial_udp(uint32_t payload)
{
	const struct dt_test_frame_spec spec = { RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_UDP, .payload = payload };

	return undone(&spec, VIRTIO_NET_HDR_GSO_NONE, 0);
}

static unsigned int
put_all(struct rte_mbuf **pkts, unsigned int n)
{
	dt_received(IN, n, dt_burst_bytes(pkts, n));
	return dt_fit_put(&lane, &fit, IN, pkts, n);
}

static unsigned int
put(struct rte_mbuf *pkt)
{
	return put_all(&pkt, 1);
}

/* The next that waits is that very packet, or one with these bytes. */
static void
expect_packet(const struct rte_mbuf *same, const uint8_t *bytes, uint32_t len)
{
	static uint8_t found[DT_TEST_FRAME_MAX];
	struct rte_mbuf *pkt;

	assert_int_equal(dt_lane_peek(&lane, &pkt, 1), 1);
	if (same != NULL)
		assert_ptr_equal(pkt, same);
	if (bytes != NULL) {
		assert_int_equal(dt_test_packet_read(pkt, found), len);
		assert_memory_equal(found, bytes, len);
	}
	dt_lane_finish(&lane, 1);
	dt_delivered(OUT, &pkt, 1);
}

/* The next that waits is a segment of @p frame. @return bytes of payload in it */
static uint32_t
expect_segment(bool complete, unsigned int most_mbufs, uint32_t offset)
{
	static uint8_t found[DT_TEST_FRAME_MAX];
	struct rte_mbuf *pkt;
	uint32_t len;

	assert_int_equal(dt_lane_peek(&lane, &pkt, 1), 1);
	len = dt_test_packet_read(pkt, found);
	assert_in_range(pkt->nb_segs, 1, most_mbufs);
	assert_int_equal((pkt->ol_flags & DT_VNET_WORK) == 0, complete);
	assert_memory_equal(found + frame.payload, frame.bytes + frame.payload + offset, len - frame.payload);
	if (complete)
		assert_true(dt_test_csums_are_right(&frame, found, len));
	else
		assert_int_equal(dt_vnet_needs(pkt), DT_TAKES_TCP_CSUM);
	dt_lane_finish(&lane, 1);
	dt_delivered(OUT, &pkt, 1);
	return len - frame.payload;
}

static void
expect_segments(bool complete, unsigned int most_mbufs)
{
	uint32_t offset = 0;

	while (offset < frame.len - frame.payload)
		offset += expect_segment(complete, most_mbufs, offset);
	assert_int_equal(dt_lane_count(&lane), 0);
}

static void
whole_packets_pass_as_they_are(void **state)
{
	struct rte_mbuf *pkts[3];

	dt_test_bring(IN, pkts, 3, 3000, 0);

	assert_int_equal(dt_fit_put(&lane, &fit, IN, pkts, 3), 3);

	for (unsigned int i = 0; i < 3; i++)
		expect_packet(pkts[i], NULL, 0);
	assert_int_equal(dt_test_account(OUT).created.packets, 0);
}

static void
what_an_egress_takes_stays_undone(void **state)
{
	struct rte_mbuf *pkts[3] = { tcp4(60000, MSS), partial_udp(100), tcp4(100, 0) };

	dt_fit_set(&fit, EVERYTHING);

	assert_int_equal(put_all(pkts, 3), 3);

	for (unsigned int i = 0; i < 3; i++) {
		assert_int_not_equal(dt_vnet_needs(pkts[i]), 0);
		expect_packet(pkts[i], NULL, 0);
	}
}

static void
a_packet_is_cut_for_whom_does_not_cut(void **state)
{
	struct rte_mbuf *pkt = tcp4(10 * MSS + 1, MSS);

	assert_int_equal(put(pkt), 11);

	expect_segments(true, 1);
	assert_int_equal(dt_test_account(OUT).received.packets, 1);
	assert_int_equal(dt_test_account(OUT).received.bytes, HEADERS + 10 * MSS + 1);
	assert_int_equal(dt_test_account(OUT).created.packets, 10);
	assert_int_equal(dt_test_account(OUT).created.bytes, 10 * HEADERS);
	assert_int_equal(dt_test_account(OUT).delivered.bytes, 11 * HEADERS + 10 * MSS + 1);
}

static void
segments_leave_their_checksums_to_whom_completes_them(void **state)
{
	dt_fit_set(&fit, DT_TAKES_TCP_CSUM);

	assert_int_equal(put(tcp4(10 * MSS, MSS)), 10);
	expect_segments(false, 1); /* a guest's, who will copy them anyway */

	fit.attaches = true;
	assert_int_equal(put(tcp4(10 * MSS, MSS)), 10);
	expect_segments(false, 3); /* a header, and payload from one mbuf or two */
}

static void
segments_may_be_longer_than_an_mbuf(void **state)
{
	assert_int_equal(put(tcp4(5 * 8000, 8000)), 5);
	expect_segments(true, 6);
}

static void
a_packet_that_is_cut_keeps_its_place(void **state)
{
	struct rte_mbuf *pkts[5];
	uint32_t offset = 0;

	pkts[0] = dt_test_packet(60, 0);
	pkts[1] = dt_test_packet(60, 1);
	pkts[2] = tcp4(2 * MSS, MSS);
	pkts[3] = dt_test_packet(60, 3);
	pkts[4] = dt_test_packet(60, 4);

	assert_int_equal(put_all(pkts, 5), 6);

	expect_packet(pkts[0], NULL, 0);
	expect_packet(pkts[1], NULL, 0);
	offset += expect_segment(true, 1, offset);
	offset += expect_segment(true, 1, offset);
	assert_int_equal(offset, 2 * MSS);
	expect_packet(pkts[3], NULL, 0);
	expect_packet(pkts[4], NULL, 0);
}

static void
what_a_guest_takes_can_change(void **state)
{
	dt_fit_set(&fit, DT_TAKES_TCP_CSUM | DT_TAKES_TSO4);
	assert_int_equal(put(tcp4(3 * MSS, MSS)), 1);
	dt_fit_set(&fit, 0);
	assert_int_equal(put(tcp4(3 * MSS, MSS)), 3);
}

static void
cwr_is_for_whom_knows_what_to_do_with_it(void **state)
{
	const struct dt_test_frame_spec spec = { RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_TCP, .tcp_flags = 0x90,
		.payload = 3 * MSS };

	dt_fit_set(&fit, EVERYTHING & ~DT_TAKES_ECN);
	assert_int_equal(put(undone(&spec, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, MSS)), 3);
	dt_fit_set(&fit, EVERYTHING);
	assert_int_equal(put(undone(&spec, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, MSS)), 1);
}

static void
a_partial_checksum_is_completed_for_whom_takes_none(void **state)
{
	struct rte_mbuf *pkt = partial_udp(100);

	assert_int_equal(put(pkt), 1);

	assert_int_equal(dt_vnet_needs(pkt), 0);
	assert_true(dt_test_csums_are_right(&frame, rte_pktmbuf_mtod(pkt, uint8_t *), pkt->pkt_len));
	expect_packet(pkt, NULL, 0); /* in place */
}

static void
data_that_another_packet_shares_are_not_written(void **state)
{
	struct rte_mbuf *pkt = partial_udp(5000), *clone = rte_pktmbuf_clone(pkt, dt_pool_of(0));

	assert_non_null(clone);

	assert_int_equal(put(clone), 1);

	expect_packet(NULL, NULL, 0);
	dt_fit_set(&fit, EVERYTHING);
	assert_int_equal(put(pkt), 1);
	expect_packet(pkt, frame.bytes, frame.len); /* its checksum is still partial */
}

static void
a_nic_writes_into_a_copy_of_what_is_shared(void **state)
{
	struct rte_mbuf *pkt = partial_udp(100), *clone = rte_pktmbuf_clone(pkt, dt_pool_of(0));
	struct rte_mbuf *waiting;

	assert_non_null(clone);
	dt_fit_set(&fit, EVERYTHING);
	fit.writes = true;

	assert_int_equal(put(clone), 1);
	assert_int_equal(dt_lane_peek(&lane, &waiting, 1), 1);

	assert_true(RTE_MBUF_DIRECT(waiting));
	assert_int_equal(rte_mbuf_refcnt_read(waiting), 1);
	assert_ptr_not_equal(rte_pktmbuf_mtod(waiting, void *), rte_pktmbuf_mtod(pkt, void *));
	assert_int_equal(dt_vnet_needs(waiting), DT_TAKES_UDP_CSUM);
	dt_lane_finish(&lane, 0);
	expect_packet(NULL, frame.bytes, frame.len);
	assert_int_equal(put(pkt), 1); /* by now nobody shares it */
	expect_packet(pkt, NULL, 0);
}

static void
segments_may_be_as_long_as_the_mtu(void **state)
{
	fit.mtu = 20 + 20 + MSS;

	assert_int_equal(put(tcp4(3 * MSS, MSS)), 3);
	assert_int_equal(put(tcp4(3 * MSS, MSS + 1)), 0);
	dt_fit_set(&fit, EVERYTHING); /* a NIC that cuts sends no longer ones */
	assert_int_equal(put(tcp4(3 * MSS, MSS + 1)), 0);
	assert_int_equal(put(tcp4(3 * MSS, MSS)), 1);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_SEGMENT_EXCEEDS_MTU), 2);
	assert_int_equal(dt_test_dropped_bytes(OUT, DT_CAUSE_SEGMENT_EXCEEDS_MTU), 2 * (HEADERS + 3 * MSS));
	assert_int_equal(dt_cause_reason(DT_CAUSE_SEGMENT_EXCEEDS_MTU), DT_REASON_SKB_GSO_SEG);
}

static void
each_kind_of_segment_has_its_length(void **state)
{
	const struct dt_test_frame_spec udp4 = { RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_UDP, .payload = 5000 };
	const struct dt_test_frame_spec udp6 = { RTE_ETHER_TYPE_IPV6, .proto = IPPROTO_UDP, .payload = 5000 };
	const struct dt_test_frame_spec tcp6 = { RTE_ETHER_TYPE_IPV6, .n_tags = 1, .proto = IPPROTO_TCP,
		.tcp_options = 12, .payload = 5000 };
	const struct {
		const struct dt_test_frame_spec *spec;
		uint8_t type;
		uint16_t mtu; /* that segments of 1000 bytes just fit */
	} kinds[] = {
		{ &udp4, VIRTIO_NET_HDR_GSO_UDP_L4, 20 + 8 + 1000 },
		{ &udp6, VIRTIO_NET_HDR_GSO_UDP_L4, 40 + 8 + 1000 },
		{ &udp4, VIRTIO_NET_HDR_GSO_UDP,
			20 + 1000 }, /* IP fragments, which carry the datagram's header as well */
		{ &udp6, VIRTIO_NET_HDR_GSO_UDP, 40 + 8 + 1000 }, /* and IPv6 a header that says so */
		{ &tcp6, VIRTIO_NET_HDR_GSO_TCPV6, 40 + 20 + 12 + 1000 },
	};

	for (unsigned int i = 0; i < RTE_DIM(kinds); i++) {
		fit.mtu = kinds[i].mtu;
		assert_true(put(undone(kinds[i].spec, kinds[i].type, 1000)) >= 5);
		for (unsigned int n = dt_lane_count(&lane); n > 0; n--) {
			struct rte_mbuf *pkt;

			assert_int_equal(dt_lane_peek(&lane, &pkt, 1), 1);
			assert_true(pkt->pkt_len <= frame.l3 + kinds[i].mtu);
			dt_lane_finish(&lane, 1);
			dt_delivered(OUT, &pkt, 1);
		}
		fit.mtu--;
		assert_int_equal(put(undone(kinds[i].spec, kinds[i].type, 1000)), 0);
		assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_SEGMENT_EXCEEDS_MTU), i + 1);
	}
}

static void
a_frame_that_is_not_to_be_cut_must_not_exceed_the_mtu(void **state)
{
	struct rte_mbuf *pkts[3];

	fit.mtu = 1500;
	for (uint16_t i = 0; i < 3; i++)
		pkts[i] = dt_test_packet(1513 + i, i);

	assert_int_equal(put_all(pkts, 3), 2);

	assert_int_equal(dt_test_dropped_bytes(OUT, DT_CAUSE_FRAME_EXCEEDS_MTU), 1515);
	assert_int_equal(put(partial_udp(1500)), 0);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_FRAME_EXCEEDS_MTU), 2);
}

static void
an_egress_of_one_mbuf_gets_frames_and_segments_in_one(void **state)
{
	static const uint32_t cut = 600;
	struct rte_mbuf *pkt;

	fit.multi_segment = false;
	dt_fit_set(&fit, DT_TAKES_TCP_CSUM | DT_TAKES_TSO4); /* which it can do with no more than fits into one */

	assert_int_equal(put(tcp4(4 * MSS, MSS)), 4);
	expect_segments(false, 1);
	pkt = dt_test_packet_of(frame.bytes, 1400, &cut, 1);
	assert_int_equal(pkt->nb_segs, 2);
	assert_int_equal(put(pkt), 1);
	assert_int_equal(dt_lane_peek(&lane, &pkt, 1), 1);
	assert_int_equal(pkt->nb_segs, 1);
	dt_lane_finish(&lane, 0);
	expect_packet(NULL, frame.bytes, 1400);
	assert_int_equal(put(dt_test_packet(2049, 0)), 0);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_UPLINK_ONE_SEGMENT), 1);
	assert_int_equal(put(tcp4(3 * 2040, 2040)), 0);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_UPLINK_ONE_SEGMENT), 2);
}

static struct rte_mbuf *hoard[16384];
static unsigned int n_hoarded;

/* Take all mbufs but @p n. */
static void
leave(unsigned int n)
{
	unsigned int more = rte_mempool_avail_count(dt_pool_of(0)) - n;

	assert_int_equal(rte_mempool_get_bulk(dt_pool_of(0), (void **)&hoard[n_hoarded], more), 0);
	n_hoarded += more;
}

static void
give_back(void)
{
	rte_mempool_put_bulk(dt_pool_of(0), (void **)hoard, n_hoarded);
	n_hoarded = 0;
}

static void
segments_that_find_no_mbuf_are_lost(void **state)
{
	struct rte_mbuf *pkt = tcp4(40 * MSS, MSS);

	leave(35);
	assert_int_equal(put(pkt), 35); /* a burst, and then one by one */
	give_back();

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GSO_NO_MBUF), 5);
	assert_int_equal(dt_test_dropped_bytes(OUT, DT_CAUSE_GSO_NO_MBUF), 5 * (HEADERS + MSS));
	assert_int_equal(dt_cause_reason(DT_CAUSE_GSO_NO_MBUF), DT_REASON_SKB_GSO_SEG);
	assert_int_equal(dt_test_account(OUT).created.packets, 39);
	assert_int_equal(dt_test_account(OUT).created.bytes, 39 * HEADERS);
}

static void
a_copy_that_finds_no_mbuf_is_lost(void **state)
{
	static const uint32_t cut = 600;
	struct rte_mbuf *pkt = partial_udp(5000), *clone = rte_pktmbuf_clone(pkt, dt_pool_of(0)), *split;

	assert_non_null(clone);
	split = dt_test_packet_of(frame.bytes, 1400, &cut, 1);
	leave(0);

	assert_int_equal(put(clone), 0);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_CSUM_NO_MBUF), 1);
	assert_int_equal(dt_cause_reason(DT_CAUSE_CSUM_NO_MBUF), DT_REASON_SKB_CSUM);
	assert_int_equal(put(pkt), 1); /* it is nobody else's any more */
	leave(0);
	fit.multi_segment = false;
	assert_int_equal(put(split), 0);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GSO_NO_MBUF), 1);
	give_back();
}

static void
what_cannot_be_cut_or_completed_is_lost_alone(void **state)
{
	struct rte_mbuf *pkts[4] = { dt_test_packet(60, 0), tcp4(3 * MSS, MSS), partial_udp(100),
		dt_test_packet(60, 3) };

	pkts[1]->l4_len = 200; /* nobody who sets such flags would; a driver might */
	pkts[1]->l3_len = 500;
	pkts[2]->l2_len = 127;
	pkts[2]->l3_len = 511;

	assert_int_equal(put_all(pkts, 4), 2);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GSO_MALFORMED), 1);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_CSUM_MALFORMED), 1);
	assert_int_equal(dt_cause_reason(DT_CAUSE_CSUM_MALFORMED), DT_REASON_SKB_CSUM);
	expect_packet(pkts[0], NULL, 0);
	expect_packet(pkts[3], NULL, 0);
}

static void
segments_for_which_there_is_no_room_are_never_made(void **state)
{
	const uint32_t n = 65000;
	struct rte_mbuf *pkt = tcp4(n, 1);
	unsigned int before = rte_mempool_avail_count(dt_pool_of(0));

	assert_int_equal(put(pkt), LEN);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_GUEST_NO_BUFFERS), n - LEN);
	assert_int_equal(dt_test_dropped_bytes(OUT, DT_CAUSE_LANE_GUEST_NO_BUFFERS), (n - LEN) * (HEADERS + 1));
	assert_int_equal(dt_test_account(OUT).created.packets, n - 1);
	assert_int_equal(dt_test_account(OUT).created.bytes, (n - 1) * HEADERS);
	assert_int_equal(before + 32 - rte_mempool_avail_count(dt_pool_of(0)), LEN); /* the packet is gone */
	expect_segment(true, 1, 0);
	expect_segment(true, 1, 1);
}

static void
a_burst_is_not_cut_for_ever(void **state)
{
	struct rte_mbuf *pkts[140];

	for (unsigned int i = 0; i < RTE_DIM(pkts); i++)
		pkts[i] = tcp4(1000, 1);

	assert_int_equal(put_all(pkts, RTE_DIM(pkts)), LEN);

	/* The first ones fill the lane, the next are tried for a burst each, the last not at all. */
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_GUEST_NO_BUFFERS) +
				 dt_test_dropped(OUT, DT_CAUSE_GSO_TOO_MANY_SEGMENTS),
		140 * 1000 - LEN);
	assert_in_range(dt_test_dropped(OUT, DT_CAUSE_GSO_TOO_MANY_SEGMENTS), 1000, 20 * 1000);
	assert_int_equal(dt_cause_reason(DT_CAUSE_GSO_TOO_MANY_SEGMENTS), DT_REASON_SKB_GSO_SEG);
}

static void
segments_that_point_into_a_packet_keep_to_the_room_for_large_ones(void **state)
{
	struct rte_mbuf *pkts[DT_BURST];

	fit.attaches = true;
	dt_fit_set(&fit, DT_TAKES_TCP_CSUM);
	for (unsigned int i = 0; i < 10; i++)
		pkts[i] = tcp4(40 * MSS, MSS);

	assert_int_equal(put_all(pkts, 10) + dt_test_dropped(OUT, DT_CAUSE_LANE_LARGE_FULL) +
				 dt_test_dropped(OUT, DT_CAUSE_LANE_GUEST_NO_BUFFERS),
		400);
	assert_int_not_equal(dt_test_dropped(OUT, DT_CAUSE_LANE_LARGE_FULL), 0);
	assert_true(lane.large <= lane.large_max);
}

static void
a_closed_lane_says_why_for_each_segment(void **state)
{
	dt_lane_close(&lane, DT_CAUSE_GUEST_NOT_READY);

	assert_int_equal(put(tcp4(10 * MSS, MSS)), 0);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_NOT_READY), 10);
}

int
main(void)
{
#define FIT(test) cmocka_unit_test_setup_teardown(test, open_lane, close_lane)
	const struct CMUnitTest tests[] = {
		FIT(whole_packets_pass_as_they_are),
		FIT(what_an_egress_takes_stays_undone),
		FIT(a_packet_is_cut_for_whom_does_not_cut),
		FIT(segments_leave_their_checksums_to_whom_completes_them),
		FIT(segments_may_be_longer_than_an_mbuf),
		FIT(a_packet_that_is_cut_keeps_its_place),
		FIT(what_a_guest_takes_can_change),
		FIT(cwr_is_for_whom_knows_what_to_do_with_it),
		FIT(a_partial_checksum_is_completed_for_whom_takes_none),
		FIT(data_that_another_packet_shares_are_not_written),
		FIT(a_nic_writes_into_a_copy_of_what_is_shared),
		FIT(segments_may_be_as_long_as_the_mtu),
		FIT(each_kind_of_segment_has_its_length),
		FIT(a_frame_that_is_not_to_be_cut_must_not_exceed_the_mtu),
		FIT(an_egress_of_one_mbuf_gets_frames_and_segments_in_one),
		FIT(segments_that_find_no_mbuf_are_lost),
		FIT(a_copy_that_finds_no_mbuf_is_lost),
		FIT(what_cannot_be_cut_or_completed_is_lost_alone),
		FIT(segments_for_which_there_is_no_room_are_never_made),
		FIT(a_burst_is_not_cut_for_ever),
		FIT(segments_that_point_into_a_packet_keep_to_the_room_for_large_ones),
		FIT(a_closed_lane_says_why_for_each_segment),
	};

	dt_test_eal_start();
	if (dt_vnet_init() != 0)
		return 1;
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
