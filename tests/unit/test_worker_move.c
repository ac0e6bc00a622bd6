/* SPDX-License-Identifier: BSD-3-Clause */
/* What one worker polls goes to another, and no two polls of it ever overlap. */
#include "testing.h"

#include <errno.h>
#include <pthread.h>

#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_lcore.h>

#include "eal.h"
#include "worker.h"
#include "worker/internal.h"

static struct dt_worker *first;
static struct dt_worker *second;

/* Something to poll; plain fields, because one worker at a time writes them. */
struct polled {
	unsigned int rounds;
	unsigned int rounds_on[RTE_MAX_LCORE];
	unsigned int overlaps; /* polls that found another amid its work */
	bool at_work;

	/* of settle() */
	unsigned int settled;
	struct dt_worker *at; /* last */
};

static unsigned int
poll_it(void *arg)
{
	struct polled *polled = arg;

	if (__atomic_exchange_n(&polled->at_work, true, __ATOMIC_RELAXED))
		__atomic_fetch_add(&polled->overlaps, 1, __ATOMIC_RELAXED);
	polled->rounds++;
	polled->rounds_on[rte_lcore_id()]++;
	rte_delay_us_block(1);
	__atomic_store_n(&polled->at_work, false, __ATOMIC_RELAXED);
	return 0;
}

static const struct dt_polled polled_kind = { .poll = poll_it };

static void
settle(void *arg, struct dt_worker *worker)
{
	struct polled *polled = arg;

	assert_false(polled->at_work);
	polled->settled++;
	polled->at = worker;
}

static int
init(void **state)
{
	assert_int_equal(dt_workers_init(DT_IDLE_POLL), 0);
	first = dt_worker_at(0);
	second = dt_worker_at(1);
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
stop_and_fini(void **state)
{
	dt_workers_stop();
	dt_workers_fini();
	return 0;
}

static void
what_is_handed_over_is_polled_by_the_other_worker_alone(void **state)
{
	struct polled polled = { 0 };
	unsigned int before;

	assert_int_equal(dt_worker_add(first, &polled_kind, &polled), 0);
	dt_workers_pass();

	assert_int_equal(dt_worker_hand_over(first, second, &polled_kind, &polled, settle, &polled), 0);
	before = __atomic_load_n(&polled.rounds_on[DT_TEST_WORKER_LCORE], __ATOMIC_RELAXED);
	dt_workers_pass();
	dt_workers_pass();
	dt_worker_remove(second, &polled_kind, &polled);

	assert_true(before > 0);
	assert_int_equal(polled.rounds_on[DT_TEST_WORKER_LCORE], before);
	assert_true(polled.rounds_on[DT_TEST_SECOND_LCORE] > 0);
	assert_int_equal(polled.settled, 1);
	assert_ptr_equal(polled.at, second);
}

static void
no_two_polls_overlap_however_often_it_goes_to_and_fro(void **state)
{
	struct polled polled = { 0 }, stays = { 0 };
	struct dt_worker *at = first;

	assert_int_equal(dt_worker_add(first, &polled_kind, &polled), 0);
	assert_int_equal(dt_worker_add(first, &polled_kind, &stays), 0);
	for (unsigned int i = 0; i < 300; i++) {
		struct dt_worker *to = at == first ? second : first;

		assert_int_equal(dt_worker_hand_over(at, to, &polled_kind, &polled, settle, &polled), 0);
		at = to;
	}
	dt_worker_remove(at, &polled_kind, &polled);
	dt_worker_remove(first, &polled_kind, &stays);

	assert_int_equal(polled.overlaps, 0);
	assert_int_equal(
		polled.rounds, polled.rounds_on[DT_TEST_WORKER_LCORE] + polled.rounds_on[DT_TEST_SECOND_LCORE]);
	assert_int_equal(stays.rounds_on[DT_TEST_SECOND_LCORE], 0);
	assert_int_equal(first->n_polls, 0);
	assert_int_equal(second->n_polls, 0);
}

static void
it_stays_if_the_other_worker_has_no_room(void **state)
{
	struct polled polled = { 0 }, many = { 0 };

	for (unsigned int i = 0; i < POLLS_MAX; i++) {
		assert_int_equal(dt_worker_add(first, &polled_kind, i == 7 ? &polled : &many), 0);
		assert_int_equal(dt_worker_add(second, &polled_kind, &many), 0);
	}

	assert_int_equal(dt_worker_hand_over(first, second, &polled_kind, &polled, settle, &polled), -ENOSPC);
	assert_int_equal(first->n_polls, POLLS_MAX);
	assert_int_equal(second->n_polls, POLLS_MAX);
	assert_int_equal(polled.settled, 2);
	assert_ptr_equal(polled.at, first);
	dt_worker_remove(first, &polled_kind, &polled);
	assert_int_equal(first->n_polls, POLLS_MAX - 1);
}

/* A second thread that wants the place which a hand-over leaves for a moment. */
struct intruder {
	struct polled *many;
	bool ends;
	unsigned int n_added;
};

static void *
intrude(void *arg)
{
	struct intruder *intruder = arg;

	while (!__atomic_load_n(&intruder->ends, __ATOMIC_RELAXED))
		intruder->n_added += dt_worker_add(first, &polled_kind, intruder->many) == 0;
	return NULL;
}

static void
nobody_takes_its_place_meanwhile(void **state)
{
	struct polled polled = { 0 }, many = { 0 };
	struct intruder intruder = { .many = &many };
	pthread_t thread;

	for (unsigned int i = 0; i < POLLS_MAX; i++) {
		assert_int_equal(dt_worker_add(first, &polled_kind, i == 7 ? &polled : &many), 0);
		assert_int_equal(dt_worker_add(second, &polled_kind, &many), 0);
	}
	assert_int_equal(pthread_create(&thread, NULL, intrude, &intruder), 0);
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(dt_worker_hand_over(first, second, &polled_kind, &polled, settle, &polled), -ENOSPC);
	__atomic_store_n(&intruder.ends, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);

	assert_int_equal(intruder.n_added, 0);
	dt_worker_remove(first, &polled_kind, &polled);
	assert_int_equal(first->n_polls, POLLS_MAX - 1);
}

int
main(void)
{
#define RUNNING(test) cmocka_unit_test_setup_teardown(test, init_and_start, stop_and_fini)
#define STOPPED(test) cmocka_unit_test_setup_teardown(test, init, stop_and_fini)
	const struct CMUnitTest tests[] = {
		RUNNING(what_is_handed_over_is_polled_by_the_other_worker_alone),
		RUNNING(no_two_polls_overlap_however_often_it_goes_to_and_fro),
		STOPPED(it_stays_if_the_other_worker_has_no_room),
		STOPPED(nobody_takes_its_place_meanwhile),
	};

	dt_test_eal_start_two();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
