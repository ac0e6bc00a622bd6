/* SPDX-License-Identifier: BSD-3-Clause */
#include "ledger.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "watch.h"

/* A frame is no shorter than an Ethernet header, or it would have been dropped before a lane; nor longer than this. */
#define FRAME_MIN 14
#define FRAME_MAX (RTE_ETHER_HDR_LEN + 65536)

struct watch {
	unsigned int at;
	const struct rte_ring *ring;
};

static pthread_mutex_t watches_lock = PTHREAD_MUTEX_INITIALIZER; /* guards both, and that their rings are there */
static struct watch *watches;
static unsigned int n_watches;

int
dt_ledger_watch(unsigned int at, const struct rte_ring *ring)
{
	struct watch *grown;

	pthread_mutex_lock(&watches_lock);
	grown = realloc(watches, (n_watches + 1) * sizeof(*watches));
	if (grown != NULL) {
		watches = grown;
		watches[n_watches++] = (struct watch){ .at = at, .ring = ring };
	}
	pthread_mutex_unlock(&watches_lock);
	return grown != NULL ? 0 : -ENOMEM;
}

void
dt_ledger_watch_instead(const struct rte_ring *ring, const struct rte_ring *other)
{
	pthread_mutex_lock(&watches_lock);
	for (unsigned int i = 0; i < n_watches; i++)
		if (watches[i].ring == ring)
			watches[i].ring = other;
	pthread_mutex_unlock(&watches_lock);
}

void
dt_watch_clear(void)
{
	pthread_mutex_lock(&watches_lock);
	free(watches);
	watches = NULL;
	n_watches = 0;
	pthread_mutex_unlock(&watches_lock);
}

uint64_t
dt_ledger_held(unsigned int at)
{
	uint64_t held = 0;

	pthread_mutex_lock(&watches_lock);
	for (unsigned int i = 0; i < n_watches; i++)
		if (watches[i].at == at)
			held += rte_ring_count(watches[i].ring);
	pthread_mutex_unlock(&watches_lock);
	return held;
}

/* One reading of the whole ledger. */
struct reading {
	struct dt_balance balance;
	struct dt_count handed_on; /* inward's delivered */
	struct dt_count taken_over; /* outward's received */
	bool each_holds; /* the law, for every port and direction */
};

static void
count_plus(struct dt_count *sum, struct dt_count more)
{
	sum->packets += more.packets;
	sum->bytes += more.bytes;
}

static bool
law_holds(const struct dt_account *a, struct dt_count dropped, uint64_t held)
{
	uint64_t in = a->received.packets + a->created.packets;
	uint64_t held_bytes = a->received.bytes + a->created.bytes - a->delivered.bytes - dropped.bytes;

	if (in != a->delivered.packets + dropped.packets + held)
		return false;
	/* Lanes count packets, not bytes: what is missing must be what that many frames can weigh. */
	return held_bytes >= held * FRAME_MIN && held_bytes <= held * FRAME_MAX;
}

static void
read_books(struct reading *ret)
{
	struct reading r = { .each_holds = true };
	struct dt_balance *b = &r.balance;

	/* Outward first: what it has seen was handed on before, so what moves meanwhile can only be missing there. */
	for (int inward = 0; inward <= 1; inward++) {
		for (unsigned int port = 0; port < dt_ledger_n_ports(); port++) {
			unsigned int at = inward ? DT_AT_IN(port) : DT_AT_OUT(port);
			struct dt_account a;
			struct dt_count dropped;
			uint64_t held = dt_ledger_held(at);

			dt_ledger_sum(at, &a);
			dropped = dt_account_dropped(&a);
			count_plus(&b->dropped, dropped);
			count_plus(&b->created, a.created);
			b->held += held;
			if (inward) {
				count_plus(&b->received, a.received);
				count_plus(&r.handed_on, a.delivered);
			} else {
				count_plus(&b->delivered, a.delivered);
				count_plus(&r.taken_over, a.received);
			}
			if (!law_holds(&a, dropped, held))
				r.each_holds = false;
		}
	}
	b->difference = (int64_t)(b->received.packets + b->created.packets - b->delivered.packets - b->dropped.packets -
				  b->held);
	*ret = r;
}

/* Packets that any counter advanced by between two readings. */
static uint64_t
moved_between(const struct dt_balance *a, const struct dt_balance *b)
{
	return b->received.packets - a->received.packets + b->created.packets - a->created.packets +
	       b->delivered.packets - a->delivered.packets + b->dropped.packets - a->dropped.packets +
	       (b->held > a->held ? b->held - a->held : a->held - b->held);
}

/* Bursts that a worker may have in its hands, between "received" and "delivered". */
#define IN_HANDS (64 * RTE_MAX_LCORE)

static uint64_t
magnitude(int64_t difference)
{
	return (uint64_t)(difference < 0 ? -difference : difference);
}

void
dt_ledger_audit(struct dt_balance *ret_balance)
{
	struct reading before, r, after;
	int64_t between;
	uint64_t moved;
	bool holds;

	read_books(&before);
	rte_smp_rmb(); /* keeps the readings apart; the writers' stores are relaxed */
	read_books(&r);
	rte_smp_rmb();
	read_books(&after);
	between = (int64_t)(r.handed_on.packets - r.taken_over.packets);
	moved = moved_between(&before.balance, &after.balance);
	holds = r.each_holds && r.balance.difference == 0 &&
		memcmp(&r.handed_on, &r.taken_over, sizeof(r.handed_on)) == 0;
	/* Only movement excuses a difference, and no more of one than what moved and what workers hold. */
	if (holds)
		r.balance.verdict = DT_EXACT;
	else if (moved > 0 && magnitude(r.balance.difference) <= moved + IN_HANDS &&
		 magnitude(between) <= moved + IN_HANDS)
		r.balance.verdict = DT_MOVING;
	else
		r.balance.verdict = DT_WRONG;
	*ret_balance = r.balance;
}
