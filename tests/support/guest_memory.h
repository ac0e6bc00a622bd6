/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A guest's memory and its split rings, built by hand, without vhost: what the front end and the driver do.
 *
 * The regions are adjacent for the guest and far apart for us. Each is a memfd of its own, which a test may truncate.
 * Rings can be filled with anything, right or wrong. Failures of the builder itself fail the test.
 */
#ifndef DT_TEST_GUEST_MEMORY_H
#define DT_TEST_GUEST_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "gmem.h"
#include "vq.h"

/* Guest-physical address of the first region. */
#define DT_TEST_GPA 0x40000000ULL

#define DT_TEST_REGIONS_MAX 4

/** One guest's memory. */
struct dt_test_memory {
	struct dt_gmem *gmem;
	unsigned int n_regions;
	uint64_t region_size; /* bytes, of each */
	uint8_t *map; /* all of the address space that we took */
	uint8_t *hva[DT_TEST_REGIONS_MAX];
	int fd[DT_TEST_REGIONS_MAX];
	uint64_t next[DT_TEST_REGIONS_MAX]; /* offset of what was not yet given away */
};

/** A piece of a chain. */
struct dt_test_part {
	uint64_t gpa;
	uint32_t len;
};

/** The driver's side of a split ring. */
struct dt_test_ring {
	struct dt_test_memory *memory;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t size;
	uint16_t next_desc; /* lowest descriptor that was not yet written */
	uint16_t avail_idx;
	uint16_t used_seen;
};

void dt_test_memory_new(struct dt_test_memory *memory, unsigned int n_regions, uint64_t region_size);
void dt_test_memory_free(struct dt_test_memory *memory);

/** The guest-physical address of a region. */
uint64_t dt_test_region(const struct dt_test_memory *memory, unsigned int region);

/** Take @p len bytes out of a region, at a multiple of 16. @return guest-physical address */
uint64_t dt_test_take(struct dt_test_memory *memory, unsigned int region, uint64_t len);

/** Where we see a guest-physical address. */
void *dt_test_at(const struct dt_test_memory *memory, uint64_t gpa);

/** Copy into guest memory, over regions. */
void dt_test_write(const struct dt_test_memory *memory, uint64_t gpa, const void *from, uint64_t len);

/** Truncate the file behind a region: its memory vanishes. */
void dt_test_vanish(const struct dt_test_memory *memory, unsigned int region);

/** Lay a ring of @p size entries, a power of two, into a region. */
void dt_test_ring_new(struct dt_test_ring *ring, struct dt_test_memory *memory, unsigned int region, uint16_t size);

/** The device's side of it, taken into service. */
void dt_test_ring_start(const struct dt_test_ring *ring, uint64_t features, struct dt_vq *ret_vq);

/** Write the next descriptor as given. @return its number */
uint16_t dt_test_desc(struct dt_test_ring *ring, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next);

/** Write a chain of the parts, all writable or none. @return its head */
uint16_t dt_test_chain(struct dt_test_ring *ring, const struct dt_test_part *parts, unsigned int n, bool writable);

/** Write @p n descriptors as an indirect table into guest memory, and one that points to it. @return the head */
uint16_t dt_test_indirect(struct dt_test_ring *ring, uint64_t table, const struct vring_desc *descs, unsigned int n);

/** Make a head available, whatever it is. */
void dt_test_offer(struct dt_test_ring *ring, uint16_t head);

/** Take the next used element. @return false: there is none */
bool dt_test_used(struct dt_test_ring *ring, struct vring_used_elem *ret_elem);

#endif
