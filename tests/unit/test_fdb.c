/* SPDX-License-Identifier: BSD-3-Clause */
/* The forwarding database: what is configured stays, what is learnt moves, what is forgotten makes room. */
#include "testing.h"

#include <errno.h>

#include "eal.h"
#include "fdb.h"
#include "worker.h"

#define SIZE 64
#define MAC  0x010000000002ULL

static struct dt_fdb *fdb;

static int
make_fdb(void **state)
{
	assert_int_equal(dt_workers_init(DT_IDLE_POLL), 0);
	return dt_fdb_new("fdb", SIZE, &fdb);
}

static int
free_fdb(void **state)
{
	dt_fdb_free(fdb);
	dt_workers_fini();
	return 0;
}

static void
an_address_that_nobody_used_is_not_found(void **state)
{
	assert_int_equal(dt_fdb_find(fdb, MAC), -1);
	assert_int_equal(dt_fdb_find(fdb, 0), -1);
}

static void
a_configured_address_is_found(void **state)
{
	assert_int_equal(dt_fdb_add(fdb, MAC, 3), 0);

	assert_int_equal(dt_fdb_find(fdb, MAC), 3);
	assert_int_equal(dt_fdb_find(fdb, MAC + 1), -1);
}

static void
a_learnt_address_is_found_and_learnt_once(void **state)
{
	assert_int_equal(dt_fdb_learn(fdb, MAC, 0), 1);
	assert_int_equal(dt_fdb_learn(fdb, MAC, 0), 0);

	assert_int_equal(dt_fdb_find(fdb, MAC), 0);
}

static void
a_learnt_address_moves_with_its_user(void **state)
{
	dt_fdb_learn(fdb, MAC, 1);

	assert_int_equal(dt_fdb_learn(fdb, MAC, 2), 1);

	assert_int_equal(dt_fdb_find(fdb, MAC), 2);
}

static void
a_configured_address_moves_with_nobody(void **state)
{
	dt_fdb_add(fdb, MAC, 1);

	assert_int_equal(dt_fdb_learn(fdb, MAC, 2), 0);
	assert_int_equal(dt_fdb_learn(fdb, MAC, 1), 0);

	assert_int_equal(dt_fdb_find(fdb, MAC), 1);
}

static void
a_forgotten_address_is_not_found(void **state)
{
	dt_fdb_learn(fdb, MAC, 1);
	dt_fdb_learn(fdb, MAC + 1, 1);

	dt_fdb_forget(fdb, MAC);

	assert_int_equal(dt_fdb_find(fdb, MAC), -1);
	assert_int_equal(dt_fdb_find(fdb, MAC + 1), 1);
	assert_int_equal(dt_fdb_learn(fdb, MAC, 2), 1);
}

static void
what_is_configured_cannot_be_forgotten(void **state)
{
	dt_fdb_add(fdb, MAC, 1);

	dt_fdb_forget(fdb, MAC);
	dt_fdb_forget(fdb, MAC + 1);

	assert_int_equal(dt_fdb_find(fdb, MAC), 1);
	assert_int_equal(dt_fdb_find(fdb, MAC + 1), -1);
}

static void
an_address_is_learnt_of_the_member_that_used_it_last(void **state)
{
	dt_fdb_add(fdb, MAC, 1);
	dt_fdb_learn(fdb, MAC + 1, 1);
	dt_fdb_learn(fdb, MAC + 2, 1);
	dt_fdb_learn(fdb, MAC + 2, 2);

	assert_false(dt_fdb_is_learnt_of(fdb, MAC, 1));
	assert_true(dt_fdb_is_learnt_of(fdb, MAC + 1, 1));
	assert_false(dt_fdb_is_learnt_of(fdb, MAC + 2, 1));
	assert_true(dt_fdb_is_learnt_of(fdb, MAC + 2, 2));
	assert_false(dt_fdb_is_learnt_of(fdb, MAC + 3, 1));
}

static void
it_holds_as_many_as_it_was_made_for_and_refuses_in_the_end(void **state)
{
	uint64_t n = 0;
	int result = 1;

	while (result == 1 && n < 100 * SIZE)
		result = dt_fdb_learn(fdb, MAC + n++, 1);

	assert_int_equal(result, -ENOSPC);
	assert_true(n > SIZE);
	for (uint64_t i = 0; i < n - 1; i++)
		assert_int_equal(dt_fdb_find(fdb, MAC + i), 1);
	assert_int_equal(dt_fdb_find(fdb, MAC + n - 1), -1);
}

static void
the_places_of_forgotten_addresses_are_used_again(void **state)
{
	for (uint64_t i = 0; i < 50 * SIZE; i++) {
		assert_int_equal(dt_fdb_learn(fdb, MAC + i, 1), 1);
		assert_int_equal(dt_fdb_find(fdb, MAC + i), 1);
		dt_fdb_forget(fdb, MAC + i);
		assert_int_equal(dt_fdb_find(fdb, MAC + i), -1);
	}
}

static void
an_address_is_its_six_bytes(void **state)
{
	const struct rte_ether_addr mac = { { 0x02, 0, 0, 0, 0, 0x01 } };
	const struct rte_ether_addr group = { { 0x01, 0x00, 0x5e, 0xff, 0xff, 0xff } };

	assert_int_equal(dt_mac_key(&mac), MAC);
	assert_int_equal(dt_mac_key(&mac) & 1, 0);
	assert_int_equal(dt_mac_key(&group) & 1, 1); /* what tells a group's address */
	assert_true(dt_mac_key(&group) < 1ULL << 48);
}

int
main(void)
{
#define FDB(test) cmocka_unit_test_setup_teardown(test, make_fdb, free_fdb)
	const struct CMUnitTest tests[] = {
		FDB(an_address_that_nobody_used_is_not_found),
		FDB(a_configured_address_is_found),
		FDB(a_learnt_address_is_found_and_learnt_once),
		FDB(a_learnt_address_moves_with_its_user),
		FDB(a_configured_address_moves_with_nobody),
		FDB(a_forgotten_address_is_not_found),
		FDB(what_is_configured_cannot_be_forgotten),
		FDB(an_address_is_learnt_of_the_member_that_used_it_last),
		FDB(it_holds_as_many_as_it_was_made_for_and_refuses_in_the_end),
		FDB(the_places_of_forgotten_addresses_are_used_again),
		cmocka_unit_test(an_address_is_its_six_bytes),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
