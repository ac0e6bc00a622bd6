/* SPDX-License-Identifier: BSD-3-Clause */
/* Work on packets that is left to a NIC, and what a NIC left undone on those that it received. */
#include "testing.h"

#include <string.h>

#include <netinet/in.h>

#include <rte_ether.h>

#include "eal.h"
#include "frame.h"
#include "nic.h"
#include "packet.h"
#include "pool.h"

#define NIC_IN  DT_TEST_NIC_IN
#define NIC_OUT DT_TEST_NIC_OUT
#define VM0_IN  DT_AT_IN(DT_TEST_VM0)
#define VM1_OUT DT_AT_OUT(DT_TEST_VM1)
#define MSS     1448

#define CSUMS                                                                                                          \
	(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |                 \
		RTE_ETH_TX_OFFLOAD_SCTP_CKSUM)
#define TSO RTE_ETH_TX_OFFLOAD_TCP_TSO

static struct dt_test_nic *const nic = &dt_test_nic;
static struct dt_lane lane; /* where received packets go */
static struct dt_test_frame frame;

/* ---- a driver that looks at what it is to send ---- */

static unsigned int n_prepared;
static uint32_t refused_len; /* packets of this length it does not like */

static uint16_t
prepare(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		if (pkts[i]->pkt_len == refused_len)
			return i;
		n_prepared++;
	}
	return n;
}

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
	dt_test_nic_start((struct dt_sink){ into_lane, &lane }, 9000);
	rte_eth_fp_ops[nic->device].tx_pkt_prepare = prepare;
	n_prepared = 0;
	refused_len = 0;
	dt_fit_set(&nic->uplink->fit, dt_vnet_nic_takes(CSUMS | TSO));
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

static const struct dt_test_frame_spec tcp4 = { RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_TCP, .payload = 3 * MSS };
static const struct dt_test_frame_spec udp4 = { RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_UDP, .payload = 200 };
static const struct dt_test_frame_spec udp6 = { RTE_ETHER_TYPE_IPV6, .n_tags = 1, .proto = IPPROTO_UDP, .payload = 99 };

static struct rte_mbuf *
packet(const struct dt_test_frame_spec *spec)
{
	dt_test_frame_build(spec, 7, &frame);
	return dt_test_packet_of(frame.bytes, frame.len, NULL, 0);
}

/* A guest hands over a packet that leaves work to the egress. @return packets queued */
static unsigned int
put_undone(const struct dt_test_frame_spec *spec, uint8_t gso_type)
{
	const uint64_t features = 1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_HOST_TSO4;
	struct virtio_net_hdr hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = gso_type, .gso_size = MSS };
	struct rte_mbuf *pkt;

	dt_test_frame_build(spec, 7, &frame);
	dt_test_frame_leave_csum(&frame);
	if (gso_type != VIRTIO_NET_HDR_GSO_NONE) /* segments will have their own */
		frame.bytes[frame.l3 + offsetof(struct rte_ipv4_hdr, hdr_checksum)] ^= 0xff;
	pkt = dt_test_packet_of(frame.bytes, frame.len, NULL, 0);
	hdr.csum_start = (uint16_t)frame.l4;
	hdr.csum_offset = (uint16_t)dt_test_check_offset(spec->proto);
	assert_int_equal(dt_vnet_accept(&hdr, features, pkt), DT_CAUSE_MAX);
	dt_received(VM0_IN, 1, pkt->pkt_len);
	return dt_uplink_put(nic->uplink, 0, VM0_IN, &pkt, 1);
}

static void
put_plain(uint32_t len, uint16_t seq)
{
	struct rte_mbuf *pkt;

	dt_test_bring(VM0_IN, &pkt, 1, len, seq);
	assert_int_equal(dt_uplink_put(nic->uplink, 0, VM0_IN, &pkt, 1), 1);
}

/* The next on the wire needs this of a NIC. */
static void
expect_needs(uint32_t needs)
{
	struct rte_mbuf *pkt = NULL;

	assert_int_equal(rte_ring_dequeue(nic->from_dptap, (void **)&pkt), 0);
	assert_int_equal(dt_vnet_needs(pkt), needs);
	dt_test_packet_free(pkt);
}

static void
work_goes_to_the_nic_and_its_driver_looks_at_it_first(void **state)
{
	put_plain(60, 0);
	assert_int_equal(put_undone(&tcp4, VIRTIO_NET_HDR_GSO_TCPV4), 1);
	assert_int_equal(put_undone(&udp4, VIRTIO_NET_HDR_GSO_NONE), 1);

	assert_int_equal(dt_test_nic_poll(), 3);

	assert_int_equal(n_prepared, 3);
	dt_test_nic_expect(60, 0);
	expect_needs(DT_TAKES_TCP_CSUM | DT_TAKES_TSO4);
	expect_needs(DT_TAKES_UDP_CSUM);
}

/* The IPv4 header's checksum of the next on the wire: whether it is right, and whether it is left to the NIC. */
static void
expect_ipv4_sum(bool right, bool left)
{
	struct rte_mbuf *pkt = NULL;

	assert_int_equal(rte_ring_dequeue(nic->from_dptap, (void **)&pkt), 0);
	assert_int_equal(rte_ipv4_cksum(rte_pktmbuf_mtod_offset(pkt, struct rte_ipv4_hdr *, pkt->l2_len)) == 0, right);
	assert_int_equal((pkt->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) != 0, left);
	dt_test_packet_free(pkt);
}

static void
a_nic_that_sums_no_ipv4_headers_finds_them_whole(void **state)
{
	static const struct dt_test_frame_spec with_options = { RTE_ETHER_TYPE_IPV4, .n_tags = 1, .proto = IPPROTO_TCP,
		.ip_options = 8, .payload = 3 * MSS };

	nic->uplink->tx_offloads = CSUMS | TSO;
	put_undone(&tcp4, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(dt_test_nic_poll(), 1);
	expect_ipv4_sum(false, true);

	nic->uplink->tx_offloads &= ~(uint64_t)RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	put_undone(&with_options, VIRTIO_NET_HDR_GSO_TCPV4);
	put_undone(&udp4, VIRTIO_NET_HDR_GSO_NONE);
	assert_int_equal(dt_test_nic_poll(), 2);
	expect_ipv4_sum(true, false);
	expect_ipv4_sum(true, false);
}

static void
a_burst_without_work_is_sent_unseen(void **state)
{
	put_plain(60, 0);
	put_plain(9000, 1);

	assert_int_equal(dt_test_nic_poll(), 2);

	assert_int_equal(n_prepared, 0);
}

static void
what_the_driver_refuses_is_dropped_and_the_others_go_on(void **state)
{
	const uint32_t udp_len = 14 + 20 + 8 + 200;

	put_plain(60, 0);
	put_undone(&udp4, VIRTIO_NET_HDR_GSO_NONE);
	put_undone(&tcp4, VIRTIO_NET_HDR_GSO_TCPV4);
	put_undone(&udp4, VIRTIO_NET_HDR_GSO_NONE);
	put_undone(&udp4, VIRTIO_NET_HDR_GSO_NONE);
	put_plain(61, 1);
	refused_len = udp_len;

	assert_int_equal(dt_test_nic_poll(), 6);

	assert_int_equal(dt_test_dropped(NIC_OUT, DT_CAUSE_NIC_REFUSES_OFFLOAD), 3);
	assert_int_equal(dt_test_dropped_bytes(NIC_OUT, DT_CAUSE_NIC_REFUSES_OFFLOAD), 3 * udp_len);
	assert_int_equal(dt_cause_reason(DT_CAUSE_NIC_REFUSES_OFFLOAD), DT_REASON_DEV_HDR);
	dt_test_nic_expect(60, 0);
	expect_needs(DT_TAKES_TCP_CSUM | DT_TAKES_TSO4);
	dt_test_nic_expect(61, 1);
	assert_int_equal(dt_test_account(NIC_OUT).delivered.packets, 3);
}

static void
what_a_full_nic_leaves_is_not_lost(void **state)
{
	const unsigned int n = DT_TEST_NIC_WIRE + 4;

	for (unsigned int i = 0; i < n; i++)
		put_undone(&udp4, VIRTIO_NET_HDR_GSO_NONE);

	assert_int_equal(dt_test_nic_poll(), DT_TEST_NIC_WIRE);
	assert_int_equal(dt_test_nic_empty(), DT_TEST_NIC_WIRE);
	assert_int_equal(dt_test_nic_poll(), 4);

	assert_int_equal(dt_test_nic_empty(), 4);
	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
what_the_nic_cannot_do_is_done_before(void **state)
{
	dt_fit_set(&nic->uplink->fit, 0);
	put_undone(&tcp4, VIRTIO_NET_HDR_GSO_TCPV4);
	put_undone(&udp4, VIRTIO_NET_HDR_GSO_NONE);

	assert_int_equal(dt_test_nic_poll(), 4);

	for (unsigned int i = 0; i < 4; i++)
		expect_needs(0);
	assert_int_equal(n_prepared, 0);
	assert_int_equal(dt_test_account(NIC_OUT).created.packets, 2);
}

/* ---- what a driver says of a packet that it received ---- */

/* A packet comes in with these flags. @return what waits for a guest; finish() frees it */
static struct rte_mbuf *
arrive(struct rte_mbuf *pkt, uint64_t flags, uint16_t segment)
{
	struct rte_mbuf *waiting = NULL;

	pkt->ol_flags |= flags;
	pkt->tso_segsz = segment;
	dt_test_nic_arrives(pkt);
	assert_int_equal(dt_test_nic_poll(), 1);
	assert_int_equal(dt_lane_peek(&lane, &waiting, 1), 1);
	return waiting;
}

static void
finish(struct rte_mbuf *waiting)
{
	dt_lane_finish(&lane, 1);
	dt_delivered(VM1_OUT, &waiting, 1);
}

static void
what_a_nic_has_verified_is_not_looked_at_again(void **state)
{
	struct rte_mbuf *pkt = arrive(packet(&udp4), RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_IP_CKSUM_GOOD, 0);

	assert_int_equal(dt_vnet_needs(pkt), 0);
	assert_int_equal(pkt->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	finish(pkt);
}

static void
a_bad_checksum_is_the_guests_to_find(void **state)
{
	struct rte_mbuf *pkt = arrive(packet(&udp4), RTE_MBUF_F_RX_L4_CKSUM_BAD, 0);

	assert_int_equal(dt_vnet_needs(pkt), 0);
	assert_memory_equal(rte_pktmbuf_mtod(pkt, void *), frame.bytes, frame.len);
	finish(pkt);
}

static void
a_checksum_that_a_virtual_nic_left_out_is_a_partial_one(void **state)
{
	const struct dt_test_frame_spec *const specs[] = { &udp4, &udp6, &tcp4 };

	for (unsigned int i = 0; i < RTE_DIM(specs); i++) {
		struct rte_mbuf *pkt = packet(specs[i]), *waiting;

		memset(rte_pktmbuf_mtod_offset(pkt, void *, frame.l4 + dt_test_check_offset(frame.proto)), 0xaa, 2);
		waiting = arrive(pkt, RTE_MBUF_F_RX_L4_CKSUM_NONE, 0);

		assert_int_equal(
			dt_vnet_needs(waiting), frame.proto == IPPROTO_TCP ? DT_TAKES_TCP_CSUM : DT_TAKES_UDP_CSUM);
		assert_int_equal(waiting->l2_len, frame.l3);
		assert_int_equal(waiting->l2_len + waiting->l3_len, frame.l4);
		dt_test_frame_leave_csum(&frame);
		assert_memory_equal(rte_pktmbuf_mtod(waiting, void *), frame.bytes, waiting->data_len);
		finish(waiting);
	}
}

static void
a_merged_packet_is_one_to_cut(void **state)
{
	struct rte_mbuf *pkt = arrive(packet(&tcp4), RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE, MSS);

	assert_int_equal(dt_vnet_needs(pkt), DT_TAKES_TCP_CSUM | DT_TAKES_TSO4);
	assert_int_equal(pkt->tso_segsz, MSS);
	assert_int_equal(pkt->ol_flags & RTE_MBUF_F_RX_LRO, 0);
	finish(pkt);
}

static void
a_fragment_is_not_one_to_cut(void **state)
{
	const struct dt_test_frame_spec fragment = { RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_TCP, .fragment = 0x2000,
		.payload = 3 * MSS };
	struct rte_mbuf *pkt = arrive(packet(&fragment), RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE, MSS);

	assert_int_equal(dt_vnet_needs(pkt), 0);
	finish(pkt);
}

static void
flags_of_packets_to_send_are_not_believed_of_received_ones(void **state)
{
	struct rte_mbuf *pkt = packet(&tcp4);

	/* as net_vhost with legacy-ol-flags=1, and lengths out of the peer's head */
	pkt->l2_len = 99;
	pkt->l3_len = 499;
	pkt->l4_len = 255;
	pkt = arrive(pkt, RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM, MSS);
	assert_int_equal(dt_vnet_needs(pkt), DT_TAKES_TCP_CSUM | DT_TAKES_TSO4);
	assert_int_equal(pkt->l2_len + pkt->l3_len + pkt->l4_len, frame.payload);
	finish(pkt);

	pkt = arrive(packet(&udp4), RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IP_CKSUM, 0);
	assert_int_equal(dt_vnet_needs(pkt), DT_TAKES_UDP_CSUM);
	assert_int_equal(pkt->ol_flags & RTE_MBUF_F_TX_IP_CKSUM, 0);
	finish(pkt);

	pkt = arrive(dt_test_packet(60, 0), RTE_MBUF_F_TX_SCTP_CKSUM | RTE_MBUF_F_TX_UDP_SEG, 1);
	assert_int_equal(dt_vnet_needs(pkt), 0);
	finish(pkt);
}

static void
nonsense_about_a_received_packet_hurts_nobody(void **state)
{
	uint64_t seed = 42;

	for (unsigned int i = 0; i < 3000; i++) {
		const struct dt_test_frame_spec spec = {
			dt_test_random(&seed, 2) ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6,
			.n_tags = dt_test_random(&seed, 3),
			.proto = dt_test_random(&seed, 2) ? IPPROTO_TCP : IPPROTO_UDP,
			.payload = dt_test_random(&seed, 3000),
		};
		uint32_t cut = 1 + dt_test_random(&seed, 100);
		struct rte_mbuf *pkt, *waiting;

		dt_test_frame_build(&spec, i, &frame);
		for (unsigned int k = dt_test_random(&seed, 4); k > 0; k--)
			frame.bytes[dt_test_random(&seed, RTE_MIN(frame.len, 80u))] =
				(uint8_t)dt_test_random(&seed, 256);
		frame.len -= dt_test_random(&seed, RTE_MIN(frame.len - 14, 60u));
		pkt = dt_test_packet_of(
			frame.bytes, frame.len, &cut, cut < frame.len && dt_test_random(&seed, 2) ? 1 : 0);
		pkt->ol_flags = (uint64_t)dt_test_random(&seed, 2) * RTE_MBUF_F_RX_LRO |
				(uint64_t)dt_test_random(&seed, 2) * RTE_MBUF_F_RX_L4_CKSUM_NONE |
				(uint64_t)dt_test_random(&seed, 2) * RTE_MBUF_F_TX_TCP_SEG;
		pkt->tso_segsz = (uint16_t)dt_test_random(&seed, dt_test_random(&seed, 2) ? 65536 : 2000);
		dt_test_nic_arrives(pkt);
		assert_int_equal(dt_test_nic_poll(), 1);
		if (dt_lane_peek(&lane, &waiting, 1) == 0)
			continue; /* its first buffer was too short */
		/* What it says now, the packet itself bears out: whoever is told to cut it can. */
		if (dt_vnet_needs(waiting) != 0)
			assert_true(waiting->l2_len + waiting->l3_len + waiting->l4_len <= waiting->data_len);
		dt_lane_finish(&lane, 1);
		dt_delivered(VM1_OUT, &waiting, 1);
	}
	assert_int_equal(dt_test_dropped_anywhere(), dt_test_dropped(NIC_IN, DT_CAUSE_UPLINK_FRAME_TOO_SHORT));
}

/* ---- what is told ---- */

static void
an_uplink_tells_which_offloads_are_in_use(void **state)
{
	struct dt_uplink_info told;

	dt_uplink_info(nic->uplink, &told);

	assert_int_equal(told.tx_offloads, RTE_ETH_TX_OFFLOAD_MULTI_SEGS); /* net_ring's one */
	assert_int_equal(told.oerrors, 0);
	assert_int_equal(told.merged, 0);
}

int
main(void)
{
#define NIC(test) cmocka_unit_test_setup_teardown(test, start, stop)
	const struct CMUnitTest tests[] = {
		NIC(work_goes_to_the_nic_and_its_driver_looks_at_it_first),
		NIC(a_nic_that_sums_no_ipv4_headers_finds_them_whole),
		NIC(a_burst_without_work_is_sent_unseen),
		NIC(what_the_driver_refuses_is_dropped_and_the_others_go_on),
		NIC(what_a_full_nic_leaves_is_not_lost),
		NIC(what_the_nic_cannot_do_is_done_before),
		NIC(what_a_nic_has_verified_is_not_looked_at_again),
		NIC(a_bad_checksum_is_the_guests_to_find),
		NIC(a_checksum_that_a_virtual_nic_left_out_is_a_partial_one),
		NIC(a_merged_packet_is_one_to_cut),
		NIC(a_fragment_is_not_one_to_cut),
		NIC(flags_of_packets_to_send_are_not_believed_of_received_ones),
		NIC(nonsense_about_a_received_packet_hurts_nobody),
		NIC(an_uplink_tells_which_offloads_are_in_use),
	};

	dt_test_eal_start();
	if (dt_vnet_init() != 0)
		return 1;
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
