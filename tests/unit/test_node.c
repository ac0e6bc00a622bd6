/* SPDX-License-Identifier: BSD-3-Clause */
/* Where memory lies is found out without making more of it, whoever has made it. */
#include "testing.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "node.h"

#define PAGE    4096
#define N_PAGES 10000
#define SIZE    ((size_t)N_PAGES * PAGE)

static int fd;
static char *mine; /* two mappings of one file: what we look at, */
static char *theirs; /* and what another process uses */

static int
make_file(void **state)
{
	fd = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	mine = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	theirs = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mine, MAP_FAILED);
	assert_ptr_not_equal(theirs, MAP_FAILED);
	return 0;
}

static int
close_file(void **state)
{
	munmap(mine, SIZE);
	munmap(theirs, SIZE);
	return close(fd);
}

/* Some kernels, and containers, do not tell. */
static void
skip_unless_told(void)
{
	theirs[0] = 1;
	if (dt_node_of(theirs) < 0)
		skip();
}

static unsigned int
pages_there_are(void)
{
	unsigned char is_there[N_PAGES];
	unsigned int n = 0;

	assert_int_equal(mincore(theirs, SIZE, is_there), 0);
	for (unsigned int i = 0; i < N_PAGES; i++)
		n += is_there[i] & 1;
	return n;
}

static void
memory_that_nobody_has_touched_lies_nowhere_and_stays_so(void **state)
{
	struct dt_node_sample sample = { 0 };

	assert_int_equal(dt_node_of(mine), -1);
	dt_node_sample(&sample, mine, SIZE, 64, true);
	dt_node_sample(&sample, mine, SIZE, 64, false);

	assert_int_equal(sample.n, 0);
	assert_int_equal(dt_node_of_most(&sample), -1);
	assert_int_equal(pages_there_are(), 0);
}

static void
pages_that_others_have_made_are_found_however_few(void **state)
{
	struct dt_node_sample sample = { 0 };
	int node;

	skip_unless_told();
	node = dt_node_of(theirs);
	theirs[SIZE - PAGE] = 1;
	assert_int_equal(dt_node_of(mine), -1); /* not in our page table */

	dt_node_sample(&sample, mine + PAGE, SIZE - PAGE, 64, true);

	assert_int_equal(sample.n, 1);
	assert_int_equal(dt_node_of_most(&sample), node);
	assert_int_equal(pages_there_are(), 2);
}

static void
a_sample_is_spread_over_all_of_it(void **state)
{
	struct dt_node_sample sample = { 0 };

	skip_unless_told();
	memset(theirs, 1, SIZE);

	dt_node_sample(&sample, mine, SIZE, 50, true);

	assert_int_equal(sample.n, 50);
	for (size_t i = 0; i < 50; i++)
		assert_true(dt_node_of(mine + i * SIZE / 50) >= 0); /* there it was looked at */
}

static void
memory_that_is_touched_for_it_lies_somewhere(void **state)
{
	skip_unless_told();

	assert_true(dt_node_of_touched(mine + PAGE) >= 0);

	assert_true(dt_node_exists(dt_node_of(mine + PAGE)));
	assert_int_equal(pages_there_are(), 2);
}

static void
the_cpu_that_we_run_on_belongs_to_one_node(void **state)
{
	unsigned int cpus[1024], n_found = 0;

	skip_unless_told();
	for (unsigned int node = 0; node < dt_nodes_count(); node++)
		for (unsigned int i = dt_node_exists((int)node) ? dt_node_cpus((int)node, cpus, 1024) : 0; i > 0; i--)
			n_found += cpus[i - 1] == (unsigned int)sched_getcpu();

	assert_int_equal(n_found, 1);
}

int
main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, make_file, close_file)
	const struct CMUnitTest tests[] = {
		TEST(memory_that_nobody_has_touched_lies_nowhere_and_stays_so),
		TEST(pages_that_others_have_made_are_found_however_few),
		TEST(a_sample_is_spread_over_all_of_it),
		TEST(memory_that_is_touched_for_it_lies_somewhere),
		TEST(the_cpu_that_we_run_on_belongs_to_one_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
