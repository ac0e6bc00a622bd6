/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Making packets fit an egress before its lane, as the kernel's tap_handle_frame() does before its ring.
 *
 * A packet to cut goes whole to an egress that cuts, in segments to others; a partial checksum goes to whom completes
 * it, and is completed for others; what cannot be made to fit is dropped, and counted by the egress. Any worker calls
 * it, in place of dt_lane_put(). It keeps packets in order, never writes into data that another packet shares, and
 * costs packets that are whole and short enough no more than a look.
 */
#ifndef DT_FIT_H
#define DT_FIT_H

#include "lane.h"
#include "vnet.h"

/** What an egress takes. */
struct dt_fit {
	/* control writes, workers read */
	uint32_t takes; /* of what may be undone: DT_TAKES_* */

	/* set before packets come */
	uint16_t mtu; /* bytes behind the Ethernet header and its VLAN tags; 0: any number */
	bool multi_segment; /* frames may lie in several mbufs */
	bool attaches; /* segments may point into the packet that they were cut from; else their payload is copied */
	bool writes; /* into packets that it does work on, as NICs' drivers do: their data may not be shared */
};

/** Say what an egress takes from now on. Control. */
static inline void
dt_fit_set(struct dt_fit *fit, uint32_t takes)
{
	__atomic_store_n(&fit->takes, takes, __ATOMIC_RELAXED);
}

/**
 * Hand packets over to the lane's egress queue, made to fit, out of one account into the other.
 *
 * Takes ownership of all @p n packets. One that is cut is received by the egress as one, and its further segments,
 * with the headers that they add, are created there. Segments for which the lane has no room are never made.
 *
 * @param from  the inward account that they leave
 * @param pkts  whole Ethernet frames, without FCS; see vnet.h for what is undone on them
 * @return      packets and segments queued
 * @note any worker; never blocks
 */
unsigned int dt_fit_put(
	struct dt_lane *lane, const struct dt_fit *fit, unsigned int from, struct rte_mbuf **pkts, unsigned int n);

#endif
