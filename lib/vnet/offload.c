/* SPDX-License-Identifier: BSD-3-Clause */
#include "vnet.h"

#include <stdio.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf_dyn.h>
#include <rte_sctp.h>

#include "internal.h"

uint64_t dt_vnet_uso, dt_vnet_ecn;

static int
register_flag(const char *name, uint64_t *ret_flag)
{
	struct rte_mbuf_dynflag flag = { 0 };
	int bit;

	snprintf(flag.name, sizeof(flag.name), "%s", name);
	bit = rte_mbuf_dynflag_register(&flag);
	if (bit < 0)
		return -rte_errno;
	*ret_flag = 1ULL << bit;
	return 0;
}

int
dt_vnet_init(void)
{
	int err = register_flag("dt_vnet_uso", &dt_vnet_uso);

	return err != 0 ? err : register_flag("dt_vnet_ecn", &dt_vnet_ecn);
}

static inline bool
has(uint64_t features, unsigned int bit)
{
	return (features & (1ULL << bit)) != 0;
}

uint32_t
dt_vnet_guest_takes(uint64_t features)
{
	uint32_t takes = 0;

	/* Everything else depends on it (virtio 1.2, 5.1.3.1). It never means SCTP's CRC: a driver that forwards the
	 * packet would complete another sum. */
	if (!has(features, VIRTIO_NET_F_GUEST_CSUM))
		return 0;
	takes |= DT_TAKES_TCP_CSUM | DT_TAKES_UDP_CSUM;
	if (has(features, VIRTIO_NET_F_GUEST_TSO4))
		takes |= DT_TAKES_TSO4;
	if (has(features, VIRTIO_NET_F_GUEST_TSO6))
		takes |= DT_TAKES_TSO6;
	if (has(features, VIRTIO_NET_F_GUEST_ECN))
		takes |= DT_TAKES_ECN;
	if (has(features, VIRTIO_NET_F_GUEST_UFO))
		takes |= DT_TAKES_UFO;
	if (has(features, VIRTIO_NET_F_GUEST_USO4))
		takes |= DT_TAKES_USO4;
	if (has(features, VIRTIO_NET_F_GUEST_USO6))
		takes |= DT_TAKES_USO6;
	return takes;
}

uint32_t
dt_vnet_nic_takes(uint64_t tx_offload_capa)
{
	uint32_t takes = 0;

	if ((tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0)
		takes |= DT_TAKES_UDP_CSUM;
	if ((tx_offload_capa & RTE_ETH_TX_OFFLOAD_SCTP_CKSUM) != 0)
		takes |= DT_TAKES_SCTP_CSUM;
	if ((tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) == 0)
		return takes;
	takes |= DT_TAKES_TCP_CSUM;
	if ((tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_TSO) == 0)
		return takes;
	return takes | DT_TAKES_TSO4 | DT_TAKES_TSO6;
}

uint32_t
dt_vnet_needs(const struct rte_mbuf *m)
{
	bool v4 = (m->ol_flags & RTE_MBUF_F_TX_IPV4) != 0;
	uint32_t needs = 0;

	if (likely((m->ol_flags & DT_VNET_WORK) == 0))
		return 0;
	if ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0) {
		needs = DT_TAKES_TCP_CSUM | (v4 ? DT_TAKES_TSO4 : DT_TAKES_TSO6);
		return (m->ol_flags & dt_vnet_ecn) != 0 ? needs | DT_TAKES_ECN : needs;
	}
	if ((m->ol_flags & RTE_MBUF_F_TX_UDP_SEG) != 0) {
		if ((m->ol_flags & dt_vnet_uso) == 0)
			return DT_TAKES_UDP_CSUM | DT_TAKES_UFO;
		return DT_TAKES_UDP_CSUM | (v4 ? DT_TAKES_USO4 : DT_TAKES_USO6);
	}
	switch (m->ol_flags & RTE_MBUF_F_TX_L4_MASK) {
	case RTE_MBUF_F_TX_TCP_CKSUM:
		return DT_TAKES_TCP_CSUM;
	case RTE_MBUF_F_TX_UDP_CKSUM:
		return DT_TAKES_UDP_CSUM;
	default:
		return DT_TAKES_SCTP_CSUM;
	}
}

static uint8_t
gso_type(uint64_t ol_flags)
{
	if ((ol_flags & RTE_MBUF_F_TX_UDP_SEG) != 0)
		return (ol_flags & dt_vnet_uso) != 0 ? VIRTIO_NET_HDR_GSO_UDP_L4 : VIRTIO_NET_HDR_GSO_UDP;
	return ((ol_flags & RTE_MBUF_F_TX_IPV4) != 0 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6) |
	       ((ol_flags & dt_vnet_ecn) != 0 ? VIRTIO_NET_HDR_GSO_ECN : 0);
}

static uint16_t
csum_offset(uint64_t ol_flags)
{
	switch (ol_flags & RTE_MBUF_F_TX_L4_MASK) {
	case RTE_MBUF_F_TX_TCP_CKSUM:
		return offsetof(struct tcphdr, check);
	case RTE_MBUF_F_TX_UDP_CKSUM:
		return offsetof(struct udphdr, check);
	default:
		return offsetof(struct rte_sctp_hdr, cksum);
	}
}

void
dt_vnet_header(const struct rte_mbuf *m, uint64_t features, struct virtio_net_hdr *ret_hdr)
{
	struct virtio_net_hdr hdr = { 0 };

	if ((m->ol_flags & DT_VNET_WORK) != 0) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.csum_start = (uint16_t)(m->l2_len + m->l3_len);
		hdr.csum_offset = csum_offset(m->ol_flags);
		if ((m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) != 0) {
			hdr.gso_type = gso_type(m->ol_flags);
			hdr.gso_size = m->tso_segsz;
			hdr.hdr_len = (uint16_t)(hdr.csum_start + m->l4_len);
		}
	} else if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD &&
		   has(features, VIRTIO_NET_F_GUEST_CSUM)) {
		hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	*ret_hdr = hdr;
}

static void
set_ipv4_sum(uint8_t *ip, uint32_t len)
{
	uint16_t sum = 0;

	memcpy(ip + offsetof(struct rte_ipv4_hdr, hdr_checksum), &sum, sizeof(sum));
	sum = (uint16_t)~dt_sum_fold(dt_sum(ip, len));
	memcpy(ip + offsetof(struct rte_ipv4_hdr, hdr_checksum), &sum, sizeof(sum));
}

void
dt_vnet_complete_ipv4(struct rte_mbuf *m)
{
	if ((m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) == 0)
		return;
	set_ipv4_sum(rte_pktmbuf_mtod_offset(m, uint8_t *, m->l2_len), m->l3_len);
	m->ol_flags &= ~RTE_MBUF_F_TX_IP_CKSUM;
}

/* The IP header of what was merged: its length may be that of the first part, and its checksum of neither. */
static void
set_ip_length(uint8_t *ip, const struct dt_packet *packet, uint32_t l3)
{
	uint16_t len;

	if (packet->v6) {
		len = rte_cpu_to_be_16((uint16_t)(l3 - sizeof(struct rte_ipv6_hdr)));
		memcpy(ip + offsetof(struct rte_ipv6_hdr, payload_len), &len, sizeof(len));
		return;
	}
	len = rte_cpu_to_be_16((uint16_t)l3);
	memcpy(ip + offsetof(struct rte_ipv4_hdr, total_length), &len, sizeof(len));
	set_ipv4_sum(ip, packet->l3_len);
}

static bool
is_fragment(const uint8_t *view, const struct dt_packet *packet)
{
	uint16_t fragment = dt_be16_at(view + packet->l2_len + offsetof(struct rte_ipv4_hdr, fragment_offset));

	return !packet->v6 && (fragment & (RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)) != 0;
}

bool
dt_vnet_from_lro(struct rte_mbuf *m)
{
	uint8_t *bytes = rte_pktmbuf_mtod(m, uint8_t *), *tcp, copy[HEADERS_MAX];
	struct dt_packet packet;
	const uint8_t *view;
	uint32_t l4, l4_len;
	uint16_t sum;

	if (!dt_is_own(m) || m->pkt_len < RTE_ETHER_HDR_LEN || m->tso_segsz == 0)
		return false;
	view = dt_packet_view(m, copy);
	if (!dt_packet_parse(view, m->pkt_len, dt_packet_type(view), &packet) || packet.proto != IPPROTO_TCP ||
		is_fragment(view, &packet))
		return false;
	l4 = packet.l2_len + packet.l3_len;
	tcp = bytes + l4;
	if (l4 + sizeof(struct tcphdr) > m->data_len || m->pkt_len - packet.l2_len > UINT16_MAX)
		return false;
	l4_len = (tcp[12] >> 4) * 4u;
	if (l4_len < sizeof(struct tcphdr) || l4 + l4_len > m->data_len || l4 + l4_len + m->tso_segsz >= m->pkt_len)
		return false;
	set_ip_length(bytes + packet.l2_len, &packet, m->pkt_len - packet.l2_len);
	sum = dt_sum_fold(dt_sum_pseudo(bytes, &packet) + dt_sum_of(m->pkt_len - l4));
	memcpy(tcp + offsetof(struct tcphdr, check), &sum, sizeof(sum));
	dt_mbuf_lengths(m, &packet, l4_len, m->tso_segsz);
	m->ol_flags &= ~(RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM |
		       (packet.v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM) |
		       ((tcp[13] & 0x80) != 0 ? dt_vnet_ecn : 0);
	return true;
}
