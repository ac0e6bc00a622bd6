/* SPDX-License-Identifier: BSD-3-Clause */
#include "bridge.h"

#include <rte_cycles.h>
#include <rte_ether.h>

#include "fdb.h"
#include "pool.h"
#include "stage.h"

/* So often at the most may one guest make its worker change the database. */
#define LEARN_PERIOD_MS 100
#define LEARN_TRIES     64

static bool
is_open(const struct dt_member *member)
{
	return member->uplink != NULL ? dt_uplink_is_open(member->uplink) : dt_guest_is_open(member->guest);
}

static inline void
put(const struct dt_ingress *in, const struct dt_member *to, struct rte_mbuf **pkts, unsigned int n)
{
	if (to->uplink != NULL)
		dt_uplink_put(to->uplink, in->lane, in->at, pkts, n);
	else
		dt_guest_put(to->guest, in->at, pkts, n);
}

/* The addresses that a member's queue pairs have taught, together. */
static uint32_t *
n_taught(struct dt_ingress *in)
{
	return &in->bridge->members[in->self].n_taught;
}

/* Keep only what is still this ingress's own, and not @p source. */
static void
prune(struct dt_ingress *in, uint64_t source)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < in->n_learnt; i++)
		if (in->learnt[i] != source && dt_fdb_is_learnt_of(in->bridge->fdb, in->learnt[i], in->self))
			in->learnt[kept++] = in->learnt[i];
	__atomic_fetch_sub(n_taught(in), in->n_learnt - kept, __ATOMIC_RELAXED);
	in->n_learnt = kept;
}

static void
learn(struct dt_ingress *in, uint64_t source)
{
	if (dt_fdb_is_learnt_of(in->bridge->fdb, source, in->self))
		return;
	prune(in, source);
	/* Another pair of the same guest may be at it on another worker: take the place first. */
	if (__atomic_fetch_add(n_taught(in), 1, __ATOMIC_RELAXED) < DT_LEARN_MAX &&
		dt_fdb_learn(in->bridge->fdb, source, in->self) == 1)
		in->learnt[in->n_learnt++] = source;
	else
		__atomic_fetch_sub(n_taught(in), 1, __ATOMIC_RELAXED);
}

/* A source that is not the last one looked at: rare, but for a router's own bridges, or somebody hostile. */
static void
look_at_source(struct dt_ingress *in, uint64_t source)
{
	uint64_t now;

	in->last_source = source;
	__atomic_store_n(&in->look_again, false, __ATOMIC_RELAXED);
	if ((source & 1) != 0 || source == 0) /* a group's address, or none */
		return;
	if (in->bridge->members[in->self].uplink != NULL) {
		/* Who is seen outside is not here: a guest has moved away, or took an address that was not its own. */
		if (dt_fdb_find(in->bridge->fdb, source) >= 0)
			dt_fdb_forget(in->bridge->fdb, source);
		return;
	}
	now = rte_get_timer_cycles();
	if (now >= in->learn_until) {
		in->learn_until = now + rte_get_timer_hz() / 1000 * LEARN_PERIOD_MS;
		in->n_tries = 0;
	}
	if (in->n_tries++ < LEARN_TRIES)
		learn(in, source);
}

/* What a guest sends whose address is configured is looked at now and then: answers to another address never come. */
static void
look_at_stranger(struct dt_ingress *in, const struct rte_mbuf *pkt)
{
	uint64_t source = dt_mac_key(&rte_pktmbuf_mtod(pkt, const struct rte_ether_hdr *)->src_addr);

	__atomic_store_n(&in->look_again, false, __ATOMIC_RELAXED);
	if (source != in->own && (source & 1) == 0 && source != 0)
		__atomic_store_n(&in->stranger, source, __ATOMIC_RELAXED);
}

uint64_t
dt_bridge_stranger(struct dt_ingress *ingress, unsigned int n)
{
	uint32_t n_gone = __atomic_load_n(&ingress[0].n_gone, __ATOMIC_RELAXED);
	uint64_t found = 0;

	if (ingress[0].told && ingress[0].told_of == n_gone)
		return 0;
	for (unsigned int i = 0; i < n && found == 0; i++)
		found = __atomic_load_n(&ingress[i].stranger, __ATOMIC_RELAXED);
	ingress[0].told = found != 0;
	ingress[0].told_of = n_gone;
	return found;
}

void
dt_bridge_forget(void *ingress)
{
	struct dt_ingress *in = ingress;

	__atomic_store_n(&in->stranger, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&in->n_gone, in->n_gone + 1, __ATOMIC_RELAXED);
	prune(in, 0);
	for (unsigned int i = 0; i < in->n_learnt; i++)
		dt_fdb_forget(in->bridge->fdb, in->learnt[i]);
	__atomic_fetch_sub(n_taught(in), in->n_learnt, __ATOMIC_RELAXED);
	in->n_learnt = 0;
	in->last_source = 0;
}

/* @return NULL: no mbufs */
static struct rte_mbuf *
clone_of(struct rte_mbuf *pkt)
{
	struct rte_mempool *pool = dt_pool_of((int)rte_socket_id());

	/* One mbuf is soon copied. A clone would pin the original, two mbufs in a lane that counts one. */
	if (likely(pkt->nb_segs == 1))
		return rte_pktmbuf_copy(pkt, pool, 0, UINT32_MAX);
	return rte_pktmbuf_clone(pkt, pool);
}

/* To all other members that are up: clones for all but the last. */
static void
flood(struct dt_ingress *in, struct rte_mbuf *pkt)
{
	const struct dt_member *last = NULL;

	for (unsigned int i = 0; i < in->bridge->n_members; i++) {
		const struct dt_member *member = &in->bridge->members[i];
		struct rte_mbuf *clone;

		if (i == in->self || !is_open(member))
			continue;
		if (last != NULL) {
			dt_created(in->at, 1, pkt->pkt_len);
			clone = clone_of(pkt);
			if (likely(clone != NULL))
				put(in, last, &clone, 1);
			else
				dt_drop_unmade(in->at, pkt->pkt_len, DT_CAUSE_CLONE_NO_MBUF);
		}
		last = member;
	}
	if (last != NULL)
		put(in, last, &pkt, 1);
	else
		dt_drop(in->at, pkt, DT_CAUSE_NO_DESTINATION);
}

/* @return the member that a unicast frame goes to, NULL: none, *ret_cause says why */
static const struct dt_member *
look_up(const struct dt_ingress *in, uint64_t destination, enum dt_cause *ret_cause)
{
	const struct dt_bridge *bridge = in->bridge;
	int found = dt_fdb_find(bridge->fdb, destination);

	if (found == (int)in->self) {
		*ret_cause = DT_CAUSE_MAC_IS_SENDER;
		return NULL;
	}
	if (found >= 0)
		return &bridge->members[found];
	/* What no guest owns is for the world outside, unless it came from there. */
	if (bridge->members[0].uplink != NULL && in->self != 0)
		return &bridge->members[0];
	*ret_cause = DT_CAUSE_MAC_NOT_HERE;
	return NULL;
}

unsigned int
dt_bridge_take(void *ingress, struct rte_mbuf **pkts, unsigned int n)
{
	DT_STAGE(DT_STAGE_CLASSIFY);
	struct dt_ingress *in = ingress;
	bool teaches = in->teaches;
	const struct dt_member *to = NULL; /* of the run of packets that ends before i */
	enum dt_cause cause = DT_CAUSE_MAX;
	uint64_t last = UINT64_MAX; /* destination that `to` was found for; no MAC is that */
	unsigned int start = 0, n_runs = 1;

	if (unlikely(in->own != 0 && __atomic_load_n(&in->look_again, __ATOMIC_RELAXED)))
		look_at_stranger(in, pkts[0]);
	for (unsigned int i = 0; i < n; i++) {
		const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkts[i], const struct rte_ether_hdr *);
		uint64_t destination = dt_mac_key(&eth->dst_addr);
		uint64_t source = dt_mac_key(&eth->src_addr);

		if (unlikely(teaches &&
			     (source != in->last_source || __atomic_load_n(&in->look_again, __ATOMIC_RELAXED))))
			look_at_source(in, source);
		if (likely(destination == last))
			continue;
		/* The run for the previous destination is complete. */
		if (i > start) {
			if (likely(to != NULL))
				put(in, to, &pkts[start], i - start);
			else
				dt_drop_burst(in->at, &pkts[start], i - start, cause);
		}
		n_runs += i > 0;
		start = i;
		last = destination;
		if (unlikely((destination & 1) != 0)) {
			flood(in, pkts[i]);
			start = i + 1;
			last = UINT64_MAX;
		} else {
			to = look_up(in, destination, &cause);
		}
	}
	if (n > start) {
		if (likely(to != NULL))
			put(in, to, &pkts[start], n - start);
		else
			dt_drop_burst(in->at, &pkts[start], n - start, cause);
	}
	return n_runs;
}

unsigned int
dt_pipe_take(void *ingress, struct rte_mbuf **pkts, unsigned int n)
{
	DT_STAGE(DT_STAGE_CLASSIFY);
	struct dt_ingress *in = ingress;

	if (likely(in->bridge->n_members == 2))
		put(in, &in->bridge->members[1 - in->self], pkts, n);
	else
		dt_drop_burst(in->at, pkts, n, DT_CAUSE_NO_DESTINATION);
	return 1;
}
