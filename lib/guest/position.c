/* SPDX-License-Identifier: BSD-3-Clause */
#include "position.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vhost.h>
#include <linux/virtio_config.h>

#include <rte_eal.h>

#include "gmem.h"
#include "internal.h"

#define MAGIC 0x32736f7070617464ULL /* "dtappos2": changes with the layout */

/* What front ends hand out for a ring that nobody has touched: index 0, first lap. */
#define START 0x8000

/* A ring in the file, on lines of its own: those of a guest may have a worker each. */
struct record {
	/* control's */
	uint64_t gpa; /* of the descriptors */
	uint64_t features;
	uint32_t size; /* entries */
	uint32_t in_use; /* it was not stopped by its front end */

	struct dt_vq_position position; /* its worker's */
} __rte_cache_aligned;

/* The file. */
struct dt_positions {
	uint64_t magic;
	uint64_t n_records;
	struct record records[];
};

static size_t
size_of(const struct dt_guest *guest)
{
	return sizeof(struct dt_positions) + guest->n_rings * sizeof(struct record);
}

static int
path_of(const struct dt_guest *guest, char path[static PATH_MAX])
{
	const char *folder = rte_eal_get_runtime_dir();

	if (folder == NULL || folder[0] == '\0')
		return -ENOENT;
	return snprintf(path, PATH_MAX, "%s/dptap_positions.%s", folder, guest->conf->name) < PATH_MAX ? 0
												       : -ENAMETOOLONG;
}

/* @return 0; -errno */
static int
map(struct dt_guest *guest)
{
	size_t size = size_of(guest);
	char path[PATH_MAX];
	int fd, err = path_of(guest, path);
	void *at;

	if (err != 0)
		return err;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	/* A page that a full file system has not got would be a fault later. */
	err = posix_fallocate(fd, 0, (off_t)size);
	at = err == 0 ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (err == 0 && at == MAP_FAILED)
		err = errno;
	close(fd);
	if (err == 0)
		guest->positions = at;
	return -err;
}

void
dt_positions_open(struct dt_guest *guest)
{
	int err = map(guest);

	if (err != 0) {
		DT_LOG(NOTICE,
			"guest '%s': positions of packed rings are not kept in %s: %s: with such rings the guest does "
			"not survive a restart of dptap",
			guest->conf->name, rte_eal_get_runtime_dir(), strerror(-err));
		return;
	}
	if (guest->positions->magic == MAGIC && guest->positions->n_records == guest->n_rings)
		return;
	memset(guest->positions, 0, size_of(guest));
	guest->positions->n_records = guest->n_rings;
	guest->positions->magic = MAGIC;
}

void
dt_positions_close(struct dt_guest *guest)
{
	char path[PATH_MAX];
	bool in_use = false;

	if (guest->positions == NULL)
		return;
	for (unsigned int ring = 0; ring < guest->n_rings; ring++)
		in_use |= guest->positions->records[ring].in_use != 0;
	munmap(guest->positions, size_of(guest));
	guest->positions = NULL;
	if (!in_use && path_of(guest, path) == 0)
		unlink(path);
}

/*
 * A driver begins with a ring of zeros. Nothing in it is marked as used, and what is not available yet is still zero:
 * no ring that a device has worked on is like that.
 */
static bool
is_fresh(const struct dt_vq *vq)
{
	const uint64_t *words = (const uint64_t *)vq->ring;

	if (!dt_gmem_contains(vq->mem, vq->ring, (uint64_t)vq->size * sizeof(*vq->ring)))
		return true;
	for (unsigned int i = 0; i < vq->size; i++) {
		uint64_t addr = __atomic_load_n(&words[2 * i], __ATOMIC_RELAXED);
		uint64_t rest = __atomic_load_n(&words[2 * i + 1], __ATOMIC_RELAXED);
		uint16_t flags = (uint16_t)(rest >> 48);
		bool available = (flags & 1u << VRING_PACKED_DESC_F_AVAIL) != 0;

		if ((flags & 1u << VRING_PACKED_DESC_F_USED) != 0 || (!available && (addr != 0 || rest != 0)))
			return false;
	}
	return true;
}

static bool
is_same_ring(const struct record *left, const struct record *right)
{
	return left->in_use != 0 && left->gpa == right->gpa && left->features == right->features &&
	       left->size == right->size;
}

void
dt_positions_find(struct dt_guest *guest, unsigned int ring, struct dt_vq *vq)
{
	struct record now = { .features = vq->features & ~(1ULL << VHOST_F_LOG_ALL), .size = vq->size, .in_use = 1 };
	struct record *kept;

	if (guest->positions == NULL || (vq->features & 1ULL << VIRTIO_F_RING_PACKED) == 0 ||
		!dt_gmem_gpa(vq->mem, vq->ring, &now.gpa))
		return;
	kept = &guest->positions->records[ring];
	vq->position = &kept->position;
	if (vq->base == START && is_same_ring(kept, &now) && !is_fresh(vq) &&
		dt_vq_position_recover(vq, &vq->base) == 0) {
		if (vq->base != START)
			GUEST_SAY(guest, INFO, "ring %u goes on where it stood when dptap went", ring);
		return;
	}
	kept->in_use = 0;
	kept->gpa = now.gpa;
	kept->features = now.features;
	kept->size = now.size;
	dt_vq_position_set(vq->position, vq->base);
	__atomic_store_n(&kept->in_use, 1, __ATOMIC_RELEASE); /* not before the rest */
}

void
dt_positions_forget(struct dt_guest *guest, unsigned int ring)
{
	if (guest->positions != NULL)
		guest->positions->records[ring].in_use = 0;
}
