/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <numaif.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_vhost.h>

#include "gmem.h"
#include "pool.h"

static const char *const ring_names[DT_RINGS] = {
	[DT_RING_TO_GUEST] = "receive queue (ring 0)",
	[DT_RING_FROM_GUEST] = "transmit queue (ring 1)",
};

void
dt_guest_stop_ring(struct dt_guest *guest, enum dt_ring ring, enum dt_stop stop, enum dt_cause cause)
{
	struct dt_vq vq;

	if (!guest->ring[ring].on) {
		/* It may have been paused before: what waits then waits for nothing. */
		if (stop == DT_STOP_CLOSE && ring == DT_RING_TO_GUEST)
			dt_pair_close(guest->pair, guest->worker, cause);
		return;
	}
	guest->ring[ring].on = false;
	dt_pair_stop(guest->pair, guest->worker, ring, stop, cause, &vq);
	guest->ring[ring].base = dt_vq_base(&vq);
	/* GET_VRING_BASE answers from the library's copy. */
	rte_vhost_set_vring_base(guest->vid, ring, dt_vq_base(&vq), dt_vq_used_base(&vq));
}

void
dt_guest_stop_rings(struct dt_guest *guest, enum dt_stop stop, enum dt_cause cause)
{
	for (unsigned int ring = 0; ring < DT_RINGS; ring++)
		dt_guest_stop_ring(guest, (enum dt_ring)ring, stop, cause);
}

void
dt_guest_take_features(struct dt_guest *guest)
{
	if (rte_vhost_get_negotiated_features(guest->vid, &guest->features) != 0)
		guest->features = 0;
}

/*
 * The peer chose the descriptor. A write to anything but an eventfd could block, kill or do harm; to an eventfd that is
 * full it must not block either.
 * @return it, -1: the guest is not interrupted
 */
static int
checked_callfd(struct dt_guest *guest, int fd)
{
	char link[32], target[32];
	ssize_t n;

	if (fd < 0)
		return -1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	if (strcmp(target, "anon_inode:[eventfd]") == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
		return fd;
	GUEST_SAY(guest, ERR, "the descriptor for interrupts is no eventfd: the guest gets none");
	return -1;
}

static void
start_ring(struct dt_guest *guest, enum dt_ring ring)
{
	struct rte_vhost_vring vring;
	struct dt_vq vq = { 0 };
	int err;

	if (rte_vhost_get_vhost_vring(guest->vid, ring, &vring) != 0) {
		GUEST_SAY(guest, ERR, "%s: the library lost it", ring_names[ring]);
		return;
	}
	vq.desc = vring.desc;
	vq.avail = vring.avail;
	vq.used = vring.used;
	vq.size = vring.size;
	vq.base = guest->ring[ring].base; /* the library's own goes back to used->idx now and then */
	vq.callfd = checked_callfd(guest, vring.callfd);
	vq.mem = guest->mem;
	vq.features = guest->features;
	err = dt_vq_start(&vq);
	if (err != 0) {
		GUEST_SAY(guest, ERR, "%s: %s: not started; the front end is at fault, restart it", ring_names[ring],
			err == -EFAULT ? "ring outside guest memory" : "impossible size or misaligned");
		return;
	}
	dt_pair_start(guest->pair, guest->worker, ring, &vq);
	guest->ring[ring].on = true;
	guest->ring[ring].told = false;
}

void
dt_guest_resume(struct dt_guest *guest)
{
	if (guest->stopping || guest->frozen || guest->mem == NULL || dt_gmem_vanished(guest->mem))
		return;
	for (unsigned int ring = 0; ring < DT_RINGS; ring++)
		if (guest->ring[ring].ready && !guest->ring[ring].on)
			start_ring(guest, (enum dt_ring)ring);
}

void
dt_guest_drop_memory(struct dt_guest *guest)
{
	dt_gmem_free(guest->mem);
	guest->mem = NULL;
}

/* The node that most likely holds the guest: that of its largest region's first page. */
static int
node_of(const struct dt_gmem *mem)
{
	void *page = mem->regions[0].hva;
	int node = -1;

	if (get_mempolicy(&node, NULL, 0, page, MPOL_F_NODE | MPOL_F_ADDR) != 0)
		return -1;
	return node;
}

/* A worker on the memory's node is worth a move, while no ring runs and nobody can notice. */
static void
move_near_memory(struct dt_guest *guest)
{
	struct dt_worker *worker = guest->place.choose(guest->place.self, guest->worker, guest->memory_node);
	int err;

	if (worker == guest->worker)
		return;
	dt_worker_remove(guest->worker, dt_pair_poll, guest->pair);
	guest->pair->pool = dt_pool_of(dt_worker_node(worker)); /* nobody polls it now */
	err = dt_worker_add(worker, dt_pair_poll, guest->pair);
	if (err == 0)
		guest->worker = worker;
	else if (dt_worker_add(guest->worker, dt_pair_poll, guest->pair) != 0)
		DT_LOG(ERR, "guest '%s': no worker has room for it", guest->conf->name);
}

static void
note_node(struct dt_guest *guest)
{
	int node = node_of(guest->mem);

	if (node == guest->memory_node)
		return;
	guest->memory_node = node;
	if (!guest->ring[DT_RING_TO_GUEST].ready && !guest->ring[DT_RING_FROM_GUEST].ready)
		move_near_memory(guest);
	if (node >= 0 && dt_worker_node(guest->worker) >= 0 && node != dt_worker_node(guest->worker))
		GUEST_SAY(guest, WARNING, "its memory is on NUMA node %d, its worker (lcore %u) on node %d: slower",
			node, dt_worker_lcore(guest->worker), dt_worker_node(guest->worker));
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
