/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: what paths are made of. */
#ifndef DT_PATH_INTERNAL_H
#define DT_PATH_INTERNAL_H

#include "path.h"

#include <pthread.h>

struct dt_bridge;
struct dt_ingress;
struct dt_load;

struct dt_path {
	const struct dt_conf *conf;
	unsigned int n_ports;
	struct dt_ledger_port *ports; /* names and kinds */
	struct dt_uplink **uplinks; /* port numbers 0 to n_uplinks - 1 */
	struct dt_guest **guests; /* port numbers from n_uplinks on */
	struct dt_ingress **ingress; /* of each port, one for each of its queue pairs */
	unsigned int n_bridges;
	struct dt_bridge *bridges; /* one for each uplink, and a last one for guests without */

	struct dt_load *load; /* of workers and queue pairs */

	pthread_mutex_t move_lock; /* one queue pair moves at a time; taken before a guest's lock; guards: */
	uint64_t n_moved_by_hand;
	uint64_t n_moved_by_itself;

	pthread_mutex_t place_lock; /* guards n_pairs: guests choose on the library's thread too; taken behind theirs */
	unsigned int *n_pairs; /* queue pairs of each worker */
};

/* ---- move.c ---- */

/** Choose the worker for a queue pair, @p now has it (NULL: it is new); see place.h. Control threads. */
struct dt_worker *dt_path_choose(void *path, struct dt_worker *now, int node);

/** Count a queue pair that @p from had (NULL: it is new) as one of @p to's. Control threads. */
void dt_path_count(void *path, struct dt_worker *from, struct dt_worker *to);

/** Why a queue pair moves by itself: shares of a worker's time, per mille. */
struct dt_path_why {
	unsigned int from; /* that its worker was busy */
	unsigned int pair; /* that it took of that */
	unsigned int to; /* that the other was busy */
};

/** Let another worker poll a queue pair, and say why. Main thread. */
void dt_path_move_by_itself(struct dt_path *path, unsigned int port, unsigned int pair, struct dt_worker *to,
	const struct dt_path_why *why);

/* ---- load.c; main thread ---- */

/** Get ready to measure; the ports are known. @return 0; -ENOMEM */
int dt_load_new(const struct dt_path *path, struct dt_load **ret_load);
void dt_load_free(struct dt_load *load);

/** Once a second measure, and even if that is wanted. Called some times a second. */
void dt_path_look(struct dt_path *path);

#endif
