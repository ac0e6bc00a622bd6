/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What dptap says to the person who runs it: one line an event, on the DPDK log (standard error).
 *
 * Called from the control threads only, never per packet. A line names the object, the fault, and where it
 * helps the remedy: "guest 'vm3': queue 1: ring outside memory: EFAULT".
 */
#ifndef DT_LOG_H
#define DT_LOG_H

#include <rte_log.h>

extern int dt_logtype;

#define DT_LOG(level, fmt, ...) rte_log(RTE_LOG_##level, dt_logtype, "dptap: " fmt "\n", ##__VA_ARGS__)

#endif
