/* SPDX-License-Identifier: BSD-3-Clause */
/* A packed ring: which are taken into service, what is available, what is used, and when the guest is told. */
#include "testing.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_cycles.h>

#include "guest_memory.h"
#include "vq.h"

#define SIZE      11 /* no power of two */
#define EVENT_IDX (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define WRAP      0x8000u

static struct dt_test_memory memory;
static struct dt_test_ring ring;
static struct dt_vq vq;
static int callfd;

static int
make_ring(void **state)
{
	dt_test_memory_new(&memory, 2, 0x100000);
	dt_test_ring_new(&ring, &memory, 0, SIZE, DT_TEST_PACKED);
	dt_test_ring_start(&ring, 0, &vq);
	callfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(callfd >= 0);
	return 0;
}

static int
free_ring(void **state)
{
	close(callfd);
	dt_test_memory_free(&memory);
	return 0;
}

/* @return interrupts since the last look */
static uint64_t
interrupts(void)
{
	eventfd_t n = 0;

	return eventfd_read(callfd, &n) == 0 ? n : 0;
}

static void
start_at(uint16_t base, uint64_t features)
{
	dt_test_ring_go_to(&ring, base);
	dt_test_ring_start(&ring, features, &vq);
	vq.callfd = callfd;
}

/* Offer chains of so many descriptors each, numbered from 0 on. */
static void
offer(const unsigned int lens[], unsigned int n)
{
	static const struct dt_test_part parts[SIZE];

	ring.next_desc = 0;
	for (unsigned int i = 0; i < n; i++)
		dt_test_offer(&ring, dt_test_chain(&ring, parts, lens[i], true));
}

static void
offer_singles(unsigned int n)
{
	static const unsigned int ones[SIZE] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

	offer(ones, n);
}

/* Take so many single descriptors and give them back, in one batch. */
static void
turn_over(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct dt_vq_desc d;

		assert_true(dt_packed_read(&vq, i, &d));
		dt_packed_use(&vq, d.id, dt_packed_at(&vq, i), 1);
	}
	dt_packed_publish(&vq, n);
}

static void
expect_back(unsigned int n)
{
	struct vring_used_elem elem;

	for (unsigned int i = 0; i < n; i++)
		assert_true(dt_test_used(&ring, &elem));
	assert_false(dt_test_used(&ring, &elem));
}

static void
any_size_up_to_32768_is_taken(void **state)
{
	static const uint16_t bad[] = { 0, 32769, 49152, 65535 };
	static const uint16_t good[] = { 1, 2, 3, 12, 255, 1000, 32767, 32768 };

	vq.ring = (struct vring_packed_desc *)(void *)memory.hva[0];
	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		vq.size = bad[i];
		assert_int_equal(dt_vq_start(&vq), -EINVAL);
	}
	for (unsigned int i = 0; i < RTE_DIM(good); i++) {
		vq.size = good[i];
		vq.base = (uint16_t)(good[i] - 1);
		assert_int_equal(dt_vq_start(&vq), 0);
		vq.base = (uint16_t)((good[i] - 1) | WRAP);
		assert_int_equal(dt_vq_start(&vq), 0);
		assert_int_equal(dt_vq_base(&vq), vq.base);
		assert_int_equal(dt_vq_used_base(&vq), vq.base);
		if (good[i] == 32768)
			continue; /* every position is one */
		vq.base = good[i];
		assert_int_equal(dt_vq_start(&vq), -EINVAL);
	}
}

static void *
moved(const void *part, long bytes)
{
	return (void *)((uintptr_t)part + (uintptr_t)bytes);
}

static void
misaligned_parts_are_refused(void **state)
{
	struct dt_vq bad = vq;

	bad.ring = moved(vq.ring, 8);
	assert_int_equal(dt_vq_start(&bad), -EINVAL);
	bad = vq;
	bad.driver_event = moved(vq.driver_event, 2);
	assert_int_equal(dt_vq_start(&bad), -EINVAL);
	bad = vq;
	bad.device_event = moved(vq.device_event, 2);
	assert_int_equal(dt_vq_start(&bad), -EINVAL);
}

static void
parts_that_reach_out_of_memory_are_refused(void **state)
{
	uint8_t *end = memory.hva[1] + memory.region_size;
	struct dt_vq bad = vq;

	bad.ring = moved(end, -16 * SIZE);
	bad.driver_event = moved(end, -4);
	bad.device_event = moved(end, -4);
	assert_int_equal(dt_vq_start(&bad), 0);
	bad.ring = moved(end, -16 * SIZE + 16);
	assert_int_equal(dt_vq_start(&bad), -EFAULT);
	bad.ring = vq.ring;
	bad.driver_event = moved(end, 0);
	assert_int_equal(dt_vq_start(&bad), -EFAULT);
	bad.driver_event = vq.driver_event;
	bad.device_event = moved(end, 0);
	assert_int_equal(dt_vq_start(&bad), -EFAULT);
}

static void
a_ring_without_a_place_for_its_position_is_refused(void **state)
{
	vq.position = NULL;

	assert_int_equal(dt_vq_start(&vq), -EINVAL);
}

static void
a_ring_that_starts_asks_for_no_kicks(void **state)
{
	*ring.device_event = (struct vring_packed_desc_event){ 0xffff, VRING_PACKED_EVENT_FLAG_DESC };

	start_at(3, EVENT_IDX);

	assert_int_equal(ring.device_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
}

static void
a_ring_of_zeros_has_nothing_to_take(void **state)
{
	assert_int_equal(dt_packed_available(&vq, 32), 0);
	assert_int_equal(dt_packed_available(&vq, 1), 0);
	assert_false(dt_vq_ready(&vq, 0));
}

static void
what_the_guest_posts_is_available(void **state)
{
	struct dt_vq_desc d;

	offer_singles(4);

	assert_int_equal(dt_packed_available(&vq, 32), 4);
	assert_int_equal(dt_packed_available(&vq, 3), 3);
	assert_true(dt_vq_ready(&vq, 3));
	assert_false(dt_vq_ready(&vq, 4));
	assert_false(dt_vq_ready(&vq, SIZE)); /* that would be the first again */
	assert_true(dt_packed_read(&vq, 3, &d));
	assert_int_equal(d.id, 3);
	assert_false(dt_packed_read(&vq, 4, &d));
}

static void
a_ring_may_be_full_at_any_position_and_in_any_lap(void **state)
{
	for (unsigned int at = 0; at < 2 * SIZE; at++) {
		start_at((uint16_t)(at < SIZE ? at : (at - SIZE) | WRAP), 0);
		memset(ring.packed, 0, 16 * SIZE);
		for (unsigned int i = 0; i < SIZE; i++) /* as the lap before left them */
			ring.packed[i].flags = (at < SIZE) == (i >= at % SIZE) ? DT_PACKED_MARKS : 0;
		assert_int_equal(dt_packed_available(&vq, 32), 0);

		offer_singles(SIZE);
		assert_int_equal(dt_packed_available(&vq, 32), SIZE);
		turn_over(SIZE);

		expect_back(SIZE);
		assert_int_equal(dt_packed_available(&vq, 32), 0);
		assert_int_equal(dt_vq_base(&vq), (at < SIZE ? at : (at - SIZE) | WRAP) ^ WRAP); /* a lap further */
	}
}

static void
positions_and_marks_hold_over_many_laps_of_odd_steps(void **state)
{
	unsigned int at = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		unsigned int n = i % 7 + 1;

		offer_singles(n);
		assert_int_equal(dt_packed_available(&vq, 32), n);
		turn_over(n);
		expect_back(n);
		at += n;
		assert_int_equal(dt_vq_base(&vq), at % SIZE | (at / SIZE % 2 == 0 ? WRAP : 0));
		assert_int_equal(vq.position->done, dt_vq_base(&vq));
		assert_int_equal(vq.position->next, dt_vq_base(&vq));
	}
}

static void
chains_come_back_where_they_began(void **state)
{
	static const unsigned int lens[] = { 3, 1, 4 }, ids[] = { 0, 3, 4 }, written[] = { 60, 0, 70 };
	struct vring_used_elem elem;

	start_at(SIZE - 2, 0);
	offer(lens, 3);
	dt_packed_use(&vq, 0, dt_packed_at(&vq, 0), 60);
	dt_packed_use(&vq, 3, dt_packed_at(&vq, 3), 0);
	dt_packed_use(&vq, 4, dt_packed_at(&vq, 4), 70);
	dt_packed_publish(&vq, 8);

	assert_int_equal(dt_vq_base(&vq), 6 | WRAP);
	assert_int_equal(ring.packed[SIZE - 2].flags, VRING_DESC_F_WRITE); /* wrap counter 0 there, 1 below */
	assert_int_equal(ring.packed[1].flags, DT_PACKED_MARKS);
	assert_int_equal(ring.packed[2].flags, DT_PACKED_MARKS | VRING_DESC_F_WRITE);
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(dt_test_used(&ring, &elem));
		assert_int_equal(elem.id, ids[i]);
		assert_int_equal(elem.len, written[i]);
	}
	expect_back(0);
}

static void
nothing_is_seen_before_it_is_published(void **state)
{
	offer_singles(3);
	for (unsigned int i = 0; i < 3; i++)
		dt_packed_use(&vq, (uint16_t)i, (uint16_t)i, 60);

	expect_back(0);
	dt_packed_publish(&vq, 3);
	expect_back(3);
}

static void
a_run_in_order_is_told_by_its_last_in_the_place_of_its_first(void **state)
{
	static const unsigned int lens[] = { 2, 1, 3, 1 }, ids[] = { 0, 2, 3 };
	struct vring_used_elem elem;

	dt_test_ring_new(&ring, &memory, 0, SIZE, DT_TEST_PACKED_IN_ORDER);
	start_at(SIZE - 3, 0);
	offer(lens, 4);

	dt_vq_use_run(&vq, true, 3, 3); /* the third chain begins with descriptor 3 */
	dt_packed_publish(&vq, 6);

	assert_int_equal(ring.packed[SIZE - 3].id, 3);
	for (unsigned int i = 1; i < 6; i++) /* these are not touched */
		assert_true((ring.packed[(SIZE - 3 + i) % SIZE].flags & DT_PACKED_MARKS) % DT_PACKED_MARKS != 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(dt_test_used(&ring, &elem));
		assert_int_equal(elem.id, ids[i]);
		assert_int_equal(elem.len, 0);
	}
	expect_back(0);
	assert_int_equal(dt_packed_available(&vq, 32), 1);
}

static void
a_ring_that_was_emptied_is_left_alone_for_a_moment(void **state)
{
	vq.rest = UINT32_MAX; /* a second or more */
	offer_singles(3);
	assert_int_equal(dt_packed_available(&vq, 8), 3);
	turn_over(3);
	offer_singles(2);

	assert_int_equal(dt_packed_available(&vq, 8), 0);
	offer_singles(6); /* as many as were wanted: no need to wait */
	assert_int_equal(dt_packed_available(&vq, 8), 8);
	assert_int_equal(dt_packed_available(&vq, 9), 0);
	vq.rest_until = 1; /* the moment is over */
	assert_int_equal(dt_packed_available(&vq, 9), 8);
}

static void
an_idle_ring_is_looked_at_every_time(void **state)
{
	vq.rest = UINT32_MAX;
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(dt_packed_available(&vq, 8), 0);
	offer_singles(1);

	assert_int_equal(dt_packed_available(&vq, 8), 1);
}

static void
a_ring_that_runs_empty_is_told_to_who_asked_for_that(void **state)
{
	for (unsigned int asked = 0; asked <= 1; asked++) {
		start_at(0, asked ? 1ULL << VIRTIO_F_NOTIFY_ON_EMPTY : 0);
		ring.driver_event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
		offer_singles(2);

		turn_over(1);
		dt_vq_notify(&vq);
		assert_int_equal(interrupts(), 0);
		turn_over(1);
		dt_vq_notify(&vq);
		assert_int_equal(interrupts(), asked);
	}
}

static void
without_event_idx_only_a_guest_that_forbids_it_is_not_told(void **state)
{
	static const struct {
		uint16_t flags;
		bool wanted;
	} cases[] = {
		{ VRING_PACKED_EVENT_FLAG_ENABLE, true }, { VRING_PACKED_EVENT_FLAG_DISABLE, false },
		{ VRING_PACKED_EVENT_FLAG_DESC, true }, /* not negotiated: rather too often than never */
		{ 3, true },
		{ 0xfffc | VRING_PACKED_EVENT_FLAG_DISABLE, false }, /* the rest of the field is reserved */
	};

	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		start_at(0, 0);
		offer_singles(1);
		turn_over(1);
		dt_vq_notify(&vq);
		interrupts();
		*ring.driver_event = (struct vring_packed_desc_event){ 5, cases[i].flags };
		offer_singles(1);
		turn_over(1);

		dt_vq_notify(&vq);

		assert_int_equal(interrupts(), cases[i].wanted);
	}
}

/* From a position on, publish a batch with the guest waiting for another position. @return whether it was told */
static bool
is_told(unsigned int from, unsigned int n, unsigned int event)
{
	start_at((uint16_t)(from < SIZE ? from : (from - SIZE) | WRAP), EVENT_IDX);
	memset(ring.packed, 0, 16 * SIZE);
	vq.signalled_valid = true;
	*ring.driver_event = (struct vring_packed_desc_event){ (uint16_t)(event < SIZE ? event : (event - SIZE) | WRAP),
		VRING_PACKED_EVENT_FLAG_DESC };
	vq.n_unsignalled = n;
	dt_packed_go_to(&vq, dt_packed_position_behind(&vq, n));

	dt_vq_notify(&vq);

	return interrupts() != 0;
}

static void
with_event_idx_the_guest_is_told_when_its_descriptor_is_used(void **state)
{
	/* Every batch, at every position of both laps, for every wish: positions counted without wraps. */
	for (unsigned int from = 0; from < 2 * SIZE; from++)
		for (unsigned int n = 1; n <= SIZE; n++)
			for (unsigned int event = 0; event < 2 * SIZE; event++)
				if (is_told(from, n, event) != ((event + 2 * SIZE - from) % (2 * SIZE) < n))
					fail_msg("from %u, %u descriptors, event %u: wrong", from, n, event);
}

static void
a_wish_for_a_descriptor_that_is_none_does_no_harm(void **state)
{
	start_at(0, EVENT_IDX);
	for (unsigned int off_wrap = 0; off_wrap <= UINT16_MAX; off_wrap++) {
		*ring.driver_event =
			(struct vring_packed_desc_event){ (uint16_t)off_wrap, VRING_PACKED_EVENT_FLAG_DESC };
		vq.n_unsignalled = 1;
		dt_vq_notify(&vq);
	}
	interrupts();
	assert_false(dt_vq_broken(&vq));
}

static void
more_than_a_lap_since_the_guest_was_told_is_always_told(void **state)
{
	start_at(0, EVENT_IDX);
	vq.signalled_valid = true;
	*ring.driver_event = (struct vring_packed_desc_event){ 5, VRING_PACKED_EVENT_FLAG_DESC };
	for (unsigned int i = 0; i < 2 * SIZE; i++) {
		offer_singles(1);
		turn_over(1);
	}

	dt_vq_notify(&vq);
	assert_int_equal(interrupts(), 1);
	dt_vq_notify(&vq);
	assert_int_equal(interrupts(), 0);
}

static void
the_first_burst_after_a_start_is_always_told(void **state)
{
	start_at(0, EVENT_IDX);
	*ring.driver_event = (struct vring_packed_desc_event){ 9 | WRAP, VRING_PACKED_EVENT_FLAG_DESC };
	offer_singles(1);
	turn_over(1);

	dt_vq_notify(&vq);
	assert_int_equal(interrupts(), 1);
	offer_singles(1);
	turn_over(1);
	dt_vq_notify(&vq);
	assert_int_equal(interrupts(), 0);
}

int
main(void)
{
#define RING(test) cmocka_unit_test_setup_teardown(test, make_ring, free_ring)
	const struct CMUnitTest tests[] = {
		RING(any_size_up_to_32768_is_taken),
		RING(misaligned_parts_are_refused),
		RING(parts_that_reach_out_of_memory_are_refused),
		RING(a_ring_without_a_place_for_its_position_is_refused),
		RING(a_ring_that_starts_asks_for_no_kicks),
		RING(a_ring_of_zeros_has_nothing_to_take),
		RING(what_the_guest_posts_is_available),
		RING(a_ring_may_be_full_at_any_position_and_in_any_lap),
		RING(positions_and_marks_hold_over_many_laps_of_odd_steps),
		RING(chains_come_back_where_they_began),
		RING(nothing_is_seen_before_it_is_published),
		RING(a_run_in_order_is_told_by_its_last_in_the_place_of_its_first),
		RING(a_ring_that_was_emptied_is_left_alone_for_a_moment),
		RING(an_idle_ring_is_looked_at_every_time),
		RING(a_ring_that_runs_empty_is_told_to_who_asked_for_that),
		RING(without_event_idx_only_a_guest_that_forbids_it_is_not_told),
		RING(with_event_idx_the_guest_is_told_when_its_descriptor_is_used),
		RING(a_wish_for_a_descriptor_that_is_none_does_no_harm),
		RING(more_than_a_lap_since_the_guest_was_told_is_always_told),
		RING(the_first_burst_after_a_start_is_always_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
