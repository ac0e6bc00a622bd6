/* SPDX-License-Identifier: BSD-3-Clause */
/* Walking chains of a packed ring: neighbours, over the ring's end; each way to break one, and where it then ends. */
#include "testing.h"

#include "guest_memory.h"
#include "vq.h"

#define SIZE     1000 /* no power of two */
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

static void
start_at(uint16_t base)
{
	dt_test_ring_go_to(&ring, base);
	dt_test_ring_start(&ring, INDIRECT, &vq);
}

static int
make_ring(void **state)
{
	dt_test_memory_new(&memory, 2, REGION);
	dt_test_ring_new(&ring, &memory, 0, SIZE, DT_TEST_PACKED);
	start_at(0x8000);
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

/* Write a descriptor where the driver's next chain has its i-th. */
static void
desc(unsigned int i, uint64_t gpa, uint32_t len, uint16_t flags)
{
	dt_test_packed_desc(&ring, i, gpa, len, flags, (uint16_t)(100 + i));
}

static enum dt_cause
gather(void)
{
	return dt_vq_gather(&vq, dt_vq_head(&vq, 0), false, &pieces);
}

/* It ends with that cause, nothing of it is left, and so many descriptors go back under the last one's id. */
static void
expect_refusal(enum dt_cause cause, uint32_t n_desc)
{
	assert_int_equal(gather(), cause);
	assert_int_equal(pieces.n, 1);
	assert_int_equal(pieces.len, 7);
	assert_int_equal(pieces.n_desc, n_desc);
	assert_int_equal(pieces.id, 100 + n_desc - 1);
	pieces.n_desc = 0;
	pieces.n_steps = 0;
}

static void
one_buffer_is_one_piece(void **state)
{
	desc(0, buffer + 3, 60, 0);

	assert_int_equal(gather(), DT_CAUSE_MAX);

	assert_int_equal(pieces.n, 2);
	assert_int_equal(pieces.len, 67);
	assert_int_equal(pieces.n_desc, 1);
	assert_int_equal(pieces.id, 100);
	assert_ptr_equal(pieces.piece[1].hva, dt_test_at(&memory, buffer + 3));
	assert_int_equal(pieces.piece[1].len, 60);
}

static void
a_chain_is_its_neighbours_in_order_and_its_id_is_in_the_last(void **state)
{
	desc(0, buffer + 500, 10, NEXT);
	desc(1, buffer, 0, NEXT);
	desc(2, buffer + 100, 20, 0);
	desc(3, buffer, 99, 0); /* another one */

	assert_int_equal(gather(), DT_CAUSE_MAX);

	assert_int_equal(pieces.n, 3); /* a buffer of no bytes is no piece */
	assert_int_equal(pieces.len, 37);
	assert_int_equal(pieces.n_desc, 3);
	assert_int_equal(pieces.id, 102);
	assert_ptr_equal(pieces.piece[1].hva, dt_test_at(&memory, buffer + 500));
	assert_ptr_equal(pieces.piece[2].hva, dt_test_at(&memory, buffer + 100));
}

static void
a_chain_goes_on_over_the_rings_end_where_marks_are_turned(void **state)
{
	for (unsigned int wrap = 0; wrap <= 1; wrap++) {
		start_at((uint16_t)(SIZE - 2 + (wrap << 15)));
		for (unsigned int i = 0; i < 5; i++)
			desc(i, buffer + i, 1, i < 4 ? NEXT : 0);
		pieces.n = 0;
		pieces.len = 0;
		dt_vq_pieces_clear(&pieces);

		assert_int_equal(gather(), DT_CAUSE_MAX);

		assert_int_equal(pieces.n_desc, 5);
		assert_int_equal(pieces.len, 5);
		for (unsigned int i = 0; i < 5; i++)
			assert_ptr_equal(pieces.piece[i].hva, dt_test_at(&memory, buffer + i));
	}
}

static void
a_buffer_over_two_regions_is_two_pieces(void **state)
{
	desc(0, DT_TEST_GPA + REGION - 10, 30, 0);

	assert_int_equal(gather(), DT_CAUSE_MAX);

	assert_int_equal(pieces.n, 3);
	assert_int_equal(pieces.piece[1].len, 10);
	assert_ptr_equal(pieces.piece[2].hva, memory.hva[1]);
}

static void
unknown_descriptor_flags_are_ignored(void **state)
{
	desc(0, buffer, 60, 0x7f78);

	assert_int_equal(gather(), DT_CAUSE_MAX);

	assert_int_equal(pieces.len, 67);
}

static void
an_indirect_table_is_taken_entry_by_entry(void **state)
{
	const struct vring_packed_desc descs[] = { { buffer, 12, 7, NEXT }, { buffer + 200, 0, 7, 0 },
		{ buffer + 100, 9, 7, 0xff78 | TABLE } }; /* no flag but WRITE has a meaning there */
	uint64_t table = dt_test_take(&memory, 0, sizeof(descs));

	dt_test_write(&memory, table, descs, sizeof(descs));
	desc(0, table, sizeof(descs), TABLE | WRITE); /* of a table, WRITE says nothing */

	assert_int_equal(gather(), DT_CAUSE_MAX);

	assert_int_equal(pieces.n, 3);
	assert_int_equal(pieces.len, 7 + 12 + 9);
	assert_int_equal(pieces.n_desc, 1);
	assert_int_equal(pieces.n_steps, 4);
	assert_int_equal(pieces.id, 100);
	assert_ptr_equal(pieces.piece[2].hva, dt_test_at(&memory, buffer + 100));
}

static void
an_indirect_table_may_lie_across_regions(void **state)
{
	const struct vring_packed_desc descs[] = { { buffer, 1, 0, 0 }, { buffer, 2, 0, 0 }, { buffer, 4, 0, 0 } };

	for (uint64_t back = 1; back < sizeof(descs); back++) {
		dt_test_write(&memory, DT_TEST_GPA + REGION - back, descs, sizeof(descs));
		desc(0, DT_TEST_GPA + REGION - back, sizeof(descs), TABLE);
		dt_vq_pieces_clear(&pieces);
		assert_int_equal(gather(), DT_CAUSE_MAX);
		assert_int_equal(pieces.len, 7);
	}
}

static void
a_chain_as_long_as_the_ring_is_no_loop_and_a_longer_one_is(void **state)
{
	for (unsigned int i = 0; i < SIZE; i++)
		desc(i, buffer, i == 5 ? 3 : 0, i + 1 < SIZE ? NEXT : 0);
	assert_int_equal(gather(), DT_CAUSE_MAX);
	assert_int_equal(pieces.len, 10);
	assert_int_equal(pieces.n_desc, SIZE);

	pieces = (struct dt_vq_pieces){ .n = 1, .len = 7 };
	desc(SIZE - 1, 0, 60, NEXT); /* its address is bad, too */
	expect_refusal(DT_CAUSE_CHAIN_LOOP, SIZE);
}

static void
a_chain_that_reaches_into_what_was_not_made_available_ends_there(void **state)
{
	desc(0, buffer, 60, NEXT);
	desc(1, buffer, 60, NEXT);

	expect_refusal(DT_CAUSE_CHAIN_CUT_SHORT, 2);
	/* Nor does it go on in what has been used, or was taken in the same batch. */
	ring.packed[2].flags = DT_PACKED_MARKS;
	expect_refusal(DT_CAUSE_CHAIN_CUT_SHORT, 2);
	start_at(SIZE - 2);
	desc(0, buffer, 60, 0);
	desc(1, buffer, 60, NEXT);
	for (unsigned int i = 2; i < SIZE; i++)
		desc(i, buffer, 0, NEXT);
	assert_int_equal(dt_vq_gather(&vq, dt_vq_head(&vq, 1), false, &pieces), DT_CAUSE_CHAIN_LOOP);
	assert_int_equal(pieces.n_desc, SIZE - 1);
}

static void
a_packet_may_have_1024_pieces_and_no_more(void **state)
{
	static struct vring_packed_desc descs[DT_VQ_PIECES_MAX];
	uint64_t table = dt_test_take(&memory, 0, sizeof(descs));

	for (unsigned int i = 0; i < DT_VQ_PIECES_MAX; i++)
		descs[i] = (struct vring_packed_desc){ .addr = buffer + i, .len = 1 };
	dt_test_write(&memory, table, descs, sizeof(descs));
	desc(0, table, 16 * SIZE, TABLE);
	for (unsigned int i = 1; i < 30; i++)
		desc(i, buffer, 0, i < 29 ? NEXT : 0);

	/* Two chains of one packet. */
	assert_int_equal(gather(), DT_CAUSE_MAX);
	assert_int_equal(pieces.n_steps, SIZE + 1);
	assert_int_equal(dt_vq_gather(&vq, 1, false, &pieces), DT_CAUSE_CHAIN_TOO_LONG);
	assert_int_equal(pieces.n, SIZE + 1);
	assert_int_equal(pieces.n_desc, 30); /* to its end all the same */
	assert_int_equal(pieces.id, 129);
	pieces.n_steps = DT_VQ_PIECES_MAX - 29;
	assert_int_equal(dt_vq_gather(&vq, 1, false, &pieces), DT_CAUSE_MAX);
	pieces.n_steps = DT_VQ_PIECES_MAX - SIZE;
	pieces.n = 0;
	assert_int_equal(gather(), DT_CAUSE_CHAIN_TOO_LONG);
}

static void
buffers_of_the_wrong_direction_are_refused_and_the_chain_ends_where_it_ends(void **state)
{
	desc(0, buffer, 60, NEXT);
	desc(1, buffer, 60, WRITE | NEXT);
	desc(2, buffer, 60, 0);

	expect_refusal(DT_CAUSE_CHAIN_DIRECTION, 3);
	assert_int_equal(dt_vq_gather(&vq, 0, true, &pieces), DT_CAUSE_CHAIN_DIRECTION);
	desc(0, buffer, 60, WRITE);
	assert_int_equal(dt_vq_gather(&vq, 0, true, &pieces), DT_CAUSE_MAX);
	assert_int_equal(pieces.len, 67);
}

static void
buffers_outside_memory_are_refused_and_the_chain_ends_where_it_ends(void **state)
{
	static const struct dt_test_part bad[] = {
		{ 0, 1 },
		{ DT_TEST_GPA - 1, 2 },
		{ DT_TEST_GPA + 2 * REGION - 1, 2 },
		{ DT_TEST_GPA, UINT32_MAX },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX - 10, 100 },
	};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		desc(0, bad[i].gpa, bad[i].len, NEXT);
		desc(1, buffer, 60, 0);
		expect_refusal(DT_CAUSE_ADDR_OUTSIDE_MEMORY, 2);
	}
}

static void
a_table_outside_memory_is_refused(void **state)
{
	desc(0, 0, 32, TABLE);
	expect_refusal(DT_CAUSE_ADDR_OUTSIDE_MEMORY, 1);
	/* Its second entry is the first that is not there. */
	*(struct vring_packed_desc *)dt_test_at(&memory, DT_TEST_GPA + 2 * REGION - 16) =
		(struct vring_packed_desc){ buffer, 1, 0, 0 };
	desc(0, DT_TEST_GPA + 2 * REGION - 16, 32, TABLE);
	expect_refusal(DT_CAUSE_ADDR_OUTSIDE_MEMORY, 1);
}

static void
a_table_of_a_length_that_is_none_is_refused(void **state)
{
	static const uint32_t bad[] = { 0, 1, 15, 17, 24, 16 * SIZE + 16, UINT32_MAX - 15, UINT32_MAX };

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		desc(0, buffer, bad[i], TABLE);
		expect_refusal(DT_CAUSE_INDIRECT_BAD_LENGTH, 1);
	}
}

static void
a_table_in_a_chain_is_refused_wherever_it_stands(void **state)
{
	desc(0, buffer, 16, TABLE | NEXT);
	desc(1, buffer, 16, 0);
	expect_refusal(DT_CAUSE_INDIRECT_NESTED, 2);
	desc(0, buffer, 16, NEXT);
	desc(1, buffer, 16, TABLE);
	expect_refusal(DT_CAUSE_INDIRECT_NESTED, 2);
}

static void
a_table_without_the_feature_is_refused(void **state)
{
	vq.features = ~INDIRECT;
	desc(0, buffer, 16, TABLE);

	expect_refusal(DT_CAUSE_INDIRECT_NOT_NEGOTIATED, 1);
}

int
main(void)
{
#define CHAIN(test) cmocka_unit_test_setup_teardown(test, make_ring, free_ring)
	const struct CMUnitTest tests[] = {
		CHAIN(one_buffer_is_one_piece),
		CHAIN(a_chain_is_its_neighbours_in_order_and_its_id_is_in_the_last),
		CHAIN(a_chain_goes_on_over_the_rings_end_where_marks_are_turned),
		CHAIN(a_buffer_over_two_regions_is_two_pieces),
		CHAIN(unknown_descriptor_flags_are_ignored),
		CHAIN(an_indirect_table_is_taken_entry_by_entry),
		CHAIN(an_indirect_table_may_lie_across_regions),
		CHAIN(a_chain_as_long_as_the_ring_is_no_loop_and_a_longer_one_is),
		CHAIN(a_chain_that_reaches_into_what_was_not_made_available_ends_there),
		CHAIN(a_packet_may_have_1024_pieces_and_no_more),
		CHAIN(buffers_of_the_wrong_direction_are_refused_and_the_chain_ends_where_it_ends),
		CHAIN(buffers_outside_memory_are_refused_and_the_chain_ends_where_it_ends),
		CHAIN(a_table_outside_memory_is_refused),
		CHAIN(a_table_of_a_length_that_is_none_is_refused),
		CHAIN(a_table_in_a_chain_is_refused_wherever_it_stands),
		CHAIN(a_table_without_the_feature_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
