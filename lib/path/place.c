/* SPDX-License-Identifier: BSD-3-Clause */
#include "place.h"

#include <stdbool.h>

static bool
near(const struct dt_place_worker *worker, int node)
{
	return node < 0 || worker->node < 0 || worker->node == node;
}

unsigned int
dt_place_choose(const struct dt_place_worker *workers, unsigned int n, int now, int node)
{
	bool any_near = false;
	int best = -1;

	for (unsigned int i = 0; i < n; i++)
		any_near |= near(&workers[i], node);
	if (!any_near)
		node = -1;
	if (now >= 0 && near(&workers[now], node))
		return (unsigned int)now;
	for (unsigned int i = 0; i < n; i++)
		if (near(&workers[i], node) && (best < 0 || workers[i].n_pairs < workers[best].n_pairs))
			best = (int)i;
	return (unsigned int)best;
}
