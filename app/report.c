/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#include "ledger.h"
#include "pool.h"

static void
print_drops(void)
{
	bool any = false;

	for (unsigned int at = 0; at < 2 * dt_ledger_n_ports(); at++) {
		struct dt_account a;

		dt_ledger_sum(at, &a);
		for (unsigned int i = 0; i < DT_CAUSE_MAX; i++) {
			enum dt_cause cause = (enum dt_cause)i;

			if (a.dropped[i].packets == 0)
				continue;
			if (!any)
				printf("%-16s %-11s %-14s %-24s %12s\n", "port", "direction", "reason", "cause",
					"packets");
			any = true;
			printf("%-16s %-11s %-14s %-24s %12" PRIu64 "\n", dt_ledger_port_at(at)->name,
				dt_ledger_direction(at), dt_reason_name(dt_cause_reason(cause)), dt_cause_name(cause),
				a.dropped[i].packets);
		}
	}
	if (!any)
		printf("no packet was dropped\n");
}

bool
dt_report(void)
{
	struct dt_balance b;
	uint32_t mbufs, unused;
	char verdict[64] = "exact";

	dt_ledger_audit(&b);
	dt_pool_count(&mbufs, &unused);
	print_drops();
	if (b.verdict != DT_EXACT)
		snprintf(verdict, sizeof(verdict), "WRONG by %" PRId64, b.difference);
	printf("balance: received %" PRIu64 " + created %" PRIu64 " = delivered %" PRIu64 " + dropped %" PRIu64
	       " + held %" PRIu64 ": %s; mbufs %u of %u back\n",
		b.received.packets, b.created.packets, b.delivered.packets, b.dropped.packets, b.held, verdict, unused,
		mbufs);
	fflush(stdout);
	return b.verdict == DT_EXACT && unused == mbufs;
}
