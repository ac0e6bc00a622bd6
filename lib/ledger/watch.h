/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the ledger: which rings hold packets for which account. */
#ifndef DT_WATCH_H
#define DT_WATCH_H

/** Forget all rings. */
void dt_watch_clear(void);

#endif
