/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <rte_memcpy.h>

#include "pool.h"
#include "stage.h"
#include "vnet.h"

/*
 * A burst goes in three passes, so that each waits for memory once and not for each packet: heads and the
 * descriptors' lines; descriptors read, checked and translated, the frames' lines on their way; headers, copies, mbufs.
 * In a packed ring a chain hides where the next one begins: it ends a run of slots, behind which the passes begin anew.
 */

/* An available chain. */
struct slot {
	uint16_t head; /* of dt_vq_head() */
	uint16_t id;
	uint32_t len; /* with virtio_net_hdr */
	const uint8_t *src; /* NULL: not one readable buffer of moderate size, or head is bad; to be gathered */
};

/* What a burst came to. */
struct tally {
	struct rte_mbuf **mbufs; /* fresh ones, taken from the front */
	struct rte_mbuf *good[DT_BURST];
	unsigned int n_good;
	unsigned int n_packets; /* good or dropped */
	unsigned int n_walked; /* descriptors of chains that were walked */
	unsigned int n_used; /* chains that go back */
	unsigned int steps; /* of the ring that all this took */
	uint16_t last_id; /* of what goes back */
	uint64_t bytes;
};

/* All but the list of good packets, which would take longer to clear than anything else does for a burst. */
static __rte_always_inline void
tally_begin(struct tally *tally, struct rte_mbuf **fresh)
{
	tally->mbufs = fresh;
	tally->n_good = 0;
	tally->n_packets = 0;
	tally->n_walked = 0;
	tally->n_used = 0;
	tally->steps = 0;
	tally->bytes = 0;
}

/* Where the frame is, if it is one readable buffer of moderate size, and the frame's lines on their way. */
static __rte_always_inline void
locate(const struct dt_vq *vq, const struct dt_vq_desc *d, struct slot *slot)
{
	slot->src = NULL;
	if (unlikely(d->len < vq->hdr_len + (uint32_t)RTE_ETHER_HDR_LEN ||
		     d->len > vq->hdr_len + (uint32_t)DT_POOL_ROOM))
		return;
	slot->len = d->len;
	slot->src = dt_gmem_at(vq->mem, d->addr, d->len);
	if (unlikely(slot->src == NULL))
		return;
	rte_prefetch0(slot->src);
	rte_prefetch0(slot->src + RTE_CACHE_LINE_SIZE);
}

/* First and second pass. @return slots, always @p n */
static __rte_always_inline unsigned int
read_split(const struct dt_vq *vq, struct slot *slots, unsigned int n, const bool in_order)
{
	for (unsigned int i = 0; i < n; i++) {
		slots[i].head = dt_split_head(vq, i);
		slots[i].id = slots[i].head;
		if (likely(slots[i].head < vq->size))
			rte_prefetch0(&vq->desc[slots[i].head]);
	}
	/* The guest polls the index: by the time it is written its line is ours again, as are those of the elements. */
	rte_prefetch0_write(&vq->used->idx);
	if (!in_order)
		dt_split_prefetch_used(vq, n);
	for (unsigned int i = 0; i < n; i++) {
		struct dt_vq_desc d;

		slots[i].src = NULL;
		if (unlikely(slots[i].head >= vq->size))
			continue;
		d = dt_split_desc(vq, slots[i].head);
		if (likely(d.flags == 0))
			locate(vq, &d, &slots[i]);
	}
	return n;
}

/* The same @p steps behind. @return slots, fewer than @p n behind a chain, or where the guest has posted no more */
static __rte_always_inline unsigned int
read_packed(const struct dt_vq *vq, unsigned int steps, struct slot *slots, unsigned int n)
{
	n = RTE_MIN(n, vq->size - steps);
	for (unsigned int i = 0; i < n; i++) {
		struct dt_vq_desc d;

		if (unlikely(!dt_packed_read(vq, steps + i, &d)))
			return i;
		slots[i].head = dt_packed_at(vq, steps + i);
		slots[i].id = d.id;
		slots[i].src = NULL;
		if (likely((d.flags & ~DT_PACKED_MARKS) == 0))
			locate(vq, &d, &slots[i]);
		else if ((d.flags & VRING_DESC_F_NEXT) != 0)
			return i + 1;
	}
	return n;
}

/* The fields of a fresh mbuf that anybody behind us reads, in few stores; a pool's mbuf has next and nb_segs right. */
static __rte_always_inline void
mbuf_reset(struct rte_mbuf *m, uint32_t frame_len)
{
	static const struct rte_mbuf template = {
		.data_off = RTE_PKTMBUF_HEADROOM, .refcnt = 1, .nb_segs = 1, .port = RTE_MBUF_PORT_INVALID
	};

	memcpy(&m->rearm_data, &template.rearm_data, sizeof(uint64_t));
	m->ol_flags = 0;
	m->packet_type = 0;
	m->pkt_len = frame_len;
	m->data_len = (uint16_t)frame_len;
	m->vlan_tci = 0;
}

static __rte_always_inline void
settle(struct dt_pair *pair, struct tally *tally, struct rte_mbuf *m, enum dt_cause cause)
{
	tally->bytes += dt_bytes_of(m);
	tally->n_packets++;
	if (likely(cause == DT_CAUSE_MAX))
		tally->good[tally->n_good++] = m;
	else
		dt_drop(pair->at_in, m, cause);
}

/* A chain that yields no frame. */
static void
settle_unmade(struct dt_pair *pair, struct tally *tally, uint64_t bytes, enum dt_cause cause)
{
	tally->bytes += bytes;
	tally->n_packets++;
	dt_drop_unmade(pair->at_in, bytes, cause);
}

/* Copy bytes out of a chain's pieces, from where an earlier copy ended. */
static void
copy_out(const struct dt_vq_pieces *pieces, uint32_t *piece, uint32_t *offset, uint8_t *to, uint32_t len)
{
	while (len > 0) {
		const struct dt_vq_piece *from = &pieces->piece[*piece];
		uint32_t n = RTE_MIN(len, from->len - *offset);

		rte_memcpy(to, from->hva + *offset, n);
		to += n;
		len -= n;
		*offset += n;
		if (*offset == from->len) {
			*offset = 0;
			++*piece;
		}
	}
}

/* Chain @p n mbufs behind @p first and copy a frame into them. */
static void
fill(struct rte_mbuf *first, struct rte_mbuf **more, unsigned int n, const struct dt_vq_pieces *pieces, uint32_t piece,
	uint32_t offset, uint32_t frame_len)
{
	struct rte_mbuf *m = first;
	uint32_t left = frame_len;

	mbuf_reset(first, frame_len);
	for (unsigned int i = 0;; i++) {
		m->data_len = (uint16_t)RTE_MIN(left, (uint32_t)DT_POOL_ROOM);
		copy_out(pieces, &piece, &offset, rte_pktmbuf_mtod(m, uint8_t *), m->data_len);
		left -= m->data_len;
		if (i == n)
			break;
		mbuf_reset(more[i], 0);
		m->next = more[i];
		m = more[i];
	}
	first->nb_segs = (uint16_t)(n + 1);
}

/* A chain of any shape. */
static __rte_noinline void
take_chain(struct dt_pair *pair, struct tally *tally, uint16_t head)
{
	const struct dt_vq *vq = &pair->vq[DT_RING_FROM_GUEST];
	struct dt_vq_pieces *pieces = &pair->pieces;
	struct rte_mbuf *more[DT_POOL_FRAME_MBUFS];
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint32_t piece = 0, offset = 0, frame_len;
	unsigned int n_more;
	enum dt_cause cause;

	dt_vq_pieces_clear(pieces);
	cause = dt_vq_gather(vq, head, false, pieces);
	if (cause != DT_CAUSE_MAX) {
		settle_unmade(pair, tally, 0, cause);
		return;
	}
	if (pieces->len < vq->hdr_len) {
		settle_unmade(pair, tally, 0, DT_CAUSE_HDR_TRUNCATED);
		return;
	}
	if (pieces->len - vq->hdr_len > DT_VNET_FRAME_MAX) {
		settle_unmade(pair, tally, 0, DT_CAUSE_CHAIN_TOO_LONG);
		return;
	}
	frame_len = (uint32_t)pieces->len - vq->hdr_len;
	if (frame_len < RTE_ETHER_HDR_LEN) {
		settle_unmade(pair, tally, frame_len, DT_CAUSE_FRAME_TOO_SHORT);
		return;
	}
	copy_out(pieces, &piece, &offset, (uint8_t *)&hdr, vq->hdr_len);
	n_more = (frame_len - 1) / DT_POOL_ROOM;
	if (n_more > 0 && !dt_pool_take_large(pair->pool, more, n_more)) {
		settle_unmade(pair, tally, frame_len, DT_CAUSE_LARGE_NO_MBUF);
		return;
	}
	fill(*tally->mbufs, more, n_more, pieces, piece, offset, frame_len);
	settle(pair, tally, *tally->mbufs, dt_vnet_take(&hdr.hdr, vq->features, *tally->mbufs));
	tally->mbufs++;
}

static __rte_always_inline void
take_simple(struct dt_pair *pair, struct tally *tally, const struct slot *slot)
{
	const struct dt_vq *vq = &pair->vq[DT_RING_FROM_GUEST];
	uint32_t frame_len = slot->len - vq->hdr_len;
	struct rte_mbuf *m = *tally->mbufs++;
	struct virtio_net_hdr hdr;

	memcpy(&hdr, slot->src, sizeof(hdr));
	rte_compiler_barrier(); /* hdr is what was read now; the guest may write there at any time */
	mbuf_reset(m, frame_len);
	rte_memcpy(rte_pktmbuf_mtod(m, void *), slot->src + vq->hdr_len, frame_len);
	settle(pair, tally, m, dt_vnet_take(&hdr, vq->features, m));
}

/* Walks that one visit may take, so that a guest of nothing but long chains costs others no more than a burst does. */
#define VISIT_WALKS 2048

/* Third pass over one. */
static __rte_always_inline void
take_slot(struct dt_pair *pair, struct tally *tally, const struct slot *slot, const bool packed, const bool in_order)
{
	struct dt_vq *vq = &pair->vq[DT_RING_FROM_GUEST];
	unsigned int steps = 1;
	uint16_t id = slot->id;

	if (likely(slot->src != NULL)) {
		take_simple(pair, tally, slot);
	} else {
		take_chain(pair, tally, slot->head);
		tally->n_walked += pair->pieces.n_steps;
		id = pair->pieces.id;
		if (packed)
			steps = pair->pieces.n_desc;
	}
	if (!in_order)
		dt_vq_use(vq, packed, id, slot->head, 0);
	tally->last_id = id;
	tally->n_used++;
	tally->steps += steps;
}

/* Third pass. @return slots done, fewer than @p n if that would take too long or the queue broke */
static __rte_always_inline unsigned int
take_slots(struct dt_pair *pair, struct tally *tally, const struct slot *slots, unsigned int n, const bool packed,
	const bool in_order)
{
	struct dt_vq *vq = &pair->vq[DT_RING_FROM_GUEST];
	unsigned int i;

	for (i = 0; i < n && likely(tally->n_walked < VISIT_WALKS); i++) {
		if (!packed && unlikely(slots[i].head >= vq->size)) {
			/* There is nothing to give back. */
			tally->steps++;
			settle_unmade(pair, tally, 0, DT_CAUSE_HEAD_BAD_INDEX);
			dt_split_bad_head(vq);
			if (dt_vq_broken(vq))
				return i + 1;
			continue;
		}
		if (!packed)
			vq->bad_heads = 0;
		take_slot(pair, tally, &slots[i], packed, in_order);
	}
	return i;
}

/* All passes, over all runs. @return slots done, at most @p n */
static __rte_always_inline unsigned int
take_burst(struct dt_pair *pair, struct tally *tally, unsigned int n, const bool packed, const bool in_order)
{
	struct dt_vq *vq = &pair->vq[DT_RING_FROM_GUEST];
	struct slot slots[DT_BURST];
	unsigned int done = 0, run, taken;

	do {
		run = packed ? read_packed(vq, tally->steps, slots, n - done) : read_split(vq, slots, n, in_order);
		taken = take_slots(pair, tally, slots, run, packed, in_order);
		done += taken;
	} while (packed && taken == run && run > 0 && done < n);
	if (in_order && tally->n_used > 0)
		dt_vq_use_run(vq, packed, tally->last_id, tally->n_used);
	if (!packed || done > 0)
		dt_vq_publish(vq, packed, tally->steps);
	return done;
}

/* The layout is looked at once for each burst, not for each packet. */
static unsigned int
take_any_burst(struct dt_pair *pair, struct tally *tally, unsigned int n)
{
	const struct dt_vq *vq = &pair->vq[DT_RING_FROM_GUEST];

	if (vq->packed)
		return vq->in_order ? take_burst(pair, tally, n, true, true) : take_burst(pair, tally, n, true, false);
	return vq->in_order ? take_burst(pair, tally, n, false, true) : take_burst(pair, tally, n, false, false);
}

unsigned int
dt_pair_from_guest(struct dt_pair *pair)
{
	DT_STAGE(DT_STAGE_TAKE);
	struct dt_vq *vq = &pair->vq[DT_RING_FROM_GUEST];
	struct rte_mbuf *fresh[DT_BURST];
	struct tally tally;
	unsigned int n, done;

	if (dt_vq_broken(vq))
		return 0;
	n = RTE_MIN(dt_vq_available(vq, vq->packed, DT_BURST), (unsigned int)DT_BURST);
	if (n == 0)
		return 0;
	/* Without mbufs the frames stay where they are, in the guest. */
	if (unlikely(rte_mempool_get_bulk(pair->pool, (void **)fresh, n) != 0))
		return 0;
	tally_begin(&tally, fresh);
	done = take_any_burst(pair, &tally, n);
	if (unlikely(tally.mbufs < fresh + n)) /* never-used mbufs: they carried nothing */
		rte_mempool_put_bulk(pair->pool, (void **)tally.mbufs, (unsigned int)(fresh + n - tally.mbufs));
	if (unlikely(done == 0))
		return 0;
	dt_vq_notify(vq);

	dt_received(pair->at_in, tally.n_packets, tally.bytes);
	if (unlikely(dt_gmem_vanished(vq->mem))) {
		dt_drop_burst(pair->at_in, tally.good, tally.n_good, DT_CAUSE_MEMORY_VANISHED);
		dt_vq_break(vq, DT_VQ_VANISHED);
		return done;
	}
	if (likely(tally.n_good > 0))
		pair->sink.take(pair->sink.self, tally.good, tally.n_good);
	return done;
}
