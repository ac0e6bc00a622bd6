/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Split virtqueues, device side: what is available, what a chain consists of, what is used, who is told.
 *
 * A queue belongs to one worker while it runs; control threads set it up and take it down when no worker has it.
 * Everything the guest wrote is read once into a local, checked, then used; a guest that breaks the protocol
 * costs itself a chain or this queue, never the process. Knows nothing of frames.
 *
 * Order of a burst: dt_vq_available(), dt_vq_head() and the descriptors of each chain, copies, dt_vq_use() for each
 * chain, dt_vq_publish(), and dt_vq_notify() once.
 */
#ifndef DT_VQ_H
#define DT_VQ_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include <rte_atomic.h>
#include <rte_prefetch.h>

#include <dptap/drop_cause.h>

#include "gmem.h"

/* The most descriptors that one packet's buffers may consist of, empty ones included, as the kernel's UIO_MAXIOV. */
#define DT_VQ_PIECES_MAX 1024

/* So many unusable heads in a row, and the ring itself makes no sense. */
#define DT_VQ_BAD_HEADS_MAX 16

/** Why a queue is out of service. */
enum dt_vq_fault {
	DT_VQ_FINE,
	DT_VQ_AVAIL_TOO_FAR, /* the available index is further ahead than the ring is long */
	DT_VQ_BAD_HEADS, /* DT_VQ_BAD_HEADS_MAX heads in a row were out of range */
	DT_VQ_VANISHED, /* the memory that holds it did */
};

/** A buffer on its way back to the guest. */
struct dt_vq_used {
	uint32_t len; /* bytes written into it */
	uint16_t id; /* what the guest calls it */
	uint16_t at; /* where in a packed ring its used descriptor goes */
};

/**
 * Where a packed ring stands. In memory that survives us, it lets a successor go on to the descriptor, which nothing
 * in the ring itself tells.
 *
 * Positions are ring indices, the wrap counter in bit 15; between two batches both are the same. A batch is written
 * here first, then next, then the ring, and last done.
 */
struct dt_vq_position {
	uint32_t done; /* all before it was published */
	uint32_t next; /* all before it will be, once the batch is */
	uint32_t n; /* buffers of the batch */
	uint32_t unused;
	struct dt_vq_used used[DT_VQ_PIECES_MAX];
};

struct dt_vq {
	/* set before it runs; of a packed ring, the second names count */
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *ring;
	};
	union {
		struct vring_avail *avail;
		const struct vring_packed_desc_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
	};
	const struct dt_gmem *mem;
	uint64_t features; /* what the guest negotiated, VHOST_F_LOG_ALL included */
	uint8_t *log_base; /* of the migration's dirty log, NULL: there is none */
	uint64_t log_size; /* bytes */
	struct dt_vq_position *position; /* of a packed ring; NULL for a split one, which knows itself */
	uint16_t size; /* entries: split, a power of two; packed, any */
	uint16_t base; /* what to begin with: split, the available index; packed, as in dt_vq_position */
	int callfd; /* -1: the guest polls */

	/* set by dt_vq_start() */
	uint16_t mask;
	uint8_t hdr_len; /* bytes of virtio_net_hdr */
	bool in_order;
	bool event_idx;
	bool mergeable;
	bool notify_on_empty;
	bool logs; /* what is written goes into the dirty log */

	/* the worker's */
	uint16_t last_avail; /* next entry of the available ring to take */
	uint16_t avail_seen; /* avail->idx when last read */
	uint16_t used_idx; /* next entry of the used ring to write; what is below was published */
	uint16_t n_used; /* written, not yet published */
	uint16_t signalled; /* used_idx when the guest was last told */
	bool signalled_valid;
	uint8_t bad_heads; /* in a row */

	/* the worker writes, anybody reads */
	uint8_t fault; /* enum dt_vq_fault */
};

/** A descriptor as it was when it was read. */
struct dt_vq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/** A piece of a packet's buffers, contiguous for us. */
struct dt_vq_piece {
	uint8_t *hva;
	uint32_t len;
};

/** The pieces of one chain, or of several that hold one packet. */
struct dt_vq_pieces {
	uint32_t n;
	uint32_t n_steps; /* descriptors walked, empty ones included */
	uint32_t n_desc; /* of the ring's own that this took */
	uint64_t len; /* bytes in all */
	struct dt_vq_piece piece[DT_VQ_PIECES_MAX];
};

/** Record in the dirty log that @p len bytes at our address @p hva, which lie in one region, were written. */
void dt_vq_log(const struct dt_vq *vq, const void *hva, uint64_t len);

/** The same for the first @p len bytes of what pieces hold. */
void dt_vq_log_pieces(const struct dt_vq *vq, const struct dt_vq_pieces *pieces, uint64_t len);

/** Begin a packet: nothing is gathered yet. The pieces themselves stay as they are; n says how many count. */
static inline void
dt_vq_pieces_clear(struct dt_vq_pieces *pieces)
{
	pieces->n = 0;
	pieces->n_steps = 0;
	pieces->n_desc = 0;
	pieces->len = 0;
}

/**
 * Check a ring's place and take it into service: no kicks from the guest from here on. The worker's first act is
 * one dt_vq_interrupt(), in case one was owed.
 *
 * @param vq  with all of "set before it runs" filled; a split ring's used index goes on where the ring has it
 * @return 0; -EINVAL: size is no power of two or above 32768, or a part is misaligned; -EFAULT: a part lies
 *         outside the guest's memory
 * @note on any thread, while no worker has it
 */
int dt_vq_start(struct dt_vq *vq);

/** Where it stands now, as base is meant: for GET_VRING_BASE, and to start it again. */
static inline uint16_t
dt_vq_base(const struct dt_vq *vq)
{
	return vq->last_avail;
}

/** What goes beside it to rte_vhost_set_vring_base(). */
static inline uint16_t
dt_vq_used_base(const struct dt_vq *vq)
{
	return vq->used_idx;
}

static inline bool
dt_vq_broken(const struct dt_vq *vq)
{
	return unlikely(__atomic_load_n(&vq->fault, __ATOMIC_RELAXED) != DT_VQ_FINE);
}

static inline void
dt_vq_break(struct dt_vq *vq, enum dt_vq_fault fault)
{
	__atomic_store_n(&vq->fault, (uint8_t)fault, __ATOMIC_RELAXED);
}

/** One line for a person; NULL while it is fine. */
const char *dt_vq_fault_text(const struct dt_vq *vq);

/**
 * How many chains the guest has made available, at least as far as @p want goes.
 *
 * The guest's index is read only if what was seen last falls short: polling the line that the guest writes costs
 * both sides.
 *
 * @return 0 to the ring's size; 0 also when the queue broke just now
 */
static inline unsigned int
dt_vq_available(struct dt_vq *vq, unsigned int want)
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
dt_vq_head(const struct dt_vq *vq, unsigned int i)
{
	return __atomic_load_n(&vq->avail->ring[(uint16_t)(vq->last_avail + i) & vq->mask], __ATOMIC_RELAXED);
}

/** Read a descriptor of the ring's own table once. @p i is below the ring's size. */
static inline struct dt_vq_desc
dt_vq_desc_at(const struct dt_vq *vq, uint16_t i)
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

/**
 * Walk the chain of @p head and add its buffers to @p pieces.
 *
 * @param writable  receive buffers: all must be device-writable; else none may be
 * @return DT_CAUSE_MAX: done; else what is wrong with it, and @p pieces holds no more than before
 */
enum dt_cause dt_vq_gather(const struct dt_vq *vq, uint16_t head, bool writable, struct dt_vq_pieces *pieces);

/** A head out of range: its slot is skipped. Too many in a row break the queue. */
static inline void
dt_vq_bad_head(struct dt_vq *vq)
{
	if (++vq->bad_heads >= DT_VQ_BAD_HEADS_MAX)
		dt_vq_break(vq, DT_VQ_BAD_HEADS);
}

/** Prefetch for writing where the next @p n used elements go. */
static inline void
dt_vq_prefetch_used(const struct dt_vq *vq, unsigned int n)
{
	rte_prefetch0_write(&vq->used->ring[vq->used_idx & vq->mask]);
	rte_prefetch0_write(&vq->used->ring[(uint16_t)(vq->used_idx + n - 1) & vq->mask]);
}

/** Give a chain back: @p len bytes were written into it. Seen by the guest after dt_vq_publish(). */
static inline void
dt_vq_use(struct dt_vq *vq, uint16_t head, uint32_t len)
{
	struct vring_used_elem *elem = &vq->used->ring[(uint16_t)(vq->used_idx + vq->n_used++) & vq->mask];

	elem->id = head;
	elem->len = len;
}

/** Record in the dirty log the used ring's last @p n entries, and its index. */
void dt_vq_log_used(const struct dt_vq *vq, uint16_t n);

/** Let the guest see all that was used, and the @p n entries of the available ring that this took. */
static inline void
dt_vq_publish(struct dt_vq *vq, unsigned int n)
{
	uint16_t n_used = vq->n_used;

	vq->last_avail = (uint16_t)(vq->last_avail + n);
	vq->used_idx = (uint16_t)(vq->used_idx + n_used);
	vq->n_used = 0;
	/* Release pairs with the driver's read barrier after it saw idx advance (virtio 1.2, 2.7.8.2). */
	__atomic_store_n(&vq->used->idx, vq->used_idx, __ATOMIC_RELEASE);
	if (unlikely(vq->logs))
		dt_vq_log_used(vq, n_used);
}

/** Interrupt the guest, asked or not. */
void dt_vq_interrupt(struct dt_vq *vq);

/** Interrupt the guest if it wants to hear of what was published. Once a burst. */
void dt_vq_notify(struct dt_vq *vq);

#endif
