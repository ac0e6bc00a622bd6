/* SPDX-License-Identifier: BSD-3-Clause */
#include "books.h"

#include <inttypes.h>

#include "packet.h"
#include "pool.h"
#include "testing.h"

static const struct dt_ledger_port ports[DT_TEST_PORTS] = {
	[DT_TEST_NIC] = { "nic", DT_PORT_UPLINK },
	[DT_TEST_VM0] = { "vm0", DT_PORT_GUEST },
	[DT_TEST_VM1] = { "vm1", DT_PORT_GUEST },
};

int
dt_test_books_open(void **state)
{
	const struct dt_pool_need need = {
		.packets = DT_TEST_PACKETS, .large = DT_TEST_LARGE, .n_workers = 1, .nodes = (const int[]){ 0 }
	};

	(void)state;
	assert_int_equal(dt_ledger_init(ports, DT_TEST_PORTS), 0);
	assert_int_equal(dt_pool_init(&need), 0);
	return 0;
}

int
dt_test_books_close(void **state)
{
	struct dt_balance balance;
	uint32_t total, unused;

	(void)state;
	dt_ledger_audit(&balance);
	dt_pool_count(&total, &unused);
	dt_pool_fini();
	dt_ledger_fini();

	/* No assertion, which would keep the caller from clearing its own things away. */
	if (balance.verdict == DT_EXACT && balance.held == 0 && unused == total)
		return 0;
	print_error("the books are %s by %" PRId64 ", hold %" PRIu64 "; mbufs: %" PRIu32 " of %" PRIu32 " are back\n",
		balance.verdict == DT_EXACT ? "exact" : "wrong", balance.difference, balance.held, unused, total);
	return -1;
}

void
dt_test_bring(unsigned int at, struct rte_mbuf **pkts, unsigned int n, uint32_t len, uint16_t seq)
{
	for (unsigned int i = 0; i < n; i++)
		pkts[i] = dt_test_packet(len, (uint16_t)(seq + i));
	dt_received(at, n, dt_burst_bytes(pkts, n));
}

struct dt_account
dt_test_account(unsigned int at)
{
	struct dt_account account;

	dt_ledger_sum(at, &account);
	return account;
}

uint64_t
dt_test_dropped(unsigned int at, enum dt_cause cause)
{
	return dt_test_account(at).dropped[cause].packets;
}

uint64_t
dt_test_dropped_bytes(unsigned int at, enum dt_cause cause)
{
	return dt_test_account(at).dropped[cause].bytes;
}

uint64_t
dt_test_dropped_anywhere(void)
{
	uint64_t packets = 0;

	for (unsigned int at = 0; at < 2 * DT_TEST_PORTS; at++) {
		struct dt_account account = dt_test_account(at);

		packets += dt_account_dropped(&account).packets;
	}
	return packets;
}
