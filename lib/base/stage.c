/* SPDX-License-Identifier: BSD-3-Clause */
#include "stage.h"

#ifdef DT_STAGES_TIMED
struct dt_stage_clock dt_stage_clocks[RTE_MAX_LCORE];
#endif
