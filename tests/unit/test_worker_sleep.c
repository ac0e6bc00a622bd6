/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker that has nothing to do sleeps, and is awake again for whatever may come, however and whenever that comes. */
#include "testing.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_pause.h>

#include "eal.h"
#include "worker.h"
#include "worker/internal.h"

#define DEADLINE_US 60000000

static struct dt_worker *worker;

/* Something to poll where others put presents, ringing or not. */
struct box {
	enum dt_doze says; /* what it takes */
	unsigned int presents; /* that lie in it */
	unsigned int taken;
	unsigned int n_polls;
	unsigned int n_dozes;
	unsigned int n_rouses;
};

static unsigned int
poll_box(void *arg)
{
	struct box *box = arg;
	unsigned int n = __atomic_exchange_n(&box->presents, 0, __ATOMIC_ACQUIRE);

	__atomic_fetch_add(&box->n_polls, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&box->taken, n, __ATOMIC_RELEASE);
	return n;
}

static enum dt_doze
doze_at_box(void *arg)
{
	struct box *box = arg;

	__atomic_fetch_add(&box->n_dozes, 1, __ATOMIC_RELAXED);
	return __atomic_load_n(&box->presents, __ATOMIC_RELAXED) > 0 ? DT_DOZE_NOT : box->says;
}

static void
rouse_box(void *arg)
{
	struct box *box = arg;

	__atomic_fetch_add(&box->n_rouses, 1, __ATOMIC_RELAXED);
}

static const struct dt_polled boxes = { .poll = poll_box, .doze = doze_at_box, .rouse = rouse_box };
static const struct dt_polled boxes_that_cannot = { .poll = poll_box };

static unsigned int
now_is(const unsigned int *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void
put(struct box *box)
{
	__atomic_fetch_add(&box->presents, 1, __ATOMIC_RELEASE);
}

static uint64_t
sleeps(void)
{
	struct dt_worker_times times;

	dt_worker_times(worker, &times);
	return times.n_sleeps;
}

static bool
is_asleep(void)
{
	return dt_worker_is_asleep(worker);
}

static void
wait_for_sleep(void)
{
	for (unsigned int us = 0; !is_asleep(); us += 50) {
		assert_true(us < DEADLINE_US);
		usleep(50);
	}
}

static void
wait_for_count(const unsigned int *counter, unsigned int n)
{
	for (unsigned int us = 0; us < DEADLINE_US && now_is(counter) < n; us += 50)
		usleep(50);
	assert_true(now_is(counter) >= n);
}

static int
start(void **state)
{
	assert_int_equal(dt_workers_init(DT_IDLE_SLEEP), 0);
	worker = dt_worker_at(0);
	assert_int_equal(dt_workers_start(), 0);
	return 0;
}

static int
stop(void **state)
{
	dt_workers_stop();
	dt_workers_fini();
	return 0;
}

static void
count(void *arg)
{
	++*(unsigned int *)arg;
}

static void
a_worker_with_nothing_to_poll_sleeps(void **state)
{
	struct dt_worker_times times;

	assert_int_equal(dt_workers_idle(), DT_IDLE_SLEEP);
	assert_non_null(dt_worker_bell(worker));
	wait_for_sleep();

	dt_worker_times(worker, &times);
	assert_int_equal(times.busy, 0);
	assert_int_equal(times.n_sleeps, 1);
	assert_true(times.asleep > 0);
	assert_true(times.idle > times.asleep);
}

static void
read_on(struct dt_worker_times *times)
{
	struct dt_worker_times last = *times;

	dt_worker_times(worker, times);
	assert_true(times->idle >= last.idle);
	assert_true(times->asleep >= last.asleep);
}

static void
a_sleep_counts_while_it_lasts_and_once(void **state)
{
	struct dt_worker_times times = { 0 };
	uint64_t began = rte_rdtsc(), before;
	unsigned int n = 0;

	wait_for_sleep(); /* from here on all idle cycles are later ones */
	read_on(&times);
	before = times.idle;
	while (n < 200) {
		uint64_t asleep = times.asleep;

		if (is_asleep()) {
			while (times.asleep == asleep)
				read_on(&times);
			dt_bell_ring(dt_worker_bell(worker));
			n++;
		}
		read_on(&times); /* while it wakes, counts and falls asleep again, too */
	}

	assert_true(times.idle - before <= rte_rdtsc() - began);
}

static void
mail_wakes_it(void **state)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < 10; i++) {
		wait_for_sleep();
		dt_worker_call(worker, count, &n);
	}

	assert_int_equal(n, 10);
}

static void
a_pass_wakes_it_for_whole_rounds(void **state)
{
	struct box box = { .says = DT_DOZE_WOKEN };

	assert_int_equal(dt_worker_add(worker, &boxes, &box), 0);
	for (unsigned int i = 0; i < 10; i++) {
		unsigned int before;

		wait_for_sleep();
		before = now_is(&box.n_polls);
		dt_workers_pass();
		assert_true(now_is(&box.n_polls) > before);
	}
	dt_worker_remove(worker, &boxes, &box);
}

static void
it_polls_nothing_while_it_sleeps(void **state)
{
	struct box box = { .says = DT_DOZE_WOKEN };
	unsigned int before;

	assert_int_equal(dt_worker_add(worker, &boxes, &box), 0);
	wait_for_sleep();
	before = now_is(&box.n_polls);
	put(&box); /* and ring no bell */
	usleep(20000);

	assert_int_equal(now_is(&box.n_polls), before);
	assert_int_equal(now_is(&box.taken), 0);
	dt_bell_ring(dt_worker_bell(worker));
	wait_for_count(&box.taken, 1);
	dt_worker_remove(worker, &boxes, &box);
}

static void
what_nobody_tells_of_is_looked_at_all_the_same(void **state)
{
	struct box timed = { .says = DT_DOZE_TIMED }, seldom = { .says = DT_DOZE_SELDOM }, cannot = { 0 };
	struct box *const each[] = { &timed, &seldom, &cannot };
	const struct dt_polled *const kinds[] = { &boxes, &boxes, &boxes_that_cannot };

	for (unsigned int i = 0; i < RTE_DIM(each); i++) {
		assert_int_equal(dt_worker_add(worker, kinds[i], each[i]), 0);
		wait_for_sleep();
		put(each[i]);
		wait_for_count(&each[i]->taken, 1);
		dt_worker_remove(worker, kinds[i], each[i]);
	}
}

static void
a_look_at_what_nobody_tells_of_leaves_the_others_alone(void **state)
{
	struct box timed = { .says = DT_DOZE_TIMED }, told = { .says = DT_DOZE_WOKEN };
	unsigned int before;

	assert_int_equal(dt_worker_add(worker, &boxes, &timed), 0);
	assert_int_equal(dt_worker_add(worker, &boxes, &told), 0);
	wait_for_sleep();
	before = now_is(&told.n_polls);
	wait_for_count(&timed.n_polls, now_is(&timed.n_polls) + 5);

	assert_int_equal(now_is(&told.n_polls), before);
	dt_worker_remove(worker, &boxes, &timed);
	dt_worker_remove(worker, &boxes, &told);
}

static void
who_has_something_to_do_is_not_let_asleep(void **state)
{
	struct box busy = { .says = DT_DOZE_NOT }, other = { .says = DT_DOZE_WOKEN };
	uint64_t before;

	assert_int_equal(dt_worker_add(worker, &boxes, &other), 0);
	assert_int_equal(dt_worker_add(worker, &boxes, &busy), 0);
	before = sleeps();
	wait_for_count(&busy.n_dozes, 3);

	assert_int_equal(sleeps(), before);
	dt_worker_remove(worker, &boxes, &busy);
	dt_worker_remove(worker, &boxes, &other);
	/* whoever was asked to wake it was told that it is not needed */
	assert_int_equal(other.n_rouses, other.n_dozes);
	assert_int_equal(busy.n_rouses, busy.n_dozes);
}

static void
a_descriptor_wakes_it_at_each_stroke_though_nobody_reads_it(void **state)
{
	struct box box = { .says = DT_DOZE_WOKEN };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(dt_worker_add(worker, &boxes, &box), 0);
	assert_int_equal(dt_worker_listen(worker, fd), 0);
	assert_int_equal(dt_worker_listen(worker, fd), 0);
	for (unsigned int i = 1; i <= 10; i++) {
		wait_for_sleep();
		put(&box);
		assert_int_equal(eventfd_write(fd, 1), 0);
		wait_for_count(&box.taken, i);
		dt_workers_pass(); /* it is awake */
	}

	dt_worker_unlisten(worker, fd);
	wait_for_sleep();
	put(&box);
	assert_int_equal(eventfd_write(fd, 1), 0);
	usleep(20000);
	assert_int_equal(now_is(&box.taken), 10);
	dt_worker_remove(worker, &boxes, &box);
	close(fd);
}

static void
a_sleeper_does_not_keep_others_from_freeing_what_all_let_go_of(void **state)
{
	struct rte_rcu_qsbr *qsbr = dt_workers_qsbr();
	uint64_t token;

	wait_for_sleep();
	token = rte_rcu_qsbr_start(qsbr);

	assert_int_equal(rte_rcu_qsbr_check(qsbr, token, true), 1);
	assert_true(is_asleep());
}

static void
one_asleep_is_not_taken_for_one_that_hangs(void **state)
{
	uint64_t before;

	wait_for_sleep();
	before = sleeps();
	for (unsigned int i = 0; i < 10; i++) {
		dt_workers_watch();
		usleep(1000);
	}

	assert_int_equal(sleeps(), before);
	assert_true(is_asleep());
}

static void
it_stops_in_its_sleep_and_runs_again(void **state)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < 3; i++) {
		wait_for_sleep();
		dt_workers_stop();
		assert_false(is_asleep());
		assert_int_equal(dt_workers_start(), 0);
		dt_worker_call(worker, count, &n);
	}

	assert_int_equal(n, 3);
}

/* Each round lasts longer than it stays awake. */
static unsigned int
poll_slowly(void *arg)
{
	uint64_t end = rte_rdtsc() + 2 * worker->awake_cycles;

	while (rte_rdtsc() < end)
		rte_pause();
	return 0;
}

static enum dt_doze
doze_soundly(void *arg)
{
	return DT_DOZE_WOKEN;
}

static void
it_stops_though_it_was_about_to_fall_asleep(void **state)
{
	static const struct dt_polled slow = { .poll = poll_slowly, .doze = doze_soundly };
	unsigned int n = 0;

	assert_int_equal(dt_worker_add(worker, &slow, NULL), 0);
	for (unsigned int i = 0; i < 20; i++) {
		dt_worker_call(worker, count, &n);
		dt_workers_stop();
		assert_int_equal(dt_workers_start(), 0);
	}
	dt_worker_remove(worker, &slow, NULL);

	assert_int_equal(n, 20);
}

static void
workers_that_never_sleep_have_no_bell(void **state)
{
	assert_int_equal(dt_workers_init(DT_IDLE_PAUSE), 0);
	worker = dt_worker_at(0);

	assert_null(dt_worker_bell(worker));
	assert_int_equal(dt_worker_listen(worker, 0), -ENOTSUP);
	dt_workers_fini();
}

/*
 * Presents one by one, at any moment before, while and after it falls asleep. It goes on for a while after each, so
 * that only few of them meet the moment itself: hence the senders that wait longer and shorter than that.
 */
#define SENDERS  4
#define PRESENTS 2000

static struct box shared;

static void *
send_presents(void *arg)
{
	unsigned int lazy = (unsigned int)(uintptr_t)arg;

	for (unsigned int i = 0; i < PRESENTS; i++) {
		put(&shared);
		dt_bell_ring(dt_worker_bell(worker));
		lazy = lazy * 1103515245 + 12345;
		usleep((lazy >> 16 & 0x1ff) + 50);
	}
	return NULL;
}

static void
no_present_is_left_lying(void **state)
{
	pthread_t threads[SENDERS];

	shared = (struct box){ .says = DT_DOZE_WOKEN };
	assert_int_equal(dt_worker_add(worker, &boxes, &shared), 0);
	for (uintptr_t i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, send_presents, (void *)(i + 1)), 0);
	for (unsigned int i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);

	wait_for_count(&shared.taken, SENDERS * PRESENTS);
	dt_worker_remove(worker, &boxes, &shared);
	assert_int_equal(shared.taken, SENDERS * PRESENTS);
	assert_int_equal(shared.n_rouses, shared.n_dozes);
}

int
main(void)
{
#define SLEEPER(test) cmocka_unit_test_setup_teardown(test, start, stop)
	const struct CMUnitTest tests[] = {
		SLEEPER(a_worker_with_nothing_to_poll_sleeps),
		SLEEPER(a_sleep_counts_while_it_lasts_and_once),
		SLEEPER(mail_wakes_it),
		SLEEPER(a_pass_wakes_it_for_whole_rounds),
		SLEEPER(it_polls_nothing_while_it_sleeps),
		SLEEPER(what_nobody_tells_of_is_looked_at_all_the_same),
		SLEEPER(a_look_at_what_nobody_tells_of_leaves_the_others_alone),
		SLEEPER(who_has_something_to_do_is_not_let_asleep),
		SLEEPER(a_descriptor_wakes_it_at_each_stroke_though_nobody_reads_it),
		SLEEPER(a_sleeper_does_not_keep_others_from_freeing_what_all_let_go_of),
		SLEEPER(one_asleep_is_not_taken_for_one_that_hangs),
		SLEEPER(it_stops_in_its_sleep_and_runs_again),
		SLEEPER(it_stops_though_it_was_about_to_fall_asleep),
		cmocka_unit_test(workers_that_never_sleep_have_no_bell),
		SLEEPER(no_present_is_left_lying),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
