/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_common.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include "vnet.h"

/* The first CPUs that we may run on; a single one serves both lcores. */
static void
choose_cpus(unsigned int cpus[2])
{
	unsigned int n = 0;
	cpu_set_t allowed;

	CPU_ZERO(&allowed);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		CPU_SET(0, &allowed);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			cpus[n++] = cpu;
	if (n == 1)
		cpus[1] = cpus[0];
}

static void
start(const char *more_lcores)
{
	unsigned int cpus[2] = { 0, 0 };
	char lcores[96];
	char *argv[] = { (char[]){ "unit-test" }, (char[]){ "--no-huge" }, (char[]){ "-m" }, (char[]){ "128" },
		(char[]){ "--no-pci" }, (char[]){ "--no-telemetry" }, (char[]){ "--no-shconf" },
		(char[]){ "--log-level=*:critical" }, (char[]){ "--lcores" }, lcores, NULL };

	choose_cpus(cpus);
	snprintf(lcores, sizeof(lcores), "%d@%u,%d@%u%s", DT_TEST_MAIN_LCORE, cpus[0], DT_TEST_WORKER_LCORE, cpus[1],
		more_lcores);
	if (rte_eal_init((int)RTE_DIM(argv) - 1, argv) < 0) {
		fprintf(stderr, "EAL does not start: %s\n", rte_strerror(rte_errno));
		exit(EXIT_FAILURE);
	}
	if (dt_vnet_init() != 0) {
		fprintf(stderr, "there are no mbuf flags for offloads\n");
		exit(EXIT_FAILURE);
	}
}

void
dt_test_eal_start(void)
{
	start("");
}

void
dt_test_eal_start_two(void)
{
	unsigned int cpus[2] = { 0, 0 };
	char second[32];

	choose_cpus(cpus);
	snprintf(second, sizeof(second), ",%d@%u", DT_TEST_SECOND_LCORE, cpus[0]);
	start(second);
}

int
dt_test_eal_stop(int failed)
{
	rte_eal_cleanup();
	return failed;
}
