/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_malloc.h>
#include <rte_vhost.h>

#include "gmem.h"
#include "message.h"
#include "pool.h"
#include "socket.h"

/* Protocol features; numbers, because the library has renamed its own constants. */
#define PROTOCOL_MQ          0 /* asked for the number of queues, we answer one pair */
#define PROTOCOL_REPLY_ACK   3
#define PROTOCOL_BACKEND_REQ 5 /* some front ends fail without */
#define PROTOCOL_STATUS      16

#define SAY_PERIOD_S 10
#define SAY_MAX      10

#define VIDS_MAX 1024 /* as many connections as the library knows */

/* Main thread writes before start and after stop; the library's thread reads. */
static struct dt_guest *guests[DT_CONF_PORTS_MAX];
static unsigned int n_guests;

/* The library's thread writes and reads. */
static struct dt_guest *by_vid[VIDS_MAX];

bool
dt_guest_may_say(struct dt_guest *guest, uint32_t level)
{
	unsigned int *n = level < RTE_LOG_NOTICE ? &guest->n_faults : &guest->n_news;
	uint64_t now = rte_get_timer_cycles();

	if (now >= guest->say_until) {
		guest->say_until = now + SAY_PERIOD_S * rte_get_timer_hz();
		guest->n_faults = 0;
		guest->n_news = 0;
	}
	return (*n)++ < SAY_MAX;
}

uint64_t
dt_guest_features(void)
{
	return 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_IN_ORDER | 1ULL << VIRTIO_F_ANY_LAYOUT |
	       1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_NET_F_MRG_RXBUF |
	       1ULL << VHOST_USER_F_PROTOCOL_FEATURES;
}

struct dt_guest *
dt_guest_by_vid(int vid)
{
	return vid >= 0 && vid < VIDS_MAX ? __atomic_load_n(&by_vid[vid], __ATOMIC_ACQUIRE) : NULL;
}

/* ---- what the library reports; on its thread, or for a client's first connection in dt_guest_start() ---- */

static int
new_connection(int vid)
{
	char path[DT_SOCKET_SIZE];
	struct dt_guest *guest = NULL;
	int result = -1;

	if (vid < 0 || vid >= VIDS_MAX || rte_vhost_get_ifname(vid, path, sizeof(path)) != 0)
		return -1;
	for (unsigned int i = 0; i < n_guests; i++)
		if (strcmp(guests[i]->conf->socket, path) == 0)
			guest = guests[i];
	if (guest == NULL)
		return -1;
	pthread_mutex_lock(&guest->lock);
	if (guest->vid >= 0) {
		GUEST_SAY(guest, ERR, "a second front end connected to %s: refused, the first is still there", path);
	} else if (!guest->stopping && dt_guest_hook(guest, vid) == 0) {
		guest->fd = dt_socket_bound_waits(path);
		if (guest->fd < 0)
			GUEST_SAY(guest, WARNING, "cannot bound how long its front end may hold up the control plane");
		guest->vid = vid;
		guest->connections++;
		guest->frozen = false;
		guest->vanished = false;
		guest->features = 0;
		guest->request = 0;
		memset(guest->ring, 0, sizeof(guest->ring));
		__atomic_store_n(&by_vid[vid], guest, __ATOMIC_RELEASE);
		dt_pair_close(guest->pair, guest->worker, DT_CAUSE_GUEST_NOT_READY);
		GUEST_SAY(guest, INFO, "front end connected");
		result = 0;
	}
	pthread_mutex_unlock(&guest->lock);
	return result;
}

static void
destroy_connection(int vid)
{
	struct dt_guest *guest = dt_guest_by_vid(vid);

	dt_gmem_guard(NULL);
	if (guest == NULL)
		return;
	pthread_mutex_lock(&guest->lock);
	dt_guest_stop_rings(guest, DT_STOP_CLOSE, DT_CAUSE_GUEST_NOT_CONNECTED);
	dt_guest_drop_memory(guest);
	__atomic_store_n(&by_vid[vid], NULL, __ATOMIC_RELEASE);
	guest->vid = -1;
	guest->fd = -1;
	guest->features = 0;
	if (guest->gone != NULL)
		dt_worker_call(guest->worker, guest->gone, guest->gone_arg);
	GUEST_SAY(guest, INFO, "front end disconnected");
	pthread_mutex_unlock(&guest->lock);
}

/*
 * With features of our own new_device may never come, nor destroy_device then; vring_state_changed(), the hook and
 * destroy_connection tell all there is. The library wants both.
 */
static int
new_device(int vid)
{
	(void)vid;
	return 0;
}

static void
destroy_device(int vid)
{
	(void)vid;
}

static int
vring_state_changed(int vid, uint16_t ring, int enable)
{
	struct dt_guest *guest = dt_guest_by_vid(vid);

	if (guest == NULL || ring >= DT_RINGS)
		return 0;
	pthread_mutex_lock(&guest->lock);
	guest->ring[ring].ready = enable != 0;
	if (enable) {
		dt_guest_resume(guest);
	} else if (guest->request == DT_SET_VRING_ENABLE) {
		/* Elsewhere the hook has paused or stopped it, as befits the message. */
		dt_guest_stop_ring(guest, (enum dt_ring)ring, DT_STOP_CLOSE, DT_CAUSE_GUEST_QUEUE_STOPPED);
	}
	pthread_mutex_unlock(&guest->lock);
	return 0;
}

static const struct rte_vhost_device_ops callbacks = {
	.new_device = new_device,
	.destroy_device = destroy_device,
	.vring_state_changed = vring_state_changed,
	.new_connection = new_connection,
	.destroy_connection = destroy_connection,
};

/* ---- made, started, stopped, freed; main thread ---- */

static int
pair_new(struct dt_guest *guest, unsigned int port, struct dt_sink sink, bool single_producer)
{
	int node = dt_worker_node(guest->worker);
	char name[RTE_RING_NAMESIZE];
	struct dt_pair *pair = rte_zmalloc_socket("dt_pair", sizeof(*pair), RTE_CACHE_LINE_SIZE, node);
	int err;

	if (pair == NULL)
		return -ENOMEM;
	pair->at_in = DT_AT_IN(port);
	pair->at_out = DT_AT_OUT(port);
	pair->sink = sink;
	pair->pool = dt_pool_of(node);
	snprintf(name, sizeof(name), "dt_lane_%u", port);
	err = dt_lane_init(&pair->lane, name, pair->at_out, guest->conf->queue_len, DT_CAUSE_GUEST_NOT_CONNECTED, node,
		single_producer);
	if (err != 0) {
		rte_free(pair);
		return err;
	}
	guest->pair = pair;
	return 0;
}

int
dt_guest_new(const struct dt_conf_guest *conf, unsigned int port, struct dt_sink sink, struct dt_guest_place place,
	bool single_producer, struct dt_guest **ret_guest)
{
	struct dt_guest *guest = calloc(1, sizeof(*guest));
	int err = -ENOMEM;

	if (guest == NULL || n_guests == DT_CONF_PORTS_MAX)
		goto fail;
	guest->conf = conf;
	guest->place = place;
	guest->vid = -1;
	guest->fd = -1;
	guest->memory_node = -1;
	pthread_mutex_init(&guest->lock, NULL);
	guest->worker = place.choose(place.self, NULL, -1);
	err = pair_new(guest, port, sink, single_producer);
	if (err != 0)
		goto fail;
	err = dt_worker_add(guest->worker, dt_pair_poll, guest->pair);
	if (err != 0)
		goto fail_pair;
	guests[n_guests++] = guest;
	*ret_guest = guest;
	return 0;
fail_pair:
	dt_lane_fini(&guest->pair->lane);
	rte_free(guest->pair);
fail:
	free(guest);
	return err;
}

int
dt_guest_start(struct dt_guest *guest, char error[static DT_ERROR_SIZE])
{
	const struct dt_conf_guest *conf = guest->conf;
	bool client = conf->socket_mode == DT_SOCKET_CLIENT;
	uint64_t protocol = 1ULL << PROTOCOL_MQ | 1ULL << PROTOCOL_REPLY_ACK | 1ULL << PROTOCOL_BACKEND_REQ |
			    1ULL << PROTOCOL_STATUS;
	int err = client ? 0 : dt_socket_prepare(conf->name, conf->socket, error);

	if (err != 0)
		return err;
	errno = 0;
	if (rte_vhost_driver_register(conf->socket, client ? RTE_VHOST_USER_CLIENT : 0) != 0) {
		err = errno != 0 ? -errno : -EIO;
		snprintf(error, DT_ERROR_SIZE, "guest '%s': socket %s: cannot be opened: %s", conf->name, conf->socket,
			strerror(-err));
		return err;
	}
	guest->registered = true;
	if (rte_vhost_driver_set_features(conf->socket, dt_guest_features()) != 0 ||
		rte_vhost_driver_set_protocol_features(conf->socket, protocol) != 0 ||
		rte_vhost_driver_callback_register(conf->socket, &callbacks) != 0 ||
		rte_vhost_driver_start(conf->socket) != 0) {
		err = errno != 0 ? -errno : -EIO;
		snprintf(error, DT_ERROR_SIZE, "guest '%s': socket %s: cannot be opened: %s", conf->name, conf->socket,
			strerror(-err));
		dt_guest_stop(guest);
		return err;
	}
	return 0;
}

void
dt_guest_stop(struct dt_guest *guest)
{
	int vid;

	pthread_mutex_lock(&guest->lock);
	guest->stopping = true;
	vid = guest->vid;
	/* Before unregister, which unmaps the memory and for a half-ready connection calls nothing. */
	dt_guest_stop_rings(guest, DT_STOP_CLOSE, DT_CAUSE_SHUTTING_DOWN);
	pthread_mutex_unlock(&guest->lock);
	if (guest->registered)
		rte_vhost_driver_unregister(guest->conf->socket);
	guest->registered = false;
	/* The number may be another guest's connection by now. */
	if (vid >= 0)
		__atomic_compare_exchange_n(
			&by_vid[vid], &(struct dt_guest *){ guest }, NULL, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	dt_guest_drop_memory(guest);
	guest->vid = -1;
}

void
dt_guest_free(struct dt_guest *guest)
{
	if (guest == NULL)
		return;
	dt_worker_remove(guest->worker, dt_pair_poll, guest->pair);
	dt_lane_drain(&guest->pair->lane, DT_CAUSE_SHUTTING_DOWN);
	dt_lane_fini(&guest->pair->lane);
	rte_free(guest->pair);
	for (unsigned int i = 0; i < n_guests; i++)
		if (guests[i] == guest)
			guests[i--] = guests[--n_guests];
	pthread_mutex_destroy(&guest->lock);
	free(guest);
}

/* ---- asked ---- */

struct dt_lane *
dt_guest_lane(struct dt_guest *guest)
{
	return &guest->pair->lane;
}

const struct dt_conf_guest *
dt_guest_conf(const struct dt_guest *guest)
{
	return guest->conf;
}

static enum dt_guest_state
state_of(const struct dt_guest *guest)
{
	bool runs = false;

	if (guest->vid < 0)
		return guest->conf->socket_mode == DT_SOCKET_CLIENT ? DT_GUEST_CONNECTING : DT_GUEST_LISTENING;
	for (unsigned int ring = 0; ring < DT_RINGS; ring++) {
		if (!guest->ring[ring].on)
			continue;
		if (dt_vq_broken(&guest->pair->vq[ring]))
			return DT_GUEST_BROKEN;
		runs = true;
	}
	return runs ? DT_GUEST_RUNNING : DT_GUEST_NEGOTIATING;
}

void
dt_guest_info(struct dt_guest *guest, struct dt_guest_info *ret_info)
{
	pthread_mutex_lock(&guest->lock);
	*ret_info = (struct dt_guest_info){
		.state = state_of(guest),
		.features = guest->features,
		.ring_runs = { guest->ring[DT_RING_TO_GUEST].on, guest->ring[DT_RING_FROM_GUEST].on },
		.lcore = dt_worker_lcore(guest->worker),
		.node = dt_worker_node(guest->worker),
		.memory_node = guest->memory_node,
		.connections = guest->connections,
	};
	pthread_mutex_unlock(&guest->lock);
}

const char *
dt_guest_state_name(enum dt_guest_state state)
{
	static const char *const names[] = {
		[DT_GUEST_LISTENING] = "LISTENING",
		[DT_GUEST_CONNECTING] = "CONNECTING",
		[DT_GUEST_NEGOTIATING] = "NEGOTIATING",
		[DT_GUEST_RUNNING] = "RUNNING",
		[DT_GUEST_BROKEN] = "BROKEN",
	};

	return names[state];
}

void
dt_guest_tick(struct dt_guest *guest)
{
	pthread_mutex_lock(&guest->lock);
	for (unsigned int ring = 0; ring < DT_RINGS; ring++) {
		const char *fault = dt_vq_fault_text(&guest->pair->vq[ring]);

		if (!guest->ring[ring].on || guest->ring[ring].told || fault == NULL)
			continue;
		if (!dt_guest_may_say(guest, RTE_LOG_ERR))
			continue; /* later */
		guest->ring[ring].told = true;
		DT_LOG(ERR, "guest '%s': ring %u is out of service: %s; reset the device or restart the guest",
			guest->conf->name, ring, fault);
	}
	pthread_mutex_unlock(&guest->lock);
}

void
dt_guest_on_gone(struct dt_guest *guest, void (*gone)(void *arg), void *arg)
{
	guest->gone = gone;
	guest->gone_arg = arg;
}
