/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: which worker polls a queue pair. */
#ifndef DT_PLACE_H
#define DT_PLACE_H

/** What is known of a worker when one is to be chosen. */
struct dt_place_worker {
	int node; /* of its CPU, -1: unknown */
	unsigned int n_pairs; /* queue pairs that it polls */
};

/**
 * Choose among @p n workers for a queue pair whose NIC or memory lies on @p node (-1: anywhere): the least loaded
 * of that node's, if it has any, else of all. The one it is with already (@p now, -1: none) keeps it if it is
 * on the node.
 *
 * @return index of the worker
 */
unsigned int dt_place_choose(const struct dt_place_worker *workers, unsigned int n, int now, int node);

#endif
