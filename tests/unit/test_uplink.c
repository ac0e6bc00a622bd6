/* SPDX-License-Identifier: BSD-3-Clause */
/* An uplink: what its NIC yields and takes, what it cannot carry, and whose fault a full lane is. */
#include "testing.h"

#include <errno.h>
#include <string.h>

#include <rte_ether.h>

#include "eal.h"
#include "nic.h"
#include "packet.h"
#include "pool.h"

#define NIC_IN  DT_TEST_NIC_IN
#define NIC_OUT DT_TEST_NIC_OUT
#define VM0_IN  DT_AT_IN(DT_TEST_VM0)
#define VM1_OUT DT_AT_OUT(DT_TEST_VM1)

static struct dt_test_nic *const nic = &dt_test_nic;
static struct dt_lane lane; /* where received packets go, */
static unsigned int n_runs; /* in so many runs, as it says */

static unsigned int
into_lane(void *self, struct rte_mbuf **pkts, unsigned int n)
{
	dt_lane_put(self, NIC_IN, pkts, n);
	return n_runs;
}

static void
start_with_mtu(void **state, uint32_t mtu)
{
	dt_test_books_open(state);
	assert_int_equal(dt_lane_init(&lane, "lane", VM1_OUT, 100, DT_CAUSE_SHUTTING_DOWN, 0, true), 0);
	dt_lane_open(&lane);
	n_runs = 1;
	dt_test_nic_start((struct dt_sink){ into_lane, &lane }, mtu);
}

static int
start(void **state)
{
	start_with_mtu(state, 0);
	return 0;
}

static int
start_with_jumbo(void **state)
{
	start_with_mtu(state, 9000);
	return 0;
}

static int
stop(void **state)
{
	int result;

	dt_test_nic_stop();
	result = dt_test_books_close(state);
	dt_test_nic_free();
	dt_lane_fini(&lane);
	return result;
}

/* A guest hands packets to the uplink. @return packets queued */
static unsigned int
put(unsigned int n, uint32_t len, uint16_t seq)
{
	struct rte_mbuf *pkts[256];

	dt_test_bring(VM0_IN, pkts, n, len, seq);
	return dt_uplink_put(nic->uplink, 0, VM0_IN, pkts, n);
}

static unsigned int
put_this(struct rte_mbuf *pkt)
{
	dt_received(VM0_IN, 1, pkt->pkt_len);
	return dt_uplink_put(nic->uplink, 0, VM0_IN, &pkt, 1);
}

static void
what_the_nic_receives_is_handed_on(void **state)
{
	struct rte_mbuf *pkts[3];

	for (uint16_t i = 0; i < 3; i++)
		dt_test_nic_arrives(dt_test_packet(100, i));

	assert_int_equal(dt_test_nic_poll(), 3);

	assert_int_equal(dt_test_account(NIC_IN).received.packets, 3);
	assert_int_equal(dt_test_account(NIC_IN).received.bytes, 300);
	assert_int_equal(dt_lane_peek(&lane, pkts, 3), 3);
	for (uint16_t i = 0; i < 3; i++)
		assert_true(dt_test_packet_is(pkts[i], 100, i));
	dt_lane_finish(&lane, 3);
	dt_delivered(VM1_OUT, pkts, 3);
}

static void
a_visit_receives_the_more_bursts_the_more_destinations_they_have(void **state)
{
	for (uint16_t i = 0; i < 13 * DT_BURST + 5; i++)
		dt_test_nic_arrives(dt_test_packet(60, i));

	assert_int_equal(dt_test_nic_poll(), DT_BURST);
	n_runs = 2;
	assert_int_equal(dt_test_nic_poll(), 2 * DT_BURST);
	n_runs = DT_BURST;
	assert_int_equal(dt_test_nic_poll(), 8 * DT_BURST); /* no more: guests have to be visited */
	assert_int_equal(dt_test_nic_poll(), 2 * DT_BURST + 5);
	assert_int_equal(dt_test_nic_poll(), 0);

	assert_int_equal(dt_test_account(NIC_IN).received.packets, 13 * DT_BURST + 5);
	dt_lane_drain(&lane, DT_CAUSE_SHUTTING_DOWN);
}

static void
a_runt_from_the_wire_is_too_small(void **state)
{
	struct rte_mbuf *split = dt_test_packet(13, 1); /* whole, but its first buffer is too short to look at */

	assert_int_equal(rte_pktmbuf_chain(split, dt_test_packet(60, 2)), 0);
	dt_test_nic_arrives(dt_test_packet(13, 0));
	dt_test_nic_arrives(split);
	dt_test_nic_arrives(dt_test_packet(14, 3));

	assert_int_equal(dt_test_nic_poll(), 3);

	assert_int_equal(dt_test_dropped(NIC_IN, DT_CAUSE_UPLINK_FRAME_TOO_SHORT), 2);
	assert_int_equal(dt_test_dropped_bytes(NIC_IN, DT_CAUSE_UPLINK_FRAME_TOO_SHORT), 13 + 73);
	assert_int_equal(dt_cause_reason(DT_CAUSE_UPLINK_FRAME_TOO_SHORT), DT_REASON_PKT_TOO_SMALL);
	assert_int_equal(dt_lane_drain(&lane, DT_CAUSE_SHUTTING_DOWN), 1);
}

static void
packets_for_the_wire_leave_in_order(void **state)
{
	assert_int_equal(put(5, 60, 0), 5);

	assert_int_equal(dt_test_nic_poll(), 5);

	for (uint16_t i = 0; i < 5; i++)
		dt_test_nic_expect(60, i);
	assert_int_equal(dt_test_account(NIC_OUT).delivered.packets, 5);
	assert_int_equal(dt_test_account(NIC_OUT).delivered.bytes, 300);
}

static void
a_nic_that_accepts_nothing_more_fills_its_lane_and_is_blamed(void **state)
{
	assert_int_equal(put(DT_TEST_NIC_LANE, 60, 0), DT_TEST_NIC_LANE);
	assert_int_equal(dt_test_nic_poll(), DT_TEST_NIC_WIRE);
	assert_int_equal(dt_test_nic_poll(), 0);
	assert_int_equal(put(DT_TEST_NIC_WIRE + 9, 60, DT_TEST_NIC_LANE), DT_TEST_NIC_WIRE);

	assert_int_equal(dt_test_dropped(NIC_OUT, DT_CAUSE_LANE_UPLINK_FULL), 9);
	assert_int_equal(dt_cause_reason(DT_CAUSE_LANE_UPLINK_FULL), DT_REASON_FULL_RING);
	for (uint16_t seq = 0; seq < DT_TEST_NIC_LANE + DT_TEST_NIC_WIRE; seq++) {
		if (seq % DT_TEST_NIC_WIRE == 0 && seq > 0)
			assert_int_equal(dt_test_nic_poll(), DT_TEST_NIC_WIRE);
		dt_test_nic_expect(60, seq);
	}
}

static void
a_lane_that_fills_between_two_visits_blames_the_worker(void **state)
{
	put(3, 60, 0);
	assert_int_equal(dt_test_nic_poll(), 3);
	put(DT_TEST_NIC_LANE + 4, 60, 3);

	assert_int_equal(dt_test_dropped(NIC_OUT, DT_CAUSE_LANE_WORKER_BUSY), 4);
}

static void
nothing_is_sent_while_the_link_is_down(void **state)
{
	struct dt_uplink_info info;

	assert_int_equal(rte_eth_dev_set_link_down(nic->device), 0);
	dt_uplink_tick(nic->uplink);
	put(DT_TEST_NIC_LANE, 60, 0);
	assert_int_equal(dt_test_nic_poll(), 0);
	put(5, 60, 0);

	assert_int_equal(dt_test_dropped(NIC_OUT, DT_CAUSE_LANE_UPLINK_LINK_DOWN), 5);
	dt_uplink_info(nic->uplink, &info);
	assert_false(info.link_up);
	assert_int_equal(dt_test_nic_empty(), 0);

	assert_int_equal(rte_eth_dev_set_link_up(nic->device), 0);
	dt_uplink_tick(nic->uplink);
	assert_int_equal(dt_test_nic_poll(), DT_TEST_NIC_WIRE);
	dt_test_nic_expect(60, 0);
}

/* A frame with VLAN tags in it. */
static struct rte_mbuf *
tagged(uint32_t len, const uint16_t types[], unsigned int n)
{
	struct rte_mbuf *pkt = dt_test_packet(len, 0);

	for (unsigned int i = 0; i < n; i++)
		*rte_pktmbuf_mtod_offset(pkt, rte_be16_t *, 12 + 4 * i) = rte_cpu_to_be_16(types[i]);
	return pkt;
}

static void
a_frame_may_be_as_long_as_the_mtu_and_its_tags(void **state)
{
	static const uint16_t vlan[] = { RTE_ETHER_TYPE_VLAN, RTE_ETHER_TYPE_IPV4 };
	static const uint16_t qinq[] = { RTE_ETHER_TYPE_QINQ, RTE_ETHER_TYPE_VLAN, RTE_ETHER_TYPE_IPV4 };
	static const uint16_t three[] = { RTE_ETHER_TYPE_QINQ, RTE_ETHER_TYPE_VLAN, RTE_ETHER_TYPE_VLAN, 0 };

	assert_int_equal(put(1, 1514, 0), 1);
	assert_int_equal(put(1, 1515, 0), 0);
	assert_int_equal(put_this(tagged(1518, vlan, 2)), 1);
	assert_int_equal(put_this(tagged(1519, vlan, 2)), 0);
	assert_int_equal(put_this(tagged(1522, qinq, 3)), 1);
	assert_int_equal(put_this(tagged(1523, qinq, 3)), 0);
	assert_int_equal(put_this(tagged(1526, three, 4)), 0);
	assert_int_equal(put(1, 9000, 0), 0);

	assert_int_equal(dt_test_dropped(NIC_OUT, DT_CAUSE_FRAME_EXCEEDS_MTU), 5);
	assert_int_equal(dt_test_dropped_bytes(NIC_OUT, DT_CAUSE_FRAME_EXCEEDS_MTU), 1515 + 1519 + 1523 + 1526 + 9000);
}

static void
only_those_of_a_burst_that_do_not_fit_are_dropped(void **state)
{
	struct rte_mbuf *pkts[4];

	for (uint16_t i = 0; i < 4; i++)
		pkts[i] = dt_test_packet(i % 2 == 0 ? 60 : 2000, i);
	dt_received(VM0_IN, 4, dt_burst_bytes(pkts, 4));

	assert_int_equal(dt_uplink_put(nic->uplink, 0, VM0_IN, pkts, 4), 2);

	assert_int_equal(dt_test_nic_poll(), 2);
	dt_test_nic_expect(60, 0);
	dt_test_nic_expect(60, 2);
	assert_int_equal(dt_test_dropped(NIC_OUT, DT_CAUSE_FRAME_EXCEEDS_MTU), 2);
}

static void
a_nic_of_many_segments_takes_a_frame_as_it_is(void **state)
{
	assert_true(nic->uplink->fit.multi_segment);
	assert_int_equal(put(1, 9014, 5), 1);

	dt_test_nic_poll();

	dt_test_nic_expect(9014, 5);
}

static void
a_nic_of_one_segment_gets_frames_in_one_or_not_at_all(void **state)
{
	static const uint8_t tail[] = { 1, 2, 3 };
	struct rte_mbuf *split = dt_test_packet(60, 0), *end = dt_test_packet(0, 0), *sent = NULL;

	memcpy(rte_pktmbuf_append(end, sizeof(tail)), tail, sizeof(tail));
	assert_int_equal(rte_pktmbuf_chain(split, end), 0);
	nic->uplink->fit.multi_segment = false; /* this driver could; the next cannot */

	assert_int_equal(put_this(split), 1);
	assert_int_equal(put(1, 9014, 0), 0);

	assert_int_equal(dt_test_dropped(NIC_OUT, DT_CAUSE_UPLINK_ONE_SEGMENT), 1);
	assert_int_equal(dt_test_dropped_bytes(NIC_OUT, DT_CAUSE_UPLINK_ONE_SEGMENT), 9014);
	dt_test_nic_poll();
	assert_int_equal(rte_ring_dequeue(nic->from_dptap, (void **)&sent), 0);
	assert_int_equal(sent->nb_segs, 1);
	assert_int_equal(sent->pkt_len, 63);
	assert_memory_equal(rte_pktmbuf_mtod_offset(sent, uint8_t *, 60), tail, sizeof(tail));
	dt_test_packet_free(sent);
}

static void
what_waits_at_the_stop_is_dropped_as_shutting_down(void **state)
{
	put(7, 60, 0);
	assert_true(dt_uplink_is_open(nic->uplink));

	dt_uplink_stop(nic->uplink);

	assert_int_equal(dt_test_dropped(NIC_OUT, DT_CAUSE_SHUTTING_DOWN), 7);
	assert_int_equal(dt_cause_reason(DT_CAUSE_SHUTTING_DOWN), DT_REASON_NO_SOCKET);
	assert_false(dt_uplink_is_open(nic->uplink));
	assert_int_equal(put(2, 60, 0), 0);
	assert_int_equal(dt_test_dropped(NIC_OUT, DT_CAUSE_SHUTTING_DOWN), 9);
}

static void
an_uplink_tells_what_it_is(void **state)
{
	struct dt_pool_need need = { .frame_mbufs = 5 };
	struct dt_uplink_info info;

	dt_uplink_info(nic->uplink, &info);
	dt_uplink_need(nic->uplink, &need);

	assert_true(info.link_up);
	assert_int_equal(info.mtu, 9000);
	assert_string_equal(info.driver, "net_ring");
	assert_int_equal(dt_uplink_frame_mbufs(&nic->conf), 5);
	assert_int_equal(need.packets, DT_TEST_NIC_LANE + 2 * 64);
	assert_in_range(need.large, 5 * DT_TEST_NIC_LANE, 2000);
	assert_int_equal(need.nic_rx, 64);
	assert_ptr_equal(dt_uplink_conf(nic->uplink), &nic->conf);
	assert_int_equal(dt_worker_lcore(dt_uplink_worker(nic->uplink, 0)), DT_TEST_WORKER_LCORE);
}

static void
a_device_that_does_not_exist_is_named_with_a_remedy(void **state)
{
	struct dt_conf_uplink conf = { .name = "up", .device = "net_nowhere0", .n_queues = 1 };
	char error[DT_ERROR_SIZE] = "";
	struct dt_uplink *uplink = NULL;

	assert_int_equal(dt_uplink_new(&conf, DT_TEST_NIC, &uplink, error), -ENODEV);

	assert_null(uplink);
	assert_non_null(strstr(error, "uplink 'up': "));
	assert_non_null(strstr(error, "net_nowhere0"));
	assert_non_null(strstr(error, "--vdev"));
}

static void
more_queues_than_the_device_has_are_refused(void **state)
{
	struct dt_conf_uplink conf = nic->conf;
	char error[DT_ERROR_SIZE] = "";
	struct dt_sink sinks[2] = { { 0 } };
	struct dt_worker *workers[2] = { dt_worker_at(0), dt_worker_at(0) };
	struct dt_uplink *uplink;

	conf.n_queues = 2;
	assert_int_equal(dt_uplink_new(&conf, DT_TEST_VM0, &uplink, error), 0);

	assert_int_equal(dt_uplink_start(uplink, sinks, workers, true, error), -EINVAL);

	assert_non_null(strstr(error, "queues = 2"));
	dt_uplink_free(uplink);
}

static void
a_nic_without_interrupts_is_looked_at_by_the_clock(void **state)
{
	struct dt_uplink_queue *queue = &nic->uplink->queues[0];

	assert_int_equal(dt_uplink_doze(queue), DT_DOZE_TIMED);
	dt_uplink_rouse(queue);
}

static void
what_the_nic_has_received_keeps_the_worker_awake(void **state)
{
	struct dt_uplink_queue *queue = &nic->uplink->queues[0];

	dt_test_nic_arrives(dt_test_packet(60, 0));

	assert_int_equal(dt_uplink_doze(queue), DT_DOZE_NOT);
	dt_uplink_rouse(queue);
	assert_int_equal(dt_lane_drain(&lane, DT_CAUSE_SHUTTING_DOWN), 1);
}

static void
what_the_nic_can_take_keeps_the_worker_awake(void **state)
{
	struct dt_uplink_queue *queue = &nic->uplink->queues[0];

	assert_int_equal(put(DT_TEST_NIC_WIRE + 1, 60, 0), DT_TEST_NIC_WIRE + 1);

	assert_int_equal(dt_uplink_doze(queue), DT_DOZE_NOT);
	assert_int_equal(dt_uplink_doze(queue), DT_DOZE_TIMED); /* full: the last one waits */
	assert_int_equal(dt_lane_count(&queue->lane), 1);
	dt_uplink_rouse(queue);
}

int
main(void)
{
#define NIC(test)   cmocka_unit_test_setup_teardown(test, start, stop)
#define JUMBO(test) cmocka_unit_test_setup_teardown(test, start_with_jumbo, stop)
	const struct CMUnitTest tests[] = {
		NIC(what_the_nic_receives_is_handed_on),
		NIC(a_visit_receives_the_more_bursts_the_more_destinations_they_have),
		NIC(a_runt_from_the_wire_is_too_small),
		NIC(packets_for_the_wire_leave_in_order),
		NIC(a_nic_that_accepts_nothing_more_fills_its_lane_and_is_blamed),
		NIC(a_lane_that_fills_between_two_visits_blames_the_worker),
		NIC(nothing_is_sent_while_the_link_is_down),
		NIC(a_frame_may_be_as_long_as_the_mtu_and_its_tags),
		NIC(only_those_of_a_burst_that_do_not_fit_are_dropped),
		JUMBO(a_nic_of_many_segments_takes_a_frame_as_it_is),
		JUMBO(a_nic_of_one_segment_gets_frames_in_one_or_not_at_all),
		NIC(a_nic_without_interrupts_is_looked_at_by_the_clock),
		NIC(what_the_nic_has_received_keeps_the_worker_awake),
		NIC(what_the_nic_can_take_keeps_the_worker_awake),
		NIC(what_waits_at_the_stop_is_dropped_as_shutting_down),
		JUMBO(an_uplink_tells_what_it_is),
		cmocka_unit_test(a_device_that_does_not_exist_is_named_with_a_remedy),
		NIC(more_queues_than_the_device_has_are_refused),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
