/* SPDX-License-Identifier: BSD-3-Clause */
/** cmocka, and in front of it what it needs and does not include itself. The first include of a unit test. */
#ifndef DT_TEST_TESTING_H
#define DT_TEST_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
