/* SPDX-License-Identifier: BSD-3-Clause */
#include "nic.h"

#include <stdio.h>

#include <rte_eth_ring.h>

#include "packet.h"
#include "testing.h"

struct dt_test_nic dt_test_nic;

static struct dt_test_nic *const nic = &dt_test_nic;

static void
start(struct dt_sink sink, uint32_t mtu, bool gro)
{
	static unsigned int number; /* a device that was closed leaves its name taken */
	char error[DT_ERROR_SIZE] = "";
	struct dt_worker *worker;
	char name[32];
	int device;

	*nic = (struct dt_test_nic){ .conf = { .name = "nic",
					     .mtu = mtu,
					     .n_queues = 1,
					     .promiscuous = true,
					     .gro = gro,
					     .rx_desc = 64,
					     .tx_desc = 64,
					     .queue_len = DT_TEST_NIC_LANE } };
	snprintf(name, sizeof(name), "wire%u", number++);
	snprintf(nic->conf.device, sizeof(nic->conf.device), "net_ring_%s", name);
	nic->to_dptap = rte_ring_create("to_dptap", 512, 0, 0);
	nic->from_dptap = rte_ring_create("from_dptap", DT_TEST_NIC_WIRE, 0, RING_F_EXACT_SZ);
	assert_non_null(nic->to_dptap);
	assert_non_null(nic->from_dptap);
	device = rte_eth_from_rings(name, &nic->to_dptap, 1, &nic->from_dptap, 1, 0);
	assert_true(device >= 0);
	nic->device = (uint16_t)device;
	assert_int_equal(dt_workers_init(DT_IDLE_POLL), 0);
	worker = dt_worker_at(0);
	assert_int_equal(dt_uplink_new(&nic->conf, DT_TEST_NIC, &nic->uplink, error), 0);
	if (dt_uplink_start(nic->uplink, &sink, &worker, true, error) != 0)
		fail_msg("%s", error);
}

void
dt_test_nic_start(struct dt_sink sink, uint32_t mtu)
{
	start(sink, mtu, false);
}

void
dt_test_nic_start_merging(struct dt_sink sink)
{
	start(sink, 0, true);
}

void
dt_test_nic_stop(void)
{
	dt_uplink_stop(nic->uplink);
	dt_test_nic_empty();
}

void
dt_test_nic_free(void)
{
	dt_uplink_free(nic->uplink);
	dt_workers_fini();
	rte_ring_free(nic->to_dptap);
	rte_ring_free(nic->from_dptap);
}

unsigned int
dt_test_nic_poll(void)
{
	return dt_uplink_poll(&nic->uplink->queues[0]);
}

void
dt_test_nic_arrives(struct rte_mbuf *pkt)
{
	assert_int_equal(rte_ring_enqueue(nic->to_dptap, pkt), 0);
}

void
dt_test_nic_expect(uint32_t len, uint16_t seq)
{
	struct rte_mbuf *pkt = NULL;
	bool same;

	assert_int_equal(rte_ring_dequeue(nic->from_dptap, (void **)&pkt), 0);
	same = dt_test_packet_is(pkt, len, seq);
	dt_test_packet_free(pkt);
	assert_true(same);
}

unsigned int
dt_test_nic_empty(void)
{
	struct rte_mbuf *pkt;
	unsigned int n = 0;

	while (rte_ring_dequeue(nic->from_dptap, (void **)&pkt) == 0) {
		dt_test_packet_free(pkt);
		n++;
	}
	return n;
}
