/* SPDX-License-Identifier: BSD-3-Clause */
#include "node.h"

#include <numa.h>
#include <numaif.h>
#include <stdint.h>
#include <sys/mman.h>

#include <rte_common.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#define PAGE 4096u /* the smallest; what the kernel is asked about begins at a multiple */

unsigned int
dt_nodes_count(void)
{
	return numa_available() < 0 ? 1 : RTE_MIN((unsigned int)numa_max_node() + 1, (unsigned int)DT_NODES_MAX);
}

bool
dt_node_exists(int node)
{
	return numa_available() < 0 ? node == 0 : numa_bitmask_isbitset(numa_nodes_ptr, (unsigned int)node) != 0;
}

unsigned int
dt_node_cpus(int node, unsigned int cpus[], unsigned int max)
{
	struct bitmask *mask = numa_available() < 0 ? NULL : numa_allocate_cpumask();
	unsigned int n = 0;

	if (mask == NULL)
		return 0;
	if (numa_node_to_cpus(node, mask) == 0)
		for (unsigned int cpu = 0; cpu < mask->size && n < max; cpu++)
			if (numa_bitmask_isbitset(mask, cpu))
				cpus[n++] = cpu;
	numa_free_cpumask(mask);
	return n;
}

int
dt_node_home(int node)
{
	void *probe;

	if (node < 0 || !rte_eal_has_hugepages())
		return SOCKET_ID_ANY;
	probe = rte_malloc_socket(NULL, PAGE, 0, node);
	rte_free(probe);
	return probe != NULL ? node : SOCKET_ID_ANY;
}

static void *
page_of(uintptr_t at)
{
	return (void *)RTE_ALIGN_FLOOR(at, (uintptr_t)PAGE);
}

int
dt_node_of(const void *at)
{
	void *page = page_of((uintptr_t)at);
	int node;

	return move_pages(0, 1, &page, NULL, &node, 0) == 0 && node >= 0 && node < DT_NODES_MAX ? node : -1;
}

int
dt_node_of_touched(const void *at)
{
	int node;

	if (get_mempolicy(&node, NULL, 0, page_of((uintptr_t)at), MPOL_F_NODE | MPOL_F_ADDR) != 0)
		return -1;
	return node >= 0 && node < DT_NODES_MAX ? node : -1;
}

#define WINDOW 512u /* pages */

/* Of the first of a file's pages that is there, though perhaps not in our page table; it is then, and not before. */
static int
node_of_file_pages(uint8_t *page, size_t n)
{
	unsigned char is_there[WINDOW];
	int node = dt_node_of(page);

	n = RTE_MIN(n, (size_t)WINDOW);
	if (node >= 0 || mincore(page, n * PAGE, is_there) != 0)
		return node;
	for (size_t i = 0; i < n; i++)
		if ((is_there[i] & 1) != 0)
			return dt_node_of_touched(page + i * PAGE);
	return -1;
}

void
dt_node_sample(struct dt_node_sample *sample, const void *from, size_t len, unsigned int n_pages, bool is_file)
{
	size_t step = RTE_MAX((len + n_pages - 1) / n_pages, (size_t)PAGE);

	for (size_t at = 0; at < len; at += step) {
		uintptr_t end = (uintptr_t)from + RTE_MIN(at + step, len);
		uint8_t *page = page_of((uintptr_t)from + at);
		size_t n = (end - (uintptr_t)page + PAGE - 1) / PAGE;
		int node = is_file ? node_of_file_pages(page, n) : dt_node_of(page);

		if (node < 0)
			continue;
		sample->n_on[node]++;
		sample->n++;
	}
}

int
dt_node_of_most(const struct dt_node_sample *sample)
{
	int most = -1;

	for (int node = 0; node < DT_NODES_MAX; node++)
		if (sample->n_on[node] > 0 && (most < 0 || sample->n_on[node] > sample->n_on[most]))
			most = node;
	return most;
}
