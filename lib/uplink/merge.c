/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <rte_gro.h>
#include <rte_ip.h>
#include <rte_tcp.h>

/*
 * GRO: consecutive data segments of one connection become one large packet, within a burst. librte_gro does it; here
 * is what it does not look at: whether checksums are good, and what else must be the same for the sender's packets to
 * come out again when the large one is cut. It brings what it cannot merge behind what it can, so that it gets
 * runs of nothing but the latter.
 */

/* What librte_gro does not compare. */
struct likeness {
	uint16_t l2_len;
	uint16_t vlan; /* with priority */
	uint8_t tos; /* ECN's congestion mark may not be lost */
	uint8_t ttl;
};

/* What the NIC has not verified, we do. */
static bool
checksums_are_good(const struct rte_mbuf *m, const struct rte_ipv4_hdr *ip, const struct rte_tcp_hdr *tcp)
{
	if ((m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) != RTE_MBUF_F_RX_IP_CKSUM_GOOD && rte_ipv4_cksum(ip) != 0)
		return false;
	return (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD ||
	       rte_ipv4_udptcp_cksum_verify(ip, tcp) == 0;
}

static const struct rte_ipv4_hdr *
find_ipv4(const struct rte_mbuf *m, struct likeness *like)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_vlan_hdr *vlan = (const struct rte_vlan_hdr *)(eth + 1);

	if (m->data_len < sizeof(*eth) + sizeof(*vlan) + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_tcp_hdr))
		return NULL;
	like->l2_len = sizeof(*eth);
	like->vlan = 0;
	if (eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
		return (const struct rte_ipv4_hdr *)(eth + 1);
	if (eth->ether_type != RTE_BE16(RTE_ETHER_TYPE_VLAN) || vlan->eth_proto != RTE_BE16(RTE_ETHER_TYPE_IPV4))
		return NULL;
	like->l2_len += sizeof(*vlan);
	like->vlan = vlan->vlan_tci;
	return (const struct rte_ipv4_hdr *)(vlan + 1);
}

/* Whether it is TCP data and nothing else; if so it is made ready for librte_gro. */
static bool
is_mergeable(struct rte_mbuf *m, struct likeness *like)
{
	const struct rte_ipv4_hdr *ip;
	const struct rte_tcp_hdr *tcp;
	uint32_t headers;

	if (m->nb_segs != 1 || (m->ol_flags & DT_VNET_WORK) != 0)
		return false;
	ip = find_ipv4(m, like);
	if (ip == NULL || ip->version_ihl != RTE_IPV4_VHL_DEF || ip->next_proto_id != IPPROTO_TCP ||
		(ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)) != 0 ||
		rte_be_to_cpu_16(ip->total_length) != m->pkt_len - like->l2_len)
		return false;
	tcp = (const struct rte_tcp_hdr *)(ip + 1);
	headers = like->l2_len + sizeof(*ip) + (tcp->data_off >> 4) * 4u;
	if (tcp->tcp_flags != RTE_TCP_ACK_FLAG || tcp->data_off >> 4 < sizeof(*tcp) / 4 || m->pkt_len <= headers ||
		!checksums_are_good(m, ip, tcp))
		return false;
	like->tos = ip->type_of_service;
	like->ttl = ip->time_to_live;
	m->packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_TCP;
	m->l2_len = like->l2_len;
	m->l3_len = sizeof(*ip);
	m->l4_len = headers - like->l2_len - sizeof(*ip);
	return true;
}

static bool
is_like(const struct likeness *a, const struct likeness *b)
{
	return a->l2_len == b->l2_len && a->vlan == b->vlan && a->tos == b->tos && a->ttl == b->ttl;
}

/* A merged packet says how it is to be cut: as the largest of its parts came. */
static void
finish(struct rte_mbuf *m)
{
	uint32_t segment = m->data_len - (m->l2_len + m->l3_len + m->l4_len);

	for (const struct rte_mbuf *part = m->next; part != NULL; part = part->next)
		segment = RTE_MAX(segment, (uint32_t)part->data_len);
	m->tso_segsz = segment & UINT16_MAX;
	m->ol_flags |= RTE_MBUF_F_RX_LRO;
	dt_vnet_from_lro(m);
}

/* @return packets in @p out, which may be where they came from */
static unsigned int
merge_run(struct dt_uplink_queue *queue, struct rte_mbuf *const *pkts, unsigned int n, struct rte_mbuf **out)
{
	struct rte_mbuf *run[DT_BURST];
	unsigned int n_out, left;

	memcpy(run, pkts, n * sizeof(*run));
	if (n == 1) {
		out[0] = run[0];
		return 1;
	}
	left = rte_gro_reassemble(run, (uint16_t)n, queue->gro);
	/* It goes by the clock, which might stand still. */
	for (n_out = 0; rte_gro_get_pkt_count(queue->gro) > 0;)
		n_out += rte_gro_timeout_flush(queue->gro, 0, RTE_GRO_TCP_IPV4, &out[n_out], (uint16_t)(n - n_out));
	for (unsigned int i = 0; i < n_out; i++)
		if (out[i]->nb_segs > 1)
			finish(out[i]);
	memcpy(&out[n_out], run, left * sizeof(*run));
	dt_counter_add(&queue->merged, n - n_out - left);
	return n_out + left;
}

unsigned int
dt_uplink_merge(struct dt_uplink_queue *queue, struct rte_mbuf **pkts, unsigned int n)
{
	unsigned int out = 0, i = 0;

	while (i < n) {
		struct likeness like, next;
		unsigned int end = i + 1;

		if (!is_mergeable(pkts[i], &like)) {
			pkts[out++] = pkts[i++];
			continue;
		}
		while (end < n && is_mergeable(pkts[end], &next) && is_like(&next, &like))
			end++;
		out += merge_run(queue, &pkts[i], end - i, &pkts[out]);
		i = end;
	}
	return out;
}

int
dt_uplink_merge_start(struct dt_uplink_queue *queue)
{
	/* All of a burst may be of different flows, or of one whose parts do not join. */
	struct rte_gro_param param = {
		.gro_types = RTE_GRO_TCP_IPV4,
		.max_flow_num = DT_BURST,
		.max_item_per_flow = 1,
		.socket_id = (uint16_t)RTE_MAX(0, dt_worker_memory(queue->worker)),
	};

	queue->gro = rte_gro_ctx_create(&param);
	return queue->gro != NULL ? 0 : -ENOMEM;
}

void
dt_uplink_merge_stop(struct dt_uplink_queue *queue)
{
	if (queue->gro != NULL)
		rte_gro_ctx_destroy(queue->gro);
	queue->gro = NULL;
}
