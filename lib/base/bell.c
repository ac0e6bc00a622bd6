/* SPDX-License-Identifier: BSD-3-Clause */
#include "bell.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int
dt_bell_init(struct dt_bell *bell)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	*bell = (struct dt_bell){ .fd = fd };
	return 0;
}

void
dt_bell_fini(struct dt_bell *bell)
{
	if (bell->fd > 0)
		close(bell->fd);
	*bell = (struct dt_bell){ 0 };
}

void
dt_bell_strike(struct dt_bell *bell)
{
	/*
	 * One is enough, so the first takes it upon itself. Who comes second relies on that one's stroke, which may
	 * take a moment but comes; a sleeper that something else has woken meanwhile hears it in vain.
	 */
	if (__atomic_exchange_n(&bell->wanted, false, __ATOMIC_RELAXED))
		eventfd_write(bell->fd, 1);
}
