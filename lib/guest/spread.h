/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside the module: which of a guest's queue pairs a packet goes to.
 *
 * All packets of a flow go to one pair: by the hash that the NIC computed, else by one of our own over addresses,
 * protocol and ports; fragments, whose ports only the first one has, by addresses alone.
 */
#ifndef DT_GUEST_SPREAD_H
#define DT_GUEST_SPREAD_H

#include <stdint.h>

#include "conf.h"

struct rte_mbuf;

/**
 * The pairs that packets are spread over.
 *
 * A reader may see a change half done: any entry is a pair that exists. That a flow keeps its order meanwhile is the
 * business of turn.h.
 */
struct dt_spread {
	/* control writes, workers read */
	uint8_t n; /* at least 1 */
	uint8_t pair[DT_CONF_QUEUES_MAX];
};

/** Spread over the @p n pairs of a list from now on. Control. */
void dt_spread_set(struct dt_spread *spread, const uint8_t pairs[], unsigned int n);

/** The hash of a packet's flow; equal for all packets of a flow that came the same way. Any worker. */
uint32_t dt_spread_hash(const struct rte_mbuf *m);

/** The only pair there is, or -1: there are several, and the packet decides. Any worker. */
static inline int
dt_spread_only(const struct dt_spread *spread)
{
	if (__atomic_load_n(&spread->n, __ATOMIC_RELAXED) != 1)
		return -1;
	return __atomic_load_n(&spread->pair[0], __ATOMIC_RELAXED);
}

/** The pair of a packet whose flow's hash is @p hash. Any worker. */
static inline unsigned int
dt_spread_at(const struct dt_spread *spread, uint32_t hash)
{
	return __atomic_load_n(&spread->pair[hash % __atomic_load_n(&spread->n, __ATOMIC_RELAXED)], __ATOMIC_RELAXED);
}

#endif
