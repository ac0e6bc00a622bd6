/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <netinet/in.h>

#include <rte_ether.h>

#include "pool.h"
#include "testing.h"

static void
put16(uint8_t *at, uint32_t number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
}

uint32_t
dt_test_random(uint64_t *seed, uint32_t n)
{
	/* Knuth's MMIX; its upper bits are good */
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(((*seed >> 32) * n) >> 32);
}

uint64_t
dt_test_seed(void)
{
	const char *chosen = getenv("DT_TEST_SEED");
	uint64_t seed = chosen != NULL ? strtoull(chosen, NULL, 10) : (uint64_t)time(NULL);

	print_message("DT_TEST_SEED=%" PRIu64 "\n", seed);
	return seed;
}

uint16_t
dt_test_sum(const uint8_t *bytes, uint32_t len, uint32_t start)
{
	uint32_t sum = start;

	for (uint32_t i = 0; i < len; i++) {
		sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

uint16_t
dt_test_pseudo_sum(const struct dt_test_frame *frame, uint32_t len)
{
	uint8_t rest[8] = { 0 };

	put16(rest, len >> 16);
	put16(rest + 2, len);
	rest[7] = frame->proto;
	if (frame->v6)
		return dt_test_sum(frame->bytes + frame->l3 + 8, 32, dt_test_sum(rest, sizeof(rest), 0));
	return dt_test_sum(frame->bytes + frame->l3 + 12, 8, dt_test_sum(rest, sizeof(rest), 0));
}

uint32_t
dt_test_check_offset(uint8_t proto)
{
	return proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 8;
}

void
dt_test_frame_leave_csum(struct dt_test_frame *frame)
{
	put16(frame->bytes + frame->l4 + dt_test_check_offset(frame->proto),
		dt_test_pseudo_sum(frame, frame->len - frame->l4));
}

bool
dt_test_csums_are_right(const struct dt_test_frame *frame, const uint8_t *bytes, uint32_t len)
{
	uint32_t l4_len = len - frame->l4;

	if (!frame->v6 && dt_test_sum(bytes + frame->l3, frame->l4 - frame->l3, 0) != 0xffff)
		return false;
	return dt_test_sum(bytes + frame->l4, l4_len, dt_test_pseudo_sum(frame, l4_len)) == 0xffff;
}

static void
build_ipv4(const struct dt_test_frame_spec *spec, struct dt_test_frame *frame, uint32_t l4_len)
{
	uint8_t *ip = frame->bytes + frame->len;
	uint32_t hdr_len = 20 + spec->ip_options;

	ip[0] = (uint8_t)(0x40 | hdr_len / 4);
	put16(ip + 2, hdr_len + l4_len);
	put16(ip + 4, 0xfffe); /* about to wrap */
	put16(ip + 6, spec->fragment);
	ip[8] = 64;
	ip[9] = spec->proto;
	memcpy(ip + 12, (const uint8_t[]){ 10, 0, 0, 1, 10, 0, 0, 2 }, 8);
	memset(ip + 20, 1, spec->ip_options);
	put16(ip + 10, (uint16_t)~dt_test_sum(ip, hdr_len, 0));
	frame->len += hdr_len;
}

static void
build_ipv6(const struct dt_test_frame_spec *spec, struct dt_test_frame *frame, uint32_t l4_len)
{
	uint8_t *ip = frame->bytes + frame->len;
	uint8_t *next = ip + 6;

	ip[0] = 0x60;
	ip[7] = 64;
	memcpy(ip + 8, (const uint8_t[16]){ 0xfd, [15] = 1 }, 16);
	memcpy(ip + 24, (const uint8_t[16]){ 0xfd, [15] = 2 }, 16);
	frame->len += 40;
	for (unsigned int i = 0; i < RTE_DIM(spec->extensions) && spec->extensions[i] != 0; i++) {
		uint8_t *extension = frame->bytes + frame->len;
		bool hop_by_hop = spec->extensions[i] == DT_TEST_HOP_BY_HOP;

		*next = hop_by_hop ? IPPROTO_HOPOPTS : spec->extensions[i];
		next = extension;
		frame->len += 8;
		if (spec->extensions[i] == IPPROTO_FRAGMENT)
			continue; /* what would be its length is reserved */
		extension[1] = spec->extension_units;
		frame->len += 8u * spec->extension_units;
	}
	*next = spec->proto;
	put16(ip + 4, frame->len - (uint32_t)(ip - frame->bytes) - 40 + l4_len);
}

static uint32_t
l4_header_len(const struct dt_test_frame_spec *spec)
{
	switch (spec->proto) {
	case IPPROTO_TCP:
		return 20 + spec->tcp_options;
	case IPPROTO_UDP:
		return 8;
	case IPPROTO_SCTP:
		return 12;
	default:
		return 0;
	}
}

static void
build_l4(const struct dt_test_frame_spec *spec, struct dt_test_frame *frame)
{
	uint8_t *l4 = frame->bytes + frame->len;
	uint32_t hdr_len = l4_header_len(spec);

	if (hdr_len > 0) {
		put16(l4, 1000);
		put16(l4 + 2, 2000);
	}
	if (spec->proto == IPPROTO_TCP) {
		memcpy(l4 + 4, (const uint8_t[]){ 0xff, 0xff, 0xf0, 0, 1, 2, 3, 4 }, 8); /* about to wrap */
		put16(l4 + 12, hdr_len / 4 << 12 | (spec->tcp_flags != 0 ? spec->tcp_flags : 0x18));
		put16(l4 + 14, 8192);
		memset(l4 + 20, 1, spec->tcp_options);
	} else if (spec->proto == IPPROTO_UDP) {
		put16(l4 + 4, hdr_len + spec->payload);
	}
	frame->len += hdr_len;
}

/* A sum of 0 is sent as 0xffff by UDP, where 0 says that there is none. */
static void
fill_check(struct dt_test_frame *f)
{
	uint32_t len = f->len - f->l4;
	uint16_t sum = (uint16_t)~dt_test_sum(f->bytes + f->l4, len, dt_test_pseudo_sum(f, len));

	if (sum == 0 && f->proto == IPPROTO_UDP)
		sum = 0xffff;
	put16(f->bytes + f->l4 + dt_test_check_offset(f->proto), sum);
}

void
dt_test_frame_build(const struct dt_test_frame_spec *spec, uint32_t seed, struct dt_test_frame *ret_frame)
{
	struct dt_test_frame *f = ret_frame;
	uint32_t l4_len = l4_header_len(spec) + spec->payload;
	uint64_t random = seed;

	memset(f, 0, offsetof(struct dt_test_frame, bytes));
	memset(f->bytes, 0, 1024);
	memcpy(f->bytes, (const uint8_t[]){ 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 }, 12);
	f->len = 12;
	for (unsigned int i = 0; i < spec->n_tags; i++, f->len += 4) {
		put16(f->bytes + f->len, i == 0 && spec->n_tags > 1 ? RTE_ETHER_TYPE_QINQ : RTE_ETHER_TYPE_VLAN);
		put16(f->bytes + f->len + 2, 100 + i);
	}
	put16(f->bytes + f->len, spec->says != 0 ? spec->says : spec->type);
	f->len += 2;
	f->l3 = f->len;
	f->proto = spec->proto;
	f->v6 = spec->type == RTE_ETHER_TYPE_IPV6;
	if (f->v6)
		build_ipv6(spec, f, l4_len);
	else if (spec->type == RTE_ETHER_TYPE_IPV4)
		build_ipv4(spec, f, l4_len);
	f->l4 = f->len;
	if (f->v6 || spec->type == RTE_ETHER_TYPE_IPV4)
		build_l4(spec, f);
	f->payload = f->len;
	for (uint32_t i = 0; i < spec->payload; i++)
		f->bytes[f->len++] = (uint8_t)dt_test_random(&random, 256);
	if (spec->proto == IPPROTO_TCP || spec->proto == IPPROTO_UDP)
		fill_check(f);
}

/* Each next part's length. */
static uint32_t
part_len(uint32_t at, uint32_t len, uint32_t most, const uint32_t *cuts, unsigned int n_cuts)
{
	uint32_t end = RTE_MIN(len, at + most);

	for (unsigned int i = 0; i < n_cuts; i++)
		if (cuts[i] > at && cuts[i] < end)
			return cuts[i] - at;
	return end - at;
}

static void
free_guarded(void *buffer, void *shinfo)
{
	free(buffer);
	free(shinfo);
}

static struct rte_mbuf *
make_part(const uint8_t *bytes, uint32_t len, bool guarded)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(dt_pool_of(0));

	assert_non_null(m);
	if (guarded) {
		struct rte_mbuf_ext_shared_info *shinfo = malloc(sizeof(*shinfo));
		uint8_t *buffer = malloc(len);

		assert_true(shinfo != NULL && buffer != NULL);
		shinfo->free_cb = free_guarded;
		shinfo->fcb_opaque = shinfo;
		rte_mbuf_ext_refcnt_set(shinfo, 1);
		rte_pktmbuf_attach_extbuf(m, buffer, 0, (uint16_t)len, shinfo);
	}
	memcpy(rte_pktmbuf_mtod(m, void *), bytes, len);
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	return m;
}

static struct rte_mbuf *
make_packet(const uint8_t *bytes, uint32_t len, uint32_t most, const uint32_t *cuts, unsigned int n_cuts, bool guarded)
{
	struct rte_mbuf *pkt = NULL, *last = NULL;

	for (uint32_t at = 0; at < len;) {
		uint32_t n = part_len(at, len, most, cuts, n_cuts);
		struct rte_mbuf *m = make_part(bytes + at, n, guarded);

		if (pkt == NULL) {
			pkt = m;
		} else {
			last->next = m;
			pkt->nb_segs++;
			pkt->pkt_len += n;
		}
		last = m;
		at += n;
	}
	return pkt;
}

struct rte_mbuf *
dt_test_packet_of(const uint8_t *bytes, uint32_t len, const uint32_t *cuts, unsigned int n_cuts)
{
	return make_packet(bytes, len, DT_POOL_ROOM, cuts, n_cuts, false);
}

struct rte_mbuf *
dt_test_packet_guarded(const uint8_t *bytes, uint32_t len, const uint32_t *cuts, unsigned int n_cuts)
{
	return make_packet(bytes, len, UINT16_MAX, cuts, n_cuts, true);
}

uint32_t
dt_test_packet_read(const struct rte_mbuf *pkt, uint8_t *bytes)
{
	uint32_t len = 0;
	uint16_t n = 0;

	for (const struct rte_mbuf *m = pkt; m != NULL; m = m->next, n++) {
		memcpy(bytes + len, rte_pktmbuf_mtod(m, const void *), m->data_len);
		len += m->data_len;
	}
	assert_int_equal(len, pkt->pkt_len);
	assert_int_equal(n, pkt->nb_segs);
	return len;
}
