/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside the module: a bridge (an uplink and its guests), the pipe of a pass-through uplink, and where packets
 * enter them.
 *
 * Wired on the main thread; then workers bring packets in through an ingress, each owned by one worker.
 */
#ifndef DT_BRIDGE_H
#define DT_BRIDGE_H

#include "guest.h"
#include "uplink.h"

struct dt_fdb;

/* Addresses that one guest may teach the bridge. */
#define DT_LEARN_MAX 64

/** A port of a bridge, as a destination: one of uplink and guest is set. */
struct dt_member {
	struct dt_uplink *uplink;
	struct dt_guest *guest;

	/* its workers count: addresses that it has taught the bridge */
	uint32_t n_taught __rte_cache_aligned;
};

struct dt_bridge {
	struct dt_fdb *fdb; /* NULL: a pipe, whose one guest and uplink reach each other unseen */
	unsigned int n_members;
	struct dt_member *members; /* an uplink, if there is one, is the first */
};

/** Where packets of one queue pair enter a bridge. */
struct dt_ingress {
	/* set when wired */
	struct dt_bridge *bridge;
	unsigned int self; /* the member that they come from */
	unsigned int at; /* its inward account */
	unsigned int lane; /* which of an uplink's lanes these packets take: one, so that a flow keeps its order */

	bool teaches; /* a guest whose MAC is not configured: what it sends is learnt */
	uint64_t own; /* the MAC that is configured, 0: none */

	/* control sets, the worker clears: look at the next source even if it is the last one again */
	bool look_again;

	/* the worker writes, control reads */
	uint64_t stranger; /* another MAC that the guest has used, 0: none was seen */
	uint32_t n_gone; /* front ends that were here */

	/* control's, in the first pair's ingress: it has told of a stranger, at the front end after so many others */
	bool told;
	uint32_t told_of;

	/* the worker's */
	uint64_t last_source; /* MAC that was dealt with last */
	unsigned int n_learnt;
	uint64_t learnt[DT_LEARN_MAX]; /* MACs */
	uint64_t learn_until; /* TSC end of the period in which n_tries were made */
	unsigned int n_tries;
} __rte_cache_aligned;

/** A sink: forward by destination MAC, clone broadcast and multicast, learn sources. */
unsigned int dt_bridge_take(void *ingress, struct rte_mbuf **pkts, unsigned int n);

/** Have an ingress look at sources again, in case another has taken one over. Control, now and then. */
static inline void
dt_bridge_look_again(struct dt_ingress *in)
{
	__atomic_store_n(&in->look_again, true, __ATOMIC_RELAXED);
}

/**
 * A MAC that is not the configured one, but that a guest of @p n queue pairs was seen to send from. Control.
 * @return it, once for each front end; 0: none, or it was told
 */
uint64_t dt_bridge_stranger(struct dt_ingress *ingress, unsigned int n);

/** Forget what was learnt from an ingress. On its worker. */
void dt_bridge_forget(void *ingress);

/** A sink: forward to the only other member. */
unsigned int dt_pipe_take(void *ingress, struct rte_mbuf **pkts, unsigned int n);

#endif
