/* SPDX-License-Identifier: BSD-3-Clause */
/* Which queue pair moves to which worker, and when none does. */
#include "testing.h"

#include <rte_common.h>

#include "even.h"

#define ANYWHERE (-1)

#define WORKERS(...) ((const struct dt_even_worker[]){ __VA_ARGS__ })
#define PAIRS(...)   ((const struct dt_even_pair[]){ __VA_ARGS__ })

/* Workers: one that has been full for long, and others of that load. */
#define FULL(load)                                                                                                     \
	{                                                                                                              \
		0, load, DT_EVEN_LOOKS                                                                                 \
	}
#define WITH(load)                                                                                                     \
	{                                                                                                              \
		0, load, 0                                                                                             \
	}
#define FULL_ON(n)                                                                                                     \
	{                                                                                                              \
		n, 980, DT_EVEN_LOOKS                                                                                  \
	}
#define FREE_ON(n)                                                                                                     \
	{                                                                                                              \
		n, 0, 0                                                                                                \
	}

#define MOVES(pair_index, to_index, workers, pairs)                                                                    \
	do {                                                                                                           \
		struct dt_even_move move = { 99, 99 };                                                                 \
                                                                                                                       \
		assert_true(dt_even_choose(workers, RTE_DIM(workers), pairs, RTE_DIM(pairs), &move));                  \
		assert_int_equal(move.pair, pair_index);                                                               \
		assert_int_equal(move.to, to_index);                                                                   \
	} while (0)

#define STAYS(workers, pairs)                                                                                          \
	do {                                                                                                           \
		struct dt_even_move move = { 99, 99 };                                                                 \
                                                                                                                       \
		assert_false(dt_even_choose(workers, RTE_DIM(workers), pairs, RTE_DIM(pairs), &move));                 \
		assert_int_equal(move.pair, 99);                                                                       \
		assert_int_equal(move.to, 99);                                                                         \
	} while (0)

static void
a_full_worker_gives_the_pair_that_evens_best(void **state)
{
	MOVES(1, 1, WORKERS(FULL(980), WITH(10)), PAIRS({ 0, 100 }, { 0, 450 }, { 0, 400 }));
	MOVES(0, 1, WORKERS(FULL(980), WITH(400)), PAIRS({ 0, 300 }, { 0, 640 }));
}

static void
it_goes_to_the_worker_with_the_most_time(void **state)
{
	MOVES(1, 2, WORKERS(FULL(980), WITH(400), WITH(20), WITH(300)), PAIRS({ 0, 500 }, { 0, 470 }));
}

static void
of_several_full_workers_the_one_that_gains_most_gives(void **state)
{
	MOVES(2, 2, WORKERS(FULL(920), FULL(1000), WITH(0)), PAIRS({ 0, 460 }, { 0, 460 }, { 1, 500 }, { 1, 499 }));
}

static void
of_two_that_even_alike_the_lighter_one_moves(void **state)
{
	MOVES(1, 1, WORKERS(FULL(1000), WITH(0)), PAIRS({ 0, 700 }, { 0, 300 }));
	MOVES(0, 1, WORKERS(FULL(1000), WITH(0)), PAIRS({ 0, 300 }, { 0, 700 }));
}

static void
on_a_tie_the_first_pair_goes_to_the_first_worker(void **state)
{
	MOVES(0, 1, WORKERS(FULL(1000), WITH(0), WITH(0)), PAIRS({ 0, 500 }, { 0, 500 }));
}

static void
a_worker_that_is_not_full_keeps_what_it_has(void **state)
{
	STAYS(WORKERS(WITH(880), WITH(0)), PAIRS({ 0, 450 }, { 0, 430 }));
}

static void
a_worker_that_is_full_for_a_moment_keeps_what_it_has(void **state)
{
	STAYS(WORKERS({ 0, 990, DT_EVEN_LOOKS - 1 }, WITH(0)), PAIRS({ 0, 500 }, { 0, 490 }));
	MOVES(1, 1, WORKERS({ 0, 990, DT_EVEN_LOOKS + 1 }, WITH(0)), PAIRS({ 0, 500 }, { 0, 490 }));
}

static void
a_pair_alone_on_its_worker_stays(void **state)
{
	STAYS(WORKERS(FULL(990), WITH(0)), PAIRS({ 0, 700 }));
	STAYS(WORKERS(FULL(990), WITH(0)), PAIRS({ 0, 700 }, { 1, 0 }));
}

static void
a_pair_beside_which_others_hardly_work_stays(void **state)
{
	STAYS(WORKERS(FULL(990), WITH(0)), PAIRS({ 0, 800 }, { 0, DT_EVEN_GAIN - 1 }));
	MOVES(0, 1, WORKERS(FULL(990), WITH(0)), PAIRS({ 0, 800 }, { 0, DT_EVEN_GAIN }));
}

static void
a_worker_with_work_of_its_own_gets_none(void **state)
{
	STAYS(WORKERS(FULL(990), WITH(DT_EVEN_FREE + 1)), PAIRS({ 0, 500 }, { 0, 200 }));
	MOVES(1, 1, WORKERS(FULL(990), WITH(DT_EVEN_FREE)), PAIRS({ 0, 500 }, { 0, 200 }));
}

static void
a_move_by_which_little_is_gained_is_not_made(void **state)
{
	/* Worker 1 would have 900 and 891 to do. */
	STAYS(WORKERS(FULL(990), WITH(400)), PAIRS({ 0, 500 }, { 0, 491 }));
	MOVES(1, 1, WORKERS(FULL(990), WITH(400)), PAIRS({ 0, 500 }, { 0, 490 }));
	STAYS(WORKERS(FULL(990), WITH(0)), PAIRS({ 0, 900 }, { 0, 50 }, { 0, 50 }));
}

static void
a_pair_that_has_moved_lately_rests(void **state)
{
	MOVES(1, 1, WORKERS(FULL(990), WITH(0)), PAIRS({ 0, 490, ANYWHERE, 1 }, { 0, 300 }, { 0, 200 }));
	STAYS(WORKERS(FULL(990), WITH(0)), PAIRS({ 0, 490, ANYWHERE, 1 }, { 0, 500, ANYWHERE, DT_EVEN_REST }));
}

static void
a_worker_near_by_is_preferred_though_it_has_less_time(void **state)
{
	MOVES(1, 2, WORKERS(FULL_ON(0), FREE_ON(1), { 0, 300, 0 }), PAIRS({ 0, 500, 0 }, { 0, 480, 0 }));
}

static void
another_node_is_used_if_there_is_need(void **state)
{
	MOVES(1, 1, WORKERS(FULL_ON(0), FREE_ON(1), { 0, 600, 0 }), PAIRS({ 0, 500, 0 }, { 0, 480, 0 }));
}

static void
a_pair_that_is_far_away_goes_home(void **state)
{
	/* Pair 1 evens best, but pair 0 belongs there. */
	MOVES(0, 1, WORKERS(FULL_ON(0), FREE_ON(1)), PAIRS({ 0, 300, 1 }, { 0, 480, 0 }));
}

static void
what_belongs_nowhere_is_near_to_all(void **state)
{
	MOVES(1, 1, WORKERS(FULL_ON(0), FREE_ON(1)), PAIRS({ 0, 480, 0 }, { 0, 300, ANYWHERE }));
	MOVES(1, 1, WORKERS(FULL_ON(0), FREE_ON(ANYWHERE)), PAIRS({ 0, 500, 0 }, { 0, 480, 0 }));
}

static void
a_pair_far_away_already_may_move_on_its_node(void **state)
{
	MOVES(1, 1, WORKERS(FULL_ON(0), FREE_ON(0), FREE_ON(2)), PAIRS({ 0, 500, 1 }, { 0, 480, 1 }));
}

static void
without_another_worker_or_any_pair_nothing_moves(void **state)
{
	struct dt_even_move none;

	STAYS(WORKERS(FULL(1000)), PAIRS({ 0, 500 }, { 0, 500 }));
	assert_false(dt_even_choose(WORKERS(FULL(1000), WITH(0)), 2, NULL, 0, &none));
}

/* Pairs want so much; a worker that cannot give it all gives each the same part of what it wants. */
struct model {
	unsigned int wants[6];
	struct dt_even_pair pairs[6];
	struct dt_even_worker workers[3];
	unsigned int moves;
};

static void
look(struct model *model)
{
	struct dt_even_move move;

	for (unsigned int w = 0; w < RTE_DIM(model->workers); w++) {
		unsigned int wanted = 0;

		for (unsigned int i = 0; i < RTE_DIM(model->pairs); i++)
			wanted += model->pairs[i].worker == w ? model->wants[i] : 0;
		model->workers[w].load = RTE_MIN(wanted, 1000u);
		model->workers[w].full_for = wanted >= DT_EVEN_FULL ? model->workers[w].full_for + 1 : 0;
		for (unsigned int i = 0; i < RTE_DIM(model->pairs); i++)
			if (model->pairs[i].worker == w)
				model->pairs[i].load = model->wants[i] * 1000 / RTE_MAX(wanted, 1000u);
	}
	for (unsigned int i = 0; i < RTE_DIM(model->pairs); i++)
		model->pairs[i].rest -= model->pairs[i].rest > 0;
	if (!dt_even_choose(model->workers, RTE_DIM(model->workers), model->pairs, RTE_DIM(model->pairs), &move))
		return;
	model->workers[model->pairs[move.pair].worker].full_for = 0;
	model->pairs[move.pair].worker = move.to;
	model->pairs[move.pair].rest = DT_EVEN_REST;
	model->moves++;
}

/* Whatever the pairs want, it comes to rest, and no worker is full with several while another has time. */
static void
it_comes_to_rest(void **state)
{
	uint32_t seed = 1;

	for (unsigned int game = 0; game < 5000; game++) {
		struct model model = { 0 };
		unsigned int moves;

		for (unsigned int i = 0; i < RTE_DIM(model.pairs); i++) {
			seed = seed * 1103515245 + 12345;
			model.wants[i] = (seed >> 8) % 1200;
			model.pairs[i].worker = (seed >> 20) % (1 + game % RTE_DIM(model.workers));
			model.pairs[i].node = ANYWHERE;
		}
		for (unsigned int n = 0; n < 100; n++)
			look(&model);
		moves = model.moves;
		for (unsigned int n = 0; n < 100; n++)
			look(&model);

		assert_true(moves <= 2 * RTE_DIM(model.pairs));
		assert_int_equal(model.moves, moves);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_worker_gives_the_pair_that_evens_best),
		cmocka_unit_test(it_goes_to_the_worker_with_the_most_time),
		cmocka_unit_test(of_several_full_workers_the_one_that_gains_most_gives),
		cmocka_unit_test(of_two_that_even_alike_the_lighter_one_moves),
		cmocka_unit_test(on_a_tie_the_first_pair_goes_to_the_first_worker),
		cmocka_unit_test(a_worker_that_is_not_full_keeps_what_it_has),
		cmocka_unit_test(a_worker_that_is_full_for_a_moment_keeps_what_it_has),
		cmocka_unit_test(a_pair_alone_on_its_worker_stays),
		cmocka_unit_test(a_pair_beside_which_others_hardly_work_stays),
		cmocka_unit_test(a_worker_with_work_of_its_own_gets_none),
		cmocka_unit_test(a_move_by_which_little_is_gained_is_not_made),
		cmocka_unit_test(a_pair_that_has_moved_lately_rests),
		cmocka_unit_test(a_worker_near_by_is_preferred_though_it_has_less_time),
		cmocka_unit_test(another_node_is_used_if_there_is_need),
		cmocka_unit_test(a_pair_that_is_far_away_goes_home),
		cmocka_unit_test(what_belongs_nowhere_is_near_to_all),
		cmocka_unit_test(a_pair_far_away_already_may_move_on_its_node),
		cmocka_unit_test(without_another_worker_or_any_pair_nothing_moves),
		cmocka_unit_test(it_comes_to_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
