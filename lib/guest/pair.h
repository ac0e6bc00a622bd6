/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside the module: a guest's queue pair, as the worker sees it.
 *
 * All of it belongs to the worker that polls it; control changes it through the functions at the end, by mail.
 */
#ifndef DT_GUEST_PAIR_H
#define DT_GUEST_PAIR_H

#include "lane.h"
#include "turn.h"
#include "vq.h"
#include "worker.h"

/* A pair's virtqueues, by the ring's number in the protocol. */
enum dt_ring { DT_RING_TO_GUEST, DT_RING_FROM_GUEST, DT_RINGS };

struct dt_pair {
	/* set when made */
	unsigned int at_in; /* the guest's accounts in the ledger */
	unsigned int at_out;
	struct dt_sink sink; /* takes what the guest sends */
	struct dt_lane lane; /* what waits for the guest */

	/* the worker writes, any thread may read a flag */
	struct rte_mempool *pool; /* of the worker's node */
	bool on[DT_RINGS];
	struct dt_vq vq[DT_RINGS];
	struct dt_vq_position position[DT_RINGS]; /* of packed rings that nobody keeps elsewhere */
	unsigned int burst; /* packets that the next burst into the guest may take: DT_BURST, but in a turn */
	struct dt_pair_turn turn;
	uint64_t cycles; /* TSC, of polls that moved packets; see dt_polled */
	unsigned int too_few; /* chains that were not enough for the packet that waits first; 0: unknown */
	struct dt_vq_pieces pieces; /* scratch for chains that are not simple */

	/* control writes while the ring is off or nobody polls the pair, the worker reads */
	bool kicks[DT_RINGS]; /* the guest's kicks wake the worker */
};

/** What a ring that stops means for what waits for the guest. */
enum dt_stop {
	DT_STOP_PAUSE, /* back soon: the lane stays open and fills */
	DT_STOP_CLOSE, /* the lane closes and drains */
};

/* ---- on the worker ---- */

/** Both directions once. @return packets moved */
unsigned int dt_pair_poll(void *pair);

/** Have whoever can bring something wake the worker, and look once more. */
enum dt_doze dt_pair_doze(void *pair);

/** The worker polls again: no kicks. */
void dt_pair_rouse(void *pair);

/** Pairs, as workers poll them. */
extern const struct dt_polled dt_pair_polled;

/** One burst out of the guest. @return packets taken */
unsigned int dt_pair_from_guest(struct dt_pair *pair);

/** One burst into the guest. @return packets that left the lane */
unsigned int dt_pair_to_guest(struct dt_pair *pair);

/* ---- on control, by mail to @p worker ---- */

void dt_pair_start(struct dt_pair *pair, struct dt_worker *worker, enum dt_ring ring, const struct dt_vq *vq);

/**
 * Let go of a ring.
 *
 * @param cause  with DT_STOP_CLOSE: why packets for the guest are dropped from now on
 * @param ret_vq  the queue as the worker left it, with its positions
 * @return whether it ran
 */
bool dt_pair_stop(struct dt_pair *pair, struct dt_worker *worker, enum dt_ring ring, enum dt_stop stop,
	enum dt_cause cause, struct dt_vq *ret_vq);

/** Whether the guest offers anything in a ring that runs. */
bool dt_pair_is_offered(struct dt_pair *pair, struct dt_worker *worker, enum dt_ring ring);

/** Whether it does, or has done so since the ring was started. */
bool dt_pair_was_offered(struct dt_pair *pair, struct dt_worker *worker, enum dt_ring ring);

/** Close the lane, or change why it is closed, and drain it. */
void dt_pair_close(struct dt_pair *pair, struct dt_worker *worker, enum dt_cause cause);

#endif
