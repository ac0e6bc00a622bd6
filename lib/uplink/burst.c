/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

/* Several guests may fill a lane in one round; a visit empties it as far as this goes. */
#define VISIT_BURSTS 8

/* Frames too short to be looked at leave here. @return how many are left */
static unsigned int
drop_runts(struct dt_uplink_queue *queue, struct rte_mbuf **pkts, unsigned int n)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (likely(pkts[i]->data_len >= RTE_ETHER_HDR_LEN))
			pkts[kept++] = pkts[i];
		else
			dt_drop(queue->at_in, pkts[i], DT_CAUSE_UPLINK_FRAME_TOO_SHORT);
	}
	return kept;
}

static unsigned int
receive(struct dt_uplink_queue *queue)
{
	struct rte_mbuf *pkts[DT_BURST];
	unsigned int n = rte_eth_rx_burst(queue->device, queue->index, pkts, DT_BURST);
	unsigned int kept;

	if (n == 0)
		return 0;
	dt_received(queue->at_in, n, dt_burst_bytes(pkts, n));
	kept = drop_runts(queue, pkts, n);
	if (likely(kept > 0))
		queue->sink.take(queue->sink.self, pkts, kept);
	return n;
}

static unsigned int
transmit(struct dt_uplink_queue *queue)
{
	struct rte_mbuf *pkts[DT_BURST];
	uint32_t lens[DT_BURST];
	unsigned int n, sent;
	uint64_t bytes = 0;

	if (dt_lane_count(&queue->lane) == 0)
		return 0;
	if (unlikely(!__atomic_load_n(&queue->uplink->link_up, __ATOMIC_RELAXED))) {
		dt_lane_blame(&queue->lane, DT_CAUSE_LANE_UPLINK_LINK_DOWN);
		return 0;
	}
	n = dt_lane_peek(&queue->lane, pkts, DT_BURST);
	if (n == 0)
		return 0;
	for (unsigned int i = 0; i < n; i++)
		lens[i] = pkts[i]->pkt_len; /* what is sent may be freed at once */
	sent = rte_eth_tx_burst(queue->device, queue->index, pkts, (uint16_t)n);
	dt_lane_finish(&queue->lane, sent);
	for (unsigned int i = 0; i < sent; i++)
		bytes += lens[i];
	dt_delivered_to_nic(queue->at_out, sent, bytes);
	dt_lane_blame(&queue->lane, sent == n ? DT_CAUSE_LANE_WORKER_BUSY : DT_CAUSE_LANE_UPLINK_FULL);
	return sent;
}

unsigned int
dt_uplink_poll(void *arg)
{
	struct dt_uplink_queue *queue = arg;
	unsigned int moved = receive(queue);

	for (unsigned int i = 0; i < VISIT_BURSTS; i++) {
		unsigned int n = transmit(queue);

		moved += n;
		if (n < DT_BURST)
			break;
	}
	return moved;
}

/* A VLAN tag or two do not count towards the MTU. */
static bool
exceeds_mtu(const struct dt_uplink *uplink, const struct rte_mbuf *m)
{
	uint32_t limit = RTE_ETHER_HDR_LEN + (uint32_t)uplink->mtu;
	const uint8_t *type = rte_pktmbuf_mtod_offset(m, const uint8_t *, 2 * RTE_ETHER_ADDR_LEN);

	for (unsigned int tags = 0; m->pkt_len > limit; tags++) {
		uint16_t ethertype = (uint16_t)(type[0] << 8 | type[1]);

		if (tags == 2 || (ethertype != RTE_ETHER_TYPE_VLAN && ethertype != RTE_ETHER_TYPE_QINQ))
			return true;
		limit += RTE_VLAN_HLEN;
		type += RTE_VLAN_HLEN;
	}
	return false;
}

/* @return DT_CAUSE_MAX: the NIC can carry it */
static inline enum dt_cause
fit(const struct dt_uplink *uplink, struct rte_mbuf *m)
{
	if (unlikely(m->pkt_len > RTE_ETHER_HDR_LEN + (uint32_t)uplink->mtu && exceeds_mtu(uplink, m)))
		return DT_CAUSE_FRAME_EXCEEDS_MTU;
	if (unlikely(m->nb_segs > 1 && !uplink->multi_segment && rte_pktmbuf_linearize(m) != 0))
		return DT_CAUSE_UPLINK_ONE_SEGMENT;
	return DT_CAUSE_MAX;
}

unsigned int
dt_uplink_put(struct dt_uplink *uplink, unsigned int index, unsigned int from, struct rte_mbuf **pkts, unsigned int n)
{
	struct dt_uplink_queue *queue = &uplink->queues[index];
	unsigned int kept = 0;

	for (unsigned int i = 0; i < n; i++) {
		enum dt_cause cause = fit(uplink, pkts[i]);

		if (likely(cause == DT_CAUSE_MAX)) {
			pkts[kept++] = pkts[i];
			continue;
		}
		dt_handed_on(from, 1, pkts[i]->pkt_len);
		dt_received(queue->at_out, 1, pkts[i]->pkt_len);
		dt_drop(queue->at_out, pkts[i], cause);
	}
	return kept > 0 ? dt_lane_put(&queue->lane, from, pkts, kept) : 0;
}
