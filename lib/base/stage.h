/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Which stage of a packet's way costs how many cycles, in a build that is made to show it (-Dstages=true).
 *
 * A function on the way names its stage in its first line; what it calls may name another, which ends with it. Any
 * other build has none of this.
 */
#ifndef DT_STAGE_H
#define DT_STAGE_H

#include <stdbool.h>
#include <stdint.h>

/** @param M  called for each stage with its name */
#define DT_STAGES(M)                                                                                                   \
	M(POLL, poll) M(TAKE, take) M(CLASSIFY, classify) M(FIT, fit) M(LANE, lane) M(GIVE, give) M(NIC, nic)

#ifdef DT_STAGES_TIMED

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_lcore.h>

#include "counter.h"

enum dt_stage {
#define DT_STAGE_MEMBER(upper, lower) DT_STAGE_##upper,
	DT_STAGES(DT_STAGE_MEMBER)
#undef DT_STAGE_MEMBER
		DT_STAGE_MAX
};

struct dt_stage_clock {
	/* the lcore's own, of this round */
	uint64_t then;
	unsigned int now;
	uint64_t cycles[DT_STAGE_MAX];
	uint64_t entries[DT_STAGE_MAX]; /* times that the clock was read in it */

	/* the lcore writes, anybody reads: the sums over rounds that moved packets */
	uint64_t busy_cycles[DT_STAGE_MAX];
	uint64_t busy_entries[DT_STAGE_MAX];
} __rte_cache_aligned;

extern struct dt_stage_clock dt_stage_clocks[RTE_MAX_LCORE];

static inline unsigned int
dt_stage_enter(unsigned int stage)
{
	struct dt_stage_clock *clock = &dt_stage_clocks[rte_lcore_id()];
	unsigned int before = clock->now;
	uint64_t now = rte_rdtsc();

	clock->cycles[before] += now - clock->then;
	clock->entries[before]++;
	clock->then = now;
	clock->now = stage;
	return before;
}

static inline void
dt_stage_leave(const unsigned int *before)
{
	dt_stage_enter(*before);
}

/** A round ends. Its cycles count if it moved packets. */
static inline void
dt_stage_round(bool busy)
{
	struct dt_stage_clock *clock = &dt_stage_clocks[rte_lcore_id()];

	dt_stage_enter(DT_STAGE_POLL);
	for (unsigned int i = 0; i < DT_STAGE_MAX; i++) {
		if (busy) {
			dt_counter_add(&clock->busy_cycles[i], clock->cycles[i]);
			dt_counter_add(&clock->busy_entries[i], clock->entries[i]);
		}
		clock->cycles[i] = 0;
		clock->entries[i] = 0;
	}
	clock->then = rte_rdtsc();
}

#define DT_STAGE(stage)                                                                                                \
	const unsigned int dt_stage_before __attribute__((cleanup(dt_stage_leave), unused)) = dt_stage_enter(stage)

#else

#define DT_STAGE(stage)                                                                                                \
	do {                                                                                                           \
	} while (0)

static inline void
dt_stage_round(bool busy)
{
	(void)busy;
}

#endif

#endif
