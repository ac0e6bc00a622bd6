/* SPDX-License-Identifier: BSD-3-Clause */
#include "idle.h"

const char *
dt_idle_name(enum dt_idle idle)
{
	static const char *const names[] = {
		[DT_IDLE_POLL] = "poll",
		[DT_IDLE_PAUSE] = "pause",
		[DT_IDLE_SLEEP] = "sleep",
	};

	return names[idle];
}
