/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that a front end does not share (share=off) looks like memory that nobody uses: the driver fills its rings, in
 * pages of its own, and here they stay empty. What gives it away is the kick, which comes all the same.
 */
#include "internal.h"

#include <sys/eventfd.h>
#include <sys/uio.h>

/*
 * Forget the kicks so far. The front end can make the descriptor block at any time, and read it before we do: it is
 * not to be waited for, whatever it says (kernels before 5.8 cannot promise that). @return whether there were any
 */
static bool
was_kicked(int fd)
{
	eventfd_t n;
	struct iovec to = { .iov_base = &n, .iov_len = sizeof(n) };

	return fd > 0 && preadv2(fd, &to, 1, -1, RWF_NOWAIT) == sizeof(n);
}

static bool
doubt(struct dt_guest *guest, unsigned int number)
{
	struct dt_guest_ring *ring = &guest->ring[number];
	struct dt_guest_pair *pair = &guest->pairs[number / DT_RINGS];
	bool kicked;

	if (!ring->on || ring->was_used)
		return false;
	/* In this order: what is kicked for is there before. */
	kicked = was_kicked(ring->kickfd);
	if (!kicked && ring->listened)
		return false; /* nothing to ask about, and the worker may sleep */
	/* A kick that was read does not wake the worker any more, but this does. */
	ring->was_used = dt_pair_was_offered(pair->pair, pair->worker, (enum dt_ring)(number % DT_RINGS));
	if (ring->was_used)
		return false;
	/* Front ends kick once when they start a ring, whatever is in it. */
	if (!ring->listened) {
		ring->listened = true;
		return false;
	}
	return kicked;
}

void
dt_guest_doubt(struct dt_guest *guest)
{
	for (unsigned int number = 0; number < guest->n_rings; number++) {
		if (guest->doubted || !doubt(guest, number))
			continue;
		guest->doubted = dt_guest_may_say(guest, RTE_LOG_WARNING); /* or later */
		if (guest->doubted)
			DT_LOG(WARNING,
				"guest '%s': the driver kicks ring %u, yet nothing shows in it: is its memory shared? "
				"give QEMU's memory backend share=on",
				guest->conf->name, number);
	}
}
