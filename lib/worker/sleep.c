/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a worker falls asleep and is woken (idle=sleep). Nothing may come in between unseen, so the order is always the
 * same: all who can bring something are asked to wake the worker, each by its own means, then each thing is looked at
 * once more behind a full barrier, and only then does the worker wait:
 *
 * - mail and lanes: the bell is wanted, barrier, look at the ring. Senders put something there, barrier, look at the
 *   bell.
 * - a guest's rings: kicks are asked for, barrier, look at the ring. Drivers make a chain available, barrier, look
 *   whether a kick is asked for.
 * - a NIC: its interrupt is enabled, barrier, and it is polled.
 *
 * Whatever wakes the worker ends up in one epoll set, by edges: a stroke, kick or interrupt that comes before the
 * worker waits is kept there, and nobody has to read descriptors.
 */
#include "internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_cycles.h>

/*
 * A worker that found nothing for so long sleeps: as long as KVM at the most polls before it halts a virtual CPU. What
 * answers to what was just moved comes earlier, and does not pay for a sleep.
 */
#define AWAKE_US 200

/*
 * What nobody wakes it for, a sleeping worker looks at so often: the first packet after a rest waits so long at the
 * most, and the looks take a hundredth of a core. A NIC's ring has to hold what comes meanwhile.
 */
#define LOOK_MS 2

/* And at a device that promised to wake it, as often as control looks at things. */
#define SELDOM_MS 100

#define EVENTS_MAX 64 /* taken at once */

int
dt_sleep_init(struct dt_worker *worker)
{
	int err = dt_bell_init(&worker->bell);

	if (err != 0)
		return err;
	worker->awake_cycles = rte_get_tsc_hz() / 1000000 * AWAKE_US;
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll < 0)
		return -errno;
	return dt_worker_listen(worker, worker->bell.fd);
}

void
dt_sleep_fini(struct dt_worker *worker)
{
	if (worker->epoll >= 0)
		close(worker->epoll);
	worker->epoll = -1;
	dt_bell_fini(&worker->bell);
}

struct dt_bell *
dt_worker_bell(struct dt_worker *worker)
{
	return worker->epoll >= 0 ? &worker->bell : NULL;
}

int
dt_worker_listen(struct dt_worker *worker, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	if (worker->epoll < 0)
		return -ENOTSUP;
	/* All queues of a NIC may share one descriptor. */
	return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST ? 0 : -errno;
}

void
dt_worker_unlisten(struct dt_worker *worker, int fd)
{
	epoll_ctl(worker->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* The bell, and the first @p n of what is polled. */
static void
rouse(struct dt_worker *worker, unsigned int n)
{
	dt_bell_unwant(&worker->bell);
	for (unsigned int i = 0; i < n; i++)
		if (worker->kinds[i]->rouse != NULL)
			worker->kinds[i]->rouse(worker->polls[i].arg);
}

/* @return DT_DOZE_NOT, and nobody is asked to wake the worker; else what it takes until something can be done */
static enum dt_doze
doze(struct dt_worker *worker)
{
	enum dt_doze all = DT_DOZE_WOKEN;

	dt_bell_want(&worker->bell);
	for (unsigned int i = 0; i < worker->n_polls; i++) {
		const struct dt_polled *kind = worker->kinds[i];
		enum dt_doze one = kind->doze != NULL ? kind->doze(worker->polls[i].arg) : DT_DOZE_TIMED;

		worker->dozes[i] = (uint8_t)one;
		all = RTE_MIN(all, one);
		if (all == DT_DOZE_NOT) {
			rouse(worker, i + 1);
			return DT_DOZE_NOT;
		}
	}
	if (!rte_ring_empty(worker->mail)) {
		rouse(worker, worker->n_polls);
		return DT_DOZE_NOT;
	}
	return all;
}

/* Wait; nothing that others protect from workers is looked at meanwhile. @return what epoll_wait() does */
static int
wait_for_any(struct dt_worker *worker, int timeout_ms)
{
	struct rte_rcu_qsbr *qsbr = dt_workers_qsbr();
	struct epoll_event events[EVENTS_MAX];
	int n;

	rte_rcu_qsbr_thread_offline(qsbr, worker->lcore);
	__atomic_store_n(&worker->waits, true, __ATOMIC_RELEASE);
	n = epoll_wait(worker->epoll, events, EVENTS_MAX, timeout_ms);
	__atomic_store_n(&worker->waits, false, __ATOMIC_RELEASE);
	rte_rcu_qsbr_thread_online(qsbr, worker->lcore);
	return n;
}

/*
 * Poll what does not wake the worker by itself. All else goes on to wake it meanwhile: there is no gap in which
 * anything could come unseen. @return packets moved
 */
static unsigned int
look(struct dt_worker *worker)
{
	unsigned int moved = 0;

	for (unsigned int i = 0; i < worker->n_polls; i++)
		if (worker->dozes[i] != DT_DOZE_WOKEN)
			moved += worker->polls[i].fn(worker->polls[i].arg);
	dt_counter_add(&worker->rounds, 1);
	return moved;
}

static void
sleep_until_woken(struct dt_worker *worker, enum dt_doze how)
{
	static const int timeout_ms[] = {
		[DT_DOZE_TIMED] = LOOK_MS,
		[DT_DOZE_SELDOM] = SELDOM_MS,
		[DT_DOZE_WOKEN] = -1,
	};

	while (wait_for_any(worker, timeout_ms[how]) == 0)
		if (look(worker) > 0)
			break;
}

/* `asleep_since` while what was slept is being added to the counters. */
#define BEING_COUNTED 1

static void
note_sleep(struct dt_worker *worker, uint64_t now)
{
	dt_counter_add(&worker->sleeps, 1);
	/* Pairs with the acquire in dt_worker_times(). */
	__atomic_store_n(&worker->asleep_since, now, __ATOMIC_RELEASE);
}

/* @return now */
static uint64_t
note_waking(struct dt_worker *worker)
{
	uint64_t since = worker->asleep_since, now;

	__atomic_store_n(&worker->asleep_since, BEING_COUNTED, __ATOMIC_RELAXED);
	/* Behind a barrier that pairs with that in dt_worker_times(): who takes the sleep to last read it before. */
	now = rte_rdtsc_precise();
	dt_counter_add(&worker->sleep_cycles, now - since);
	dt_counter_add(&worker->idle_cycles, now - since);
	/* Pairs with the acquire there. */
	__atomic_store_n(&worker->asleep_since, 0, __ATOMIC_RELEASE);
	return now;
}

uint64_t
dt_sleep(struct dt_worker *worker, uint64_t since)
{
	enum dt_doze how = doze(worker);
	uint64_t now = rte_rdtsc();

	dt_counter_add(&worker->idle_cycles, now - since);
	if (how != DT_DOZE_NOT) {
		note_sleep(worker, now);
		sleep_until_woken(worker, how);
		now = note_waking(worker);
		rouse(worker, worker->n_polls);
	}
	worker->awake_until = now + worker->awake_cycles;
	return now;
}

bool
dt_worker_is_asleep(const struct dt_worker *worker)
{
	return __atomic_load_n(&worker->waits, __ATOMIC_ACQUIRE);
}

void
dt_worker_times(const struct dt_worker *worker, struct dt_worker_times *ret_times)
{
	struct dt_worker_times times;
	uint64_t since, now, lasting;

	do {
		since = __atomic_load_n(&worker->asleep_since, __ATOMIC_ACQUIRE);
		times = (struct dt_worker_times){
			.busy = dt_counter_read(&worker->busy_cycles),
			.idle = dt_counter_read(&worker->idle_cycles),
			.asleep = dt_counter_read(&worker->sleep_cycles),
			.n_sleeps = dt_counter_read(&worker->sleeps),
		};
		now = rte_rdtsc();
		/*
		 * Who has seen the counters change sees why. Pairs with the barrier in note_waking(); both order
		 * looks at the clock, too.
		 */
		rte_mb();
	} while (since == BEING_COUNTED || since != __atomic_load_n(&worker->asleep_since, __ATOMIC_RELAXED));
	lasting = since != 0 && now > since ? now - since : 0;
	times.idle += lasting;
	times.asleep += lasting;
	*ret_times = times;
}
