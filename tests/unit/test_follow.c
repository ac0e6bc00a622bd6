/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's pair that comes to a worker on another NUMA node is made anew there, lane and all, once nobody needs it;
 * what comes meanwhile is counted, and nothing else changes. Without hugepages all nodes' memory is one.
 */
#include "testing.h"

#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "books.h"
#include "eal.h"
#include "guest/internal.h"
#include "guest_memory.h"
#include "packet.h"
#include "worker/internal.h"

#define IN   DT_AT_IN(DT_TEST_VM1)
#define OUT  DT_AT_OUT(DT_TEST_VM0)
#define LEN  100 /* of the lane */
#define RING 64

static struct dt_guest *guest;
static struct dt_test_memory memory;
static struct dt_test_ring ring;

static struct dt_worker *
only_worker(void *self, struct dt_worker *now, int node)
{
	return dt_worker_at(0);
}

static struct dt_pair *
pair_now(void)
{
	return guest->pairs[0].pair;
}

static int
open_guest(void **state)
{
	static const struct dt_conf_guest conf = { .name = "vm0", .n_queues = 1, .queue_len = LEN };
	const struct dt_sink sink = { 0 };

	dt_test_books_open(state);
	assert_int_equal(dt_workers_init(DT_IDLE_POLL), 0);
	assert_int_equal(
		dt_guest_new(&conf, DT_TEST_VM0, &sink, (struct dt_guest_place){ .choose = only_worker }, true, &guest),
		0);
	dt_test_memory_new(&memory, 1, 1 << 20);
	return 0;
}

static int
open_guest_of_a_worker_that_runs(void **state)
{
	open_guest(state);
	return dt_workers_start();
}

static int
close_guest(void **state)
{
	int result;

	dt_workers_stop();
	dt_pair_close(pair_now(), dt_worker_at(0), DT_CAUSE_SHUTTING_DOWN);
	dt_test_memory_free(&memory);
	result = dt_test_books_close(state);
	dt_guest_free(guest);
	dt_workers_fini();
	return result;
}

/* Its worker's memory is on that node from now on, as if the pair had come to another worker. */
static void
come_to(int node)
{
	dt_worker_at(0)->memory = node;
}

static void
start_ring(enum dt_ring number, unsigned int n_buffers)
{
	struct dt_vq vq;

	dt_test_ring_new(&ring, &memory, 0, RING, DT_TEST_SPLIT);
	dt_test_ring_start(&ring, 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_NET_F_MRG_RXBUF, &vq);
	dt_pair_start(pair_now(), guest->pairs[0].worker, number, &vq);
	guest->ring[number].on = true;
	for (unsigned int i = 0; i < n_buffers; i++) {
		struct dt_test_part part = { .gpa = dt_test_take(&memory, 0, 256), .len = 256 };

		dt_test_offer(&ring, dt_test_chain(&ring, &part, 1, true));
	}
}

static void
stop_ring(enum dt_ring number, enum dt_stop how)
{
	struct dt_vq vq;

	dt_pair_stop(pair_now(), guest->pairs[0].worker, number, how, DT_CAUSE_GUEST_QUEUE_STOPPED, &vq);
	guest->ring[number].on = false;
}

static unsigned int
put(unsigned int n)
{
	struct rte_mbuf *pkts[LEN];

	dt_test_bring(IN, pkts, n, 60, 0);
	return dt_guest_put(guest, IN, pkts, n);
}

static void
a_pair_at_rest_is_made_anew_and_works_as_before(void **state)
{
	const struct dt_pair *before = pair_now();
	const struct rte_ring *ring_before = before->lane.ring;
	char gone[RTE_RING_NAMESIZE];

	strcpy(gone, ring_before->name);
	come_to(0);
	dt_guest_follow(guest, 0);

	assert_ptr_not_equal(pair_now(), before);
	assert_ptr_equal(dt_guest_lane(guest, 0), &pair_now()->lane);
	assert_int_equal(pair_now()->lane.node, 0);
	assert_ptr_equal(rte_ring_lookup("dt_lane_1_0@0"), pair_now()->lane.ring);
	assert_null(rte_ring_lookup(gone));
	assert_int_equal(put(1), 0);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_NOT_CONNECTED), 1);
	start_ring(DT_RING_TO_GUEST, LEN / 4);
	assert_int_equal(put(LEN), LEN); /* as long as it was */
	assert_int_equal(dt_ledger_held(OUT), LEN);
	assert_int_equal(dt_pair_poll(pair_now()), LEN / 4);
	assert_int_equal(dt_test_account(OUT).delivered.packets, LEN / 4);
}

static void
the_worker_polls_the_new_one(void **state)
{
	struct rte_ring *lane;

	come_to(0);
	dt_guest_follow(guest, 0);
	start_ring(DT_RING_TO_GUEST, 10);
	lane = pair_now()->lane.ring;

	assert_int_equal(put(10), 10);
	for (unsigned int i = 0; i < 10000 && !rte_ring_empty(lane); i++)
		dt_workers_pass();
	dt_workers_pass();

	assert_int_equal(dt_test_account(OUT).delivered.packets, 10);
}

static void
a_pair_whose_ring_runs_stays(void **state)
{
	const struct dt_pair *before = pair_now();

	come_to(0);
	start_ring(DT_RING_FROM_GUEST, 0);
	dt_guest_follow(guest, 0);
	assert_ptr_equal(pair_now(), before);

	stop_ring(DT_RING_FROM_GUEST, DT_STOP_PAUSE);
	dt_guest_follow(guest, 0);
	assert_ptr_not_equal(pair_now(), before);
}

static void
a_pair_whose_lane_is_open_stays_with_what_waits_in_it(void **state)
{
	const struct dt_pair *before = pair_now();

	come_to(0);
	start_ring(DT_RING_TO_GUEST, 0);
	put(7);
	stop_ring(DT_RING_TO_GUEST, DT_STOP_PAUSE);
	dt_guest_follow(guest, 0);

	assert_ptr_equal(pair_now(), before);
	assert_int_equal(dt_ledger_held(OUT), 7);
	assert_int_equal(dt_test_dropped_anywhere(), 0);

	dt_pair_close(pair_now(), guest->pairs[0].worker, DT_CAUSE_GUEST_QUEUE_STOPPED);
	dt_guest_follow(guest, 0);
	assert_ptr_not_equal(pair_now(), before);
	assert_int_equal(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_STOPPED), 7);
}

static void
a_pair_that_lies_where_it_should_or_anywhere_stays(void **state)
{
	const struct dt_pair *before = pair_now();

	dt_guest_follow(guest, 0); /* EAL has no memory that it could place */
	assert_ptr_equal(pair_now(), before);

	come_to(1);
	dt_guest_follow(guest, 0);
	before = pair_now();
	dt_guest_follow(guest, 0);
	assert_ptr_equal(pair_now(), before);
}

static void
a_node_without_memory_leaves_the_pair_where_it_is(void **state)
{
	const struct dt_pair *before = pair_now();

	come_to(RTE_MAX_NUMA_NODES); /* that there cannot be */
	dt_guest_follow(guest, 0);

	assert_ptr_equal(pair_now(), before);
	start_ring(DT_RING_TO_GUEST, 1);
	assert_int_equal(put(1), 1);
	assert_int_equal(dt_pair_poll(pair_now()), 1);
}

/* A sender on the worker, which puts as long as it may. */
struct sender {
	bool on;
	uint64_t n_put;
};

static unsigned int
send_on(void *arg)
{
	struct sender *sender = arg;

	if (!sender->on)
		return 0;
	sender->n_put += 3;
	put(3);
	return 3;
}

static void
stop_sending(void *arg)
{
	((struct sender *)arg)->on = false;
}

static void
what_comes_meanwhile_is_counted_and_none_is_lost(void **state)
{
	static const struct dt_polled senders = { .poll = send_on };
	struct sender sender = { .on = true };

	assert_int_equal(dt_worker_add(dt_worker_at(0), &senders, &sender), 0);
	for (int i = 0; i < 100; i++) {
		start_ring(DT_RING_TO_GUEST, RING);
		dt_workers_pass();
		stop_ring(DT_RING_TO_GUEST, DT_STOP_CLOSE);
		come_to(i % 2);
		dt_guest_follow(guest, 0);
		assert_int_equal(pair_now()->lane.node, i % 2);
		dt_test_memory_free(&memory);
		dt_test_memory_new(&memory, 1, 1 << 20);
	}
	dt_worker_call(dt_worker_at(0), stop_sending, &sender);
	dt_workers_pass();
	dt_worker_remove(dt_worker_at(0), &senders, &sender);

	assert_true(dt_test_account(OUT).delivered.packets > 0);
	assert_true(dt_test_dropped(OUT, DT_CAUSE_GUEST_QUEUE_STOPPED) > 0);
	assert_int_equal(dt_test_account(OUT).received.packets, sender.n_put);
	assert_int_equal(dt_test_account(OUT).delivered.packets + dt_test_dropped_anywhere(), sender.n_put);
}

int
main(void)
{
#define ALONE(test)   cmocka_unit_test_setup_teardown(test, open_guest, close_guest)
#define RUNNING(test) cmocka_unit_test_setup_teardown(test, open_guest_of_a_worker_that_runs, close_guest)
	const struct CMUnitTest tests[] = {
		ALONE(a_pair_at_rest_is_made_anew_and_works_as_before),
		RUNNING(the_worker_polls_the_new_one),
		ALONE(a_pair_whose_ring_runs_stays),
		ALONE(a_pair_whose_lane_is_open_stays_with_what_waits_in_it),
		ALONE(a_pair_that_lies_where_it_should_or_anywhere_stays),
		ALONE(a_node_without_memory_leaves_the_pair_where_it_is),
		RUNNING(what_comes_meanwhile_is_counted_and_none_is_lost),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
