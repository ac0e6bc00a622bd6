/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log: whatever the device writes into guest memory has its page marked. A copy of all memory from before is
 * compared with what is there after; each page that differs must be in the log, and none that no byte was written to.
 */
#include "testing.h"

#include <linux/vhost_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_common.h>

#include "eal.h"
#include "packet.h"
#include "receiver.h"
#include "sender.h"
#include "vnet.h"

#define HDR       DT_VNET_HDR_MRG
#define PAGE      4096ULL
#define REGION    0x100000ULL
#define PAGES     (2 * REGION / PAGE)
#define LOG_SIZE  ((DT_TEST_GPA + 2 * REGION) / PAGE / 8)
#define LOG_ALL   (1ULL << VHOST_F_LOG_ALL)
#define EVENT_IDX (1ULL << VIRTIO_RING_F_EVENT_IDX)

static struct dt_test_sender *const sender = &dt_test_sender;
static struct dt_test_receiver *const receiver = &dt_test_receiver;

static uint8_t log_base[LOG_SIZE + 8]; /* and some bytes that are none of it */
static uint8_t *shadow;

static void
start(struct dt_test_ring *ring, uint64_t features, struct dt_vq *vq)
{
	*vq = dt_test_ring_vq(ring, features);
	vq->log_base = log_base;
	vq->log_size = LOG_SIZE;
	assert_int_equal(dt_vq_start(vq), 0);
	vq->rest = 0;
}

/* A ring of several pages, instead of the fixture's. */
static void
larger_ring(struct dt_test_ring *ring, struct dt_test_memory *memory, uint64_t layout)
{
	memory->next[0] = 0;
	dt_test_ring_new(ring, memory, 0, (layout & DT_TEST_PACKED) != 0 ? 1000 : 1024, layout);
	memory->next[0] = RTE_ALIGN_CEIL(memory->next[0], PAGE);
}

static int
open_sender(void **state)
{
	int result = dt_test_sender_open(state);

	memset(log_base, 0, sizeof(log_base));
	shadow = malloc(2 * REGION);
	larger_ring(&sender->ring, &sender->memory, *(const uint64_t *)*state);
	start(&sender->ring, DT_TEST_SENDER_FEATURES | LOG_ALL, sender->vq);
	return result;
}

static int
close_sender(void **state)
{
	free(shadow);
	return dt_test_sender_close(state);
}

static int
open_receiver(void **state)
{
	int result = dt_test_receiver_open(state);

	memset(log_base, 0, sizeof(log_base));
	shadow = malloc(2 * REGION);
	larger_ring(&receiver->ring, &receiver->memory, *(const uint64_t *)*state);
	start(&receiver->ring, DT_TEST_RECEIVER_FEATURES | LOG_ALL, receiver->vq);
	return result;
}

static int
close_receiver(void **state)
{
	free(shadow);
	return dt_test_receiver_close(state);
}

/* The driver has written what it had to: from now on the device alone writes. */
static void
watch(const struct dt_test_memory *memory)
{
	memset(log_base, 0, sizeof(log_base));
	for (unsigned int i = 0; i < 2; i++)
		memcpy(shadow + i * REGION, memory->hva[i], REGION);
}

static bool
is_marked(uint64_t page)
{
	page += DT_TEST_GPA / PAGE;
	return (log_base[page / 8] & 1 << page % 8) != 0;
}

/* @return pages that were written and are marked */
static unsigned int
compare(const struct dt_test_memory *memory, const struct dt_test_ring *ring)
{
	uint64_t ring_pages =
		(16ULL + 2 + 8) * ring->size / PAGE + 2; /* there, a used entry may equal what it replaces */
	unsigned int n = 0;

	for (uint64_t page = 0; page < PAGES; page++) {
		uint64_t at = page * PAGE;
		bool written = memcmp(shadow + at, memory->hva[at / REGION] + at % REGION, PAGE) != 0;

		if (written && !is_marked(page))
			fail_msg("page %u was written and is not in the log", (unsigned int)page);
		if (!written && is_marked(page) && page >= ring_pages)
			fail_msg("page %u is in the log and was not written", (unsigned int)page);
		n += written;
	}
	for (unsigned int i = 0; i < DT_TEST_GPA / PAGE / 8; i++)
		assert_int_equal(log_base[i], 0);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(log_base[LOG_SIZE + i], 0);
	return n;
}

static unsigned int
changes(void)
{
	return compare(&receiver->memory, &receiver->ring);
}

/* A buffer at an offset in a page of its own. */
static struct dt_test_part
buffer(uint64_t offset, uint32_t len)
{
	struct dt_test_memory *memory = &receiver->memory;

	memory->next[0] = RTE_ALIGN_CEIL(memory->next[0], PAGE);
	return (struct dt_test_part){ dt_test_take(memory, 0, offset + len) + offset, len };
}

static void
post(const struct dt_test_part *parts, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		for (uint32_t k = 0; k < parts[i].len; k++)
			*(uint8_t *)dt_test_at(&receiver->memory, parts[i].gpa + k) = 0xee;
	dt_test_offer(&receiver->ring, dt_test_chain(&receiver->ring, parts, n, true));
}

static void
packets_mark_the_pages_of_their_bytes_and_no_others(void **state)
{
	const struct dt_test_part whole = buffer(PAGE - HDR, 2 * PAGE), end = buffer(PAGE - 100, 100 + PAGE);

	post(&whole, 1);
	post(&end, 1);
	dt_test_receiver_put(1, 60, 0); /* the header in one page, the frame in the next */
	dt_test_receiver_put(1, 100 - HDR, 1); /* to the page's last byte */
	watch(&receiver->memory);

	assert_int_equal(dt_pair_to_guest(&receiver->pair), 2);

	assert_in_range(changes(), 3 + 1, 3 + 3);
	dt_test_receiver_expect(60, 0, 1);
	dt_test_receiver_expect(100 - HDR, 1, 1);
}

static void
a_merged_packet_marks_all_its_buffers(void **state)
{
	for (unsigned int i = 0; i < 9; i++) {
		const struct dt_test_part part = buffer(100 * i, 600);

		post(&part, 1);
	}
	dt_test_receiver_put(1, 5000, 0); /* into nine; the last is not full */
	watch(&receiver->memory);

	assert_int_equal(dt_pair_to_guest(&receiver->pair), 1);

	assert_in_range(changes(), 9 + 1, 9 + 3);
	dt_test_receiver_expect(5000, 0, 9);
}

static void
chains_and_buffers_over_regions_mark_every_piece(void **state)
{
	const struct dt_test_part parts[] = { buffer(0, 5), buffer(8, 0), buffer(16, 30),
		{ dt_test_region(&receiver->memory, 1) - 40, 80 }, buffer(24, 1000) };

	post(parts, 5);
	dt_test_receiver_put(1, 500, 0);
	watch(&receiver->memory);

	assert_int_equal(dt_pair_to_guest(&receiver->pair), 1);

	assert_in_range(changes(), 5 + 1, 5 + 3);
	dt_test_receiver_expect(500, 0, 1);
}

static void
buffers_that_go_back_empty_mark_the_ring_alone(void **state)
{
	const struct dt_test_part part = buffer(0, 600);

	post(&part, 1);
	dt_test_offer(&receiver->ring, dt_test_desc(&receiver->ring, part.gpa, 600, 0, 0));
	dt_test_receiver_put(1, 1000, 0);
	watch(&receiver->memory);

	assert_int_equal(dt_pair_to_guest(&receiver->pair), 1);

	assert_in_range(changes(), 1, 3);
	dt_test_receiver_expect_empty();
	dt_test_receiver_expect_empty();
	assert_int_equal(dt_test_dropped(DT_TEST_RECEIVER_OUT, DT_CAUSE_CHAIN_DIRECTION), 1);
}

static void
what_is_used_is_marked_all_around_the_ring(void **state)
{
	uint64_t gpa = dt_test_sender_write(0, 60, 5);
	const struct dt_test_part two[] = { { gpa, HDR }, { gpa + HDR, 60 } };
	uint16_t heads[20];

	for (unsigned int i = 0; i < 20; i++)
		heads[i] = dt_test_chain(&sender->ring, i % 3 != 0 ? two : &(struct dt_test_part){ gpa, HDR + 60 },
			i % 3 != 0 ? 2 : 1, false);
	for (unsigned int round = 0; round < 2500 / 20; round++) {
		for (unsigned int i = 0; i < 20; i++)
			dt_test_offer(&sender->ring, heads[i]);
		watch(&sender->memory);

		assert_int_equal(dt_pair_from_guest(&sender->pair), 20);

		assert_in_range(compare(&sender->memory, &sender->ring), 1, 3);
		for (unsigned int i = 0; i < 20; i++)
			dt_test_sender_expect(60, 5);
		dt_test_sender_expect_back(20);
	}
}

static void
a_ring_that_starts_marks_what_it_says_about_kicks(void **state)
{
	const uint64_t layout = *(const uint64_t *)*state;
	struct dt_test_ring *ring = &receiver->ring;
	struct dt_vq vq;

	/* All that the device writes then in another page than the table is. */
	receiver->memory.next[0] = 0;
	dt_test_ring_new(ring, &receiver->memory, 0, 256, layout);
	memset(receiver->memory.hva[0], 0xee, REGION);
	watch(&receiver->memory);

	start(ring, EVENT_IDX | LOG_ALL, &vq);

	assert_in_range(changes(), 1, 2);
}

static void
without_a_log_or_the_feature_nothing_is_marked(void **state)
{
	const struct dt_test_part parts[] = { buffer(0, 600), buffer(0, 600) };

	for (unsigned int i = 0; i < 2; i++) {
		start(&receiver->ring, DT_TEST_RECEIVER_FEATURES | (i == 0 ? 0 : LOG_ALL), receiver->vq);
		if (i == 1)
			receiver->vq->log_base = NULL;
		assert_int_equal(dt_vq_start(receiver->vq), 0);
		memset(log_base, 0, sizeof(log_base));
		receiver->vq->base = dt_test_ring_base(&receiver->ring);
		post(&parts[i], 1);
		dt_test_receiver_put(1, 60, 0);
		assert_int_equal(dt_pair_to_guest(&receiver->pair), 1);
		dt_test_receiver_expect(60, 0, 1);
		for (unsigned int k = 0; k < LOG_SIZE; k++)
			assert_int_equal(log_base[k], 0);
	}
}

static void
pages_beyond_the_log_are_left_out(void **state)
{
	const struct dt_test_part part = buffer(0, 600);

	receiver->vq->log_size = DT_TEST_GPA / PAGE / 8; /* up to the first region */
	post(&part, 1);
	dt_test_receiver_put(1, 60, 0);
	watch(&receiver->memory);

	assert_int_equal(dt_pair_to_guest(&receiver->pair), 1);

	for (unsigned int i = 0; i < sizeof(log_base); i++)
		assert_int_equal(log_base[i], 0);
	dt_test_receiver_expect(60, 0, 1);
}

int
main(void)
{
#define INTO(test)   DT_TEST_EACH_LAYOUT(test, open_receiver, close_receiver)
#define OUT_OF(test) DT_TEST_EACH_LAYOUT(test, open_sender, close_sender)
	const struct CMUnitTest tests[] = {
		INTO(packets_mark_the_pages_of_their_bytes_and_no_others),
		INTO(a_merged_packet_marks_all_its_buffers),
		INTO(chains_and_buffers_over_regions_mark_every_piece),
		INTO(buffers_that_go_back_empty_mark_the_ring_alone),
		OUT_OF(what_is_used_is_marked_all_around_the_ring),
		INTO(a_ring_that_starts_marks_what_it_says_about_kicks),
		INTO(without_a_log_or_the_feature_nothing_is_marked),
		INTO(pages_beyond_the_log_are_left_out),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
