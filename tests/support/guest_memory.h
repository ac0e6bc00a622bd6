/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A guest's memory and its rings, built by hand, without vhost: what the front end and the driver do.
 *
 * The regions are adjacent for the guest and far apart for us. Each is a memfd of its own, which a test may truncate.
 * Rings can be filled with anything, right or wrong. Failures of the builder itself fail the test.
 */
#ifndef DT_TEST_GUEST_MEMORY_H
#define DT_TEST_GUEST_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_config.h>

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

/* What a test of rings can be made for: the features that choose a layout. */
#define DT_TEST_SPLIT           0ULL
#define DT_TEST_SPLIT_IN_ORDER  (1ULL << VIRTIO_F_IN_ORDER)
#define DT_TEST_PACKED          (1ULL << VIRTIO_F_RING_PACKED)
#define DT_TEST_PACKED_IN_ORDER (DT_TEST_PACKED | DT_TEST_SPLIT_IN_ORDER)

/** cmocka's tests of one function, one for each layout, which the setup function finds as a uint64_t in its state. */
#define DT_TEST_OF(test, setup, teardown, LAYOUT)                                                                      \
	{                                                                                                              \
#test "__" #LAYOUT, test, setup, teardown, (uint64_t[])                                                \
		{                                                                                                      \
			DT_TEST_##LAYOUT                                                                               \
		}                                                                                                      \
	}
#define DT_TEST_EACH_LAYOUT(test, setup, teardown)                                                                     \
	DT_TEST_OF(test, setup, teardown, SPLIT), DT_TEST_OF(test, setup, teardown, SPLIT_IN_ORDER),                   \
		DT_TEST_OF(test, setup, teardown, PACKED), DT_TEST_OF(test, setup, teardown, PACKED_IN_ORDER)

#define DT_TEST_RING_MAX 1024 /* entries */

/** A size that a layout allows and the other one perhaps does not: a power of two, or none. */
static inline uint16_t
dt_test_ring_size(uint64_t layout)
{
	return (layout & DT_TEST_PACKED) != 0 ? 243 : 256;
}

/**
 * The driver's side of a ring, with one set of verbs for both layouts: descriptors are written into a table, and
 * chains of it are offered. A split ring's table is the guest's; a packed ring has none: the driver keeps it to itself.
 */
struct dt_test_ring {
	struct dt_test_memory *memory;
	uint64_t layout; /* its features */
	uint16_t size;
	struct vring_desc *desc; /* the table; of a packed ring, private */
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *packed; /* NULL: it is split */
	struct vring_packed_desc_event *driver_event;
	struct vring_packed_desc_event *device_event;
	struct dt_vq_position position; /* the device's */
	uint16_t next_desc; /* lowest descriptor that was not yet written */
	uint16_t avail_idx; /* packed: where the next chain begins */
	uint16_t used_seen; /* packed: where the next used descriptor will be */
	bool avail_wrap;
	bool used_wrap;
	unsigned int n_offered;
	unsigned int n_back;
	uint16_t offered[DT_TEST_RING_MAX]; /* heads, the last so many */
	uint16_t n_desc[DT_TEST_RING_MAX]; /* of a head's chain */
	struct vring_used_elem batch; /* in order: what the device said of several at once */
	bool in_batch;
	struct vring_desc private[DT_TEST_RING_MAX];
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

/** Lay a ring of @p size entries, at most DT_TEST_RING_MAX, into a region. */
void dt_test_ring_new(
	struct dt_test_ring *ring, struct dt_test_memory *memory, unsigned int region, uint16_t size, uint64_t layout);

/** Move a ring on that nothing was offered in: base as the protocol has it. */
void dt_test_ring_go_to(struct dt_test_ring *ring, uint16_t base);

/** Where the driver's next chain goes, as the protocol has it. */
uint16_t dt_test_ring_base(const struct dt_test_ring *ring);

/** The device's side of it, as control fills it; features beside the layout's. */
struct dt_vq dt_test_ring_vq(struct dt_test_ring *ring, uint64_t features);

/** The same, taken into service. */
void dt_test_ring_start(struct dt_test_ring *ring, uint64_t features, struct dt_vq *ret_vq);

/** Write the next descriptor as given. @return its number */
uint16_t dt_test_desc(struct dt_test_ring *ring, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next);

/** Write a chain of the parts, all writable or none. @return its head */
uint16_t dt_test_chain(struct dt_test_ring *ring, const struct dt_test_part *parts, unsigned int n, bool writable);

/**
 * Write @p n descriptors as an indirect table into guest memory, and one that points to it. In a packed one they are
 * taken one after another, wherever they lead. @return the head
 */
uint16_t dt_test_indirect(struct dt_test_ring *ring, uint64_t table, const struct vring_desc *descs, unsigned int n);

/** Make a chain available; of a split ring, any head at all. */
void dt_test_offer(struct dt_test_ring *ring, uint16_t head);

/** Take the next chain that came back: head, and bytes written. @return false: there is none */
bool dt_test_used(struct dt_test_ring *ring, struct vring_used_elem *ret_elem);

/** How many chains have come back and were not taken yet. */
unsigned int dt_test_count_used(const struct dt_test_ring *ring);

/** Write the descriptor @p steps behind the driver's next one, and mark it available, whatever it is. */
void dt_test_packed_desc(
	struct dt_test_ring *ring, unsigned int steps, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t id);

#endif
