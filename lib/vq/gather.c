/* SPDX-License-Identifier: BSD-3-Clause */
#include "vq.h"

/* An indirect table. */
struct table {
	uint64_t gpa;
	uint32_t size; /* entries; 0: there is none */
};

/* Where a walk over next indices is: in the ring's own table, or in an indirect one. */
struct walk {
	const struct dt_vq *vq;
	struct table table;
	uint32_t steps;
};

/* One entry of a table, which may lie across regions. */
static bool
read_entry(const struct dt_vq *vq, const struct table *table, uint32_t i, void *ret)
{
	return dt_gmem_read(vq->mem, table->gpa + sizeof(struct vring_desc) * i, ret, sizeof(struct vring_desc));
}

/*
 * @param alone  whether @p d is where the layout allows a table
 * @return DT_CAUSE_MAX: @p ret is the table that @p d names
 */
static enum dt_cause
find_table(const struct dt_vq *vq, const struct dt_vq_desc *d, bool alone, struct table *ret)
{
	if ((vq->features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC)) == 0)
		return DT_CAUSE_INDIRECT_NOT_NEGOTIATED;
	if (!alone)
		return DT_CAUSE_INDIRECT_NESTED;
	if (d->len == 0 || d->len % sizeof(struct vring_desc) != 0 || d->len / sizeof(struct vring_desc) > vq->size)
		return DT_CAUSE_INDIRECT_BAD_LENGTH;
	*ret = (struct table){ .gpa = d->addr, .size = d->len / (uint32_t)sizeof(struct vring_desc) };
	return DT_CAUSE_MAX;
}

/* A buffer may lie across regions that are adjacent for the guest and not for us. */
static enum dt_cause
add_buffer(const struct dt_gmem *mem, uint64_t gpa, uint64_t left, struct dt_vq_pieces *pieces)
{
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

static inline bool
is_writable(uint16_t flags)
{
	return (flags & VRING_DESC_F_WRITE) != 0;
}

/* ---- split: descriptors name the next ---- */

static bool
read_split(const struct walk *walk, uint16_t i, struct dt_vq_desc *ret)
{
	struct vring_desc raw;

	if (walk->table.size == 0) {
		*ret = dt_split_desc(walk->vq, i);
		return true;
	}
	if (!read_entry(walk->vq, &walk->table, i, &raw))
		return false;
	*ret = (struct dt_vq_desc){ .addr = raw.addr, .len = raw.len, .flags = raw.flags, .next = raw.next };
	return true;
}

/* @return DT_CAUSE_MAX: the walk goes on in the table that @p d names */
static enum dt_cause
enter_table(struct walk *walk, const struct dt_vq_desc *d)
{
	bool alone = walk->table.size == 0 && (d->flags & VRING_DESC_F_NEXT) == 0;

	walk->steps = 0;
	return find_table(walk->vq, d, alone, &walk->table);
}

/* Keeps on to the end of the chain even past the first fault, so that a loop is called a loop. */
static enum dt_cause
walk_split(struct walk *walk, uint16_t i, bool writable, struct dt_vq_pieces *pieces)
{
	enum dt_cause found = DT_CAUSE_MAX;

	for (;;) {
		uint32_t size = walk->table.size != 0 ? walk->table.size : walk->vq->size;
		struct dt_vq_desc d;

		if (walk->steps++ == size)
			return DT_CAUSE_CHAIN_LOOP;
		if (pieces->n_steps++ == DT_VQ_PIECES_MAX)
			return DT_CAUSE_CHAIN_TOO_LONG;
		if (!read_split(walk, i, &d))
			return DT_CAUSE_ADDR_OUTSIDE_MEMORY;
		pieces->n_desc += walk->table.size != 0 ? 0 : 1;
		if ((d.flags & VRING_DESC_F_INDIRECT) != 0) {
			enum dt_cause cause = enter_table(walk, &d);

			if (cause != DT_CAUSE_MAX)
				return cause;
			i = 0;
			continue;
		}
		if (is_writable(d.flags) != writable)
			return DT_CAUSE_CHAIN_DIRECTION;
		if (found == DT_CAUSE_MAX)
			found = add_buffer(walk->vq->mem, d.addr, d.len, pieces);
		if ((d.flags & VRING_DESC_F_NEXT) == 0)
			return found;
		if (d.next >= size)
			return DT_CAUSE_CHAIN_BAD_INDEX;
		i = d.next;
	}
}

/* ---- packed: the next is the neighbour ---- */

/* Of an entry's flags, WRITE alone counts; its id does not (virtio 1.2, 2.8.7). */
static enum dt_cause
walk_packed_table(const struct dt_vq *vq, const struct table *table, bool writable, struct dt_vq_pieces *pieces)
{
	for (uint32_t i = 0; i < table->size; i++) {
		struct vring_packed_desc d;
		enum dt_cause cause;

		if (pieces->n_steps++ == DT_VQ_PIECES_MAX)
			return DT_CAUSE_CHAIN_TOO_LONG;
		if (!read_entry(vq, table, i, &d))
			return DT_CAUSE_ADDR_OUTSIDE_MEMORY;
		if (is_writable(d.flags) != writable)
			return DT_CAUSE_CHAIN_DIRECTION;
		cause = add_buffer(vq->mem, d.addr, d.len, pieces);
		if (cause != DT_CAUSE_MAX)
			return cause;
	}
	return DT_CAUSE_MAX;
}

static enum dt_cause
add_packed(const struct dt_vq *vq, const struct dt_vq_desc *d, bool alone, bool writable, struct dt_vq_pieces *pieces)
{
	struct table table;
	enum dt_cause cause;

	if (pieces->n_steps > DT_VQ_PIECES_MAX)
		return DT_CAUSE_CHAIN_TOO_LONG;
	if ((d->flags & VRING_DESC_F_INDIRECT) == 0) {
		if (is_writable(d->flags) != writable)
			return DT_CAUSE_CHAIN_DIRECTION;
		return add_buffer(vq->mem, d->addr, d->len, pieces);
	}
	cause = find_table(vq, d, alone, &table);
	return cause == DT_CAUSE_MAX ? walk_packed_table(vq, &table, writable, pieces) : cause;
}

/* Keeps on to the end of the chain even past the first fault: behind it begins the next, and it has the id. */
static enum dt_cause
walk_packed(const struct dt_vq *vq, uint16_t head, bool writable, struct dt_vq_pieces *pieces)
{
	enum dt_cause found = DT_CAUSE_MAX;
	unsigned int first = dt_packed_offset(vq, head);

	for (unsigned int i = first; i < vq->size; i++) {
		struct dt_vq_desc d;
		bool goes_on;

		if (!dt_packed_read(vq, i, &d) && i > first)
			return DT_CAUSE_CHAIN_CUT_SHORT;
		goes_on = (d.flags & VRING_DESC_F_NEXT) != 0;
		pieces->n_desc++;
		pieces->n_steps++;
		pieces->id = d.id;
		if (found == DT_CAUSE_MAX)
			found = add_packed(vq, &d, i == first && !goes_on, writable, pieces);
		if (!goes_on)
			return found;
	}
	return DT_CAUSE_CHAIN_LOOP;
}

enum dt_cause
dt_vq_gather(const struct dt_vq *vq, uint16_t head, bool writable, struct dt_vq_pieces *pieces)
{
	struct walk walk = { .vq = vq };
	uint32_t n = pieces->n;
	uint64_t len = pieces->len;
	enum dt_cause cause;

	pieces->id = head;
	cause = vq->packed ? walk_packed(vq, head, writable, pieces) : walk_split(&walk, head, writable, pieces);
	if (cause != DT_CAUSE_MAX) {
		pieces->n = n;
		pieces->len = len;
	}
	return cause;
}
