/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_pause.h>

#include "log.h"

#define MAILBOX_SIZE 64

/* Lies on the sender's stack until it is done. */
struct mail {
	void (*fn)(void *arg);
	void *arg;
	bool done;
};

/* Orders a mail against the end of the worker that would have run it. */
static pthread_mutex_t stopped_lock = PTHREAD_MUTEX_INITIALIZER;

/* One thing is added at a time: what a worker gives away can come back to it. */
static pthread_mutex_t add_lock = PTHREAD_MUTEX_INITIALIZER;

int
dt_mail_init(struct dt_worker *worker)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "dt_mail_%u", worker->lcore);
	worker->mail = rte_ring_create(name, MAILBOX_SIZE, worker->memory, RING_F_SC_DEQ);
	return worker->mail == NULL ? -rte_errno : 0;
}

void
dt_mail_fini(struct dt_worker *worker)
{
	rte_ring_free(worker->mail);
}

void
dt_mail_run(struct dt_worker *worker)
{
	struct mail *mail;

	while (rte_ring_sc_dequeue(worker->mail, (void **)&mail) == 0) {
		mail->fn(mail->arg);
		/* Pairs with the acquire in dt_worker_call(): what fn did is seen before done is. */
		__atomic_store_n(&mail->done, true, __ATOMIC_RELEASE);
	}
}

/* A worker that has left its loop takes no mail any more: the sender runs it, one at a time. */
static void
run_for_stopped(struct dt_worker *worker)
{
	pthread_mutex_lock(&stopped_lock);
	dt_mail_run(worker);
	pthread_mutex_unlock(&stopped_lock);
}

void
dt_worker_call(struct dt_worker *worker, void (*fn)(void *arg), void *arg)
{
	struct mail mail = { .fn = fn, .arg = arg };
	uint64_t warn_at = rte_get_timer_cycles() + 5 * rte_get_timer_hz();
	unsigned int spins = 0;

	while (rte_ring_mp_enqueue(worker->mail, &mail) != 0)
		usleep(10);
	dt_bell_ring(&worker->bell);
	while (!__atomic_load_n(&mail.done, __ATOMIC_ACQUIRE)) {
		if (!__atomic_load_n(&worker->alive, __ATOMIC_ACQUIRE)) {
			run_for_stopped(worker);
			continue;
		}
		/* The worker answers within a round, unless its CPU runs something else: then let it. */
		if (++spins < 200)
			rte_pause();
		else
			usleep(10);
		if (spins % 4096 == 0) /* some tens of milliseconds */
			dt_worker_nudge(worker);
		if (warn_at != 0 && rte_get_timer_cycles() > warn_at) {
			warn_at = 0;
			DT_LOG(ERR, "worker on lcore %u: has not answered for 5 s; is its CPU taken by something else?",
				worker->lcore);
		}
	}
}

struct change {
	struct dt_worker *worker;
	const struct dt_polled *kind;
	void *arg;
	void *other; /* in place of arg */
	void (*copy)(void *other, const void *arg);
	int result;
};

/* @return what the change is about, NULL: the worker does not poll it */
static struct poll *
find_poll(const struct change *change)
{
	struct dt_worker *worker = change->worker;

	for (unsigned int i = 0; i < worker->n_polls; i++)
		if (worker->kinds[i] == change->kind && worker->polls[i].arg == change->arg)
			return &worker->polls[i];
	return NULL;
}

static void
add_poll(void *arg)
{
	struct change *change = arg;
	struct dt_worker *worker = change->worker;

	if (worker->n_polls == POLLS_MAX) {
		change->result = -ENOSPC;
		return;
	}
	worker->polls[worker->n_polls] = (struct poll){ .fn = change->kind->poll, .arg = change->arg };
	worker->kinds[worker->n_polls++] = change->kind;
}

static void
remove_poll(void *arg)
{
	struct change *change = arg;
	struct dt_worker *worker = change->worker;
	struct poll *poll = find_poll(change);

	if (poll == NULL)
		return;
	*poll = worker->polls[--worker->n_polls];
	worker->kinds[poll - worker->polls] = worker->kinds[worker->n_polls];
}

static void
replace_poll(void *arg)
{
	struct change *change = arg;
	struct poll *poll = find_poll(change);

	change->copy(change->other, change->arg);
	if (poll != NULL)
		poll->arg = change->other;
}

static int
add(struct dt_worker *worker, const struct dt_polled *kind, void *arg)
{
	struct change change = { .worker = worker, .kind = kind, .arg = arg };

	dt_worker_call(worker, add_poll, &change);
	return change.result;
}

int
dt_worker_add(struct dt_worker *worker, const struct dt_polled *kind, void *arg)
{
	int err;

	pthread_mutex_lock(&add_lock);
	err = add(worker, kind, arg);
	pthread_mutex_unlock(&add_lock);
	return err;
}

void
dt_worker_remove(struct dt_worker *worker, const struct dt_polled *kind, void *arg)
{
	struct change change = { .worker = worker, .kind = kind, .arg = arg };

	dt_worker_call(worker, remove_poll, &change);
}

int
dt_worker_hand_over(struct dt_worker *from, struct dt_worker *to, const struct dt_polled *kind, void *arg,
	void (*settle)(void *self, struct dt_worker *worker), void *self)
{
	int err;

	pthread_mutex_lock(&add_lock);
	dt_worker_remove(from, kind, arg);
	/* All that `from` did is seen here, and all that is done here by the next one: each mail orders it. */
	settle(self, to);
	err = add(to, kind, arg);
	if (err != 0) {
		settle(self, from);
		add(from, kind, arg); /* into its place, which nobody else can have taken */
	}
	pthread_mutex_unlock(&add_lock);
	return err;
}

void
dt_worker_replace(struct dt_worker *worker, const struct dt_polled *kind, void *arg, void *other,
	void (*copy)(void *other, const void *arg))
{
	struct change change = { .worker = worker, .kind = kind, .arg = arg, .other = other, .copy = copy };

	dt_worker_call(worker, replace_poll, &change);
}
