/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <rte_ether.h>

#include "pool.h"
#include "stage.h"

#define CSUM (DT_TAKES_TCP_CSUM | DT_TAKES_UDP_CSUM | DT_TAKES_SCTP_CSUM)

/* Segments that one burst may be cut into, if the lane holds no more: a sender must not keep a worker from others. */
#define SEGMENTS_MAX 4096u

/* The books of a packet that is being cut: what of the headers' bytes is still to be created. */
struct extra {
	uint32_t segs; /* that have not been counted */
	uint64_t bytes;
	unsigned int received; /* segments that stand for the packet itself: one, until it is counted */
};

/* @p n segments more are there; the first of all stands for the packet, which was received. */
static void
count_created(unsigned int at, struct extra *extra, unsigned int n)
{
	uint64_t bytes = extra->bytes * n / extra->segs;

	dt_created(at, n - extra->received, bytes);
	extra->segs -= n;
	extra->bytes -= bytes;
	extra->received = 0;
}

/* @p budget: segments that may still be made */
static unsigned int
queue_segments(struct dt_lane *lane, struct dt_vnet_cut *cut, uint32_t whole_len, uint32_t *budget)
{
	struct extra extra = { .segs = cut->n_segs, .bytes = cut->bytes - whole_len, .received = 1 };
	struct rte_mbuf *segs[DT_BURST];
	enum dt_cause cause = DT_CAUSE_GSO_TOO_MANY_SEGMENTS;
	unsigned int n, queued = 0;

	while (*budget > 0 && (n = dt_vnet_cut_next(cut, segs, RTE_MIN(*budget, (uint32_t)DT_BURST), &cause)) > 0) {
		bool several = segs[0]->nb_segs > 1;
		unsigned int sent;

		*budget -= n;
		count_created(lane->at, &extra, n);
		sent = dt_lane_queue(lane, segs, n);
		queued += sent;
		if (unlikely(sent < n)) {
			cause = dt_lane_refusal(lane, several);
			break;
		}
	}
	if (unlikely(cut->left_segs > 0)) {
		count_created(lane->at, &extra, cut->left_segs);
		dt_drop_unmade_burst(lane->at, cut->left_segs, cut->left_bytes, cause);
	}
	return queued;
}

/* Whether a segment lies in one mbuf, and is better copied there. */
static bool
copies(const struct dt_fit *fit, const struct rte_mbuf *m, bool checksum)
{
	/* A bit more than the headers of any kind. */
	uint32_t len = m->l2_len + m->l3_len + m->l4_len + DT_FIT_FRAGMENT_HEADER + m->tso_segsz;

	if (!fit->multi_segment)
		return true;
	/* Who reads the payload for its checksum may as well copy it: that costs less than a second mbuf. */
	return (checksum || !fit->attaches) && len <= DT_POOL_ROOM;
}

/* @return segments queued */
static unsigned int
put_cut(struct dt_lane *lane, const struct dt_fit *fit, uint32_t takes, struct rte_mbuf *m, uint32_t *budget)
{
	bool checksum = (dt_vnet_needs(m) & CSUM & ~takes) != 0;
	struct dt_vnet_cut cut;
	enum dt_cause cause;
	unsigned int queued;

	cause = dt_vnet_cut_begin(&cut, m, dt_fit_pool(), checksum, copies(fit, m, checksum));
	if (unlikely(cause != DT_CAUSE_MAX)) {
		dt_drop(lane->at, m, cause);
		return 0;
	}
	queued = queue_segments(lane, &cut, m->pkt_len, budget);
	dt_replaced(m);
	return queued;
}

/* Packets of which not all are whole and short. */
static unsigned int
put_each(struct dt_lane *lane, const struct dt_fit *fit, unsigned int from, struct rte_mbuf **pkts, unsigned int n)
{
	uint32_t takes = __atomic_load_n(&fit->takes, __ATOMIC_RELAXED);
	/* One more than the lane holds, so that it is the lane which is said to be full where it is. */
	uint32_t budget = RTE_MAX(SEGMENTS_MAX, rte_ring_get_capacity(lane->ring) + 1);
	unsigned int start = 0, queued = 0;

	for (unsigned int i = 0; i < n; i++) {
		enum dt_cause cause;
		enum dt_fate fate = dt_fit_shape(fit, takes, &pkts[i], &cause);

		if (fate == DT_FATE_GO)
			continue;
		/* What fits goes in one run, up to here. */
		if (i > start)
			queued += dt_lane_put(lane, from, &pkts[start], i - start);
		start = i + 1;
		dt_handed_on(from, 1, pkts[i]->pkt_len);
		dt_received(lane->at, 1, pkts[i]->pkt_len);
		if (fate == DT_FATE_CUT)
			queued += put_cut(lane, fit, takes, pkts[i], &budget);
		else
			dt_drop(lane->at, pkts[i], cause);
	}
	return n > start ? queued + dt_lane_put(lane, from, &pkts[start], n - start) : queued;
}

unsigned int
dt_fit_put(struct dt_lane *lane, const struct dt_fit *fit, unsigned int from, struct rte_mbuf **pkts, unsigned int n)
{
	DT_STAGE(DT_STAGE_FIT);
	uint32_t limit = fit->mtu != 0 ? RTE_ETHER_HDR_LEN + (uint32_t)fit->mtu : UINT32_MAX;
	struct dt_lane_burst burst = { 0 };
	uint64_t flags = 0;
	uint32_t longest = 0;

	for (unsigned int i = 0; i < n; i++) {
		flags |= pkts[i]->ol_flags;
		longest = RTE_MAX(longest, pkts[i]->pkt_len);
		burst.bytes += dt_bytes_of(pkts[i]);
		burst.mbufs += pkts[i]->nb_segs;
	}
	if (likely((flags & DT_VNET_WORK) == 0 && longest <= limit && (fit->multi_segment || burst.mbufs == n)))
		return dt_lane_put_burst(lane, from, pkts, n, burst);
	return put_each(lane, fit, from, pkts, n);
}
