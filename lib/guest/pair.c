/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

struct order {
	struct dt_pair *pair;
	enum dt_ring ring;
	const struct dt_vq *vq;
	enum dt_stop stop;
	enum dt_cause cause;
	struct dt_vq *ret_vq;
	bool ran; /* answers: */
	bool offered;
	bool went_on;
};

/* Several senders may fill a lane in one round; a visit empties it so far, and no guest can hog a worker. */
#define VISIT_BURSTS 8

static unsigned int
visit_lane(struct dt_pair *pair)
{
	unsigned int moved = 0;

	for (unsigned int i = 0; i < VISIT_BURSTS && likely(pair->burst > 0); i++) {
		unsigned int n = dt_pair_to_guest(pair);

		moved += n;
		if (unlikely(pair->turn.on)) {
			dt_turn_moved(pair, n);
			dt_turn_look(pair);
		}
		if (n < DT_BURST)
			break;
	}
	return moved;
}

/* Rings may vanish without a packet in sight. @return whether this one runs */
static inline bool
runs(struct dt_pair *pair, enum dt_ring ring)
{
	if (!pair->on[ring])
		return false;
	if (dt_gmem_vanished(pair->vq[ring].mem))
		dt_vq_break(&pair->vq[ring], DT_VQ_VANISHED);
	return true;
}

unsigned int
dt_pair_poll(void *arg)
{
	struct dt_pair *pair = arg;
	unsigned int moved = 0;

	if (unlikely(pair->turn.on))
		dt_turn_look(pair);
	if (runs(pair, DT_RING_FROM_GUEST))
		moved = dt_pair_from_guest(pair);
	if (runs(pair, DT_RING_TO_GUEST))
		return moved + visit_lane(pair);
	/* A sender may have looked at the lane just before it closed. */
	if (unlikely(!dt_lane_is_open(&pair->lane) && dt_lane_count(&pair->lane) > 0))
		moved += dt_lane_drain(&pair->lane, (enum dt_cause)pair->lane.closed_cause);
	return moved;
}

static uint64_t *
cycles_of(void *pair)
{
	return &((struct dt_pair *)pair)->cycles;
}

const struct dt_polled dt_pair_polled = {
	.poll = dt_pair_poll,
	.doze = dt_pair_doze,
	.rouse = dt_pair_rouse,
	.cycles = cycles_of,
};

static void
start(void *arg)
{
	struct order *order = arg;
	struct dt_pair *pair = order->pair;

	pair->vq[order->ring] = *order->vq;
	/* Its interrupt may have got lost while the ring stood still; one too many does no harm. */
	dt_vq_interrupt(&pair->vq[order->ring]);
	__atomic_store_n(&pair->on[order->ring], true, __ATOMIC_RELAXED);
	if (order->ring == DT_RING_TO_GUEST) {
		pair->too_few = 0;
		dt_lane_blame(&pair->lane, DT_CAUSE_LANE_WORKER_BUSY);
		dt_lane_open(&pair->lane);
	}
}

static void
close_lane(void *arg)
{
	struct order *order = arg;

	dt_lane_close(&order->pair->lane, order->cause);
	dt_lane_drain(&order->pair->lane, order->cause);
}

static void
stop(void *arg)
{
	struct order *order = arg;
	struct dt_pair *pair = order->pair;

	order->ran = pair->on[order->ring];
	*order->ret_vq = pair->vq[order->ring];
	__atomic_store_n(&pair->on[order->ring], false, __ATOMIC_RELAXED);
	if (order->ring != DT_RING_TO_GUEST)
		return;
	if (order->stop == DT_STOP_CLOSE)
		close_lane(order);
	else
		dt_lane_blame(&pair->lane, DT_CAUSE_LANE_QUEUE_PAUSED);
}

void
dt_pair_start(struct dt_pair *pair, struct dt_worker *worker, enum dt_ring ring, const struct dt_vq *vq)
{
	struct order order = { .pair = pair, .ring = ring, .vq = vq };

	dt_worker_call(worker, start, &order);
}

bool
dt_pair_stop(struct dt_pair *pair, struct dt_worker *worker, enum dt_ring ring, enum dt_stop how, enum dt_cause cause,
	struct dt_vq *ret_vq)
{
	struct order order = { .pair = pair, .ring = ring, .stop = how, .cause = cause, .ret_vq = ret_vq };

	dt_worker_call(worker, stop, &order);
	return order.ran;
}

static void
look_at_offer(void *arg)
{
	struct order *order = arg;
	struct dt_vq *vq = &order->pair->vq[order->ring];

	order->offered = order->pair->on[order->ring] && dt_vq_ready(vq, 0);
	order->went_on = dt_vq_base(vq) != vq->base;
}

bool
dt_pair_is_offered(struct dt_pair *pair, struct dt_worker *worker, enum dt_ring ring)
{
	struct order order = { .pair = pair, .ring = ring };

	dt_worker_call(worker, look_at_offer, &order);
	return order.offered;
}

bool
dt_pair_was_offered(struct dt_pair *pair, struct dt_worker *worker, enum dt_ring ring)
{
	struct order order = { .pair = pair, .ring = ring };

	dt_worker_call(worker, look_at_offer, &order);
	return order.offered || order.went_on;
}

void
dt_pair_close(struct dt_pair *pair, struct dt_worker *worker, enum dt_cause cause)
{
	struct order order = { .pair = pair, .cause = cause };

	dt_worker_call(worker, close_lane, &order);
}
