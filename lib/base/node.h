/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * NUMA nodes: where memory can be had, and where it lies.
 *
 * Asked by control when things are made, and by telemetry; never per packet. A machine without NUMA has one node, 0.
 */
#ifndef DT_NODE_H
#define DT_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include <rte_config.h>

#define DT_NODES_MAX RTE_MAX_NUMA_NODES

/** One more than the largest number that a node of this machine may have; at least 1, at most DT_NODES_MAX. */
unsigned int dt_nodes_count(void);

/**
 * Where to ask EAL for memory that is to lie on @p node: there, or anywhere (-1) because it has none there. Without
 * hugepages it has none that it could place.
 */
int dt_node_home(int node);

/** Whether the machine has that node. */
bool dt_node_exists(int node);

/** The CPUs of a node, the first @p max of them, in order. @return how many */
unsigned int dt_node_cpus(int node, unsigned int cpus[], unsigned int max);

/** The node on which the byte at @p at lies, -1: unknown, or it lies nowhere yet. It is not touched. */
int dt_node_of(const void *at);

/** The same, but touch it first: it lies somewhere then. */
int dt_node_of_touched(const void *at);

/** Where a sample of some memory lies. */
struct dt_node_sample {
	unsigned int n_on[DT_NODES_MAX]; /* pages on each node */
	unsigned int n; /* pages that lie anywhere, their sum */
};

/**
 * Add at most @p n_pages pages of @p len bytes at @p from to a sample, evenly spread over them.
 *
 * @param n_pages  above 0
 * @param is_file  its pages are a file's: those count, too, that others have made and this process has not seen yet,
 *                 and where one is missing, another one near by
 */
void dt_node_sample(struct dt_node_sample *sample, const void *from, size_t len, unsigned int n_pages, bool is_file);

/** The node on which most of a sample lies, the lowest of several; -1: nothing of it lies anywhere. */
int dt_node_of_most(const struct dt_node_sample *sample);

struct rte_mempool;

/** Where a queue pair is served, and where what its worker needs for that really lies: nodes, -1: unknown. */
struct dt_queue_nodes {
	int worker; /* the CPU of the worker that polls it */
	int pair; /* what that keeps of it */
	int lane;
	const struct rte_mempool *pool; /* what it receives lies in mbufs of that one */
};

#endif
