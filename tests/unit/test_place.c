/* SPDX-License-Identifier: BSD-3-Clause */
/* Which worker polls a queue pair, on machines of one and of two NUMA nodes. */
#include "testing.h"

#include "place.h"

#define NOBODY   (-1)
#define ANYWHERE (-1)

/* Workers 0 and 1 on node 0, 2 and 3 on node 1, with so many queue pairs each. */
#define TWO_NODES(a, b, c, d)                                                                                          \
	(const struct dt_place_worker[])                                                                               \
	{                                                                                                              \
		{ 0, a }, { 0, b }, { 1, c },                                                                          \
		{                                                                                                      \
			1, d                                                                                           \
		}                                                                                                      \
	}

static void
the_least_loaded_worker_of_the_node_is_chosen(void **state)
{
	assert_int_equal(dt_place_choose(TWO_NODES(3, 1, 0, 0), 4, NOBODY, 0), 1);
	assert_int_equal(dt_place_choose(TWO_NODES(0, 0, 9, 8), 4, NOBODY, 1), 3);
}

static void
on_a_tie_the_first_is_chosen(void **state)
{
	assert_int_equal(dt_place_choose(TWO_NODES(2, 2, 2, 2), 4, NOBODY, 0), 0);
	assert_int_equal(dt_place_choose(TWO_NODES(2, 2, 2, 2), 4, NOBODY, 1), 2);
}

static void
without_a_wish_all_workers_are_weighed(void **state)
{
	assert_int_equal(dt_place_choose(TWO_NODES(3, 2, 1, 2), 4, NOBODY, ANYWHERE), 2);
}

static void
a_node_without_workers_is_served_from_anywhere(void **state)
{
	assert_int_equal(dt_place_choose(TWO_NODES(3, 2, 2, 1), 4, NOBODY, 5), 3);
}

static void
a_worker_on_the_node_keeps_what_it_has(void **state)
{
	assert_int_equal(dt_place_choose(TWO_NODES(9, 0, 0, 0), 4, 0, 0), 0);
	assert_int_equal(dt_place_choose(TWO_NODES(9, 0, 0, 0), 4, 0, ANYWHERE), 0);
	assert_int_equal(dt_place_choose(TWO_NODES(9, 0, 0, 0), 4, 0, 5), 0); /* no other is nearer */
}

static void
a_worker_far_away_gives_up_what_it_has(void **state)
{
	assert_int_equal(dt_place_choose(TWO_NODES(1, 0, 5, 4), 4, 0, 1), 3);
}

static void
workers_of_an_unknown_node_are_near_to_all(void **state)
{
	const struct dt_place_worker workers[] = { { ANYWHERE, 3 }, { 1, 4 }, { 0, 0 } };

	assert_int_equal(dt_place_choose(workers, 3, NOBODY, 1), 0);
	assert_int_equal(dt_place_choose(workers, 3, 0, 1), 0);
}

static void
pairs_that_come_one_by_one_spread_evenly(void **state)
{
	struct dt_place_worker workers[] = { { 0, 0 }, { 0, 0 }, { 1, 0 }, { 1, 0 } };

	for (unsigned int i = 0; i < 12; i++)
		workers[dt_place_choose(workers, 4, NOBODY, 1)].n_pairs++;
	for (unsigned int i = 0; i < 12; i++)
		workers[dt_place_choose(workers, 4, NOBODY, ANYWHERE)].n_pairs++;

	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(workers[i].n_pairs, 6);
}

static void
a_single_worker_gets_everything(void **state)
{
	const struct dt_place_worker worker = { 0, 100 };

	assert_int_equal(dt_place_choose(&worker, 1, NOBODY, 1), 0);
	assert_int_equal(dt_place_choose(&worker, 1, 0, 1), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_least_loaded_worker_of_the_node_is_chosen),
		cmocka_unit_test(on_a_tie_the_first_is_chosen),
		cmocka_unit_test(without_a_wish_all_workers_are_weighed),
		cmocka_unit_test(a_node_without_workers_is_served_from_anywhere),
		cmocka_unit_test(a_worker_on_the_node_keeps_what_it_has),
		cmocka_unit_test(a_worker_far_away_gives_up_what_it_has),
		cmocka_unit_test(workers_of_an_unknown_node_are_near_to_all),
		cmocka_unit_test(pairs_that_come_one_by_one_spread_evenly),
		cmocka_unit_test(a_single_worker_gets_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
