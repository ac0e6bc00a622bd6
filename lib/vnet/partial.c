/* SPDX-License-Identifier: BSD-3-Clause */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "internal.h"

/* Where the checksum is, 0: of a protocol that is not known here. */
static uint32_t
checksum_offset(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return offsetof(struct udphdr, check);
	default:
		return 0;
	}
}

bool
dt_vnet_from_partial(struct rte_mbuf *m)
{
	uint8_t copy[HEADERS_MAX];
	const uint8_t *view;
	struct dt_packet packet;
	uint32_t l4, offset;
	uint16_t sum;

	if (!dt_is_own(m) || m->pkt_len < RTE_ETHER_HDR_LEN)
		return false;
	view = dt_packet_view(m, copy);
	if (!dt_packet_parse(view, m->pkt_len, dt_packet_type(view), &packet) || packet.odd)
		return false;
	l4 = packet.l2_len + packet.l3_len;
	offset = checksum_offset(packet.proto);
	/* A driver that completes it finds all headers in the first mbuf. */
	if (offset == 0 || l4 + offset + sizeof(sum) > m->data_len)
		return false;
	sum = dt_sum_fold(dt_sum_pseudo(view, &packet) + dt_sum_of(m->pkt_len - l4));
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, l4 + offset), &sum, sizeof(sum));
	dt_mbuf_lengths(m, &packet, 0, 0);
	m->ol_flags &= ~RTE_MBUF_F_RX_L4_CKSUM_MASK;
	m->ol_flags |= (packet.proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM) |
		       (packet.v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	return true;
}
