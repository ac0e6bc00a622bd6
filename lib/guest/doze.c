/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a pair has to have happen before there is something to do, and who wakes its worker then (idle=sleep): the guest
 * by kicks, senders by the lane's bell, and control by mail.
 */
#include "pair.h"

/* Until there is a chain @p steps behind the next one to take. */
static enum dt_doze
await_chain(struct dt_pair *pair, enum dt_ring ring, unsigned int steps)
{
	struct dt_vq *vq = &pair->vq[ring];
	bool kicks = pair->kicks[ring], there;

	if (dt_vq_broken(vq))
		return DT_DOZE_WOKEN; /* until control starts it anew */
	there = kicks ? dt_vq_listen(vq, steps) : dt_vq_ready(vq, steps);
	/* What has broken or vanished just now is for the next poll to deal with. */
	if (there || dt_vq_broken(vq) || dt_gmem_vanished(vq->mem))
		return DT_DOZE_NOT;
	return kicks ? DT_DOZE_WOKEN : DT_DOZE_TIMED;
}

/* Until what waits for the guest can go on, or something does. */
static enum dt_doze
await_lane(struct dt_pair *pair)
{
	if (dt_lane_count(&pair->lane) == 0)
		return DT_DOZE_WOKEN;
	if (!pair->on[DT_RING_TO_GUEST])
		return dt_lane_is_open(&pair->lane) ? DT_DOZE_WOKEN : DT_DOZE_NOT; /* paused, or to be drained */
	if (dt_vq_broken(&pair->vq[DT_RING_TO_GUEST]))
		return DT_DOZE_NOT; /* to be drained, too */
	return await_chain(pair, DT_RING_TO_GUEST, pair->too_few);
}

enum dt_doze
dt_pair_doze(void *arg)
{
	struct dt_pair *pair = arg;
	enum dt_doze lane;

	if (pair->turn.on) /* it ends soon, by the clock or by other workers, and they ring no bell for that */
		return DT_DOZE_NOT;
	lane = await_lane(pair);
	if (lane == DT_DOZE_NOT || !pair->on[DT_RING_FROM_GUEST])
		return lane;
	return RTE_MIN(lane, await_chain(pair, DT_RING_FROM_GUEST, 0));
}

void
dt_pair_rouse(void *arg)
{
	struct dt_pair *pair = arg;

	for (enum dt_ring ring = 0; ring < DT_RINGS; ring++)
		if (pair->on[ring])
			dt_vq_ignore(&pair->vq[ring]);
}
