/* SPDX-License-Identifier: BSD-3-Clause */
/** What can be answered before DPDK's EAL starts: help, version, the list of reasons. */
#ifndef DT_EARLY_H
#define DT_EARLY_H

#include <stdbool.h>

/**
 * Find where EAL's arguments end.
 *
 * @return index of dptap's first own argument: behind "--"; @p argc if there is no "--"
 */
int dt_early_own_args(int argc, char *const argv[]);

/**
 * Answer --help, --version and --list-reasons, wherever they stand.
 *
 * @return whether one was there and was answered on standard output
 */
bool dt_early_answer(int argc, char *const argv[]);

/**
 * An option of dptap's own that stands among EAL's, before "--" or without one.
 *
 * @return it, NULL: there is none
 */
const char *dt_early_misplaced(int argc, char *const argv[]);

#endif
