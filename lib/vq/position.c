/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The position of a packed ring outlives the process that kept it. A batch overwrites descriptors that cannot be had
 * back, and the guest sees none of it before the first is marked. So who dies in between leaves a batch that must be
 * finished from what was written down; who dies before leaves one that never was.
 */
#include <errno.h>

#include "vq.h"

void
dt_vq_position_set(struct dt_vq_position *position, uint16_t base)
{
	position->n = 0; /* no batch, whatever the two say meanwhile */
	rte_compiler_barrier();
	__atomic_store_n(&position->next, base, __ATOMIC_RELAXED);
	__atomic_store_n(&position->done, base, __ATOMIC_RELAXED);
}

/* A batch begins at the queue's position, and no two buffers of it share a place. */
static bool
is_batch(const struct dt_vq *vq, const struct dt_vq_position *position)
{
	unsigned int least = 0; /* offset */

	if (position->n == 0 || position->n > DT_VQ_PIECES_MAX || position->used[0].at != vq->last_avail)
		return false;
	for (unsigned int i = 0; i < position->n; i++) {
		uint16_t at = position->used[i].at;

		if (at >= vq->size || dt_packed_offset(vq, at) < least)
			return false;
		least = dt_packed_offset(vq, at) + 1;
	}
	return true;
}

int
dt_vq_position_recover(const struct dt_vq *vq, uint16_t *ret_base)
{
	struct dt_vq_position *position = vq->position;
	struct dt_vq before = *vq; /* the batch */
	int err = dt_packed_check(vq);

	if (err != 0)
		return err;
	if (!dt_packed_is_position(vq, position->done) || !dt_packed_is_position(vq, position->next))
		return -EINVAL;
	dt_vq_derive(&before);
	dt_packed_go_to(&before, (uint16_t)position->done);
	if (position->next != position->done && !is_batch(&before, position))
		return -EINVAL;
	/* Its first still available: the guest saw nothing of it. */
	if (position->next != position->done && dt_packed_ready(&before, 0)) {
		dt_packed_write(&before, position->used, position->n);
		if (before.logs)
			dt_packed_log(&before, position->n);
	}
	rte_compiler_barrier();
	__atomic_store_n(&position->done, position->next, __ATOMIC_RELAXED);
	*ret_base = (uint16_t)position->next;
	return 0;
}
