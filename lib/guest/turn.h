/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside the module: a turn, the change of the pairs that a guest's packets are spread over, under traffic.
 *
 * A flow that moves from one pair to another must not overtake itself. So control first holds all of the guest's
 * lanes back, spreads anew, and waits until no worker is at work with the old way any more. What lies in the lanes
 * then is of before the turn and goes first; only when all lanes are through with that does any of them go on. A guest
 * that takes nothing ends a turn after a while all the same. Control begins turns; workers see them through.
 */
#ifndef DT_GUEST_TURN_H
#define DT_GUEST_TURN_H

#include <stdbool.h>
#include <stdint.h>

struct dt_guest;
struct dt_pair;

/** What a guest's pairs share. */
struct dt_turn {
	/* control sets at the beginning, workers count down */
	unsigned int n_behind; /* pairs that are not through with what came before the turn */
};

/** A pair's part in a turn. */
struct dt_pair_turn {
	/* set when made */
	struct dt_turn *shared;

	/* the worker's, control reads behind */
	bool on;
	bool held; /* nothing leaves the lane: others may still be at work with the old way */
	bool behind; /* counted in n_behind */
	uint32_t left; /* packets of before the turn that still wait */
	uint64_t until; /* TSC: then order is given up */
};

/** How far the turn is that this pair is in; sets how many packets may leave its lane next. On the worker. */
void dt_turn_look(struct dt_pair *pair);

/** @p n packets have left the lane meanwhile. On the worker. */
void dt_turn_moved(struct dt_pair *pair, unsigned int n);

/** Spread packets over the pairs that have joined, and no others, from now on. Control, with the guest's lock. */
void dt_guest_respread(struct dt_guest *guest);

/** Wait, not for long, until a lane that takes part no more is through with what it held. Control, as above. */
void dt_guest_await_lane(struct dt_guest *guest, const struct dt_pair *pair);

#endif
