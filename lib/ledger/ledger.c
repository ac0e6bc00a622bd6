/* SPDX-License-Identifier: BSD-3-Clause */
#include "ledger.h"

#include <errno.h>

#include <rte_malloc.h>

#include "node.h"
#include "watch.h"

struct dt_account *dt_books[RTE_MAX_LCORE];

static const struct dt_ledger_port *ports;
static unsigned int n_ports;

int
dt_ledger_init(const struct dt_ledger_port *new_ports, unsigned int n)
{
	unsigned int lcore;

	RTE_LCORE_FOREACH(lcore)
	{
		dt_books[lcore] = rte_zmalloc_socket("dt_books", 2 * n * sizeof(struct dt_account), RTE_CACHE_LINE_SIZE,
			dt_node_home((int)rte_lcore_to_socket_id(lcore)));
		if (dt_books[lcore] == NULL) {
			dt_ledger_fini();
			return -ENOMEM;
		}
	}
	ports = new_ports;
	n_ports = n;
	return 0;
}

void
dt_ledger_fini(void)
{
	unsigned int lcore;

	dt_watch_clear();
	RTE_LCORE_FOREACH(lcore)
	{
		rte_free(dt_books[lcore]);
		dt_books[lcore] = NULL;
	}
	ports = NULL;
	n_ports = 0;
}

void
dt_ledger_sum(unsigned int at, struct dt_account *ret_sum)
{
	struct dt_account sum = { 0 };
	/* An account is an array of counters, whatever their names. */
	uint64_t *to = (uint64_t *)&sum;
	unsigned int lcore;

	RTE_LCORE_FOREACH(lcore)
	{
		const uint64_t *from = (const uint64_t *)&dt_books[lcore][at];

		for (size_t i = 0; i < sizeof(sum) / sizeof(*to); i++)
			to[i] += dt_counter_read(&from[i]);
	}
	*ret_sum = sum;
}

struct dt_count
dt_account_dropped(const struct dt_account *account)
{
	struct dt_count sum = { 0 };

	for (unsigned int i = 0; i < DT_CAUSE_MAX; i++) {
		sum.packets += dt_counter_read(&account->dropped[i].packets);
		sum.bytes += dt_counter_read(&account->dropped[i].bytes);
	}
	return sum;
}

unsigned int
dt_ledger_n_ports(void)
{
	return n_ports;
}

const struct dt_ledger_port *
dt_ledger_port_at(unsigned int at)
{
	return &ports[at / 2];
}

const char *
dt_ledger_direction(unsigned int at)
{
	static const char *const names[2][2] = {
		[DT_PORT_GUEST] = { "from_guest", "to_guest" },
		[DT_PORT_UPLINK] = { "port_rx", "port_tx" },
	};

	return names[ports[at / 2].kind][at % 2];
}
