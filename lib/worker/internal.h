/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: what a worker is made of. */
#ifndef DT_WORKER_INTERNAL_H
#define DT_WORKER_INTERNAL_H

#include "worker.h"

#include <pthread.h>

#include <rte_common.h>
#include <rte_ring.h>

#include "compat.h"
#include "counter.h"

/*
 * So long a worker that pauses looks away at the most. With the shortest frames of 10 Gbit/s a NIC's shortest ring (64
 * descriptors) takes 4.3 us to fill, and with those of 100 Gbit/s the default one (1024) 6.9 us: none overflows.
 */
#define PAUSE_MAX_NS 4000

/*
 * A poll that is timed counts for so long at the most: more than the largest frames take that a visit may move. Else
 * something else has run meanwhile, and would count DT_SAMPLE_EVERY times.
 */
#define SAMPLE_MAX_MS 1

#define POLLS_MAX 4096 /* every port with as many queue pairs as it can have */

struct poll {
	unsigned int (*fn)(void *arg);
	void *arg;
};

struct dt_worker {
	/* set at start */
	unsigned int lcore;
	int node; /* of its CPU */
	int memory; /* where EAL has memory for it, -1: anywhere */
	struct rte_ring *mail; /* control threads put, the worker takes */
	int epoll; /* what wakes it; -1: it never sleeps */
	uint64_t awake_cycles; /* TSC: how long it goes on after the last packet */

	/* worker writes; control only by mail */
	unsigned int n_polls __rte_cache_aligned;
	struct poll polls[POLLS_MAX];
	const struct dt_polled *kinds[POLLS_MAX]; /* of the same; what each round does not need */
	uint8_t dozes[POLLS_MAX]; /* enum dt_doze: what each said last */

	/* the main thread's, of dt_workers_watch() */
	uint64_t rounds_watched;

	/* worker writes, anybody reads */
	pthread_t thread; /* valid while reachable and alive */
	bool reachable;
	uint64_t busy_cycles __rte_cache_aligned;
	uint64_t idle_cycles;
	uint64_t rounds;
	uint64_t pause; /* TSC cycles that it waited after the last round; 0: that one moved packets */
	uint64_t awake_until; /* TSC */
	uint64_t sleeps;
	uint64_t sleep_cycles;
	uint64_t asleep_since; /* TSC; 0: awake */
	bool waits; /* for whatever wakes it; not while it looks what nobody wakes it for */

	/* the worker wants it, others ring */
	struct dt_bell bell;

	/* control sets at start, the worker clears: by mail, and when it has left its loop */
	bool running __rte_cache_aligned;
	bool alive;
};

/** Interrupt what the worker waits for, if anything. Control threads. */
void dt_worker_nudge(struct dt_worker *worker);

/** Make what a worker needs to sleep. @return 0; -errno: no descriptors */
int dt_sleep_init(struct dt_worker *worker);
void dt_sleep_fini(struct dt_worker *worker);

/**
 * Sleep until there is something to do, if there is nothing.
 *
 * @param since  TSC: up to there all cycles have been counted
 * @return the same for the time after it
 * @note on the worker, where it holds nothing that others protect from it
 */
uint64_t dt_sleep(struct dt_worker *worker, uint64_t since);

/** Make the mailbox. @return 0; -ENOMEM */
int dt_mail_init(struct dt_worker *worker);
void dt_mail_fini(struct dt_worker *worker);

/** Run all mail that has come. On the worker, or on control once it stopped. */
void dt_mail_run(struct dt_worker *worker);

#endif
