/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * By what a worker that sleeps is woken for a guest's pair: the lane's bell, and the kicks of rings that run. The
 * library closes kick descriptors as messages come; ours are duplicates, from start to stop of their ring.
 */
#include "internal.h"

#include <fcntl.h>
#include <unistd.h>

/* The least number of a duplicate, so that 0 is none. */
#define FD_MIN 3

/* The worker does not look at the ring meanwhile. */
static void
listen_to(struct dt_guest *guest, unsigned int number)
{
	struct dt_guest_pair *pair = &guest->pairs[number / DT_RINGS];
	int fd = guest->ring[number].kickfd;

	pair->pair->kicks[number % DT_RINGS] = fd > 0 && dt_worker_listen(pair->worker, fd) == 0;
}

static void
unlisten_to(struct dt_guest *guest, unsigned int number)
{
	struct dt_guest_pair *pair = &guest->pairs[number / DT_RINGS];

	if (pair->pair->kicks[number % DT_RINGS])
		dt_worker_unlisten(pair->worker, guest->ring[number].kickfd);
	pair->pair->kicks[number % DT_RINGS] = false;
}

void
dt_guest_take_kicks(struct dt_guest *guest, unsigned int ring, int fd)
{
	guest->ring[ring].kickfd = fd >= 0 ? RTE_MAX(fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN), 0) : 0;
	listen_to(guest, ring);
}

void
dt_guest_drop_kicks(struct dt_guest *guest, unsigned int ring)
{
	unlisten_to(guest, ring);
	if (guest->ring[ring].kickfd > 0)
		close(guest->ring[ring].kickfd);
	guest->ring[ring].kickfd = 0;
}

void
dt_guest_attach(struct dt_guest *guest, unsigned int i)
{
	struct dt_guest_pair *pair = &guest->pairs[i];

	dt_lane_set_bell(&pair->pair->lane, dt_worker_bell(pair->worker));
	for (unsigned int ring = DT_RINGS * i; ring < DT_RINGS * (i + 1); ring++)
		if (guest->ring[ring].on)
			listen_to(guest, ring);
}

void
dt_guest_detach(struct dt_guest *guest, unsigned int i)
{
	for (unsigned int ring = DT_RINGS * i; ring < DT_RINGS * (i + 1); ring++)
		if (guest->ring[ring].on)
			unlisten_to(guest, ring);
}

void
dt_guest_say_unkicked(struct dt_guest *guest)
{
	for (unsigned int ring = 0; ring < guest->n_rings; ring++) {
		const struct dt_guest_pair *pair = &guest->pairs[ring / DT_RINGS];

		if (!guest->ring[ring].on || dt_worker_bell(pair->worker) == NULL || pair->pair->kicks[ring % DT_RINGS])
			continue;
		GUEST_SAY(guest, INFO,
			"ring %u: its front end gave no eventfd for kicks: it cannot wake a worker that sleeps, which "
			"looks at it every 2 milliseconds instead",
			ring);
	}
}
