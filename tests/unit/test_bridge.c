/* SPDX-License-Identifier: BSD-3-Clause */
/* Who gets a packet: by destination, to all but the sender, or to nobody; and what guests can teach the bridge. */
#include "testing.h"

#include <string.h>

#include "bridge.h"
#include "eal.h"
#include "fdb.h"
#include "nic.h"
#include "packet.h"
#include "pool.h"

/* The bridge's members, which have the ledger's port numbers; and addresses, by their last byte. */
#define NIC       DT_TEST_NIC
#define VM0       DT_TEST_VM0
#define VM1       DT_TEST_VM1
#define BROADCAST 0xff
#define FIXED     0x50 /* is configured to be vm1's */
#define IN(port)  DT_AT_IN(port)
#define OUT(port) DT_AT_OUT(port)

static struct dt_conf_guest confs[] = { { .name = "vm0", .n_queues = 1, .queue_len = 256 },
	{ .name = "vm1", .n_queues = 1, .queue_len = 256 } };
static struct dt_member members[3];
static struct dt_bridge bridge;
static struct dt_ingress ingress[3];

static uint64_t
mac(uint8_t last)
{
	const struct rte_ether_addr addr = { { 2, 0, 0, 0, 0, last } };

	return dt_mac_key(&addr);
}

static struct dt_worker *
only_worker(void *self, struct dt_worker *now, int node)
{
	return dt_worker_at(0);
}

static struct dt_lane *
lane_of(unsigned int port)
{
	return port == NIC ? &dt_test_nic.uplink->queues[0].lane : dt_guest_lane(members[port].guest, 0);
}

static int
wire_up(void **state)
{
	dt_test_books_open(state);
	dt_test_nic_start((struct dt_sink){ dt_bridge_take, &ingress[NIC] }, 9000);
	members[NIC] = (struct dt_member){ .uplink = dt_test_nic.uplink };
	bridge = (struct dt_bridge){ .n_members = 3, .members = members };
	assert_int_equal(dt_fdb_new("bridge", 1024, &bridge.fdb), 0);
	for (unsigned int port = 0; port < 3; port++)
		ingress[port] = (struct dt_ingress){ .bridge = &bridge, .self = port, .at = IN(port), .teaches = true };
	for (unsigned int port = VM0; port <= VM1; port++) {
		struct dt_sink sink = { dt_bridge_take, &ingress[port] };
		struct dt_guest_place place = { .choose = only_worker };

		members[port] = (struct dt_member){ 0 };
		assert_int_equal(dt_guest_new(&confs[port - VM0], port, &sink, place, true, &members[port].guest), 0);
		dt_lane_open(dt_guest_lane(members[port].guest, 0));
	}
	return dt_fdb_add(bridge.fdb, mac(FIXED), VM1);
}

static int
take_down(void **state)
{
	int result;

	for (unsigned int port = 0; port < 3; port++)
		dt_lane_drain(lane_of(port), DT_CAUSE_SHUTTING_DOWN);
	dt_test_nic_stop();
	result = dt_test_books_close(state);
	dt_guest_free(members[VM0].guest);
	dt_guest_free(members[VM1].guest);
	dt_fdb_free(bridge.fdb);
	dt_test_nic_free();
	return result;
}

/* A burst of frames of 60 bytes from one port, to these destinations, in this order. @return runs that they make */
static unsigned int
send_burst(unsigned int port, uint8_t source, const uint8_t destinations[], unsigned int n)
{
	struct rte_mbuf *pkts[DT_BURST];

	dt_test_bring(IN(port), pkts, n, 60, 0);
	for (unsigned int i = 0; i < n; i++)
		dt_test_packet_address(pkts[i], destinations[i], source);
	return dt_bridge_take(&ingress[port], pkts, n);
}

static void
send_one(unsigned int port, uint8_t source, uint8_t destination)
{
	send_burst(port, source, &destination, 1);
}

static void
send_source(unsigned int port, uint16_t source)
{
	struct rte_mbuf *pkt;

	dt_test_bring(IN(port), &pkt, 1, 60, 0);
	dt_test_packet_address(pkt, FIXED, 0);
	dt_test_packet_source(pkt, source);
	dt_bridge_take(&ingress[port], &pkt, 1);
}

/* So many packets wait for the three ports. */
static void
expect_waiting(unsigned int nic, unsigned int vm0, unsigned int vm1)
{
	assert_int_equal(dt_lane_count(lane_of(NIC)), nic);
	assert_int_equal(dt_lane_count(lane_of(VM0)), vm0);
	assert_int_equal(dt_lane_count(lane_of(VM1)), vm1);
}

static void
unicast_goes_to_the_owner_of_its_address(void **state)
{
	send_one(VM0, 1, FIXED);
	expect_waiting(0, 0, 1);

	send_one(VM1, 2, 1); /* to vm0, which has just shown its address */
	expect_waiting(0, 1, 1);
	send_one(NIC, 9, 1);
	expect_waiting(0, 2, 1);
	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
unknown_unicast_of_a_guest_goes_out_by_the_uplink(void **state)
{
	send_one(VM0, 1, 77);

	expect_waiting(1, 0, 0);
}

static void
unknown_unicast_from_the_wire_is_not_for_us(void **state)
{
	send_one(NIC, 9, 77);

	expect_waiting(0, 0, 0);
	assert_int_equal(dt_test_dropped(IN(NIC), DT_CAUSE_MAC_NOT_HERE), 1);
}

static void
without_an_uplink_unknown_unicast_goes_nowhere(void **state)
{
	members[NIC].uplink = NULL;
	members[NIC].guest = members[VM1].guest; /* a bridge of guests alone */
	send_one(VM0, 1, 77);
	members[NIC].guest = NULL;
	members[NIC].uplink = dt_test_nic.uplink;

	assert_int_equal(dt_test_dropped(IN(VM0), DT_CAUSE_MAC_NOT_HERE), 1);
}

static void
what_comes_back_to_its_sender_is_dropped(void **state)
{
	send_one(VM1, 2, FIXED);
	send_one(VM0, 1, 77);
	send_one(VM0, 1, 1);

	assert_int_equal(dt_test_dropped(IN(VM1), DT_CAUSE_MAC_IS_SENDER), 1);
	assert_int_equal(dt_test_dropped(IN(VM0), DT_CAUSE_MAC_IS_SENDER), 1);
}

static void
runs_for_one_destination_keep_order_among_all_others(void **state)
{
	static const uint8_t to[] = { FIXED, FIXED, 77, FIXED, BROADCAST, BROADCAST, 1, 1, FIXED, 77, 77, FIXED };
	static const uint16_t for_vm1[] = { 0, 1, 3, 4, 5, 8, 11 }, for_nic[] = { 2, 4, 5, 9, 10 };
	struct rte_mbuf *pkts[DT_BURST];

	send_burst(VM0, 1, to, sizeof(to));

	expect_waiting(5, 0, 7);
	assert_int_equal(dt_test_dropped(IN(VM0), DT_CAUSE_MAC_IS_SENDER), 2);
	dt_lane_peek(lane_of(VM1), pkts, 7);
	dt_lane_finish(lane_of(VM1), 0);
	for (unsigned int i = 0; i < 7; i++) {
		dt_test_packet_address(pkts[i], 2, 1); /* what the frame was made with */
		assert_true(dt_test_packet_is(pkts[i], 60, for_vm1[i]));
	}
	dt_lane_peek(lane_of(NIC), pkts, 5);
	dt_lane_finish(lane_of(NIC), 0);
	for (unsigned int i = 0; i < 5; i++) {
		dt_test_packet_address(pkts[i], 2, 1);
		assert_true(dt_test_packet_is(pkts[i], 60, for_nic[i]));
	}
}

static void
a_broadcast_reaches_all_but_its_sender(void **state)
{
	send_one(VM0, 1, BROADCAST);

	expect_waiting(1, 0, 1);
	assert_int_equal(dt_test_account(IN(VM0)).created.packets, 1);
	assert_int_equal(dt_test_account(IN(VM0)).created.bytes, 60);
	send_one(NIC, 9, BROADCAST);
	expect_waiting(1, 1, 2);
	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
a_broadcast_passes_by_ports_that_are_down(void **state)
{
	dt_lane_close(lane_of(VM1), DT_CAUSE_GUEST_NOT_CONNECTED);

	send_one(VM0, 1, BROADCAST);

	expect_waiting(1, 0, 0);
	assert_int_equal(dt_test_account(IN(VM0)).created.packets, 0);
	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
a_broadcast_that_nobody_can_hear_has_no_destination(void **state)
{
	dt_lane_close(lane_of(VM0), DT_CAUSE_GUEST_NOT_CONNECTED);
	dt_lane_close(lane_of(VM1), DT_CAUSE_GUEST_NOT_CONNECTED);

	send_one(NIC, 9, BROADCAST);

	assert_int_equal(dt_test_dropped(IN(NIC), DT_CAUSE_NO_DESTINATION), 1);
}

static void
a_clone_without_an_mbuf_is_lost_and_counted(void **state)
{
	static struct rte_mbuf *all[16384];
	struct rte_mempool *pool = dt_pool_of(0);
	struct rte_mbuf *pkt;
	unsigned int n;

	dt_test_bring(IN(VM0), &pkt, 1, 100, 0);
	dt_test_packet_address(pkt, BROADCAST, 1);
	n = rte_mempool_avail_count(pool);
	assert_in_range(n, 1, 16384);
	assert_int_equal(rte_mempool_get_bulk(pool, (void **)all, n), 0);

	dt_bridge_take(&ingress[VM0], &pkt, 1);

	assert_int_equal(dt_test_dropped(IN(VM0), DT_CAUSE_CLONE_NO_MBUF), 1);
	assert_int_equal(dt_test_dropped_bytes(IN(VM0), DT_CAUSE_CLONE_NO_MBUF), 100);
	assert_int_equal(dt_cause_reason(DT_CAUSE_CLONE_NO_MBUF), DT_REASON_PROTO_MEM);
	expect_waiting(0, 0, 1); /* the last one gets the frame itself */
	rte_mempool_put_bulk(pool, (void **)all, n);
}

static void
only_the_clone_that_finds_no_mbufs_is_lost(void **state)
{
	static struct rte_mbuf *all[16384];
	struct rte_mempool *pool = dt_pool_of(0);
	struct rte_mbuf *pkt;
	unsigned int n;

	dt_test_bring(IN(VM0), &pkt, 1, 5000, 0);
	dt_test_packet_address(pkt, BROADCAST, 1);
	n = rte_mempool_avail_count(pool) - 2;
	assert_int_equal(rte_mempool_get_bulk(pool, (void **)all, n), 0);

	dt_bridge_take(&ingress[VM0], &pkt, 1);
	rte_mempool_put_bulk(pool, (void **)all, n);
	send_one(VM0, 1, BROADCAST);

	assert_int_equal(dt_test_dropped_bytes(IN(VM0), DT_CAUSE_CLONE_NO_MBUF), 5000);
	expect_waiting(1, 0, 2);
}

static void
what_waits_of_a_broadcast_pins_no_mbuf_that_waits_elsewhere(void **state)
{
	struct rte_mbuf *at_nic, *at_vm1;

	send_one(VM0, 1, BROADCAST);

	assert_int_equal(dt_lane_peek(lane_of(NIC), &at_nic, 1), 1);
	assert_int_equal(dt_lane_peek(lane_of(VM1), &at_vm1, 1), 1);
	assert_true(RTE_MBUF_DIRECT(at_nic) && RTE_MBUF_DIRECT(at_vm1));
	assert_int_equal(rte_mbuf_refcnt_read(at_nic), 1);
	assert_int_equal(rte_mbuf_refcnt_read(at_vm1), 1);
	assert_int_equal(at_nic->pkt_len, 60);
	assert_memory_equal(rte_pktmbuf_mtod(at_nic, void *), rte_pktmbuf_mtod(at_vm1, void *), 60);
	dt_lane_finish(lane_of(NIC), 0);
	dt_lane_finish(lane_of(VM1), 0);
}

static void
a_guest_can_teach_so_many_addresses_and_no_more(void **state)
{
	ingress[VM0].learn_until = UINT64_MAX; /* the period of tries does not end */

	for (uint16_t i = 1; i <= DT_LEARN_MAX + 36; i++)
		send_source(VM0, i);

	assert_int_equal(ingress[VM0].n_learnt, DT_LEARN_MAX);
	ingress[VM0].learn_until = 0; /* nor does a new one help */
	send_source(VM0, 5000);
	assert_int_equal(ingress[VM0].n_learnt, DT_LEARN_MAX);
	send_source(VM1, 5001); /* which costs nobody else */
	assert_int_equal(ingress[VM1].n_learnt, 1);
}

static void
the_wire_teaches_nothing(void **state)
{
	send_one(NIC, 33, FIXED);

	assert_int_equal(dt_fdb_find(bridge.fdb, mac(33)), -1);
	send_one(VM0, 1, 33);
	expect_waiting(1, 0, 1);
}

static void
runs_for_one_destination_are_counted(void **state)
{
	static const uint8_t same[] = { FIXED, FIXED, FIXED }, turns[] = { FIXED, FIXED, 77, FIXED, 77, 77 };

	assert_int_equal(send_burst(VM0, 1, same, RTE_DIM(same)), 1);
	assert_int_equal(send_burst(VM0, 1, turns, RTE_DIM(turns)), 4);
	expect_waiting(3, 0, 6);
}

static void
addresses_of_groups_are_not_learnt(void **state)
{
	struct rte_mbuf *pkts[2];

	dt_test_bring(IN(VM0), pkts, 2, 60, 0);
	for (unsigned int i = 0; i < 2; i++) {
		dt_test_packet_address(pkts[i], FIXED, 0);
		memset(rte_pktmbuf_mtod_offset(pkts[i], uint8_t *, 6), i == 0 ? 0 : 0xff, 6);
	}
	dt_bridge_take(&ingress[VM0], pkts, 2);

	assert_int_equal(ingress[VM0].n_learnt, 0);
	expect_waiting(0, 0, 2);
}

static void
a_learnt_address_follows_its_user_and_a_configured_one_does_not(void **state)
{
	send_one(VM0, 1, FIXED);
	send_one(VM1, 1, 77); /* it moved to vm1 */
	send_one(VM0, FIXED, 77); /* vm0 uses what is not its own */

	assert_int_equal(dt_fdb_find(bridge.fdb, mac(1)), VM1);
	assert_int_equal(dt_fdb_find(bridge.fdb, mac(FIXED)), VM1);
}

static void
what_a_guest_taught_is_forgotten_with_it(void **state)
{
	send_one(VM0, 1, FIXED);
	send_one(VM1, 2, 77);

	dt_bridge_forget(&ingress[VM0]);
	dt_bridge_forget(&ingress[VM1]);

	assert_int_equal(dt_fdb_find(bridge.fdb, mac(1)), -1);
	assert_int_equal(dt_fdb_find(bridge.fdb, mac(2)), -1);
	assert_int_equal(dt_fdb_find(bridge.fdb, mac(FIXED)), VM1);
	send_one(VM0, 1, FIXED); /* and it may come back */
	assert_int_equal(dt_fdb_find(bridge.fdb, mac(1)), VM0);
}

static void
a_guest_whose_address_is_configured_teaches_nothing(void **state)
{
	ingress[VM0].teaches = false;

	send_one(VM0, 1, FIXED);

	assert_int_equal(dt_fdb_find(bridge.fdb, mac(1)), -1);
}

static void
what_is_seen_outside_is_not_a_guests(void **state)
{
	send_one(VM0, 1, FIXED); /* the gateway's address, let us say */

	send_one(NIC, 1, FIXED);

	assert_int_equal(dt_fdb_find(bridge.fdb, mac(1)), -1);
	send_one(NIC, FIXED, 77); /* but what is configured stays */
	assert_int_equal(dt_fdb_find(bridge.fdb, mac(FIXED)), VM1);
}

static void
an_address_that_was_taken_over_comes_back_to_who_goes_on_using_it(void **state)
{
	for (unsigned int i = 0; i < 3 * DT_LEARN_MAX; i++) {
		ingress[VM0].learn_until = 0;
		ingress[VM1].learn_until = 0;
		send_one(VM0, 1, FIXED);
		send_one(VM1, 1, 77);
		assert_int_equal(dt_fdb_find(bridge.fdb, mac(1)), VM1);

		dt_bridge_look_again(&ingress[VM0]);
		send_one(VM0, 1, FIXED);

		assert_int_equal(dt_fdb_find(bridge.fdb, mac(1)), VM0);
		dt_bridge_look_again(&ingress[VM1]);
	}
	assert_true(ingress[VM0].n_learnt <= 1);
}

static void
a_pipe_hands_everything_to_its_other_end(void **state)
{
	struct rte_mbuf *pkts[3];

	bridge.n_members = 2;
	dt_test_bring(IN(VM0), pkts, 3, 60, 0);
	dt_pipe_take(&ingress[VM0], pkts, 3);
	dt_test_bring(IN(NIC), pkts, 2, 60, 0);
	dt_pipe_take(&ingress[NIC], pkts, 2);

	expect_waiting(3, 2, 0);
	bridge.n_members = 1;
	dt_test_bring(IN(NIC), pkts, 2, 60, 0);
	dt_pipe_take(&ingress[NIC], pkts, 2);
	assert_int_equal(dt_test_dropped(IN(NIC), DT_CAUSE_NO_DESTINATION), 2);
}

int
main(void)
{
#define BRIDGE(test) cmocka_unit_test_setup_teardown(test, wire_up, take_down)
	const struct CMUnitTest tests[] = {
		BRIDGE(unicast_goes_to_the_owner_of_its_address),
		BRIDGE(unknown_unicast_of_a_guest_goes_out_by_the_uplink),
		BRIDGE(unknown_unicast_from_the_wire_is_not_for_us),
		BRIDGE(without_an_uplink_unknown_unicast_goes_nowhere),
		BRIDGE(what_comes_back_to_its_sender_is_dropped),
		BRIDGE(runs_for_one_destination_keep_order_among_all_others),
		BRIDGE(a_broadcast_reaches_all_but_its_sender),
		BRIDGE(a_broadcast_passes_by_ports_that_are_down),
		BRIDGE(a_broadcast_that_nobody_can_hear_has_no_destination),
		BRIDGE(a_clone_without_an_mbuf_is_lost_and_counted),
		BRIDGE(only_the_clone_that_finds_no_mbufs_is_lost),
		BRIDGE(what_waits_of_a_broadcast_pins_no_mbuf_that_waits_elsewhere),
		BRIDGE(a_guest_can_teach_so_many_addresses_and_no_more),
		BRIDGE(the_wire_teaches_nothing),
		BRIDGE(runs_for_one_destination_are_counted),
		BRIDGE(addresses_of_groups_are_not_learnt),
		BRIDGE(a_learnt_address_follows_its_user_and_a_configured_one_does_not),
		BRIDGE(what_a_guest_taught_is_forgotten_with_it),
		BRIDGE(a_guest_whose_address_is_configured_teaches_nothing),
		BRIDGE(what_is_seen_outside_is_not_a_guests),
		BRIDGE(an_address_that_was_taken_over_comes_back_to_who_goes_on_using_it),
		BRIDGE(a_pipe_hands_everything_to_its_other_end),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
