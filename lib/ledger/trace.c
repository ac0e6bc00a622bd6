/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file of its own: what includes the registration sees a trace point that describes itself, at great length,
 * each time it is passed.
 */
#include <rte_trace_point_register.h>

#include "trace.h"

RTE_TRACE_POINT_REGISTER(dt_trace_drop, dptap.drop)
