/* SPDX-License-Identifier: BSD-3-Clause */
#include "vnet.h"

#include "cut.h"
#include "place.h"

/*
 * Segments of a burst are made in one loop, once for each kind and IP version, so that what these decide is decided by
 * the compiler. What changes from one to the next is kept in locals.
 */

/* Mbufs that one call takes at the most. One segment is never of so many. */
#define STOCK_MAX 96

/* As many as it needs for each segment as a rule. */
#define MBUFS_PER_SEGMENT 3

/* A segment is of no more pieces than these and one for each so many bytes: NICs take few. Beyond, it is copied. */
#define PIECES_FREE  6u
#define PIECE_STRIDE 1024u

/* The flags of TCP as their word has them in host order. */
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

/* Never-used mbufs that a call makes segments of, taken from the front. */
struct stock {
	struct rte_mbuf *mbufs[STOCK_MAX];
	unsigned int n;
};

/* A segment in the making. */
struct segment {
	struct rte_mbuf *m; /* its first */
	uint32_t done; /* payload bytes of the packet in front of it */
	uint32_t len; /* of its payload, of which */
	uint32_t patched; /* come out of cut->udp */
	uint64_t sum; /* of the payload */
	uint16_t id; /* IPv4's */
	bool last;
};

/* ---- headers ---- */

static __rte_always_inline void
finish_ipv4(const struct dt_vnet_cut *cut, const struct segment *seg, uint8_t *ip, const int kind)
{
	uint16_t total = rte_cpu_to_be_16((uint16_t)(cut->hdr_len - cut->l2_len + seg->len));
	uint16_t own;

	if (kind == DT_VNET_CUT_UFO) {
		own = rte_cpu_to_be_16((uint16_t)(seg->done >> 3 | (seg->last ? 0 : RTE_IPV4_HDR_MF_FLAG)));
		dt_put_word(ip + DT_CUT_IP_FRAG, own);
	} else {
		own = rte_cpu_to_be_16(seg->id);
		dt_put_word(ip + DT_CUT_IP_ID, own);
	}
	dt_put_word(ip + DT_CUT_IP_LEN, total);
	dt_put_word(ip + DT_CUT_IP_CHECK, (uint16_t)~dt_sum_fold((uint64_t)cut->ip_sum + total + own));
}

static __rte_always_inline void
finish_ipv6(const struct dt_vnet_cut *cut, const struct segment *seg, uint8_t *ip, const int kind)
{
	dt_put_number(ip + offsetof(struct rte_ipv6_hdr, payload_len),
		(uint32_t)(cut->hdr_len - cut->l2_len - sizeof(struct rte_ipv6_hdr) + seg->len));
	/* As Linux writes it, who counts on a size of whole units of eight bytes. */
	if (kind == DT_VNET_CUT_UFO)
		dt_put_number(ip + cut->l3_len + 2, seg->done | (seg->last ? 0 : 1));
}

static __rte_always_inline void
finish_tcp(const struct dt_vnet_cut *cut, const struct segment *seg, uint8_t *tcp)
{
	uint32_t seq = rte_cpu_to_be_32(cut->tcp_seq + seg->done);
	uint32_t l4_len = cut->hdr_len - cut->l2_len - cut->l3_len;
	uint64_t sum = (uint64_t)cut->pseudo_sum + rte_cpu_to_be_16((uint16_t)(l4_len + seg->len));
	uint16_t flags = cut->tcp_flags, check;

	if (!seg->last)
		flags &= (uint16_t) ~(TCP_FIN | TCP_PSH);
	if (seg->done > 0)
		flags &= (uint16_t)~TCP_CWR;
	flags = rte_cpu_to_be_16(flags);
	if (cut->checksum)
		check = (uint16_t)~dt_sum_fold(sum + seg->sum + cut->l4_sum + seq + flags);
	else
		check = dt_sum_fold(sum);
	memcpy(tcp + DT_CUT_TCP_SEQ, &seq, sizeof(seq));
	dt_put_word(tcp + DT_CUT_TCP_FLAGS, flags);
	dt_put_word(tcp + DT_CUT_TCP_CHECK, check);
}

static __rte_always_inline void
finish_uso(const struct dt_vnet_cut *cut, const struct segment *seg, uint8_t *udp)
{
	uint16_t len = rte_cpu_to_be_16((uint16_t)(DT_CUT_UDP_LEN + seg->len));
	uint64_t sum = (uint64_t)cut->pseudo_sum + len;
	uint16_t check;

	if (cut->checksum) {
		check = (uint16_t)~dt_sum_fold(sum + seg->sum + cut->l4_sum + len);
		if (check == 0)
			check = UINT16_MAX;
	} else {
		check = dt_sum_fold(sum);
	}
	dt_put_word(udp + DT_CUT_UDP_LEN_AT, len);
	dt_put_word(udp + DT_CUT_UDP_CHECK, check);
}

static __rte_always_inline void
finish(const struct dt_vnet_cut *cut, const struct segment *seg, const int kind, const bool v6)
{
	uint8_t *ip = rte_pktmbuf_mtod_offset(seg->m, uint8_t *, cut->l2_len);

	if (v6)
		finish_ipv6(cut, seg, ip, kind);
	else
		finish_ipv4(cut, seg, ip, kind);
	if (kind == DT_VNET_CUT_TCP)
		finish_tcp(cut, seg, ip + cut->l3_len);
	else if (kind == DT_VNET_CUT_USO)
		finish_uso(cut, seg, ip + cut->l3_len);
}

/* ---- mbufs ---- */

/*
 * The fields of a fresh mbuf that anybody behind us reads, in few stores; a pool's mbuf has next right. Three
 * neighbours of @p like are copied: what a driver writes anew (data_off, refcnt, nb_segs, port), flags, and what it
 * received.
 */
static __rte_always_inline void
reset(struct rte_mbuf *m, const struct rte_mbuf *like)
{
	RTE_BUILD_BUG_ON(offsetof(struct rte_mbuf, ol_flags) != offsetof(struct rte_mbuf, rearm_data) + 8);
	RTE_BUILD_BUG_ON(offsetof(struct rte_mbuf, packet_type) != offsetof(struct rte_mbuf, rearm_data) + 16);
	memcpy((uint8_t *)m + offsetof(struct rte_mbuf, rearm_data),
		(const uint8_t *)like + offsetof(struct rte_mbuf, rearm_data), 32);
}

static const struct rte_mbuf plain = {
	.data_off = RTE_PKTMBUF_HEADROOM, .refcnt = 1, .nb_segs = 1, .port = RTE_MBUF_PORT_INVALID
};

/* The mbuf that a segment begins with: its headers, and what of the payload comes out of cut->udp. */
static __rte_always_inline void
begin(const struct dt_vnet_cut *cut, const struct segment *seg, const struct rte_mbuf *like, uint16_t nb_segs)
{
	struct rte_mbuf *m = seg->m;
	uint8_t *data;

	reset(m, like);
	m->nb_segs = nb_segs;
	m->pkt_len = cut->hdr_len + seg->len;
	m->data_len = (uint16_t)(cut->hdr_len + seg->patched);
	if ((cut->seg_flags & DT_VNET_WORK) != 0)
		m->tx_offload = cut->seg_offload; /* nobody reads it of other packets: spare a cache line */
	data = rte_pktmbuf_mtod(m, uint8_t *);
	/* Whole lines, as there is room for. */
	memcpy(data, cut->hdr, RTE_CACHE_LINE_SIZE);
	for (uint32_t i = RTE_CACHE_LINE_SIZE, end = cut->hdr_len; i < end; i += RTE_CACHE_LINE_SIZE)
		memcpy(data + i, cut->hdr + i, RTE_CACHE_LINE_SIZE);
	if (unlikely(seg->patched > 0))
		memcpy(data + cut->hdr_len, cut->udp + seg->done, seg->patched);
}

/* ---- payload ---- */

/* The payload's bytes that come out of cut->udp. */
static __rte_always_inline uint32_t
patched(uint32_t done, uint32_t len, const int kind)
{
	if (kind != DT_VNET_CUT_UFO || likely(done >= DT_CUT_UDP_LEN))
		return 0;
	return RTE_MIN(len, DT_CUT_UDP_LEN - done);
}

/* By reference. @return behind the mbufs that it took */
static __rte_always_inline struct rte_mbuf *const *
attach(const struct dt_vnet_cut *cut, struct dt_place *at, struct segment *seg, const struct rte_mbuf *like,
	struct rte_mbuf *const *fresh)
{
	uint32_t left = seg->len - seg->patched;
	struct rte_mbuf *last = seg->m;
	bool odd = false;

	while (left > 0) {
		uint32_t len = dt_place_part(at, left);
		struct rte_mbuf *mi = *fresh++;

		reset(mi, like);
		dt_place_attach(at, len, mi, cut->pool_priv_size);
		if (cut->checksum) {
			uint64_t sum = dt_sum(dt_place_bytes(at), len);

			seg->sum += unlikely(odd) ? dt_sum_shift(sum) : sum;
			odd ^= (len & 1) != 0;
		}
		last->next = mi;
		last = mi;
		left -= len;
		dt_place_skip(at, len);
	}
	return fresh;
}

/* As a copy behind what an mbuf has. */
static __rte_always_inline void
copy_to(const struct dt_vnet_cut *cut, struct dt_place *at, struct segment *seg, struct rte_mbuf *m, uint32_t left)
{
	uint8_t *to = rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len);
	bool odd = false;

	m->data_len = (uint16_t)(m->data_len + left);
	while (left > 0) {
		uint32_t len = dt_place_part(at, left);

		if (cut->checksum) {
			uint64_t sum = dt_sum_copy(to, dt_place_bytes(at), len);

			seg->sum += unlikely(odd) ? dt_sum_shift(sum) : sum;
			odd ^= (len & 1) != 0;
		} else {
			rte_memcpy(to, dt_place_bytes(at), len);
		}
		to += len;
		left -= len;
		dt_place_skip(at, len);
	}
}

/* As a copy in mbufs of its own, of a segment that would be of too many pieces. @return behind those that it took */
static struct rte_mbuf *const *
copy(const struct dt_vnet_cut *cut, struct dt_place *at, struct segment *seg, struct rte_mbuf *const *fresh)
{
	uint32_t left = seg->len - seg->patched, room = dt_cut_room(cut);
	struct rte_mbuf *last = seg->m;

	while (left > 0) {
		uint32_t len = RTE_MIN(left, room);
		struct rte_mbuf *m = *fresh++;

		reset(m, &plain);
		m->pkt_len = len;
		copy_to(cut, at, seg, m, len);
		seg->m->nb_segs++;
		last->next = m;
		last = m;
		left -= len;
	}
	return fresh;
}

/* How many mbufs the next @p len bytes come to, if they are attached. */
static __rte_always_inline unsigned int
pieces_of(const struct dt_place *at, uint32_t len)
{
	uint32_t here = at->m->data_len - at->offset;
	struct dt_place copy = *at;

	if (len <= here)
		return len > 0;
	if (likely(len - here <= at->m->next->data_len))
		return 2;
	copy.refs = 0;
	return dt_place_count(&copy, len);
}

/* @return pieces; 0: it is to be copied */
static __rte_always_inline unsigned int
plan(const struct dt_vnet_cut *cut, const struct dt_place *at, const struct segment *seg, unsigned int *ret_mbufs)
{
	uint32_t len = seg->len - seg->patched;
	struct dt_place from = *at;
	unsigned int n;

	*ret_mbufs = 1;
	if (cut->one_segment)
		return 0;
	if (unlikely(seg->patched > 0)) {
		from.refs = 0;
		dt_place_skip(&from, seg->patched);
	}
	n = pieces_of(&from, len);
	if (unlikely(n > PIECES_FREE + len / PIECE_STRIDE)) {
		*ret_mbufs += (len + dt_cut_room(cut) - 1) / dt_cut_room(cut);
		return 0;
	}
	*ret_mbufs += n;
	return n;
}

static __rte_always_inline struct segment
segment_at(const struct dt_vnet_cut *cut, uint32_t done, const int kind)
{
	struct segment seg = { .done = done, .len = RTE_MIN((uint32_t)cut->size, cut->payload_len - done) };

	seg.patched = patched(done, seg.len, kind);
	seg.last = done + seg.len == cut->payload_len;
	return seg;
}

/* As many as the stock is enough for. @return segments, of @p *used mbufs */
static __rte_always_inline unsigned int
make_all(struct dt_vnet_cut *cut, const struct stock *stock, struct rte_mbuf **segs, unsigned int n, unsigned int *used,
	const int kind, const bool v6)
{
	const struct rte_mbuf indirect = { .refcnt = 1, .nb_segs = 1, .port = RTE_MBUF_PORT_INVALID };
	const struct rte_mbuf first = { .data_off = RTE_PKTMBUF_HEADROOM,
		.refcnt = 1,
		.port = cut->packet->port,
		.ol_flags = cut->seg_flags,
		.packet_type = cut->packet->packet_type,
		.hash.rss = cut->packet->hash.rss };
	struct dt_place at = { .m = cut->m, .offset = cut->offset };
	struct rte_mbuf *const *end = stock->mbufs + stock->n;
	struct rte_mbuf *const *fresh = stock->mbufs;
	uint32_t done = cut->done;
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct segment seg = segment_at(cut, done, kind);
		unsigned int n_mbufs, n_pieces = plan(cut, &at, &seg, &n_mbufs);

		if (unlikely(fresh + n_mbufs > end))
			break;
		seg.m = *fresh++;
		seg.id = (uint16_t)(cut->id + i);
		done += seg.len;
		begin(cut, &seg, &first, (uint16_t)(1 + n_pieces));
		dt_place_skip(&at, seg.patched);
		if (cut->one_segment)
			copy_to(cut, &at, &seg, seg.m, seg.len - seg.patched);
		else if (likely(n_pieces > 0))
			fresh = attach(cut, &at, &seg, &indirect, fresh);
		else
			fresh = copy(cut, &at, &seg, fresh);
		finish(cut, &seg, kind, v6);
		segs[i] = seg.m;
	}
	dt_place_settle(&at);
	cut->m = at.m;
	cut->offset = at.offset;
	cut->id = (uint16_t)(cut->id + i);
	cut->left_segs -= i;
	cut->left_bytes -= (uint64_t)i * cut->hdr_len + (done - cut->done);
	cut->done = done;
	*used = (unsigned int)(fresh - stock->mbufs);
	return i;
}

static unsigned int
make(struct dt_vnet_cut *cut, const struct stock *stock, struct rte_mbuf **segs, unsigned int n, unsigned int *used)
{
	if (cut->kind == DT_VNET_CUT_TCP && !cut->v6)
		return make_all(cut, stock, segs, n, used, DT_VNET_CUT_TCP, false);
	if (cut->kind == DT_VNET_CUT_TCP)
		return make_all(cut, stock, segs, n, used, DT_VNET_CUT_TCP, true);
	if (cut->kind == DT_VNET_CUT_USO)
		return make_all(cut, stock, segs, n, used, DT_VNET_CUT_USO, cut->v6);
	return make_all(cut, stock, segs, n, used, DT_VNET_CUT_UFO, cut->v6);
}

/* Mbufs for the next segment alone. */
static unsigned int
least(const struct dt_vnet_cut *cut)
{
	const struct dt_place at = { .m = cut->m, .offset = cut->offset };
	const struct segment seg = segment_at(cut, cut->done, (int)cut->kind);
	unsigned int n;

	plan(cut, &at, &seg, &n);
	return n;
}

/* For @p n segments, or at the least one. */
static bool
take_stock(const struct dt_vnet_cut *cut, unsigned int n, struct stock *stock)
{
	if (!cut->one_segment)
		n = RTE_MAX(n * MBUFS_PER_SEGMENT, least(cut));
	stock->n = RTE_MIN(n, (unsigned int)STOCK_MAX);
	if (likely(rte_mempool_get_bulk(cut->pool, (void **)stock->mbufs, stock->n) == 0))
		return true;
	stock->n = least(cut);
	return rte_mempool_get_bulk(cut->pool, (void **)stock->mbufs, stock->n) == 0;
}

unsigned int
dt_vnet_cut_next(struct dt_vnet_cut *cut, struct rte_mbuf **segs, unsigned int n, enum dt_cause *ret_cause)
{
	unsigned int used;
	struct stock stock;

	*ret_cause = DT_CAUSE_MAX;
	n = RTE_MIN(n, cut->left_segs);
	if (n == 0)
		return 0;
	if (unlikely(!take_stock(cut, n, &stock))) {
		*ret_cause = DT_CAUSE_GSO_NO_MBUF;
		return 0;
	}
	n = make(cut, &stock, segs, n, &used);
	if (used < stock.n) /* never-used mbufs: nothing was put into them */
		rte_mempool_put_bulk(cut->pool, (void **)&stock.mbufs[used], stock.n - used);
	return n;
}
