/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker polls what it was given, and runs mail between two polls; nothing runs beside it. */
#include "testing.h"

#include <errno.h>
#include <pthread.h>

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_lcore.h>

#include "eal.h"
#include "worker.h"
#include "worker/internal.h"

static struct dt_worker *worker;

/* Something to poll that notes how it goes; plain fields, because the worker alone writes them. */
struct polled {
	unsigned int rounds;
	unsigned int lcore;
	unsigned int moved; /* what it says */
};

static unsigned int
poll_it(void *arg)
{
	struct polled *polled = arg;

	polled->rounds++;
	polled->lcore = rte_lcore_id();
	return polled->moved;
}

static const struct dt_polled polled_kind = { .poll = poll_it };

static int
init(void **state)
{
	assert_int_equal(dt_workers_init(DT_IDLE_POLL), 0);
	worker = dt_worker_at(0);
	return 0;
}

static int
init_and_start(void **state)
{
	init(state);
	assert_int_equal(dt_workers_start(), 0);
	return 0;
}

static int
init_to_pause_and_start(void **state)
{
	assert_int_equal(dt_workers_init(DT_IDLE_PAUSE), 0);
	worker = dt_worker_at(0);
	assert_int_equal(dt_workers_start(), 0);
	return 0;
}

static int
stop_and_fini(void **state)
{
	dt_workers_stop();
	dt_workers_fini();
	return 0;
}

static void
every_lcore_but_the_main_one_is_a_worker(void **state)
{
	assert_int_equal(dt_workers_count(), 1);
	assert_int_equal(dt_worker_lcore(worker), DT_TEST_WORKER_LCORE);
	assert_int_equal(dt_worker_node(worker), (int)rte_lcore_to_socket_id(DT_TEST_WORKER_LCORE));
	assert_non_null(dt_workers_qsbr());
}

struct visit {
	unsigned int lcore;
	pthread_t thread;
	unsigned int n;
};

static void
visit(void *arg)
{
	struct visit *v = arg;

	v->lcore = rte_lcore_id();
	v->thread = pthread_self();
	v->n++;
}

static void
mail_runs_on_the_worker_before_the_call_returns(void **state)
{
	struct visit v = { .lcore = LCORE_ID_ANY };

	dt_worker_call(worker, visit, &v);

	assert_int_equal(v.lcore, DT_TEST_WORKER_LCORE);
	assert_int_equal(v.n, 1);
	assert_false(pthread_equal(v.thread, pthread_self()));
}

static void
what_is_added_is_polled_on_the_worker(void **state)
{
	struct polled polled = { 0 };

	assert_int_equal(dt_worker_add(worker, &polled_kind, &polled), 0);
	dt_workers_pass();
	dt_worker_remove(worker, &polled_kind, &polled);

	assert_true(polled.rounds >= 1);
	assert_int_equal(polled.lcore, DT_TEST_WORKER_LCORE);
}

static void
what_is_removed_is_never_touched_again(void **state)
{
	struct polled gone = { 0 }, stays = { 0 };
	unsigned int rounds, others;

	assert_int_equal(dt_worker_add(worker, &polled_kind, &gone), 0);
	assert_int_equal(dt_worker_add(worker, &polled_kind, &stays), 0);
	dt_workers_pass();

	dt_worker_remove(worker, &polled_kind, &gone);
	rounds = gone.rounds;
	others = __atomic_load_n(&stays.rounds, __ATOMIC_RELAXED);
	dt_workers_pass();
	dt_workers_pass();

	assert_int_equal(gone.rounds, rounds);
	dt_worker_remove(worker, &polled_kind, &stays);
	assert_true(stays.rounds > others);
}

/* On the worker. */
static void
take_over(void *other, const void *arg)
{
	struct polled *to = other;
	const struct polled *from = arg;

	assert_int_equal(to->rounds, 0);
	*to = *from;
	to->moved = rte_lcore_id();
}

static void
what_is_replaced_goes_on_as_it_was_and_is_never_touched_again(void **state)
{
	struct polled gone = { 0 }, other = { 0 };
	unsigned int rounds;

	assert_int_equal(dt_worker_add(worker, &polled_kind, &gone), 0);
	dt_workers_pass();

	dt_worker_replace(worker, &polled_kind, &gone, &other, take_over);
	rounds = gone.rounds;
	dt_workers_pass();
	dt_workers_pass();
	dt_worker_remove(worker, &polled_kind, &other);

	assert_true(rounds > 0);
	assert_int_equal(gone.rounds, rounds);
	assert_true(other.rounds > rounds);
	assert_int_equal(other.moved, DT_TEST_WORKER_LCORE);
}

static void
removing_what_is_not_polled_changes_nothing(void **state)
{
	struct polled here = { 0 }, stranger = { 0 };

	assert_int_equal(dt_worker_add(worker, &polled_kind, &here), 0);
	dt_worker_remove(worker, &polled_kind, &stranger);
	dt_workers_pass();
	dt_worker_remove(worker, &polled_kind, &here);

	assert_true(here.rounds >= 1);
	assert_int_equal(stranger.rounds, 0);
}

static void
a_pass_lasts_a_whole_round(void **state)
{
	struct polled polled = { 0 };

	assert_int_equal(dt_worker_add(worker, &polled_kind, &polled), 0);
	for (unsigned int i = 0; i < 100; i++) {
		unsigned int before = __atomic_load_n(&polled.rounds, __ATOMIC_RELAXED);

		dt_workers_pass();
		assert_true(__atomic_load_n(&polled.rounds, __ATOMIC_RELAXED) > before);
	}
	dt_worker_remove(worker, &polled_kind, &polled);
}

static void
a_full_worker_takes_no_more(void **state)
{
	struct polled polled = { 0 };

	for (unsigned int i = 0; i < POLLS_MAX; i++)
		assert_int_equal(dt_worker_add(worker, &polled_kind, &polled), 0);
	assert_int_equal(dt_worker_add(worker, &polled_kind, &polled), -ENOSPC);
	dt_worker_remove(worker, &polled_kind, &polled);
	assert_int_equal(dt_worker_add(worker, &polled_kind, &polled), 0);
}

static void
rounds_that_move_packets_are_busy_and_others_idle(void **state)
{
	struct polled polled = { .moved = 0 };
	struct dt_worker_times times[3];

	assert_int_equal(dt_worker_add(worker, &polled_kind, &polled), 0);
	dt_workers_pass();
	dt_worker_times(worker, &times[0]);
	dt_workers_pass();
	dt_worker_times(worker, &times[1]);
	dt_worker_remove(worker, &polled_kind, &polled);
	polled.moved = 1;
	assert_int_equal(dt_worker_add(worker, &polled_kind, &polled), 0);
	dt_workers_pass();
	dt_worker_times(worker, &times[2]);
	dt_worker_remove(worker, &polled_kind, &polled);

	assert_int_equal(times[0].busy, 0);
	assert_int_equal(times[1].busy, 0);
	assert_true(times[1].idle > times[0].idle);
	assert_true(times[2].busy > 0);
}

/* Polls that take their time, so that rounds of little else add up to what the samples say. */
struct heavy {
	unsigned int moved;
	unsigned int takes_us;
	uint64_t cycles;
};

static unsigned int
poll_heavy(void *arg)
{
	const struct heavy *heavy = arg;

	rte_delay_us_block(heavy->takes_us);
	return heavy->moved;
}

static uint64_t *
cycles_of(void *arg)
{
	return &((struct heavy *)arg)->cycles;
}

static const struct dt_polled heavy_kind = { .poll = poll_heavy, .cycles = cycles_of };

static void
samples_tell_whose_polls_move_packets(void **state)
{
	struct heavy busy = { .moved = 1, .takes_us = 20 }, idle = { .moved = 0, .takes_us = 20 };
	struct polled uncounted = { .moved = 1 };
	uint64_t start;

	assert_int_equal(dt_worker_add(worker, &heavy_kind, &busy), 0);
	assert_int_equal(dt_worker_add(worker, &heavy_kind, &idle), 0);
	assert_int_equal(dt_worker_add(worker, &polled_kind, &uncounted), 0);
	start = dt_worker_rounds(worker);
	while (dt_worker_rounds(worker) < start + 40 * DT_SAMPLE_EVERY)
		dt_workers_pass();
	dt_worker_remove(worker, &heavy_kind, &busy);
	dt_worker_remove(worker, &heavy_kind, &idle);
	dt_worker_remove(worker, &polled_kind, &uncounted);

	/* Forty samples or one more, each of 20 us at least. */
	assert_true(busy.cycles >= 40 * DT_SAMPLE_EVERY * (rte_get_tsc_hz() / 1000000 * 19));
	assert_int_equal(busy.cycles % DT_SAMPLE_EVERY, 0);
	assert_int_equal(idle.cycles, 0);
}

static void
a_sample_that_was_interrupted_counts_for_a_bounded_time(void **state)
{
	const uint64_t longest = DT_SAMPLE_EVERY * (rte_get_tsc_hz() / 1000 * SAMPLE_MAX_MS);
	struct heavy busy = { .moved = 1, .takes_us = 2000 * SAMPLE_MAX_MS };
	uint64_t start;

	assert_int_equal(dt_worker_add(worker, &heavy_kind, &busy), 0);
	start = dt_worker_rounds(worker);
	while (dt_worker_rounds(worker) < start + 2 * DT_SAMPLE_EVERY)
		dt_workers_pass();
	dt_worker_remove(worker, &heavy_kind, &busy);

	assert_true(busy.cycles >= 2 * longest);
	assert_int_equal(busy.cycles % longest, 0);
}

static uint64_t
pause_now(void)
{
	return __atomic_load_n(&worker->pause, __ATOMIC_RELAXED);
}

static void
a_worker_that_polls_never_pauses(void **state)
{
	for (unsigned int i = 0; i < 100; i++)
		dt_workers_pass();

	assert_int_equal(dt_workers_idle(), DT_IDLE_POLL);
	assert_int_equal(pause_now(), 0);
}

static void
a_worker_that_finds_nothing_pauses_longer_and_longer_up_to_the_bound(void **state)
{
	uint64_t bound = rte_get_tsc_hz() * PAUSE_MAX_NS / 1000000000, longest = 0;

	assert_int_equal(dt_workers_idle(), DT_IDLE_PAUSE);
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t pause = pause_now();

		assert_true(pause >= longest);
		assert_true(pause <= bound);
		longest = pause;
		dt_workers_pass();
	}
	assert_int_equal(longest, bound);
}

static void
the_first_packet_ends_the_pauses(void **state)
{
	struct polled polled = { .moved = 1 };

	while (pause_now() == 0)
		dt_workers_pass();
	assert_int_equal(dt_worker_add(worker, &polled_kind, &polled), 0);
	dt_workers_pass();
	assert_int_equal(pause_now(), 0);

	dt_worker_remove(worker, &polled_kind, &polled);
	dt_workers_pass();
	assert_true(pause_now() > 0);
}

#define SENDERS 8
#define LETTERS 500

static struct visit shared; /* the worker alone writes: no two letters run at once, or the sum is wrong */

static void *
send_letters(void *arg)
{
	for (unsigned int i = 0; i < LETTERS; i++)
		dt_worker_call(worker, visit, &shared);
	return NULL;
}

static void
start_senders(pthread_t threads[SENDERS])
{
	shared = (struct visit){ 0 };
	for (unsigned int i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, send_letters, NULL), 0);
}

static void
join_senders(const pthread_t threads[SENDERS])
{
	for (unsigned int i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void
letters_of_many_senders_run_once_each_and_one_by_one(void **state)
{
	pthread_t threads[SENDERS];

	start_senders(threads);
	join_senders(threads);

	assert_int_equal(shared.n, SENDERS * LETTERS);
	assert_int_equal(shared.lcore, DT_TEST_WORKER_LCORE);
}

static void
no_letter_is_lost_when_the_worker_stops_meanwhile(void **state)
{
	pthread_t threads[SENDERS];

	start_senders(threads);
	dt_workers_stop();
	join_senders(threads);

	assert_int_equal(shared.n, SENDERS * LETTERS);
}

static void
mail_for_a_worker_that_does_not_run_runs_in_the_sender(void **state)
{
	struct visit v = { 0 };

	dt_worker_call(worker, visit, &v);

	assert_int_equal(v.n, 1);
	assert_true(pthread_equal(v.thread, pthread_self()));
}

static void
mail_after_the_stop_runs_in_the_sender(void **state)
{
	struct visit v = { 0 };

	dt_workers_stop();
	dt_worker_call(worker, visit, &v);

	assert_int_equal(v.n, 1);
	assert_true(pthread_equal(v.thread, pthread_self()));
}

static void
stopped_workers_are_not_waited_for(void **state)
{
	dt_workers_stop();
	dt_workers_stop();
	dt_workers_pass();

	assert_false(worker->alive);
}

static void
workers_run_again_after_a_stop(void **state)
{
	struct visit v = { 0 };

	dt_workers_stop();
	assert_int_equal(dt_workers_start(), 0);
	dt_worker_call(worker, visit, &v);

	assert_int_equal(v.lcore, DT_TEST_WORKER_LCORE);
}

int
main(void)
{
#define RUNNING(test) cmocka_unit_test_setup_teardown(test, init_and_start, stop_and_fini)
#define PAUSING(test) cmocka_unit_test_setup_teardown(test, init_to_pause_and_start, stop_and_fini)
#define STOPPED(test) cmocka_unit_test_setup_teardown(test, init, stop_and_fini)
	const struct CMUnitTest tests[] = {
		STOPPED(every_lcore_but_the_main_one_is_a_worker),
		RUNNING(mail_runs_on_the_worker_before_the_call_returns),
		RUNNING(what_is_added_is_polled_on_the_worker),
		RUNNING(what_is_removed_is_never_touched_again),
		RUNNING(what_is_replaced_goes_on_as_it_was_and_is_never_touched_again),
		RUNNING(removing_what_is_not_polled_changes_nothing),
		RUNNING(a_pass_lasts_a_whole_round),
		STOPPED(a_full_worker_takes_no_more),
		RUNNING(rounds_that_move_packets_are_busy_and_others_idle),
		RUNNING(samples_tell_whose_polls_move_packets),
		RUNNING(a_sample_that_was_interrupted_counts_for_a_bounded_time),
		RUNNING(a_worker_that_polls_never_pauses),
		PAUSING(a_worker_that_finds_nothing_pauses_longer_and_longer_up_to_the_bound),
		PAUSING(the_first_packet_ends_the_pauses),
		PAUSING(letters_of_many_senders_run_once_each_and_one_by_one),
		RUNNING(letters_of_many_senders_run_once_each_and_one_by_one),
		RUNNING(no_letter_is_lost_when_the_worker_stops_meanwhile),
		STOPPED(mail_for_a_worker_that_does_not_run_runs_in_the_sender),
		RUNNING(mail_after_the_stop_runs_in_the_sender),
		RUNNING(stopped_workers_are_not_waited_for),
		RUNNING(workers_run_again_after_a_stop),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
