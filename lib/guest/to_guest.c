/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <rte_memcpy.h>

#include "stage.h"
#include "vnet.h"

/*
 * As out of a guest, in passes: descriptors on their way; read, checked, translated, the buffers' lines on their way
 * for writing; headers and copies; last the used elements, in one go, because the guest polls the very lines.
 */

/* A receive buffer and the frame that goes into it. */
struct slot {
	uint16_t head; /* of dt_vq_head() */
	uint16_t id;
	uint8_t *dst;
};

/* What is to be said of a packet that does not leave anything undone, in the header's first eight bytes. */
static __rte_always_inline uint64_t
plain_header(const struct dt_vq *vq, const struct rte_mbuf *pkt)
{
	static const struct virtio_net_hdr valid = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
	uint64_t first = 0;

	if ((pkt->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD &&
		(vq->features & (1ULL << VIRTIO_NET_F_GUEST_CSUM)) != 0)
		memcpy(&first, &valid, sizeof(first));
	return first;
}

static __rte_always_inline void
put_header(const struct dt_vq *vq, uint8_t *to, const struct rte_mbuf *pkt, uint16_t num_buffers)
{
	const uint32_t tail = (uint32_t)num_buffers << 16;
	const uint64_t first = plain_header(vq, pkt);
	uint64_t old;
	uint32_t old_tail;

	/* Writing what is there already would cost the guest's CPU the line; a call to memcpy() costs more than all. */
	memcpy(&old, to, sizeof(old));
	if (unlikely(old != first))
		memcpy(to, &first, sizeof(first));
	if (likely(vq->hdr_len == sizeof(struct virtio_net_hdr_mrg_rxbuf))) {
		memcpy(&old_tail, to + sizeof(old), sizeof(old_tail));
		if (unlikely(old_tail != tail))
			memcpy(to + sizeof(old), &tail, sizeof(tail));
	} else {
		memset(to + sizeof(old), 0, sizeof(uint16_t));
	}
	if (unlikely((pkt->ol_flags & DT_VNET_WORK) != 0)) {
		struct virtio_net_hdr hdr;

		dt_vnet_header(pkt, vq->features, &hdr);
		memcpy(to, &hdr, sizeof(hdr));
	}
}

/* Whether the guest takes what is undone; it may have come back with other features while the packet waited. */
static __rte_always_inline bool
is_taken(const struct dt_vq *vq, const struct rte_mbuf *pkt)
{
	return likely((pkt->ol_flags & DT_VNET_WORK) == 0) ||
	       (dt_vnet_needs(pkt) & ~dt_vnet_guest_takes(vq->features)) == 0;
}

/* A header's line that the frame does not share is mostly read only; the frame's own are written. */
static __rte_always_inline void
prefetch_buffer(const struct dt_vq *vq, const uint8_t *dst)
{
	if ((uintptr_t)dst % RTE_CACHE_LINE_SIZE + vq->hdr_len >= RTE_CACHE_LINE_SIZE)
		rte_prefetch0(dst);
	else
		rte_prefetch0_write(dst);
	rte_prefetch0_write(dst + RTE_CACHE_LINE_SIZE);
}

/* Where the packet goes, if it is one mbuf and the buffer holds it, and the buffer's lines on their way. */
static __rte_always_inline bool
locate(const struct dt_vq *vq, const struct dt_vq_desc *d, const struct rte_mbuf *pkt, struct slot *slot)
{
	if (unlikely(pkt->nb_segs != 1 || d->len < pkt->pkt_len + vq->hdr_len || !is_taken(vq, pkt)))
		return false;
	slot->dst = dt_gmem_at(vq->mem, d->addr, d->len);
	if (unlikely(slot->dst == NULL))
		return false;
	prefetch_buffer(vq, slot->dst);
	return true;
}

/*
 * First and second pass over as many packets as are simple: one mbuf, into one buffer that holds it.
 * @return how many; the packet behind them is not simple, or has no buffer, or there is none
 */
static __rte_always_inline unsigned int
read_split(struct dt_vq *vq, struct rte_mbuf **pkts, struct slot *slots, unsigned int n)
{
	unsigned int i;

	n = RTE_MIN(dt_split_available(vq, n), n);
	for (i = 0; i < n; i++) {
		slots[i].head = dt_split_head(vq, i);
		slots[i].id = slots[i].head;
		if (likely(slots[i].head < vq->size))
			rte_prefetch0(&vq->desc[slots[i].head]);
	}
	for (i = 0; i < n; i++) {
		struct dt_vq_desc d;

		if (unlikely(slots[i].head >= vq->size))
			break;
		d = dt_split_desc(vq, slots[i].head);
		if (unlikely(d.flags != VRING_DESC_F_WRITE || !locate(vq, &d, pkts[i], &slots[i])))
			break;
	}
	return i;
}

static __rte_always_inline unsigned int
read_packed(struct dt_vq *vq, struct rte_mbuf **pkts, struct slot *slots, unsigned int n)
{
	unsigned int i;

	n = RTE_MIN(n, (unsigned int)vq->size);
	for (i = 0; i < n; i++) {
		struct dt_vq_desc d;

		if (unlikely(!dt_packed_read(vq, i, &d) || (d.flags & ~DT_PACKED_MARKS) != VRING_DESC_F_WRITE ||
			     !locate(vq, &d, pkts[i], &slots[i])))
			break;
		slots[i].head = dt_packed_at(vq, i);
		slots[i].id = d.id;
	}
	return i;
}

/* Third and last pass. */
static __rte_always_inline void
give_simple(struct dt_pair *pair, struct rte_mbuf **pkts, const struct slot *slots, unsigned int n, const bool packed)
{
	struct dt_vq *vq = &pair->vq[DT_RING_TO_GUEST];

	if (!packed)
		dt_split_prefetch_used(vq, n);
	for (unsigned int i = 0; i < n; i++) {
		put_header(vq, slots[i].dst, pkts[i], 1);
		rte_memcpy(slots[i].dst + vq->hdr_len, rte_pktmbuf_mtod(pkts[i], void *), pkts[i]->pkt_len);
	}
	for (unsigned int i = 0; i < n; i++)
		dt_vq_use(vq, packed, slots[i].id, slots[i].head, pkts[i]->pkt_len + vq->hdr_len);
	if (!packed)
		vq->bad_heads = 0;
	dt_vq_publish(vq, packed, n);
	if (unlikely(dt_gmem_vanished(vq->mem))) {
		dt_drop_burst(pair->at_out, pkts, n, DT_CAUSE_MEMORY_VANISHED);
		dt_vq_break(vq, DT_VQ_VANISHED);
		return;
	}
	dt_delivered(pair->at_out, pkts, n);
}

/* Copy into buffers from where an earlier copy ended. */
static void
copy_in(const struct dt_vq_pieces *pieces, uint32_t *piece, uint32_t *offset, const uint8_t *from, uint32_t len)
{
	while (len > 0) {
		const struct dt_vq_piece *to = &pieces->piece[*piece];
		uint32_t n = RTE_MIN(len, to->len - *offset);

		rte_memcpy(to->hva + *offset, from, n);
		from += n;
		len -= n;
		*offset += n;
		if (*offset == to->len) {
			*offset = 0;
			++*piece;
		}
	}
}

/* Chains that together hold one packet. */
struct chains {
	unsigned int n;
	uint16_t head[DT_VQ_PIECES_MAX];
	uint16_t id[DT_VQ_PIECES_MAX];
	uint32_t len[DT_VQ_PIECES_MAX];
};

enum outcome {
	FITS, /* the chains hold it */
	LATER, /* the guest has to post more first */
	TOO_BIG, /* it will never fit; no buffer was touched */
	BAD, /* the last chain is malformed */
};

/* How far the chains reach into the ring. */
static unsigned int
steps_of(const struct dt_pair *pair, const struct chains *chains)
{
	return pair->vq[DT_RING_TO_GUEST].packed ? pair->pieces.n_desc : chains->n;
}

/* A ring that is posted in full can hold no more. */
static enum outcome
not_enough(struct dt_pair *pair, const struct chains *chains)
{
	const struct dt_vq *vq = &pair->vq[DT_RING_TO_GUEST];

	if (pair->pieces.n_desc >= vq->size || chains->n >= vq->size)
		return TOO_BIG;
	pair->too_few = steps_of(pair, chains);
	return LATER;
}

/* One more chain for a packet, whose share of it is up to @p want bytes. @return DT_CAUSE_MAX: it is good */
static enum dt_cause
add_chain(struct dt_pair *pair, uint64_t want, struct chains *chains)
{
	struct dt_vq *vq = &pair->vq[DT_RING_TO_GUEST];
	struct dt_vq_pieces *pieces = &pair->pieces;
	uint64_t before = pieces->len;
	uint16_t head = dt_vq_head(vq, steps_of(pair, chains));
	unsigned int i = chains->n++;
	enum dt_cause cause;

	chains->head[i] = head;
	chains->id[i] = head;
	chains->len[i] = 0;
	if (head >= vq->size)
		return DT_CAUSE_HEAD_BAD_INDEX;
	cause = dt_vq_gather(vq, head, true, pieces);
	chains->id[i] = pieces->id;
	if (cause == DT_CAUSE_MAX)
		chains->len[i] = (uint32_t)RTE_MIN(pieces->len - before, want);
	return cause;
}

static enum outcome
collect(struct dt_pair *pair, uint64_t want, struct chains *chains, enum dt_cause *ret_cause)
{
	struct dt_vq *vq = &pair->vq[DT_RING_TO_GUEST];
	struct dt_vq_pieces *pieces = &pair->pieces;

	dt_vq_pieces_clear(pieces);
	chains->n = 0;
	/* As long as the guest posts nothing more, the answer is the same. */
	if (pair->too_few > 0 && !dt_vq_ready(vq, pair->too_few))
		return LATER;
	pair->too_few = 0;
	while (pieces->len < want) {
		enum dt_cause cause;

		if (chains->n > 0 && (!vq->mergeable || chains->n == DT_VQ_PIECES_MAX))
			return TOO_BIG;
		if (!dt_vq_ready(vq, steps_of(pair, chains)))
			return not_enough(pair, chains);
		cause = add_chain(pair, want - pieces->len, chains);
		if (cause != DT_CAUSE_MAX) {
			*ret_cause = cause;
			return BAD;
		}
	}
	return FITS;
}

static void
write_packet(struct dt_pair *pair, const struct rte_mbuf *pkt, uint16_t num_buffers)
{
	const struct dt_vq *vq = &pair->vq[DT_RING_TO_GUEST];
	uint8_t hdr[DT_VNET_HDR_MRG] = { 0 };
	uint32_t piece = 0, offset = 0;

	put_header(vq, hdr, pkt, num_buffers);
	copy_in(&pair->pieces, &piece, &offset, hdr, vq->hdr_len);
	for (const struct rte_mbuf *m = pkt; m != NULL; m = m->next)
		copy_in(&pair->pieces, &piece, &offset, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	if (unlikely(vq->logs))
		dt_vq_log_pieces(vq, &pair->pieces, (uint64_t)pkt->pkt_len + vq->hdr_len);
}

static void
use_chains(struct dt_pair *pair, const struct chains *chains, bool written)
{
	struct dt_vq *vq = &pair->vq[DT_RING_TO_GUEST];

	for (unsigned int i = 0; i < chains->n; i++) {
		if (unlikely(chains->head[i] >= vq->size)) {
			dt_split_bad_head(vq);
			continue; /* its slot is skipped */
		}
		vq->bad_heads = 0;
		dt_vq_use(vq, vq->packed, chains->id[i], chains->head[i], written ? chains->len[i] : 0);
	}
	dt_vq_publish(vq, vq->packed, steps_of(pair, chains));
}

/*
 * Do what the guest does not take undone any more. A large packet cannot be cut here, where its segments would have no
 * place to wait.
 *
 * @return DT_CAUSE_MAX: nothing is left that the guest does not take
 */
static enum dt_cause
catch_up(struct dt_pair *pair, struct rte_mbuf **pkt)
{
	if (likely(is_taken(&pair->vq[DT_RING_TO_GUEST], *pkt)))
		return DT_CAUSE_MAX;
	if (((*pkt)->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) != 0)
		return DT_CAUSE_GSO_TAKEN_NO_MORE;
	return dt_vnet_complete(pkt, pair->pool);
}

/* One packet of any kind into buffers of any kind. @return whether it left the lane */
static __rte_noinline bool
give_any(struct dt_pair *pair, struct rte_mbuf *pkt)
{
	struct dt_vq *vq = &pair->vq[DT_RING_TO_GUEST];
	enum dt_cause cause = DT_CAUSE_GUEST_BUFFER_TOO_SMALL;
	struct chains chains;

	switch (collect(pair, (uint64_t)pkt->pkt_len + vq->hdr_len, &chains, &cause)) {
	case LATER:
		return false;
	case FITS:
		cause = catch_up(pair, &pkt);
		if (unlikely(cause != DT_CAUSE_MAX))
			break; /* the buffers wait for the next */
		write_packet(pair, pkt, (uint16_t)chains.n);
		use_chains(pair, &chains, true);
		if (likely(!dt_gmem_vanished(vq->mem))) {
			dt_delivered(pair->at_out, &pkt, 1);
			return true;
		}
		cause = DT_CAUSE_MEMORY_VANISHED;
		dt_vq_break(vq, DT_VQ_VANISHED);
		break;
	case BAD:
		/* The guest gets its buffers back empty; the packet that would have been in them is lost. */
		use_chains(pair, &chains, false);
		break;
	case TOO_BIG:
		break;
	}
	dt_drop(pair->at_out, pkt, cause);
	return true;
}

/* The queue makes no sense any more: nobody takes what waits, or what will come. */
static unsigned int
give_up(struct dt_pair *pair)
{
	if (dt_lane_is_open(&pair->lane))
		dt_lane_close(&pair->lane, DT_CAUSE_GUEST_QUEUE_BROKEN);
	if (likely(dt_lane_count(&pair->lane) == 0))
		return 0;
	return dt_lane_drain(&pair->lane, DT_CAUSE_GUEST_QUEUE_BROKEN);
}

/* @return packets that left the lane, at most @p n */
static __rte_always_inline unsigned int
give_burst(struct dt_pair *pair, struct rte_mbuf **pkts, unsigned int n, const bool packed)
{
	struct dt_vq *vq = &pair->vq[DT_RING_TO_GUEST];
	struct slot slots[DT_BURST];
	unsigned int done = 0;

	while (done < n && !dt_vq_broken(vq)) {
		unsigned int simple = 0;

		/* While a log is kept, every packet takes the way that writes it. */
		if (likely(!vq->logs))
			simple = packed ? read_packed(vq, &pkts[done], slots, n - done)
					: read_split(vq, &pkts[done], slots, n - done);
		if (likely(simple > 0)) {
			give_simple(pair, &pkts[done], slots, simple, packed);
			done += simple;
		} else if (dt_vq_ready(vq, 0) && give_any(pair, pkts[done])) {
			done++;
		} else {
			break;
		}
	}
	return done;
}

unsigned int
dt_pair_to_guest(struct dt_pair *pair)
{
	DT_STAGE(DT_STAGE_GIVE);
	struct dt_vq *vq = &pair->vq[DT_RING_TO_GUEST];
	unsigned int n = dt_lane_count(&pair->lane), done;
	struct rte_mbuf *pkts[DT_BURST];

	if (dt_vq_broken(vq))
		return give_up(pair);
	if (n == 0)
		return 0;
	n = dt_vq_available(vq, vq->packed, RTE_MIN(n, pair->burst));
	if (n == 0) {
		dt_lane_blame(&pair->lane, DT_CAUSE_LANE_GUEST_NO_BUFFERS);
		return 0;
	}
	n = dt_lane_peek(&pair->lane, pkts, pair->burst);
	done = vq->packed ? give_burst(pair, pkts, n, true) : give_burst(pair, pkts, n, false);
	dt_lane_blame(&pair->lane, done == n ? DT_CAUSE_LANE_WORKER_BUSY : DT_CAUSE_LANE_GUEST_NO_BUFFERS);
	if (n > 0)
		dt_lane_finish(&pair->lane, done);
	if (done > 0)
		dt_vq_notify(vq);
	return done;
}
