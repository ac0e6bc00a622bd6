/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "log.h"
#include "pool.h"

/* @return @p err, with the message written */
static int __attribute__((format(printf, 4, 5)))
fail(const struct dt_uplink *uplink, char error[static DT_ERROR_SIZE], int err, const char *fmt, ...)
{
	int n = snprintf(error, DT_ERROR_SIZE, "uplink '%s': ", uplink->conf->name);
	va_list args;

	va_start(args, fmt);
	vsnprintf(error + n, (size_t)(DT_ERROR_SIZE - n), fmt, args);
	va_end(args);
	return err;
}

int
dt_uplink_new(const struct dt_conf_uplink *conf, unsigned int port, struct dt_uplink **ret_uplink,
	char error[static DT_ERROR_SIZE])
{
	struct dt_uplink *uplink = calloc(1, sizeof(*uplink));

	if (uplink == NULL)
		return -ENOMEM;
	uplink->conf = conf;
	uplink->port = port;
	pthread_mutex_init(&uplink->stats_lock, NULL);
	uplink->n_queues = conf->n_queues;
	uplink->rx_desc = conf->rx_desc;
	uplink->tx_desc = conf->tx_desc;
	if (rte_eth_dev_get_port_by_name(conf->device, &uplink->device) != 0) {
		int err = fail(uplink, error, -ENODEV,
			"no such device: %s; name it by device=, and have EAL probe it: -a PCI-ADDRESS for a NIC bound "
			"to vfio-pci, or --vdev",
			conf->device);

		free(uplink);
		return err;
	}
	*ret_uplink = uplink;
	return 0;
}

unsigned int
dt_uplink_frame_mbufs(const struct dt_conf_uplink *conf)
{
	/* Without a setting, devices are at 1500 bytes. */
	return (conf->mtu + RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN + DT_POOL_ROOM - 1) / DT_POOL_ROOM;
}

void
dt_uplink_need(const struct dt_uplink *uplink, struct dt_pool_need *need)
{
	for (unsigned int q = 0; q < uplink->n_queues; q++) {
		dt_pool_need_lane(need, uplink->conf->queue_len);
		/* What lies in the ring may point into as many mbufs again (a segment does). */
		need->packets += 2 * uplink->conf->tx_desc;
		need->nic_rx += uplink->conf->rx_desc;
	}
}

int
dt_uplink_node(const struct dt_uplink *uplink)
{
	return rte_eth_dev_socket_id(uplink->device);
}

void
dt_uplink_spread(struct dt_uplink *uplink)
{
	uplink->spread = true;
}

/* With interrupts if they are wanted, or without if they cannot be had. */
static int
configure_device(struct dt_uplink *uplink, struct rte_eth_conf *eth)
{
	uint16_t n = (uint16_t)uplink->n_queues;
	int err = rte_eth_dev_configure(uplink->device, n, n, eth);

	if (err != 0 && eth->intr_conf.rxq != 0) {
		eth->intr_conf.rxq = 0;
		err = rte_eth_dev_configure(uplink->device, n, n, eth);
	}
	uplink->interrupts = eth->intr_conf.rxq != 0;
	return err;
}

static int
configure(struct dt_uplink *uplink, char error[static DT_ERROR_SIZE])
{
	const struct dt_conf_uplink *conf = uplink->conf;
	struct rte_eth_conf eth = { 0 };
	struct rte_eth_dev_info info;
	uint16_t rx_desc, tx_desc;
	int err = rte_eth_dev_info_get(uplink->device, &info);

	if (err != 0)
		return fail(uplink, error, err, "the driver tells nothing of %s: %s", conf->device, strerror(-err));
	uplink->driver = info.driver_name;
	if (uplink->n_queues > (unsigned int)RTE_MIN(info.max_rx_queues, info.max_tx_queues))
		return fail(uplink, error, -EINVAL,
			"queues = %u: %s (%s) has %u receive and %u transmit queues; lower queues", uplink->n_queues,
			conf->device, info.driver_name, info.max_rx_queues, info.max_tx_queues);
	if (conf->mtu != 0 && info.max_mtu != 0 && (conf->mtu < info.min_mtu || conf->mtu > info.max_mtu))
		return fail(uplink, error, -EINVAL, "mtu = %u: %s (%s) takes %u to %u bytes", conf->mtu, conf->device,
			info.driver_name, info.min_mtu, info.max_mtu);
	if (dt_uplink_choose_offloads(uplink, &info, &eth) != 0)
		return fail(uplink, error, -ENOTSUP, "lro = on: %s (%s) cannot merge packets; lro = off, or gro = on",
			conf->device, info.driver_name);
	eth.rxmode.mtu = conf->mtu;
	eth.intr_conf.rxq = dt_uplink_may_interrupt(info.driver_name);
	err = configure_device(uplink, &eth);
	if (err != 0)
		return fail(uplink, error, err, "%s (%s) cannot be configured: %s", conf->device, info.driver_name,
			strerror(-err));
	rx_desc = (uint16_t)conf->rx_desc;
	tx_desc = (uint16_t)conf->tx_desc;
	err = rte_eth_dev_adjust_nb_rx_tx_desc(uplink->device, &rx_desc, &tx_desc);
	if (err != 0)
		return fail(uplink, error, err, "%s (%s) takes no such ring sizes: %s", conf->device, info.driver_name,
			strerror(-err));
	uplink->rx_desc = rx_desc;
	uplink->tx_desc = tx_desc;
	return 0;
}

static int
set_queue(struct dt_uplink *uplink, unsigned int q, bool single_producer, char error[static DT_ERROR_SIZE])
{
	struct dt_uplink_queue *queue = &uplink->queues[q];
	int node = dt_worker_memory(queue->worker);
	char name[RTE_RING_NAMESIZE];
	int err;

	queue->uplink = uplink;
	queue->device = uplink->device;
	queue->index = (uint16_t)q;
	queue->at_in = DT_AT_IN(uplink->port);
	queue->at_out = DT_AT_OUT(uplink->port);
	snprintf(name, sizeof(name), "dt_lane_%u_%u", uplink->port, q);
	err = dt_lane_init(&queue->lane, name, queue->at_out, uplink->conf->queue_len, DT_CAUSE_SHUTTING_DOWN, node,
		single_producer);
	if (err != 0)
		return fail(uplink, error, err, "no memory for a lane of %u packets: %s", uplink->conf->queue_len,
			strerror(-err));
	if (uplink->conf->gro && dt_uplink_merge_start(queue) != 0)
		return fail(uplink, error, -ENOMEM, "gro = on: no memory for it");
	err = rte_eth_rx_queue_setup(
		uplink->device, (uint16_t)q, (uint16_t)uplink->rx_desc, (unsigned int)node, NULL, dt_pool_of(node));
	if (err == 0)
		err = rte_eth_tx_queue_setup(
			uplink->device, (uint16_t)q, (uint16_t)uplink->tx_desc, (unsigned int)node, NULL);
	if (err != 0)
		return fail(uplink, error, err, "queue %u of %s cannot be set up: %s", q, uplink->conf->device,
			strerror(-err));
	return 0;
}

static int
start_device(struct dt_uplink *uplink, char error[static DT_ERROR_SIZE])
{
	const struct dt_conf_uplink *conf = uplink->conf;
	int err;

	if (conf->mtu != 0) {
		err = rte_eth_dev_set_mtu(uplink->device, (uint16_t)conf->mtu);
		/* A driver that knows no MTU carries what it gets; the limit is then ours alone. */
		if (err != 0 && err != -ENOTSUP)
			return fail(uplink, error, err, "mtu = %u: %s does not take it: %s", conf->mtu, conf->device,
				strerror(-err));
	}
	err = rte_eth_dev_start(uplink->device);
	if (err != 0)
		return fail(uplink, error, err, "%s cannot be started: %s", conf->device, strerror(-err));
	uplink->started = true;
	err = conf->promiscuous ? rte_eth_promiscuous_enable(uplink->device)
				: rte_eth_promiscuous_disable(uplink->device);
	if (err != 0 && err != -ENOTSUP)
		return fail(uplink, error, err, "promiscuous = %s: %s does not take it: %s",
			conf->promiscuous ? "on" : "off", conf->device, strerror(-err));
	if (conf->mtu != 0)
		uplink->fit.mtu = (uint16_t)conf->mtu;
	else if (rte_eth_dev_get_mtu(uplink->device, &uplink->fit.mtu) != 0)
		uplink->fit.mtu = RTE_ETHER_MTU;
	return 0;
}

static void
open_lane(void *queue)
{
	dt_lane_blame(&((struct dt_uplink_queue *)queue)->lane, DT_CAUSE_LANE_WORKER_BUSY);
	dt_lane_open(&((struct dt_uplink_queue *)queue)->lane);
}

static void
close_lane(void *queue)
{
	dt_lane_close(&((struct dt_uplink_queue *)queue)->lane, DT_CAUSE_SHUTTING_DOWN);
}

int
dt_uplink_start(struct dt_uplink *uplink, const struct dt_sink *sinks, struct dt_worker *const *workers,
	bool single_producer, char error[static DT_ERROR_SIZE])
{
	int err = configure(uplink, error);

	if (err != 0)
		return err;
	uplink->queues = rte_zmalloc_socket("dt_uplink", uplink->n_queues * sizeof(*uplink->queues),
		RTE_CACHE_LINE_SIZE, dt_worker_memory(workers[0]));
	if (uplink->queues == NULL)
		return fail(uplink, error, -ENOMEM, "no memory for %u queues", uplink->n_queues);
	for (unsigned int q = 0; q < uplink->n_queues; q++) {
		uplink->queues[q].sink = sinks[q];
		uplink->queues[q].worker = workers[q];
		err = set_queue(uplink, q, single_producer, error);
		if (err != 0)
			return err;
	}
	err = start_device(uplink, error);
	if (err != 0)
		return err;
	uplink->link_up = true;
	dt_uplink_tick(uplink);
	for (unsigned int q = 0; q < uplink->n_queues; q++) {
		dt_uplink_attach(&uplink->queues[q]);
		err = dt_worker_add(workers[q], &dt_uplink_polled, &uplink->queues[q]);
		if (err != 0)
			return fail(uplink, error, err, "lcore %u polls as many queues as it can",
				dt_worker_lcore(workers[q]));
		dt_worker_call(workers[q], open_lane, &uplink->queues[q]);
	}
	dt_uplink_say_waking(uplink);
	return 0;
}

void
dt_uplink_stop(struct dt_uplink *uplink)
{
	for (unsigned int q = 0; uplink->queues != NULL && q < uplink->n_queues; q++) {
		struct dt_uplink_queue *queue = &uplink->queues[q];

		if (queue->lane.ring == NULL)
			continue;
		dt_worker_call(queue->worker, close_lane, queue);
		dt_worker_remove(queue->worker, &dt_uplink_polled, queue);
		dt_uplink_detach(queue);
		/* Who looked at the lane before it closed has put its packets there before this returns. */
		dt_workers_pass();
		dt_lane_drain(&queue->lane, DT_CAUSE_SHUTTING_DOWN);
	}
	if (uplink->started && rte_eth_dev_stop(uplink->device) != 0)
		DT_LOG(WARNING, "uplink '%s': the device does not stop", uplink->conf->name);
	uplink->started = false;
	if (uplink->queues != NULL)
		rte_eth_dev_close(uplink->device);
}

void
dt_uplink_free(struct dt_uplink *uplink)
{
	if (uplink == NULL)
		return;
	for (unsigned int q = 0; uplink->queues != NULL && q < uplink->n_queues; q++) {
		dt_uplink_merge_stop(&uplink->queues[q]);
		dt_lane_fini(&uplink->queues[q].lane);
	}
	rte_free(uplink->queues);
	pthread_mutex_destroy(&uplink->stats_lock);
	free(uplink);
}

bool
dt_uplink_is_open(const struct dt_uplink *uplink)
{
	return uplink->queues != NULL && dt_lane_is_open(&uplink->queues[0].lane);
}

struct dt_worker *
dt_uplink_worker(const struct dt_uplink *uplink, unsigned int queue)
{
	return __atomic_load_n(&uplink->queues[queue].worker, __ATOMIC_ACQUIRE);
}

uint64_t
dt_uplink_cycles(const struct dt_uplink *uplink, unsigned int queue)
{
	return dt_counter_read(&uplink->queues[queue].cycles);
}

struct dt_lane *
dt_uplink_lane(struct dt_uplink *uplink, unsigned int queue)
{
	return &uplink->queues[queue].lane;
}

static void
settle(void *arg, struct dt_worker *worker)
{
	struct dt_uplink_queue *queue = arg;

	dt_uplink_detach(queue);
	__atomic_store_n(&queue->worker, worker, __ATOMIC_RELEASE);
	dt_uplink_attach(queue);
}

int
dt_uplink_move(struct dt_uplink *uplink, unsigned int index, struct dt_worker *worker)
{
	struct dt_uplink_queue *queue = &uplink->queues[index];

	return dt_worker_hand_over(queue->worker, worker, &dt_uplink_polled, queue, settle, queue);
}

const struct dt_conf_uplink *
dt_uplink_conf(const struct dt_uplink *uplink)
{
	return uplink->conf;
}

void
dt_uplink_info(struct dt_uplink *uplink, struct dt_uplink_info *ret_info)
{
	struct dt_uplink_info info = {
		/* as the tick found it: asking a driver for its link on two threads makes the link flap */
		.link_up = __atomic_load_n(&uplink->link_up, __ATOMIC_RELAXED),
		.link_mbps = __atomic_load_n(&uplink->link_mbps, __ATOMIC_RELAXED),
		.mtu = uplink->fit.mtu,
		.driver = uplink->driver,
		.node = dt_uplink_node(uplink),
		.rx_offloads = uplink->rx_offloads,
		.tx_offloads = uplink->tx_offloads,
	};
	struct rte_eth_stats stats = { 0 };

	rte_eth_macaddr_get(uplink->device, &info.mac);
	pthread_mutex_lock(&uplink->stats_lock);
	if (rte_eth_stats_get(uplink->device, &stats) == 0)
		info.lost = (struct dt_uplink_lost){
			.imissed = stats.imissed, .rx_nombuf = stats.rx_nombuf, .ierrors = stats.ierrors
		};
	pthread_mutex_unlock(&uplink->stats_lock);
	info.oerrors = stats.oerrors;
	for (unsigned int q = 0; q < uplink->n_queues; q++)
		info.merged += dt_counter_read(&uplink->queues[q].merged);
	*ret_info = info;
}

struct dt_queue_nodes
dt_uplink_nodes(const struct dt_uplink *uplink, unsigned int index)
{
	const struct dt_uplink_queue *queue = &uplink->queues[index];

	return (struct dt_queue_nodes){
		.worker = dt_worker_node(dt_uplink_worker(uplink, index)),
		.pair = dt_node_of(queue),
		.lane = dt_node_of(queue->lane.ring),
		.pool = dt_pool_of(queue->lane.node), /* as they were set up together */
	};
}

bool
dt_uplink_link_is_up(const struct dt_uplink *uplink)
{
	return __atomic_load_n(&uplink->link_up, __ATOMIC_RELAXED);
}

void
dt_uplink_tick(struct dt_uplink *uplink)
{
	struct rte_eth_link link = { 0 };
	bool up;

	/* A driver that cannot tell is taken at its word that it sends. */
	if (rte_eth_link_get_nowait(uplink->device, &link) != 0)
		return;
	__atomic_store_n(&uplink->link_mbps, link.link_speed, __ATOMIC_RELAXED);
	up = link.link_status == RTE_ETH_LINK_UP;
	if (up == uplink->link_up)
		return;
	__atomic_store_n(&uplink->link_up, up, __ATOMIC_RELAXED);
	DT_LOG(NOTICE, "uplink '%s': link %s", uplink->conf->name, up ? "up" : "down");
}
