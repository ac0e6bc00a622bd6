/* SPDX-License-Identifier: BSD-3-Clause */
/* A split ring: which are taken into service, what is available, what is used, and when the guest is told. */
#include "testing.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_common.h>

#include "guest_memory.h"
#include "vq.h"

#define SIZE      16
#define EVENT_IDX (1ULL << VIRTIO_RING_F_EVENT_IDX)

static struct dt_test_memory memory;
static struct dt_test_ring ring;
static struct dt_vq vq;
static int callfd;

static int
make_ring(void **state)
{
	dt_test_memory_new(&memory, 2, 0x100000);
	dt_test_ring_new(&ring, &memory, 0, SIZE, DT_TEST_SPLIT);
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
sizes_that_are_no_power_of_two_or_too_large_are_refused(void **state)
{
	static const uint16_t bad[] = { 0, 3, 12, 255, 32767, 32769, 49152, 65535 };
	static const uint16_t good[] = { 1, 2, 256, 1024, 32768 };

	/* Room for the largest: descriptors in one region, the rest in the other. */
	vq.desc = (struct vring_desc *)(void *)memory.hva[0];
	vq.avail = (struct vring_avail *)(void *)memory.hva[1];
	vq.used = (struct vring_used *)(void *)(memory.hva[1] + 0x20000);
	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		vq.size = bad[i];
		assert_int_equal(dt_vq_start(&vq), -EINVAL);
	}
	for (unsigned int i = 0; i < RTE_DIM(good); i++) {
		vq.size = good[i];
		assert_int_equal(dt_vq_start(&vq), 0);
		assert_int_equal(vq.mask, good[i] - 1);
	}
}

static void *
moved(void *part, long bytes)
{
	return (void *)((uintptr_t)part + (uintptr_t)bytes);
}

static void
misaligned_parts_are_refused(void **state)
{
	struct dt_vq bad = vq;

	bad.desc = moved(vq.desc, 8);
	assert_int_equal(dt_vq_start(&bad), -EINVAL);
	bad = vq;
	bad.avail = moved(vq.avail, 1);
	assert_int_equal(dt_vq_start(&bad), -EINVAL);
	bad = vq;
	bad.used = moved(vq.used, 2);
	assert_int_equal(dt_vq_start(&bad), -EINVAL);
}

static void
parts_that_reach_out_of_memory_are_refused(void **state)
{
	uint8_t *end = memory.hva[1] + memory.region_size;
	struct dt_vq bad = vq;

	bad.desc = moved(end, -16 * SIZE);
	bad.avail = moved(end, -(6 + 2 * SIZE));
	bad.used = moved(end, -(6 + 8 * SIZE) - 2); /* the end, at its alignment */
	assert_int_equal(dt_vq_start(&bad), 0);
	bad.desc = moved(end, -16 * SIZE + 16);
	assert_int_equal(dt_vq_start(&bad), -EFAULT);
	bad.desc = vq.desc;
	bad.avail = moved(end, -(6 + 2 * SIZE) + 2);
	assert_int_equal(dt_vq_start(&bad), -EFAULT);
	bad.avail = vq.avail;
	bad.used = moved(end, -(6 + 8 * SIZE) + 2);
	assert_int_equal(dt_vq_start(&bad), -EFAULT);
	bad.used = vq.used;
	assert_int_equal(dt_vq_start(&bad), 0);
	bad.desc = moved(NULL, 0);
	assert_int_equal(dt_vq_start(&bad), -EFAULT);
}

static void
a_ring_that_starts_asks_for_no_kicks(void **state)
{
	uint16_t avail_event;

	vq.callfd = callfd;
	vq.features = EVENT_IDX;
	vq.base = 7;

	assert_int_equal(dt_vq_start(&vq), 0);

	assert_int_equal(ring.used->flags, VRING_USED_F_NO_NOTIFY);
	/* avail_event, behind the used ring: an index that the guest has passed long ago */
	memcpy(&avail_event, &ring.used->ring[SIZE], sizeof(avail_event));
	assert_int_equal(avail_event, 6);
	assert_int_equal(interrupts(), 0); /* that is for the worker */
	dt_vq_interrupt(&vq);
	assert_int_equal(interrupts(), 1);
}

static void
what_the_guest_posts_is_available(void **state)
{
	assert_int_equal(dt_split_available(&vq, 1), 0);
	dt_test_offer(&ring, 5);
	dt_test_offer(&ring, 9);

	assert_int_equal(dt_split_available(&vq, 32), 2);
	assert_int_equal(dt_vq_head(&vq, 0), 5);
	assert_int_equal(dt_vq_head(&vq, 1), 9);
}

static void
the_guests_index_is_not_read_while_enough_is_known(void **state)
{
	dt_test_offer(&ring, 0);
	assert_int_equal(dt_split_available(&vq, 1), 1);
	dt_test_offer(&ring, 1);

	assert_int_equal(dt_split_available(&vq, 1), 1);
	assert_int_equal(dt_split_available(&vq, 2), 2);
}

static void
indices_wrap_at_sixteen_bits(void **state)
{
	ring.avail_idx = 65530;
	ring.used_seen = 65530;
	ring.avail->idx = 65530;
	ring.used->idx = 65530;
	dt_test_ring_start(&ring, 0, &vq);
	for (uint16_t i = 0; i < 10; i++)
		dt_test_offer(&ring, i);

	assert_int_equal(ring.avail->idx, 4);
	assert_int_equal(dt_split_available(&vq, 32), 10);
	for (uint16_t i = 0; i < 10; i++) {
		assert_int_equal(dt_vq_head(&vq, i), i);
		dt_split_use(&vq, i, i);
	}
	dt_split_publish(&vq, 10);

	assert_int_equal(ring.used->idx, 4);
	assert_int_equal(vq.last_avail, 4);
	assert_int_equal(dt_split_available(&vq, 1), 0);
	for (uint16_t i = 0; i < 10; i++) {
		struct vring_used_elem elem;

		assert_true(dt_test_used(&ring, &elem));
		assert_int_equal(elem.id, i);
		assert_int_equal(elem.len, i);
	}
	assert_false(dt_vq_broken(&vq));
}

static void
a_ring_may_be_full_and_no_fuller(void **state)
{
	ring.avail->idx = SIZE;
	assert_int_equal(dt_split_available(&vq, 32), SIZE);
	assert_false(dt_vq_broken(&vq));
	assert_null(dt_vq_fault_text(&vq));

	ring.avail->idx = SIZE + 1;
	assert_int_equal(dt_split_available(&vq, 32), 0);
	assert_true(dt_vq_broken(&vq));
	assert_int_equal(vq.fault, DT_VQ_AVAIL_TOO_FAR);
	assert_non_null(dt_vq_fault_text(&vq));
	assert_int_equal(dt_split_available(&vq, 1), 0);
}

static void
an_index_that_goes_back_breaks_the_ring(void **state)
{
	ring.avail_idx = 100;
	ring.avail->idx = 100;
	dt_test_ring_start(&ring, 0, &vq);

	ring.avail->idx = 99;

	assert_int_equal(dt_split_available(&vq, 32), 0);
	assert_int_equal(vq.fault, DT_VQ_AVAIL_TOO_FAR);
}

static void
a_ring_that_starts_again_is_whole_again(void **state)
{
	dt_vq_break(&vq, DT_VQ_BAD_HEADS);
	vq.bad_heads = 200;

	assert_int_equal(dt_vq_start(&vq), 0);

	assert_false(dt_vq_broken(&vq));
	assert_int_equal(vq.bad_heads, 0);
}

static void
a_ring_goes_on_where_its_used_index_stands(void **state)
{
	struct vring_used_elem elem;

	ring.used->idx = 300;
	ring.used_seen = 300;
	vq.base = 305;

	assert_int_equal(dt_vq_start(&vq), 0);
	dt_split_use(&vq, 9, 1);
	dt_split_publish(&vq, 1);

	assert_int_equal(ring.used->idx, 301);
	assert_true(dt_test_used(&ring, &elem));
	assert_int_equal(elem.id, 9);
	assert_int_equal(vq.last_avail, 306);
}

static void
only_too_many_bad_heads_in_a_row_break_the_ring(void **state)
{
	for (unsigned int i = 0; i < DT_VQ_BAD_HEADS_MAX - 1; i++)
		dt_split_bad_head(&vq);
	assert_false(dt_vq_broken(&vq));

	dt_split_bad_head(&vq);
	assert_true(dt_vq_broken(&vq));
	assert_int_equal(vq.fault, DT_VQ_BAD_HEADS);
}

static void
nothing_is_seen_before_it_is_published(void **state)
{
	struct vring_used_elem elem;

	dt_split_use(&vq, 3, 60);
	assert_false(dt_test_used(&ring, &elem));

	dt_split_publish(&vq, 1);
	assert_true(dt_test_used(&ring, &elem));
	assert_int_equal(elem.id, 3);
	assert_int_equal(elem.len, 60);
	assert_int_equal(vq.last_avail, 1);
}

static void
a_slot_may_be_taken_without_being_used(void **state)
{
	dt_split_use(&vq, 3, 0);
	dt_split_publish(&vq, 2); /* one head was no descriptor */

	assert_int_equal(vq.last_avail, 2);
	assert_int_equal(ring.used->idx, 1);
}

static void
without_event_idx_the_guests_flag_decides(void **state)
{
	dt_test_ring_start(&ring, 0, &vq);
	vq.callfd = callfd;

	dt_vq_notify(&vq);
	assert_int_equal(interrupts(), 1);
	ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	dt_vq_notify(&vq);
	assert_int_equal(interrupts(), 0);
}

static void
with_event_idx_the_guest_is_told_when_its_index_is_passed(void **state)
{
	static const struct {
		uint16_t told, now, event;
		bool wanted;
	} cases[] = {
		{ 10, 11, 10, true },
		{ 10, 11, 9, false },
		{ 10, 11, 11, false },
		{ 10, 20, 19, true },
		{ 10, 20, 15, true },
		{ 10, 20, 20, false },
		{ 10, 10, 10, false },
		{ 10, 10, 9, false },
		{ 65535, 2, 65535, true },
		{ 65535, 2, 1, true },
		{ 65535, 2, 2, false },
		{ 65535, 2, 65534, false },
		{ 65530, 65535, 65534, true },
		{ 0, 32768, 32767, true },
		{ 10, 11, 40000, false },
	};

	dt_test_ring_start(&ring, EVENT_IDX, &vq);
	vq.callfd = callfd;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		vq.signalled = cases[i].told;
		vq.signalled_valid = true;
		vq.used_idx = cases[i].now;
		ring.avail->ring[SIZE] = cases[i].event; /* used_event */
		/* What only counts without EVENT_IDX. */
		ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;

		dt_vq_notify(&vq);

		if (interrupts() != cases[i].wanted)
			fail_msg("told at %u, now %u, event %u: wrong", cases[i].told, cases[i].now, cases[i].event);
		assert_int_equal(vq.signalled, cases[i].now);
	}
}

static void
a_ring_that_runs_empty_is_told_to_who_asked_for_that(void **state)
{
	for (unsigned int asked = 0; asked <= 1; asked++) {
		dt_test_ring_start(&ring, asked ? 1ULL << VIRTIO_F_NOTIFY_ON_EMPTY : 0, &vq);
		vq.callfd = callfd;
		ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
		dt_test_offer(&ring, 0);
		dt_test_offer(&ring, 1);
		assert_int_equal(dt_split_available(&vq, 2), 2);

		dt_split_use(&vq, 0, 0);
		dt_split_publish(&vq, 1);
		dt_vq_notify(&vq);
		assert_int_equal(interrupts(), 0);
		dt_split_use(&vq, 1, 0);
		dt_split_publish(&vq, 1);
		dt_vq_notify(&vq);
		assert_int_equal(interrupts(), asked);
	}
}

static void
a_run_in_order_is_told_by_its_last_in_the_place_of_its_first(void **state)
{
	for (uint16_t i = 0; i < 7; i++)
		dt_test_offer(&ring, i);
	memset(ring.used->ring, 0xee, sizeof(ring.used->ring[0]) * SIZE);

	dt_split_use_run(&vq, 3, 4);
	dt_split_use(&vq, 4, 60);
	dt_split_publish(&vq, 5);

	assert_int_equal(ring.used->idx, 5);
	assert_int_equal(ring.used->ring[0].id, 3);
	assert_int_equal(ring.used->ring[0].len, 0);
	for (unsigned int i = 1; i < 4; i++)
		assert_int_equal(ring.used->ring[i].id, 0xeeeeeeee);
	assert_int_equal(ring.used->ring[4].id, 4);
	assert_int_equal(ring.used->ring[4].len, 60);
}

static void
the_first_burst_after_a_start_is_always_told(void **state)
{
	dt_test_ring_start(&ring, EVENT_IDX, &vq);
	vq.callfd = callfd;
	ring.avail->ring[SIZE] = 40000;

	dt_vq_notify(&vq);
	assert_int_equal(interrupts(), 1);
	dt_vq_notify(&vq);
	assert_int_equal(interrupts(), 0);
}

static void
a_guest_that_polls_has_no_descriptor_to_signal(void **state)
{
	dt_test_ring_start(&ring, 0, &vq);
	assert_int_equal(vq.callfd, -1);

	dt_vq_notify(&vq); /* no write to descriptor -1 may be tried, which errno would tell */

	assert_int_equal(interrupts(), 0);
}

int
main(void)
{
#define RING(test) cmocka_unit_test_setup_teardown(test, make_ring, free_ring)
	const struct CMUnitTest tests[] = {
		RING(sizes_that_are_no_power_of_two_or_too_large_are_refused),
		RING(misaligned_parts_are_refused),
		RING(parts_that_reach_out_of_memory_are_refused),
		RING(a_ring_that_starts_asks_for_no_kicks),
		RING(what_the_guest_posts_is_available),
		RING(the_guests_index_is_not_read_while_enough_is_known),
		RING(indices_wrap_at_sixteen_bits),
		RING(a_ring_may_be_full_and_no_fuller),
		RING(an_index_that_goes_back_breaks_the_ring),
		RING(a_ring_that_starts_again_is_whole_again),
		RING(a_ring_goes_on_where_its_used_index_stands),
		RING(only_too_many_bad_heads_in_a_row_break_the_ring),
		RING(nothing_is_seen_before_it_is_published),
		RING(a_slot_may_be_taken_without_being_used),
		RING(without_event_idx_the_guests_flag_decides),
		RING(with_event_idx_the_guest_is_told_when_its_index_is_passed),
		RING(a_ring_that_runs_empty_is_told_to_who_asked_for_that),
		RING(a_run_in_order_is_told_by_its_last_in_the_place_of_its_first),
		RING(the_first_burst_after_a_start_is_always_told),
		RING(a_guest_that_polls_has_no_descriptor_to_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
