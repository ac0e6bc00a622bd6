/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the ledger: the rte_trace point dptap.drop, one event a dropped packet. */
#ifndef DT_TRACE_H
#define DT_TRACE_H

#include <rte_trace_point.h>

RTE_TRACE_POINT(dt_trace_drop,
		RTE_TRACE_POINT_ARGS(const char *reason, const char *cause, const char *port, const char *direction,
			const void *packet, uint32_t bytes),
		rte_trace_point_emit_string(reason);
		rte_trace_point_emit_string(cause); rte_trace_point_emit_string(port);
		rte_trace_point_emit_string(direction); rte_trace_point_emit_ptr(packet);
		rte_trace_point_emit_u32(bytes);)

#endif
