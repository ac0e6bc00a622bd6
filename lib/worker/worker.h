/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A worker: an EAL lcore that polls things, and its mailbox.
 *
 * What a worker polls belongs to it: only functions that run on the worker touch it. Control threads change it by
 * mail, which the worker runs between two polls, and wait for the answer; a worker never waits for anybody.
 * Workers are made from EAL's lcores once at start (main thread), launched, and stopped.
 */
#ifndef DT_WORKER_H
#define DT_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_rcu_qsbr.h>

#include "bell.h"
#include "idle.h"

struct dt_worker;

/** What it takes until a thing that is polled can have something to do; the least comes first. */
enum dt_doze {
	DT_DOZE_NOT, /* nothing: it has */
	DT_DOZE_TIMED, /* some time: nobody says when, it has to be looked at */
	DT_DOZE_SELDOM, /* a device that has promised to wake the worker, and might forget that over a reset */
	DT_DOZE_WOKEN, /* somebody who wakes the worker */
};

/** A kind of things that workers poll. */
struct dt_polled {
	/** @return packets moved, 0 if there was nothing to do */
	unsigned int (*poll)(void *arg);

	/**
	 * The worker wants to sleep: have everybody who can bring something wake it from now on, and behind that look
	 * once more. Who puts things where the worker finds them rings its bell; that is wanted already.
	 * NULL: as if it had returned DT_DOZE_TIMED.
	 */
	enum dt_doze (*doze)(void *arg);

	/** After each doze, whatever that said: the worker polls again. NULL if doze is. */
	void (*rouse)(void *arg);

	/**
	 * Where the worker counts the cycles (TSC) of polls that move packets: those of one round in DT_SAMPLE_EVERY,
	 * times as many. NULL: nowhere.
	 */
	uint64_t *(*cycles)(void *arg);
};

/** A prime number, so that samples do not keep step with traffic that repeats itself. */
#define DT_SAMPLE_EVERY 61

/**
 * Make a worker of every EAL lcore but the main one; they do not run yet.
 *
 * @param idle  what they do while nothing they poll has anything to move
 * @return 0; -ENODEV: there is no lcore but the main one; -ENOMEM; -EMFILE, ...: no descriptors to be woken by
 */
int dt_workers_init(enum dt_idle idle);

/** Let all workers run. @return 0; -EBUSY: an lcore runs something else */
int dt_workers_start(void);

/** Stop all workers and wait for them; mail sent later runs in the sender's thread. */
void dt_workers_stop(void);

/** Free all workers; they are stopped. */
void dt_workers_fini(void);

unsigned int dt_workers_count(void);

/** @param i 0 to dt_workers_count() - 1 */
struct dt_worker *dt_worker_at(unsigned int i);

unsigned int dt_worker_lcore(const struct dt_worker *worker);

/** NUMA node of the worker's CPU, -1: unknown. */
int dt_worker_node(const struct dt_worker *worker);

/** Where to ask EAL for memory that @p worker will use: its node, -1: anywhere, since EAL has none there. */
int dt_worker_memory(const struct dt_worker *worker);

/**
 * Let @p worker poll @p arg from now on; returns when it does.
 * @return 0; -ENOSPC: it polls as many as it can
 * @note control threads
 */
int dt_worker_add(struct dt_worker *worker, const struct dt_polled *kind, void *arg);

/** The reverse; returns when the worker will not touch @p arg again. */
void dt_worker_remove(struct dt_worker *worker, const struct dt_polled *kind, void *arg);

/**
 * Let @p to poll @p arg instead of @p from, which polls it; returns when it does. None of @p from's polls is under way
 * any more when the first of @p to's begins, which sees all that they did: whatever is polled keeps its order.
 *
 * @param settle  runs in between, in this thread: nobody polls @p arg, and @p worker is about to. If that has no room,
 *                it runs once more for @p from
 * @return 0; -ENOSPC: @p to polls as many as it can, and @p from goes on
 * @note control threads
 */
int dt_worker_hand_over(struct dt_worker *from, struct dt_worker *to, const struct dt_polled *kind, void *arg,
	void (*settle)(void *self, struct dt_worker *worker), void *self);

/**
 * Let @p worker poll @p other instead of @p arg, in its place; returns when it will not touch @p arg again.
 *
 * @param copy  runs on the worker, which polls neither of the two meanwhile: make @p other what @p arg is by then
 * @note control threads
 */
void dt_worker_replace(struct dt_worker *worker, const struct dt_polled *kind, void *arg, void *other,
	void (*copy)(void *other, const void *arg));

/**
 * Run @p fn(@p arg) on @p worker between two polls and wait until it has returned.
 *
 * @note Any thread but a worker. May hold locks: a worker takes none. @p fn must be short.
 */
void dt_worker_call(struct dt_worker *worker, void (*fn)(void *arg), void *arg);

/** What to ring after something was put where only @p worker looks for it; NULL: it never sleeps. */
struct dt_bell *dt_worker_bell(struct dt_worker *worker);

/**
 * Wake @p worker whenever @p fd becomes readable, though nobody reads it. It must stay open until dt_worker_unlisten().
 *
 * @return 0, also if that is so already; -ENOTSUP: it never sleeps; -errno: it cannot be waited for
 * @note any thread
 */
int dt_worker_listen(struct dt_worker *worker, int fd);

/** The reverse. */
void dt_worker_unlisten(struct dt_worker *worker, int fd);

/**
 * Interrupt the system call, if it is in one, of any worker that has gone no round since the last time this was called,
 * and does not sleep. A peer can make a descriptor that it shares with us block. Main thread, some times a second.
 */
void dt_workers_watch(void);

/** Wait until each worker has begun and ended a round of polls after this call. Control threads. */
void dt_workers_pass(void);

/** The quiescent state of all workers, for structures that they read without locks. */
struct rte_rcu_qsbr *dt_workers_qsbr(void);

/** What all workers do while they find nothing. */
enum dt_idle dt_workers_idle(void);

/** Whether it waits for whatever wakes it, and polls nothing that could make it hang. Any thread. */
bool dt_worker_is_asleep(const struct dt_worker *worker);

/** Rounds that a worker went, with something to do or without. Any thread. */
uint64_t dt_worker_rounds(const struct dt_worker *worker);

/** Where a worker's time has gone, in TSC cycles. */
struct dt_worker_times {
	uint64_t busy; /* rounds that moved packets */
	uint64_t idle; /* those that found none, and sleeps, also one that still lasts */
	uint64_t asleep; /* the sleeps alone */
	uint64_t n_sleeps;
};

/** Any thread. */
void dt_worker_times(const struct dt_worker *worker, struct dt_worker_times *ret_times);

#endif
