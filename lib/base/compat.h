/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What differs between the DPDK releases that dptap builds with (22.11 and newer), in one place.
 */
#ifndef DT_COMPAT_H
#define DT_COMPAT_H

#include <rte_telemetry.h>
#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(23, 3, 0, 0)
#define rte_tel_data_add_dict_uint  rte_tel_data_add_dict_u64
#define rte_tel_data_add_array_uint rte_tel_data_add_array_u64
#endif

/* An alignment attribute of rte_common.h that newer releases spell with plain C. */
#ifndef __rte_cache_aligned
#define __rte_cache_aligned __attribute__((aligned(RTE_CACHE_LINE_SIZE)))
#endif

#endif
