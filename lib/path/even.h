/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside the module: which queue pair to move, so that no worker has too much to do while another has little.
 *
 * Looked at once a second by control. A function of what it is given, and of nothing else.
 */
#ifndef DT_EVEN_H
#define DT_EVEN_H

#include <stdbool.h>

/* Shares of a worker's time, per mille. */
#define DT_EVEN_FULL 900 /* from here on it may not keep up */
#define DT_EVEN_FREE 500 /* up to here it can take more */
#define DT_EVEN_GAIN 100 /* that the fuller of two workers must gain by a move, and whatever stays with it */

/* Looks. */
#define DT_EVEN_LOOKS 3 /* at which a worker is found full, one behind the other, before it gives anything away */
#define DT_EVEN_REST  10 /* that a pair stays where it is once it has moved */

/** What is known of a worker. */
struct dt_even_worker {
	int node; /* of its CPU, -1: unknown */
	unsigned int load; /* per mille of its time that it was busy */
	unsigned int full_for; /* looks in a row at which it was full, up to this one */
};

/** What is known of a queue pair. */
struct dt_even_pair {
	unsigned int worker; /* index */
	unsigned int load; /* per mille of its worker's time that it took */
	int node; /* of its NIC or its guest's memory, -1: unknown */
	unsigned int rest; /* looks for which it may not move */
};

struct dt_even_move {
	unsigned int pair; /* indexes */
	unsigned int to;
};

/**
 * Choose the move that evens best: a pair of a worker that is full and has others to care for, to a worker that has
 * time. One that brings a pair to a strange NUMA node is chosen only if no other would do.
 *
 * Loads are what was measured; a pair that was held back may take more on its new worker. So a move is made only if the
 * two workers would both be better off than the fuller one is now, by far: what comes of it is no reason to move back.
 *
 * @param ret_move  written only if there is one
 * @return whether there is
 */
bool dt_even_choose(const struct dt_even_worker *workers, unsigned int n_workers, const struct dt_even_pair *pairs,
	unsigned int n_pairs, struct dt_even_move *ret_move);

#endif
