/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_pause.h>

#include "counter.h"
#include "node.h"
#include "stage.h"

static struct dt_worker *workers[RTE_MAX_LCORE];
static unsigned int n_workers;
static struct rte_rcu_qsbr *qsbr;
static enum dt_idle idle;
static uint64_t pause_max; /* TSC cycles */
static uint64_t sample_max;

static void
worker_free(struct dt_worker *worker)
{
	dt_sleep_fini(worker);
	dt_mail_fini(worker);
	rte_free(worker);
}

static int
worker_new(unsigned int lcore, struct dt_worker **ret_worker)
{
	int node = (int)rte_lcore_to_socket_id(lcore), memory = dt_node_home(node);
	struct dt_worker *worker = rte_zmalloc_socket("dt_worker", sizeof(*worker), RTE_CACHE_LINE_SIZE, memory);
	int err;

	if (worker == NULL)
		return -ENOMEM;
	worker->lcore = lcore;
	worker->node = node;
	worker->epoll = -1;
	worker->memory = memory;
	err = dt_mail_init(worker);
	if (err == 0 && idle == DT_IDLE_SLEEP)
		err = dt_sleep_init(worker);
	if (err != 0) {
		worker_free(worker);
		return err;
	}
	*ret_worker = worker;
	return 0;
}

static int
qsbr_new(void)
{
	size_t size = rte_rcu_qsbr_get_memsize(RTE_MAX_LCORE);

	qsbr = rte_zmalloc("dt_qsbr", size, RTE_CACHE_LINE_SIZE);
	if (qsbr == NULL)
		return -ENOMEM;
	return rte_rcu_qsbr_init(qsbr, RTE_MAX_LCORE) == 0 ? 0 : -EINVAL;
}

int
dt_workers_init(enum dt_idle how)
{
	unsigned int lcore;
	int err = qsbr_new();

	idle = how;
	pause_max = rte_get_tsc_hz() * PAUSE_MAX_NS / 1000000000;
	sample_max = rte_get_tsc_hz() / 1000 * SAMPLE_MAX_MS;
	if (err != 0)
		goto fail;
	RTE_LCORE_FOREACH_WORKER(lcore)
	{
		err = worker_new(lcore, &workers[n_workers]);
		if (err != 0)
			goto fail;
		n_workers++;
	}
	if (n_workers > 0)
		return 0;
	err = -ENODEV;
fail:
	dt_workers_fini();
	return err;
}

/* To a worker alone; that it comes is all it does: the system call ends with EINTR. */
#define NUDGE SIGUSR2

static void
on_nudge(int sig)
{
	(void)sig;
}

void
dt_worker_nudge(struct dt_worker *worker)
{
	if (__atomic_load_n(&worker->alive, __ATOMIC_ACQUIRE) && __atomic_load_n(&worker->reachable, __ATOMIC_ACQUIRE))
		pthread_kill(worker->thread, NUDGE);
}

void
dt_workers_watch(void)
{
	for (unsigned int i = 0; i < n_workers; i++) {
		uint64_t rounds = dt_counter_read(&workers[i]->rounds);

		if (rounds == workers[i]->rounds_watched && !dt_worker_is_asleep(workers[i]))
			dt_worker_nudge(workers[i]);
		workers[i]->rounds_watched = rounds;
	}
}

/* Each look in vain makes the next one wait twice as long, up to the bound; one that found something, not at all. */
static inline void
back_off(struct dt_worker *worker, unsigned int moved)
{
	uint64_t until;

	if (moved > 0) {
		__atomic_store_n(&worker->pause, 0, __ATOMIC_RELAXED);
		return;
	}
	__atomic_store_n(&worker->pause, RTE_MIN(2 * worker->pause + pause_max / 64 + 1, pause_max), __ATOMIC_RELAXED);
	until = rte_rdtsc() + worker->pause;
	do
		rte_pause();
	while (rte_rdtsc() < until);
}

/* A round whose polls are timed. @return packets moved */
static __rte_noinline unsigned int
sample_round(const struct dt_worker *worker)
{
	unsigned int moved = 0;

	for (unsigned int i = 0; i < worker->n_polls; i++) {
		const struct poll *poll = &worker->polls[i];
		uint64_t then = rte_rdtsc();
		unsigned int n = poll->fn(poll->arg);
		uint64_t took = RTE_MIN(rte_rdtsc() - then, sample_max);

		if (n > 0 && worker->kinds[i]->cycles != NULL)
			dt_counter_add(worker->kinds[i]->cycles(poll->arg), DT_SAMPLE_EVERY * took);
		moved += n;
	}
	return moved;
}

/* The loop; one is made for each way to be idle, so that none pays for the others. */
static __rte_always_inline void
go_round(struct dt_worker *worker, const enum dt_idle how)
{
	uint64_t then = rte_rdtsc();
	unsigned int left = DT_SAMPLE_EVERY; /* rounds up to the next sample, it included */

	while (worker->running) {
		unsigned int moved = 0;
		uint64_t now;
		bool mail;

		if (unlikely(--left == 0)) {
			left = DT_SAMPLE_EVERY;
			moved = sample_round(worker);
		} else {
			for (unsigned int i = 0; i < worker->n_polls; i++)
				moved += worker->polls[i].fn(worker->polls[i].arg);
		}
		mail = !rte_ring_empty(worker->mail);
		if (unlikely(mail))
			dt_mail_run(worker);
		rte_rcu_qsbr_quiescent(qsbr, worker->lcore);
		if (how != DT_IDLE_POLL)
			back_off(worker, moved);
		now = rte_rdtsc();
		dt_counter_add(moved > 0 ? &worker->busy_cycles : &worker->idle_cycles, now - then);
		dt_counter_add(&worker->rounds, 1);
		dt_stage_round(moved > 0);
		then = now;
		if (how != DT_IDLE_SLEEP)
			continue;
		/* Mail, too: it may have told the worker to stop, and more of it often follows. */
		if (moved > 0 || mail)
			worker->awake_until = now + worker->awake_cycles;
		else if (unlikely(now >= worker->awake_until))
			then = dt_sleep(worker, now);
	}
}

static int
worker_main(void *arg)
{
	struct dt_worker *worker = arg;

	worker->thread = pthread_self();
	/* Pairs with the acquire in dt_worker_nudge(). */
	__atomic_store_n(&worker->reachable, true, __ATOMIC_RELEASE);

	rte_rcu_qsbr_thread_register(qsbr, worker->lcore);
	rte_rcu_qsbr_thread_online(qsbr, worker->lcore);
	switch (idle) {
	case DT_IDLE_POLL:
		go_round(worker, DT_IDLE_POLL);
		break;
	case DT_IDLE_PAUSE:
		go_round(worker, DT_IDLE_PAUSE);
		break;
	case DT_IDLE_SLEEP:
		go_round(worker, DT_IDLE_SLEEP);
		break;
	}
	rte_rcu_qsbr_thread_offline(qsbr, worker->lcore);
	rte_rcu_qsbr_thread_unregister(qsbr, worker->lcore);
	/* Pairs with the acquire in dt_worker_call(): from here on others run this worker's mail. */
	__atomic_store_n(&worker->alive, false, __ATOMIC_RELEASE);
	return 0;
}

int
dt_workers_start(void)
{
	struct sigaction nudge = { .sa_handler = on_nudge }; /* without SA_RESTART */

	sigaction(NUDGE, &nudge, NULL);
	for (unsigned int i = 0; i < n_workers; i++) {
		workers[i]->running = true;
		__atomic_store_n(&workers[i]->alive, true, __ATOMIC_RELEASE);
		if (rte_eal_remote_launch(worker_main, workers[i], workers[i]->lcore) != 0) {
			__atomic_store_n(&workers[i]->alive, false, __ATOMIC_RELEASE);
			return -EBUSY;
		}
	}
	return 0;
}

static void
stop_self(void *arg)
{
	struct dt_worker *worker = arg;

	worker->running = false;
}

void
dt_workers_stop(void)
{
	for (unsigned int i = 0; i < n_workers; i++) {
		if (!__atomic_load_n(&workers[i]->alive, __ATOMIC_ACQUIRE))
			continue;
		dt_worker_call(workers[i], stop_self, workers[i]);
		rte_eal_wait_lcore(workers[i]->lcore);
	}
}

void
dt_workers_fini(void)
{
	for (unsigned int i = 0; i < n_workers; i++) {
		worker_free(workers[i]);
		workers[i] = NULL;
	}
	n_workers = 0;
	rte_free(qsbr);
	qsbr = NULL;
}

unsigned int
dt_workers_count(void)
{
	return n_workers;
}

struct dt_worker *
dt_worker_at(unsigned int i)
{
	return workers[i];
}

unsigned int
dt_worker_lcore(const struct dt_worker *worker)
{
	return worker->lcore;
}

int
dt_worker_node(const struct dt_worker *worker)
{
	return worker->node;
}

int
dt_worker_memory(const struct dt_worker *worker)
{
	return worker->memory;
}

void
dt_workers_pass(void)
{
	for (unsigned int i = 0; i < n_workers; i++) {
		uint64_t start = dt_counter_read(&workers[i]->rounds);

		/*
		 * Two ends of rounds: the second of them began after this call. One that hangs is got out here: our
		 * caller may hold what keeps the main thread from watching.
		 */
		for (unsigned int looks = 1; __atomic_load_n(&workers[i]->alive, __ATOMIC_ACQUIRE) &&
					     dt_counter_read(&workers[i]->rounds) < start + 2;
			looks++) {
			dt_bell_ring(&workers[i]->bell);
			usleep(10);
			if (looks % 1024 == 0) /* some tens of milliseconds */
				dt_worker_nudge(workers[i]);
		}
	}
}

struct rte_rcu_qsbr *
dt_workers_qsbr(void)
{
	return qsbr;
}

enum dt_idle
dt_workers_idle(void)
{
	return idle;
}

uint64_t
dt_worker_rounds(const struct dt_worker *worker)
{
	return dt_counter_read(&worker->rounds);
}
