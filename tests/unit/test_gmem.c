/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory: bounds that no arithmetic fools, ranges over regions, and memory that vanishes under us. */
#include "testing.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gmem.h"
#include "guest_memory.h"

#define SIZE 0x10000ULL /* of a region */
#define PAGE 4096ULL
#define END  (DT_TEST_GPA + 3 * SIZE)

static struct dt_test_memory memory;

static int
three_regions(void **state)
{
	dt_test_memory_new(&memory, 3, SIZE);
	return 0;
}

static int
no_regions(void **state)
{
	dt_test_memory_free(&memory);
	return 0;
}

static void
an_address_in_a_region_is_translated(void **state)
{
	assert_ptr_equal(dt_gmem_at(memory.gmem, DT_TEST_GPA, 1), memory.hva[0]);
	assert_ptr_equal(dt_gmem_at(memory.gmem, DT_TEST_GPA + 5, 100), memory.hva[0] + 5);
	assert_ptr_equal(dt_gmem_at(memory.gmem, DT_TEST_GPA + SIZE, 1), memory.hva[1]);
	assert_ptr_equal(dt_gmem_at(memory.gmem, END - 1, 1), memory.hva[2] + SIZE - 1);
	assert_ptr_equal(dt_gmem_at(memory.gmem, DT_TEST_GPA, SIZE), memory.hva[0]);
}

static void
a_byte_outside_is_refused(void **state)
{
	assert_null(dt_gmem_at(memory.gmem, DT_TEST_GPA - 1, 1));
	assert_null(dt_gmem_at(memory.gmem, END, 1));
	assert_null(dt_gmem_at(memory.gmem, END - 1, 2));
	assert_null(dt_gmem_at(memory.gmem, 0, 1));
	assert_null(dt_gmem_at(memory.gmem, UINT64_MAX, 1));
}

static void
a_range_over_two_regions_is_not_contiguous(void **state)
{
	assert_null(dt_gmem_at(memory.gmem, DT_TEST_GPA + SIZE - 1, 2));
	assert_null(dt_gmem_at(memory.gmem, DT_TEST_GPA, SIZE + 1));
}

static void
lengths_that_overflow_are_refused(void **state)
{
	uint8_t to[16];

	assert_null(dt_gmem_at(memory.gmem, DT_TEST_GPA + 16, UINT64_MAX));
	assert_null(dt_gmem_at(memory.gmem, DT_TEST_GPA + 16, UINT64_MAX - 15));
	assert_null(dt_gmem_at(memory.gmem, DT_TEST_GPA, UINT64_MAX - DT_TEST_GPA + 2));
	assert_null(dt_gmem_at(memory.gmem, UINT64_MAX - 7, 16)); /* around to 8 */
	assert_false(dt_gmem_read(memory.gmem, UINT64_MAX - 7, to, sizeof(to)));
}

static void
a_region_at_the_end_of_the_address_space_does_not_wrap(void **state)
{
	static uint8_t page[PAGE];
	const struct dt_gmem_region top = { .gpa = UINT64_MAX - PAGE + 1, .size = PAGE, .hva = page };
	struct dt_gmem *mem;
	uint64_t n;

	assert_int_equal(dt_gmem_new(&top, 1, &mem), 0);

	assert_ptr_equal(dt_gmem_at(mem, UINT64_MAX, 1), page + PAGE - 1);
	assert_null(dt_gmem_at(mem, UINT64_MAX, 2));
	assert_null(dt_gmem_at(mem, 0, 1));
	assert_ptr_equal(dt_gmem_part(mem, UINT64_MAX - 1, 100, &n), page + PAGE - 2);
	assert_int_equal(n, 2);
	dt_gmem_free(mem);
}

static void
a_part_ends_with_its_region(void **state)
{
	uint64_t n = 0;

	assert_ptr_equal(dt_gmem_part(memory.gmem, DT_TEST_GPA + SIZE - 10, 30, &n), memory.hva[0] + SIZE - 10);
	assert_int_equal(n, 10);
	assert_ptr_equal(dt_gmem_part(memory.gmem, DT_TEST_GPA + SIZE, 20, &n), memory.hva[1]);
	assert_int_equal(n, 20);
	assert_ptr_equal(dt_gmem_part(memory.gmem, DT_TEST_GPA + 8, UINT64_MAX, &n), memory.hva[0] + 8);
	assert_int_equal(n, SIZE - 8);
	assert_null(dt_gmem_part(memory.gmem, END, 1, &n));
}

static void
reading_goes_over_adjacent_regions(void **state)
{
	static uint8_t pattern[SIZE + 40], got[SIZE + 40];

	for (unsigned int i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 31 + (i >> 8));
	dt_test_write(&memory, DT_TEST_GPA + SIZE - 20, pattern, sizeof(pattern)); /* over all three */

	assert_true(dt_gmem_read(memory.gmem, DT_TEST_GPA + SIZE - 20, got, sizeof(got)));

	assert_memory_equal(got, pattern, sizeof(got));
	assert_false(dt_gmem_read(memory.gmem, END - 3, got, 4));
	assert_true(dt_gmem_read(memory.gmem, END - 3, got, 3));
	assert_true(dt_gmem_read(memory.gmem, 0, got, 0)); /* nothing is nowhere outside */
}

static void
ranges_of_ours_are_known_by_region(void **state)
{
	const uint8_t *hva = memory.hva[1];

	assert_true(dt_gmem_contains(memory.gmem, hva, SIZE));
	assert_true(dt_gmem_contains(memory.gmem, hva + SIZE - 1, 1));
	assert_false(dt_gmem_contains(memory.gmem, hva, SIZE + 1));
	assert_false(dt_gmem_contains(memory.gmem, hva + SIZE - 1, 2));
	assert_false(dt_gmem_contains(memory.gmem, hva + SIZE, 1));
	assert_false(dt_gmem_contains(memory.gmem, hva + 16, UINT64_MAX));
	assert_false(dt_gmem_contains(memory.gmem, NULL, 1));
}

static void
an_address_of_ours_is_translated_back(void **state)
{
	uint64_t gpa = 0;

	for (unsigned int i = 0; i < 3; i++) {
		assert_true(dt_gmem_gpa(memory.gmem, memory.hva[i] + 77, &gpa));
		assert_int_equal(gpa, dt_test_region(&memory, i) + 77);
	}
	assert_true(dt_gmem_gpa(memory.gmem, memory.hva[2] + SIZE - 1, &gpa));
	assert_int_equal(gpa, END - 1);
	assert_false(dt_gmem_gpa(memory.gmem, memory.hva[2] + SIZE, &gpa));
	assert_false(dt_gmem_gpa(memory.gmem, NULL, &gpa));
}

static void
more_regions_than_the_protocol_knows_are_refused(void **state)
{
	struct dt_gmem_region regions[DT_GMEM_REGIONS_MAX + 1] = { 0 };
	struct dt_gmem *mem = NULL;

	assert_int_equal(dt_gmem_new(regions, DT_GMEM_REGIONS_MAX + 1, &mem), -E2BIG);
	assert_null(mem);
	assert_int_equal(dt_gmem_new(regions, DT_GMEM_REGIONS_MAX, &mem), 0);
	assert_null(dt_gmem_at(mem, 0, 1)); /* regions of no bytes hold nothing */
	dt_gmem_free(mem);
	dt_gmem_free(NULL);
}

static void
tables_beyond_what_can_be_watched_are_refused(void **state)
{
	static struct dt_gmem *tables[2000];
	const struct dt_gmem_region none = { 0 };
	unsigned int n = 0;
	int err = 0;

	while (n < 2000 && (err = dt_gmem_new(&none, 0, &tables[n])) == 0)
		n++;
	assert_int_equal(err, -ENOSPC);
	assert_true(n >= 500);

	dt_gmem_free(tables[--n]);
	assert_int_equal(dt_gmem_new(&none, 0, &tables[n++]), 0); /* a place that is free again is found */
	while (n > 0)
		dt_gmem_free(tables[--n]);
}

/* In each test, because cmocka sets handlers of its own in front of it. */
static void
catch_faults(void)
{
	assert_int_equal(dt_gmem_catch_faults(), 0);
}

static uint8_t
touch(const void *at)
{
	return *(const volatile uint8_t *)at;
}

static void
memory_that_is_there_has_not_vanished(void **state)
{
	catch_faults();
	touch(memory.hva[0]);

	assert_false(dt_gmem_vanished(memory.gmem));
}

static void
truncated_memory_reads_as_zeros_and_is_reported(void **state)
{
	catch_faults();
	memset(memory.hva[1], 0xaa, SIZE);

	dt_test_vanish(&memory, 1);
	assert_false(dt_gmem_vanished(memory.gmem));

	assert_int_equal(touch(memory.hva[1] + 3 * PAGE + 100), 0);
	assert_true(dt_gmem_vanished(memory.gmem));
	assert_int_equal(touch(memory.hva[1]), 0);
	memory.hva[1][SIZE - 1] = 1; /* and can be written */
	assert_int_equal(touch(memory.hva[1] + SIZE - 1), 1);
}

static void
what_lies_before_the_new_end_stays(void **state)
{
	catch_faults();
	memset(memory.hva[1], 0xaa, SIZE);
	assert_int_equal(ftruncate(memory.fd[1], 2 * PAGE), 0);

	assert_int_equal(touch(memory.hva[1] + 2 * PAGE), 0);

	assert_true(dt_gmem_vanished(memory.gmem));
	assert_int_equal(touch(memory.hva[1] + 2 * PAGE - 1), 0xaa);
}

static void
copies_out_of_truncated_memory_end(void **state)
{
	static uint8_t got[SIZE];

	catch_faults();
	memset(memory.hva[1], 0xaa, SIZE);
	assert_int_equal(ftruncate(memory.fd[1], PAGE), 0);

	assert_true(dt_gmem_read(memory.gmem, DT_TEST_GPA + SIZE, got, SIZE));

	assert_true(dt_gmem_vanished(memory.gmem));
	assert_int_equal(got[PAGE - 1], 0xaa);
	assert_int_equal(got[PAGE], 0);
}

static void
only_the_table_whose_memory_vanished_is_marked(void **state)
{
	struct dt_test_memory other;

	catch_faults();
	dt_test_memory_new(&other, 1, SIZE);
	other.hva[0][0] = 42;
	dt_test_vanish(&memory, 2);
	touch(memory.hva[2]);

	assert_true(dt_gmem_vanished(memory.gmem));
	assert_false(dt_gmem_vanished(other.gmem));
	assert_int_equal(touch(other.hva[0]), 42);
	dt_test_memory_free(&other);
}

/* Memory of a file that no table knows. */
static uint8_t *
map_unknown(void)
{
	int fd = memfd_create("unknown", MFD_CLOEXEC);
	uint8_t *map;

	assert_true(fd >= 0);
	map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); /* of a file that is empty */
	assert_ptr_not_equal(map, MAP_FAILED);
	close(fd);
	return map;
}

static void
a_guarded_thread_survives_faults_in_unknown_memory(void **state)
{
	uint8_t *map = map_unknown();
	bool vanished = false;

	catch_faults();
	dt_gmem_guard(&vanished);
	assert_int_equal(touch(map + PAGE + 5), 0);
	dt_gmem_guard(NULL);

	assert_true(vanished);
	assert_false(dt_gmem_vanished(memory.gmem));
	munmap(map, 2 * PAGE);
}

/* @return the signal that ended a child which did it, 0: none did */
static int
signal_of(void (*fault)(void *arg), void *arg)
{
	const struct rlimit no_core = { 0, 0 };
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		alarm(20);
		fault(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
touch_it(void *at)
{
	touch(at);
}

static void
send_sigbus(void *arg)
{
	kill(getpid(), SIGBUS);
}

static void
a_fault_in_nobodys_memory_still_ends_the_process(void **state)
{
	uint8_t *map = map_unknown();

	catch_faults();
	assert_int_equal(signal_of(touch_it, map), SIGBUS);
	munmap(map, 2 * PAGE);
}

static void
a_signal_that_somebody_sent_still_ends_the_process(void **state)
{
	catch_faults();
	assert_int_equal(signal_of(send_sigbus, NULL), SIGBUS);
}

static void
a_table_that_was_freed_is_watched_no_more(void **state)
{
	struct dt_test_memory gone;

	catch_faults();
	dt_test_memory_new(&gone, 1, SIZE);
	dt_test_vanish(&gone, 0);
	dt_gmem_free(gone.gmem);
	gone.gmem = NULL;

	assert_int_equal(signal_of(touch_it, gone.hva[0]), SIGBUS);
	dt_test_memory_free(&gone);
}

int
main(void)
{
#define MEMORY(test) cmocka_unit_test_setup_teardown(test, three_regions, no_regions)
	const struct CMUnitTest tests[] = {
		MEMORY(an_address_in_a_region_is_translated),
		MEMORY(a_byte_outside_is_refused),
		MEMORY(a_range_over_two_regions_is_not_contiguous),
		MEMORY(lengths_that_overflow_are_refused),
		MEMORY(a_region_at_the_end_of_the_address_space_does_not_wrap),
		MEMORY(a_part_ends_with_its_region),
		MEMORY(reading_goes_over_adjacent_regions),
		MEMORY(ranges_of_ours_are_known_by_region),
		MEMORY(an_address_of_ours_is_translated_back),
		MEMORY(more_regions_than_the_protocol_knows_are_refused),
		MEMORY(tables_beyond_what_can_be_watched_are_refused),
		MEMORY(memory_that_is_there_has_not_vanished),
		MEMORY(truncated_memory_reads_as_zeros_and_is_reported),
		MEMORY(what_lies_before_the_new_end_stays),
		MEMORY(copies_out_of_truncated_memory_end),
		MEMORY(only_the_table_whose_memory_vanished_is_marked),
		MEMORY(a_guarded_thread_survives_faults_in_unknown_memory),
		MEMORY(a_fault_in_nobodys_memory_still_ends_the_process),
		MEMORY(a_signal_that_somebody_sent_still_ends_the_process),
		MEMORY(a_table_that_was_freed_is_watched_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
