/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest that has moved here is announced in its name: a RARP packet, the guest's way, and not too many. */
#include "testing.h"

#include <string.h>

#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_mempool.h>

#include "books.h"
#include "eal.h"
#include "guest/internal.h"
#include "packet.h"
#include "pool.h"

#define IN DT_AT_IN(DT_TEST_VM0)

static const uint8_t mac[RTE_ETHER_ADDR_LEN] = { 0x52, 0x54, 0, 1, 2, 3 };

static struct dt_guest *guest;
static struct rte_mbuf *sent; /* the last packet that the guest's sink took */
static unsigned int n_sent;

static struct dt_worker *
only_worker(void *self, struct dt_worker *now, int node)
{
	return dt_worker_at(0);
}

static void
end(void)
{
	if (sent != NULL)
		dt_drop(IN, sent, DT_CAUSE_NO_DESTINATION);
	sent = NULL;
}

static unsigned int
take(void *self, struct rte_mbuf **pkts, unsigned int n)
{
	assert_int_equal(n, 1);
	end();
	sent = pkts[0];
	n_sent++;
	return 1;
}

static int
open_guest(void **state)
{
	static const struct dt_conf_guest conf = { .name = "vm0", .n_queues = 1, .queue_len = 256 };
	const struct dt_sink sink = { .take = take };

	dt_test_books_open(state);
	assert_int_equal(dt_workers_init(DT_IDLE_POLL), 0);
	n_sent = 0;
	return dt_guest_new(&conf, DT_TEST_VM0, &sink, (struct dt_guest_place){ .choose = only_worker }, true, &guest);
}

static int
close_guest(void **state)
{
	int result;

	end();
	result = dt_test_books_close(state);
	dt_guest_free(guest);
	dt_workers_fini();
	return result;
}

static void
the_packet_is_a_reverse_arp_request_for_the_guest_s_own_address(void **state)
{
	const struct rte_ether_hdr *eth;
	const struct rte_arp_hdr *arp;

	dt_guest_announce(guest, mac);

	assert_non_null(sent);
	eth = rte_pktmbuf_mtod(sent, const struct rte_ether_hdr *);
	arp = (const struct rte_arp_hdr *)(eth + 1);
	assert_in_range(sent->pkt_len, RTE_ETHER_MIN_LEN - RTE_ETHER_CRC_LEN, RTE_ETHER_MIN_LEN);
	assert_true(rte_is_broadcast_ether_addr(&eth->dst_addr));
	assert_memory_equal(&eth->src_addr, mac, sizeof(mac));
	assert_int_equal(rte_be_to_cpu_16(eth->ether_type), RTE_ETHER_TYPE_RARP);
	assert_int_equal(rte_be_to_cpu_16(arp->arp_opcode), RTE_ARP_OP_REVREQUEST);
	assert_memory_equal(&arp->arp_data.arp_sha, mac, sizeof(mac));
	assert_memory_equal(&arp->arp_data.arp_tha, mac, sizeof(mac));
	assert_int_equal(dt_test_account(IN).created.packets, 1);
	assert_int_equal(dt_test_account(IN).created.bytes, sent->pkt_len);
}

static void
an_address_that_is_nobody_s_is_not_announced(void **state)
{
	static const uint8_t nobody[RTE_ETHER_ADDR_LEN] = { 0 }, group[RTE_ETHER_ADDR_LEN] = { 0x33, 0x33, 0, 0, 0, 1 };

	dt_guest_announce(guest, nobody);
	dt_guest_announce(guest, group);

	assert_int_equal(n_sent, 0);
	assert_int_equal(dt_test_account(IN).created.packets, 0);
}

static void
a_flood_of_requests_is_no_flood_of_packets(void **state)
{
	for (unsigned int i = 0; i < 1000; i++)
		dt_guest_announce(guest, mac);
	assert_in_range(n_sent, 5, 20);

	guest->announce_until = 0; /* time has passed */
	n_sent = 0;
	dt_guest_announce(guest, mac);
	assert_int_equal(n_sent, 1);
}

static void
without_an_mbuf_the_announcement_is_announce_no_mbuf(void **state)
{
	struct rte_mempool *pool = dt_pool_of(0);
	unsigned int n = rte_mempool_avail_count(pool);
	void **all = calloc(n, sizeof(*all));

	assert_non_null(all);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(rte_mempool_get(pool, &all[i]), 0);

	dt_guest_announce(guest, mac);

	for (unsigned int i = 0; i < n; i++)
		rte_mempool_put(pool, all[i]);
	free(all);
	assert_int_equal(n_sent, 0);
	assert_int_equal(dt_test_account(IN).created.packets, 1);
	assert_int_equal(dt_test_dropped(IN, DT_CAUSE_ANNOUNCE_NO_MBUF), 1);
}

#define ANNOUNCE_TEST(f) cmocka_unit_test_setup_teardown(f, open_guest, close_guest)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ANNOUNCE_TEST(the_packet_is_a_reverse_arp_request_for_the_guest_s_own_address),
		ANNOUNCE_TEST(an_address_that_is_nobody_s_is_not_announced),
		ANNOUNCE_TEST(a_flood_of_requests_is_no_flood_of_packets),
		ANNOUNCE_TEST(without_an_mbuf_the_announcement_is_announce_no_mbuf),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
