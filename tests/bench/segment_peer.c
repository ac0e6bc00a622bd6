/* SPDX-License-Identifier: BSD-3-Clause */
#include "segment_peer.h"

#include <rte_ethdev.h>
#include <rte_gso.h>
#include <rte_ip.h>
#include <rte_tcp.h>

int
SEGMENT_PEER(
	struct rte_mempool *pool, struct rte_mbuf *pkt, uint16_t mss, struct rte_mbuf **segs, uint16_t n, bool checksum)
{
	const struct rte_gso_ctx ctx = {
		.direct_pool = pool,
		.indirect_pool = pool,
		.gso_types = RTE_ETH_TX_OFFLOAD_TCP_TSO,
		.gso_size = (uint16_t)(pkt->l2_len + pkt->l3_len + pkt->l4_len + mss),
	};
	uint64_t flags = pkt->ol_flags; /* it takes one away */
	int n_segs = rte_gso_segment(pkt, &ctx, segs, n);

	pkt->ol_flags = flags;
	for (int i = 0; i < n_segs && checksum; i++) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(segs[i], struct rte_ipv4_hdr *, pkt->l2_len);
		struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)((uint8_t *)ip + pkt->l3_len);

		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
		tcp->cksum = 0;
		tcp->cksum = rte_ipv4_udptcp_cksum_mbuf(segs[i], ip, (uint16_t)(pkt->l2_len + pkt->l3_len));
	}
	return n_segs;
}
