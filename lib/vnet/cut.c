/* SPDX-License-Identifier: BSD-3-Clause */
#include "vnet.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_random.h>

#include "cut.h"
#include "place.h"

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
		m->l4_len < ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0 ? sizeof(struct tcphdr) : DT_CUT_UDP_LEN) ||
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

	memcpy(&cut->tcp_seq, tcp + DT_CUT_TCP_SEQ, sizeof(cut->tcp_seq));
	cut->tcp_seq = rte_be_to_cpu_32(cut->tcp_seq);
	cut->tcp_flags = dt_be16_at(tcp + DT_CUT_TCP_FLAGS);
	/* The field has the sum of the pseudo header, with the packet's length. */
	cut->pseudo_sum = dt_sum_fold(dt_word_at(tcp + DT_CUT_TCP_CHECK) + (UINT32_MAX - len));
	memset(tcp + DT_CUT_TCP_SEQ, 0, sizeof(uint32_t));
	dt_put_word(tcp + DT_CUT_TCP_FLAGS, 0);
	dt_put_word(tcp + DT_CUT_TCP_CHECK, 0);
	cut->l4_sum = dt_sum_fold(dt_sum(tcp, l4_len));
}

static void
begin_uso(struct dt_vnet_cut *cut)
{
	uint8_t *udp = cut->hdr + cut->l2_len + cut->l3_len;
	uint16_t len = dt_word_at(udp + DT_CUT_UDP_LEN_AT);

	cut->pseudo_sum = dt_sum_fold(dt_word_at(udp + DT_CUT_UDP_CHECK) + (uint16_t)~len);
	dt_put_word(udp + DT_CUT_UDP_LEN_AT, 0);
	dt_put_word(udp + DT_CUT_UDP_CHECK, 0);
	cut->l4_sum = dt_sum_fold(dt_sum(udp, DT_CUT_UDP_LEN));
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

	memcpy(cut->udp, cut->hdr + l4, DT_CUT_UDP_LEN);
	dt_put_word(cut->udp + DT_CUT_UDP_CHECK, 0);
	sum += dt_sum(cut->udp, DT_CUT_UDP_LEN) +
	       dt_packet_sum(m, l4 + DT_CUT_UDP_LEN, cut->payload_len - DT_CUT_UDP_LEN);
	check = (uint16_t)~dt_sum_fold(sum);
	dt_put_word(cut->udp + DT_CUT_UDP_CHECK, check != 0 ? check : UINT16_MAX);
}

static void
begin_ipv4(struct dt_vnet_cut *cut)
{
	uint8_t *ip = cut->hdr + cut->l2_len;

	cut->id = dt_be16_at(ip + DT_CUT_IP_ID);
	dt_put_word(ip + DT_CUT_IP_LEN, 0);
	dt_put_word(ip + DT_CUT_IP_CHECK, 0);
	dt_put_word(ip + (cut->kind == DT_VNET_CUT_UFO ? DT_CUT_IP_FRAG : DT_CUT_IP_ID), 0);
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
	memset(fragment, 0, DT_CUT_FRAGMENT_LEN);
	fragment[0] = *next;
	memcpy(fragment + DT_CUT_FRAGMENT_LEN - sizeof(id), &id, sizeof(id));
	*next = IPPROTO_FRAGMENT;
	cut->hdr_len += DT_CUT_FRAGMENT_LEN;
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
	cut->pool_priv_size = rte_pktmbuf_priv_size(pool);
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

	if (one_segment && cut->hdr_len + (uint32_t)cut->size > dt_cut_room(cut))
		return DT_CAUSE_UPLINK_ONE_SEGMENT;
	cut->n_segs = cut->left_segs = (cut->payload_len + cut->size - 1) / cut->size;
	cut->bytes = cut->left_bytes = (uint64_t)cut->n_segs * cut->hdr_len + cut->payload_len;
	return DT_CAUSE_MAX;
}
