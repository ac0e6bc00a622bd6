/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_vhost.h>

#include "gmem.h"

/* The queue that a ring is, and the pair that it belongs to. */
static enum dt_ring
direction_of(unsigned int ring)
{
	return (enum dt_ring)(ring % DT_RINGS);
}

static struct dt_guest_pair *
pair_of(struct dt_guest *guest, unsigned int ring)
{
	return &guest->pairs[ring / DT_RINGS];
}

static const char *
name_of(unsigned int ring)
{
	return direction_of(ring) == DT_RING_TO_GUEST ? "receive queue" : "transmit queue";
}

static void
stop_ring(struct dt_guest *guest, unsigned int ring, enum dt_stop stop, enum dt_cause cause)
{
	struct dt_guest_pair *pair = pair_of(guest, ring);
	bool close = stop == DT_STOP_CLOSE;
	struct dt_vq vq;

	if (guest->ring[ring].on) {
		guest->ring[ring].on = false;
		dt_pair_stop(pair->pair, pair->worker, direction_of(ring), stop, cause, &vq);
		dt_guest_drop_kicks(guest, ring);
		guest->ring[ring].was_used |= dt_vq_base(&vq) != vq.base;
		guest->ring[ring].base = dt_vq_base(&vq);
		/* GET_VRING_BASE answers from the library's copy. */
		rte_vhost_set_vring_base(guest->vid, (uint16_t)ring, dt_vq_base(&vq), dt_vq_used_base(&vq));
	} else if (close && direction_of(ring) == DT_RING_TO_GUEST) {
		/* It may have been paused before: what waits then waits for nothing. */
		dt_pair_close(pair->pair, pair->worker, cause);
	}
	if (!close)
		return;
	guest->told_running = false;
	guest->ring[ring].was_used = false;
	guest->ring[ring].listened = false;
	guest->ring[ring].lingers = false;
	if (direction_of(ring) == DT_RING_TO_GUEST)
		pair->joined = false;
}

void
dt_guest_stop_ring(struct dt_guest *guest, unsigned int ring, enum dt_stop stop, enum dt_cause cause)
{
	stop_ring(guest, ring, stop, cause);
	dt_guest_respread(guest);
}

void
dt_guest_stop_rings(struct dt_guest *guest, enum dt_stop stop, enum dt_cause cause)
{
	for (unsigned int ring = 0; ring < guest->n_rings; ring++)
		stop_ring(guest, ring, stop, cause);
	dt_guest_respread(guest);
}

void
dt_guest_disable_ring(struct dt_guest *guest, unsigned int ring)
{
	struct dt_guest_pair *pair = pair_of(guest, ring);

	if (!guest->ring[ring].ready)
		return;
	guest->ring[ring].ready = false;
	if (direction_of(ring) == DT_RING_FROM_GUEST) {
		guest->ring[ring].lingers = guest->ring[ring].on;
		return;
	}
	if (pair->joined && guest->n_joined > 1) {
		pair->joined = false;
		dt_guest_respread(guest);
		dt_guest_await_lane(guest, pair->pair);
	}
	dt_guest_stop_ring(guest, ring, DT_STOP_CLOSE, DT_CAUSE_GUEST_QUEUE_STOPPED);
}

/*
 * The peer chose the descriptor. To write to or read from anything but an eventfd could block, kill or do harm; nor
 * must an eventfd block.
 */
static bool
is_safe_eventfd(int fd)
{
	char link[32], target[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

/* @return it, -1: the guest is not interrupted */
static int
checked_callfd(struct dt_guest *guest, int fd)
{
	if (fd < 0)
		return -1;
	if (is_safe_eventfd(fd))
		return fd;
	GUEST_SAY(guest, ERR, "the descriptor for interrupts is no eventfd: the guest gets none");
	return -1;
}

static void
start_ring(struct dt_guest *guest, unsigned int ring)
{
	struct dt_guest_pair *pair = pair_of(guest, ring);
	struct rte_vhost_vring vring;
	struct dt_vq vq = { 0 };
	int err;

	if (rte_vhost_get_vhost_vring(guest->vid, (uint16_t)ring, &vring) != 0) {
		GUEST_SAY(guest, ERR, "%s (ring %u): the library lost it", name_of(ring), ring);
		return;
	}
	vq.desc = vring.desc;
	vq.avail = vring.avail;
	vq.used = vring.used;
	vq.size = vring.size;
	vq.base = guest->ring[ring].base; /* the library's own goes back to used->idx now and then */
	vq.callfd = checked_callfd(guest, vring.callfd);
	vq.position = &pair->pair->position[direction_of(ring)];
	vq.mem = guest->mem;
	vq.features = guest->features;
	vq.log_base = guest->log_base;
	vq.log_size = guest->log_size;
	dt_positions_find(guest, ring, &vq);
	err = dt_vq_start(&vq);
	if (err != 0) {
		GUEST_SAY(guest, ERR, "%s (ring %u): %s: not started; the front end is at fault, restart it",
			name_of(ring), ring,
			err == -EFAULT ? "ring outside guest memory" : "impossible size or misaligned");
		return;
	}
	dt_guest_take_kicks(guest, ring, vring.kickfd >= 0 && is_safe_eventfd(vring.kickfd) ? vring.kickfd : -1);
	dt_pair_start(pair->pair, pair->worker, direction_of(ring), &vq);
	guest->ring[ring].on = true;
	guest->ring[ring].told = false;
}

static void
say_running(struct dt_guest *guest)
{
	for (unsigned int ring = 0; !guest->told_running && ring < guest->n_rings; ring += DT_RINGS) {
		if (!guest->ring[ring + DT_RING_TO_GUEST].on || !guest->ring[ring + DT_RING_FROM_GUEST].on)
			continue;
		guest->told_running = true;
		dt_guest_say_running(guest);
		dt_guest_say_unkicked(guest);
	}
}

void
dt_guest_join(struct dt_guest *guest)
{
	unsigned int n = guest->n_joined;

	for (unsigned int i = 0; i < guest->n_pairs; i++) {
		struct dt_guest_pair *pair = &guest->pairs[i];

		if (pair->joined || !guest->ring[DT_RINGS * i + DT_RING_TO_GUEST].on)
			continue;
		/* A driver fills a new queue some time after it has enabled it; until then the others serve. */
		pair->joined = n == 0 || dt_pair_is_offered(pair->pair, pair->worker, DT_RING_TO_GUEST);
		n += pair->joined;
	}
	if (n != guest->n_joined)
		dt_guest_respread(guest);
}

void
dt_guest_resume(struct dt_guest *guest)
{
	if (guest->stopping || guest->frozen || guest->mem == NULL || dt_gmem_vanished(guest->mem))
		return;
	for (unsigned int ring = 0; ring < guest->n_rings; ring++)
		if ((guest->ring[ring].ready || guest->ring[ring].lingers) && !guest->ring[ring].on)
			start_ring(guest, ring);
	dt_guest_join(guest);
	say_running(guest);
}
