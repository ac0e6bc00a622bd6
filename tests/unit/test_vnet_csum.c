/* SPDX-License-Identifier: BSD-3-Clause */
/* Checksums that are completed in software, compared with naive ones. */
#include "testing.h"

#include <netinet/in.h>

#include <rte_common.h>
#include <rte_ether.h>

#include "books.h"
#include "eal.h"
#include "frame.h"
#include "packet.h"
#include "pool.h"
#include "vnet.h"
#include "vnet/internal.h"

static uint16_t
folded(uint64_t sum)
{
	return rte_be_to_cpu_16(dt_sum_fold(sum));
}

static void
sums_of_all_lengths_and_alignments_are_those_of_the_naive_way(void **state)
{
	static uint8_t bytes[4096 + 64], copy[4096 + 64];
	uint64_t seed = 1;

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)dt_test_random(&seed, 256);
	for (uint32_t at = 0; at < 64; at++)
		for (uint32_t len = 0; len < 4096; len += 1 + len / 300) {
			uint16_t want = dt_test_sum(bytes + at, len, 0);

			assert_int_equal(folded(dt_sum(bytes + at, len)), want);
			assert_int_equal(folded(dt_sum_plain(bytes + at, len)), want);
			memset(copy, 0, sizeof(copy));
			assert_int_equal(folded(dt_sum_copy(copy + at % 7, bytes + at, len)), want);
			assert_memory_equal(copy + at % 7, bytes + at, len);
			assert_int_equal(copy[at % 7 + len], 0);
		}
}

static void
the_largest_sums_do_not_overflow(void **state)
{
	static uint8_t bytes[65536 + 14];

	memset(bytes, 0xff, sizeof(bytes));
	for (uint32_t len = sizeof(bytes) - 9; len <= sizeof(bytes); len++)
		assert_int_equal(folded(dt_sum(bytes, len)), dt_test_sum(bytes, len, 0));
	assert_int_equal(dt_sum_fold(UINT64_MAX), 0xffff);
	assert_int_equal(dt_sum_fold(0), 0);
}

static void
a_sum_goes_over_mbufs_of_any_length(void **state)
{
	static struct dt_test_frame frame;
	uint64_t seed = dt_test_seed();

	dt_test_frame_build(&(struct dt_test_frame_spec){ .type = 0x88b5, .payload = 3000 }, 7, &frame);
	for (unsigned int i = 0; i < 3000; i++) {
		uint32_t cuts[6], from, len;
		struct rte_mbuf *pkt;

		for (unsigned int c = 0, at = 0; c < RTE_DIM(cuts); c++)
			cuts[c] = at += 1 + dt_test_random(&seed, 600);
		pkt = dt_test_packet_guarded(frame.bytes, frame.len, cuts, dt_test_random(&seed, RTE_DIM(cuts) + 1));
		from = dt_test_random(&seed, frame.len);
		len = dt_test_random(&seed, frame.len - from + 1);

		assert_int_equal(folded(dt_packet_sum(pkt, from, len)), dt_test_sum(frame.bytes + from, len, 0));
		dt_test_packet_free(pkt);
	}
}

/* As a guest sends it. */
static struct rte_mbuf *
partial(struct dt_test_frame *frame, const uint32_t *cuts, unsigned int n_cuts)
{
	const struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)frame->l4,
		.csum_offset = (uint16_t)dt_test_check_offset(frame->proto),
	};
	struct rte_mbuf *pkt;

	if (frame->proto != IPPROTO_SCTP)
		dt_test_frame_leave_csum(frame);
	pkt = dt_test_packet_of(frame->bytes, frame->len, cuts, n_cuts);
	assert_int_equal(dt_vnet_accept(&hdr, UINT64_MAX, pkt), DT_CAUSE_MAX);
	assert_true((pkt->ol_flags & DT_VNET_WORK) != 0);
	return pkt;
}

static const struct dt_test_frame_spec specs[] = {
	{ RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_TCP, .payload = 1460 },
	{ RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_TCP, .payload = 0 },
	{ RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_UDP, .payload = 1, .n_tags = 2, .ip_options = 12 },
	{ RTE_ETHER_TYPE_IPV6, .proto = IPPROTO_TCP, .payload = 8001 },
	{ RTE_ETHER_TYPE_IPV6, .proto = IPPROTO_UDP, .payload = 777, .extensions = { IPPROTO_DSTOPTS } },
};

static void
a_completed_checksum_is_what_its_receiver_computes(void **state)
{
	static struct dt_test_frame frame;
	static uint8_t bytes[DT_TEST_FRAME_MAX];

	for (unsigned int i = 0; i < RTE_DIM(specs); i++) {
		for (uint32_t at = 1; at < 120; at++) {
			const uint32_t cuts[] = { at, at + 1, 4 * at };
			struct rte_mbuf *pkt;

			dt_test_frame_build(&specs[i], at, &frame);
			pkt = partial(&frame, cuts, at % 4);

			assert_int_equal(dt_vnet_complete(&pkt, dt_pool_of(0)), DT_CAUSE_MAX);

			assert_true(pkt->ol_flags == 0 && pkt->tx_offload == 0);
			assert_int_equal(dt_test_packet_read(pkt, bytes), frame.len);
			assert_true(dt_test_csums_are_right(&frame, bytes, frame.len));
			dt_test_packet_free(pkt);
		}
	}
}

static void
a_checksum_of_zero_is_written_as_all_ones(void **state)
{
	static struct dt_test_frame frame;
	static uint8_t bytes[DT_TEST_FRAME_MAX];
	struct rte_mbuf *pkt;
	uint16_t sum;

	dt_test_frame_build(
		&(struct dt_test_frame_spec){ RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_UDP, .payload = 4 }, 1, &frame);
	memset(frame.bytes + frame.payload, 0, 4);
	dt_test_frame_leave_csum(&frame);
	/* the payload makes up what is missing to all ones */
	sum = (uint16_t)~dt_test_sum(frame.bytes + frame.l4, frame.len - frame.l4, 0);
	frame.bytes[frame.payload] = (uint8_t)(sum >> 8);
	frame.bytes[frame.payload + 1] = (uint8_t)sum;
	pkt = partial(&frame, NULL, 0);

	assert_int_equal(dt_vnet_complete(&pkt, dt_pool_of(0)), DT_CAUSE_MAX);

	dt_test_packet_read(pkt, bytes);
	assert_int_equal(bytes[frame.l4 + 6], 0xff);
	assert_int_equal(bytes[frame.l4 + 7], 0xff);
	dt_test_packet_free(pkt);
}

/* RFC 3309's, a bit at a time. */
static uint32_t
naive_crc32c(const uint8_t *bytes, uint32_t len)
{
	uint32_t crc = UINT32_MAX;

	for (uint32_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void
sctp_gets_its_crc(void **state)
{
	static struct dt_test_frame frame;
	static uint8_t bytes[DT_TEST_FRAME_MAX];

	/* RFC 3720, B.4: "123456789" */
	assert_int_equal(naive_crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
	for (uint32_t at = 1; at < 150; at++) {
		const uint32_t cuts[] = { at, at + 3 };
		const struct dt_test_frame_spec spec = { at % 2 != 0 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6,
			.proto = IPPROTO_SCTP, .payload = 4 * at + 1 };
		struct rte_mbuf *pkt;
		uint32_t crc;

		dt_test_frame_build(&spec, at, &frame);
		memset(frame.bytes + frame.l4 + 8, 0xaa, 4); /* what the sender left there does not count */
		pkt = partial(&frame, cuts, RTE_DIM(cuts));
		memset(frame.bytes + frame.l4 + 8, 0, 4);
		crc = rte_cpu_to_le_32(naive_crc32c(frame.bytes + frame.l4, frame.len - frame.l4));
		memcpy(frame.bytes + frame.l4 + 8, &crc, sizeof(crc));

		assert_int_equal(dt_vnet_complete(&pkt, dt_pool_of(0)), DT_CAUSE_MAX);

		assert_int_equal(dt_test_packet_read(pkt, bytes), frame.len);
		assert_memory_equal(bytes, frame.bytes, frame.len);
		dt_test_packet_free(pkt);
	}
}

static void
a_shared_packet_is_completed_in_a_copy(void **state)
{
	static struct dt_test_frame frame;
	static uint8_t bytes[DT_TEST_FRAME_MAX];

	for (unsigned int i = 0; i < RTE_DIM(specs); i++) {
		struct rte_mbuf *pkt, *clone;

		dt_test_frame_build(&specs[i], i, &frame);
		pkt = partial(&frame, NULL, 0);
		clone = rte_pktmbuf_clone(pkt, dt_pool_of(0));
		assert_non_null(clone);

		/* one after the other; for the second there is nobody left to share with, or there is */
		assert_int_equal(dt_vnet_complete(&clone, dt_pool_of(0)), DT_CAUSE_MAX);

		dt_test_packet_read(pkt, bytes);
		assert_memory_equal(bytes, frame.bytes, frame.len); /* the other's is still undone */
		assert_true((pkt->ol_flags & DT_VNET_WORK) != 0);
		dt_test_packet_read(clone, bytes);
		assert_true(dt_test_csums_are_right(&frame, bytes, frame.len));
		assert_true((clone->ol_flags & DT_VNET_WORK) == 0);
		dt_test_packet_free(clone);
		assert_int_equal(dt_vnet_complete(&pkt, dt_pool_of(0)), DT_CAUSE_MAX);
		dt_test_packet_free(pkt);
	}
}

static void
without_an_mbuf_for_the_copy_the_packet_stays_as_it_is(void **state)
{
	static struct dt_test_frame frame;
	static struct rte_mbuf *hoard[65536];
	struct rte_mbuf *pkt, *clone, *before;
	unsigned int n_hoard = 0;

	dt_test_frame_build(&specs[0], 1, &frame);
	pkt = partial(&frame, NULL, 0);
	before = clone = rte_pktmbuf_clone(pkt, dt_pool_of(0));
	while (n_hoard < RTE_DIM(hoard) && (hoard[n_hoard] = rte_pktmbuf_alloc(dt_pool_of(0))) != NULL)
		n_hoard++;

	assert_int_equal(dt_vnet_complete(&clone, dt_pool_of(0)), DT_CAUSE_CSUM_NO_MBUF);

	assert_ptr_equal(clone, before);
	assert_true((clone->ol_flags & DT_VNET_WORK) != 0);
	while (n_hoard > 0)
		dt_test_packet_free(hoard[--n_hoard]);
	dt_test_packet_free(clone);
	dt_test_packet_free(pkt);
}

static void
a_checksum_outside_the_packet_is_malformed(void **state)
{
	static struct dt_test_frame frame;
	struct rte_mbuf *pkt;

	dt_test_frame_build(&specs[0], 1, &frame);
	pkt = partial(&frame, NULL, 0);
	pkt->l3_len = 511;
	pkt->l2_len = 127;
	assert_int_equal(rte_pktmbuf_trim(pkt, (uint16_t)(pkt->pkt_len - 127 - 511 - 17)), 0);
	assert_int_equal(dt_vnet_complete(&pkt, dt_pool_of(0)), DT_CAUSE_CSUM_MALFORMED);
	pkt->ol_flags = 0;
	assert_int_equal(dt_vnet_complete(&pkt, dt_pool_of(0)), DT_CAUSE_CSUM_MALFORMED);
	dt_test_packet_free(pkt);
}

int
main(void)
{
#define BOOKS(test) cmocka_unit_test_setup_teardown(test, dt_test_books_open, dt_test_books_close)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_of_all_lengths_and_alignments_are_those_of_the_naive_way),
		cmocka_unit_test(the_largest_sums_do_not_overflow),
		BOOKS(a_sum_goes_over_mbufs_of_any_length),
		BOOKS(a_completed_checksum_is_what_its_receiver_computes),
		BOOKS(a_checksum_of_zero_is_written_as_all_ones),
		BOOKS(sctp_gets_its_crc),
		BOOKS(a_shared_packet_is_completed_in_a_copy),
		BOOKS(without_an_mbuf_for_the_copy_the_packet_stays_as_it_is),
		BOOKS(a_checksum_outside_the_packet_is_malformed),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
