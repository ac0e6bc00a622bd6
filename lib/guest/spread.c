/* SPDX-License-Identifier: BSD-3-Clause */
#include "spread.h"

#include <rte_branch_prediction.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_mbuf_ptype.h>
#include <rte_net.h>

#include "internal.h"

/* Headers lie at odd addresses; rte_hash_crc() reads whole words. */
static __rte_always_inline uint32_t
crc_of(const void *from, uint32_t len, uint32_t init)
{
	uint64_t words[8];

	__builtin_memcpy(words, from, len);
	return rte_hash_crc(words, len, init);
}

/* Of source and destination together; ports where TCP, UDP and SCTP have them. */
#define IPV4_BYTES  8
#define IPV6_BYTES  32
#define PORTS_BYTES 4

void
dt_spread_set(struct dt_spread *spread, const uint8_t pairs[], unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		__atomic_store_n(&spread->pair[i], pairs[i], __ATOMIC_RELAXED);
	/* Relaxed: whoever changes it waits until every worker has begun a new round. */
	__atomic_store_n(&spread->n, (uint8_t)n, __ATOMIC_RELAXED);
}

/* Neither IPv4 nor IPv6: by MAC addresses and the type behind them. */
static uint32_t
hash_link(const struct rte_mbuf *m)
{
	return crc_of(rte_pktmbuf_mtod(m, const void *), RTE_ETHER_HDR_LEN, 0);
}

static bool
has_ports(uint32_t l4)
{
	return l4 == RTE_PTYPE_L4_TCP || l4 == RTE_PTYPE_L4_UDP || l4 == RTE_PTYPE_L4_SCTP;
}

/* Headers lie in the first mbuf, or are not looked at. */
static uint32_t
hash_any(const struct rte_mbuf *m)
{
	struct rte_net_hdr_lens lens;
	uint32_t type = rte_net_get_ptype(m, &lens, RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK);
	uint32_t l3 = type & RTE_PTYPE_L3_MASK, l4 = type & RTE_PTYPE_L4_MASK, hash;
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, lens.l2_len);

	if (RTE_ETH_IS_IPV4_HDR(l3) && m->data_len >= lens.l2_len + sizeof(struct rte_ipv4_hdr))
		hash = crc_of(ip + offsetof(struct rte_ipv4_hdr, src_addr), IPV4_BYTES, RTE_PTYPE_L3_IPV4);
	else if (RTE_ETH_IS_IPV6_HDR(l3) && m->data_len >= lens.l2_len + sizeof(struct rte_ipv6_hdr))
		hash = crc_of(ip + offsetof(struct rte_ipv6_hdr, src_addr), IPV6_BYTES, RTE_PTYPE_L3_IPV6);
	else
		return hash_link(m);
	if (has_ports(l4) && m->data_len >= lens.l2_len + lens.l3_len + PORTS_BYTES)
		hash = crc_of(ip + lens.l3_len, PORTS_BYTES, hash ^ l4);
	return hash;
}

static __rte_always_inline uint32_t
hash_ports(const uint8_t *addresses, uint32_t n_bytes, uint32_t l3, uint8_t protocol)
{
	uint32_t l4 = protocol == IPPROTO_TCP ? RTE_PTYPE_L4_TCP : RTE_PTYPE_L4_UDP;

	return crc_of(addresses + n_bytes, PORTS_BYTES, crc_of(addresses, n_bytes, l3) ^ l4);
}

/* Most packets are TCP or UDP right behind an untagged IP header of the usual length: what hash_any() comes to. */
static __rte_always_inline uint32_t
hash_flow(const struct rte_mbuf *m)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *ip4 = (const struct rte_ipv4_hdr *)(ether + 1);
	const struct rte_ipv6_hdr *ip6 = (const struct rte_ipv6_hdr *)(ether + 1);

	if (unlikely(m->data_len < sizeof(*ether) + sizeof(*ip6) + PORTS_BYTES))
		return hash_any(m);
	if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) && ip4->version_ihl == RTE_IPV4_VHL_DEF &&
		(ip4->fragment_offset & RTE_BE16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) == 0 &&
		(ip4->next_proto_id == IPPROTO_TCP || ip4->next_proto_id == IPPROTO_UDP))
		return hash_ports((const uint8_t *)&ip4->src_addr, IPV4_BYTES, RTE_PTYPE_L3_IPV4, ip4->next_proto_id);
	if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) &&
		(ip6->proto == IPPROTO_TCP || ip6->proto == IPPROTO_UDP))
		return hash_ports(ip6->src_addr, IPV6_BYTES, RTE_PTYPE_L3_IPV6, ip6->proto);
	return hash_any(m);
}

uint32_t
dt_spread_hash(const struct rte_mbuf *m)
{
	return m->ol_flags & RTE_MBUF_F_RX_RSS_HASH ? m->hash.rss : hash_flow(m);
}

/* A burst, sorted by pair; each pair's packets in their order. */
static unsigned int
put_spread(struct dt_guest *guest, unsigned int from, struct rte_mbuf **pkts, unsigned int n)
{
	struct rte_mbuf *sorted[DT_CONF_QUEUES_MAX][DT_BURST];
	unsigned int n_sorted[DT_CONF_QUEUES_MAX] = { 0 }, queued = 0;

	for (unsigned int i = 0; i < n; i++) {
		unsigned int pair = dt_spread_at(&guest->spread, dt_spread_hash(pkts[i]));

		sorted[pair][n_sorted[pair]++] = pkts[i];
	}
	for (unsigned int pair = 0; pair < guest->n_pairs; pair++)
		if (n_sorted[pair] > 0)
			queued += dt_fit_put(
				dt_guest_lane_now(guest, pair), &guest->fit, from, sorted[pair], n_sorted[pair]);
	return queued;
}

unsigned int
dt_guest_put(struct dt_guest *guest, unsigned int from, struct rte_mbuf **pkts, unsigned int n)
{
	int only = dt_spread_only(&guest->spread);
	unsigned int queued = 0;

	if (likely(only >= 0))
		return dt_fit_put(dt_guest_lane_now(guest, (unsigned int)only), &guest->fit, from, pkts, n);
	for (unsigned int i = 0; i < n; i += DT_BURST)
		queued += put_spread(guest, from, &pkts[i], RTE_MIN(n - i, (unsigned int)DT_BURST));
	return queued;
}

bool
dt_guest_is_open(const struct dt_guest *guest)
{
	unsigned int first = __atomic_load_n(&guest->spread.pair[0], __ATOMIC_RELAXED);

	return dt_lane_is_open(dt_guest_lane_now(guest, first));
}
