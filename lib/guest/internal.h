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

#include "fit.h"
#include "log.h"
#include "node.h"
#include "pair.h"
#include "position.h"
#include "spread.h"
#include "turn.h"

struct dt_gmem;
struct dt_message;
struct rte_vhost_device_ops;

#define DT_RINGS_MAX (DT_RINGS * DT_CONF_QUEUES_MAX)

/* A ring as control sees it; by its number in the protocol: pair i has rings 2i (to_guest) and 2i + 1 (from_guest). */
struct dt_guest_ring {
	uint16_t base; /* of the available ring: where it stopped, or SET_VRING_BASE says */
	bool ready; /* the library says it is complete and enabled */
	bool lingers; /* from_guest: disabled, and still emptied of what the driver had queued before it knew */
	bool on; /* the worker has it */
	bool told; /* that it broke */
	/* see doubt.c */
	bool was_used; /* the driver has put something in it since it was started */
	bool listened; /* to its first kick */
	int kickfd; /* ours while the ring is on, 0: none that can be listened to */
};

/* A queue pair as control sees it. */
struct dt_guest_pair {
	struct dt_pair *pair; /* the worker's */
	struct dt_worker *worker;
	bool joined; /* packets for the guest are spread over it, among others */
	void (*gone)(void *arg);
	void *gone_arg;
};

struct dt_guest {
	/* set when made */
	const struct dt_conf_guest *conf;
	unsigned int n_pairs;
	unsigned int n_rings;

	/* control writes, workers read */
	struct dt_pair *lanes[DT_CONF_QUEUES_MAX]; /* the pairs, for dt_guest_lane_now() */
	struct dt_spread spread;
	struct dt_fit fit; /* what the guest takes undone */

	/* set when made */
	struct dt_guest_place place;
	struct dt_positions *positions; /* NULL: they are not kept */

	pthread_mutex_t lock; /* guards all that follows, but for what workers count in turn */
	struct dt_turn turn;
	unsigned int n_joined; /* pairs, as packets are spread now */
	uint64_t impatient_until; /* TSC: the guest has let control wait in vain lately */
	struct dt_guest_pair pairs[DT_CONF_QUEUES_MAX];
	bool registered; /* librte_vhost knows the socket */
	bool stopping; /* dptap lets go; nothing starts any more */
	int vid; /* connection, -1: none */
	int fd; /* of that connection, the library's; -1: unknown */
	uint32_t connections;
	uint64_t features;
	struct dt_gmem *mem; /* NULL: none, or it is being changed */
	int memory_node; /* as the last memory table was found, -1: unknown */
	int placed_node; /* for which the pairs were given to workers */
	bool frozen; /* a change of memory or rings began and has not succeeded yet */
	uint32_t request; /* the message that is being handled, or was last */
	uint32_t new_base_ring; /* of SET_VRING_BASE, until it has succeeded */
	uint16_t new_base;
	bool vanished; /* memory went while the library looked at it */
	uint16_t mtu; /* that the front end has told, bytes; 0: none */
	uint16_t new_mtu; /* of NET_SET_MTU, until it has succeeded */
	bool told_running; /* that the rings run, and with which features */
	bool doubted; /* that its memory is shared, in this connection */
	struct dt_gmem *log; /* the migration log's mapping, for faults; NULL: there is none */
	uint8_t *log_base;
	uint64_t log_size; /* bytes */
	bool log_told; /* that it vanished */
	uint64_t announce_until; /* TSC end of the period in which so many announcements were made: */
	unsigned int n_announced;
	struct dt_guest_ring ring[DT_RINGS_MAX];
	uint64_t say_until; /* TSC end of the period in which so many lines were said: */
	unsigned int n_news;
	unsigned int n_faults;
};

/** The lane of pair @p i, wherever that is now: it stays there until the worker's next round. Any worker. */
static inline struct dt_lane *
dt_guest_lane_now(const struct dt_guest *guest, unsigned int i)
{
	/* Pairs with the release in follow.c: the lane is all that it became. */
	return &__atomic_load_n(&guest->lanes[i], __ATOMIC_ACQUIRE)->lane;
}

#define GUEST_SAY(guest, level, fmt, ...)                                                                              \
	do {                                                                                                           \
		if (dt_guest_may_say(guest, RTE_LOG_##level))                                                          \
			DT_LOG(level, "guest '%s': " fmt, (guest)->conf->name, ##__VA_ARGS__);                         \
	} while (0)

/** A peer must not fill the log: some lines a period for each guest, faults apart from news. */
bool dt_guest_may_say(struct dt_guest *guest, uint32_t level);

/* ---- features.c ---- */

/** The features that a guest is offered: those that the ring code does, without what is off in its configuration. */
uint64_t dt_guest_features(const struct dt_conf_guest *conf);

/** The features of the protocol that its front end is offered. */
uint64_t dt_guest_protocol_features(void);

/** Read anew what was negotiated, and make packets fit it from now on. With the lock held. */
void dt_guest_take_features(struct dt_guest *guest);

/** Whether feature @p bit was negotiated. With the lock held. */
bool dt_guest_has(const struct dt_guest *guest, unsigned int bit);

/** Tell what the guest runs with. With the lock held. */
void dt_guest_say_running(struct dt_guest *guest);

/* ---- session.c ---- */

/** Let connections find the guest, or no longer. Main thread, before start and after stop. @return 0; -ENOSPC */
int dt_guest_enlist(struct dt_guest *guest);
void dt_guest_delist(struct dt_guest *guest);

/** The guest of a connection, NULL: none of ours. Thread of librte_vhost. */
struct dt_guest *dt_guest_by_vid(int vid);

/** The connection @p vid is not that guest's any more. */
void dt_guest_forget_vid(struct dt_guest *guest, int vid);

/** What the library calls. */
extern const struct rte_vhost_device_ops dt_guest_callbacks;

/* ---- connection.c; with the lock held ---- */

/** Take a ring from the worker, if it has it, and tell the library where it stood. */
void dt_guest_stop_ring(struct dt_guest *guest, unsigned int ring, enum dt_stop stop, enum dt_cause cause);

/** The same for all rings. */
void dt_guest_stop_rings(struct dt_guest *guest, enum dt_stop stop, enum dt_cause cause);

/**
 * The front end is about to disable a ring. What waits for the guest behind a receive queue is delivered first, if the
 * guest takes it soon and others serve it from then on; a transmit queue is emptied until it is stopped.
 */
void dt_guest_disable_ring(struct dt_guest *guest, unsigned int ring);

/** Give the workers every ring that is ready, as the library has it now. */
void dt_guest_resume(struct dt_guest *guest);

/** Spread packets over receive queues that run and that the driver has begun to fill, too. Also now and then. */
void dt_guest_join(struct dt_guest *guest);

/* ---- move.c; with the lock held ---- */

/** Let another worker poll queue pair @p i. @return 0; -ENOSPC: it has no room */
int dt_guest_hand_over(struct dt_guest *guest, unsigned int i, struct dt_worker *to);

/** Have it known that a worker polls a pair that @p from polled before, NULL: nobody. */
void dt_guest_say_moved(const struct dt_guest *guest, struct dt_worker *from, struct dt_worker *to);

/* ---- wake.c; with the lock held ---- */

/** A ring is about to start, @p fd is what its driver kicks, -1: nothing. What wakes the worker is a duplicate. */
void dt_guest_take_kicks(struct dt_guest *guest, unsigned int ring, int fd);

/** It has stopped. */
void dt_guest_drop_kicks(struct dt_guest *guest, unsigned int ring);

/** Have all that comes for queue pair @p i wake its worker, which does not poll it yet. */
void dt_guest_attach(struct dt_guest *guest, unsigned int i);

/** The reverse, for a worker that does not poll it any more; but whom senders ring for stays. */
void dt_guest_detach(struct dt_guest *guest, unsigned int i);

/** Say of which rings that run the worker is not woken, though it sleeps. */
void dt_guest_say_unkicked(struct dt_guest *guest);

/* ---- memory.c; with the lock held ---- */

/** Forget the memory table; no ring runs. */
void dt_guest_drop_memory(struct dt_guest *guest);

/** Copy the library's memory table. */
void dt_guest_take_memory(struct dt_guest *guest);

/** Where a sample of the guest's memory lies; nothing if it has none now. */
void dt_guest_sample_memory(const struct dt_guest *guest, struct dt_node_sample *ret_sample);

/* ---- follow.c; with the lock held ---- */

/**
 * Have queue pair @p i, with its lane, in memory of its worker's node, if nobody needs it where it is: neither of its
 * rings runs and its lane is closed. Else all stays as it is, until this is called again.
 */
void dt_guest_follow(struct dt_guest *guest, unsigned int i);

/* ---- log.c; with the lock held ---- */

/** Judge SET_LOG_BASE before the library maps what it brings. @return whether to refuse it; that is told */
bool dt_guest_log_is_bad(struct dt_guest *guest, const struct dt_message *msg, const int fds[], int n_fds);

/** Whether there is a log that does not cover memory up to guest-physical @p end; that is told. */
bool dt_guest_log_is_short(struct dt_guest *guest, uint64_t end);

/** Forget the log, before the library unmaps it; no ring runs. */
void dt_guest_drop_log(struct dt_guest *guest);

/** Use the log that the library has now, if any. */
void dt_guest_take_log(struct dt_guest *guest);

/** Say if the log has vanished. Now and then. */
void dt_guest_watch_log(struct dt_guest *guest);

/* ---- announce.c; with the lock held ---- */

/** Send a RARP packet as if the guest did, whose address @p mac is; not too many. */
void dt_guest_announce(struct dt_guest *guest, const uint8_t mac[static RTE_ETHER_ADDR_LEN]);

/* ---- doubt.c; with the lock held ---- */

/** Say if the guest's memory does not seem to be shared with us, once a connection. Now and then. */
void dt_guest_doubt(struct dt_guest *guest);

/* ---- hook.c ---- */

/** See every message of a connection before and after the library does. @return 0, -1 */
int dt_guest_hook(struct dt_guest *guest, int vid);

#endif
