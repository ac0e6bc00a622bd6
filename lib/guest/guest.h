/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A guest: one vhost-user socket, the session on it, and the queue pairs that workers poll.
 *
 * librte_vhost speaks the protocol on its own thread; what it reports becomes mail to the worker that owns a
 * queue pair, and only that worker touches its rings. Made, started and stopped on the main thread. The session
 * never makes a worker wait, and a guest that misbehaves loses its connection or a queue, nobody else notices.
 */
#ifndef DT_GUEST_H
#define DT_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "lane.h"
#include "node.h"
#include "worker.h"

struct dt_guest;

enum dt_guest_state {
	DT_GUEST_LISTENING, /* server: nobody is connected */
	DT_GUEST_CONNECTING, /* client: nobody accepts yet, tried once a second */
	DT_GUEST_NEGOTIATING, /* a front end is connected; no ring runs */
	DT_GUEST_RUNNING, /* at least one ring runs */
	DT_GUEST_BROKEN, /* a ring was taken out of service; until it is set up anew */
};

/** What telemetry and others that look on want to know of a queue pair. */
struct dt_guest_pair_info {
	bool runs[2]; /* its rings: to_guest, from_guest */
	bool takes; /* packets for the guest are spread over it */
	unsigned int lcore; /* worker that polls it */
	int node; /* of that worker's CPU */
	unsigned int held; /* packets that wait for the guest */
	uint64_t cycles; /* TSC, that it has taken to move packets, by samples */
};

/** What telemetry shows. */
struct dt_guest_info {
	enum dt_guest_state state;
	uint64_t features; /* negotiated, 0 before */
	uint16_t mtu; /* that the front end has told, bytes; 0: none */
	int memory_node; /* of the guest's memory, -1: unknown */
	uint32_t connections; /* accepted since start */
	unsigned int n_pairs;
	struct dt_guest_pair_info pairs[DT_CONF_QUEUES_MAX];
};

/** Which workers poll a guest's queue pairs. Control threads, some with the guest's lock. */
struct dt_guest_place {
	/**
	 * Choose the worker for a queue pair of a guest whose memory lies on NUMA node @p node (-1: unknown).
	 * Called once for each when made, and whenever a new memory table shows another node while no ring runs.
	 */
	struct dt_worker *(*choose)(void *self, struct dt_worker *now, int node);

	/** A queue pair that @p from polled (NULL: it is new) is @p to's now. NULL: nobody wants to know. */
	void (*moved)(void *self, struct dt_worker *from, struct dt_worker *to);

	void *self;
};

/**
 * Make a guest; it is not reachable before dt_guest_start().
 *
 * @param conf   must outlive the guest
 * @param port   number in the ledger
 * @param sinks  one for each queue pair (conf->n_queues), for what the guest sends there; must outlive the guest
 * @param single_producer  only one lcore will ever put into the guest's lanes
 * @return 0; -ENOMEM; -ENOSPC: the worker polls as many things as it can
 */
int dt_guest_new(const struct dt_conf_guest *conf, unsigned int port, const struct dt_sink *sinks,
	struct dt_guest_place place, bool single_producer, struct dt_guest **ret_guest);

/**
 * Open the socket. Workers run by now.
 *
 * @param error  receives one line that names object, fault and remedy
 * @return 0; -EADDRINUSE: a live process has the socket; -EACCES, -ENOENT, ...: the path cannot be used
 */
int dt_guest_start(struct dt_guest *guest, char error[static DT_ERROR_SIZE]);

/** Close the socket and any connection; what waited is dropped as shutting_down. */
void dt_guest_stop(struct dt_guest *guest);

/** Free a guest that is stopped or was never started; NULL is allowed. */
void dt_guest_free(struct dt_guest *guest);

/**
 * Hand packets to the guest, out of account @p from: each to the queue pair of its flow, of those that are enabled.
 * Takes ownership of all.
 * @return packets queued
 * @note any worker
 */
unsigned int dt_guest_put(struct dt_guest *guest, unsigned int from, struct rte_mbuf **pkts, unsigned int n);

/** Whether anything would be queued now. Any worker. */
bool dt_guest_is_open(const struct dt_guest *guest);

/**
 * Let @p worker poll a queue pair from now on; whatever the guest does meanwhile, no packet is lost or overtaken.
 *
 * @param ret_from  the worker that did
 * @return 0, also if it is the same one; -ENOSPC: @p worker polls as many things as it can
 * @note control threads; waits for both workers, and for what the front end is just being answered
 */
int dt_guest_move(struct dt_guest *guest, unsigned int pair, struct dt_worker *worker, struct dt_worker **ret_from);

/** What waits for the guest at one of its queue pairs. */
struct dt_lane *dt_guest_lane(struct dt_guest *guest, unsigned int pair);

const struct dt_conf_guest *dt_guest_conf(const struct dt_guest *guest);

/** Any thread. */
void dt_guest_info(struct dt_guest *guest, struct dt_guest_info *ret_info);

/** What telemetry shows of where things really lie: NUMA nodes. */
struct dt_guest_nodes {
	int memory; /* most of the guest's, -1: unknown */
	unsigned int n_pairs;
	struct dt_queue_nodes pairs[DT_CONF_QUEUES_MAX];
};

/** Look now; takes some system calls. Any thread. */
void dt_guest_nodes(struct dt_guest *guest, struct dt_guest_nodes *ret_nodes);

const char *dt_guest_state_name(enum dt_guest_state state);

/**
 * Say what a worker found and may not say itself (a broken ring), once, and spread packets over queues that have become
 * usable. Control, now and then.
 */
void dt_guest_tick(struct dt_guest *guest);

/** Have @p gone(@p arg) run on a pair's worker when a front end has gone: what was learnt from it is void. */
void dt_guest_on_gone(struct dt_guest *guest, unsigned int pair, void (*gone)(void *arg), void *arg);

#endif
