/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest_memory.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "testing.h"

void
dt_test_memory_new(struct dt_test_memory *memory, unsigned int n_regions, uint64_t region_size)
{
	uint64_t stride = 2 * region_size; /* what follows a region for us is no memory */
	struct dt_gmem_region regions[DT_TEST_REGIONS_MAX];
	uint8_t *map;

	assert_in_range(n_regions, 1, DT_TEST_REGIONS_MAX);
	map = mmap(NULL, n_regions * stride, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	memset(memory, 0, sizeof(*memory));
	memory->map = map;
	memory->n_regions = n_regions;
	memory->region_size = region_size;
	for (unsigned int i = 0; i < n_regions; i++) {
		/* The guest's order backwards, so that no two neighbours of its are ours. */
		uint8_t *place = map + (n_regions - 1 - i) * stride;
		int fd = memfd_create("guest", MFD_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, (off_t)region_size), 0);
		memory->fd[i] = fd;
		memory->hva[i] = mmap(place, region_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
		assert_ptr_equal(memory->hva[i], place);
		regions[i] = (struct dt_gmem_region){
			.gpa = dt_test_region(memory, i),
			.size = region_size,
			.hva = place,
			.map = place,
			.map_size = region_size,
			.page_size = 4096,
		};
	}
	assert_int_equal(dt_gmem_new(regions, n_regions, &memory->gmem), 0);
}

void
dt_test_memory_free(struct dt_test_memory *memory)
{
	dt_gmem_free(memory->gmem);
	munmap(memory->map, memory->n_regions * 2 * memory->region_size);
	for (unsigned int i = 0; i < memory->n_regions; i++)
		close(memory->fd[i]);
}

uint64_t
dt_test_region(const struct dt_test_memory *memory, unsigned int region)
{
	return DT_TEST_GPA + region * memory->region_size;
}

uint64_t
dt_test_take(struct dt_test_memory *memory, unsigned int region, uint64_t len)
{
	uint64_t at = memory->next[region];

	assert_true(at + len <= memory->region_size);
	memory->next[region] = (at + len + 15) / 16 * 16;
	return dt_test_region(memory, region) + at;
}

void *
dt_test_at(const struct dt_test_memory *memory, uint64_t gpa)
{
	uint64_t offset = gpa - DT_TEST_GPA;

	assert_true(offset < memory->n_regions * memory->region_size);
	return memory->hva[offset / memory->region_size] + offset % memory->region_size;
}

void
dt_test_write(const struct dt_test_memory *memory, uint64_t gpa, const void *from, uint64_t len)
{
	const uint8_t *bytes = from;

	for (uint64_t i = 0; i < len; i++)
		*(uint8_t *)dt_test_at(memory, gpa + i) = bytes[i];
}

void
dt_test_vanish(const struct dt_test_memory *memory, unsigned int region)
{
	assert_int_equal(ftruncate(memory->fd[region], 0), 0);
}

void
dt_test_ring_new(
	struct dt_test_ring *ring, struct dt_test_memory *memory, unsigned int region, uint16_t size, uint64_t layout)
{
	assert_in_range(size, 1, DT_TEST_RING_MAX);
	memset(ring, 0, sizeof(*ring));
	ring->memory = memory;
	ring->size = size;
	ring->layout = layout;
	ring->avail_wrap = true;
	ring->used_wrap = true;
	if ((layout & DT_TEST_PACKED) != 0) {
		ring->desc = ring->private;
		ring->packed = dt_test_at(memory, dt_test_take(memory, region, 16ULL * size));
		ring->driver_event = dt_test_at(memory, dt_test_take(memory, region, 4));
		ring->device_event = dt_test_at(memory, dt_test_take(memory, region, 4));
	} else {
		ring->desc = dt_test_at(memory, dt_test_take(memory, region, 16ULL * size));
		ring->avail = dt_test_at(memory, dt_test_take(memory, region, 6 + 2ULL * size));
		ring->used = dt_test_at(memory, dt_test_take(memory, region, 6 + 8ULL * size));
	}
}

void
dt_test_ring_go_to(struct dt_test_ring *ring, uint16_t base)
{
	if (ring->packed == NULL) {
		ring->avail_idx = base;
		ring->used_seen = base;
		ring->avail->idx = base;
		ring->used->idx = base;
	} else {
		ring->avail_idx = base & 0x7fff;
		ring->used_seen = base & 0x7fff;
		ring->avail_wrap = base >> 15;
		ring->used_wrap = base >> 15;
	}
}

uint16_t
dt_test_ring_base(const struct dt_test_ring *ring)
{
	bool wrap = ring->packed != NULL && ring->avail_wrap;

	return (uint16_t)(ring->avail_idx | (wrap ? 1 << 15 : 0));
}

struct dt_vq
dt_test_ring_vq(struct dt_test_ring *ring, uint64_t features)
{
	struct dt_vq vq = {
		.mem = ring->memory->gmem,
		.features = features | ring->layout,
		.size = ring->size,
		.position = &ring->position,
		.callfd = -1,
		.kickfd = -1,
		.base = dt_test_ring_base(ring),
	};

	if (ring->packed != NULL) {
		vq.ring = ring->packed;
		vq.driver_event = ring->driver_event;
		vq.device_event = ring->device_event;
	} else {
		vq.desc = ring->desc;
		vq.avail = ring->avail;
		vq.used = ring->used;
	}
	return vq;
}

void
dt_test_ring_start(struct dt_test_ring *ring, uint64_t features, struct dt_vq *ret_vq)
{
	*ret_vq = dt_test_ring_vq(ring, features);
	assert_int_equal(dt_vq_start(ret_vq), 0);
	ret_vq->rest = 0; /* a visit sees at once what was offered */
}

uint16_t
dt_test_desc(struct dt_test_ring *ring, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t next)
{
	uint16_t i = ring->next_desc++;

	assert_true(i < ring->size);
	ring->desc[i] = (struct vring_desc){ .addr = gpa, .len = len, .flags = flags, .next = next };
	return i;
}

uint16_t
dt_test_chain(struct dt_test_ring *ring, const struct dt_test_part *parts, unsigned int n, bool writable)
{
	uint16_t head = ring->next_desc;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags = writable ? VRING_DESC_F_WRITE : 0;

		if (i + 1 < n)
			flags |= VRING_DESC_F_NEXT;
		dt_test_desc(ring, parts[i].gpa, parts[i].len, flags, (uint16_t)(ring->next_desc + 1));
	}
	return head;
}

uint16_t
dt_test_indirect(struct dt_test_ring *ring, uint64_t table, const struct vring_desc *descs, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct vring_packed_desc packed = { descs[i].addr, descs[i].len, 0xffff, descs[i].flags };

		if (ring->packed != NULL)
			dt_test_write(ring->memory, table + i * sizeof(packed), &packed, sizeof(packed));
		else
			dt_test_write(ring->memory, table + i * sizeof(*descs), &descs[i], sizeof(*descs));
	}
	return dt_test_desc(ring, table, (uint32_t)(n * sizeof(*descs)), VRING_DESC_F_INDIRECT, 0);
}

static void
advance(const struct dt_test_ring *ring, uint16_t *at, bool *wrap, unsigned int n)
{
	for (; n > 0; n--) {
		if (++*at < ring->size)
			continue;
		*at = 0;
		*wrap = !*wrap;
	}
}

void
dt_test_packed_desc(
	struct dt_test_ring *ring, unsigned int steps, uint64_t gpa, uint32_t len, uint16_t flags, uint16_t id)
{
	uint16_t at = ring->avail_idx;
	bool wrap = ring->avail_wrap;

	advance(ring, &at, &wrap, steps);
	ring->packed[at].addr = gpa;
	ring->packed[at].len = len;
	ring->packed[at].id = id;
	flags |= (uint16_t)(wrap ? 1 << VRING_PACKED_DESC_F_AVAIL : 1 << VRING_PACKED_DESC_F_USED);
	__atomic_store_n(&ring->packed[at].flags, flags, __ATOMIC_RELEASE);
}

/* The first descriptor last: it makes the chain available. */
static void
offer_packed(struct dt_test_ring *ring, uint16_t head)
{
	uint16_t chain[DT_TEST_RING_MAX];
	unsigned int n = 0;

	chain[n++] = head;
	while ((ring->desc[chain[n - 1]].flags & VRING_DESC_F_NEXT) != 0) {
		assert_in_range(n, 1, ring->size - 1);
		chain[n] = ring->desc[chain[n - 1]].next;
		assert_in_range(chain[n++], 0, ring->size - 1);
	}
	for (unsigned int i = n; i-- > 0;) {
		const struct vring_desc *desc = &ring->desc[chain[i]];

		dt_test_packed_desc(ring, i, desc->addr, desc->len, desc->flags, head);
	}
	ring->n_desc[head] = (uint16_t)n;
	advance(ring, &ring->avail_idx, &ring->avail_wrap, n);
}

void
dt_test_offer(struct dt_test_ring *ring, uint16_t head)
{
	ring->offered[ring->n_offered++ % DT_TEST_RING_MAX] = head;
	if (ring->packed != NULL) {
		offer_packed(ring, head);
		return;
	}
	ring->avail->ring[ring->avail_idx % ring->size] = head;
	__atomic_store_n(&ring->avail->idx, ++ring->avail_idx, __ATOMIC_RELEASE);
}

/* What the device wrote next. @return false: nothing */
static bool
read_used(const struct dt_test_ring *ring, struct vring_used_elem *ret)
{
	const struct vring_packed_desc *desc = &ring->packed[ring->used_seen];
	uint16_t flags;

	if (ring->packed == NULL) {
		*ret = ring->used->ring[ring->used_seen % ring->size];
		return __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) != ring->used_seen;
	}
	flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);
	if ((flags >> VRING_PACKED_DESC_F_AVAIL & 1) != ring->used_wrap ||
		(flags >> VRING_PACKED_DESC_F_USED & 1) != ring->used_wrap)
		return false;
	assert_int_equal((flags & VRING_DESC_F_WRITE) != 0, desc->len > 0);
	assert_in_range(desc->id, 0, ring->size - 1);
	*ret = (struct vring_used_elem){ .id = desc->id, .len = desc->len };
	return true;
}

bool
dt_test_used(struct dt_test_ring *ring, struct vring_used_elem *ret_elem)
{
	bool in_order = (ring->layout & DT_TEST_SPLIT_IN_ORDER) != 0;
	struct vring_used_elem elem;

	if (!ring->in_batch && !read_used(ring, &ring->batch))
		return false;
	elem = ring->batch;
	ring->in_batch = false;
	/* In order: all up to the one that is named have come back. */
	if (in_order && ring->offered[ring->n_back % DT_TEST_RING_MAX] != elem.id) {
		elem = (struct vring_used_elem){ .id = ring->offered[ring->n_back % DT_TEST_RING_MAX] };
		ring->in_batch = true;
		assert_true(ring->n_back < ring->n_offered);
	}
	ring->n_back++;
	if (ring->packed != NULL)
		advance(ring, &ring->used_seen, &ring->used_wrap, ring->n_desc[elem.id]);
	else
		ring->used_seen++;
	*ret_elem = elem;
	return true;
}

unsigned int
dt_test_count_used(const struct dt_test_ring *ring)
{
	static struct dt_test_ring copy;
	struct vring_used_elem elem;
	unsigned int n = 0;

	copy = *ring;
	while (dt_test_used(&copy, &elem))
		n++;
	return n;
}
