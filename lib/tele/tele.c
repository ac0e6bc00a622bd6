/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "pool.h"

/* Handlers hold it for reading; stop() takes it for writing. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct dt_path *served; /* NULL: nothing to tell */
static uint64_t started_at; /* TSC */

void
dt_tele_error(struct rte_tel_data *data, const char *fmt, ...)
{
	char text[RTE_TEL_MAX_STRING_LEN];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* What a client sent may be anything; the library's JSON takes plain characters only. */
	for (char *c = text; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "error", text);
}

bool
dt_tele_first(const char *params, struct rte_tel_data *data, unsigned int *ret_first)
{
	unsigned long first = 0;
	char *end;

	if (params != NULL && params[0] != '\0') {
		first = strtoul(params, &end, 10);
		if (params[0] < '0' || params[0] > '9' || *end != '\0' || first > UINT32_MAX) {
			dt_tele_error(data, "'%.40s' is no number to begin with; give none for all", params);
			return false;
		}
	}
	*ret_first = (unsigned int)first;
	return true;
}

void
dt_tele_add_numbered(struct rte_tel_data *data, unsigned int number, struct rte_tel_data *one)
{
	char key[16];

	snprintf(key, sizeof(key), "%u", number);
	rte_tel_data_add_dict_container(data, key, one, 0);
}

int
dt_tele_port_param(const struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	int port = params == NULL ? -1 : dt_path_find(path, params);

	if (params == NULL || params[0] == '\0')
		dt_tele_error(data, "which port? give a name behind a comma; /dptap/ports lists them");
	else if (port < 0)
		dt_tele_error(data, "no port is called '%.40s'; /dptap/ports lists them", params);
	return port;
}

/* {"version": "0.1.0", "dpdk": "DPDK 22.11.11", "pid": 1, "uptime_s": 5, "workers": 1, "uplinks": 1, ...} */
static void
info(const struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	uint32_t mbufs, unused;

	(void)params;
	dt_pool_count(&mbufs, &unused);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "version", DT_VERSION);
	rte_tel_data_add_dict_string(data, "dpdk", rte_version());
	rte_tel_data_add_dict_int(data, "pid", getpid());
	rte_tel_data_add_dict_uint(data, "uptime_s", (rte_get_timer_cycles() - started_at) / rte_get_timer_hz());
	rte_tel_data_add_dict_uint(data, "workers", dt_workers_count());
	rte_tel_data_add_dict_uint(data, "uplinks", dt_path_n_uplinks(path));
	rte_tel_data_add_dict_uint(data, "guests", dt_path_n_ports(path) - dt_path_n_uplinks(path));
	rte_tel_data_add_dict_string(data, "config", dt_path_conf(path)->source);
	rte_tel_data_add_dict_uint(data, "mbufs", mbufs);
	rte_tel_data_add_dict_uint(data, "mbufs_free", unused);
	rte_tel_data_add_dict_string(data, "rebalance", dt_path_conf(path)->rebalance ? "auto" : "off");
	rte_tel_data_add_dict_uint(data, "moved_by_hand", dt_path_moved(path, false));
	rte_tel_data_add_dict_uint(data, "moved_by_itself", dt_path_moved(path, true));
}

/* Read until the law holds, or is broken while nothing moves. */
static void
read_balance(struct dt_balance *ret_balance)
{
	/* A difference with nothing moving may be a worker that was interrupted in mid-burst: let all go round once. */
	for (int tries = 0; tries < 5; tries++) {
		dt_ledger_audit(ret_balance);
		if (ret_balance->verdict != DT_WRONG)
			return;
		dt_workers_pass();
	}
}

/* {"received": 9, "created": 1, "delivered": 7, "dropped": 2, "held": 1, "difference": 0, ..., "balanced": "yes"} */
static void
balance(const struct dt_path *path, const char *params, struct rte_tel_data *data)
{
	static const char *const verdicts[] = { [DT_EXACT] = "yes", [DT_MOVING] = "moving", [DT_WRONG] = "no" };
	struct dt_balance b;

	(void)path;
	(void)params;
	read_balance(&b);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_uint(data, "received", b.received.packets);
	rte_tel_data_add_dict_uint(data, "created", b.created.packets);
	rte_tel_data_add_dict_uint(data, "delivered", b.delivered.packets);
	rte_tel_data_add_dict_uint(data, "dropped", b.dropped.packets);
	rte_tel_data_add_dict_uint(data, "held", b.held);
	rte_tel_data_add_dict_int(data, "difference", (int)b.difference);
	rte_tel_data_add_dict_uint(data, "received_bytes", b.received.bytes);
	rte_tel_data_add_dict_uint(data, "created_bytes", b.created.bytes);
	rte_tel_data_add_dict_uint(data, "delivered_bytes", b.delivered.bytes);
	rte_tel_data_add_dict_uint(data, "dropped_bytes", b.dropped.bytes);
	rte_tel_data_add_dict_string(data, "balanced", verdicts[b.verdict]);
}

static const struct {
	const char *name;
	dt_tele_fn read; /* one of the two */
	dt_tele_act act;
	const char *help;
} commands[] = {
	{ "/dptap/info", info, NULL, "Version, uptime, configuration, mbufs. No parameters" },
	{ "/dptap/ports", dt_tele_ports, NULL,
		"All ports with their state and drops. Parameter: number to begin with, or none" },
	{ "/dptap/port", dt_tele_port, NULL, "One port: state, settings, counters. Parameter: name" },
	{ "/dptap/drops", dt_tele_drops, NULL,
		"Dropped packets by reason and cause. Parameter: name of a port, or none for all" },
	{ "/dptap/lcores", dt_tele_lcores, NULL,
		"Workers: cycles, queues, counters. Parameter: lcore to begin with, or none" },
	{ "/dptap/numa", dt_tele_numa, NULL,
		"NUMA nodes: what lies on each, and what crosses. Parameter: node to begin with, or none" },
	{ "/dptap/reasons", dt_tele_reasons, NULL, "All drop reasons with their causes. No parameters" },
	{ "/dptap/explain", dt_tele_explain, NULL,
		"What a reason or cause means, and what to do. Parameter: its name" },
	{ "/dptap/move", NULL, dt_tele_move,
		"Let another worker poll a queue pair. Parameters: name of a port, number of the pair, lcore" },
	{ "/dptap/balance", balance, NULL, "received + created = delivered + dropped + held. No parameters" },
};

static int
dispatch(const char *cmd, const char *params, struct rte_tel_data *data)
{
	pthread_rwlock_rdlock(&lock);
	for (unsigned int i = 0; i < RTE_DIM(commands); i++) {
		if (strcmp(cmd, commands[i].name) != 0)
			continue;
		if (served == NULL)
			dt_tele_error(data, "dptap is not running (any more)");
		else if (commands[i].act != NULL)
			commands[i].act(served, params, data);
		else
			commands[i].read(served, params, data);
		break;
	}
	pthread_rwlock_unlock(&lock);
	return 0;
}

int
dt_tele_start(struct dt_path *path)
{
	for (unsigned int i = 0; i < RTE_DIM(commands); i++) {
		int err = rte_telemetry_register_cmd(commands[i].name, dispatch, commands[i].help);

		if (err != 0)
			return err;
	}
	pthread_rwlock_wrlock(&lock);
	started_at = rte_get_timer_cycles();
	served = path;
	pthread_rwlock_unlock(&lock);
	return 0;
}

void
dt_tele_stop(void)
{
	pthread_rwlock_wrlock(&lock);
	served = NULL;
	pthread_rwlock_unlock(&lock);
}
