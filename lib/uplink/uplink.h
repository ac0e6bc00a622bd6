/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * An uplink: a NIC, that is an ethdev of any PMD; claimed, configured, started, and its queue pairs to be polled.
 *
 * Made, started and stopped on the main thread. A worker polls each queue pair: packets in go to a sink, packets out
 * come from the queue's lane. A NIC that accepts nothing, or whose link is down, fills its lane and nothing else.
 * What a NIC can do of checksums and segmentation it does, as far as its driver says; what it merged on
 * receiving, or GRO did here, goes on as one packet to cut.
 */
#ifndef DT_UPLINK_H
#define DT_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "lane.h"
#include "node.h"
#include "worker.h"

struct dt_uplink;
struct dt_pool_need;

/** What the NIC lost before dptap could see it. */
struct dt_uplink_lost {
	uint64_t imissed; /* its ring was full: FULL_RING */
	uint64_t rx_nombuf; /* it found no mbuf: PROTO_MEM */
	uint64_t ierrors; /* damaged on the wire: no reason of the kernel's fits */
};

/** What telemetry shows. */
struct dt_uplink_info {
	bool link_up;
	uint32_t link_mbps;
	uint16_t mtu; /* bytes */
	struct rte_ether_addr mac;
	const char *driver;
	int node; /* NUMA node of the NIC, -1: unknown */
	struct dt_uplink_lost lost;
	uint64_t oerrors; /* of what was delivered to it: it did not send them */
	uint64_t rx_offloads; /* in use: RTE_ETH_RX_OFFLOAD_, RTE_ETH_TX_OFFLOAD_ */
	uint64_t tx_offloads;
	uint64_t merged; /* packets that GRO made part of others, before they were counted */
};

/**
 * Find an ethdev; nothing is done to it yet.
 *
 * @param conf   must outlive the uplink
 * @param port   number in the ledger
 * @param error  receives one line that names object, fault and remedy
 * @return 0; -ENODEV: no such ethdev; -ENOMEM
 */
int dt_uplink_new(const struct dt_conf_uplink *conf, unsigned int port, struct dt_uplink **ret_uplink,
	char error[static DT_ERROR_SIZE]);

/** Mbufs that the largest frame of an uplink may lie in. */
unsigned int dt_uplink_frame_mbufs(const struct dt_conf_uplink *conf);

/** Add what the uplink's rings and lanes can hold to @p need, whose frame_mbufs is known. */
void dt_uplink_need(const struct dt_uplink *uplink, struct dt_pool_need *need);

/** NUMA node of the NIC, -1: unknown. */
int dt_uplink_node(const struct dt_uplink *uplink);

/** Have the NIC tell packets' flows, if it can: some guest has several queue pairs. Before dt_uplink_start(). */
void dt_uplink_spread(struct dt_uplink *uplink);

/**
 * Configure the device, its queues and lanes, and start it; then let @p workers[q] poll queue pair q.
 *
 * @param sinks   one for each queue pair, for what it receives; must outlive the uplink
 * @return 0; else what the driver said, with @p error filled
 */
int dt_uplink_start(struct dt_uplink *uplink, const struct dt_sink *sinks, struct dt_worker *const *workers,
	bool single_producer, char error[static DT_ERROR_SIZE]);

/** Poll no more, drop what waits as shutting_down, stop and release the device. */
void dt_uplink_stop(struct dt_uplink *uplink);

/** Free an uplink that is stopped or was never started; NULL is allowed. */
void dt_uplink_free(struct dt_uplink *uplink);

/**
 * Hand packets to queue pair @p queue, out of account @p from, made to fit; see dt_fit_put().
 * @return packets and segments queued
 * @note any worker
 */
unsigned int dt_uplink_put(
	struct dt_uplink *uplink, unsigned int queue, unsigned int from, struct rte_mbuf **pkts, unsigned int n);

/** Whether anything would be queued now. */
bool dt_uplink_is_open(const struct dt_uplink *uplink);

/** The worker that polls a queue pair. Control threads. */
struct dt_worker *dt_uplink_worker(const struct dt_uplink *uplink, unsigned int queue);

/** Cycles (TSC) that a queue pair has taken to move packets, by samples. Any thread. */
uint64_t dt_uplink_cycles(const struct dt_uplink *uplink, unsigned int queue);

/** What waits for the NIC at one of its queue pairs. */
struct dt_lane *dt_uplink_lane(struct dt_uplink *uplink, unsigned int queue);

/**
 * Let @p worker poll a queue pair from now on, which another does; no packet is lost or overtaken. The NIC's rings and
 * the lane stay where they are, and so does their memory.
 *
 * @return 0; -ENOSPC: @p worker polls as many things as it can
 * @note control threads, one at a time; waits for both workers
 */
int dt_uplink_move(struct dt_uplink *uplink, unsigned int queue, struct dt_worker *worker);

const struct dt_conf_uplink *dt_uplink_conf(const struct dt_uplink *uplink);

/** Any thread. */
void dt_uplink_info(struct dt_uplink *uplink, struct dt_uplink_info *ret_info);

/** Where a queue pair really lies. Control threads; takes some system calls. */
struct dt_queue_nodes dt_uplink_nodes(const struct dt_uplink *uplink, unsigned int queue);

/** As the last tick found it. Any thread. */
bool dt_uplink_link_is_up(const struct dt_uplink *uplink);

/** Look at the link, and say when it changed. Control, now and then. */
void dt_uplink_tick(struct dt_uplink *uplink);

#endif
