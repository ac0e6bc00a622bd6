/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include "stage.h"

/* What comes in may be for many guests, each of which wants more than a packet at a time: a visit takes so much. */
#define VISIT_RX_BURSTS 8

/* Many guests may fill a lane in one round; a visit empties it as far as this goes. */
#define VISIT_TX_BURSTS 32

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

/* What tells that a received packet may have to be looked at: merged, unverified, or (by no right) to be sent. */
#define STRANGE (RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_BAD | DT_VNET_WORK)

/*
 * What a driver left undone, said in our way. A virtual NIC may pass on what its peer left undone: RX_L4_CKSUM_NONE, or
 * by an old habit the very flags of packets to be sent, with lengths that nobody has checked.
 */
static void
take_over(struct rte_mbuf *m)
{
	uint64_t undone = m->ol_flags & DT_VNET_WORK;

	if (undone != 0) {
		m->ol_flags &= ~(undone | RTE_MBUF_F_TX_OFFLOAD_MASK);
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
		if ((undone & RTE_MBUF_F_TX_TCP_SEG) != 0)
			m->ol_flags |= RTE_MBUF_F_RX_LRO;
	}
	if ((m->ol_flags & RTE_MBUF_F_RX_LRO) != 0 && dt_vnet_from_lro(m))
		return;
	if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE)
		dt_vnet_from_partial(m);
}

/* @return packets received; of one burst, in *ret_n_runs, which counts runs for one destination */
static unsigned int
receive_burst(struct dt_uplink_queue *queue, unsigned int *ret_n_runs)
{
	struct rte_mbuf *pkts[DT_BURST];
	unsigned int n = rte_eth_rx_burst(queue->device, queue->index, pkts, DT_BURST);
	unsigned int yielded = n, kept;
	uint64_t flags = 0;

	if (n == 0)
		return 0;
	for (unsigned int i = 0; i < n; i++)
		flags |= pkts[i]->ol_flags;
	for (unsigned int i = 0; unlikely((flags & STRANGE) != 0) && i < n; i++)
		take_over(pkts[i]);
	if (unlikely(queue->gro != NULL))
		yielded = dt_uplink_merge(queue, pkts, n);
	dt_received(queue->at_in, yielded, dt_burst_bytes(pkts, yielded));
	kept = drop_runts(queue, pkts, yielded);
	if (likely(kept > 0))
		*ret_n_runs = queue->sink.take(queue->sink.self, pkts, kept);
	return n;
}

/* A burst, and the more of them the more destinations it has, lest each guest be visited for a packet or two. */
static unsigned int
receive(struct dt_uplink_queue *queue)
{
	unsigned int moved = 0, n_runs = 1;

	for (unsigned int i = 0; i < RTE_MIN(n_runs, (unsigned int)VISIT_RX_BURSTS); i++) {
		unsigned int n = receive_burst(queue, &n_runs);

		moved += n;
		if (n < DT_BURST)
			break;
	}
	return moved;
}

/* @return packets that the NIC took */
static unsigned int
send_burst(struct dt_uplink_queue *queue, struct rte_mbuf **pkts, const uint32_t *lens, unsigned int n)
{
	unsigned int sent = n > 0 ? rte_eth_tx_burst(queue->device, queue->index, pkts, (uint16_t)n) : 0;
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < sent; i++)
		bytes += lens[i];
	dt_delivered_to_nic(queue->at_out, sent, bytes);
	return sent;
}

/* Packets that leave work to the NIC: its driver looks at them first. @return packets that have left the lane */
static unsigned int
send_work(struct dt_uplink_queue *queue, struct rte_mbuf **pkts, const uint32_t *lens, unsigned int n)
{
	unsigned int done = 0;

	for (unsigned int i = 0; (queue->uplink->tx_offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) == 0 && i < n; i++)
		dt_vnet_complete_ipv4(pkts[i]);
	while (done < n) {
		unsigned int good = rte_eth_tx_prepare(queue->device, queue->index, &pkts[done], (uint16_t)(n - done));
		unsigned int sent = send_burst(queue, &pkts[done], &lens[done], good);

		done += sent;
		if (sent < good)
			break;
		if (done < n)
			dt_drop(queue->at_out, pkts[done++], DT_CAUSE_NIC_REFUSES_OFFLOAD);
	}
	return done;
}

static unsigned int
transmit(struct dt_uplink_queue *queue)
{
	struct rte_mbuf *pkts[DT_BURST];
	uint32_t lens[DT_BURST];
	uint64_t flags = 0;
	unsigned int n, done;

	if (dt_lane_count(&queue->lane) == 0)
		return 0;
	if (unlikely(!__atomic_load_n(&queue->uplink->link_up, __ATOMIC_RELAXED))) {
		dt_lane_blame(&queue->lane, DT_CAUSE_LANE_UPLINK_LINK_DOWN);
		return 0;
	}
	n = dt_lane_peek(&queue->lane, pkts, DT_BURST);
	if (n == 0)
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		lens[i] = dt_bytes_of(pkts[i]); /* what is sent may be freed at once */
		flags |= pkts[i]->ol_flags;
	}
	done = likely((flags & DT_VNET_WORK) == 0) ? send_burst(queue, pkts, lens, n) : send_work(queue, pkts, lens, n);
	dt_lane_finish(&queue->lane, done);
	dt_lane_blame(&queue->lane, done == n ? DT_CAUSE_LANE_WORKER_BUSY : DT_CAUSE_LANE_UPLINK_FULL);
	return done;
}

unsigned int
dt_uplink_poll(void *arg)
{
	DT_STAGE(DT_STAGE_NIC);
	struct dt_uplink_queue *queue = arg;
	unsigned int moved = receive(queue);

	for (unsigned int i = 0; i < VISIT_TX_BURSTS; i++) {
		unsigned int n = transmit(queue);

		moved += n;
		if (n < DT_BURST)
			break;
	}
	return moved;
}

static uint64_t *
cycles_of(void *queue)
{
	return &((struct dt_uplink_queue *)queue)->cycles;
}

const struct dt_polled dt_uplink_polled = {
	.poll = dt_uplink_poll,
	.doze = dt_uplink_doze,
	.rouse = dt_uplink_rouse,
	.cycles = cycles_of,
};

unsigned int
dt_uplink_put(struct dt_uplink *uplink, unsigned int index, unsigned int from, struct rte_mbuf **pkts, unsigned int n)
{
	return dt_fit_put(&uplink->queues[index].lane, &uplink->fit, from, pkts, n);
}
