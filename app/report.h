/* SPDX-License-Identifier: BSD-3-Clause */
/** The last words: what was dropped, and whether the books balance. */
#ifndef DT_REPORT_H
#define DT_REPORT_H

#include <stdbool.h>

/**
 * Print the drop table and the balance on standard output. Ports are stopped, workers too.
 *
 * @return whether the books balance and all mbufs are back
 */
bool dt_report(void);

#endif
