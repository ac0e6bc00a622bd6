/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What a worker does while it finds nothing to move: the setting idle=, for those who read it and those who do it.
 */
#ifndef DT_IDLE_H
#define DT_IDLE_H

/** In the order of the setting's words. */
enum dt_idle {
	DT_IDLE_POLL, /* looks again at once */
	DT_IDLE_PAUSE, /* looks again after some microseconds at the most */
	DT_IDLE_SLEEP, /* so at first, and then sleeps until it is woken */
};

/** As the setting calls it. */
const char *dt_idle_name(enum dt_idle idle);

#endif
