/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Guest memory: guest-physical address to ours, with bounds, and with faults.
 *
 * One object is one memory table of one connection, a copy made on the thread of librte_vhost and read-only for the
 * worker that walks that guest's rings. The memory is a file of the front end's, which may truncate it under us:
 * a SIGBUS handler then puts empty pages in the hole and marks the table vanished; the process goes on.
 */
#ifndef DT_GMEM_H
#define DT_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_branch_prediction.h>

#define DT_GMEM_REGIONS_MAX 8 /* as many as the protocol and librte_vhost know */

struct dt_gmem_region {
	uint64_t gpa; /* guest-physical address of the first byte */
	uint64_t size; /* bytes */
	uint8_t *hva; /* where we see it */
	/* what is really mapped around it, for faults */
	uint8_t *map;
	uint64_t map_size;
	uint64_t page_size;
};

struct dt_gmem {
	/* set when made */
	unsigned int n_regions;
	struct dt_gmem_region regions[DT_GMEM_REGIONS_MAX]; /* largest first */

	/* the SIGBUS handler writes, anybody reads */
	bool vanished;

	/* control's, while the table is not in use */
	struct dt_gmem *next_spare;
};

/**
 * Make a table, and let faults in its mappings be caught from now on.
 *
 * @param regions  any order; copied
 * @return 0; -E2BIG: more regions than DT_GMEM_REGIONS_MAX; -ENOSPC: the process watches as many tables as it can;
 *         -ENOMEM
 */
int dt_gmem_new(const struct dt_gmem_region *regions, unsigned int n_regions, struct dt_gmem **ret_mem);

/** Stop watching and free; before the memory is unmapped, after the workers let go. NULL is allowed. */
void dt_gmem_free(struct dt_gmem *mem);

/** Whether a part of the memory disappeared; what was read since may be zeros. */
static inline bool
dt_gmem_vanished(const struct dt_gmem *mem)
{
	return unlikely(__atomic_load_n(&mem->vanished, __ATOMIC_RELAXED));
}

/**
 * Translate a guest-physical range that lies in one region.
 *
 * @return our address, NULL: any byte of it is outside
 */
static inline void *
dt_gmem_at(const struct dt_gmem *mem, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < mem->n_regions; i++) {
		const struct dt_gmem_region *region = &mem->regions[i];
		uint64_t offset = gpa - region->gpa;

		if (likely(offset < region->size && len <= region->size - offset))
			return region->hva + offset;
	}
	return NULL;
}

/**
 * Translate the beginning of a range that may go over several adjacent regions.
 *
 * @param len      bytes wanted, above 0
 * @param ret_len  bytes that are contiguous for us, 1 to @p len
 * @return our address, NULL: the first byte is outside
 */
void *dt_gmem_part(const struct dt_gmem *mem, uint64_t gpa, uint64_t len, uint64_t *ret_len);

/** Copy out of guest memory, over regions. @return false: a byte is outside */
bool dt_gmem_read(const struct dt_gmem *mem, uint64_t gpa, void *to, size_t len);

/** Whether @p len bytes at our address @p hva lie in one region. */
bool dt_gmem_contains(const struct dt_gmem *mem, const void *hva, uint64_t len);

/** Translate our address @p hva back. @return false: it lies in no region */
bool dt_gmem_gpa(const struct dt_gmem *mem, const void *hva, uint64_t *ret_gpa);

/**
 * For this thread: from now on a fault in memory that no table knows is the doing of whoever owns @p vanished.
 *
 * The thread of librte_vhost reads rings that it has only just mapped. The page gets zeros and the flag is set.
 * NULL: no more.
 */
void dt_gmem_guard(bool *vanished);

/** Install the process's SIGBUS handler; after rte_eal_init(), which has one of its own. @return 0, -errno */
int dt_gmem_catch_faults(void);

#endif
