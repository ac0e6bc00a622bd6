/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: a split ring (virtio 1.2, 2.7), as the worker walks it. See vq.h for what each verb means. */
#ifndef DT_VQ_SPLIT_H
#define DT_VQ_SPLIT_H

#include "ring.h"

/** @return 0, -EINVAL, -EFAULT */
int dt_split_start(struct dt_vq *vq);

/** Whether the guest wants to hear of what was published. */
bool dt_split_wanted(struct dt_vq *vq);

/** Have the guest kick when the entry @p steps behind the next one is filled. */
void dt_split_listen(struct dt_vq *vq, uint16_t steps);

/** No kicks. */
void dt_split_ignore(struct dt_vq *vq);

/** Record in the dirty log the used ring's last @p n entries, and its index. */
void dt_split_log(const struct dt_vq *vq, uint16_t n);

/*
 * The guest's index is read only if what was seen last falls short: polling the line that the guest writes costs
 * both sides.
 */
static inline unsigned int
dt_split_available(struct dt_vq *vq, unsigned int want)
{
	uint16_t n = (uint16_t)(vq->avail_seen - vq->last_avail);

	if (n >= want)
		return n;
	/* Acquire pairs with the driver's write barrier before it advances idx (virtio 1.2, 2.7.13.3). */
	vq->avail_seen = __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE);
	n = (uint16_t)(vq->avail_seen - vq->last_avail);
	if (unlikely(n > vq->size)) {
		dt_vq_break(vq, DT_VQ_AVAIL_TOO_FAR);
		vq->avail_seen = vq->last_avail;
		return 0;
	}
	return n;
}

/** The head of the i-th available chain; not checked. */
static inline uint16_t
dt_split_head(const struct dt_vq *vq, unsigned int i)
{
	return __atomic_load_n(&vq->avail->ring[(uint16_t)(vq->last_avail + i) & vq->mask], __ATOMIC_RELAXED);
}

/** Read a descriptor of the ring's own table once. @p i is below the ring's size. */
static inline struct dt_vq_desc
dt_split_desc(const struct dt_vq *vq, uint16_t i)
{
	const uint64_t *raw = (const uint64_t *)&vq->desc[i];
	uint64_t rest;
	struct dt_vq_desc d;

	d.addr = __atomic_load_n(&raw[0], __ATOMIC_RELAXED);
	rest = __atomic_load_n(&raw[1], __ATOMIC_RELAXED);
	d.len = (uint32_t)rest;
	d.flags = (uint16_t)(rest >> 32);
	d.next = (uint16_t)(rest >> 48);
	return d;
}

/** A head out of range: its slot is skipped. Too many in a row break the queue. */
static inline void
dt_split_bad_head(struct dt_vq *vq)
{
	if (++vq->bad_heads >= DT_VQ_BAD_HEADS_MAX)
		dt_vq_break(vq, DT_VQ_BAD_HEADS);
}

/** Prefetch for writing where the next @p n used elements go. */
static inline void
dt_split_prefetch_used(const struct dt_vq *vq, unsigned int n)
{
	rte_prefetch0_write(&vq->used->ring[vq->used_idx & vq->mask]);
	rte_prefetch0_write(&vq->used->ring[(uint16_t)(vq->used_idx + n - 1) & vq->mask]);
}

static inline void
dt_split_use(struct dt_vq *vq, uint16_t head, uint32_t len)
{
	struct vring_used_elem *elem = &vq->used->ring[(uint16_t)(vq->used_idx + vq->n_used++) & vq->mask];

	elem->id = head;
	elem->len = len;
}

/* virtio 1.2, 2.7.9: the element of the last one, where that of the first would be. */
static inline void
dt_split_use_run(struct dt_vq *vq, uint16_t head, unsigned int n)
{
	dt_split_use(vq, head, 0);
	vq->n_used = (uint16_t)(vq->n_used + n - 1);
}

static inline void
dt_split_publish(struct dt_vq *vq, unsigned int n)
{
	uint16_t n_used = vq->n_used;

	vq->last_avail = (uint16_t)(vq->last_avail + n);
	vq->used_idx = (uint16_t)(vq->used_idx + n_used);
	vq->n_used = 0;
	/* Release pairs with the driver's read barrier after it saw idx advance (virtio 1.2, 2.7.8.2). */
	__atomic_store_n(&vq->used->idx, vq->used_idx, __ATOMIC_RELEASE);
	if (unlikely(vq->logs))
		dt_split_log(vq, n_used);
}

#endif
