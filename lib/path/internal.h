/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: what paths are made of. */
#ifndef DT_PATH_INTERNAL_H
#define DT_PATH_INTERNAL_H

#include "path.h"

#include <pthread.h>

struct dt_bridge;
struct dt_ingress;

struct dt_path {
	const struct dt_conf *conf;
	unsigned int n_ports;
	struct dt_ledger_port *ports; /* names and kinds */
	struct dt_uplink **uplinks; /* port numbers 0 to n_uplinks - 1 */
	struct dt_guest **guests; /* port numbers from n_uplinks on */
	struct dt_ingress **ingress; /* of each port, one for each of its queue pairs */
	unsigned int n_bridges;
	struct dt_bridge *bridges; /* one for each uplink, and a last one for guests without */

	pthread_mutex_t move_lock; /* one queue pair moves at a time; taken before a guest's lock */

	pthread_mutex_t place_lock; /* guards load: guests choose on the library's thread too; taken behind theirs */
	unsigned int *load; /* queue pairs of each worker */
};

/** Choose the worker for a queue pair, @p now has it (NULL: it is new); see place.h. Control threads. */
struct dt_worker *dt_path_choose(void *path, struct dt_worker *now, int node);

/** Count a queue pair that @p from had (NULL: it is new) as one of @p to's. Control threads. */
void dt_path_count(void *path, struct dt_worker *from, struct dt_worker *to);

#endif
