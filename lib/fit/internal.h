/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: what one packet needs to fit. */
#ifndef DT_FIT_INTERNAL_H
#define DT_FIT_INTERNAL_H

#include "fit.h"

/* Bytes of IPv6's header that makes a fragment of a packet. */
#define DT_FIT_FRAGMENT_HEADER 8

/** What becomes of a packet. */
enum dt_fate {
	DT_FATE_GO, /* it fits, maybe as a new one */
	DT_FATE_CUT, /* segments of it will fit */
	DT_FATE_DROP,
};

/**
 * Look what a packet needs to fit, and do it where that takes one packet.
 *
 * @param takes      what the egress takes undone
 * @param pkt        replaced where its data would have to be written and are shared
 * @param ret_cause  of a drop
 */
enum dt_fate dt_fit_shape(const struct dt_fit *fit, uint32_t takes, struct rte_mbuf **pkt, enum dt_cause *ret_cause);

/** The pool of the worker that we are on. */
struct rte_mempool *dt_fit_pool(void);

#endif
