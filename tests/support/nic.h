/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A NIC whose wire the test holds: an ethdev over two rings, started as the uplink of port nic.
 *
 * One for a process, made anew for each test. The worker does not run: the test polls the uplink itself.
 */
#ifndef DT_TEST_NIC_SUPPORT_H
#define DT_TEST_NIC_SUPPORT_H

#include "books.h"
#include "conf.h"
#include "uplink/internal.h"

/* The NIC's own room for packets to send: few, so that it is soon full. */
#define DT_TEST_NIC_WIRE 16
#define DT_TEST_NIC_LANE 64 /* packets */
#define DT_TEST_NIC_IN   DT_AT_IN(DT_TEST_NIC)
#define DT_TEST_NIC_OUT  DT_AT_OUT(DT_TEST_NIC)

struct dt_test_nic {
	struct dt_conf_uplink conf;
	struct dt_uplink *uplink;
	struct rte_ring *to_dptap; /* what the NIC will receive */
	struct rte_ring *from_dptap; /* what it has sent */
	uint16_t device; /* ethdev's number */
};

extern struct dt_test_nic dt_test_nic;

/** Make device, worker and uplink; the ledger is open. @p mtu in bytes, 0: the device's own */
void dt_test_nic_start(struct dt_sink sink, uint32_t mtu);

/** The same with gro = on, and the device's MTU. */
void dt_test_nic_start_merging(struct dt_sink sink);

/** Stop the uplink; what it holds is dropped. */
void dt_test_nic_stop(void);

/** Free everything; behind the books. */
void dt_test_nic_free(void);

/** Poll the uplink once. @return packets moved */
unsigned int dt_test_nic_poll(void);

/** A packet comes in from the wire. */
void dt_test_nic_arrives(struct rte_mbuf *pkt);

/** The next packet on the wire is that one. */
void dt_test_nic_expect(uint32_t len, uint16_t seq);

/** Take all packets off the wire. @return how many */
unsigned int dt_test_nic_empty(void);

#endif
