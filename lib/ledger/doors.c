/* SPDX-License-Identifier: BSD-3-Clause */
#define DT_LEDGER_DOORS

#include "ledger.h"

#include <sys/sdt.h>

#include <rte_branch_prediction.h>
#include <rte_mempool.h>

#include "trace.h"

/* An mbuf in the state that its pool expects: nobody else's, one segment, its own data. */
static inline bool
is_plain(const struct rte_mbuf *m)
{
	return rte_mbuf_refcnt_read(m) == 1 && m->nb_segs == 1 &&
	       (m->ol_flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)) == 0;
}

/* Back to the pool, in runs of plain mbufs of one pool. */
static void
free_burst(struct rte_mbuf **pkts, unsigned int n)
{
	unsigned int start = 0;

	while (start < n) {
		struct rte_mempool *pool = pkts[start]->pool;
		unsigned int end = start;

		while (end < n && pkts[end]->pool == pool && is_plain(pkts[end]))
			end++;
		if (likely(end > start)) {
			rte_mempool_put_bulk(pool, (void **)&pkts[start], end - start);
			start = end;
		} else {
			rte_pktmbuf_free(pkts[start++]);
		}
	}
}

void
dt_delivered(unsigned int at, struct rte_mbuf **pkts, unsigned int n)
{
	dt_count_add(&dt_account_of(at)->delivered, n, dt_burst_bytes(pkts, n));
	free_burst(pkts, n);
}

/* What watchers see of a drop besides the packet: by name, since names are the interface. */
struct label {
	const char *reason;
	const char *cause;
	const char *port;
	const char *direction;
};

static struct label
label_of(unsigned int at, enum dt_cause cause)
{
	return (struct label){
		.reason = dt_reason_name(dt_cause_reason(cause)),
		.cause = dt_cause_name(cause),
		.port = dt_ledger_port_at(at)->name,
		.direction = dt_ledger_direction(at),
	};
}

/* The one place that every dropped packet passes. */
static inline void
seen(const struct label *label, const struct rte_mbuf *m, uint32_t bytes)
{
	DTRACE_PROBE6(dptap, drop, label->reason, label->cause, label->port, label->direction, m, bytes);
	dt_trace_drop(label->reason, label->cause, label->port, label->direction, m, bytes);
}

void
dt_drop_burst(unsigned int at, struct rte_mbuf **pkts, unsigned int n, enum dt_cause cause)
{
	struct label label;

	if (n == 0)
		return;
	label = label_of(at, cause);
	for (unsigned int i = 0; i < n; i++)
		seen(&label, pkts[i], pkts[i]->pkt_len);
	dt_count_add(&dt_account_of(at)->dropped[cause], n, dt_burst_bytes(pkts, n));
	free_burst(pkts, n);
}

void
dt_drop(unsigned int at, struct rte_mbuf *m, enum dt_cause cause)
{
	dt_drop_burst(at, &m, 1, cause);
}

void
dt_drop_unmade_burst(unsigned int at, unsigned int n, uint64_t bytes, enum dt_cause cause)
{
	struct label label = label_of(at, cause);

	seen(&label, NULL, (uint32_t)bytes);
	dt_count_add(&dt_account_of(at)->dropped[cause], n, bytes);
}

void
dt_drop_unmade(unsigned int at, uint64_t bytes, enum dt_cause cause)
{
	dt_drop_unmade_burst(at, 1, bytes, cause);
}

void
dt_replaced(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
}
