/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log of a live migration: a bit for each guest page that was written since the front end last looked. A bit
 * too many costs a page on the wire; one too few, the guest its data.
 */
#include "vq.h"

#define PAGE 4096ULL

static void
mark(const struct dt_vq *vq, uint64_t page)
{
	uint8_t *byte = &vq->log_base[page / 8];
	uint8_t bit = (uint8_t)(1 << page % 8);

	if (page / 8 < vq->log_size && (__atomic_load_n(byte, __ATOMIC_RELAXED) & bit) == 0)
		__atomic_fetch_or(byte, bit, __ATOMIC_RELAXED);
}

void
dt_vq_log(const struct dt_vq *vq, const void *hva, uint64_t len)
{
	uint64_t gpa;

	if (len == 0 || !dt_gmem_gpa(vq->mem, hva, &gpa))
		return;
	/*
	 * The front end clears a bit, then copies the page. If we still find the bit set, our write must be in that
	 * copy: hence a full barrier between the write and the look, not a release only.
	 */
	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint64_t page = gpa / PAGE; page <= (gpa + len - 1) / PAGE; page++)
		mark(vq, page);
}

void
dt_vq_log_pieces(const struct dt_vq *vq, const struct dt_vq_pieces *pieces, uint64_t len)
{
	for (uint32_t i = 0; i < pieces->n && len > 0; i++) {
		uint64_t n = len < pieces->piece[i].len ? len : pieces->piece[i].len;

		dt_vq_log(vq, pieces->piece[i].hva, n);
		len -= n;
	}
}
