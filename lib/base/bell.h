/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A bell wakes a thread that sleeps, and costs whoever rings it no system call while that thread is awake.
 *
 * The sleeper first says that it wants to be rung for, then looks once more at all that others may bring it, and only
 * if it finds nothing waits for the descriptor. Who brings something does that first, and then rings. Each side has a
 * full barrier between its two steps, so that at least one sees what the other did first: the sleeper finds what was
 * brought, or the ringer finds that it is wanted. Neither may be left out, and neither is enough without the other.
 */
#ifndef DT_BELL_H
#define DT_BELL_H

#include <stdbool.h>

#include <rte_atomic.h>
#include <rte_branch_prediction.h>

#include "compat.h"

struct dt_bell {
	/* set when made */
	int fd; /* readable when rung: an eventfd that nobody reads, to be waited for by edges */

	/* the sleeper sets; it, or the first who rings, clears */
	bool wanted __rte_cache_aligned;
};

/** @return 0; -errno: no descriptor */
int dt_bell_init(struct dt_bell *bell);

/** Also of one that was never made, if it is zero. */
void dt_bell_fini(struct dt_bell *bell);

/** The sleeper is about to sleep; it looks at everything once more behind this. */
static inline void
dt_bell_want(struct dt_bell *bell)
{
	__atomic_store_n(&bell->wanted, true, __ATOMIC_RELAXED);
	/* Pairs with the barrier in dt_bell_ring(). */
	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/** The sleeper is awake. */
static inline void
dt_bell_unwant(struct dt_bell *bell)
{
	__atomic_store_n(&bell->wanted, false, __ATOMIC_RELAXED);
}

static inline bool
dt_bell_is_wanted(const struct dt_bell *bell)
{
	return __atomic_load_n(&bell->wanted, __ATOMIC_RELAXED);
}

/** Make the descriptor readable, if nobody else does. */
void dt_bell_strike(struct dt_bell *bell);

/** Wake the sleeper, if it sleeps, for what was brought before this. Any thread. */
static inline void
dt_bell_ring(struct dt_bell *bell)
{
	/* Pairs with the barrier in dt_bell_want(). */
	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (unlikely(dt_bell_is_wanted(bell)))
		dt_bell_strike(bell);
}

#endif
