/* SPDX-License-Identifier: BSD-3-Clause */
/* The books: doors that count and free, sums over lcores, the audit's verdicts, and lists without gaps. */
#include "testing.h"

#include <string.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_trace_point.h>

#include "books.h"
#include "eal.h"
#include "packet.h"
#include "pool.h"

#define VM0_IN  DT_AT_IN(DT_TEST_VM0)
#define VM1_OUT DT_AT_OUT(DT_TEST_VM1)

static struct rte_ring *held; /* a ring outlives the books that watch it */

static int
close_books_and_ring(void **state)
{
	int result;

	result = dt_test_books_close(state);
	rte_ring_free(held);
	return result;
}

static enum dt_verdict
audit(void)
{
	struct dt_balance balance;

	dt_ledger_audit(&balance);
	return balance.verdict;
}

static void
a_drop_counts_packets_and_bytes_under_its_cause(void **state)
{
	struct rte_mbuf *pkts[3];

	dt_test_bring(VM0_IN, pkts, 2, 60, 0);
	dt_test_bring(VM0_IN, &pkts[2], 1, 1514, 2);

	dt_drop_burst(VM0_IN, pkts, 2, DT_CAUSE_MAC_NOT_HERE);
	dt_drop(VM0_IN, pkts[2], DT_CAUSE_HDR_GSO_SIZE);

	assert_int_equal(dt_test_dropped(VM0_IN, DT_CAUSE_MAC_NOT_HERE), 2);
	assert_int_equal(dt_test_dropped_bytes(VM0_IN, DT_CAUSE_MAC_NOT_HERE), 120);
	assert_int_equal(dt_test_dropped(VM0_IN, DT_CAUSE_HDR_GSO_SIZE), 1);
	assert_int_equal(dt_test_dropped_bytes(VM0_IN, DT_CAUSE_HDR_GSO_SIZE), 1514);
	assert_int_equal(dt_test_dropped_anywhere(), 3);
}

static void
an_empty_burst_is_no_drop(void **state)
{
	dt_drop_burst(VM0_IN, NULL, 0, DT_CAUSE_MAC_NOT_HERE);

	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
delivered_packets_are_counted_with_their_bytes(void **state)
{
	struct rte_mbuf *pkts[2];

	dt_test_bring(VM0_IN, pkts, 2, 100, 0);
	dt_handed_on(VM0_IN, 2, 200);
	dt_received(VM1_OUT, 2, 200);

	dt_delivered(VM1_OUT, pkts, 2);

	assert_int_equal(dt_test_account(VM1_OUT).delivered.packets, 2);
	assert_int_equal(dt_test_account(VM1_OUT).delivered.bytes, 200);
}

static void
a_packet_that_was_never_made_is_a_drop_too(void **state)
{
	dt_created(VM0_IN, 1, 77);

	dt_drop_unmade(VM0_IN, 77, DT_CAUSE_CLONE_NO_MBUF);

	assert_int_equal(dt_test_dropped(VM0_IN, DT_CAUSE_CLONE_NO_MBUF), 1);
	assert_int_equal(dt_test_dropped_bytes(VM0_IN, DT_CAUSE_CLONE_NO_MBUF), 77);
}

static void
segments_that_were_never_made_are_a_drop_each(void **state)
{
	dt_created(VM0_IN, 3, 1000);

	dt_drop_unmade_burst(VM0_IN, 3, 1000, DT_CAUSE_CLONE_NO_MBUF);

	assert_int_equal(dt_test_dropped(VM0_IN, DT_CAUSE_CLONE_NO_MBUF), 3);
	assert_int_equal(dt_test_dropped_bytes(VM0_IN, DT_CAUSE_CLONE_NO_MBUF), 1000);
}

static void
a_packet_that_others_replace_goes_home_uncounted(void **state)
{
	struct rte_mbuf *whole, *segments[2];

	dt_test_bring(VM0_IN, &whole, 1, 5000, 0);
	dt_handed_on(VM0_IN, 1, 5000);
	dt_received(VM1_OUT, 1, 5000);
	segments[0] = dt_test_packet(2540, 1);
	segments[1] = dt_test_packet(2500, 2);

	dt_replaced(whole);
	dt_created(VM1_OUT, 1, 40);
	dt_delivered(VM1_OUT, segments, 2);

	assert_int_equal(dt_test_account(VM1_OUT).delivered.bytes, 5040);
	assert_int_equal(dt_test_dropped_anywhere(), 0);
}

static void
clones_chains_and_packets_of_other_pools_all_go_home(void **state)
{
	struct rte_mempool *other = rte_pktmbuf_pool_create("other", 15, 0, 0, 2048, 0);
	struct rte_mbuf *pkts[8];

	assert_non_null(other);
	pkts[0] = dt_test_packet(60, 0);
	pkts[1] = dt_test_packet(5000, 1); /* three segments */
	pkts[2] = rte_pktmbuf_alloc(other);
	pkts[3] = rte_pktmbuf_clone(pkts[0], other); /* an mbuf of one pool that points into another's */
	pkts[4] = rte_pktmbuf_clone(pkts[1], dt_pool_of(0));
	pkts[5] = rte_pktmbuf_alloc(other);
	pkts[6] = dt_test_packet(0, 2); /* plain ones of two pools, side by side */
	pkts[7] = rte_pktmbuf_alloc(other);
	for (unsigned int i = 0; i < 8; i++)
		assert_non_null(pkts[i]);
	dt_received(VM0_IN, 8, dt_burst_bytes(pkts, 8));

	dt_drop_burst(VM0_IN, pkts, 8, DT_CAUSE_NO_DESTINATION);

	assert_int_equal(rte_mempool_avail_count(other), 15);
	assert_int_equal(dt_test_dropped_bytes(VM0_IN, DT_CAUSE_NO_DESTINATION), 2 * (60 + 5000));
	rte_mempool_free(other);
	/* The teardown counts the first pool. */
}

static void
mbufs_come_out_of_the_pool_as_new_after_a_drop(void **state)
{
	struct rte_mempool *pool = dt_pool_of(0);
	unsigned int n = rte_mempool_avail_count(pool), strange = 0;
	struct rte_mbuf *pkt = dt_test_packet(9000, 0);
	struct rte_mbuf *clone = rte_pktmbuf_clone(pkt, pool);
	struct rte_mbuf *mbufs[8192];

	assert_non_null(clone);
	assert_in_range(n, 1, 8192);
	dt_received(VM0_IN, 2, 18000);

	dt_drop(VM0_IN, pkt, DT_CAUSE_NO_DESTINATION);
	dt_drop(VM0_IN, clone, DT_CAUSE_NO_DESTINATION);

	assert_int_equal(rte_mempool_get_bulk(pool, (void **)mbufs, n), 0);
	for (unsigned int i = 0; i < n; i++)
		if (mbufs[i]->next != NULL || mbufs[i]->nb_segs != 1 || rte_mbuf_refcnt_read(mbufs[i]) != 1 ||
			!RTE_MBUF_DIRECT(mbufs[i]))
			strange++;
	rte_mempool_put_bulk(pool, (void **)mbufs, n);
	assert_int_equal(strange, 0);
}

static int
receive_one_here(void *arg)
{
	dt_received(VM0_IN, 1, 60);
	dt_drop_unmade(VM0_IN, 60, DT_CAUSE_FRAME_TOO_SHORT);
	return 0;
}

static void
what_each_lcore_counts_is_summed(void **state)
{
	receive_one_here(NULL);
	assert_int_equal(rte_eal_remote_launch(receive_one_here, NULL, DT_TEST_WORKER_LCORE), 0);
	rte_eal_wait_lcore(DT_TEST_WORKER_LCORE);

	assert_int_equal(dt_test_account(VM0_IN).received.packets, 2);
	assert_int_equal(dt_test_account(VM0_IN).received.bytes, 120);
	assert_int_equal(dt_test_dropped(VM0_IN, DT_CAUSE_FRAME_TOO_SHORT), 2);
	assert_int_equal(dt_books[DT_TEST_WORKER_LCORE][VM0_IN].received.packets, 1);
}

static void
books_without_packets_balance(void **state)
{
	assert_int_equal(audit(), DT_EXACT);
}

static void
packets_in_a_watched_ring_are_held(void **state)
{
	struct dt_balance balance;
	struct rte_mbuf *pkt;

	held = rte_ring_create("held", 8, 0, 0);
	assert_non_null(held);
	assert_int_equal(dt_ledger_watch(VM1_OUT, held), 0);
	dt_test_bring(VM0_IN, &pkt, 1, 60, 0);
	dt_handed_on(VM0_IN, 1, 60);
	dt_received(VM1_OUT, 1, 60);
	assert_int_equal(rte_ring_enqueue(held, pkt), 0);

	dt_ledger_audit(&balance);

	assert_int_equal(balance.held, 1);
	assert_int_equal(balance.difference, 0);
	assert_int_equal(balance.verdict, DT_EXACT);
	assert_int_equal(dt_ledger_held(VM1_OUT), 1);
	assert_int_equal(dt_ledger_held(DT_AT_OUT(DT_TEST_VM0)), 0);
	assert_int_equal(rte_ring_dequeue(held, (void **)&pkt), 0);
	dt_drop(VM1_OUT, pkt, DT_CAUSE_SHUTTING_DOWN);
	assert_int_equal(audit(), DT_EXACT);
}

static void
a_lost_packet_makes_the_books_wrong(void **state)
{
	struct dt_balance balance;

	dt_received(VM0_IN, 3, 180);
	dt_drop_unmade(VM0_IN, 60, DT_CAUSE_CHAIN_LOOP);

	dt_ledger_audit(&balance);

	assert_int_equal(balance.verdict, DT_WRONG);
	assert_int_equal(balance.difference, 2);
	assert_int_equal(balance.received.packets, 3);
	assert_int_equal(balance.dropped.bytes, 60);
	dt_drop_unmade(VM0_IN, 60, DT_CAUSE_CHAIN_LOOP);
	dt_drop_unmade(VM0_IN, 60, DT_CAUSE_CHAIN_LOOP);
}

static void
a_lost_byte_makes_the_books_wrong(void **state)
{
	dt_received(VM0_IN, 1, 61);
	dt_drop_unmade(VM0_IN, 60, DT_CAUSE_CHAIN_LOOP);

	assert_int_equal(audit(), DT_WRONG);
	dt_received(VM0_IN, 0, (uint64_t)-1);
}

static void
two_faults_that_cancel_out_are_still_wrong(void **state)
{
	dt_received(VM0_IN, 1, 60); /* lost in one port */
	dt_drop_unmade(DT_AT_IN(DT_TEST_VM1), 60, DT_CAUSE_CHAIN_LOOP); /* found in the other */

	assert_int_equal(audit(), DT_WRONG);
	dt_drop_unmade(VM0_IN, 60, DT_CAUSE_CHAIN_LOOP);
	dt_received(DT_AT_IN(DT_TEST_VM1), 1, 60);
}

static void
a_packet_lost_between_two_ports_is_wrong(void **state)
{
	dt_received(VM0_IN, 1, 60);
	dt_handed_on(VM0_IN, 1, 60);

	assert_int_equal(audit(), DT_WRONG);
	dt_received(VM1_OUT, 1, 60);
	dt_delivered_to_nic(VM1_OUT, 1, 60);
}

static int
keep_moving(void *arg)
{
	const bool *stop = arg;

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		dt_received(VM0_IN, 1, 60);
		dt_handed_on(VM0_IN, 1, 60);
		dt_received(VM1_OUT, 1, 60);
		dt_delivered_to_nic(VM1_OUT, 1, 60);
	}
	return 0;
}

static void
books_read_while_packets_move_say_so(void **state)
{
	uint64_t deadline = rte_get_timer_cycles() + 10 * rte_get_timer_hz();
	bool stop = false, seen = false;

	assert_int_equal(rte_eal_remote_launch(keep_moving, &stop, DT_TEST_WORKER_LCORE), 0);
	while (!seen && rte_get_timer_cycles() < deadline)
		seen = audit() == DT_MOVING;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	rte_eal_wait_lcore(DT_TEST_WORKER_LCORE);

	assert_true(seen);
	assert_int_equal(audit(), DT_EXACT);
}

static void
an_account_knows_its_port_and_direction(void **state)
{
	assert_int_equal(dt_ledger_n_ports(), DT_TEST_PORTS);
	assert_string_equal(dt_ledger_port_at(VM0_IN)->name, "vm0");
	assert_string_equal(dt_ledger_port_at(VM1_OUT)->name, "vm1");
	assert_string_equal(dt_ledger_direction(VM0_IN), "from_guest");
	assert_string_equal(dt_ledger_direction(VM1_OUT), "to_guest");
	assert_string_equal(dt_ledger_direction(DT_AT_IN(DT_TEST_NIC)), "port_rx");
	assert_string_equal(dt_ledger_direction(DT_AT_OUT(DT_TEST_NIC)), "port_tx");
}

static void
every_cause_has_a_name_of_its_own_a_reason_and_three_texts(void **state)
{
	for (unsigned int i = 0; i < DT_CAUSE_MAX; i++) {
		enum dt_cause cause = (enum dt_cause)i;

		assert_int_equal(dt_cause_by_name(dt_cause_name(cause)), cause);
		assert_in_range(dt_cause_reason(cause), DT_REASON_NOT_SPECIFIED + 1, DT_REASON_MAX - 1);
		assert_in_range(strlen(dt_cause_what(cause)), 10, 127);
		assert_in_range(strlen(dt_cause_culprit(cause)), 7, 127);
		assert_in_range(strlen(dt_cause_remedy(cause)), 7, 127);
	}
	assert_int_equal(dt_cause_by_name("no_such_cause"), DT_CAUSE_MAX);
	assert_int_equal(dt_cause_by_name(""), DT_CAUSE_MAX);
}

static void
the_reasons_are_the_kernels_twenty_one(void **state)
{
	static const char *const names[] = { "NOT_SPECIFIED", "NO_SOCKET", "PKT_TOO_SMALL", "TCP_CSUM", "SOCKET_FILTER",
		"UDP_CSUM", "NETFILTER_DROP", "OTHERHOST", "IP_CSUM", "IP_INHDR", "IP_RPFILTER",
		"UNICAST_IN_L2_MULTICAST", "XFRM_POLICY", "IP_NOPROTO", "SOCKET_RCVBUFF", "PROTO_MEM", "SKB_CSUM",
		"SKB_COPY_DATA", "SKB_GSO_SEG", "DEV_HDR", "FULL_RING" };

	assert_int_equal(DT_REASON_MAX, RTE_DIM(names));
	for (unsigned int i = 0; i < DT_REASON_MAX; i++) {
		assert_string_equal(dt_reason_name((enum dt_drop_reason)i), names[i]);
		assert_int_equal(dt_reason_by_name(names[i]), i);
		assert_in_range(strlen(dt_reason_meaning((enum dt_drop_reason)i)), 10, 127);
	}
	assert_int_equal(dt_reason_by_name("full_ring"), DT_REASON_MAX);
}

static void
drops_can_be_traced(void **state)
{
	assert_non_null(rte_trace_point_lookup("dptap.drop"));
}

int
main(void)
{
#define BOOKS(test) cmocka_unit_test_setup_teardown(test, dt_test_books_open, dt_test_books_close)
	const struct CMUnitTest tests[] = {
		BOOKS(a_drop_counts_packets_and_bytes_under_its_cause),
		BOOKS(an_empty_burst_is_no_drop),
		BOOKS(delivered_packets_are_counted_with_their_bytes),
		BOOKS(a_packet_that_was_never_made_is_a_drop_too),
		BOOKS(segments_that_were_never_made_are_a_drop_each),
		BOOKS(a_packet_that_others_replace_goes_home_uncounted),
		BOOKS(clones_chains_and_packets_of_other_pools_all_go_home),
		BOOKS(mbufs_come_out_of_the_pool_as_new_after_a_drop),
		BOOKS(what_each_lcore_counts_is_summed),
		BOOKS(books_without_packets_balance),
		cmocka_unit_test_setup_teardown(
			packets_in_a_watched_ring_are_held, dt_test_books_open, close_books_and_ring),
		BOOKS(a_lost_packet_makes_the_books_wrong),
		BOOKS(a_lost_byte_makes_the_books_wrong),
		BOOKS(two_faults_that_cancel_out_are_still_wrong),
		BOOKS(a_packet_lost_between_two_ports_is_wrong),
		BOOKS(books_read_while_packets_move_say_so),
		BOOKS(an_account_knows_its_port_and_direction),
		cmocka_unit_test(every_cause_has_a_name_of_its_own_a_reason_and_three_texts),
		cmocka_unit_test(the_reasons_are_the_kernels_twenty_one),
		cmocka_unit_test(drops_can_be_traced),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
