/* SPDX-License-Identifier: BSD-3-Clause */
#include "vnet.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_sctp.h>

#include "internal.h"

/* A size that Linux keeps for a purpose of its own (GSO_BY_FRAGS). */
#define GSO_SIZE_RESERVED 0xffff

/* Datagrams that one USO packet may become. */
#define USO_SEGMENTS_MAX 128u

/* Bytes in front of the frame in the kernel's buffer: its offsets have 16 bits, and the last value means none. */
#define TAP_HEADROOM 2u

/* A header and what it came with. */
struct question {
	const struct virtio_net_hdr *hdr;
	uint64_t features;
	struct rte_mbuf *m;
	const uint8_t *view; /* of m */
	uint32_t len; /* of the frame */
	uint8_t type; /* gso_type without ECN */
	bool partial; /* NEEDS_CSUM */

	/* answers of judge_csum() and judge_protocol() */
	uint16_t ether_type; /* what the frame is taken for */
	uint32_t behind; /* where what gso_size counts would begin, with a TCP header without options */
};

static inline bool
has(uint64_t features, unsigned int bit)
{
	return (features & (1ULL << bit)) != 0;
}

static inline bool
is_udp(uint8_t type)
{
	return type == VIRTIO_NET_HDR_GSO_UDP || type == VIRTIO_NET_HDR_GSO_UDP_L4;
}

static inline uint32_t
transport_len(uint8_t type)
{
	if (type == VIRTIO_NET_HDR_GSO_NONE)
		return 0;
	return is_udp(type) ? sizeof(struct udphdr) : sizeof(struct tcphdr);
}

/* The kernel compares with all bytes behind the ten that it knows, num_buffers included, and in 16 bits. */
static enum dt_cause
judge_hdr_len(const struct question *q)
{
	bool with_num_buffers = has(q->features, VIRTIO_NET_F_MRG_RXBUF) || has(q->features, VIRTIO_F_VERSION_1);
	uint32_t limit = q->len + (with_num_buffers ? DT_VNET_HDR_MRG - DT_VNET_HDR_LEGACY : 0);
	uint32_t hdr_len = q->hdr->hdr_len;

	if (q->partial)
		hdr_len = RTE_MAX(hdr_len, (uint32_t)q->hdr->csum_start + q->hdr->csum_offset + sizeof(uint16_t));
	if ((uint16_t)hdr_len <= limit)
		return DT_CAUSE_MAX;
	return q->hdr->hdr_len > limit ? DT_CAUSE_HDR_LEN_TOO_LONG : DT_CAUSE_HDR_CSUM_RANGE;
}

static enum dt_cause
judge_type(const struct question *q)
{
	switch (q->type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return q->hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE ? DT_CAUSE_MAX : DT_CAUSE_HDR_GSO_TYPE;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
	case VIRTIO_NET_HDR_GSO_UDP:
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return q->hdr->gso_size == 0 ? DT_CAUSE_HDR_GSO_SIZE : DT_CAUSE_MAX;
	default:
		return DT_CAUSE_HDR_GSO_TYPE;
	}
}

static enum dt_cause
judge_csum(struct question *q)
{
	uint32_t network_len =
		q->type == VIRTIO_NET_HDR_GSO_TCPV6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
	uint32_t start = q->hdr->csum_start, end = q->hdr->csum_offset + sizeof(uint16_t);

	if (start + RTE_MAX(transport_len(q->type), end) > q->len || start + TAP_HEADROOM >= UINT16_MAX)
		return DT_CAUSE_HDR_CSUM_RANGE;
	if (start < network_len)
		return DT_CAUSE_HDR_CSUM_START;
	q->behind = start + transport_len(q->type);
	return DT_CAUSE_MAX;
}

/* A segmentation without a checksum: what it is to be done with has to be found in the packet. */
static enum dt_cause
judge_protocol(struct question *q)
{
	uint16_t offset;
	uint8_t proto;

	if (q->ether_type == 0)
		q->ether_type = q->type == VIRTIO_NET_HDR_GSO_TCPV6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
	if (!dt_packet_dissect(q->view, q->len, q->ether_type, &offset, &proto)) {
		if (q->type != VIRTIO_NET_HDR_GSO_UDP || q->ether_type != RTE_ETHER_TYPE_IPV4)
			return DT_CAUSE_HDR_GSO_PROTOCOL;
		/* UFO does not say of which IP */
		q->ether_type = RTE_ETHER_TYPE_IPV6;
		if (!dt_packet_dissect(q->view, q->len, q->ether_type, &offset, &proto))
			return DT_CAUSE_HDR_GSO_PROTOCOL;
	}
	q->behind = offset + transport_len(q->type);
	if (q->behind > q->len || proto != (is_udp(q->type) ? IPPROTO_UDP : IPPROTO_TCP))
		return DT_CAUSE_HDR_GSO_PROTOCOL;
	return DT_CAUSE_MAX;
}

static enum dt_cause
judge_gso(const struct question *q)
{
	switch (q->type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return DT_CAUSE_MAX;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		if (!q->partial || q->hdr->csum_offset != offsetof(struct udphdr, check))
			return DT_CAUSE_HDR_GSO_CSUM;
		if (q->len - q->behind > q->hdr->gso_size * USO_SEGMENTS_MAX)
			return DT_CAUSE_HDR_GSO_SIZE;
		if (q->hdr->gso_type != q->type)
			return DT_CAUSE_HDR_GSO_TYPE;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		if (q->partial && q->hdr->csum_offset != offsetof(struct tcphdr, check))
			return DT_CAUSE_HDR_GSO_CSUM;
		break;
	default: /* UFO: its checksum is made anew, whatever the header says */
		break;
	}
	return q->hdr->gso_size == GSO_SIZE_RESERVED ? DT_CAUSE_HDR_GSO_SIZE : DT_CAUSE_MAX;
}

/* What the kernel does not ask: a guest that breaks what it agreed to. */
static enum dt_cause
judge_features(const struct question *q)
{
	static const uint8_t feature_of[] = {
		[VIRTIO_NET_HDR_GSO_TCPV4] = VIRTIO_NET_F_HOST_TSO4,
		[VIRTIO_NET_HDR_GSO_TCPV6] = VIRTIO_NET_F_HOST_TSO6,
		[VIRTIO_NET_HDR_GSO_UDP] = VIRTIO_NET_F_HOST_UFO,
		[VIRTIO_NET_HDR_GSO_UDP_L4] = VIRTIO_NET_F_HOST_USO,
	};
	bool ecn = q->hdr->gso_type != q->type;

	if (q->type != VIRTIO_NET_HDR_GSO_NONE && !has(q->features, feature_of[q->type]))
		return DT_CAUSE_HDR_GSO_NOT_NEGOTIATED;
	if (ecn && !has(q->features, VIRTIO_NET_F_HOST_ECN))
		return DT_CAUSE_HDR_GSO_NOT_NEGOTIATED;
	if (q->partial && !has(q->features, VIRTIO_NET_F_CSUM))
		return DT_CAUSE_HDR_CSUM_NOT_NEGOTIATED;
	return DT_CAUSE_MAX;
}

/* In the kernel's order, which decides what a header that is wrong in several ways is told. */
static enum dt_cause
judge(struct question *q)
{
	enum dt_cause cause = judge_hdr_len(q);

	if (cause == DT_CAUSE_MAX)
		cause = judge_type(q);
	if (cause == DT_CAUSE_MAX && q->partial)
		cause = judge_csum(q);
	else if (cause == DT_CAUSE_MAX && q->type != VIRTIO_NET_HDR_GSO_NONE)
		cause = judge_protocol(q);
	if (cause == DT_CAUSE_MAX)
		cause = judge_gso(q);
	return cause == DT_CAUSE_MAX ? judge_features(q) : cause;
}

/* Whether there is anything to cut. UFO counts the UDP header as payload. */
static bool
is_gso(const struct question *q)
{
	uint32_t behind = q->behind;

	if (q->type == VIRTIO_NET_HDR_GSO_NONE)
		return false;
	if (q->type == VIRTIO_NET_HDR_GSO_UDP)
		behind -= sizeof(struct udphdr);
	return q->len - behind > q->hdr->gso_size;
}

static void
write_pseudo(const struct question *q, const struct dt_packet *packet, uint32_t csum_offset)
{
	uint32_t l4 = packet->l2_len + packet->l3_len;
	uint16_t sum = dt_sum_fold(dt_sum_pseudo(q->view, packet) + dt_sum_of(q->len - l4));

	dt_packet_write(q->m, l4 + csum_offset, &sum, sizeof(sum));
}

static enum dt_cause
accept_tcp(const struct question *q, const struct dt_packet *packet)
{
	uint32_t l4 = packet->l2_len + packet->l3_len, l4_len;
	struct rte_mbuf *m = q->m;

	if (packet->proto != IPPROTO_TCP || packet->v6 != (q->type == VIRTIO_NET_HDR_GSO_TCPV6) ||
		l4 + sizeof(struct tcphdr) > q->len || (q->partial && q->hdr->csum_start != l4))
		return DT_CAUSE_GSO_MALFORMED;
	l4_len = (q->view[l4 + 12] >> 4) * 4u;
	if (l4_len < sizeof(struct tcphdr) || l4 + l4_len > q->len || q->len - l4 - l4_len <= q->hdr->gso_size)
		return DT_CAUSE_GSO_MALFORMED;
	if (!q->partial)
		write_pseudo(q, packet, offsetof(struct tcphdr, check));
	dt_mbuf_lengths(m, packet, l4_len, q->hdr->gso_size);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM |
		       (packet->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM) |
		       (q->hdr->gso_type != q->type ? dt_vnet_ecn : 0);
	return DT_CAUSE_MAX;
}

static enum dt_cause
accept_udp(const struct question *q, const struct dt_packet *packet)
{
	uint32_t l4 = packet->l2_len + packet->l3_len;
	bool uso = q->type == VIRTIO_NET_HDR_GSO_UDP_L4;
	struct rte_mbuf *m = q->m;

	if (packet->proto != IPPROTO_UDP || l4 + sizeof(struct udphdr) > q->len || (uso && q->hdr->csum_start != l4) ||
		q->len - l4 <= q->hdr->gso_size + (uso ? sizeof(struct udphdr) : 0))
		return DT_CAUSE_GSO_MALFORMED;
	if (!uso)
		write_pseudo(q, packet, offsetof(struct udphdr, check));
	dt_mbuf_lengths(m, packet, sizeof(struct udphdr), q->hdr->gso_size);
	m->ol_flags |= RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_UDP_CKSUM |
		       (packet->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM) |
		       (uso ? dt_vnet_uso : 0);
	return DT_CAUSE_MAX;
}

/* The flag that says just this partial checksum; 0: there is none. */
static uint64_t
flag_of_csum(const struct question *q, const struct dt_packet *packet)
{
	uint32_t room = q->len - q->hdr->csum_start;

	switch (packet->proto) {
	case IPPROTO_TCP:
		if (q->hdr->csum_offset == offsetof(struct tcphdr, check) && room >= sizeof(struct tcphdr))
			return RTE_MBUF_F_TX_TCP_CKSUM;
		return 0;
	case IPPROTO_UDP:
		if (q->hdr->csum_offset == offsetof(struct udphdr, check) && room >= sizeof(struct udphdr))
			return RTE_MBUF_F_TX_UDP_CKSUM;
		return 0;
	case IPPROTO_SCTP:
		if (q->hdr->csum_offset == offsetof(struct rte_sctp_hdr, cksum) && room >= sizeof(struct rte_sctp_hdr))
			return RTE_MBUF_F_TX_SCTP_CKSUM;
		return 0;
	default:
		return 0;
	}
}

static void
accept_partial(const struct question *q)
{
	static const uint32_t no_crc;
	struct dt_packet packet;
	uint64_t flag = 0;
	uint16_t sum;

	if (dt_packet_parse(q->view, q->len, q->ether_type, &packet) && !packet.odd &&
		q->hdr->csum_start == packet.l2_len + packet.l3_len)
		flag = flag_of_csum(q, &packet);
	if (likely(flag != 0)) {
		if (flag == RTE_MBUF_F_TX_SCTP_CKSUM) /* whoever makes the CRC counts the field as zero */
			dt_packet_write(
				q->m, (uint32_t)q->hdr->csum_start + q->hdr->csum_offset, &no_crc, sizeof(no_crc));
		dt_mbuf_lengths(q->m, &packet, 0, 0);
		q->m->ol_flags |= flag | (packet.v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
		return;
	}
	sum = (uint16_t)~dt_sum_fold(dt_packet_sum(q->m, q->hdr->csum_start, q->len - q->hdr->csum_start));
	if (sum == 0)
		sum = UINT16_MAX;
	dt_packet_write(q->m, (uint32_t)q->hdr->csum_start + q->hdr->csum_offset, &sum, sizeof(sum));
}

enum dt_cause
dt_vnet_accept(const struct virtio_net_hdr *hdr, uint64_t features, struct rte_mbuf *m)
{
	uint8_t copy[HEADERS_MAX];
	struct question q = {
		.hdr = hdr,
		.features = features,
		.m = m,
		.view = dt_packet_view(m, copy),
		.len = m->pkt_len,
		.type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN,
		.partial = (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0,
	};
	struct dt_packet packet;
	enum dt_cause cause;

	if (q.len < RTE_ETHER_HDR_LEN)
		return DT_CAUSE_FRAME_TOO_SHORT;
	q.ether_type = dt_packet_type(q.view);
	cause = judge(&q);
	if (cause != DT_CAUSE_MAX)
		return cause;
	if (!is_gso(&q)) {
		if (q.partial)
			accept_partial(&q);
		return DT_CAUSE_MAX;
	}
	if (!dt_packet_parse(q.view, q.len, q.ether_type, &packet))
		return DT_CAUSE_GSO_MALFORMED;
	return is_udp(q.type) ? accept_udp(&q, &packet) : accept_tcp(&q, &packet);
}
