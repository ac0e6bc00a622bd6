/* SPDX-License-Identifier: BSD-3-Clause */
/* What an egress takes, what a packet needs, and what a guest is told about it. */
#include "testing.h"

#include <rte_common.h>
#include <rte_ethdev.h>

#include "eal.h"
#include "vnet.h"

#define BIT(NAME) (1ULL << VIRTIO_NET_F_##NAME)

#define V4_TCP  (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM)
#define V6_TCP  (RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM)
#define V4_UDP  (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM)
#define V6_UDP  (RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM)
#define V4_SCTP (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_SCTP_CKSUM)

static void
without_guest_csum_a_guest_takes_nothing_undone(void **state)
{
	assert_int_equal(dt_vnet_guest_takes(~BIT(GUEST_CSUM)), 0);
	assert_int_equal(dt_vnet_guest_takes(0), 0);
}

static void
a_guest_takes_what_it_negotiated(void **state)
{
	static const struct {
		uint64_t feature;
		uint32_t takes;
	} each[] = {
		{ BIT(GUEST_TSO4), DT_TAKES_TSO4 },
		{ BIT(GUEST_TSO6), DT_TAKES_TSO6 },
		{ BIT(GUEST_ECN), DT_TAKES_ECN },
		{ BIT(GUEST_UFO), DT_TAKES_UFO },
		{ BIT(GUEST_USO4), DT_TAKES_USO4 },
		{ BIT(GUEST_USO6), DT_TAKES_USO6 },
		{ BIT(HOST_TSO4) | BIT(HOST_UFO) | BIT(CSUM), 0 },
	};

	for (unsigned int i = 0; i < RTE_DIM(each); i++)
		assert_int_equal(dt_vnet_guest_takes(BIT(GUEST_CSUM) | each[i].feature),
			DT_TAKES_TCP_CSUM | DT_TAKES_UDP_CSUM | each[i].takes);
}

static void
a_nic_takes_what_its_driver_names_without_doubt(void **state)
{
	assert_int_equal(dt_vnet_nic_takes(0), 0);
	assert_int_equal(dt_vnet_nic_takes(RTE_ETH_TX_OFFLOAD_UDP_CKSUM), DT_TAKES_UDP_CSUM);
	assert_int_equal(dt_vnet_nic_takes(RTE_ETH_TX_OFFLOAD_SCTP_CKSUM), DT_TAKES_SCTP_CSUM);
	assert_int_equal(dt_vnet_nic_takes(RTE_ETH_TX_OFFLOAD_TCP_CKSUM), DT_TAKES_TCP_CSUM);
	assert_int_equal(dt_vnet_nic_takes(RTE_ETH_TX_OFFLOAD_TCP_TSO), 0);
	assert_int_equal(dt_vnet_nic_takes(RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
					   RTE_ETH_TX_OFFLOAD_UDP_TSO),
		DT_TAKES_TCP_CSUM | DT_TAKES_TSO4 | DT_TAKES_TSO6);
}

static const struct {
	uint64_t ol_flags;
	bool uso, ecn;
	uint32_t needs;
	struct virtio_net_hdr hdr; /* for l2_len 18, l3_len 40, l4_len 32, tso_segsz 1400 */
} packets[] = {
	{ .needs = 0 },
	{ .ol_flags = RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_L4_CKSUM_BAD, .needs = 0 },
	{ .ol_flags = V4_TCP,
		.needs = DT_TAKES_TCP_CSUM,
		.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 58, .csum_offset = 16 } },
	{ .ol_flags = V6_UDP,
		.needs = DT_TAKES_UDP_CSUM,
		.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 58, .csum_offset = 6 } },
	{ .ol_flags = V4_SCTP,
		.needs = DT_TAKES_SCTP_CSUM,
		.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 58, .csum_offset = 8 } },
	{ .ol_flags = V4_TCP | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM,
		.needs = DT_TAKES_TCP_CSUM | DT_TAKES_TSO4,
		.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.hdr_len = 90,
			.gso_size = 1400,
			.csum_start = 58,
			.csum_offset = 16 } },
	{ .ol_flags = V6_TCP | RTE_MBUF_F_TX_TCP_SEG,
		.ecn = true,
		.needs = DT_TAKES_TCP_CSUM | DT_TAKES_TSO6 | DT_TAKES_ECN,
		.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN,
			.hdr_len = 90,
			.gso_size = 1400,
			.csum_start = 58,
			.csum_offset = 16 } },
	{ .ol_flags = V4_UDP | RTE_MBUF_F_TX_UDP_SEG,
		.needs = DT_TAKES_UDP_CSUM | DT_TAKES_UFO,
		.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_UDP,
			.hdr_len = 90,
			.gso_size = 1400,
			.csum_start = 58,
			.csum_offset = 6 } },
	{ .ol_flags = V4_UDP | RTE_MBUF_F_TX_UDP_SEG,
		.uso = true,
		.needs = DT_TAKES_UDP_CSUM | DT_TAKES_USO4,
		.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
			.hdr_len = 90,
			.gso_size = 1400,
			.csum_start = 58,
			.csum_offset = 6 } },
	{ .ol_flags = V6_UDP | RTE_MBUF_F_TX_UDP_SEG,
		.uso = true,
		.needs = DT_TAKES_UDP_CSUM | DT_TAKES_USO6,
		.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
			.hdr_len = 90,
			.gso_size = 1400,
			.csum_start = 58,
			.csum_offset = 6 } },
};

static struct rte_mbuf
mbuf_of(unsigned int i)
{
	return (struct rte_mbuf){
		.ol_flags =
			packets[i].ol_flags | (packets[i].uso ? dt_vnet_uso : 0) | (packets[i].ecn ? dt_vnet_ecn : 0),
		.l2_len = 18,
		.l3_len = 40,
		.l4_len = 32,
		.tso_segsz = 1400,
	};
}

static void
a_packet_needs_what_its_flags_leave_undone(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(packets); i++) {
		struct rte_mbuf m = mbuf_of(i);

		if (dt_vnet_needs(&m) != packets[i].needs)
			fail_msg("packet %u needs %#x, not %#x", i, dt_vnet_needs(&m), packets[i].needs);
	}
}

static void
a_guest_is_told_what_is_undone(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(packets); i++) {
		struct rte_mbuf m = mbuf_of(i);
		struct virtio_net_hdr hdr;

		memset(&hdr, 0xff, sizeof(hdr));
		dt_vnet_header(&m, BIT(GUEST_CSUM), &hdr);

		assert_memory_equal(&hdr, &packets[i].hdr, sizeof(hdr));
	}
}

static void
a_verified_checksum_is_told_to_who_can_read_it(void **state)
{
	static const struct virtio_net_hdr zeros, valid = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
	struct rte_mbuf m = { .ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_IP_CKSUM_GOOD };
	struct virtio_net_hdr hdr;

	dt_vnet_header(&m, BIT(GUEST_CSUM), &hdr);
	assert_memory_equal(&hdr, &valid, sizeof(hdr));

	dt_vnet_header(&m, ~BIT(GUEST_CSUM), &hdr);
	assert_memory_equal(&hdr, &zeros, sizeof(hdr));

	/* "none" has both of its bits set */
	m.ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	dt_vnet_header(&m, BIT(GUEST_CSUM), &hdr);
	assert_memory_equal(&hdr, &zeros, sizeof(hdr));
}

static void
flags_are_registered_once(void **state)
{
	uint64_t uso = dt_vnet_uso, ecn = dt_vnet_ecn;

	assert_int_equal(dt_vnet_init(), 0);

	assert_int_equal(dt_vnet_uso, uso);
	assert_int_equal(dt_vnet_ecn, ecn);
	assert_int_not_equal(uso, 0);
	assert_int_not_equal(ecn, 0);
	assert_int_not_equal(uso, ecn);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_guest_csum_a_guest_takes_nothing_undone),
		cmocka_unit_test(a_guest_takes_what_it_negotiated),
		cmocka_unit_test(a_nic_takes_what_its_driver_names_without_doubt),
		cmocka_unit_test(a_packet_needs_what_its_flags_leave_undone),
		cmocka_unit_test(a_guest_is_told_what_is_undone),
		cmocka_unit_test(a_verified_checksum_is_told_to_who_can_read_it),
		cmocka_unit_test(flags_are_registered_once),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
