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
dt_test_ring_new(struct dt_test_ring *ring, struct dt_test_memory *memory, unsigned int region, uint16_t size)
{
	memset(ring, 0, sizeof(*ring));
	ring->memory = memory;
	ring->size = size;
	ring->desc = dt_test_at(memory, dt_test_take(memory, region, 16ULL * size));
	ring->avail = dt_test_at(memory, dt_test_take(memory, region, 6 + 2ULL * size));
	ring->used = dt_test_at(memory, dt_test_take(memory, region, 6 + 8ULL * size));
}

void
dt_test_ring_start(const struct dt_test_ring *ring, uint64_t features, struct dt_vq *ret_vq)
{
	*ret_vq = (struct dt_vq){
		.desc = ring->desc,
		.avail = ring->avail,
		.used = ring->used,
		.mem = ring->memory->gmem,
		.features = features,
		.size = ring->size,
		.callfd = -1,
		.base = ring->avail_idx,
	};
	assert_int_equal(dt_vq_start(ret_vq), 0);
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
	dt_test_write(ring->memory, table, descs, n * sizeof(*descs));
	return dt_test_desc(ring, table, (uint32_t)(n * sizeof(*descs)), VRING_DESC_F_INDIRECT, 0);
}

void
dt_test_offer(struct dt_test_ring *ring, uint16_t head)
{
	ring->avail->ring[ring->avail_idx % ring->size] = head;
	__atomic_store_n(&ring->avail->idx, ++ring->avail_idx, __ATOMIC_RELEASE);
}

bool
dt_test_used(struct dt_test_ring *ring, struct vring_used_elem *ret_elem)
{
	if (__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) == ring->used_seen)
		return false;
	*ret_elem = ring->used->ring[ring->used_seen++ % ring->size];
	return true;
}
