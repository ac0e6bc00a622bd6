/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <rte_ether.h>

#include "pool.h"

#define SEGMENTATION (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)

struct rte_mempool *
dt_fit_pool(void)
{
	return dt_pool_of((int)rte_socket_id());
}

/* A VLAN tag or two do not count towards the MTU. */
static bool
exceeds_mtu(const struct rte_mbuf *m, uint16_t mtu)
{
	uint32_t limit = RTE_ETHER_HDR_LEN + (uint32_t)mtu;

	for (uint32_t tags = 0; m->pkt_len > limit; tags++) {
		uint32_t at = 2 * RTE_ETHER_ADDR_LEN + tags * RTE_VLAN_HLEN;
		const uint8_t *type = rte_pktmbuf_mtod_offset(m, const uint8_t *, at);
		uint16_t ethertype;

		if (tags == 2 || m->data_len < at + sizeof(ethertype))
			return true;
		ethertype = (uint16_t)(type[0] << 8 | type[1]);
		if (ethertype != RTE_ETHER_TYPE_VLAN && ethertype != RTE_ETHER_TYPE_QINQ)
			return true;
		limit += RTE_VLAN_HLEN;
	}
	return false;
}

/* Whoever cuts it, its segments are as long as this. */
static bool
segments_exceed_mtu(const struct rte_mbuf *m, uint16_t mtu)
{
	uint32_t headers = m->l3_len;

	if ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0 || (m->ol_flags & dt_vnet_uso) != 0)
		headers += m->l4_len;
	else if ((m->ol_flags & RTE_MBUF_F_TX_IPV6) != 0)
		headers += DT_FIT_FRAGMENT_HEADER;
	return headers + m->tso_segsz > mtu;
}

static bool
is_shared(const struct rte_mbuf *m)
{
	return !RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) > 1;
}

/* All of it anew, in as few mbufs as it takes. */
static bool
copy(struct rte_mbuf **pkt)
{
	struct rte_mbuf *fresh = rte_pktmbuf_copy(*pkt, dt_fit_pool(), 0, UINT32_MAX);

	if (unlikely(fresh == NULL))
		return false;
	dt_replaced(*pkt);
	*pkt = fresh;
	return true;
}

enum dt_fate
dt_fit_shape(const struct dt_fit *fit, uint32_t takes, struct rte_mbuf **pkt, enum dt_cause *ret_cause)
{
	struct rte_mbuf *m = *pkt;
	uint32_t needs = dt_vnet_needs(m);
	bool split = m->nb_segs > 1 && !fit->multi_segment;

	*ret_cause = DT_CAUSE_MAX;
	if ((m->ol_flags & SEGMENTATION) != 0) {
		if (fit->mtu != 0 && segments_exceed_mtu(m, fit->mtu))
			*ret_cause = DT_CAUSE_SEGMENT_EXCEEDS_MTU;
		else if ((needs & ~takes) != 0 || split)
			return DT_FATE_CUT;
	} else if (fit->mtu != 0 && exceeds_mtu(m, fit->mtu)) {
		*ret_cause = DT_CAUSE_FRAME_EXCEEDS_MTU;
	} else if ((needs & ~takes) != 0) {
		*ret_cause = dt_vnet_complete(pkt, dt_fit_pool());
		needs = 0;
		split = (*pkt)->nb_segs > 1 && !fit->multi_segment;
	}
	if (*ret_cause != DT_CAUSE_MAX)
		return DT_FATE_DROP;
	if (split && (*pkt)->pkt_len > DT_POOL_ROOM)
		*ret_cause = DT_CAUSE_UPLINK_ONE_SEGMENT;
	else if ((split || (needs != 0 && fit->writes && is_shared(*pkt))) && !copy(pkt))
		*ret_cause = DT_CAUSE_GSO_NO_MBUF;
	return *ret_cause == DT_CAUSE_MAX ? DT_FATE_GO : DT_FATE_DROP;
}
