/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A real EAL for unit tests: a main lcore and a worker or two, without hugepages, files, devices and telemetry.
 *
 * main() starts it once in front of all tests, and stops it behind them.
 */
#ifndef DT_TEST_EAL_H
#define DT_TEST_EAL_H

/* EAL's numbers of the lcores. */
#define DT_TEST_MAIN_LCORE   0
#define DT_TEST_WORKER_LCORE 1
#define DT_TEST_SECOND_LCORE 2

/** Start EAL, or end the process: no test can run without. */
void dt_test_eal_start(void);

/** The same with a second worker, which shares the main lcore's CPU. */
void dt_test_eal_start_two(void);

/** Stop it. @return @p failed, for main() to return */
int dt_test_eal_stop(int failed);

#endif
