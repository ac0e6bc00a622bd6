/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Counters that one thread writes and any thread reads.
 *
 * Plain 64-bit words on cache lines of their writer: relaxed loads and stores, no lock prefix. A reader may see one
 * counter before another that was added to earlier, never half of one.
 */
#ifndef DT_COUNTER_H
#define DT_COUNTER_H

#include <stdint.h>

static inline uint64_t
dt_counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/** Only the counter's one writer may call this. */
static inline void
dt_counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

#endif
