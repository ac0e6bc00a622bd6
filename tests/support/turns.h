/* SPDX-License-Identifier: BSD-3-Clause */
/** Two threads that wait for each other in turns, on two CPUs or on one. */
#ifndef DT_TEST_TURNS_H
#define DT_TEST_TURNS_H

#include <sched.h>

#include <rte_pause.h>

/**
 * Once each time around a loop that waits for the other thread: soon that one may be waiting for this one's CPU.
 * @param spins  0 at first
 */
static inline void
dt_test_wait_turn(unsigned int *spins)
{
	if (++*spins < 1000)
		rte_pause();
	else
		sched_yield();
}

#endif
