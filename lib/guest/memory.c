/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rte_vhost.h>

#include "gmem.h"

void
dt_guest_drop_memory(struct dt_guest *guest)
{
	dt_gmem_free(guest->mem);
	guest->mem = NULL;
}

#define SAMPLE_PAGES 64 /* of all its memory, and one of each region at least */

void
dt_guest_sample_memory(const struct dt_guest *guest, struct dt_node_sample *ret_sample)
{
	uint64_t all = 0;

	*ret_sample = (struct dt_node_sample){ 0 };
	for (unsigned int i = 0; guest->mem != NULL && i < guest->mem->n_regions; i++)
		all += guest->mem->regions[i].size;
	for (unsigned int i = 0; all > 0 && i < guest->mem->n_regions; i++) {
		const struct dt_gmem_region *region = &guest->mem->regions[i];

		dt_node_sample(ret_sample, region->hva, region->size,
			1 + (unsigned int)(SAMPLE_PAGES * (region->size >> 12) / (1 + (all >> 12))), true);
	}
}

/* A worker on the memory's node is worth a move, while no ring runs and nobody waits for it. */
static void
move_near_memory(struct dt_guest *guest, unsigned int i)
{
	struct dt_worker *now = guest->pairs[i].worker;
	struct dt_worker *near = guest->place.choose(guest->place.self, now, guest->memory_node);

	if (near != now && dt_guest_hand_over(guest, i, near) != 0)
		GUEST_SAY(guest, WARNING, "queue pair %u stays at lcore %u: lcore %u polls as many queues as it can", i,
			dt_worker_lcore(now), dt_worker_lcore(near));
}

/* Others' huge pages do not show before we have touched them: the guest's first one there is for sure. */
static int
find_node(const struct dt_guest *guest)
{
	const struct dt_gmem_region *first = &guest->mem->regions[0];
	struct dt_node_sample sample;

	dt_guest_sample_memory(guest, &sample);
	if (sample.n > 0)
		return dt_node_of_most(&sample);
	for (unsigned int i = 1; i < guest->mem->n_regions; i++)
		if (guest->mem->regions[i].gpa < first->gpa)
			first = &guest->mem->regions[i];
	return dt_node_of_touched(first->hva);
}

static bool
any_is_ready(const struct dt_guest *guest)
{
	for (unsigned int ring = 0; ring < guest->n_rings; ring++)
		if (guest->ring[ring].ready)
			return true;
	return false;
}

static void
warn_of_distance(struct dt_guest *guest, const struct dt_worker *worker)
{
	if (guest->memory_node >= 0 && dt_worker_node(worker) >= 0 && guest->memory_node != dt_worker_node(worker))
		GUEST_SAY(guest, WARNING, "its memory is on NUMA node %d, its worker (lcore %u) on node %d: slower",
			guest->memory_node, dt_worker_lcore(worker), dt_worker_node(worker));
}

static void
note_node(struct dt_guest *guest)
{
	bool may_move = !any_is_ready(guest), is_new;
	int node = find_node(guest);

	is_new = node != guest->memory_node;
	guest->memory_node = node;
	for (unsigned int i = 0; i < guest->n_pairs; i++) {
		if (may_move && node != guest->placed_node)
			move_near_memory(guest, i);
		if (may_move)
			dt_guest_follow(guest, i);
		if (is_new)
			warn_of_distance(guest, guest->pairs[i].worker);
	}
	if (may_move)
		guest->placed_node = node;
}

/* A file's block size is its page size where that is a huge one. */
static uint64_t
page_size_of(int fd)
{
	struct stat st;
	uint64_t size = fstat(fd, &st) == 0 && st.st_blksize > 0 ? (uint64_t)st.st_blksize : 0;

	return size > 4096 && (size & (size - 1)) == 0 ? size : 4096;
}

void
dt_guest_take_memory(struct dt_guest *guest)
{
	struct dt_gmem_region regions[DT_GMEM_REGIONS_MAX];
	struct rte_vhost_memory *table;
	unsigned int n;
	int err;

	if (rte_vhost_get_mem_table(guest->vid, &table) != 0) {
		GUEST_SAY(guest, ERR, "memory table lost");
		return;
	}
	n = RTE_MIN(table->nregions, (uint32_t)DT_GMEM_REGIONS_MAX);
	for (unsigned int i = 0; i < n; i++) {
		const struct rte_vhost_mem_region *from = &table->regions[i];

		regions[i] = (struct dt_gmem_region){
			.gpa = from->guest_phys_addr,
			.size = from->size,
			.hva = (uint8_t *)(uintptr_t)from->host_user_addr,
			.map = from->mmap_addr,
			.map_size = from->mmap_size,
			.page_size = page_size_of(from->fd),
		};
	}
	free(table);
	err = dt_gmem_new(regions, n, &guest->mem);
	if (err != 0) {
		GUEST_SAY(guest, ERR, "memory table of %u regions: %s", n, strerror(-err));
		return;
	}
	note_node(guest);
}
