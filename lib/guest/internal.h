/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside the module: a guest's session, as control sees it.
 *
 * The thread of librte_vhost and the main thread work on it, one at a time, under its lock; the worker takes no
 * lock and sees the pair only.
 */
#ifndef DT_GUEST_INTERNAL_H
#define DT_GUEST_INTERNAL_H

#include "guest.h"

#include <pthread.h>

#include "log.h"
#include "pair.h"

struct dt_gmem;

/* A ring as control sees it. */
struct dt_guest_ring {
	uint16_t base; /* of the available ring: where it stopped, or SET_VRING_BASE says */
	bool ready; /* the library says it is complete and enabled */
	bool on; /* the worker has it */
	bool told; /* that it broke */
};

struct dt_guest {
	/* set when made */
	const struct dt_conf_guest *conf;
	struct dt_pair *pair; /* the worker's */
	struct dt_guest_place place;
	void (*gone)(void *arg);
	void *gone_arg;

	pthread_mutex_t lock; /* guards all that follows */
	struct dt_worker *worker;
	bool registered; /* librte_vhost knows the socket */
	bool stopping; /* dptap lets go; nothing starts any more */
	int vid; /* connection, -1: none */
	int fd; /* of that connection, the library's; -1: unknown */
	uint32_t connections;
	uint64_t features;
	struct dt_gmem *mem; /* NULL: none, or it is being changed */
	int memory_node;
	bool frozen; /* a change of memory or rings began and has not succeeded yet */
	uint32_t request; /* the message that is being handled, or was last */
	uint32_t new_base_ring; /* of SET_VRING_BASE, until it has succeeded */
	uint16_t new_base;
	bool vanished; /* memory went while the library looked at it */
	struct dt_guest_ring ring[DT_RINGS];
	uint64_t say_until; /* TSC end of the period in which so many lines were said: */
	unsigned int n_news;
	unsigned int n_faults;
};

#define GUEST_SAY(guest, level, fmt, ...)                                                                              \
	do {                                                                                                           \
		if (dt_guest_may_say(guest, RTE_LOG_##level))                                                          \
			DT_LOG(level, "guest '%s': " fmt, (guest)->conf->name, ##__VA_ARGS__);                         \
	} while (0)

/** A peer must not fill the log: some lines a period for each guest, faults apart from news. */
bool dt_guest_may_say(struct dt_guest *guest, uint32_t level);

/** The features that a guest is offered: exactly those that the ring code does. */
uint64_t dt_guest_features(void);

/** The guest of a connection, NULL: none of ours. Thread of librte_vhost. */
struct dt_guest *dt_guest_by_vid(int vid);

/* ---- connection.c; with the lock held ---- */

/** Take a ring from the worker, if it has it, and tell the library where it stood. */
void dt_guest_stop_ring(struct dt_guest *guest, enum dt_ring ring, enum dt_stop stop, enum dt_cause cause);

/** The same for both rings. */
void dt_guest_stop_rings(struct dt_guest *guest, enum dt_stop stop, enum dt_cause cause);

/** Give the worker every ring that is ready, as the library has it now. */
void dt_guest_resume(struct dt_guest *guest);

/** Forget the memory table; no ring runs. */
void dt_guest_drop_memory(struct dt_guest *guest);

/** Copy the library's memory table. */
void dt_guest_take_memory(struct dt_guest *guest);

/** Read anew what was negotiated. */
void dt_guest_take_features(struct dt_guest *guest);

/* ---- hook.c ---- */

/** See every message of a connection before and after the library does. @return 0, -1 */
int dt_guest_hook(struct dt_guest *guest, int vid);

#endif
