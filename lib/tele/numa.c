/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What lies on which NUMA node, and what its workers reach for on others. Nodes are those that the kernel tells of the
 * memory itself, whatever was asked for.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>
#include <rte_memory.h>

#include "node.h"
#include "pool.h"

#define CPUS_MAX 256

/* What a node takes in JSON besides its names: keys, numbers, and the longest lists of those. */
#define NODE_JSON (500 + 4 * CPUS_MAX + 8 * RTE_MAX_LCORE)

/* Lists of names that a node can have; each may have thousands, and is cut then. */
#define LISTS_MAX 9

/* Most machines have no more; with many, each could tell next to nothing in one answer. */
#define NODES_AT_ONCE 2

_Static_assert(NODE_JSON < DT_TELE_ROOM / NODES_AT_ONCE, "lists have room, however many lcores DPDK was built for");

#define SAMPLE_PAGES 256 /* of each piece of EAL's memory */

/* A port, and where its parts are. */
struct port {
	const char *name;
	bool is_guest;
	int home; /* of the guest's memory, or the NIC */
	unsigned int n;
	struct dt_queue_nodes queues[DT_CONF_QUEUES_MAX];
};

struct survey {
	uint64_t memory[DT_NODES_MAX]; /* EAL's, bytes */
	unsigned int n_pools;
	struct dt_pool_info pools[DT_POOLS_MAX];
	unsigned int n_ports;
	struct port ports[];
};

/* ---- looking ---- */

static int
look_at_memory(const struct rte_memseg_list *list, const struct rte_memseg *from, size_t len, void *arg)
{
	struct survey *survey = arg;
	struct dt_node_sample sample = { 0 };

	if (list->external)
		return 0;
	dt_node_sample(&sample, from->addr, len, SAMPLE_PAGES, false);
	for (int node = 0; node < DT_NODES_MAX && sample.n > 0; node++)
		survey->memory[node] += len / sample.n * sample.n_on[node];
	return 0;
}

static void
look_at_port(const struct dt_path *path, unsigned int number, struct port *port)
{
	struct dt_uplink *uplink = dt_path_uplink(path, number);
	struct dt_guest_nodes guest;

	port->name = dt_path_name(path, number);
	port->is_guest = uplink == NULL;
	if (port->is_guest) {
		dt_guest_nodes(dt_path_guest(path, number), &guest);
		port->home = guest.memory;
		port->n = guest.n_pairs;
		memcpy(port->queues, guest.pairs, sizeof(port->queues));
		return;
	}
	port->home = dt_uplink_node(uplink);
	port->n = dt_uplink_conf(uplink)->n_queues;
	for (unsigned int q = 0; q < port->n; q++)
		port->queues[q] = dt_uplink_nodes(uplink, q);
}

/* @return to be freed; NULL: no memory */
static struct survey *
look(const struct dt_path *path)
{
	unsigned int n_ports = dt_path_n_ports(path);
	struct survey *survey = calloc(1, sizeof(*survey) + n_ports * sizeof(survey->ports[0]));

	if (survey == NULL)
		return NULL;
	rte_memseg_contig_walk(look_at_memory, survey);
	survey->n_pools = dt_pools_count();
	for (unsigned int i = 0; i < survey->n_pools; i++)
		dt_pool_info(i, &survey->pools[i]);
	survey->n_ports = n_ports;
	for (unsigned int i = 0; i < n_ports; i++)
		look_at_port(path, i, &survey->ports[i]);
	return survey;
}

static int
node_of_mbufs(const struct survey *survey, const struct rte_mempool *pool)
{
	for (unsigned int i = 0; i < survey->n_pools; i++)
		if (survey->pools[i].pool == pool)
			return dt_node_of_most(&survey->pools[i].memory);
	return -1;
}

static int
node_of_ledger(unsigned int lcore)
{
	struct dt_node_sample sample = { 0 };

	dt_node_sample(&sample, dt_books[lcore], 2 * dt_ledger_n_ports() * sizeof(*dt_books[lcore]), 16, false);
	return dt_node_of_most(&sample);
}

/* ---- lists of queue pairs ---- */

typedef bool (*queue_test)(
	const struct survey *survey, const struct port *port, const struct dt_queue_nodes *queue, int node);

static bool
lies_on(const struct survey *survey, const struct port *port, const struct dt_queue_nodes *queue, int node)
{
	(void)survey;
	(void)port;
	return queue->pair == node;
}

static bool
has_lane_on(const struct survey *survey, const struct port *port, const struct dt_queue_nodes *queue, int node)
{
	(void)survey;
	(void)port;
	return queue->lane == node;
}

/* Whether a worker on @p node polls it, and something of it lies elsewhere. */
static bool
is_far(const struct dt_queue_nodes *queue, int node, int other)
{
	return queue->worker == node && other >= 0 && other != node;
}

static bool
has_far_memory(const struct survey *survey, const struct port *port, const struct dt_queue_nodes *queue, int node)
{
	(void)survey;
	return port->is_guest && is_far(queue, node, port->home);
}

static bool
has_far_nic(const struct survey *survey, const struct port *port, const struct dt_queue_nodes *queue, int node)
{
	(void)survey;
	return !port->is_guest && is_far(queue, node, port->home);
}

static bool
is_far_itself(const struct survey *survey, const struct port *port, const struct dt_queue_nodes *queue, int node)
{
	(void)survey;
	(void)port;
	return is_far(queue, node, queue->pair);
}

static bool
has_far_lane(const struct survey *survey, const struct port *port, const struct dt_queue_nodes *queue, int node)
{
	(void)survey;
	(void)port;
	return is_far(queue, node, queue->lane);
}

static bool
has_far_mbufs(const struct survey *survey, const struct port *port, const struct dt_queue_nodes *queue, int node)
{
	(void)port;
	return is_far(queue, node, node_of_mbufs(survey, queue->pool));
}

/* An answer that is being made. */
struct answer {
	const struct survey *survey;
	int node;
	size_t list_max; /* bytes of JSON */
};

/* @return false: it was one too many, and the list has ended with "..." */
static bool
add_name(const struct answer *answer, struct rte_tel_data *names, const char *name, size_t *used)
{
	*used += strlen(name) + 4;
	rte_tel_data_add_array_string(names, *used > answer->list_max ? "..." : name);
	return *used <= answer->list_max;
}

/* @p key: ["vm0:0", ...], @p optional: not if there is none */
static void
add_queues(const struct answer *answer, struct rte_tel_data *data, const char *key, queue_test test, bool optional)
{
	const struct survey *survey = answer->survey;
	struct rte_tel_data *names = rte_tel_data_alloc();
	size_t used = 0;
	bool room = true;

	if (names == NULL)
		return;
	rte_tel_data_start_array(names, RTE_TEL_STRING_VAL);
	for (unsigned int i = 0; i < survey->n_ports; i++) {
		const struct port *port = &survey->ports[i];

		for (unsigned int q = 0; room && q < port->n; q++) {
			char name[DT_NAME_SIZE + 16];

			if (!test(survey, port, &port->queues[q], answer->node))
				continue;
			snprintf(name, sizeof(name), "%s:%u", port->name, q);
			room = add_name(answer, names, name, &used);
		}
	}
	if (used > 0 || !optional)
		rte_tel_data_add_dict_container(data, key, names, 0);
	else
		rte_tel_data_free(names);
}

/* ---- other lists ---- */

/* @p key: ["vm0", ...] */
static void
add_ports(const struct answer *answer, struct rte_tel_data *data, const char *key, bool guests)
{
	const struct survey *survey = answer->survey;
	struct rte_tel_data *names = rte_tel_data_alloc();
	size_t used = 0;
	bool room = true;

	if (names == NULL)
		return;
	rte_tel_data_start_array(names, RTE_TEL_STRING_VAL);
	for (unsigned int i = 0; room && i < survey->n_ports; i++)
		if (survey->ports[i].is_guest == guests && survey->ports[i].home == answer->node)
			room = add_name(answer, names, survey->ports[i].name, &used);
	rte_tel_data_add_dict_container(data, key, names, 0);
}

static void
add_numbers(struct rte_tel_data *data, const char *key, const unsigned int numbers[], unsigned int n)
{
	struct rte_tel_data *list = rte_tel_data_alloc();

	if (list == NULL)
		return;
	rte_tel_data_start_array(list, RTE_TEL_INT_VAL);
	for (unsigned int i = 0; i < n; i++)
		rte_tel_data_add_array_int(list, (int)numbers[i]);
	rte_tel_data_add_dict_container(data, key, list, 0);
}

static void
add_cpus(struct rte_tel_data *data, int node)
{
	unsigned int cpus[CPUS_MAX], numbers[RTE_MAX_LCORE], lcore, n = 0;

	add_numbers(data, "cpus", cpus, dt_node_cpus(node, cpus, CPUS_MAX));
	RTE_LCORE_FOREACH(lcore)
	{
		if ((int)rte_lcore_to_socket_id(lcore) == node)
			numbers[n++] = lcore;
	}
	add_numbers(data, "lcores", numbers, n);
	n = 0;
	RTE_LCORE_FOREACH(lcore)
	{
		if (node_of_ledger(lcore) == node)
			numbers[n++] = lcore;
	}
	add_numbers(data, "ledgers", numbers, n);
}

static void
add_memory(struct rte_tel_data *data, const struct survey *survey, int node)
{
	struct rte_malloc_socket_stats heap = { 0 };
	uint64_t mbufs = 0, unused = 0;

	rte_malloc_get_socket_stats(node, &heap);
	for (unsigned int i = 0; i < survey->n_pools; i++) {
		if (dt_node_of_most(&survey->pools[i].memory) != node)
			continue;
		mbufs += survey->pools[i].mbufs;
		unused += survey->pools[i].n_free;
	}
	rte_tel_data_add_dict_uint(data, "memory_bytes", survey->memory[node]);
	rte_tel_data_add_dict_uint(data, "memory_bytes_free", heap.heap_freesz_bytes);
	rte_tel_data_add_dict_uint(data, "mbufs", mbufs);
	rte_tel_data_add_dict_uint(data, "mbufs_free", unused);
}

/* "crossing": {"memory": ["vm1:0"], ...}: what workers of the node reach for on others */
static void
add_crossing(const struct answer *answer, struct rte_tel_data *data)
{
	static const struct {
		const char *key;
		queue_test test;
	} kinds[] = {
		{ "memory", has_far_memory },
		{ "nic", has_far_nic },
		{ "mbufs", has_far_mbufs },
		{ "lane", has_far_lane },
		{ "queue_pair", is_far_itself },
	};
	struct rte_tel_data *crossing = rte_tel_data_alloc();

	if (crossing == NULL)
		return;
	rte_tel_data_start_dict(crossing);
	for (unsigned int i = 0; i < RTE_DIM(kinds); i++)
		add_queues(answer, crossing, kinds[i].key, kinds[i].test, true);
	rte_tel_data_add_dict_container(data, "crossing", crossing, 0);
}

static void
add_node(const struct answer *answer, struct rte_tel_data *data, const struct dt_path *path)
{
	rte_tel_data_start_dict(data);
	add_cpus(data, answer->node);
	add_memory(data, answer->survey, answer->node);
	add_ports(answer, data, "nics", false);
	add_ports(answer, data, "guests", true);
	add_queues(answer, data, "queue_pairs", lies_on, false);
	add_queues(answer, data, "lanes", has_lane_on, false);
	rte_tel_data_add_dict_uint(data, "forwarding_tables", dt_path_tables_on(path, answer->node));
	add_crossing(answer, data);
}

/*
 * {"0": {"cpus": [0, 1], "lcores": [0, 1], "ledgers": [0, 1], "memory_bytes": 9, "memory_bytes_free": 9, "mbufs": 9,
 *  "mbufs_free": 9, "nics": ["nic"], "guests": ["vm0"], "queue_pairs": ["nic:0", "vm0:0"], "lanes": ["nic:0", "vm0:0"],
 *  "forwarding_tables": 1, "crossing": {"memory": ["vm1:0"]}}, ...}
 */
void
dt_tele_numa(const struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	unsigned int first, n = 0, n_nodes = dt_nodes_count();
	struct survey *survey;
	struct answer answer;

	if (!dt_tele_first(params, data, &first))
		return;
	survey = look(path);
	if (survey == NULL) {
		dt_tele_error(data, "no memory to look around");
		return;
	}
	rte_tel_data_start_dict(data);
	answer =
		(struct answer){ .survey = survey, .list_max = (DT_TELE_ROOM / NODES_AT_ONCE - NODE_JSON) / LISTS_MAX };
	for (unsigned int node = first; node < n_nodes; node++) {
		struct rte_tel_data *one;

		if (!dt_node_exists((int)node))
			continue;
		if (n++ == NODES_AT_ONCE) {
			rte_tel_data_add_dict_uint(data, "next", node);
			break;
		}
		one = rte_tel_data_alloc();
		if (one == NULL)
			break;
		answer.node = (int)node;
		add_node(&answer, one, path);
		dt_tele_add_numbered(data, node, one);
	}
	free(survey);
}
