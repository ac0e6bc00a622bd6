/* SPDX-License-Identifier: BSD-3-Clause */
/* A bell wakes who sleeps, whenever it is rung, and is not touched while nobody sleeps. */
#include "testing.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>

#include <rte_common.h>

#include "bell.h"
#include "turns.h"

static struct dt_bell bell;

static int
make_bell(void **state)
{
	return dt_bell_init(&bell);
}

static int
free_bell(void **state)
{
	dt_bell_fini(&bell);
	return 0;
}

/* @return strokes since the last look */
static uint64_t
strokes(void)
{
	eventfd_t n = 0;

	return eventfd_read(bell.fd, &n) == 0 ? n : 0;
}

static void
a_bell_that_nobody_wants_is_not_struck(void **state)
{
	dt_bell_ring(&bell);
	dt_bell_want(&bell);
	dt_bell_unwant(&bell);
	dt_bell_ring(&bell);

	assert_int_equal(strokes(), 0);
}

static void
the_first_who_rings_strikes_for_all(void **state)
{
	dt_bell_want(&bell);
	assert_true(dt_bell_is_wanted(&bell));

	for (unsigned int i = 0; i < 5; i++)
		dt_bell_ring(&bell);

	assert_false(dt_bell_is_wanted(&bell));
	assert_int_equal(strokes(), 1);
}

static void
a_bell_can_be_wanted_again(void **state)
{
	for (unsigned int i = 0; i < 3; i++) {
		dt_bell_want(&bell);
		dt_bell_ring(&bell);
		assert_int_equal(strokes(), 1);
	}
}

static void
a_bell_that_was_never_made_can_be_freed(void **state)
{
	struct dt_bell none = { 0 };

	dt_bell_fini(&none);
	assert_int_equal(none.fd, 0);
}

/*
 * A ringer brings presents one by one, each when the last was taken; the sleeper waits whenever it finds none. It waits
 * for the bell without the system call, which would leave the moment that counts too seldom: without one of the
 * barriers, about one stroke in a million is missed.
 */
#define PRESENTS   1000000
#define DEADLINE_S 60

static unsigned int brought __rte_cache_aligned;
static unsigned int taken __rte_cache_aligned;
static bool given_up;

static void *
bring_presents(void *arg)
{
	for (unsigned int i = 1; i <= PRESENTS; i++) {
		unsigned int spins = 0;

		__atomic_store_n(&brought, i, __ATOMIC_RELEASE);
		dt_bell_ring(&bell);
		while (__atomic_load_n(&taken, __ATOMIC_ACQUIRE) < i) {
			if (__atomic_load_n(&given_up, __ATOMIC_RELAXED))
				return NULL;
			dt_test_wait_turn(&spins);
		}
	}
	return NULL;
}

/* @return whether the bell was struck within the deadline */
static bool
hear(void)
{
	time_t end = time(NULL) + DEADLINE_S;
	unsigned int spins = 0;

	while (dt_bell_is_wanted(&bell)) {
		if (time(NULL) > end)
			return false;
		dt_test_wait_turn(&spins);
	}
	return true;
}

static void
nothing_that_was_rung_for_is_missed(void **state)
{
	unsigned int n = 0, n_slept = 0;
	pthread_t ringer;

	assert_int_equal(pthread_create(&ringer, NULL, bring_presents, NULL), 0);
	while (n < PRESENTS) {
		dt_bell_want(&bell);
		if (__atomic_load_n(&brought, __ATOMIC_ACQUIRE) == n) {
			n_slept++;
			if (!hear())
				break;
		}
		dt_bell_unwant(&bell);
		n = __atomic_load_n(&brought, __ATOMIC_ACQUIRE);
		__atomic_store_n(&taken, n, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&given_up, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(ringer, NULL), 0);

	assert_int_equal(n, PRESENTS);
	assert_true(n_slept > 0);
	assert_in_range(strokes(), 1, PRESENTS);
}

int
main(void)
{
#define BELL(test) cmocka_unit_test_setup_teardown(test, make_bell, free_bell)
	const struct CMUnitTest tests[] = {
		BELL(a_bell_that_nobody_wants_is_not_struck),
		BELL(the_first_who_rings_strikes_for_all),
		BELL(a_bell_can_be_wanted_again),
		cmocka_unit_test(a_bell_that_was_never_made_can_be_freed),
		BELL(nothing_that_was_rung_for_is_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
