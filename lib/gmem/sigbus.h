/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: the tables whose mappings the SIGBUS handler knows. */
#ifndef DT_SIGBUS_H
#define DT_SIGBUS_H

struct dt_gmem;

/** @return 0; -ENOSPC: no place left */
int dt_sigbus_watch(struct dt_gmem *mem);
void dt_sigbus_forget(struct dt_gmem *mem);

#endif
