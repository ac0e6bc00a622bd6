/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What each test that moves packets stands on: a ledger of three ports and a pool of mbufs; and how each such test
 * ends: the law of the books holds exactly, and every mbuf is back.
 */
#ifndef DT_TEST_BOOKS_H
#define DT_TEST_BOOKS_H

#include "ledger.h"

/* The ports, by their number in the ledger. */
enum { DT_TEST_NIC, DT_TEST_VM0, DT_TEST_VM1, DT_TEST_PORTS };

/* Mbufs that the pool holds, and more for frames of several. */
#define DT_TEST_PACKETS 2048
#define DT_TEST_LARGE   4096

/** Open ledger and pool. A cmocka setup function. @return 0 */
int dt_test_books_open(void **state);

/** Close both. A cmocka teardown function. @return 0; -1, which fails the test: the law is broken, or an mbuf lost */
int dt_test_books_close(void **state);

/** Make packets, numbered from @p seq on, that port account @p at received. */
void dt_test_bring(unsigned int at, struct rte_mbuf **pkts, unsigned int n, uint32_t len, uint16_t seq);

/** The sum of an account over all lcores. */
struct dt_account dt_test_account(unsigned int at);

/** Packets that an account dropped for @p cause. */
uint64_t dt_test_dropped(unsigned int at, enum dt_cause cause);

/** Their bytes. */
uint64_t dt_test_dropped_bytes(unsigned int at, enum dt_cause cause);

/** Packets that all accounts dropped for all causes. */
uint64_t dt_test_dropped_anywhere(void);

#endif
