/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <errno.h>
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

#define SAY_PERIOD_S 10
#define SAY_MAX      10

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

/* ---- made, started, stopped, freed; main thread ---- */

static int
pair_new(struct dt_guest *guest, unsigned int port, unsigned int i, struct dt_sink sink, bool single_producer)
{
	struct dt_worker *worker = guest->place.choose(guest->place.self, NULL, -1);
	int node = dt_worker_memory(worker);
	char name[RTE_RING_NAMESIZE];
	struct dt_pair *pair = rte_zmalloc_socket("dt_pair", sizeof(*pair), RTE_CACHE_LINE_SIZE, node);
	int err;

	if (pair == NULL)
		return -ENOMEM;
	pair->at_in = DT_AT_IN(port);
	pair->at_out = DT_AT_OUT(port);
	pair->sink = sink;
	pair->pool = dt_pool_of(node);
	pair->burst = DT_BURST;
	pair->turn.shared = &guest->turn;
	snprintf(name, sizeof(name), "dt_lane_%u_%u", port, i);
	err = dt_lane_init(&pair->lane, name, pair->at_out, guest->conf->queue_len, DT_CAUSE_GUEST_NOT_CONNECTED, node,
		single_producer);
	if (err != 0)
		goto fail;
	guest->lanes[i] = pair;
	guest->pairs[i] = (struct dt_guest_pair){ .pair = pair, .worker = worker };
	dt_guest_attach(guest, i);
	err = dt_worker_add(worker, &dt_pair_polled, pair);
	if (err != 0) {
		dt_lane_fini(&pair->lane);
		goto fail;
	}
	guest->n_pairs++;
	dt_guest_say_moved(guest, NULL, worker);
	return 0;
fail:
	rte_free(pair);
	return err;
}

static void
pair_free(struct dt_guest_pair *pair)
{
	dt_worker_remove(pair->worker, &dt_pair_polled, pair->pair);
	dt_lane_drain(&pair->pair->lane, DT_CAUSE_SHUTTING_DOWN);
	dt_lane_fini(&pair->pair->lane);
	rte_free(pair->pair);
}

int
dt_guest_new(const struct dt_conf_guest *conf, unsigned int port, const struct dt_sink *sinks,
	struct dt_guest_place place, bool single_producer, struct dt_guest **ret_guest)
{
	struct dt_guest *guest = rte_zmalloc("dt_guest", sizeof(*guest), RTE_CACHE_LINE_SIZE);
	int err;

	if (guest == NULL)
		return -ENOMEM;
	guest->conf = conf;
	guest->fit.multi_segment = true;
	guest->place = place;
	guest->vid = -1;
	guest->fd = -1;
	guest->memory_node = -1;
	guest->placed_node = -1;
	guest->n_rings = DT_RINGS * conf->n_queues;
	dt_spread_set(&guest->spread, (const uint8_t[]){ 0 }, 1);
	pthread_mutex_init(&guest->lock, NULL);
	err = dt_guest_enlist(guest);
	for (unsigned int i = 0; err == 0 && i < conf->n_queues; i++)
		err = pair_new(guest, port, i, sinks[i], single_producer);
	if (err != 0) {
		dt_guest_free(guest);
		return err;
	}
	*ret_guest = guest;
	return 0;
}

int
dt_guest_start(struct dt_guest *guest, char error[static DT_ERROR_SIZE])
{
	const struct dt_conf_guest *conf = guest->conf;
	bool client = conf->socket_mode == DT_SOCKET_CLIENT;
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
	dt_positions_open(guest);
	if (rte_vhost_driver_set_features(conf->socket, dt_guest_features(conf)) != 0 ||
		rte_vhost_driver_set_protocol_features(conf->socket, dt_guest_protocol_features()) != 0 ||
		rte_vhost_driver_callback_register(conf->socket, &dt_guest_callbacks) != 0 ||
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
	dt_guest_forget_vid(guest, vid);
	dt_guest_drop_memory(guest);
	dt_guest_drop_log(guest);
	guest->vid = -1;
}

void
dt_guest_free(struct dt_guest *guest)
{
	if (guest == NULL)
		return;
	for (unsigned int i = 0; i < guest->n_pairs; i++)
		pair_free(&guest->pairs[i]);
	dt_guest_delist(guest);
	dt_positions_close(guest);
	pthread_mutex_destroy(&guest->lock);
	rte_free(guest);
}

/* ---- asked ---- */

struct dt_lane *
dt_guest_lane(struct dt_guest *guest, unsigned int pair)
{
	return dt_guest_lane_now(guest, pair);
}

const struct dt_conf_guest *
dt_guest_conf(const struct dt_guest *guest)
{
	return guest->conf;
}

static const struct dt_vq *
vq_of(const struct dt_guest *guest, unsigned int ring)
{
	return &guest->pairs[ring / DT_RINGS].pair->vq[ring % DT_RINGS];
}

static enum dt_guest_state
state_of(const struct dt_guest *guest)
{
	bool runs = false;

	if (guest->vid < 0)
		return guest->conf->socket_mode == DT_SOCKET_CLIENT ? DT_GUEST_CONNECTING : DT_GUEST_LISTENING;
	for (unsigned int ring = 0; ring < guest->n_rings; ring++) {
		if (!guest->ring[ring].on)
			continue;
		if (dt_vq_broken(vq_of(guest, ring)))
			return DT_GUEST_BROKEN;
		runs = true;
	}
	return runs ? DT_GUEST_RUNNING : DT_GUEST_NEGOTIATING;
}

static struct dt_guest_pair_info
pair_info(const struct dt_guest *guest, unsigned int i)
{
	const struct dt_guest_pair *pair = &guest->pairs[i];

	return (struct dt_guest_pair_info){
		.runs = { guest->ring[DT_RINGS * i].on, guest->ring[DT_RINGS * i + 1].on },
		.takes = pair->joined,
		.lcore = dt_worker_lcore(pair->worker),
		.node = dt_worker_node(pair->worker),
		.held = dt_lane_count(&pair->pair->lane),
		.cycles = dt_counter_read(&pair->pair->cycles),
	};
}

void
dt_guest_info(struct dt_guest *guest, struct dt_guest_info *ret_info)
{
	pthread_mutex_lock(&guest->lock);
	*ret_info = (struct dt_guest_info){
		.state = state_of(guest),
		.features = guest->features,
		.mtu = guest->mtu,
		.memory_node = guest->memory_node,
		.connections = guest->connections,
		.n_pairs = guest->n_pairs,
	};
	for (unsigned int i = 0; i < guest->n_pairs; i++)
		ret_info->pairs[i] = pair_info(guest, i);
	pthread_mutex_unlock(&guest->lock);
}

void
dt_guest_nodes(struct dt_guest *guest, struct dt_guest_nodes *ret_nodes)
{
	struct dt_node_sample sample;

	pthread_mutex_lock(&guest->lock);
	dt_guest_sample_memory(guest, &sample);
	ret_nodes->memory = dt_node_of_most(&sample);
	ret_nodes->n_pairs = guest->n_pairs;
	for (unsigned int i = 0; i < guest->n_pairs; i++) {
		const struct dt_pair *pair = guest->pairs[i].pair;

		ret_nodes->pairs[i] = (struct dt_queue_nodes){
			.worker = dt_worker_node(guest->pairs[i].worker),
			.pair = dt_node_of(pair),
			.lane = dt_node_of(pair->lane.ring),
			.pool = pair->pool,
		};
	}
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
	for (unsigned int ring = 0; ring < guest->n_rings; ring++) {
		const char *fault = dt_vq_fault_text(vq_of(guest, ring));

		if (!guest->ring[ring].on || guest->ring[ring].told || fault == NULL)
			continue;
		if (!dt_guest_may_say(guest, RTE_LOG_ERR))
			continue; /* later */
		guest->ring[ring].told = true;
		DT_LOG(ERR, "guest '%s': ring %u is out of service: %s; reset the device or restart the guest",
			guest->conf->name, ring, fault);
	}
	dt_guest_watch_log(guest);
	dt_guest_doubt(guest);
	if (!guest->frozen)
		dt_guest_join(guest);
	pthread_mutex_unlock(&guest->lock);
}

void
dt_guest_on_gone(struct dt_guest *guest, unsigned int pair, void (*gone)(void *arg), void *arg)
{
	guest->pairs[pair].gone = gone;
	guest->pairs[pair].gone_arg = arg;
}
