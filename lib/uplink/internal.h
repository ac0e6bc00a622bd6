/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: a device and its queue pairs. */
#ifndef DT_UPLINK_INTERNAL_H
#define DT_UPLINK_INTERNAL_H

#include <pthread.h>

#include "fit.h"
#include "uplink.h"

/* One queue pair; the worker that polls it owns it. */
struct dt_uplink_queue {
	/* set when started */
	struct dt_lane lane;
	struct dt_sink sink;
	struct dt_uplink *uplink;
	uint16_t device;
	uint16_t index;
	unsigned int at_in; /* the uplink's accounts */
	unsigned int at_out;
	void *gro; /* librte_gro's; NULL: nothing is merged */
	int interrupt; /* descriptor, ours, that wakes the worker; 0: none does */
	bool interrupt_is_source; /* it is readable while there are packets, and there is nothing to enable */

	/* control writes and reads */
	struct dt_worker *worker; /* that polls it */

	/* the worker writes, any thread reads */
	uint64_t cycles; /* TSC, of polls that moved packets; see dt_polled */
	uint64_t merged; /* packets that became part of others as they came in */
} __rte_cache_aligned;

struct dt_uplink {
	/* set when made or started */
	const struct dt_conf_uplink *conf;
	unsigned int port;
	uint16_t device; /* ethdev's number */
	bool started;
	bool spread; /* guests want to know packets' flows */
	bool interrupts; /* its driver was asked for them, and did not object */
	struct dt_fit fit; /* what the NIC takes */
	uint64_t rx_offloads; /* in use */
	uint64_t tx_offloads;
	uint32_t rx_desc;
	uint32_t tx_desc;
	const char *driver;
	unsigned int n_queues;
	struct dt_uplink_queue *queues;

	/* control writes, workers and telemetry read */
	bool link_up;
	uint32_t link_mbps;

	pthread_mutex_t stats_lock; /* some drivers add up as they are asked, and not for two threads at once */
};

/** Say what of its offloads the device is to use, and what packets have to fit. @return 0; -ENOTSUP: it has no LRO */
int dt_uplink_choose_offloads(struct dt_uplink *uplink, const struct rte_eth_dev_info *info, struct rte_eth_conf *eth);

/** GRO: prepare a queue for it. @return 0; -ENOMEM */
int dt_uplink_merge_start(struct dt_uplink_queue *queue);

/** GRO: forget it again. */
void dt_uplink_merge_stop(struct dt_uplink_queue *queue);

/** GRO: merge what can be of a burst. @return packets left, in order within a flow */
unsigned int dt_uplink_merge(struct dt_uplink_queue *queue, struct rte_mbuf **pkts, unsigned int n);

/** Whether to ask a driver for interrupts, since workers sleep. */
bool dt_uplink_may_interrupt(const char *driver);

/** Have all that comes for a queue pair wake its worker, which does not poll it yet. The device is started. */
void dt_uplink_attach(struct dt_uplink_queue *queue);

/** The reverse, for a worker that does not poll it any more; but whom senders ring for stays. */
void dt_uplink_detach(struct dt_uplink_queue *queue);

/** Say whether the NIC wakes workers that sleep. */
void dt_uplink_say_waking(const struct dt_uplink *uplink);

/** Have whoever can bring something wake the worker, and look once more. */
enum dt_doze dt_uplink_doze(void *queue);

/** The worker polls again: no interrupts. */
void dt_uplink_rouse(void *queue);

/** Both directions of a queue pair once. @return packets moved */
unsigned int dt_uplink_poll(void *queue);

/** Queue pairs, as workers poll them. */
extern const struct dt_polled dt_uplink_polled;

#endif
