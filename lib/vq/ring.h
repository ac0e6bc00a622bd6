/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: what a virtqueue is, of either layout. Everybody else includes vq.h. */
#ifndef DT_VQ_RING_H
#define DT_VQ_RING_H

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
	int kickfd; /* of whoever waits for kicks, -1: there are none; this module does not touch it */

	/* set by dt_vq_start() */
	uint16_t mask; /* split: size - 1 */
	uint8_t hdr_len; /* bytes of virtio_net_hdr */
	bool packed;
	bool in_order;
	bool event_idx;
	bool mergeable;
	bool notify_on_empty;
	bool logs; /* what is written goes into the dirty log */
	uint32_t rest; /* packed: how long a ring that was emptied is left alone, TSC cycles */

	/* the worker's */
	uint16_t last_avail; /* next entry of the available ring, or of a packed one, to take */
	uint16_t n_used; /* buffers used, not yet published */
	bool signalled_valid; /* the guest was told since the queue started */
	bool listens; /* the guest was asked for kicks */
	uint16_t avail_seen; /* split: avail->idx when last read */
	uint16_t used_idx; /* split: next entry of the used ring to write; what is below was published */
	uint16_t signalled; /* split: used_idx when the guest was last told */
	uint8_t bad_heads; /* split: in a row */
	uint16_t avail_flags; /* packed: how an available descriptor is marked in this lap */
	uint32_t n_unsignalled; /* packed: descriptors published since the guest was last told */
	uint64_t rest_until; /* packed: TSC; 0: it is not left alone */

	/* the worker writes, anybody reads */
	uint8_t fault; /* enum dt_vq_fault */
};

/** A descriptor as it was when it was read. */
struct dt_vq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	union {
		uint16_t next;
		uint16_t id; /* of a packed ring's */
	};
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
	uint16_t id; /* what the guest calls the last chain */
	uint64_t len; /* bytes in all */
	struct dt_vq_piece piece[DT_VQ_PIECES_MAX];
};

/** Read from the features what follows from them. */
void dt_vq_derive(struct dt_vq *vq);

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

#endif
