/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments, compared byte by byte with what the naive code in here makes of the same frame. */
#include "testing.h"

#include <stdio.h>
#include <stdlib.h>

#include <netinet/in.h>

#include <rte_common.h>
#include <rte_ether.h>

#include "books.h"
#include "eal.h"
#include "frame.h"
#include "packet.h"
#include "pool.h"
#include "vnet.h"

#define ALL UINT64_MAX

#define TCP4 VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6 VIRTIO_NET_HDR_GSO_TCPV6
#define UFO  VIRTIO_NET_HDR_GSO_UDP
#define USO  VIRTIO_NET_HDR_GSO_UDP_L4
#define ECN  VIRTIO_NET_HDR_GSO_ECN

#define IP4 RTE_ETHER_TYPE_IPV4
#define IP6 RTE_ETHER_TYPE_IPV6

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

/* ---- the reference ---- */

static uint32_t
get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static void
put16(uint8_t *at, uint32_t number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
}

static void
put32(uint8_t *at, uint32_t number)
{
	put16(at, number >> 16);
	put16(at + 2, number);
}

struct reference {
	const struct dt_test_frame *frame; /* with a complete checksum */
	uint8_t type;
	uint16_t size;
	bool checksum;
};

static bool
is_ufo(const struct reference *ref)
{
	return (ref->type & ~ECN) == UFO;
}

/* Where what is spread over segments begins. */
static uint32_t
spread_from(const struct reference *ref)
{
	return is_ufo(ref) ? ref->frame->l4 : ref->frame->payload;
}

static uint32_t
n_segments(const struct reference *ref)
{
	return (ref->frame->len - spread_from(ref) + ref->size - 1) / ref->size;
}

static void
finish_reference_ip(const struct reference *ref, uint32_t i, uint8_t *seg, uint32_t len)
{
	const struct dt_test_frame *f = ref->frame;
	bool last = i + 1 == n_segments(ref);
	uint8_t *ip = seg + f->l3;

	if (f->v6) {
		put16(ip + 4, len - f->l3 - 40);
		if (is_ufo(ref))
			put16(seg + f->l4 + 2, i * ref->size | (last ? 0 : 1));
		return;
	}
	put16(ip + 2, len - f->l3);
	if (is_ufo(ref))
		put16(ip + 6, i * ref->size / 8 | (last ? 0 : 0x2000));
	else
		put16(ip + 4, get16(ip + 4) + i);
	put16(ip + 10, 0);
	put16(ip + 10, (uint16_t)~dt_test_sum(ip, f->l4 - f->l3, 0));
}

static void
finish_reference_l4(const struct reference *ref, uint32_t i, uint8_t *seg, uint32_t len)
{
	const struct dt_test_frame *f = ref->frame;
	bool last = i + 1 == n_segments(ref);
	uint8_t *l4 = seg + f->l4, *check = l4 + dt_test_check_offset(f->proto);
	uint32_t sum;

	if (f->proto == IPPROTO_TCP) {
		put32(l4 + 4, (get16(l4 + 4) << 16 | get16(l4 + 6)) + i * ref->size);
		if (!last)
			l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (i > 0)
			l4[13] &= (uint8_t)~TCP_CWR;
	} else {
		put16(l4 + 4, len - f->l4);
	}
	put16(check, 0);
	sum = dt_test_pseudo_sum(f, len - f->l4);
	if (ref->checksum) {
		sum = (uint16_t)~dt_test_sum(l4, len - f->l4, sum);
		if (sum == 0 && f->proto == IPPROTO_UDP)
			sum = 0xffff;
	}
	put16(check, sum);
}

/* Number @p i of the segments. @return its length */
static uint32_t
reference_segment(const struct reference *ref, uint32_t i, uint8_t *seg)
{
	const struct dt_test_frame *f = ref->frame;
	uint32_t from = spread_from(ref) + i * ref->size, n = RTE_MIN((uint32_t)ref->size, f->len - from);
	uint32_t len = spread_from(ref);

	memcpy(seg, f->bytes, len);
	if (is_ufo(ref) && f->v6) {
		/* the last header's "next" is UDP; the fragment header comes in between */
		uint8_t *next = seg + f->l3 + 6;

		for (uint32_t at = f->l3 + 40; at < f->l4; at += (seg[at + 1] + 1u) * 8u)
			next = seg + at;
		assert_int_equal(*next, IPPROTO_UDP);
		*next = IPPROTO_FRAGMENT;
		memset(seg + len, 0, 8);
		seg[len] = IPPROTO_UDP;
		len += 8;
	}
	memcpy(seg + len, f->bytes + from, n);
	len += n;
	finish_reference_ip(ref, i, seg, len);
	if (!is_ufo(ref))
		finish_reference_l4(ref, i, seg, len);
	return len;
}

/* ---- what is compared ---- */

/* As a guest sends it, the checksum left undone. */
static struct rte_mbuf *
sent(const struct dt_test_frame *frame, uint8_t type, uint16_t size, const uint32_t *cuts, unsigned int n_cuts,
	bool guarded)
{
	static struct dt_test_frame undone;
	const struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = type,
		.gso_size = size,
		.csum_start = (uint16_t)frame->l4,
		.csum_offset = (uint16_t)dt_test_check_offset(frame->proto),
	};
	struct rte_mbuf *pkt;

	memcpy(&undone, frame, offsetof(struct dt_test_frame, bytes) + frame->len);
	dt_test_frame_leave_csum(&undone);
	pkt = guarded ? dt_test_packet_guarded(undone.bytes, undone.len, cuts, n_cuts)
		      : dt_test_packet_of(undone.bytes, undone.len, cuts, n_cuts);
	assert_int_equal(dt_vnet_accept(&hdr, ALL, pkt), DT_CAUSE_MAX);
	assert_true((pkt->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) != 0);
	pkt->port = 3;
	pkt->hash.rss = 0x12345678;
	pkt->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
	return pkt;
}

static void
check_flags(const struct reference *ref, const struct rte_mbuf *seg)
{
	const struct dt_test_frame *f = ref->frame;
	uint64_t flags = RTE_MBUF_F_RX_RSS_HASH;

	if (is_ufo(ref))
		flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	else if (!ref->checksum)
		flags |= (f->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
			 (f->proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
	assert_true(seg->ol_flags == flags);
	assert_int_equal(seg->hash.rss, 0x12345678);
	assert_int_equal(seg->port, 3);
	if ((flags & DT_VNET_WORK) == 0)
		return;
	assert_int_equal(seg->tso_segsz, 0);
	assert_int_equal(seg->l2_len, f->l3);
	assert_int_equal(seg->l3_len, f->l4 - f->l3);
}

static void
check_segment(const struct reference *ref, uint32_t i, const struct rte_mbuf *seg, uint32_t *id)
{
	static uint8_t want[DT_TEST_FRAME_MAX], got[DT_TEST_FRAME_MAX];
	uint32_t want_len = reference_segment(ref, i, want), len = dt_test_packet_read(seg, got);

	if (is_ufo(ref) && ref->frame->v6) {
		/* any number will do, but the same for all */
		if (i == 0)
			memcpy(id, got + ref->frame->l4 + 4, sizeof(*id));
		memcpy(want + ref->frame->l4 + 4, id, sizeof(*id));
	}
	assert_int_equal(len, want_len);
	for (uint32_t k = 0; k < len; k++)
		if (got[k] != want[k])
			fail_msg("segment %u of type %u and %u bytes: byte %u is %02x, not %02x", i, ref->type,
				ref->size, k, got[k], want[k]);
	check_flags(ref, seg);
}

/* Cut it, bursts of @p burst, and compare; all mbufs of the packet are gone before the last segments are read. */
static void
compare(const struct reference *ref, struct rte_mbuf *pkt, unsigned int burst, bool one_segment)
{
	struct rte_mbuf *segs[64];
	struct dt_vnet_cut cut;
	uint64_t bytes = 0;
	uint32_t made = 0, id = 0;
	enum dt_cause cause;
	unsigned int n;

	assert_int_equal(dt_vnet_cut_begin(&cut, pkt, dt_pool_of(0), ref->checksum, one_segment), DT_CAUSE_MAX);
	if (cut.n_segs != n_segments(ref))
		fail_msg("type %u, %u bytes by %u: %u segments, not %u", ref->type, ref->frame->len, ref->size,
			cut.n_segs, n_segments(ref));
	while ((n = dt_vnet_cut_next(&cut, segs, burst, &cause)) > 0) {
		assert_true(n <= burst);
		assert_int_equal(cut.left_segs, cut.n_segs - made - n);
		if (cut.left_segs == 0)
			dt_replaced(pkt);
		for (unsigned int i = 0; i < n; i++, made++) {
			check_segment(ref, made, segs[i], &id);
			assert_true(!one_segment || segs[i]->nb_segs == 1);
			bytes += segs[i]->pkt_len;
			dt_test_packet_free(segs[i]);
		}
		assert_int_equal(bytes + cut.left_bytes, cut.bytes);
	}
	assert_int_equal(cause, DT_CAUSE_MAX);
	assert_int_equal(made, cut.n_segs);
	assert_int_equal(cut.left_bytes, 0);
}

static const struct {
	const char *what;
	struct dt_test_frame_spec spec;
	uint8_t type;
	uint16_t size;
} kinds[] = {
	{ "TCP over IPv4", { IP4, .proto = IPPROTO_TCP, .payload = 4000 }, TCP4, 1448 },
	{ "to the byte", { IP4, .proto = IPPROTO_TCP, .payload = 2896 }, TCP4, 1448 },
	{ "a byte too many", { IP4, .proto = IPPROTO_TCP, .payload = 2897 }, TCP4, 1448 },
	{ "of odd size", { IP4, .proto = IPPROTO_TCP, .payload = 999, .tcp_options = 12 }, TCP4, 333 },
	{ "FIN, PSH, URG and CWR", { IP4, .proto = IPPROTO_TCP, .payload = 300, .tcp_flags = 0x1ff & ~2 }, TCP4 | ECN,
		100 },
	{ "CWR that nobody asked for", { IP4, .proto = IPPROTO_TCP, .payload = 300, .tcp_flags = 0xd9 }, TCP4, 100 },
	{ "all options", { IP4, .proto = IPPROTO_TCP, .payload = 300, .ip_options = 40, .tcp_options = 40 }, TCP4,
		100 },
	{ "a fragment", { IP4, .proto = IPPROTO_TCP, .payload = 300, .fragment = 0x2000 }, TCP4, 100 },
	{ "DF", { IP4, .proto = IPPROTO_TCP, .payload = 300, .fragment = 0x4000 }, TCP4, 100 },
	{ "tagged", { IP4, .proto = IPPROTO_TCP, .payload = 300, .n_tags = 1 }, TCP4, 100 },
	{ "tagged twice", { IP4, .proto = IPPROTO_TCP, .payload = 300, .n_tags = 2 }, TCP4, 100 },
	{ "TCP over IPv6", { IP6, .proto = IPPROTO_TCP, .payload = 4000 }, TCP6, 1428 },
	{ "behind extension headers",
		{ IP6, .proto = IPPROTO_TCP, .payload = 300, .tcp_options = 12, .extension_units = 3,
			.extensions = { DT_TEST_HOP_BY_HOP, IPPROTO_ROUTING, IPPROTO_DSTOPTS } },
		TCP6 | ECN, 100 },
	{ "USO over IPv4", { IP4, .proto = IPPROTO_UDP, .payload = 4000 }, USO, 1400 },
	{ "of odd size", { IP4, .proto = IPPROTO_UDP, .payload = 999, .n_tags = 1 }, USO, 77 },
	{ "USO over IPv6", { IP6, .proto = IPPROTO_UDP, .payload = 4000 }, USO, 1400 },
	{ "behind extension headers", { IP6, .proto = IPPROTO_UDP, .payload = 300, .extensions = { IPPROTO_DSTOPTS } },
		USO, 100 },
	{ "UFO over IPv4", { IP4, .proto = IPPROTO_UDP, .payload = 4000 }, UFO, 1448 },
	{ "that had DF, options and a tag",
		{ IP4, .proto = IPPROTO_UDP, .payload = 999, .fragment = 0x4000, .ip_options = 8, .n_tags = 1 }, UFO,
		104 },
	{ "the UDP header over several", { IP4, .proto = IPPROTO_UDP, .payload = 30 }, UFO, 3 },
	{ "the UDP header alone", { IP4, .proto = IPPROTO_UDP, .payload = 30 }, UFO, 8 },
	{ "UFO over IPv6", { IP6, .proto = IPPROTO_UDP, .payload = 4000 }, UFO, 1448 },
	{ "behind extension headers",
		{ IP6, .proto = IPPROTO_UDP, .payload = 300, .n_tags = 2,
			.extensions = { DT_TEST_HOP_BY_HOP, IPPROTO_ROUTING, IPPROTO_DSTOPTS } },
		UFO, 104 },
};

static void
each_kind_is_cut_into_what_the_reference_makes(void **state)
{
	static struct dt_test_frame frame;

	for (unsigned int i = 0; i < RTE_DIM(kinds); i++) {
		dt_test_frame_build(&kinds[i].spec, i, &frame);
		for (unsigned int mode = 0; mode < 4; mode++) {
			const struct reference ref = {
				.frame = &frame, .type = kinds[i].type, .size = kinds[i].size, .checksum = mode % 2 != 0
			};

			compare(&ref, sent(&frame, ref.type, ref.size, NULL, 0, false), 1 + i % 7, mode / 2 != 0);
		}
	}
}

static void
it_does_not_matter_how_the_packet_lies_in_mbufs(void **state)
{
	static struct dt_test_frame frame;

	for (unsigned int i = 0; i < RTE_DIM(kinds); i++) {
		dt_test_frame_build(&kinds[i].spec, i, &frame);
		for (uint32_t at = 1; at < RTE_MIN(frame.len, 400u); at++) {
			const struct reference ref = {
				.frame = &frame, .type = kinds[i].type, .size = kinds[i].size, .checksum = true
			};
			const uint32_t cuts[] = { at, at + 1 + at % 3, 3 * at + 7, 5 * at + 30, 8 * at + 50 };

			compare(&ref, sent(&frame, ref.type, ref.size, cuts, at % 6, at % 2 != 0), 32, at % 5 == 0);
		}
	}
}

static void
random_packets_of_all_sizes_are_cut_right(void **state)
{
	static struct dt_test_frame frame;
	uint64_t seed = dt_test_seed();

	for (unsigned int i = 0; i < 3000; i++) {
		unsigned int k = dt_test_random(&seed, RTE_DIM(kinds));
		struct dt_test_frame_spec spec = kinds[k].spec;
		struct reference ref = { .frame = &frame, .type = kinds[k].type };
		uint32_t cuts[4];

		spec.payload = 20 + dt_test_random(&seed, dt_test_random(&seed, 10) == 0 ? 64000 : 3000);
		ref.size = (uint16_t)(1 + dt_test_random(&seed, RTE_MIN(spec.payload - 1, 9000u)));
		ref.size = (uint16_t)RTE_MAX(ref.size, (spec.payload + 119) / 120);
		ref.checksum = dt_test_random(&seed, 3) != 0;
		dt_test_frame_build(&spec, (uint32_t)seed, &frame);
		for (unsigned int c = 0, at = 0; c < RTE_DIM(cuts); c++)
			cuts[c] = at += 1 + dt_test_random(&seed, 1500);
		compare(&ref,
			sent(&frame, ref.type, ref.size, cuts, dt_test_random(&seed, 5), dt_test_random(&seed, 2) == 0),
			1 + dt_test_random(&seed, 64), ref.size < 1500 && dt_test_random(&seed, 4) == 0);
	}
}

static void
segments_of_one_byte_come_in_bounded_bursts(void **state)
{
	static struct dt_test_frame frame;
	const struct reference ref = { .frame = &frame, .type = TCP4, .size = 1, .checksum = true };

	dt_test_frame_build(&(struct dt_test_frame_spec){ IP4, .proto = IPPROTO_TCP, .payload = 65000 }, 1, &frame);

	compare(&ref, sent(&frame, TCP4, 1, NULL, 0, false), 64, false);
}

static void
a_clone_is_cut_while_others_read_it(void **state)
{
	static struct dt_test_frame frame;
	static uint8_t before[DT_TEST_FRAME_MAX], after[DT_TEST_FRAME_MAX];
	const struct reference ref = { .frame = &frame, .type = UFO, .size = 1448, .checksum = true };
	struct rte_mbuf *pkt, *clone;

	dt_test_frame_build(&(struct dt_test_frame_spec){ IP4, .proto = IPPROTO_UDP, .payload = 30000 }, 1, &frame);
	pkt = sent(&frame, UFO, 1448, NULL, 0, false);
	clone = rte_pktmbuf_clone(pkt, dt_pool_of(0));
	assert_non_null(clone);
	dt_test_packet_read(pkt, before);

	compare(&ref, clone, 8, false);

	assert_int_equal(dt_test_packet_read(pkt, after), frame.len);
	assert_memory_equal(before, after, frame.len);
	dt_test_packet_free(pkt);
}

static void
payload_in_small_mbufs_is_copied_so_that_a_segment_has_few(void **state)
{
	static struct dt_test_frame frame;
	const struct reference ref = { .frame = &frame, .type = TCP4, .size = 1448, .checksum = true };
	uint32_t cuts[60];
	struct rte_mbuf *segs[4], *pkt;
	struct dt_vnet_cut cut;
	enum dt_cause cause;
	unsigned int n;

	for (unsigned int i = 0; i < RTE_DIM(cuts); i++)
		cuts[i] = 101 * (i + 1);
	dt_test_frame_build(&(struct dt_test_frame_spec){ IP4, .proto = IPPROTO_TCP, .payload = 5000 }, 1, &frame);
	pkt = sent(&frame, TCP4, 1448, cuts, RTE_DIM(cuts), false);
	assert_int_equal(dt_vnet_cut_begin(&cut, pkt, dt_pool_of(0), true, false), DT_CAUSE_MAX);
	n = dt_vnet_cut_next(&cut, segs, 4, &cause);
	assert_int_equal(n, 4);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(segs[i]->nb_segs, 2);
		dt_test_packet_free(segs[i]);
	}

	compare(&ref, pkt, 4, false);
}

static void
a_segment_larger_than_an_mbuf_is_no_single_one(void **state)
{
	static struct dt_test_frame frame;
	struct rte_mbuf *pkt;
	struct dt_vnet_cut cut;

	dt_test_frame_build(&(struct dt_test_frame_spec){ IP4, .proto = IPPROTO_TCP, .payload = 9000 }, 1, &frame);
	pkt = sent(&frame, TCP4, 1995, NULL, 0, false);
	assert_int_equal(dt_vnet_cut_begin(&cut, pkt, dt_pool_of(0), true, true), DT_CAUSE_UPLINK_ONE_SEGMENT);
	pkt->tso_segsz = 1994;
	assert_int_equal(dt_vnet_cut_begin(&cut, pkt, dt_pool_of(0), true, true), DT_CAUSE_MAX);
	dt_test_packet_free(pkt);
}

static void
an_empty_pool_ends_a_cut_that_others_may_go_on_with(void **state)
{
	static struct dt_test_frame frame;
	static struct rte_mbuf *hoard[65536];
	struct rte_mbuf *pkt, *segs[8];
	struct dt_vnet_cut cut;
	enum dt_cause cause;
	unsigned int n_hoard = 0;

	dt_test_frame_build(&(struct dt_test_frame_spec){ IP4, .proto = IPPROTO_TCP, .payload = 9000 }, 1, &frame);
	pkt = sent(&frame, TCP4, 1000, NULL, 0, false);
	dt_received(DT_AT_IN(DT_TEST_VM0), 1, pkt->pkt_len);
	assert_int_equal(dt_vnet_cut_begin(&cut, pkt, dt_pool_of(0), true, false), DT_CAUSE_MAX);
	assert_int_equal(dt_vnet_cut_next(&cut, segs, 2, &cause), 2);
	while (n_hoard < RTE_DIM(hoard) && (hoard[n_hoard] = rte_pktmbuf_alloc(dt_pool_of(0))) != NULL)
		n_hoard++;

	assert_int_equal(dt_vnet_cut_next(&cut, &segs[2], 6, &cause), 0);

	assert_int_equal(cause, DT_CAUSE_GSO_NO_MBUF);
	assert_int_equal(cut.left_segs, 7);
	assert_int_equal(cut.left_bytes, 7 * 54 + 7000);
	/* it may be tried again */
	dt_test_packet_free(hoard[--n_hoard]);
	dt_test_packet_free(hoard[--n_hoard]);
	assert_int_equal(dt_vnet_cut_next(&cut, &segs[2], 1, &cause), 1);
	while (n_hoard > 0)
		dt_test_packet_free(hoard[--n_hoard]);
	/* or be given up: the segments outlive the packet */
	dt_drop(DT_AT_IN(DT_TEST_VM0), pkt, DT_CAUSE_GSO_NO_MBUF);
	for (unsigned int i = 0; i < 3; i++) {
		const struct reference ref = { .frame = &frame, .type = TCP4, .size = 1000, .checksum = true };

		check_segment(&ref, i, segs[i], NULL);
		dt_test_packet_free(segs[i]);
	}
	assert_int_equal(dt_test_dropped(DT_AT_IN(DT_TEST_VM0), DT_CAUSE_GSO_NO_MBUF), 1);
}

static void
numbers_that_make_no_sense_are_malformed(void **state)
{
	static struct dt_test_frame frame;
	struct dt_vnet_cut cut;
	struct rte_mbuf *pkt;
	uint64_t offload, flags;

	dt_test_frame_build(&(struct dt_test_frame_spec){ IP4, .proto = IPPROTO_TCP, .payload = 3000 }, 1, &frame);
	pkt = sent(&frame, TCP4, 1448, NULL, 0, false);
	offload = pkt->tx_offload;
	flags = pkt->ol_flags;
#define MALFORMED(change)                                                                                              \
	do {                                                                                                           \
		change;                                                                                                \
		assert_int_equal(dt_vnet_cut_begin(&cut, pkt, dt_pool_of(0), true, false), DT_CAUSE_GSO_MALFORMED);    \
		pkt->tx_offload = offload;                                                                             \
		pkt->ol_flags = flags;                                                                                 \
	} while (0)

	MALFORMED(pkt->tso_segsz = 0);
	MALFORMED(pkt->tso_segsz = 3000);
	MALFORMED(pkt->l2_len = 13);
	MALFORMED(pkt->l3_len = 19);
	MALFORMED(pkt->l4_len = 19);
	MALFORMED(pkt->ol_flags = (flags & ~RTE_MBUF_F_TX_IPV4) | RTE_MBUF_F_TX_IPV6);
	MALFORMED(pkt->ol_flags &= ~RTE_MBUF_F_TX_TCP_SEG);
	assert_int_equal(dt_vnet_cut_begin(&cut, pkt, dt_pool_of(0), true, false), DT_CAUSE_MAX);
	dt_test_packet_free(pkt);
}

/* ---- what NICs merge ---- */

/* As dt_vnet_from_lro() gets it: headers of the first part, more payload than these say. */
static struct rte_mbuf *
merged(const struct dt_test_frame *frame, uint16_t size)
{
	struct rte_mbuf *pkt = dt_test_packet_of(frame->bytes, frame->len, NULL, 0);

	if (frame->v6)
		put16(rte_pktmbuf_mtod_offset(pkt, uint8_t *, frame->l3 + 4), 77);
	else
		put16(rte_pktmbuf_mtod_offset(pkt, uint8_t *, frame->l3 + 2), 77);
	pkt->ol_flags = RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_RSS_HASH;
	pkt->tso_segsz = size;
	pkt->port = 3;
	pkt->hash.rss = 0x12345678;
	return pkt;
}

static void
what_a_nic_merged_is_cut_into_what_it_came_as(void **state)
{
	static const struct dt_test_frame_spec specs[] = {
		{ IP4, .proto = IPPROTO_TCP, .payload = 9000, .tcp_options = 12 },
		{ IP4, .proto = IPPROTO_TCP, .payload = 9000, .ip_options = 4, .n_tags = 1, .tcp_flags = 0x90 },
		{ IP6, .proto = IPPROTO_TCP, .payload = 9000, .tcp_options = 12 },
	};
	static struct dt_test_frame frame;

	for (unsigned int i = 0; i < RTE_DIM(specs); i++) {
		const struct reference ref = {
			.frame = &frame, .type = specs[i].type == IP6 ? TCP6 : TCP4, .size = 1448, .checksum = true
		};
		struct virtio_net_hdr hdr;
		static uint8_t bytes[DT_TEST_FRAME_MAX];
		struct rte_mbuf *pkt;

		dt_test_frame_build(&specs[i], i, &frame);
		pkt = merged(&frame, 1448);
		assert_true(dt_vnet_from_lro(pkt));

		dt_vnet_header(pkt, ALL, &hdr);
		assert_int_equal(hdr.gso_type, ref.type | (i == 1 ? ECN : 0));
		assert_int_equal(hdr.hdr_len, frame.payload);
		assert_int_equal(hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		/* a guest that takes it whole looks at IP's length and checksum */
		dt_test_packet_read(pkt, bytes);
		dt_test_frame_leave_csum(&frame);
		assert_memory_equal(bytes, frame.bytes, frame.len);
		compare(&ref, pkt, 4, false);
	}
}

static void
what_a_nic_did_not_merge_stays_as_it_is(void **state)
{
	static struct dt_test_frame frame;
	struct rte_mbuf *pkt, *clone;

	dt_test_frame_build(&(struct dt_test_frame_spec){ IP4, .proto = IPPROTO_TCP, .payload = 1448 }, 1, &frame);
	pkt = merged(&frame, 1448);
	assert_false(dt_vnet_from_lro(pkt));
	pkt->tso_segsz = 1447;
	clone = rte_pktmbuf_clone(pkt, dt_pool_of(0));
	assert_false(dt_vnet_from_lro(pkt));
	assert_false(dt_vnet_from_lro(clone));
	dt_test_packet_free(clone);
	assert_true((pkt->ol_flags & DT_VNET_WORK) == 0);
	assert_true(dt_vnet_from_lro(pkt));
	dt_test_packet_free(pkt);

	dt_test_frame_build(&(struct dt_test_frame_spec){ IP4, .proto = IPPROTO_UDP, .payload = 3000 }, 1, &frame);
	pkt = merged(&frame, 1448);
	assert_false(dt_vnet_from_lro(pkt));
	dt_test_packet_free(pkt);
}

int
main(void)
{
#define BOOKS(test) cmocka_unit_test_setup_teardown(test, dt_test_books_open, dt_test_books_close)
	const struct CMUnitTest tests[] = {
		BOOKS(each_kind_is_cut_into_what_the_reference_makes),
		BOOKS(it_does_not_matter_how_the_packet_lies_in_mbufs),
		BOOKS(random_packets_of_all_sizes_are_cut_right),
		BOOKS(segments_of_one_byte_come_in_bounded_bursts),
		BOOKS(a_clone_is_cut_while_others_read_it),
		BOOKS(payload_in_small_mbufs_is_copied_so_that_a_segment_has_few),
		BOOKS(a_segment_larger_than_an_mbuf_is_no_single_one),
		BOOKS(an_empty_pool_ends_a_cut_that_others_may_go_on_with),
		BOOKS(numbers_that_make_no_sense_are_malformed),
		BOOKS(what_a_nic_merged_is_cut_into_what_it_came_as),
		BOOKS(what_a_nic_did_not_merge_stays_as_it_is),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
