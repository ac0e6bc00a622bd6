/* SPDX-License-Identifier: BSD-3-Clause */
#include "vnet.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_random.h>

#include "internal.h"
#include "place.h"

/* Mbufs that one call makes segments of, and segments that it makes, at the most. */
#define BATCH 128

/* A segment is of no more pieces than these and one for each so many bytes: NICs take few. Beyond, it is copied. */
#define PIECES_FREE  6u
#define PIECE_STRIDE 1024u

#define FRAGMENT_LEN 8u
#define UDP_LEN      8u

/* The word of a TCP header that has its length and the flags. */
#define TCP_FLAGS_AT 12
#define TCP_FIN      0x01
#define TCP_PSH      0x08
#define TCP_CWR      0x80

#define IP_LEN_AT   offsetof(struct rte_ipv4_hdr, total_length)
#define IP_ID_AT    offsetof(struct rte_ipv4_hdr, packet_id)
#define IP_FRAG_AT  offsetof(struct rte_ipv4_hdr, fragment_offset)
#define IP_CHECK_AT offsetof(struct rte_ipv4_hdr, hdr_checksum)

static inline uint16_t
word_at(const uint8_t *at)
{
	uint16_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* As it is, in the byte order of the wire. */
static inline void
put_word(uint8_t *at, uint16_t word)
{
	memcpy(at, &word, sizeof(word));
}

static inline void
put_number(uint8_t *at, uint32_t number)
{
	put_word(at, rte_cpu_to_be_16((uint16_t)number));
}

/* ---- begin ---- */

/* Bytes that a fresh mbuf takes. */
static inline uint32_t
room_of(const struct dt_vnet_cut *cut)
{
	return (rte_pktmbuf_data_room_size(cut->pool) - RTE_PKTMBUF_HEADROOM) & ~1u;
}

/* What no packet has that came through dt_vnet_accept() or dt_vnet_from_lro(). */
static bool
is_to_cut(const struct rte_mbuf *m)
{
	uint32_t l4 = m->l2_len + m->l3_len, payload = l4 + m->l4_len;
	bool v6 = (m->ol_flags & RTE_MBUF_F_TX_IPV6) != 0;

	if ((m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) == 0 || m->tso_segsz == 0)
		return false;
	if (m->l2_len < RTE_ETHER_HDR_LEN ||
		m->l3_len < (v6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr)) ||
		m->l4_len < ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0 ? sizeof(struct tcphdr) : UDP_LEN) ||
		payload > RTE_MIN(m->pkt_len, (uint32_t)HEADERS_MAX))
		return false;
	if ((m->ol_flags & RTE_MBUF_F_TX_UDP_SEG) != 0 && (m->ol_flags & dt_vnet_uso) == 0)
		payload = l4;
	return m->pkt_len - payload > m->tso_segsz;
}

static void
begin_tcp(struct dt_vnet_cut *cut, uint32_t l4_len)
{
	uint8_t *tcp = cut->hdr + cut->l2_len + cut->l3_len;
	uint64_t len = dt_sum_of(cut->payload_len + l4_len);

	memcpy(&cut->tcp_seq, tcp + offsetof(struct tcphdr, seq), sizeof(cut->tcp_seq));
	cut->tcp_seq = rte_be_to_cpu_32(cut->tcp_seq);
	cut->tcp_flags = dt_be16_at(tcp + TCP_FLAGS_AT);
	/* The field has the sum of the pseudo header, with the packet's length. */
	cut->pseudo_sum = dt_sum_fold(word_at(tcp + offsetof(struct tcphdr, check)) + (UINT32_MAX - len));
	memset(tcp + offsetof(struct tcphdr, seq), 0, sizeof(uint32_t));
	put_word(tcp + TCP_FLAGS_AT, 0);
	put_word(tcp + offsetof(struct tcphdr, check), 0);
	cut->l4_sum = dt_sum_fold(dt_sum(tcp, l4_len));
}

static void
begin_uso(struct dt_vnet_cut *cut)
{
	uint8_t *udp = cut->hdr + cut->l2_len + cut->l3_len;
	uint16_t len = word_at(udp + offsetof(struct udphdr, len));

	cut->pseudo_sum = dt_sum_fold(word_at(udp + offsetof(struct udphdr, check)) + (uint16_t)~len);
	put_word(udp + offsetof(struct udphdr, len), 0);
	put_word(udp + offsetof(struct udphdr, check), 0);
	cut->l4_sum = dt_sum_fold(dt_sum(udp, UDP_LEN));
}

/* UFO's checksum covers what is in several fragments: made now, and put where the payload begins. */
static void
begin_ufo(struct dt_vnet_cut *cut, const struct rte_mbuf *m)
{
	const struct dt_packet packet = {
		.l2_len = cut->l2_len, .l3_len = cut->l3_len, .proto = IPPROTO_UDP, .v6 = cut->v6
	};
	uint32_t l4 = cut->l2_len + cut->l3_len;
	uint64_t sum = dt_sum_pseudo(cut->hdr, &packet) + dt_sum_of(cut->payload_len);
	uint16_t check;

	memcpy(cut->udp, cut->hdr + l4, UDP_LEN);
	put_word(cut->udp + offsetof(struct udphdr, check), 0);
	sum += dt_sum(cut->udp, UDP_LEN) + dt_packet_sum(m, l4 + UDP_LEN, cut->payload_len - UDP_LEN);
	check = (uint16_t)~dt_sum_fold(sum);
	put_word(cut->udp + offsetof(struct udphdr, check), check != 0 ? check : UINT16_MAX);
}

static void
begin_ipv4(struct dt_vnet_cut *cut)
{
	uint8_t *ip = cut->hdr + cut->l2_len;

	cut->id = dt_be16_at(ip + IP_ID_AT);
	put_word(ip + IP_LEN_AT, 0);
	put_word(ip + IP_CHECK_AT, 0);
	put_word(ip + (cut->kind == DT_VNET_CUT_UFO ? IP_FRAG_AT : IP_ID_AT), 0);
	cut->ip_sum = dt_sum_fold(dt_sum(ip, cut->l3_len));
}

/*
 * A fragment header behind all others. Linux puts it there as well, unless destination options follow a routing header;
 * then it comes in front of these, and each fragment has them, which no receiver can put together.
 */
static bool
begin_fragment6(struct dt_vnet_cut *cut)
{
	uint8_t *ip = cut->hdr + cut->l2_len;
	uint8_t *next = ip + offsetof(struct rte_ipv6_hdr, proto);
	uint8_t *fragment = ip + cut->l3_len;
	uint32_t offset = sizeof(struct rte_ipv6_hdr);
	uint32_t id = (uint32_t)rte_rand();

	while (offset < cut->l3_len) {
		next = ip + offset;
		offset += (next[1] + 1u) * 8u;
	}
	if (offset != cut->l3_len)
		return false;
	memset(fragment, 0, FRAGMENT_LEN);
	fragment[0] = *next;
	memcpy(fragment + FRAGMENT_LEN - sizeof(id), &id, sizeof(id));
	*next = IPPROTO_FRAGMENT;
	cut->hdr_len += FRAGMENT_LEN;
	return true;
}

/* What a segment's mbuf says. Fragments have their checksum, and whoever made it knows that it is good. */
static void
begin_mbuf(struct dt_vnet_cut *cut, const struct rte_mbuf *m)
{
	struct rte_mbuf seg = { .ol_flags = 0 };

	if (cut->kind == DT_VNET_CUT_UFO) {
		seg.ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	} else if (!cut->checksum) {
		seg.ol_flags = m->ol_flags & (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
		seg.l2_len = m->l2_len;
		seg.l3_len = m->l3_len;
	}
	cut->seg_flags = seg.ol_flags | (m->ol_flags & RTE_MBUF_F_RX_RSS_HASH);
	cut->seg_offload = seg.tx_offload;
}

enum dt_cause
dt_vnet_cut_begin(
	struct dt_vnet_cut *cut, struct rte_mbuf *m, struct rte_mempool *pool, bool checksum, bool one_segment)
{
	struct dt_place at = { .m = m };
	const uint8_t *headers;
	uint32_t copied;

	if (!is_to_cut(m))
		return DT_CAUSE_GSO_MALFORMED;
	cut->pool = pool;
	cut->packet = m;
	cut->kind = (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0 ? DT_VNET_CUT_TCP
		    : (m->ol_flags & dt_vnet_uso) != 0         ? DT_VNET_CUT_USO
							       : DT_VNET_CUT_UFO;
	cut->v6 = (m->ol_flags & RTE_MBUF_F_TX_IPV6) != 0;
	cut->checksum = checksum && cut->kind != DT_VNET_CUT_UFO;
	cut->one_segment = one_segment;
	cut->size = m->tso_segsz;
	cut->l2_len = m->l2_len;
	cut->l3_len = m->l3_len;
	cut->hdr_len = (uint16_t)(m->l2_len + m->l3_len + (cut->kind == DT_VNET_CUT_UFO ? 0 : m->l4_len));
	cut->payload_len = m->pkt_len - cut->hdr_len;
	cut->done = 0;

	copied = m->l2_len + m->l3_len + m->l4_len;
	headers = rte_pktmbuf_read(m, 0, copied, cut->hdr);
	if (headers != cut->hdr)
		memcpy(cut->hdr, headers, copied);
	dt_place_skip(&at, cut->hdr_len);
	cut->m = at.m;
	cut->offset = at.offset;

	if (cut->kind == DT_VNET_CUT_TCP)
		begin_tcp(cut, m->l4_len);
	else if (cut->kind == DT_VNET_CUT_USO)
		begin_uso(cut);
	else
		begin_ufo(cut, m);
	if (!cut->v6)
		begin_ipv4(cut);
	else if (cut->kind == DT_VNET_CUT_UFO && !begin_fragment6(cut))
		return DT_CAUSE_GSO_MALFORMED;
	begin_mbuf(cut, m);

	if (one_segment && cut->hdr_len + (uint32_t)cut->size > room_of(cut))
		return DT_CAUSE_UPLINK_ONE_SEGMENT;
	cut->n_segs = cut->left_segs = (cut->payload_len + cut->size - 1) / cut->size;
	cut->bytes = cut->left_bytes = (uint64_t)cut->n_segs * cut->hdr_len + cut->payload_len;
	return DT_CAUSE_MAX;
}

/* ---- headers ---- */

static inline void
finish_ipv4(const struct dt_vnet_cut *cut, uint8_t *ip, uint32_t len, bool last)
{
	uint16_t total = rte_cpu_to_be_16((uint16_t)(cut->hdr_len - cut->l2_len + len));
	uint32_t sum = (uint32_t)cut->ip_sum + total;
	uint16_t own;

	if (cut->kind == DT_VNET_CUT_UFO) {
		own = rte_cpu_to_be_16((uint16_t)(cut->done >> 3 | (last ? 0 : RTE_IPV4_HDR_MF_FLAG)));
		put_word(ip + IP_FRAG_AT, own);
	} else {
		own = rte_cpu_to_be_16(cut->id);
		put_word(ip + IP_ID_AT, own);
	}
	put_word(ip + IP_LEN_AT, total);
	put_word(ip + IP_CHECK_AT, (uint16_t)~dt_sum_fold(sum + own));
}

static inline void
finish_ipv6(const struct dt_vnet_cut *cut, uint8_t *ip, uint32_t len, bool last)
{
	put_number(ip + offsetof(struct rte_ipv6_hdr, payload_len),
		(uint32_t)(cut->hdr_len - cut->l2_len - sizeof(struct rte_ipv6_hdr) + len));
	/* As Linux writes it, who counts on a size of whole units of eight bytes. */
	if (cut->kind == DT_VNET_CUT_UFO)
		put_number(ip + cut->l3_len + 2, cut->done | (last ? 0 : 1));
}

static inline void
finish_tcp(const struct dt_vnet_cut *cut, uint8_t *tcp, uint32_t len, bool last, uint64_t payload_sum)
{
	uint32_t seq = rte_cpu_to_be_32(cut->tcp_seq + cut->done);
	uint16_t flags = cut->tcp_flags;
	uint16_t l4_len = (uint16_t)(cut->hdr_len - cut->l2_len - cut->l3_len);
	uint16_t check = dt_sum_fold((uint64_t)cut->pseudo_sum + rte_cpu_to_be_16((uint16_t)(l4_len + len)));

	if (!last)
		flags &= (uint16_t) ~(TCP_FIN | TCP_PSH);
	if (cut->done > 0)
		flags &= (uint16_t)~TCP_CWR;
	flags = rte_cpu_to_be_16(flags);
	if (cut->checksum)
		check = (uint16_t)~dt_sum_fold(payload_sum + cut->l4_sum + check + seq + flags);
	memcpy(tcp + offsetof(struct tcphdr, seq), &seq, sizeof(seq));
	put_word(tcp + TCP_FLAGS_AT, flags);
	put_word(tcp + offsetof(struct tcphdr, check), check);
}

static inline void
finish_uso(const struct dt_vnet_cut *cut, uint8_t *udp, uint32_t len, uint64_t payload_sum)
{
	uint16_t l4_len = rte_cpu_to_be_16((uint16_t)(UDP_LEN + len));
	uint16_t check = dt_sum_fold((uint64_t)cut->pseudo_sum + l4_len);

	if (cut->checksum) {
		check = (uint16_t)~dt_sum_fold(payload_sum + cut->l4_sum + check + l4_len);
		if (check == 0)
			check = UINT16_MAX;
	}
	put_word(udp + offsetof(struct udphdr, len), l4_len);
	put_word(udp + offsetof(struct udphdr, check), check);
}

static inline void
finish(const struct dt_vnet_cut *cut, struct rte_mbuf *seg, uint32_t len, uint64_t payload_sum)
{
	uint8_t *ip = rte_pktmbuf_mtod_offset(seg, uint8_t *, cut->l2_len);
	bool last = cut->done + len == cut->payload_len;

	if (cut->v6)
		finish_ipv6(cut, ip, len, last);
	else
		finish_ipv4(cut, ip, len, last);
	if (cut->kind == DT_VNET_CUT_TCP)
		finish_tcp(cut, ip + cut->l3_len, len, last, payload_sum);
	else if (cut->kind == DT_VNET_CUT_USO)
		finish_uso(cut, ip + cut->l3_len, len, payload_sum);
}

/* ---- payload ---- */

/* What a call makes segments of. */
struct batch {
	struct rte_mbuf *mbufs[BATCH];
	unsigned int n_mbufs;
	unsigned int n_segs;
	uint8_t n_pieces[BATCH]; /* of each segment; 0: its payload is copied */
};

static inline uint32_t
len_at(const struct dt_vnet_cut *cut, uint32_t done)
{
	return RTE_MIN((uint32_t)cut->size, cut->payload_len - done);
}

/* The payload's bytes that come out of cut->udp. */
static inline uint32_t
patched(const struct dt_vnet_cut *cut, uint32_t done, uint32_t len)
{
	if (likely(cut->kind != DT_VNET_CUT_UFO || done >= UDP_LEN))
		return 0;
	return RTE_MIN(len, UDP_LEN - done);
}

/* How many of the next segments fit into a batch, and of how many mbufs each. */
static void
plan(const struct dt_vnet_cut *cut, unsigned int n, struct batch *batch)
{
	struct dt_place at = { .m = cut->m, .offset = cut->offset };
	uint32_t done = cut->done;

	batch->n_mbufs = batch->n_segs = 0;
	n = RTE_MIN(n, cut->left_segs);
	n = RTE_MIN(n, (unsigned int)BATCH);
	if (cut->one_segment) {
		memset(batch->n_pieces, 0, n);
		batch->n_mbufs = batch->n_segs = n;
		return;
	}
	for (; batch->n_segs < n; batch->n_segs++) {
		uint32_t len = len_at(cut, done), first = patched(cut, done, len), rest = len - first;
		unsigned int pieces, mbufs;

		dt_place_skip(&at, first);
		pieces = mbufs = dt_place_count(&at, rest);
		if (unlikely(pieces > PIECES_FREE + rest / PIECE_STRIDE)) {
			pieces = 0;
			mbufs = (rest + room_of(cut) - 1) / room_of(cut);
		}
		if (batch->n_mbufs + 1 + mbufs > BATCH)
			break;
		batch->n_mbufs += 1 + mbufs;
		batch->n_pieces[batch->n_segs] = (uint8_t)pieces;
		done += len;
	}
}

/* A segment in the making. */
struct segment {
	struct rte_mbuf *first;
	struct rte_mbuf *last;
	uint64_t sum; /* of the payload so far */
	bool odd; /* so far it is of odd length */
};

static inline void
add_sum(struct segment *seg, const uint8_t *bytes, uint32_t len)
{
	uint64_t sum = dt_sum(bytes, len);

	seg->sum += unlikely(seg->odd) ? dt_sum_shift(sum) : sum;
	seg->odd ^= (len & 1) != 0;
}

static inline void
append(struct segment *seg, struct rte_mbuf *m)
{
	seg->first->pkt_len += m->data_len;
	seg->first->nb_segs++;
	seg->last->next = m;
	seg->last = m;
}

/* The next @p len bytes by reference. @return behind the mbufs that it took */
static inline struct rte_mbuf **
attach(struct dt_place *at, struct segment *seg, uint32_t len, struct rte_mbuf **fresh, bool checksum)
{
	while (len > 0) {
		uint32_t part = dt_place_part(at, len);

		dt_place_attach(at, part, *fresh);
		if (checksum)
			add_sum(seg, dt_place_bytes(at), part);
		append(seg, *fresh++);
		len -= part;
		dt_place_skip(at, part);
	}
	return fresh;
}

/* The next @p len bytes as a copy behind what the last mbuf has. */
static inline void
copy_here(struct dt_place *at, struct segment *seg, uint32_t len, bool checksum)
{
	uint8_t *to = rte_pktmbuf_mtod_offset(seg->last, uint8_t *, seg->last->data_len);

	dt_place_copy(at, len, to);
	if (checksum)
		add_sum(seg, to, len);
	seg->last->data_len = (uint16_t)(seg->last->data_len + len);
	seg->first->pkt_len += len;
}

/* As a copy in mbufs of its own. @return behind those that it took */
static struct rte_mbuf **
copy(const struct dt_vnet_cut *cut, struct dt_place *at, struct segment *seg, uint32_t len, struct rte_mbuf **fresh)
{
	while (len > 0) {
		uint32_t part = RTE_MIN(len, room_of(cut));

		dt_mbuf_reset(*fresh, 0);
		append(seg, *fresh++);
		copy_here(at, seg, part, cut->checksum);
		len -= part;
	}
	return fresh;
}

/* The mbuf that a segment begins with: its headers, and what of the payload comes out of cut->udp. */
static inline uint32_t
begin_segment(const struct dt_vnet_cut *cut, struct rte_mbuf *m, uint32_t len)
{
	uint32_t first = patched(cut, cut->done, len);
	uint8_t *data;

	dt_mbuf_reset(m, (uint16_t)(cut->hdr_len + first));
	m->ol_flags = cut->seg_flags;
	m->tx_offload = cut->seg_offload;
	m->port = cut->packet->port;
	m->packet_type = cut->packet->packet_type;
	m->hash.rss = cut->packet->hash.rss;
	data = rte_pktmbuf_mtod(m, uint8_t *);
	rte_memcpy(data, cut->hdr, cut->hdr_len);
	if (unlikely(first > 0))
		memcpy(data + cut->hdr_len, cut->udp + cut->done, first);
	return first;
}

/* @return behind the mbufs that it took */
static inline struct rte_mbuf **
make(const struct dt_vnet_cut *cut, struct dt_place *at, struct rte_mbuf **fresh, unsigned int n_pieces)
{
	struct segment seg = { .first = *fresh, .last = *fresh };
	uint32_t len = len_at(cut, cut->done), first = begin_segment(cut, *fresh++, len);

	dt_place_skip(at, first);
	if (likely(n_pieces > 0))
		fresh = attach(at, &seg, len - first, fresh, cut->checksum);
	else if (cut->one_segment)
		copy_here(at, &seg, len - first, cut->checksum);
	else
		fresh = copy(cut, at, &seg, len - first, fresh);
	finish(cut, seg.first, len, seg.sum);
	return fresh;
}

unsigned int
dt_vnet_cut_next(struct dt_vnet_cut *cut, struct rte_mbuf **segs, unsigned int n, enum dt_cause *ret_cause)
{
	struct dt_place at = { .m = cut->m, .offset = cut->offset };
	struct rte_mbuf **fresh;
	struct batch batch;

	*ret_cause = DT_CAUSE_MAX;
	if (cut->left_segs == 0)
		return 0;
	plan(cut, n, &batch);
	if (rte_mempool_get_bulk(cut->pool, (void **)batch.mbufs, batch.n_mbufs) != 0) {
		*ret_cause = DT_CAUSE_GSO_NO_MBUF;
		return 0;
	}
	fresh = batch.mbufs;
	for (unsigned int i = 0; i < batch.n_segs; i++) {
		segs[i] = *fresh;
		fresh = make(cut, &at, fresh, batch.n_pieces[i]);
		cut->done += len_at(cut, cut->done);
		cut->id++;
		cut->left_bytes -= segs[i]->pkt_len;
	}
	dt_place_settle(&at);
	cut->m = at.m;
	cut->offset = at.offset;
	cut->left_segs -= batch.n_segs;
	return batch.n_segs;
}
