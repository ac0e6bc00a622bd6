/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Telemetry: what DPDK's socket answers under /dptap/.
 *
 * Handlers run on the library's thread, one connection each; no worker waits for one. All but /dptap/move only read.
 * Registered by the application before workers run; the library keeps them for good, so that they answer an error once
 * stopped.
 */
#ifndef DT_TELE_H
#define DT_TELE_H

#include "path.h"

/** Answer for @p path from now on. @return 0; -ENOMEM, -EINVAL: the library takes no more commands */
int dt_tele_start(struct dt_path *path);

/** Answer no more; returns when no handler looks at the path. */
void dt_tele_stop(void);

#endif
