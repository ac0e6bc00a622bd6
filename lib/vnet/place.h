/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: a place in a packet that parts are taken from in order, copied or attached. */
#ifndef DT_VNET_PLACE_H
#define DT_VNET_PLACE_H

#include <rte_mbuf.h>
#include <rte_memcpy.h>

#include "internal.h"

struct dt_place {
	struct rte_mbuf *m; /* not at its end, unless it is the packet's */
	uint32_t offset; /* within m */
	uint16_t refs; /* taken on the data of m, but not written there yet: one atomic operation for many */
};

/** Write down what references were taken, before anybody may free what was attached. */
static inline void
dt_place_settle(struct dt_place *at)
{
	if (at->refs == 0)
		return;
	if (unlikely(RTE_MBUF_HAS_EXTBUF(at->m)))
		rte_mbuf_ext_refcnt_update(at->m->shinfo, (int16_t)at->refs);
	else
		rte_mbuf_refcnt_update(rte_mbuf_from_indirect(at->m), (int16_t)at->refs);
	at->refs = 0;
}

static inline void
dt_place_skip(struct dt_place *at, uint32_t n)
{
	at->offset += n;
	while (at->offset >= at->m->data_len && at->m->next != NULL) {
		dt_place_settle(at);
		at->offset -= at->m->data_len;
		at->m = at->m->next;
		rte_prefetch0(at->m->next);
	}
}

/** The next bytes that lie in one piece, @p len at the most. */
static inline uint32_t
dt_place_part(const struct dt_place *at, uint32_t len)
{
	return RTE_MIN(len, at->m->data_len - at->offset);
}

static inline const uint8_t *
dt_place_bytes(const struct dt_place *at)
{
	return rte_pktmbuf_mtod_offset(at->m, const uint8_t *, at->offset);
}

/** How many pieces the next @p len bytes lie in; moves on. */
static inline unsigned int
dt_place_count(struct dt_place *at, uint32_t len)
{
	unsigned int n = 0;

	while (len > 0) {
		uint32_t part = dt_place_part(at, len);

		n++;
		len -= part;
		dt_place_skip(at, part);
	}
	return n;
}

/**
 * Let @p mi have the next @p len bytes, which lie in one piece. Does not move on.
 *
 * As rte_pktmbuf_attach() of a part, but for what the caller has set and what only a packet's first
 * mbuf has; the reference is still to be settled.
 *
 * @param mi         a never-used mbuf
 * @param priv_size  that it has; another one is written, to the second cache line
 */
static inline void
dt_place_attach(struct dt_place *at, uint32_t len, struct rte_mbuf *mi, uint16_t priv_size)
{
	const struct rte_mbuf *m = at->m;

	mi->buf_addr = m->buf_addr;
	rte_mbuf_iova_set(mi, rte_mbuf_iova_get(m));
	mi->buf_len = m->buf_len;
	mi->data_off = (uint16_t)(m->data_off + at->offset);
	mi->data_len = (uint16_t)len;
	mi->pkt_len = len;
	if (unlikely(RTE_MBUF_HAS_EXTBUF(m))) {
		mi->ol_flags = RTE_MBUF_F_EXTERNAL;
		mi->shinfo = m->shinfo;
	} else {
		mi->ol_flags = RTE_MBUF_F_INDIRECT;
		if (unlikely(m->priv_size != priv_size))
			mi->priv_size = m->priv_size; /* leads to the mbuf that embeds the data */
	}
	at->refs++;
}

#endif
