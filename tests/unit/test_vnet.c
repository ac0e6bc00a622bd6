/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio_net_hdr: one table of headers and verdicts. */
#include "testing.h"

#include <rte_common.h>

#include "vnet.h"

#define CSUM (1ULL << VIRTIO_NET_F_CSUM)
#define TSO4 (1ULL << VIRTIO_NET_F_HOST_TSO4)
#define TSO6 (1ULL << VIRTIO_NET_F_HOST_TSO6)
#define UFO  (1ULL << VIRTIO_NET_F_HOST_UFO)
#define ALL  (CSUM | TSO4 | TSO6 | UFO)

#define GOOD DT_CAUSE_MAX

/* Each with a frame of 100 bytes. */
static const struct {
	const char *what;
	struct virtio_net_hdr hdr;
	uint64_t features;
	enum dt_cause verdict;
} cases[] = {
	{ "all zeros", { 0 }, 0, GOOD },
	{ "fields that nothing gives a meaning to",
		{ .hdr_len = 999, .gso_size = 1448, .csum_start = 65535, .csum_offset = 65535 }, 0, GOOD },
	{ "flags that nobody knows", { .flags = 0xfe }, 0, GOOD },
	{ "data valid", { .flags = VIRTIO_NET_HDR_F_DATA_VALID }, 0, GOOD },
	{ "a type that does not exist", { .gso_type = 2, .gso_size = 1 }, ALL, DT_CAUSE_HDR_GSO_TYPE },
	{ "another", { .gso_type = 0x7f, .gso_size = 1 }, ALL, DT_CAUSE_HDR_GSO_TYPE },
	{ "ECN without a type", { .gso_type = VIRTIO_NET_HDR_GSO_ECN, .gso_size = 1 }, ALL, DT_CAUSE_HDR_GSO_TYPE },
	{ "TCPv4, segments of no bytes", { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 }, ALL, DT_CAUSE_HDR_GSO_SIZE },
	{ "the same, not negotiated either", { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 }, 0, DT_CAUSE_HDR_GSO_SIZE },
	{ "TCPv4", { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448 }, TSO4, GOOD },
	{ "TCPv4, not negotiated", { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448 }, ALL & ~TSO4,
		DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
	{ "TCPv6", { .gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 1 }, TSO6, GOOD },
	{ "TCPv6, not negotiated", { .gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 1 }, ALL & ~TSO6,
		DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
	{ "TCPv6 with ECN", { .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN, .gso_size = 1 }, TSO6,
		GOOD },
	{ "UDP", { .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1 }, UFO, GOOD },
	{ "UDP, not negotiated", { .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1 }, ALL & ~UFO,
		DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
	{ "UDP_L4, which nobody is offered", { .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4, .gso_size = 1 }, ALL,
		DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
	{ "a checksum in the last two bytes",
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 64 }, CSUM, GOOD },
	{ "a checksum one byte beyond", { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 65 },
		CSUM, DT_CAUSE_HDR_CSUM_RANGE },
	{ "a start beyond", { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 100 }, CSUM,
		DT_CAUSE_HDR_CSUM_RANGE },
	{ "a sum that 16 bits would wrap",
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 65535, .csum_offset = 16 }, CSUM,
		DT_CAUSE_HDR_CSUM_RANGE },
	{ "both at their end", { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 65535, .csum_offset = 65535 },
		CSUM, DT_CAUSE_HDR_CSUM_RANGE },
	{ "a checksum, not negotiated", { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16 },
		ALL & ~CSUM, DT_CAUSE_HDR_CSUM_NOT_NEGOTIATED },
	{ "a checksum out of range, not negotiated either", { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 200 },
		0, DT_CAUSE_HDR_CSUM_RANGE },
	{ "a segmentation and a checksum, neither negotiated",
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.gso_size = 1,
			.csum_start = 34,
			.csum_offset = 16 },
		0, DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
	{ "a whole TCPv4 header as Linux writes it",
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.hdr_len = 66,
			.gso_size = 1448,
			.csum_start = 34,
			.csum_offset = 16 },
		CSUM | TSO4, GOOD },
};

static void
each_header_gets_its_verdict(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		enum dt_cause verdict = dt_vnet_check(&cases[i].hdr, 100, cases[i].features);

		if (verdict != cases[i].verdict)
			fail_msg("%s: verdict %d, expected %d", cases[i].what, (int)verdict, (int)cases[i].verdict);
	}
}

static void
features_of_other_things_negotiate_no_offload(void **state)
{
	const struct virtio_net_hdr tcp = { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1 };
	const struct virtio_net_hdr partial = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };

	assert_int_equal(dt_vnet_check(&tcp, 100, ~TSO4), DT_CAUSE_HDR_GSO_NOT_NEGOTIATED);
	assert_int_equal(dt_vnet_check(&partial, 100, ~CSUM), DT_CAUSE_HDR_CSUM_NOT_NEGOTIATED);
}

static void
the_shortcut_says_what_the_judge_says(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(cases); i++)
		assert_int_equal(dt_vnet_check(&cases[i].hdr, 100, cases[i].features),
			dt_vnet_judge(&cases[i].hdr, 100, cases[i].features));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_header_gets_its_verdict),
		cmocka_unit_test(features_of_other_things_negotiate_no_offload),
		cmocka_unit_test(the_shortcut_says_what_the_judge_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
