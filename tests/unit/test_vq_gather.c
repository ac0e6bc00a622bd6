/* SPDX-License-Identifier: BSD-3-Clause */
/* Walking chains: what a whole one comes to, and each way in which one can be broken. */
#include "testing.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "guest_memory.h"
#include "vq.h"

#define SIZE     1024
#define REGION   0x100000ULL
#define INDIRECT (1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define NEXT     VRING_DESC_F_NEXT
#define WRITE    VRING_DESC_F_WRITE
#define TABLE    VRING_DESC_F_INDIRECT

static struct dt_test_memory memory;
static struct dt_test_ring ring;
static struct dt_vq vq;
static struct dt_vq_pieces pieces;
static uint64_t buffer; /* some memory to point to */

static int
make_ring(void **state)
{
	dt_test_memory_new(&memory, 2, REGION);
	dt_test_ring_new(&ring, &memory, 0, SIZE, DT_TEST_SPLIT);
	dt_test_ring_start(&ring, INDIRECT, &vq);
	buffer = dt_test_take(&memory, 0, 0x10000);
	/* As if something had been gathered before: it must survive. */
	pieces = (struct dt_vq_pieces){ .n = 1, .len = 7, .piece[0] = { .hva = memory.hva[0], .len = 7 } };
	return 0;
}

static int
free_ring(void **state)
{
	dt_test_memory_free(&memory);
	return 0;
}

static enum dt_cause
gather(uint16_t head)
{
	return dt_vq_gather(&vq, head, false, &pieces);
}

/* It ends with that cause, and nothing of it is left. */
static void
expect_refusal(uint16_t head, enum dt_cause cause)
{
	assert_int_equal(gather(head), cause);
	assert_int_equal(pieces.n, 1);
	assert_int_equal(pieces.len, 7);
}

static void
one_buffer_is_one_piece(void **state)
{
	assert_int_equal(gather(dt_test_desc(&ring, buffer + 3, 60, 0, 0)), DT_CAUSE_MAX);

	assert_int_equal(pieces.n, 2);
	assert_int_equal(pieces.len, 67);
	assert_int_equal(pieces.n_desc, 1);
	assert_ptr_equal(pieces.piece[1].hva, dt_test_at(&memory, buffer + 3));
	assert_int_equal(pieces.piece[1].len, 60);
}

static void
a_chain_is_its_buffers_in_order(void **state)
{
	const struct dt_test_part parts[] = { { buffer + 500, 10 }, { buffer, 0 }, { buffer + 100, 20 } };

	assert_int_equal(gather(dt_test_chain(&ring, parts, 3, false)), DT_CAUSE_MAX);

	assert_int_equal(pieces.n, 3); /* a buffer of no bytes is no piece */
	assert_int_equal(pieces.len, 37);
	assert_int_equal(pieces.n_desc, 3);
	assert_ptr_equal(pieces.piece[1].hva, dt_test_at(&memory, buffer + 500));
	assert_ptr_equal(pieces.piece[2].hva, dt_test_at(&memory, buffer + 100));
}

static void
a_buffer_over_two_regions_is_two_pieces(void **state)
{
	assert_int_equal(gather(dt_test_desc(&ring, DT_TEST_GPA + REGION - 10, 30, 0, 0)), DT_CAUSE_MAX);

	assert_int_equal(pieces.n, 3);
	assert_int_equal(pieces.piece[1].len, 10);
	assert_int_equal(pieces.piece[2].len, 20);
	assert_ptr_equal(pieces.piece[2].hva, memory.hva[1]);
}

static void
unknown_descriptor_flags_are_ignored(void **state)
{
	assert_int_equal(gather(dt_test_desc(&ring, buffer, 60, 0xfff8, 0xffff)), DT_CAUSE_MAX);

	assert_int_equal(pieces.len, 67);
}

static void
an_indirect_table_is_walked_like_a_ring(void **state)
{
	const struct vring_desc descs[] = { { buffer, 12, NEXT, 2 }, { buffer + 200, 9, 0, 0 },
		{ buffer + 100, 8, NEXT, 1 } };
	uint16_t head = dt_test_indirect(&ring, dt_test_take(&memory, 0, sizeof(descs)), descs, 3);

	assert_int_equal(gather(head), DT_CAUSE_MAX);

	assert_int_equal(pieces.n, 4);
	assert_int_equal(pieces.len, 7 + 12 + 8 + 9);
	assert_int_equal(pieces.n_desc, 1); /* of the ring's own */
	assert_ptr_equal(pieces.piece[3].hva, dt_test_at(&memory, buffer + 200));
}

static void
an_indirect_table_may_lie_across_regions(void **state)
{
	const struct vring_desc descs[] = { { buffer, 1, NEXT, 1 }, { buffer, 2, NEXT, 2 }, { buffer, 4, 0, 0 } };

	for (uint64_t back = 1; back < sizeof(descs); back++) {
		uint16_t head = dt_test_indirect(&ring, DT_TEST_GPA + REGION - back, descs, 3);

		pieces.n = 0;
		pieces.len = 0;
		assert_int_equal(gather(head), DT_CAUSE_MAX);
		assert_int_equal(pieces.len, 7);
	}
}

static void
a_chain_may_end_in_an_indirect_table(void **state)
{
	const struct vring_desc descs[] = { { buffer, 5, 0, 0 } };
	uint64_t table = dt_test_take(&memory, 0, sizeof(descs));
	uint16_t head = dt_test_desc(&ring, buffer, 12, NEXT, 1);

	dt_test_indirect(&ring, table, descs, 1);

	assert_int_equal(gather(head), DT_CAUSE_MAX);
	assert_int_equal(pieces.len, 7 + 12 + 5);
	assert_int_equal(pieces.n_desc, 2);
}

static void
a_packet_may_have_1024_pieces_and_no_more(void **state)
{
	static struct dt_test_part parts[DT_VQ_PIECES_MAX];
	uint16_t head;

	for (unsigned int i = 0; i < DT_VQ_PIECES_MAX; i++)
		parts[i] = (struct dt_test_part){ buffer + i, 1 };
	head = dt_test_chain(&ring, parts, DT_VQ_PIECES_MAX, false);

	/* One more than there is room behind the piece that was there before. */
	expect_refusal(head, DT_CAUSE_CHAIN_TOO_LONG);
	pieces.n = 0;
	pieces.len = 0;
	pieces.n_steps = 0;
	assert_int_equal(gather(head), DT_CAUSE_MAX);
	assert_int_equal(pieces.n, DT_VQ_PIECES_MAX);
	assert_int_equal(pieces.len, DT_VQ_PIECES_MAX);
}

static void
a_chain_as_long_as_the_ring_is_no_loop(void **state)
{
	for (uint16_t i = 0; i < SIZE; i++)
		dt_test_desc(&ring, buffer, i == 5 ? 3 : 0, i + 1 < SIZE ? NEXT : 0, (uint16_t)(i + 1));

	assert_int_equal(gather(0), DT_CAUSE_MAX);
	assert_int_equal(pieces.len, 10);
}

static void
empty_descriptors_count_too(void **state)
{
	for (uint16_t i = 0; i < SIZE; i++)
		dt_test_desc(&ring, buffer, 0, i + 1 < SIZE ? NEXT : 0, (uint16_t)(i + 1));
	pieces.n_steps = 1; /* of a chain before, for the same packet */

	expect_refusal(0, DT_CAUSE_CHAIN_TOO_LONG);
}

static void
lengths_are_summed_in_64_bits(void **state)
{
	static struct dt_gmem_region huge[1];
	struct dt_gmem *mem;

	/* Nobody touches what a descriptor names before it was judged, so this needs no such memory. */
	huge[0] = (struct dt_gmem_region){ .gpa = 0, .size = 1ULL << 40, .hva = (uint8_t *)16 };
	assert_int_equal(dt_gmem_new(huge, 1, &mem), 0);
	vq.mem = mem;
	dt_test_desc(&ring, 0, UINT32_MAX, NEXT, 1);
	dt_test_desc(&ring, 0, UINT32_MAX, 0, 0);

	assert_int_equal(gather(0), DT_CAUSE_MAX);
	assert_int_equal(pieces.len, 7 + 2 * (uint64_t)UINT32_MAX);
	dt_gmem_free(mem);
}

static void
a_next_beyond_the_table_is_refused(void **state)
{
	const struct vring_desc descs[] = { { buffer, 12, NEXT, 2 }, { buffer, 9, 0, 0 } };

	expect_refusal(dt_test_desc(&ring, buffer, 60, NEXT, SIZE), DT_CAUSE_CHAIN_BAD_INDEX);
	expect_refusal(dt_test_desc(&ring, buffer, 60, NEXT, 65535), DT_CAUSE_CHAIN_BAD_INDEX);
	/* In a table, its own length counts, not the ring's. */
	expect_refusal(
		dt_test_indirect(&ring, dt_test_take(&memory, 0, sizeof(descs)), descs, 2), DT_CAUSE_CHAIN_BAD_INDEX);
}

static void
a_chain_that_never_ends_is_refused(void **state)
{
	const struct vring_desc descs[] = { { buffer, 1, NEXT, 1 }, { buffer, 1, NEXT, 0 } };

	expect_refusal(dt_test_desc(&ring, buffer, 0, NEXT, 0), DT_CAUSE_CHAIN_LOOP);
	pieces.n_steps = 0;
	dt_test_desc(&ring, buffer, 1, NEXT, 2);
	expect_refusal(dt_test_desc(&ring, buffer, 0, NEXT, 1), DT_CAUSE_CHAIN_LOOP);
	pieces.n_steps = 0;
	expect_refusal(dt_test_indirect(&ring, dt_test_take(&memory, 0, sizeof(descs)), descs, 2), DT_CAUSE_CHAIN_LOOP);
}

static void
a_loop_is_called_a_loop_even_if_its_buffers_are_bad_too(void **state)
{
	expect_refusal(dt_test_desc(&ring, 0, 60, NEXT, 0), DT_CAUSE_CHAIN_LOOP);
}

static void
buffers_of_the_wrong_direction_are_refused(void **state)
{
	uint16_t readable = dt_test_desc(&ring, buffer, 60, 0, 0);
	uint16_t writable = dt_test_desc(&ring, buffer, 60, WRITE, 0);
	uint16_t mixed = dt_test_desc(&ring, buffer, 60, NEXT, writable);

	expect_refusal(writable, DT_CAUSE_CHAIN_DIRECTION);
	expect_refusal(mixed, DT_CAUSE_CHAIN_DIRECTION);
	assert_int_equal(dt_vq_gather(&vq, readable, true, &pieces), DT_CAUSE_CHAIN_DIRECTION);
	assert_int_equal(dt_vq_gather(&vq, mixed, true, &pieces), DT_CAUSE_CHAIN_DIRECTION);
	assert_int_equal(dt_vq_gather(&vq, writable, true, &pieces), DT_CAUSE_MAX);
	assert_int_equal(pieces.len, 67);
}

static void
buffers_outside_memory_are_refused(void **state)
{
	static const struct dt_test_part bad[] = {
		{ 0, 1 },
		{ DT_TEST_GPA - 1, 2 },
		{ DT_TEST_GPA + 2 * REGION - 1, 2 },
		{ DT_TEST_GPA + 2 * REGION, 1 },
		{ DT_TEST_GPA, UINT32_MAX },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX - 10, 100 },
	};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refusal(dt_test_chain(&ring, &bad[i], 1, false), DT_CAUSE_ADDR_OUTSIDE_MEMORY);
}

static void
a_table_outside_memory_is_refused(void **state)
{
	expect_refusal(dt_test_desc(&ring, 0, 32, TABLE, 0), DT_CAUSE_ADDR_OUTSIDE_MEMORY);
	/* Its second entry is the first that is not there. */
	*(struct vring_desc *)dt_test_at(&memory, DT_TEST_GPA + 2 * REGION - 16) =
		(struct vring_desc){ buffer, 1, NEXT, 1 };
	expect_refusal(dt_test_desc(&ring, DT_TEST_GPA + 2 * REGION - 16, 32, TABLE, 0), DT_CAUSE_ADDR_OUTSIDE_MEMORY);
}

static void
a_table_of_a_length_that_is_none_is_refused(void **state)
{
	static const uint32_t bad[] = { 0, 1, 15, 17, 24, 16 * SIZE + 16, UINT32_MAX - 15, UINT32_MAX };

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refusal(dt_test_desc(&ring, buffer, bad[i], TABLE, 0), DT_CAUSE_INDIRECT_BAD_LENGTH);
	/* As long as the ring is the longest; all zeros, its first entry is a buffer of no bytes. */
	assert_int_equal(gather(dt_test_desc(&ring, buffer, 16 * SIZE, TABLE, 0)), DT_CAUSE_MAX);
	assert_int_equal(pieces.len, 7);
}

static void
a_table_in_a_table_is_refused(void **state)
{
	const struct vring_desc descs[] = { { buffer, 16, TABLE, 0 } };

	expect_refusal(dt_test_indirect(&ring, dt_test_take(&memory, 0, 16), descs, 1), DT_CAUSE_INDIRECT_NESTED);
}

static void
a_table_that_continues_a_chain_is_refused(void **state)
{
	expect_refusal(dt_test_desc(&ring, buffer, 16, TABLE | NEXT, 1), DT_CAUSE_INDIRECT_NESTED);
}

static void
a_table_without_the_feature_is_refused(void **state)
{
	vq.features = ~INDIRECT;

	expect_refusal(dt_test_desc(&ring, buffer, 16, TABLE, 0), DT_CAUSE_INDIRECT_NOT_NEGOTIATED);
}

int
main(void)
{
#define CHAIN(test) cmocka_unit_test_setup_teardown(test, make_ring, free_ring)
	const struct CMUnitTest tests[] = {
		CHAIN(one_buffer_is_one_piece),
		CHAIN(a_chain_is_its_buffers_in_order),
		CHAIN(a_buffer_over_two_regions_is_two_pieces),
		CHAIN(unknown_descriptor_flags_are_ignored),
		CHAIN(an_indirect_table_is_walked_like_a_ring),
		CHAIN(an_indirect_table_may_lie_across_regions),
		CHAIN(a_chain_may_end_in_an_indirect_table),
		CHAIN(a_packet_may_have_1024_pieces_and_no_more),
		CHAIN(empty_descriptors_count_too),
		CHAIN(a_chain_as_long_as_the_ring_is_no_loop),
		CHAIN(lengths_are_summed_in_64_bits),
		CHAIN(a_next_beyond_the_table_is_refused),
		CHAIN(a_chain_that_never_ends_is_refused),
		CHAIN(a_loop_is_called_a_loop_even_if_its_buffers_are_bad_too),
		CHAIN(buffers_of_the_wrong_direction_are_refused),
		CHAIN(buffers_outside_memory_are_refused),
		CHAIN(a_table_outside_memory_is_refused),
		CHAIN(a_table_of_a_length_that_is_none_is_refused),
		CHAIN(a_table_in_a_table_is_refused),
		CHAIN(a_table_that_continues_a_chain_is_refused),
		CHAIN(a_table_without_the_feature_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
