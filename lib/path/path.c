/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_malloc.h>

#include "bridge.h"
#include "fdb.h"
#include "log.h"
#include "node.h"
#include "pool.h"

/* ---- bridges ---- */

/* The bridge of a guest: that of its uplink, or that of guests without. */
static struct dt_bridge *
bridge_of(const struct dt_path *path, const struct dt_conf_guest *guest)
{
	return &path->bridges[guest->uplink >= 0 ? (unsigned int)guest->uplink : path->conf->n_uplinks];
}

static int
bridge_init(struct dt_bridge *bridge, unsigned int number, unsigned int members_max, bool pipe)
{
	char name[RTE_HASH_NAMESIZE];

	bridge->members = rte_calloc("dt_members", members_max, sizeof(*bridge->members), RTE_CACHE_LINE_SIZE);
	if (bridge->members == NULL)
		return -ENOMEM;
	if (pipe)
		return 0;
	snprintf(name, sizeof(name), "dt_fdb_%u", number);
	/* Twice the room, for entries that wait until no worker can still see them. */
	return dt_fdb_new(name, 2 * members_max * (DT_LEARN_MAX + 1), &bridge->fdb);
}

static int
bridges_new(struct dt_path *path)
{
	const struct dt_conf *conf = path->conf;

	path->n_bridges = conf->n_uplinks + 1;
	path->bridges = calloc(path->n_bridges, sizeof(*path->bridges));
	if (path->bridges == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < path->n_bridges; i++) {
		bool pipe = i < conf->n_uplinks && conf->uplinks[i].mode == DT_MODE_PASSTHRU;
		int err = bridge_init(&path->bridges[i], i, conf->n_guests + 1, pipe);

		if (err != 0)
			return err;
	}
	return 0;
}

static struct dt_sink
sink_into(struct dt_ingress *ingress)
{
	return (struct dt_sink){
		.take = ingress->bridge->fdb != NULL ? dt_bridge_take : dt_pipe_take,
		.self = ingress,
	};
}

/* Each queue pair has its place in the uplink's lanes, so that guests spread over them and flows keep their order. */
static int
ingress_new(struct dt_path *path, unsigned int port, struct dt_bridge *bridge, unsigned int n_pairs, bool teaches)
{
	unsigned int lanes = bridge->n_members > 0 && bridge->members[0].uplink != NULL
				     ? dt_uplink_conf(bridge->members[0].uplink)->n_queues
				     : 1;
	struct dt_ingress *ingress = rte_calloc("dt_ingress", n_pairs, sizeof(*ingress), RTE_CACHE_LINE_SIZE);

	if (ingress == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < n_pairs; i++)
		ingress[i] = (struct dt_ingress){
			.bridge = bridge,
			.self = bridge->n_members,
			.at = DT_AT_IN(port),
			.lane = (bridge->n_members + i) % lanes,
			.teaches = teaches,
		};
	path->ingress[port] = ingress;
	return 0;
}

/* ---- ports ---- */

static bool
any_has_several_queues(const struct dt_conf *conf, unsigned int uplink)
{
	for (unsigned int i = 0; i < conf->n_guests; i++)
		if (conf->guests[i].uplink == (int)uplink && conf->guests[i].n_queues > 1)
			return true;
	return false;
}

static int
uplink_add(struct dt_path *path, unsigned int i, char error[static DT_ERROR_SIZE])
{
	const struct dt_conf_uplink *conf = &path->conf->uplinks[i];
	struct dt_sink sinks[RTE_MAX_QUEUES_PER_PORT];
	struct dt_worker *workers[RTE_MAX_QUEUES_PER_PORT];
	struct dt_bridge *bridge = &path->bridges[i];
	int err = ingress_new(path, i, bridge, conf->n_queues, true);

	if (err != 0)
		return err;
	bridge->members[bridge->n_members++].uplink = path->uplinks[i];
	for (unsigned int q = 0; q < conf->n_queues; q++) {
		sinks[q] = sink_into(&path->ingress[i][q]);
		workers[q] = dt_path_choose(path, NULL, dt_uplink_node(path->uplinks[i]));
		dt_path_count(path, NULL, workers[q]);
	}
	if (any_has_several_queues(path->conf, i))
		dt_uplink_spread(path->uplinks[i]);
	return dt_uplink_start(path->uplinks[i], sinks, workers, dt_workers_count() == 1, error);
}

static int
guest_add(struct dt_path *path, unsigned int i)
{
	const struct dt_conf_guest *conf = &path->conf->guests[i];
	struct dt_guest_place place = { .choose = dt_path_choose, .moved = dt_path_count, .self = path };
	struct dt_bridge *bridge = bridge_of(path, conf);
	unsigned int port = path->conf->n_uplinks + i;
	struct dt_sink sinks[DT_CONF_QUEUES_MAX];
	int err = ingress_new(path, port, bridge, conf->n_queues, !conf->has_mac);

	if (err != 0)
		return err;
	for (unsigned int pair = 0; pair < conf->n_queues; pair++) {
		path->ingress[port][pair].own = conf->has_mac ? dt_mac_key(&conf->mac) : 0;
		sinks[pair] = sink_into(&path->ingress[port][pair]);
	}
	err = dt_guest_new(conf, port, sinks, place, dt_workers_count() == 1, &path->guests[i]);
	if (err != 0)
		return err;
	bridge->members[bridge->n_members++].guest = path->guests[i];
	for (unsigned int pair = 0; pair < conf->n_queues; pair++)
		dt_guest_on_gone(path->guests[i], pair, dt_bridge_forget, &path->ingress[port][pair]);
	if (bridge->fdb == NULL || !conf->has_mac)
		return 0;
	return dt_fdb_add(bridge->fdb, dt_mac_key(&conf->mac), path->ingress[port]->self);
}

static void
say_too_few(const struct dt_pool_need *need, char error[static DT_ERROR_SIZE])
{
	struct dt_pool_share shares[DT_POOLS_MAX];
	struct dt_pool_need least = *need;
	unsigned int n;

	least.mbufs = 0;
	n = dt_pool_shares(&least, shares);
	snprintf(error, DT_ERROR_SIZE,
		"[dptap] mbufs = %u: too few: lanes and NIC rings of these ports can hold %u%s; "
		"raise mbufs, or lower queue_len, rx_desc or tx_desc",
		need->mbufs, dt_pool_least(need), n > 1 ? " on all NUMA nodes with workers" : "");
}

static void
say_no_memory(const struct dt_pool_need *need, char error[static DT_ERROR_SIZE])
{
	struct dt_pool_share shares[DT_POOLS_MAX];
	unsigned int n = dt_pool_shares(need, shares);
	int len = snprintf(error, DT_ERROR_SIZE, "mbuf pool%s: no memory for", n > 1 ? "s" : "");

	for (unsigned int i = 0; i < n; i++) {
		len += snprintf(error + len, (size_t)(DT_ERROR_SIZE - len), "%s %u mbufs (%u MiB)", i > 0 ? "," : "",
			shares[i].mbufs, (unsigned int)(dt_pool_bytes(shares[i].mbufs) >> 20) + 1);
		if (n > 1)
			len += snprintf(error + len, (size_t)(DT_ERROR_SIZE - len), " on NUMA node %d", shares[i].node);
	}
	snprintf(error + len, (size_t)(DT_ERROR_SIZE - len),
		": reserve more hugepages%s, or give EAL -m MEGABYTES with --no-huge, or lower queue_len, rx_desc or "
		"tx_desc",
		n > 1 ? " there" : "");
}

/* Once for each node: its workers' memory lies elsewhere. */
static void
warn_of_homeless(void)
{
	for (unsigned int i = 0; dt_nodes_count() > 1 && rte_eal_has_hugepages() && i < dt_workers_count(); i++) {
		const struct dt_worker *worker = dt_worker_at(i);
		int node = dt_worker_node(worker);

		for (unsigned int k = 0; k < i; k++)
			if (dt_worker_node(dt_worker_at(k)) == node)
				worker = NULL;
		if (worker != NULL && node >= 0 && dt_worker_memory(worker) < 0)
			DT_LOG(WARNING,
				"NUMA node %d: EAL has no memory there, so its workers (lcore %u) use other nodes': "
				"slower; reserve hugepages in /sys/devices/system/node/node%d/hugepages, and give it "
				"its part in --socket-mem",
				node, dt_worker_lcore(worker), node);
	}
}

static int
pool_new(const struct dt_path *path, char error[static DT_ERROR_SIZE])
{
	int nodes[RTE_MAX_LCORE];
	struct dt_pool_need need = {
		.mbufs = path->conf->mbufs,
		.n_workers = dt_workers_count(),
		.nodes = nodes,
	};
	int err;

	for (unsigned int i = 0; i < path->conf->n_uplinks; i++)
		need.frame_mbufs = RTE_MAX(need.frame_mbufs, dt_uplink_frame_mbufs(&path->conf->uplinks[i]));
	for (unsigned int i = 0; i < path->conf->n_uplinks; i++)
		dt_uplink_need(path->uplinks[i], &need);
	for (unsigned int i = 0; i < path->conf->n_guests; i++)
		for (unsigned int pair = 0; pair < path->conf->guests[i].n_queues; pair++)
			dt_pool_need_lane(&need, path->conf->guests[i].queue_len);
	for (unsigned int i = 0; i < need.n_workers; i++)
		nodes[i] = dt_worker_memory(dt_worker_at(i));
	warn_of_homeless();
	err = dt_pool_init(&need);
	if (err == -EINVAL)
		say_too_few(&need, error);
	else if (err != 0)
		say_no_memory(&need, error);
	return err;
}

static int
ports_new(struct dt_path *path)
{
	const struct dt_conf *conf = path->conf;

	path->n_ports = conf->n_uplinks + conf->n_guests;
	path->ports = calloc(path->n_ports, sizeof(*path->ports));
	path->uplinks = calloc(conf->n_uplinks + 1, sizeof(*path->uplinks));
	path->guests = calloc(conf->n_guests + 1, sizeof(*path->guests));
	path->ingress = calloc(path->n_ports, sizeof(*path->ingress));
	path->n_pairs = calloc(dt_workers_count(), sizeof(*path->n_pairs));
	if (path->ports == NULL || path->uplinks == NULL || path->guests == NULL || path->ingress == NULL ||
		path->n_pairs == NULL || dt_load_new(path, &path->load) != 0)
		return -ENOMEM;
	for (unsigned int i = 0; i < conf->n_uplinks; i++)
		path->ports[i] = (struct dt_ledger_port){ conf->uplinks[i].name, DT_PORT_UPLINK };
	for (unsigned int i = 0; i < conf->n_guests; i++)
		path->ports[conf->n_uplinks + i] = (struct dt_ledger_port){ conf->guests[i].name, DT_PORT_GUEST };
	return dt_ledger_init(path->ports, path->n_ports);
}

static int
build(struct dt_path *path, char error[static DT_ERROR_SIZE])
{
	int err = ports_new(path);

	if (err != 0)
		return err;
	for (unsigned int i = 0; i < path->conf->n_uplinks; i++) {
		err = dt_uplink_new(&path->conf->uplinks[i], i, &path->uplinks[i], error);
		if (err != 0)
			return err;
	}
	err = pool_new(path, error);
	if (err != 0)
		return err;
	err = bridges_new(path);
	for (unsigned int i = 0; err == 0 && i < path->conf->n_uplinks; i++)
		err = uplink_add(path, i, error);
	for (unsigned int i = 0; err == 0 && i < path->conf->n_guests; i++)
		err = guest_add(path, i);
	return err;
}

int
dt_path_new(const struct dt_conf *conf, struct dt_path **ret_path, char error[static DT_ERROR_SIZE])
{
	struct dt_path *path = calloc(1, sizeof(*path));
	int err;

	snprintf(error, DT_ERROR_SIZE, "no memory");
	if (path == NULL)
		return -ENOMEM;
	error[0] = '\0';
	path->conf = conf;
	pthread_mutex_init(&path->place_lock, NULL);
	pthread_mutex_init(&path->move_lock, NULL);
	err = build(path, error);
	if (err != 0) {
		if (error[0] == '\0')
			snprintf(error, DT_ERROR_SIZE,
				"%u ports: %s: reserve more hugepages, or give EAL -m MEGABYTES with "
				"--no-huge",
				path->n_ports, strerror(-err));
		dt_path_stop(path);
		dt_path_free(path);
		return err;
	}
	*ret_path = path;
	return 0;
}

int
dt_path_start(struct dt_path *path, char error[static DT_ERROR_SIZE])
{
	for (unsigned int i = 0; i < path->conf->n_guests; i++) {
		int err = dt_guest_start(path->guests[i], error);

		if (err != 0)
			return err;
	}
	return 0;
}

void
dt_path_stop(struct dt_path *path)
{
	for (unsigned int i = 0; path->guests != NULL && i < path->conf->n_guests; i++)
		if (path->guests[i] != NULL)
			dt_guest_stop(path->guests[i]);
	for (unsigned int i = 0; path->uplinks != NULL && i < path->conf->n_uplinks; i++)
		if (path->uplinks[i] != NULL)
			dt_uplink_stop(path->uplinks[i]);
	/* What a sender still had in its hands is in a lane now, and the guests' polls drain those that are closed. */
	dt_workers_pass();
	dt_workers_stop();
}

void
dt_path_free(struct dt_path *path)
{
	if (path == NULL)
		return;
	for (unsigned int i = 0; path->guests != NULL && i < path->conf->n_guests; i++)
		dt_guest_free(path->guests[i]);
	for (unsigned int i = 0; path->uplinks != NULL && i < path->conf->n_uplinks; i++)
		dt_uplink_free(path->uplinks[i]);
	for (unsigned int i = 0; path->ingress != NULL && i < path->n_ports; i++)
		rte_free(path->ingress[i]);
	for (unsigned int i = 0; path->bridges != NULL && i < path->n_bridges; i++) {
		dt_fdb_free(path->bridges[i].fdb);
		rte_free(path->bridges[i].members);
	}
	dt_ledger_fini();
	dt_pool_fini();
	pthread_mutex_destroy(&path->move_lock);
	pthread_mutex_destroy(&path->place_lock);
	free(path->bridges);
	free(path->ingress);
	free(path->guests);
	free(path->uplinks);
	free(path->ports);
	free(path->n_pairs);
	dt_load_free(path->load);
	free(path);
}

/* Look at sources again; say if one was found that no answer will reach. */
static void
tick_ingress(const struct dt_conf_guest *conf, struct dt_ingress *ingress)
{
	uint64_t stranger = dt_bridge_stranger(ingress, conf->n_queues);
	const struct rte_ether_addr *mac = (const struct rte_ether_addr *)&stranger;

	if (stranger != 0)
		DT_LOG(WARNING,
			"guest '%s': sends from " RTE_ETHER_ADDR_PRT_FMT ", but its mac= is " RTE_ETHER_ADDR_PRT_FMT
			": what is for the former does not reach it; make them the same",
			conf->name, RTE_ETHER_ADDR_BYTES(mac), RTE_ETHER_ADDR_BYTES(&conf->mac));
	for (unsigned int pair = 0; pair < conf->n_queues; pair++)
		dt_bridge_look_again(&ingress[pair]);
}

void
dt_path_tick(struct dt_path *path)
{
	dt_workers_watch();
	for (unsigned int i = 0; i < path->conf->n_uplinks; i++)
		dt_uplink_tick(path->uplinks[i]);
	for (unsigned int i = 0; i < path->conf->n_guests; i++) {
		dt_guest_tick(path->guests[i]);
		tick_ingress(&path->conf->guests[i], path->ingress[path->conf->n_uplinks + i]);
	}
	dt_path_look(path);
}

unsigned int
dt_path_n_ports(const struct dt_path *path)
{
	return path->n_ports;
}

unsigned int
dt_path_n_uplinks(const struct dt_path *path)
{
	return path->conf->n_uplinks;
}

const char *
dt_path_name(const struct dt_path *path, unsigned int port)
{
	return path->ports[port].name;
}

struct dt_uplink *
dt_path_uplink(const struct dt_path *path, unsigned int port)
{
	return port < path->conf->n_uplinks ? path->uplinks[port] : NULL;
}

struct dt_guest *
dt_path_guest(const struct dt_path *path, unsigned int port)
{
	return port < path->conf->n_uplinks ? NULL : path->guests[port - path->conf->n_uplinks];
}

int
dt_path_find(const struct dt_path *path, const char *name)
{
	for (unsigned int port = 0; port < path->n_ports; port++)
		if (strcmp(path->ports[port].name, name) == 0)
			return (int)port;
	return -1;
}

unsigned int
dt_path_tables_on(const struct dt_path *path, int node)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < path->n_bridges; i++)
		n += path->bridges[i].fdb != NULL && dt_fdb_node(path->bridges[i].fdb) == node;
	return n;
}

const struct dt_conf *
dt_path_conf(const struct dt_path *path)
{
	return path->conf;
}
