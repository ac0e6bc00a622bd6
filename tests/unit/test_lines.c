/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one thread writes packet by packet, or round by round, shares no cache line with what another reads or writes as
 * often. Offsets are looked at, and that structures that lie side by side are whole lines long.
 */
#include "testing.h"

#include <stddef.h>

#include <rte_common.h>

#include "bell.h"
#include "ledger.h"
#include "path/bridge.h"
#include "guest/pair.h"
#include "uplink/internal.h"
#include "worker/internal.h"

#define LINE RTE_CACHE_LINE_SIZE

#define FIRST_LINE(type, member) (offsetof(type, member) / LINE)
#define LAST_LINE(type, member)  ((offsetof(type, member) + sizeof(((type *)NULL)->member) - 1) / LINE)

/* All of one lies on lines before the other's. */
#define assert_apart(type, one, other) assert_true(LAST_LINE(type, one) < FIRST_LINE(type, other))

#define assert_whole_lines(type)                                                                                       \
	do {                                                                                                           \
		assert_int_equal(sizeof(type) % LINE, 0);                                                              \
		assert_int_equal(_Alignof(type) % LINE, 0);                                                            \
	} while (0)

static void
lcores_count_on_lines_of_their_own(void **state)
{
	assert_whole_lines(struct dt_account);
}

static void
producers_of_a_lane_share_with_its_consumer_only_what_has_to_be(void **state)
{
	assert_apart(struct dt_lane, bell, full_cause); /* read for each burst; written when there is news */
	assert_apart(struct dt_lane, closed_cause, large); /* written for each frame of several mbufs */
	assert_apart(struct dt_lane, large, weighed); /* the consumer's, for each burst */
	assert_whole_lines(struct dt_lane);
}

static void
what_a_pair_s_worker_writes_is_apart_from_what_producers_read(void **state)
{
	assert_apart(struct dt_pair, lane, pool);
	assert_apart(struct dt_pair, lane, on);
	assert_apart(struct dt_pair, lane, vq);
	assert_apart(struct dt_pair, lane, cycles);
	assert_apart(struct dt_pair, lane, pieces);
}

static void
queue_pairs_of_an_uplink_lie_side_by_side_on_lines_of_their_own(void **state)
{
	assert_apart(struct dt_uplink_queue, lane, cycles);
	assert_apart(struct dt_uplink_queue, lane, merged);
	assert_whole_lines(struct dt_uplink_queue);
}

static void
where_packets_enter_a_bridge_each_worker_has_lines_of_its_own(void **state)
{
	assert_whole_lines(struct dt_ingress);
	assert_apart(struct dt_member, guest, n_taught); /* read for each burst, by all */
	assert_whole_lines(struct dt_member);
}

static void
what_a_worker_writes_each_round_is_apart_from_what_others_look_at(void **state)
{
	assert_apart(struct dt_worker, mail, n_polls);
	assert_apart(struct dt_worker, rounds_watched, busy_cycles);
	assert_apart(struct dt_worker, asleep_since, bell);
	assert_apart(struct dt_worker, bell, running);
	assert_apart(struct dt_bell, fd, wanted);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lcores_count_on_lines_of_their_own),
		cmocka_unit_test(producers_of_a_lane_share_with_its_consumer_only_what_has_to_be),
		cmocka_unit_test(what_a_pair_s_worker_writes_is_apart_from_what_producers_read),
		cmocka_unit_test(queue_pairs_of_an_uplink_lie_side_by_side_on_lines_of_their_own),
		cmocka_unit_test(where_packets_enter_a_bridge_each_worker_has_lines_of_its_own),
		cmocka_unit_test(what_a_worker_writes_each_round_is_apart_from_what_others_look_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
