/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The paths between ports: who gets a packet, and which worker moves it.
 *
 * Builds every port that the configuration names and wires each to those it may reach: an uplink and its guests are a
 * bridge, or with mode=passthru one pipe. Built, started and stopped on the main thread, in that order; asked by any.
 */
#ifndef DT_PATH_H
#define DT_PATH_H

#include "guest.h"
#include "ledger.h"
#include "uplink.h"

struct dt_path;

/**
 * Build all ports and their paths; uplinks are running afterwards, sockets are not open yet.
 *
 * Needs workers (dt_workers_init) that do not have to run yet.
 *
 * @param conf   checked; must outlive the path
 * @param error  receives one line that names object, fault and remedy
 * @return 0; -errno
 */
int dt_path_new(const struct dt_conf *conf, struct dt_path **ret_path, char error[static DT_ERROR_SIZE]);

/** Open the guests' sockets. Workers run by now. @return 0; -errno with @p error filled */
int dt_path_start(struct dt_path *path, char error[static DT_ERROR_SIZE]);

/** Close sockets, stop devices; what waits is dropped as shutting_down. Workers still run, and are stopped here. */
void dt_path_stop(struct dt_path *path);

/** Free all of it; NULL and a path that was never started are allowed. The ledger is closed with it. */
void dt_path_free(struct dt_path *path);

/** Look at links, queues and workers, and say what changed; rebalance=auto moves. Main thread, some times a second. */
void dt_path_tick(struct dt_path *path);

/**
 * Let the worker on @p lcore poll a queue pair from now on; no packet is lost or overtaken.
 *
 * @param pair      below dt_path_n_pairs()
 * @param ret_from  the lcore that polled it; the same one if there was nothing to do
 * @param error     receives one line that names object, fault and remedy
 * @return 0; -ENOENT: no such queue pair; -ENODEV: no such worker; -ENOSPC: it polls as many as it can
 * @note control threads, until dt_path_stop()
 */
int dt_path_move(struct dt_path *path, unsigned int port, unsigned int pair, unsigned int lcore, unsigned int *ret_from,
	char error[static DT_ERROR_SIZE]);

/** Queue pairs that have moved to another worker, by dt_path_move() or by rebalance=auto. Any thread. */
uint64_t dt_path_moved(const struct dt_path *path, bool by_itself);

/** How busy worker number @p worker was up to the last look, one a second, per mille of its time. Any thread. */
unsigned int dt_path_worker_load(const struct dt_path *path, unsigned int worker);

/** The part of that which one of its queue pairs took, by samples; of its worker's time, per mille. Any thread. */
unsigned int dt_path_pair_load(const struct dt_path *path, unsigned int port, unsigned int pair);

/** Queue pairs of a port, whether they are in use or not. */
unsigned int dt_path_n_pairs(const struct dt_path *path, unsigned int port);

/** Ports by number, as in the ledger: the uplinks first, then the guests. */
unsigned int dt_path_n_ports(const struct dt_path *path);
unsigned int dt_path_n_uplinks(const struct dt_path *path);
const char *dt_path_name(const struct dt_path *path, unsigned int port);

/** NULL: the port is a guest. */
struct dt_uplink *dt_path_uplink(const struct dt_path *path, unsigned int port);

/** NULL: the port is an uplink. */
struct dt_guest *dt_path_guest(const struct dt_path *path, unsigned int port);

/** The port of that name, -1: there is none. */
int dt_path_find(const struct dt_path *path, const char *name);

/** Forwarding tables, all workers', that lie on NUMA node @p node. */
unsigned int dt_path_tables_on(const struct dt_path *path, int node);

const struct dt_conf *dt_path_conf(const struct dt_path *path);

#endif
