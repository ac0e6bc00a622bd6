/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The books: what each port received and created, delivered and dropped, per lcore; and the two doors out.
 *
 * A packet enters the books when a port yields it (dt_received) and leaves them delivered or dropped. No other
 * place frees an mbuf that carried a packet: this header poisons DPDK's functions for that. Called per burst by
 * workers, and by the main lcore before they run and after they stopped; any thread may read.
 *
 * The law, for the process and for each port and direction, at rest to the packet and to the byte:
 *
 *     received + created = delivered + dropped + held
 *
 * Inward (from_guest, port_rx), "delivered" means handed on to a destination, and nothing is held. Outward
 * (to_guest, port_tx), "received" is what was handed on to it, and what waits in its lanes is held. A packet that is
 * cut for an egress is received there as one; the segments beyond the first, and all the bytes of headers that they
 * add, are created there.
 * Bytes are those of whole Ethernet frames, without virtio_net_hdr and FCS.
 */
#ifndef DT_LEDGER_H
#define DT_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <dptap/drop_cause.h>
#include <dptap/drop_reason.h>

#include "compat.h"
#include "counter.h"

/** Packets and their bytes. */
struct dt_count {
	uint64_t packets;
	uint64_t bytes;
};

/** One lcore's books of one port and direction; or a sum of such. */
struct dt_account {
	/* the owning lcore writes, anybody reads */
	struct dt_count received;
	struct dt_count created;
	struct dt_count delivered;
	struct dt_count dropped[DT_CAUSE_MAX];
} __rte_cache_aligned;

enum dt_port_kind {
	DT_PORT_GUEST,
	DT_PORT_UPLINK,
};

/* Which account: a port and a direction. */
#define DT_AT_IN(port)  (2u * (port)) /* from_guest, port_rx */
#define DT_AT_OUT(port) (2u * (port) + 1u) /* to_guest, port_tx */

/** What the ledger tells about a port whose packet it drops; the strings stay the caller's and must outlive it. */
struct dt_ledger_port {
	const char *name;
	enum dt_port_kind kind;
};

extern struct dt_account *dt_books[RTE_MAX_LCORE];

/**
 * Open the books for @p n_ports ports, on each EAL lcore's own NUMA node where EAL has memory there.
 *
 * @param ports  kept, not copied
 * @return 0; -ENOMEM
 * @note main lcore, before any worker runs
 */
int dt_ledger_init(const struct dt_ledger_port *ports, unsigned int n_ports);

/** Close the books; nothing may count any more. */
void dt_ledger_fini(void);

/* Whether anything is counted at all. Off only in a build that shows what counting costs. */
#ifdef DT_WITHOUT_BOOKS
#define DT_COUNTS 0
#else
#define DT_COUNTS 1
#endif

/** This lcore's account; only EAL lcores count. */
static inline struct dt_account *
dt_account_of(unsigned int at)
{
	return &dt_books[rte_lcore_id()][at];
}

static inline void
dt_count_add(struct dt_count *count, uint64_t packets, uint64_t bytes)
{
	if (!DT_COUNTS)
		return;
	dt_counter_add(&count->packets, packets);
	dt_counter_add(&count->bytes, bytes);
}

/** A port yielded @p n packets. */
static inline void
dt_received(unsigned int at, unsigned int n, uint64_t bytes)
{
	dt_count_add(&dt_account_of(at)->received, n, bytes);
}

/** dptap made @p n packets of its own (clones, segments) beyond those received, or just bytes (their headers). */
static inline void
dt_created(unsigned int at, unsigned int n, uint64_t bytes)
{
	dt_count_add(&dt_account_of(at)->created, n, bytes);
}

/** @p n packets left an inward account for an outward one. */
static inline void
dt_handed_on(unsigned int at, unsigned int n, uint64_t bytes)
{
	dt_count_add(&dt_account_of(at)->delivered, n, bytes);
}

/** The bytes that a packet counts. */
static inline uint32_t
dt_bytes_of(const struct rte_mbuf *m)
{
	return DT_COUNTS ? m->pkt_len : 0;
}

/** The bytes of a burst. */
static inline uint64_t
dt_burst_bytes(struct rte_mbuf *const *pkts, unsigned int n)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < n; i++)
		bytes += dt_bytes_of(pkts[i]);
	return bytes;
}

/**
 * First door: the bytes of @p n packets arrived in a guest. Takes ownership and frees.
 */
void dt_delivered(unsigned int at, struct rte_mbuf **pkts, unsigned int n);

/** First door, NIC side: a driver accepted @p n packets and frees them itself once they are sent. */
static inline void
dt_delivered_to_nic(unsigned int at, unsigned int n, uint64_t bytes)
{
	dt_count_add(&dt_account_of(at)->delivered, n, bytes);
}

/** Second door: @p m ends here, and this is why. Takes ownership and frees. */
void dt_drop(unsigned int at, struct rte_mbuf *m, enum dt_cause cause);

/** Second door for @p n packets of one cause. Takes ownership and frees. */
void dt_drop_burst(unsigned int at, struct rte_mbuf **pkts, unsigned int n, enum dt_cause cause);

/** Second door for a packet of @p bytes bytes that never got an mbuf. */
void dt_drop_unmade(unsigned int at, uint64_t bytes, enum dt_cause cause);

/** The same for @p n packets of @p bytes bytes in all, above 0; watchers see one event, however many they are. */
void dt_drop_unmade_burst(unsigned int at, unsigned int n, uint64_t bytes, enum dt_cause cause);

/**
 * No door: @p m lives on in other packets that stand in its place (segments, a copy), which the caller has put into
 * the books. Takes ownership and frees.
 */
void dt_replaced(struct rte_mbuf *m);

/* ---- reading: any thread ---- */

/** Sum one account over all lcores. */
void dt_ledger_sum(unsigned int at, struct dt_account *ret_sum);

/** All that an account dropped, over its causes. */
struct dt_count dt_account_dropped(const struct dt_account *account);

/** Let what waits in @p ring, which outlives the books, count as held by @p at. @return 0; -ENOMEM. Control threads */
int dt_ledger_watch(unsigned int at, const struct rte_ring *ring);

/** From now on @p other, which outlives the books, stands in the place of @p ring, which may go; both are empty. */
void dt_ledger_watch_instead(const struct rte_ring *ring, const struct rte_ring *other);

/** Packets that wait in the lanes of @p at. Not on a worker. */
uint64_t dt_ledger_held(unsigned int at);

enum dt_verdict {
	DT_EXACT, /* nothing moved, and the law holds to packet and byte */
	DT_MOVING, /* packets moved while the books were read; off by no more than these */
	DT_WRONG, /* the law is broken */
};

/** The law's terms for the process: received and created inward, delivered and held outward, dropped in both. */
struct dt_balance {
	struct dt_count received;
	struct dt_count created;
	struct dt_count delivered;
	struct dt_count dropped;
	uint64_t held; /* packets */
	int64_t difference; /* packets: received + created - delivered - dropped - held */
	enum dt_verdict verdict;
};

/** Read the books and apply the law to the process, and to each port and direction. */
void dt_ledger_audit(struct dt_balance *ret_balance);

unsigned int dt_ledger_n_ports(void);

/** The port that an account belongs to. */
const struct dt_ledger_port *dt_ledger_port_at(unsigned int at);

/** "from_guest", "to_guest", "port_rx" or "port_tx". */
const char *dt_ledger_direction(unsigned int at);

/* ---- names and texts of the lists ---- */

enum dt_drop_reason dt_cause_reason(enum dt_cause cause);
const char *dt_cause_name(enum dt_cause cause);
const char *dt_cause_what(enum dt_cause cause);
const char *dt_cause_culprit(enum dt_cause cause);
const char *dt_cause_remedy(enum dt_cause cause);
const char *dt_reason_name(enum dt_drop_reason reason);
const char *dt_reason_meaning(enum dt_drop_reason reason);

/** @return the cause of that name, DT_CAUSE_MAX: there is none */
enum dt_cause dt_cause_by_name(const char *name);

/** @return the reason of that name, DT_REASON_MAX: there is none */
enum dt_drop_reason dt_reason_by_name(const char *name);

/* A packet ends through a door above, nowhere else. Files that are the doors define this before the include. */
#ifndef DT_LEDGER_DOORS
#pragma GCC poison rte_pktmbuf_free rte_pktmbuf_free_bulk rte_pktmbuf_free_seg
#endif

#endif
