/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside the module: a packed ring (virtio 1.2, 2.8), as the worker walks it. See vq.h for what each verb means.
 *
 * Descriptors are told apart by how far they lie behind the next one to take: their offset, below the ring's size.
 */
#ifndef DT_VQ_PACKED_H
#define DT_VQ_PACKED_H

#include <rte_common.h>
#include <rte_cycles.h>

#include "ring.h"

#define DT_PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define DT_PACKED_USED  (1u << VRING_PACKED_DESC_F_USED)
#define DT_PACKED_MARKS (DT_PACKED_AVAIL | DT_PACKED_USED)

/* Of a position as it is kept and told: the wrap counter. */
#define DT_PACKED_WRAP 0x8000u

/** Whether the ring lies where one can. @return 0, -EINVAL, -EFAULT */
int dt_packed_check(const struct dt_vq *vq);

/** @return 0, -EINVAL, -EFAULT */
int dt_packed_start(struct dt_vq *vq);

/** Whether a number is a position in a ring of this size. */
bool dt_packed_is_position(const struct dt_vq *vq, uint32_t position);

/** Forget what was kept: the ring stands there. */
void dt_vq_position_set(struct dt_vq_position *position, uint16_t base);

/** Whether the guest wants to hear of what was published. */
bool dt_packed_wanted(struct dt_vq *vq);

/** Have the guest kick, or not: VRING_PACKED_EVENT_FLAG_ENABLE, VRING_PACKED_EVENT_FLAG_DISABLE. */
void dt_packed_set_kicks(struct dt_vq *vq, uint16_t flags);

/** Record in the dirty log the @p n used descriptors of the batch. */
void dt_packed_log(const struct dt_vq *vq, unsigned int n);

/** The position as it is kept and told. */
static inline uint16_t
dt_packed_position(const struct dt_vq *vq)
{
	return (uint16_t)(vq->last_avail | (vq->avail_flags == DT_PACKED_AVAIL ? DT_PACKED_WRAP : 0));
}

/** The index of a descriptor. */
static inline uint16_t
dt_packed_at(const struct dt_vq *vq, unsigned int offset)
{
	unsigned int at = vq->last_avail + offset;

	return (uint16_t)(at < vq->size ? at : at - vq->size);
}

/** The offset of a descriptor. */
static inline unsigned int
dt_packed_offset(const struct dt_vq *vq, uint16_t at)
{
	return at >= vq->last_avail ? (unsigned int)(at - vq->last_avail)
				    : (unsigned int)(at + vq->size - vq->last_avail);
}

/* Length, id and flags share one word: what is marked is whole. */
static inline uint64_t *
dt_packed_word(const struct dt_vq *vq, uint16_t at)
{
	return (uint64_t *)&vq->ring[at] + 1;
}

/** How a descriptor is marked while it is available: the marks change their places with each lap (2.8.1). */
static inline unsigned int
dt_packed_marks(const struct dt_vq *vq, uint16_t at)
{
	return at >= vq->last_avail ? vq->avail_flags : vq->avail_flags ^ DT_PACKED_MARKS;
}

/**
 * Read a descriptor once.
 *
 * @param offset  below the ring's size
 * @return whether it is available; @p ret is filled in any case
 */
static inline bool
dt_packed_read(const struct dt_vq *vq, unsigned int offset, struct dt_vq_desc *ret)
{
	uint16_t at = dt_packed_at(vq, offset);
	/* Acquire pairs with the driver's write barrier before it marks a chain's first (virtio 1.2, 2.8.21.1). */
	uint64_t word = __atomic_load_n(dt_packed_word(vq, at), __ATOMIC_ACQUIRE);

	ret->addr = __atomic_load_n((uint64_t *)&vq->ring[at], __ATOMIC_RELAXED);
	ret->len = (uint32_t)word;
	ret->id = (uint16_t)(word >> 32);
	ret->flags = (uint16_t)(word >> 48);
	return (ret->flags & DT_PACKED_MARKS) == dt_packed_marks(vq, at);
}

/** Whether a descriptor is available: a hint, until it has been read. */
static inline bool
dt_packed_ready(const struct dt_vq *vq, unsigned int offset)
{
	uint16_t at = dt_packed_at(vq, offset);

	return (__atomic_load_n(&vq->ring[at].flags, __ATOMIC_RELAXED) & DT_PACKED_MARKS) == dt_packed_marks(vq, at);
}

/*
 * The guest writes the very lines that we look at. So the last descriptor of what is wanted comes first, which it
 * reaches last; and a ring that held less than that is left alone for a moment, so that the guest can fill some
 * lines before we take the first away from it again.
 */
static inline unsigned int
dt_packed_available(struct dt_vq *vq, unsigned int want)
{
	unsigned int n = 0;

	want = RTE_MIN(want, (unsigned int)vq->size);
	if (dt_packed_ready(vq, want - 1))
		return want;
	if (vq->rest_until != 0) {
		if (rte_rdtsc() < vq->rest_until)
			return 0;
		vq->rest_until = 0;
	}
	while (n < want - 1 && dt_packed_ready(vq, n))
		n++;
	if (n > 0)
		vq->rest_until = rte_rdtsc() + vq->rest;
	return n;
}

static inline void
dt_packed_use(struct dt_vq *vq, uint16_t id, uint16_t at, uint32_t len)
{
	vq->position->used[vq->n_used++] = (struct dt_vq_used){ .len = len, .id = id, .at = at };
}

/* A used descriptor is marked with the wrap counter in both places (2.8.1); WRITE says that len counts (2.8.4). */
static inline uint64_t
dt_packed_used_word(const struct dt_vq_used *used, unsigned int avail_marks)
{
	uint64_t flags = avail_marks == DT_PACKED_AVAIL ? DT_PACKED_MARKS : 0;

	if (used->len > 0)
		flags |= VRING_DESC_F_WRITE;
	return used->len | (uint64_t)used->id << 32 | flags << 48;
}

/** Write a batch into the ring, its first last: the guest looks at that one, and then sees them all. */
static inline void
dt_packed_write(const struct dt_vq *vq, const struct dt_vq_used *used, unsigned int n)
{
	for (unsigned int i = n; i-- > 1;)
		__atomic_store_n(dt_packed_word(vq, used[i].at),
			dt_packed_used_word(&used[i], dt_packed_marks(vq, used[i].at)), __ATOMIC_RELAXED);
	/* Release pairs with the driver's read barrier after it saw this one used (virtio 1.2, 2.8.21.3). */
	__atomic_store_n(dt_packed_word(vq, used[0].at), dt_packed_used_word(&used[0], dt_packed_marks(vq, used[0].at)),
		__ATOMIC_RELEASE);
}

/** The position @p n descriptors further on. */
static inline uint16_t
dt_packed_position_behind(const struct dt_vq *vq, unsigned int n)
{
	uint16_t position = dt_packed_position(vq);

	return (uint16_t)(vq->last_avail + n < vq->size ? position + n : (position + n - vq->size) ^ DT_PACKED_WRAP);
}

static inline void
dt_packed_go_to(struct dt_vq *vq, uint16_t position)
{
	vq->last_avail = position & (uint16_t)~DT_PACKED_WRAP;
	vq->avail_flags = (position & DT_PACKED_WRAP) != 0 ? DT_PACKED_AVAIL : DT_PACKED_USED;
}

static inline void
dt_packed_publish(struct dt_vq *vq, unsigned int n)
{
	struct dt_vq_position *position = vq->position;
	uint16_t next = dt_packed_position_behind(vq, n);

	/* Who reads this after our death sees all stores up to some point: it is the compiler that must keep order. */
	position->n = vq->n_used;
	rte_compiler_barrier();
	__atomic_store_n(&position->next, next, __ATOMIC_RELAXED);
	rte_compiler_barrier();
	dt_packed_write(vq, position->used, vq->n_used);
	if (unlikely(vq->logs))
		dt_packed_log(vq, vq->n_used);
	rte_compiler_barrier();
	__atomic_store_n(&position->done, next, __ATOMIC_RELAXED);
	dt_packed_go_to(vq, next);
	vq->n_unsignalled += n;
	vq->n_used = 0;
}

#endif
