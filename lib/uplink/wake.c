/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * By what a worker that sleeps is woken for an uplink's queue pair (idle=sleep): the lane's bell, and the NIC's
 * interrupt if it has one for each of its receive queues.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* The least number of a duplicate, so that 0 is none. */
#define FD_MIN 3

bool
dt_uplink_may_interrupt(const char *driver)
{
	/* Its descriptors are its peer's, and go and come on a thread of its own while others look at them. */
	return dt_workers_idle() == DT_IDLE_SLEEP && strcmp(driver, "net_vhost") != 0;
}

/* @return the descriptor of its interrupt, a duplicate since queues may share one; 0: none */
static int
interrupt_of(struct dt_uplink_queue *queue)
{
	int fd = queue->uplink->interrupts ? rte_eth_dev_rx_intr_ctl_q_get_fd(queue->device, queue->index) : -1;
	int err = fd >= 0 ? rte_eth_dev_rx_intr_enable(queue->device, queue->index) : -ENODEV;

	if (err != 0 && err != -ENOTSUP)
		return 0;
	/* A driver that has nothing to enable, as net_tap, gives the descriptor that it reads packets from. */
	queue->interrupt_is_source = err == -ENOTSUP;
	if (err == 0)
		rte_eth_dev_rx_intr_disable(queue->device, queue->index);
	return RTE_MAX(fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN), 0);
}

void
dt_uplink_attach(struct dt_uplink_queue *queue)
{
	dt_lane_set_bell(&queue->lane, dt_worker_bell(queue->worker));
	queue->interrupt = interrupt_of(queue);
	if (queue->interrupt == 0 || dt_worker_listen(queue->worker, queue->interrupt) == 0)
		return;
	close(queue->interrupt);
	queue->interrupt = 0;
}

void
dt_uplink_detach(struct dt_uplink_queue *queue)
{
	if (queue->interrupt == 0)
		return;
	dt_worker_unlisten(queue->worker, queue->interrupt);
	close(queue->interrupt);
	queue->interrupt = 0;
}

void
dt_uplink_say_waking(const struct dt_uplink *uplink)
{
	unsigned int n = 0;

	if (dt_workers_idle() != DT_IDLE_SLEEP)
		return;
	for (unsigned int q = 0; q < uplink->n_queues; q++)
		n += uplink->queues[q].interrupt > 0;
	if (n == uplink->n_queues)
		DT_LOG(INFO, "uplink '%s': its interrupts wake workers", uplink->conf->name);
	else
		DT_LOG(INFO,
			"uplink '%s': %s gives no interrupts for what it receives: workers that sleep look at it now "
			"and then",
			uplink->conf->name, uplink->driver);
}

/* Until what waits for the NIC can go on, or something does. */
static enum dt_doze
await_lane(struct dt_uplink_queue *queue)
{
	if (dt_lane_count(&queue->lane) == 0)
		return DT_DOZE_WOKEN;
	/* A NIC that is full does not say when it has room again. The link is looked at as seldom. */
	return __atomic_load_n(&queue->uplink->link_up, __ATOMIC_RELAXED) ? DT_DOZE_TIMED : DT_DOZE_SELDOM;
}

static bool
is_readable(int fd)
{
	struct pollfd source = { .fd = fd, .events = POLLIN };

	return poll(&source, 1, 0) == 1 && (source.revents & POLLIN) != 0;
}

/* Until the NIC receives something. */
static enum dt_doze
await_nic(struct dt_uplink_queue *queue)
{
	if (queue->interrupt == 0)
		return DT_DOZE_TIMED;
	/* net_tap learns of a packet by a signal, which may come long after the packet has woken us. */
	if (queue->interrupt_is_source)
		return is_readable(queue->interrupt) ? DT_DOZE_NOT : DT_DOZE_SELDOM;
	return rte_eth_dev_rx_intr_enable(queue->device, queue->index) == 0 ? DT_DOZE_SELDOM : DT_DOZE_TIMED;
}

enum dt_doze
dt_uplink_doze(void *arg)
{
	struct dt_uplink_queue *queue = arg;
	enum dt_doze nic = await_nic(queue);

	/* What the NIC received before its interrupt was on may have caused none. */
	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (dt_uplink_poll(queue) > 0)
		return DT_DOZE_NOT;
	return RTE_MIN(nic, await_lane(queue));
}

void
dt_uplink_rouse(void *arg)
{
	struct dt_uplink_queue *queue = arg;

	if (queue->interrupt > 0 && !queue->interrupt_is_source)
		rte_eth_dev_rx_intr_disable(queue->device, queue->index);
}
