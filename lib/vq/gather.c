/* SPDX-License-Identifier: BSD-3-Clause */
#include "vq.h"

/* Where a walk is: in the ring's own table, or in an indirect one. */
struct walk {
	const struct dt_vq *vq;
	uint64_t table; /* guest-physical, of an indirect table */
	uint32_t size; /* entries of the table */
	uint32_t steps;
	bool indirect;
};

static bool
read_desc(const struct walk *walk, uint16_t i, struct dt_vq_desc *ret)
{
	if (!walk->indirect) {
		*ret = dt_vq_desc_at(walk->vq, i);
		return true;
	}
	/* Entry by entry, so that a table may lie across regions. */
	_Static_assert(sizeof(*ret) == sizeof(struct vring_desc), "a descriptor is what the guest wrote");
	return dt_gmem_read(walk->vq->mem, walk->table + 16ULL * i, ret, sizeof(*ret));
}

/* @return DT_CAUSE_MAX: the walk goes on in the table that @p d names */
static enum dt_cause
enter_table(struct walk *walk, const struct dt_vq_desc *d)
{
	if ((walk->vq->features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC)) == 0)
		return DT_CAUSE_INDIRECT_NOT_NEGOTIATED;
	if (walk->indirect || (d->flags & VRING_DESC_F_NEXT) != 0)
		return DT_CAUSE_INDIRECT_NESTED;
	if (d->len == 0 || d->len % 16 != 0 || d->len / 16 > walk->vq->size)
		return DT_CAUSE_INDIRECT_BAD_LENGTH;
	walk->indirect = true;
	walk->table = d->addr;
	walk->size = d->len / 16;
	walk->steps = 0;
	return DT_CAUSE_MAX;
}

/* A buffer may lie across regions that are adjacent for the guest and not for us. */
static enum dt_cause
add_buffer(const struct dt_gmem *mem, const struct dt_vq_desc *d, struct dt_vq_pieces *pieces)
{
	uint64_t gpa = d->addr;
	uint64_t left = d->len;

	while (left > 0) {
		uint64_t n;
		uint8_t *hva = dt_gmem_part(mem, gpa, left, &n);

		if (hva == NULL)
			return DT_CAUSE_ADDR_OUTSIDE_MEMORY;
		if (pieces->n == DT_VQ_PIECES_MAX) /* a buffer may be cut in several */
			return DT_CAUSE_CHAIN_TOO_LONG;
		pieces->piece[pieces->n++] = (struct dt_vq_piece){ .hva = hva, .len = (uint32_t)n };
		pieces->len += n;
		gpa += n;
		left -= n;
	}
	return DT_CAUSE_MAX;
}

/* Keeps on to the end of the chain even past the first fault, so that a loop is called a loop. */
static enum dt_cause
walk_chain(struct walk *walk, uint16_t i, bool writable, struct dt_vq_pieces *pieces)
{
	enum dt_cause found = DT_CAUSE_MAX;

	for (;;) {
		struct dt_vq_desc d;

		if (walk->steps++ == walk->size)
			return DT_CAUSE_CHAIN_LOOP;
		if (pieces->n_steps++ == DT_VQ_PIECES_MAX)
			return DT_CAUSE_CHAIN_TOO_LONG;
		if (!read_desc(walk, i, &d))
			return DT_CAUSE_ADDR_OUTSIDE_MEMORY;
		pieces->n_desc += walk->indirect ? 0 : 1;
		if ((d.flags & VRING_DESC_F_INDIRECT) != 0) {
			enum dt_cause cause = enter_table(walk, &d);

			if (cause != DT_CAUSE_MAX)
				return cause;
			i = 0;
			continue;
		}
		if (((d.flags & VRING_DESC_F_WRITE) != 0) != writable)
			return DT_CAUSE_CHAIN_DIRECTION;
		if (found == DT_CAUSE_MAX)
			found = add_buffer(walk->vq->mem, &d, pieces);
		if ((d.flags & VRING_DESC_F_NEXT) == 0)
			return found;
		if (d.next >= walk->size)
			return DT_CAUSE_CHAIN_BAD_INDEX;
		i = d.next;
	}
}

enum dt_cause
dt_vq_gather(const struct dt_vq *vq, uint16_t head, bool writable, struct dt_vq_pieces *pieces)
{
	struct walk walk = { .vq = vq, .size = vq->size };
	uint32_t n = pieces->n;
	uint64_t len = pieces->len;
	enum dt_cause cause = walk_chain(&walk, head, writable, pieces);

	if (cause != DT_CAUSE_MAX) {
		pieces->n = n;
		pieces->len = len;
	}
	return cause;
}
