/* SPDX-License-Identifier: BSD-3-Clause */
#include "even.h"

#include <rte_common.h>

/* A move that may be made, and what speaks for it. */
struct choice {
	struct dt_even_move move;
	bool far; /* the pair would be far from its NIC or memory, and is not now as far */
	unsigned int gain; /* per mille: so much less than now would the fuller of the two have to do */
	unsigned int load; /* of the pair */
};

/* What a worker would still have to do for others than one of its pairs. */
static unsigned int
others_load(const struct dt_even_pair *pairs, unsigned int n, unsigned int one)
{
	unsigned int load = 0;

	for (unsigned int i = 0; i < n; i++)
		if (i != one && pairs[i].worker == pairs[one].worker)
			load += pairs[i].load;
	return load;
}

static bool
is_far(const struct dt_even_worker *from, const struct dt_even_worker *to, const struct dt_even_pair *pair)
{
	return to->node != from->node && to->node >= 0 && pair->node >= 0 && to->node != pair->node;
}

static unsigned int
gain_of(const struct dt_even_worker *from, const struct dt_even_worker *to, const struct dt_even_pair *pair)
{
	unsigned int left = from->load - RTE_MIN(from->load, pair->load);
	unsigned int fuller = RTE_MAX(left, to->load + pair->load);

	return from->load - RTE_MIN(from->load, fuller);
}

/* To a worker near by, of these what evens most, of these what moves the least. */
static bool
is_better(const struct choice *one, const struct choice *other)
{
	if (one->far != other->far)
		return other->far;
	if (one->gain != other->gain)
		return one->gain > other->gain;
	return one->load < other->load;
}

bool
dt_even_choose(const struct dt_even_worker *workers, unsigned int n_workers, const struct dt_even_pair *pairs,
	unsigned int n_pairs, struct dt_even_move *ret_move)
{
	struct choice best;
	bool found = false;

	for (unsigned int i = 0; i < n_pairs; i++) {
		const struct dt_even_pair *pair = &pairs[i];
		const struct dt_even_worker *from = &workers[pair->worker];

		if (pair->rest > 0 || from->full_for < DT_EVEN_LOOKS || others_load(pairs, n_pairs, i) < DT_EVEN_GAIN)
			continue;
		for (unsigned int to = 0; to < n_workers; to++) {
			struct choice choice = {
				.move = { .pair = i, .to = to },
				.far = is_far(from, &workers[to], pair),
				.gain = gain_of(from, &workers[to], pair),
				.load = pair->load,
			};

			if (to == pair->worker || workers[to].load > DT_EVEN_FREE || choice.gain < DT_EVEN_GAIN)
				continue;
			if (!found || is_better(&choice, &best))
				best = choice;
			found = true;
		}
	}
	if (found)
		*ret_move = best.move;
	return found;
}
