/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest has moved here, and cannot say so itself: dptap does it for it, so that switches and the bridge learn where
 * it is now. It goes the way of what the guest sends, though no ring may run yet.
 */
#include "internal.h"

#include <string.h>

#include <rte_arp.h>
#include <rte_cycles.h>
#include <rte_ether.h>

/* A front end asks five times within half a second; each one goes to everybody on the bridge. */
#define ANNOUNCEMENTS_A_SECOND 20

#define RARP_LEN 64

struct order {
	struct dt_pair *pair;
	struct rte_ether_addr mac;
};

static void
announce(void *arg)
{
	const struct order *order = arg;
	const struct dt_pair *pair = order->pair;
	struct rte_mbuf *pkt = rte_net_make_rarp_packet(pair->pool, &order->mac);

	dt_created(pair->at_in, 1, pkt != NULL ? pkt->pkt_len : RARP_LEN);
	if (pkt != NULL)
		pair->sink.take(pair->sink.self, &pkt, 1);
	else
		dt_drop_unmade(pair->at_in, RARP_LEN, DT_CAUSE_ANNOUNCE_NO_MBUF);
}

static bool
is_too_soon(struct dt_guest *guest)
{
	uint64_t now = rte_rdtsc();

	if (now >= guest->announce_until) {
		guest->announce_until = now + rte_get_tsc_hz();
		guest->n_announced = 0;
	}
	return guest->n_announced++ >= ANNOUNCEMENTS_A_SECOND;
}

void
dt_guest_announce(struct dt_guest *guest, const uint8_t mac[static RTE_ETHER_ADDR_LEN])
{
	struct order order = { .pair = guest->pairs[0].pair };

	memcpy(&order.mac, mac, RTE_ETHER_ADDR_LEN);
	if (!rte_is_valid_assigned_ether_addr(&order.mac))
		GUEST_SAY(guest, WARNING, "the front end announces an address that is nobody's: ignored");
	else if (is_too_soon(guest))
		GUEST_SAY(guest, WARNING, "the front end announces the guest again and again: ignored for a while");
	else
		dt_worker_call(guest->pairs[0].worker, announce, &order);
}
