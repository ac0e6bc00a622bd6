/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's pairs change under traffic: no flow overtakes itself, nobody waits for ever, nothing is lost. */
#include "testing.h"

#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "books.h"
#include "eal.h"
#include "guest/internal.h"
#include "guest_memory.h"
#include "packet.h"

#define IN    DT_AT_IN(DT_TEST_VM1)
#define OUT   DT_AT_OUT(DT_TEST_VM0)
#define PAIRS 3
#define RING  64
#define FLOWS 8 /* for each pair some */

static struct dt_guest *guest;
static struct dt_test_memory memory;
static struct dt_test_ring rings[PAIRS];
static uint16_t n_put;

static struct dt_worker *
only_worker(void *self, struct dt_worker *now, int node)
{
	return dt_worker_at(0);
}

static struct dt_lane *
lane(unsigned int pair)
{
	return dt_guest_lane(guest, pair);
}

static unsigned int
poll_pair(unsigned int pair)
{
	return dt_pair_poll(guest->pairs[pair].pair);
}

/* Its receive queue runs; the driver has not filled it yet. */
static void
start_ring(unsigned int pair)
{
	struct dt_vq vq;

	dt_test_ring_new(&rings[pair], &memory, 0, RING, DT_TEST_SPLIT);
	dt_test_ring_start(&rings[pair], 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_NET_F_MRG_RXBUF, &vq);
	dt_pair_start(guest->pairs[pair].pair, guest->pairs[pair].worker, DT_RING_TO_GUEST, &vq);
	guest->ring[DT_RINGS * pair].on = true;
}

static void
give_buffers(unsigned int pair, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct dt_test_part part = { .gpa = dt_test_take(&memory, 0, 256), .len = 256 };

		dt_test_offer(&rings[pair], dt_test_chain(&rings[pair], &part, 1, true));
	}
}

static int
open_guest(void **state)
{
	static const struct dt_conf_guest conf = { .name = "vm0", .n_queues = PAIRS, .queue_len = 256 };
	const struct dt_sink sinks[PAIRS] = { 0 };

	dt_test_books_open(state);
	assert_int_equal(dt_workers_init(DT_IDLE_POLL), 0);
	assert_int_equal(
		dt_guest_new(&conf, DT_TEST_VM0, sinks, (struct dt_guest_place){ .choose = only_worker }, true, &guest),
		0);
	dt_test_memory_new(&memory, 1, 1 << 20);
	n_put = 0;
	for (unsigned int pair = 0; pair < PAIRS; pair++)
		start_ring(pair);
	dt_guest_join(guest);
	return 0;
}

static int
close_guest(void **state)
{
	int result;

	for (unsigned int pair = 0; pair < PAIRS; pair++)
		dt_lane_drain(lane(pair), DT_CAUSE_SHUTTING_DOWN);
	dt_test_memory_free(&memory);
	result = dt_test_books_close(state);
	dt_guest_free(guest);
	dt_workers_fini();
	return result;
}

/* One packet of each flow. */
static void
put_flows(void)
{
	struct rte_mbuf *pkts[FLOWS];

	dt_test_bring(IN, pkts, FLOWS, 60, n_put);
	n_put += FLOWS;
	for (unsigned int i = 0; i < FLOWS; i++) {
		pkts[i]->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
		pkts[i]->hash.rss = i;
	}
	dt_guest_put(guest, IN, pkts, FLOWS);
}

static void
expect_waiting(unsigned int first, unsigned int second, unsigned int third)
{
	assert_int_equal(dt_lane_count(lane(0)), first);
	assert_int_equal(dt_lane_count(lane(1)), second);
	assert_int_equal(dt_lane_count(lane(2)), third);
}

static void
the_first_queue_that_runs_takes_all_and_others_once_they_have_buffers(void **state)
{
	put_flows();
	expect_waiting(FLOWS, 0, 0);
	assert_int_equal(guest->n_joined, 1);

	give_buffers(2, 1);
	dt_guest_join(guest);
	put_flows();

	expect_waiting(FLOWS + FLOWS / 2, 0, FLOWS / 2);
	assert_int_equal(guest->n_joined, 2);
}

static void
a_lane_waits_for_what_its_flows_left_behind_elsewhere(void **state)
{
	put_flows();
	give_buffers(1, 20);
	dt_guest_join(guest);
	put_flows();
	expect_waiting(FLOWS + FLOWS / 2, FLOWS / 2, 0);

	assert_int_equal(poll_pair(1), 0); /* the first pair has frames of before the turn */
	give_buffers(0, FLOWS - 1);
	assert_int_equal(poll_pair(0), FLOWS - 1);
	assert_int_equal(poll_pair(1), 0);
	give_buffers(0, FLOWS);
	assert_int_equal(poll_pair(0), 1); /* the last of them, and the turn is over */
	assert_int_equal(poll_pair(0), FLOWS / 2);
	assert_int_equal(poll_pair(1), FLOWS / 2);

	expect_waiting(0, 0, 0);
}

static void
a_lane_of_after_the_turn_holds_back_what_came_later(void **state)
{
	give_buffers(0, 32);
	give_buffers(1, 32);
	dt_guest_join(guest);
	put_flows(); /* half of it at each of the two */
	guest->pairs[1].joined = false;
	dt_guest_respread(guest);
	put_flows(); /* all of it at the first */

	assert_int_equal(poll_pair(0), FLOWS / 2); /* no more: the second pair still has the other half */
	assert_int_equal(poll_pair(0), 0);
	assert_int_equal(poll_pair(1), FLOWS / 2);
	assert_int_equal(poll_pair(0), FLOWS);
}

static void
what_a_closed_lane_drops_is_not_waited_for(void **state)
{
	give_buffers(0, 32);
	give_buffers(1, 1);
	dt_guest_join(guest);
	put_flows();
	poll_pair(1);
	guest->pairs[1].joined = false;
	dt_guest_respread(guest);
	put_flows();

	dt_pair_close(guest->pairs[1].pair, guest->pairs[1].worker, DT_CAUSE_GUEST_QUEUE_STOPPED);
	poll_pair(1);

	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_STOPPED), FLOWS / 2 - 1);
	assert_int_equal(poll_pair(0) + poll_pair(0), FLOWS / 2 + FLOWS);
}

static void
a_guest_that_takes_nothing_ends_a_turn_all_the_same(void **state)
{
	put_flows();
	give_buffers(1, 20);
	dt_guest_join(guest);
	put_flows();
	assert_int_equal(poll_pair(1), 0);

	for (unsigned int pair = 0; pair < PAIRS; pair++)
		guest->pairs[pair].pair->turn.until = 0; /* time has passed */
	poll_pair(0);

	assert_int_equal(poll_pair(1), FLOWS / 2);
	assert_int_equal(guest->turn.n_behind, 0);
	assert_false(guest->pairs[0].pair->turn.on || guest->pairs[1].pair->turn.on);
}

static void
a_turn_amid_another_one_ends_too(void **state)
{
	put_flows();
	give_buffers(1, 32);
	dt_guest_join(guest);
	put_flows();
	guest->impatient_until = UINT64_MAX; /* control does not wait for the first to end */
	give_buffers(2, 32);
	dt_guest_join(guest);
	put_flows();

	give_buffers(0, 32);
	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int pair = 0; pair < PAIRS; pair++)
			poll_pair(pair);

	expect_waiting(0, 0, 0);
	assert_int_equal(guest->turn.n_behind, 0);
}

static void
nobody_waits_for_a_guest_twice_in_vain(void **state)
{
	put_flows();
	give_buffers(1, 1);
	dt_guest_join(guest);
	assert_true(guest->pairs[0].pair->turn.behind);
	assert_int_equal(guest->impatient_until, 0);

	dt_guest_await_lane(guest, guest->pairs[0].pair);

	assert_true(guest->impatient_until > rte_rdtsc());
}

#define TURN_TEST(f) cmocka_unit_test_setup_teardown(f, open_guest, close_guest)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TURN_TEST(the_first_queue_that_runs_takes_all_and_others_once_they_have_buffers),
		TURN_TEST(a_lane_waits_for_what_its_flows_left_behind_elsewhere),
		TURN_TEST(a_lane_of_after_the_turn_holds_back_what_came_later),
		TURN_TEST(what_a_closed_lane_drops_is_not_waited_for),
		TURN_TEST(a_guest_that_takes_nothing_ends_a_turn_all_the_same),
		TURN_TEST(a_turn_amid_another_one_ends_too),
		TURN_TEST(nobody_waits_for_a_guest_twice_in_vain),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
