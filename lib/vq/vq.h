/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Virtqueues, device side: what is available, what a chain consists of, what is used, who is told.
 *
 * A queue belongs to one worker while it runs; control threads set it up and take it down when no worker has it.
 * Everything the guest wrote is read once into a local, checked, then used; a guest that breaks the protocol
 * costs itself a chain or this queue, never the process. Knows nothing of frames.
 *
 * Order of a burst: dt_vq_available(), then for each chain its descriptors, copies and dt_vq_use(); dt_vq_publish(),
 * and dt_vq_notify() once.
 *
 * There are two layouts, split and packed (virtio 1.2, 2.7 and 2.8), with the same verbs. Those that run for each
 * packet are told which it is by a parameter, a constant wherever speed counts. A burst counts its way through the
 * ring in steps: entries of the available ring if it is split, descriptors if it is packed.
 */
#ifndef DT_VQ_H
#define DT_VQ_H

#include "packed.h"
#include "ring.h"
#include "split.h"

/**
 * Check a ring's place and take it into service: no kicks from the guest from here on. The worker's first act is
 * one dt_vq_interrupt(), in case one was owed.
 *
 * @param vq  with all of "set before it runs" filled; a split ring's used index goes on where the ring has it
 * @return 0; -EINVAL: the size or base is none for this layout, a part is misaligned, or a packed ring has no place
 *         for its position; -EFAULT: a part lies outside the guest's memory
 * @note on any thread, while no worker has it
 */
int dt_vq_start(struct dt_vq *vq);

/**
 * Find out where a packed ring stood when the process that kept vq->position died, and complete what it was about to
 * tell the guest.
 *
 * @param vq  as for dt_vq_start(), which comes after this; base does not count
 * @return 0; -EINVAL: this is no such record of this ring; -EFAULT: the ring lies outside the guest's memory
 */
int dt_vq_position_recover(const struct dt_vq *vq, uint16_t *ret_base);

/** Where it stands now, as base is meant: for GET_VRING_BASE, and to start it again. */
static inline uint16_t
dt_vq_base(const struct dt_vq *vq)
{
	return vq->packed ? dt_packed_position(vq) : vq->last_avail;
}

/** What goes beside it to rte_vhost_set_vring_base(). */
static inline uint16_t
dt_vq_used_base(const struct dt_vq *vq)
{
	return vq->packed ? dt_packed_position(vq) : vq->used_idx;
}

/** One line for a person; NULL while it is fine. */
const char *dt_vq_fault_text(const struct dt_vq *vq);

/**
 * How many steps the guest has made available, at least as far as @p want goes.
 *
 * @param want  above 0
 * @return 0 to the ring's size; 0 also when the queue broke just now, or a packed ring is left alone for a moment. Of
 *         a packed ring it is what a first look shows: each descriptor is judged when it is read
 */
static inline unsigned int
dt_vq_available(struct dt_vq *vq, bool packed, unsigned int want)
{
	return packed ? dt_packed_available(vq, want) : dt_split_available(vq, want);
}

/** Whether a chain is available @p steps behind the next one to take. */
static inline bool
dt_vq_ready(struct dt_vq *vq, unsigned int steps)
{
	if (steps >= vq->size)
		return false;
	return vq->packed ? dt_packed_ready(vq, steps) : dt_split_available(vq, steps + 1) > steps;
}

/** Where the chain @p steps behind the next one begins: an index of the ring; of a split one, not checked. */
static inline uint16_t
dt_vq_head(const struct dt_vq *vq, unsigned int steps)
{
	return vq->packed ? dt_packed_at(vq, steps) : dt_split_head(vq, steps);
}

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
 * Walk an available chain and add its buffers to @p pieces.
 *
 * @param head      of dt_vq_head(), below the ring's size
 * @param writable  receive buffers: all must be device-writable; else none may be
 * @return DT_CAUSE_MAX: done; else what is wrong with it, and @p pieces holds no more buffers than before. Its id, and
 *         n_desc, are those of the chain in any case
 */
enum dt_cause dt_vq_gather(const struct dt_vq *vq, uint16_t head, bool writable, struct dt_vq_pieces *pieces);

/**
 * Give a chain back. Seen by the guest after dt_vq_publish().
 *
 * @param id   what the guest calls it: the head, or of a packed ring the id in its last descriptor
 * @param at   packed: the index at which it began
 * @param len  bytes written into it
 */
static inline void
dt_vq_use(struct dt_vq *vq, bool packed, uint16_t id, uint16_t at, uint32_t len)
{
	if (packed)
		dt_packed_use(vq, id, at, len);
	else
		dt_split_use(vq, id, len);
}

/**
 * Give the next @p n chains of an in-order ring back at once, nothing written into any.
 *
 * @param id  of the last one
 */
static inline void
dt_vq_use_run(struct dt_vq *vq, bool packed, uint16_t id, unsigned int n)
{
	if (packed)
		dt_packed_use(
			vq, id, vq->last_avail, 0); /* virtio 1.2, 2.8.9: that one alone, in the place of the first */
	else
		dt_split_use_run(vq, id, n);
}

/** Let the guest see all that was used, and the @p steps that this took. Something was, if it is packed. */
static inline void
dt_vq_publish(struct dt_vq *vq, bool packed, unsigned int steps)
{
	if (packed)
		dt_packed_publish(vq, steps);
	else
		dt_split_publish(vq, steps);
}

/**
 * Ask the guest for a kick when a chain is available @p steps behind the next one to take; what is in front of that is
 * there already.
 *
 * @return whether that chain is there by now: the guest may have looked before it was asked, and not kick
 */
bool dt_vq_listen(struct dt_vq *vq, unsigned int steps);

/** Ask for no kicks any more, if it was asked. */
void dt_vq_ignore(struct dt_vq *vq);

/** Interrupt the guest, asked or not. */
void dt_vq_interrupt(struct dt_vq *vq);

/** Interrupt the guest if it wants to hear of what was published. Once a burst. */
void dt_vq_notify(struct dt_vq *vq);

/** Record in the dirty log that @p len bytes at our address @p hva, which lie in one region, were written. */
void dt_vq_log(const struct dt_vq *vq, const void *hva, uint64_t len);

/** The same for the first @p len bytes of what pieces hold. */
void dt_vq_log_pieces(const struct dt_vq *vq, const struct dt_vq_pieces *pieces, uint64_t len);

#endif
