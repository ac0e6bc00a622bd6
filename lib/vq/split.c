/* SPDX-License-Identifier: BSD-3-Clause */
#include "split.h"

#include <errno.h>

#include "vq.h"

/* virtio 1.2, 2.7.10: the two event fields lie behind the rings. */
static inline uint16_t *
used_event(const struct dt_vq *vq)
{
	return &vq->avail->ring[vq->size];
}

static inline uint16_t *
avail_event(const struct dt_vq *vq)
{
	return (uint16_t *)&vq->used->ring[vq->size];
}

/* virtio 1.2, 2.7.10: by flag, or with EVENT_IDX by the index of the entry that is to be kicked for. */
static void
set_kicks(struct dt_vq *vq, uint16_t flags, uint16_t event)
{
	__atomic_store_n(&vq->used->flags, flags, __ATOMIC_RELAXED);
	if (vq->event_idx)
		__atomic_store_n(avail_event(vq), event, __ATOMIC_RELAXED);
	if (vq->logs) {
		dt_vq_log(vq, &vq->used->flags, sizeof(vq->used->flags));
		dt_vq_log(vq, avail_event(vq), sizeof(uint16_t));
	}
}

void
dt_split_listen(struct dt_vq *vq, uint16_t steps)
{
	set_kicks(vq, 0, (uint16_t)(vq->last_avail + steps));
}

void
dt_split_ignore(struct dt_vq *vq)
{
	/* An index that the guest has passed already. */
	set_kicks(vq, VRING_USED_F_NO_NOTIFY, (uint16_t)(vq->last_avail - 1));
}

int
dt_split_start(struct dt_vq *vq)
{
	if (vq->size == 0 || vq->size > 32768 || (vq->size & (vq->size - 1)) != 0)
		return -EINVAL;
	if ((uintptr_t)vq->desc % 16 != 0 || (uintptr_t)vq->avail % 2 != 0 || (uintptr_t)vq->used % 4 != 0)
		return -EINVAL;
	if (!dt_gmem_contains(vq->mem, vq->desc, 16ULL * vq->size) ||
		!dt_gmem_contains(vq->mem, vq->avail, 6 + 2ULL * vq->size) ||
		!dt_gmem_contains(vq->mem, vq->used, 6 + 8ULL * vq->size))
		return -EFAULT;
	vq->mask = (uint16_t)(vq->size - 1);
	vq->last_avail = vq->base;
	vq->avail_seen = vq->base;
	vq->used_idx = __atomic_load_n(&vq->used->idx, __ATOMIC_RELAXED);
	vq->bad_heads = 0;

	dt_split_ignore(vq);
	return 0;
}

bool
dt_split_wanted(struct dt_vq *vq)
{
	uint16_t old = vq->signalled;

	if (!vq->event_idx)
		return (__atomic_load_n(&vq->avail->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
	vq->signalled = vq->used_idx;
	return !vq->signalled_valid ||
	       vring_need_event(__atomic_load_n(used_event(vq), __ATOMIC_RELAXED), vq->used_idx, old);
}

void
dt_split_log(const struct dt_vq *vq, uint16_t n)
{
	struct vring_used *used = vq->used;
	uint16_t first = (uint16_t)(vq->used_idx - n) & vq->mask;
	uint32_t before_end = n <= vq->size - first ? n : (uint32_t)(vq->size - first);

	dt_vq_log(vq, &used->ring[first], before_end * sizeof(used->ring[0]));
	dt_vq_log(vq, &used->ring[0], (n - before_end) * sizeof(used->ring[0]));
	dt_vq_log(vq, &used->idx, sizeof(used->idx));
}
