/* SPDX-License-Identifier: BSD-3-Clause */
/* Kicks: who listens is kicked for what comes after its last look, whenever that is; who does not, is left alone. */
#include "testing.h"

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include <rte_common.h>

#include "guest_memory.h"
#include "turns.h"
#include "vq.h"

#define EVENT_IDX (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define PAGE      4096ULL
#define LOG_SIZE  ((DT_TEST_GPA + 0x200000) / PAGE / 8)

static struct dt_test_memory memory;
static struct dt_test_ring ring;
static struct dt_vq vq;
static uint64_t features;
static uint16_t heads[8];

static void
start_at(uint16_t base)
{
	dt_test_ring_go_to(&ring, base);
	dt_test_ring_start(&ring, features, &vq);
}

static int
make_ring(uint64_t layout, uint64_t more)
{
	dt_test_memory_new(&memory, 2, 0x100000);
	dt_test_ring_new(&ring, &memory, 0, dt_test_ring_size(layout), layout);
	for (unsigned int i = 0; i < RTE_DIM(heads); i++)
		heads[i] = dt_test_desc(&ring, dt_test_take(&memory, 1, 64), 64, 0, 0);
	features = more;
	start_at((layout & DT_TEST_PACKED) != 0 ? 0x8000 : 0);
	return 0;
}

static int
make_plain_ring(void **state)
{
	return make_ring(*(uint64_t *)*state, 0);
}

static int
make_ring_with_event_idx(void **state)
{
	return make_ring(*(uint64_t *)*state, EVENT_IDX);
}

static int
free_ring(void **state)
{
	dt_test_memory_free(&memory);
	return 0;
}

/* Offer a chain as a driver does. @return whether it would kick */
static bool
offer(void)
{
	static unsigned int next;
	uint16_t event;

	dt_test_offer(&ring, heads[next++ % RTE_DIM(heads)]);
	/* Pairs with the barrier in dt_vq_listen(). */
	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (ring.packed != NULL)
		return __atomic_load_n(&ring.device_event->flags, __ATOMIC_RELAXED) == VRING_PACKED_EVENT_FLAG_ENABLE;
	if ((features & EVENT_IDX) == 0)
		return (__atomic_load_n(&ring.used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY) == 0;
	event = __atomic_load_n((uint16_t *)&ring.used->ring[ring.size], __ATOMIC_RELAXED);
	return vring_need_event(event, ring.avail_idx, (uint16_t)(ring.avail_idx - 1));
}

/* The device gives the next chain back; it is there. */
static void
turn_over(void)
{
	unsigned int n = dt_vq_available(&vq, vq.packed, 1); /* the look that a split ring needs before each taking */
	uint16_t at = dt_vq_head(&vq, 0), id = at;
	struct dt_vq_desc d;

	if (vq.packed && dt_packed_read(&vq, 0, &d))
		id = d.id;
	dt_vq_use(&vq, vq.packed, id, at, 0);
	dt_vq_publish(&vq, vq.packed, n);
}

static void
reap(void)
{
	struct vring_used_elem elem;

	while (dt_test_used(&ring, &elem))
		continue;
}

static void
who_listens_is_kicked_for_the_next_chain(void **state)
{
	assert_false(dt_vq_listen(&vq, 0));
	assert_true(offer());
}

static void
what_came_before_is_found_by_the_last_look(void **state)
{
	assert_false(offer());
	assert_true(dt_vq_listen(&vq, 0));
}

static void
who_listens_no_more_is_not_kicked(void **state)
{
	dt_vq_listen(&vq, 0);
	dt_vq_ignore(&vq);

	for (unsigned int i = 0; i < 3u * ring.size; i++) {
		assert_false(offer());
		turn_over();
		reap();
	}
}

static void
who_never_listened_changes_nothing_by_ignoring(void **state)
{
	dt_vq_ignore(&vq);

	assert_false(offer());
	assert_false(vq.listens);
}

static void
a_ring_that_starts_again_does_not_listen(void **state)
{
	dt_vq_listen(&vq, 0);
	start_at(dt_test_ring_base(&ring));

	assert_false(vq.listens);
	assert_false(offer());
}

static void
chains_that_are_not_enough_are_not_kicked_for_again(void **state)
{
	for (unsigned int i = 0; i < 3; i++)
		offer();
	assert_true(dt_vq_listen(&vq, 0));
	assert_true(dt_vq_listen(&vq, 2));
	assert_false(dt_vq_listen(&vq, 3));
	assert_true(offer());
	assert_true(dt_vq_listen(&vq, 3));
}

static void
kicks_come_at_every_position(void **state)
{
	start_at(ring.packed != NULL ? 0x8000 : (uint16_t)-ring.size);
	for (unsigned int i = 0; i < 3u * ring.size; i++) {
		assert_false(dt_vq_listen(&vq, 0));
		assert_true(offer());
		dt_vq_ignore(&vq);
		turn_over();
		reap();
	}
}

/* Each page of the device's area that changed is in the log. */
static void
what_is_written_for_it_is_logged(void **state)
{
	static uint8_t log[LOG_SIZE], before[0x100000];

	features |= 1ULL << VHOST_F_LOG_ALL;
	vq = dt_test_ring_vq(&ring, features);
	vq.log_base = log;
	vq.log_size = LOG_SIZE;
	assert_int_equal(dt_vq_start(&vq), 0);
	for (unsigned int step = 0; step < 2; step++) {
		unsigned int n = 0;

		memset(log, 0, sizeof(log));
		memcpy(before, memory.hva[0], sizeof(before));
		if (step == 0)
			dt_vq_listen(&vq, 0);
		else
			dt_vq_ignore(&vq);
		for (uint64_t at = 0; at < sizeof(before); at += PAGE) {
			uint64_t page = (dt_test_region(&memory, 0) + at) / PAGE;

			if (memcmp(before + at, memory.hva[0] + at, PAGE) == 0)
				continue;
			n++;
			assert_true((log[page / 8] & 1 << page % 8) != 0);
		}
		assert_true(n > 0);
	}
}

/*
 * A driver offers single chains, each when the last is back, and a device sleeps whenever it finds none. If a kick were
 * missing, both would wait. It is a word in memory, not a descriptor, so that the moment that counts comes often.
 */
#define CHAINS     250000
#define DEADLINE_S 60

static bool kicked __rte_cache_aligned;
static unsigned int n_taken __rte_cache_aligned;
static bool given_up;

/* @return whether a kick came within the deadline */
static bool
hear(void)
{
	time_t end = time(NULL) + DEADLINE_S;
	unsigned int spins = 0;

	while (!__atomic_exchange_n(&kicked, false, __ATOMIC_ACQUIRE)) {
		if (time(NULL) > end)
			return false;
		dt_test_wait_turn(&spins);
	}
	return true;
}

static void *
sleep_and_take(void *arg)
{
	for (unsigned int taken = 0; taken < CHAINS;) {
		if (dt_vq_ready(&vq, 0)) {
			turn_over();
			__atomic_store_n(&n_taken, ++taken, __ATOMIC_RELEASE);
			continue;
		}
		if (!dt_vq_listen(&vq, 0) && !hear())
			break;
		dt_vq_ignore(&vq);
	}
	__atomic_store_n(&given_up, true, __ATOMIC_RELEASE);
	return NULL;
}

static void
no_chain_waits_for_a_kick_that_never_comes(void **state)
{
	unsigned int n_kicks = 0;
	pthread_t device;

	n_taken = 0;
	given_up = kicked = false;
	assert_int_equal(pthread_create(&device, NULL, sleep_and_take, NULL), 0);
	for (unsigned int i = 0; i < CHAINS && !__atomic_load_n(&given_up, __ATOMIC_ACQUIRE); i++) {
		unsigned int spins = 0;

		if (offer()) {
			__atomic_store_n(&kicked, true, __ATOMIC_RELEASE);
			n_kicks++;
		}
		while (!__atomic_load_n(&given_up, __ATOMIC_ACQUIRE) &&
			__atomic_load_n(&n_taken, __ATOMIC_ACQUIRE) <= i)
			dt_test_wait_turn(&spins);
		reap();
	}
	assert_int_equal(pthread_join(device, NULL), 0);

	assert_int_equal(n_taken, CHAINS);
	assert_int_equal(ring.n_back, CHAINS);
	assert_true(n_kicks > 0);
}

int
main(void)
{
#define RING(test)                                                                                                     \
	DT_TEST_EACH_LAYOUT(test, make_plain_ring, free_ring),                                                         \
		DT_TEST_EACH_LAYOUT(test, make_ring_with_event_idx, free_ring)
	const struct CMUnitTest tests[] = {
		RING(who_listens_is_kicked_for_the_next_chain),
		RING(what_came_before_is_found_by_the_last_look),
		RING(who_listens_no_more_is_not_kicked),
		RING(who_never_listened_changes_nothing_by_ignoring),
		RING(a_ring_that_starts_again_does_not_listen),
		RING(chains_that_are_not_enough_are_not_kicked_for_again),
		RING(kicks_come_at_every_position),
		RING(what_is_written_for_it_is_logged),
		RING(no_chain_waits_for_a_kick_that_never_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
