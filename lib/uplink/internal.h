/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: a device and its queue pairs. */
#ifndef DT_UPLINK_INTERNAL_H
#define DT_UPLINK_INTERNAL_H

#include <pthread.h>

#include "uplink.h"

/* One queue pair; the worker that polls it owns it. */
struct dt_uplink_queue {
	/* set when started */
	struct dt_lane lane;
	struct dt_sink sink;
	struct dt_uplink *uplink;
	struct dt_worker *worker;
	uint16_t device;
	uint16_t index;
	unsigned int at_in; /* the uplink's accounts */
	unsigned int at_out;
} __rte_cache_aligned;

struct dt_uplink {
	/* set when made or started */
	const struct dt_conf_uplink *conf;
	unsigned int port;
	uint16_t device; /* ethdev's number */
	bool started;
	bool multi_segment; /* the NIC sends from several mbufs */
	uint16_t mtu; /* bytes */
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

/** Both directions of a queue pair once. @return packets moved */
unsigned int dt_uplink_poll(void *queue);

#endif
