/* SPDX-License-Identifier: BSD-3-Clause */
/* Which worker polls which queue pair: chosen when it is made, and changed at run time. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>

#include "log.h"
#include "place.h"

struct dt_worker *
dt_path_choose(void *self, struct dt_worker *now, int node)
{
	struct dt_path *path = self;
	struct dt_place_worker workers[RTE_MAX_LCORE];
	unsigned int n = dt_workers_count();
	int now_index = -1;

	pthread_mutex_lock(&path->place_lock);
	for (unsigned int i = 0; i < n; i++) {
		struct dt_worker *worker = dt_worker_at(i);

		workers[i] = (struct dt_place_worker){ .node = dt_worker_node(worker), .n_pairs = path->n_pairs[i] };
		if (worker == now)
			now_index = (int)i;
	}
	pthread_mutex_unlock(&path->place_lock);
	return dt_worker_at(dt_place_choose(workers, n, now_index, node));
}

void
dt_path_count(void *self, struct dt_worker *from, struct dt_worker *to)
{
	struct dt_path *path = self;

	pthread_mutex_lock(&path->place_lock);
	for (unsigned int i = 0; i < dt_workers_count(); i++) {
		if (dt_worker_at(i) == from)
			path->n_pairs[i]--;
		if (dt_worker_at(i) == to)
			path->n_pairs[i]++;
	}
	pthread_mutex_unlock(&path->place_lock);
}

/* @return 0; -ENOSPC */
static int
move_uplink_queue(struct dt_path *path, struct dt_uplink *uplink, unsigned int queue, struct dt_worker *to,
	struct dt_worker **ret_from)
{
	int err = 0;

	*ret_from = dt_uplink_worker(uplink, queue);
	if (*ret_from != to)
		err = dt_uplink_move(uplink, queue, to);
	if (err == 0 && *ret_from != to)
		dt_path_count(path, *ret_from, to);
	return err;
}

/* @param counter  of moves. @return 0; -ENOSPC */
static int
move(struct dt_path *path, unsigned int port, unsigned int pair, struct dt_worker *to, struct dt_worker **ret_from,
	uint64_t *counter)
{
	struct dt_uplink *uplink = dt_path_uplink(path, port);
	int err;

	pthread_mutex_lock(&path->move_lock);
	err = uplink != NULL ? move_uplink_queue(path, uplink, pair, to, ret_from)
			     : dt_guest_move(dt_path_guest(path, port), pair, to, ret_from);
	if (err == 0 && *ret_from != to)
		dt_counter_add(counter, 1);
	pthread_mutex_unlock(&path->move_lock);
	return err;
}

static const char *
kind_of(const struct dt_path *path, unsigned int port)
{
	return dt_path_guest(path, port) != NULL ? "guest" : "uplink";
}

unsigned int
dt_path_n_pairs(const struct dt_path *path, unsigned int port)
{
	return port < path->conf->n_uplinks ? path->conf->uplinks[port].n_queues
					    : path->conf->guests[port - path->conf->n_uplinks].n_queues;
}

static struct dt_worker *
worker_of(unsigned int lcore)
{
	for (unsigned int i = 0; i < dt_workers_count(); i++)
		if (dt_worker_lcore(dt_worker_at(i)) == lcore)
			return dt_worker_at(i);
	return NULL;
}

int
dt_path_move(struct dt_path *path, unsigned int port, unsigned int pair, unsigned int lcore, unsigned int *ret_from,
	char error[static DT_ERROR_SIZE])
{
	const char *kind = kind_of(path, port), *name = dt_path_name(path, port);
	unsigned int n = dt_path_n_pairs(path, port);
	struct dt_worker *to = worker_of(lcore), *from;
	int err;

	if (pair >= n) {
		snprintf(error, DT_ERROR_SIZE, "%s '%s': no queue pair %u: there %s %u, from 0 on", kind, name, pair,
			n == 1 ? "is" : "are", n);
		return -ENOENT;
	}
	if (to == NULL) {
		snprintf(error, DT_ERROR_SIZE, "lcore %u is no worker; /dptap/lcores lists those that are", lcore);
		return -ENODEV;
	}
	err = move(path, port, pair, to, &from, &path->n_moved_by_hand);
	if (err != 0) {
		snprintf(error, DT_ERROR_SIZE, "%s '%s': lcore %u polls as many queue pairs as it can: choose another",
			kind, name, lcore);
		return err;
	}
	*ret_from = dt_worker_lcore(from);
	if (from != to)
		DT_LOG(NOTICE, "%s '%s': queue pair %u moved from lcore %u to lcore %u, by /dptap/move", kind, name,
			pair, *ret_from, lcore);
	return 0;
}

void
dt_path_move_by_itself(
	struct dt_path *path, unsigned int port, unsigned int pair, struct dt_worker *to, const struct dt_path_why *why)
{
	const char *kind = kind_of(path, port), *name = dt_path_name(path, port);
	struct dt_worker *from;
	int err = move(path, port, pair, to, &from, &path->n_moved_by_itself);

	if (err != 0)
		DT_LOG(WARNING, "%s '%s': queue pair %u does not move: lcore %u polls as many as it can", kind, name,
			pair, dt_worker_lcore(to));
	else
		DT_LOG(NOTICE,
			"%s '%s': queue pair %u moved from lcore %u (%u %% busy, %u %% by this pair) "
			"to lcore %u (%u %% busy), by rebalance=auto",
			kind, name, pair, dt_worker_lcore(from), why->from / 10, why->pair / 10, dt_worker_lcore(to),
			why->to / 10);
}

uint64_t
dt_path_moved(const struct dt_path *path, bool by_itself)
{
	return dt_counter_read(by_itself ? &path->n_moved_by_itself : &path->n_moved_by_hand);
}
