/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A packed ring's position outlives its process, wherever that dies. A child publishes or recovers, an instruction at a
 * time; after each, what a kill would leave in shared memory is copied, recovered, and looked at as the driver does.
 */
#include "testing.h"

#include <errno.h>
#include <linux/vhost_types.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest_memory.h"
#include "vq.h"

#define SIZE   11
#define REGION 0x4000ULL
#define WRAP   0x8000u
#define PARTS  8

/* Guest memory with a ring in its first region, and the position in its second; and the same as a kill left it. */
struct world {
	struct dt_test_memory memory;
	struct dt_test_ring ring;
	struct dt_vq vq;
};

static struct world alive, left;

/* What is published: chains of so many descriptors each, some bytes written into each but the first. */
struct batch {
	uint16_t base;
	uint64_t layout;
	unsigned int n;
	unsigned int lens[PARTS];
};

static const struct batch *batch;
static uint16_t before, after; /* base */

static void
world_new(struct world *world, uint64_t layout)
{
	dt_test_memory_new(&world->memory, 2, REGION);
	dt_test_ring_new(&world->ring, &world->memory, 0, SIZE, layout);
}

static void
take_into_service(struct world *world)
{
	uint64_t position = dt_test_take(&world->memory, 1, sizeof(struct dt_vq_position));

	world->vq = dt_test_ring_vq(&world->ring, 0);
	world->vq.position = dt_test_at(&world->memory, position);
	assert_int_equal(dt_vq_start(&world->vq), 0);
}

static void
open_worlds(const struct batch *this)
{
	static const struct dt_test_part parts[SIZE];

	batch = this;
	world_new(&alive, batch->layout);
	world_new(&left, batch->layout);
	dt_test_ring_go_to(&alive.ring, batch->base);
	dt_test_ring_go_to(&left.ring, batch->base);
	take_into_service(&alive);
	take_into_service(&left);
	for (unsigned int i = 0; i < SIZE; i++) /* as the lap before left them */
		alive.ring.packed[i].flags =
			(i < (batch->base & ~WRAP)) == ((batch->base & WRAP) != 0) ? DT_PACKED_MARKS : 0;
	for (unsigned int i = 0; i < batch->n; i++)
		dt_test_offer(&alive.ring, dt_test_chain(&alive.ring, parts, batch->lens[i], true));
	before = dt_vq_base(&alive.vq);
	after = dt_test_ring_base(&alive.ring);
}

static void
close_worlds(void)
{
	dt_test_memory_free(&alive.memory);
	dt_test_memory_free(&left.memory);
}

/* All of the memory, and what the driver knows. */
static void
copy_world(void)
{
	struct dt_test_ring *ring = &left.ring;
	struct vring_packed_desc *packed = ring->packed;

	for (unsigned int i = 0; i < 2; i++)
		memcpy(left.memory.hva[i], alive.memory.hva[i], REGION);
	*ring = alive.ring;
	ring->memory = &left.memory;
	ring->desc = ring->private;
	ring->packed = packed;
}

static uint32_t
written(unsigned int chain)
{
	return (batch->layout & DT_TEST_SPLIT_IN_ORDER) != 0 ? 0 : 100 * chain;
}

/* ---- what the child does ---- */

static void
publish(void)
{
	struct dt_vq *vq = &alive.vq;
	unsigned int steps = 0;
	uint16_t id = 0;

	for (unsigned int i = 0; i < batch->n; i++) {
		if (!vq->in_order)
			dt_vq_use(vq, true, id, dt_vq_head(vq, steps), written(i));
		steps += batch->lens[i];
		id = (uint16_t)(id + batch->lens[i]);
	}
	if (vq->in_order)
		dt_vq_use_run(vq, true, (uint16_t)(id - batch->lens[batch->n - 1]), batch->n);
	dt_vq_publish(vq, true, steps);
}

static void
recover(void)
{
	uint16_t base;

	dt_vq_position_recover(&alive.vq, &base);
}

/* ---- what is left ---- */

static unsigned int n_before, n_after; /* kills that left the one and the other */

static void
nothing_happened(void)
{
	struct dt_vq vq = left.vq;
	unsigned int steps = 0;

	vq.base = before;
	assert_int_equal(dt_vq_start(&vq), 0);
	assert_int_equal(dt_test_count_used(&left.ring), 0);
	for (unsigned int i = 0; i < batch->n; i++, steps += batch->lens[i - 1]) {
		struct dt_vq_pieces *pieces = &(struct dt_vq_pieces){ 0 };

		assert_true(dt_vq_ready(&vq, steps));
		assert_int_equal(dt_vq_gather(&vq, dt_vq_head(&vq, steps), true, pieces), DT_CAUSE_MAX);
		assert_int_equal(pieces->n_desc, batch->lens[i]);
	}
	n_before++;
}

static void
all_happened(void)
{
	struct vring_used_elem elem;
	uint16_t id = 0;

	for (unsigned int i = 0; i < batch->n; i++) {
		assert_true(dt_test_used(&left.ring, &elem));
		assert_int_equal(elem.id, id);
		assert_int_equal(elem.len, written(i));
		id = (uint16_t)(id + batch->lens[i]);
	}
	assert_false(dt_test_used(&left.ring, &elem));
	n_after++;
}

/* As if the child were killed now, and another process took over. */
static void
take_over(void)
{
	uint16_t base = 0;

	copy_world();
	assert_int_equal(dt_vq_position_recover(&left.vq, &base), 0);
	if (base == before) {
		assert_int_equal(n_after, 0); /* what the guest may have seen is not taken back */
		nothing_happened();
	} else {
		assert_int_equal(base, after);
		all_happened();
	}
	/* Once more makes no difference. */
	assert_int_equal(dt_vq_position_recover(&left.vq, &before), 0);
	assert_int_equal(before, base);
	before = batch->base;
}

/*
 * Let a child act, instruction by instruction, and look at what each leaves.
 *
 * @param until  stop there and kill the child; UINT_MAX: let it finish
 * @return instructions; 0: nobody may be traced here
 */
static unsigned int
step_through(void (*act)(void), void (*look)(void), unsigned int until)
{
	unsigned int n = 0;
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(1);
		raise(SIGSTOP);
		act();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSTOPPED(status))
		return 0;
	ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL);
	while (n < until && ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0) {
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFSTOPPED(status))
			return n;
		n++;
		if (look != NULL)
			look();
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return n;
}

static const struct batch batches[] = {
	{ 0x8000, DT_TEST_PACKED, 1, { 1 } },
	{ 0x8000, DT_TEST_PACKED, 3, { 1, 1, 1 } },
	{ 9, DT_TEST_PACKED, 4, { 1, 1, 1, 1 } }, /* over the ring's end */
	{ 8 | WRAP, DT_TEST_PACKED, 3, { 3, 1, 4 } },
	{ 5, DT_TEST_PACKED, 2, { 10, 1 } }, /* all there is */
	{ 8, DT_TEST_PACKED_IN_ORDER, 4, { 2, 1, 3, 1 } },
};

#define BATCHES (sizeof(batches) / sizeof(batches[0]))

static void
a_batch_is_whole_or_not_begun_wherever_its_process_is_killed(void **state)
{
	for (unsigned int i = 0; i < BATCHES; i++) {
		unsigned int n;

		open_worlds(&batches[i]);
		n_before = 0;
		n_after = 0;
		n = step_through(publish, take_over, UINT_MAX);
		close_worlds();
		if (n == 0)
			skip();
		assert_in_range(n_before, 1, n - 1);
		assert_in_range(n_after, 1, n - 1);
	}
}

/* The first instruction after which the guest's descriptors are overwritten, and the first is not yet marked. */
static unsigned int torn_at, instructions;

static void
find_torn(void)
{
	instructions++;
	if (torn_at == 0 && alive.ring.packed[(8 + 4) % SIZE].len == written(2) && dt_test_count_used(&alive.ring) == 0)
		torn_at = instructions;
}

static void
a_recovery_may_be_killed_as_well(void **state)
{
	torn_at = 0;
	instructions = 0;
	open_worlds(&batches[3]);
	if (step_through(publish, find_torn, UINT_MAX) == 0) {
		close_worlds();
		skip();
	}
	assert_int_not_equal(torn_at, 0);
	close_worlds();

	open_worlds(&batches[3]);
	step_through(publish, NULL, torn_at);
	n_before = 0;
	n_after = 0;
	step_through(recover, take_over, UINT_MAX);
	assert_int_equal(n_before, 0);
	assert_int_not_equal(n_after, 0);
	close_worlds();
}

static void
what_the_guest_has_posted_anew_since_is_not_overwritten(void **state)
{
	uint16_t base = 0;
	struct dt_vq_desc d;

	open_worlds(&batches[1]);
	publish();
	alive.vq.position->done = before; /* killed before it could say so */
	for (unsigned int i = 0; i < SIZE; i++) {
		struct vring_used_elem elem;

		dt_test_used(&alive.ring, &elem);
		dt_test_packed_desc(&alive.ring, i, DT_TEST_GPA, 77, 0, 5);
	}

	assert_int_equal(dt_vq_position_recover(&alive.vq, &base), 0);

	assert_int_equal(base, after);
	alive.vq.base = base;
	assert_int_equal(dt_vq_start(&alive.vq), 0);
	assert_int_equal(dt_packed_available(&alive.vq, SIZE), SIZE);
	for (unsigned int i = 0; i < SIZE; i++) {
		assert_true(dt_packed_read(&alive.vq, i, &d));
		assert_int_equal(d.len, 77);
	}
	close_worlds();
}

/* A record of a batch that was being published, and what can be wrong with it. */
static void
expect_no_record(void (*spoil)(struct dt_vq_position *position))
{
	uint16_t base = 7;

	open_worlds(&batches[3]);
	publish();
	alive.vq.position->done = before;
	spoil(alive.vq.position);

	assert_int_equal(dt_vq_position_recover(&alive.vq, &base), -EINVAL);

	assert_int_equal(base, 7);
	close_worlds();
}

static void
spoil_done(struct dt_vq_position *position)
{
	position->done = SIZE;
}

static void
spoil_next(struct dt_vq_position *position)
{
	position->next = 0x10000;
}

static void
spoil_n(struct dt_vq_position *position)
{
	position->n = 0;
}

static void
spoil_n_too(struct dt_vq_position *position)
{
	position->n = DT_VQ_PIECES_MAX + 1;
}

static void
spoil_first(struct dt_vq_position *position)
{
	position->used[0].at++;
}

static void
spoil_second(struct dt_vq_position *position)
{
	position->used[1].at = position->used[0].at;
}

static void
spoil_last(struct dt_vq_position *position)
{
	position->used[2].at = SIZE;
}

static void
a_record_that_makes_no_sense_is_none(void **state)
{
	expect_no_record(spoil_done);
	expect_no_record(spoil_next);
	expect_no_record(spoil_n);
	expect_no_record(spoil_n_too);
	expect_no_record(spoil_first);
	expect_no_record(spoil_second);
	expect_no_record(spoil_last);
}

static void
a_ring_that_lies_nowhere_is_not_recovered(void **state)
{
	struct dt_vq bad;
	uint16_t base;

	open_worlds(&batches[0]);
	bad = alive.vq;
	bad.ring = NULL;
	assert_int_equal(dt_vq_position_recover(&bad, &base), -EFAULT);
	bad = alive.vq;
	bad.position = NULL;
	assert_int_equal(dt_vq_position_recover(&bad, &base), -EINVAL);
	close_worlds();
}

static void
what_a_recovery_writes_is_logged(void **state)
{
	static uint8_t log[(DT_TEST_GPA >> 15) + 1];
	uint16_t base;

	open_worlds(&batches[3]);
	publish();
	alive.vq.position->done = before;
	alive.ring.packed[8].flags = DT_PACKED_AVAIL; /* as the driver wrote it */
	alive.vq.features |= 1ULL << VHOST_F_LOG_ALL;
	alive.vq.log_base = log;
	alive.vq.log_size = sizeof(log);

	assert_int_equal(dt_vq_position_recover(&alive.vq, &base), 0);

	assert_int_equal(log[DT_TEST_GPA >> 15], 1); /* the ring's page */
	close_worlds();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_whole_or_not_begun_wherever_its_process_is_killed),
		cmocka_unit_test(a_recovery_may_be_killed_as_well),
		cmocka_unit_test(what_the_guest_has_posted_anew_since_is_not_overwritten),
		cmocka_unit_test(a_record_that_makes_no_sense_is_none),
		cmocka_unit_test(a_ring_that_lies_nowhere_is_not_recovered),
		cmocka_unit_test(what_a_recovery_writes_is_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
