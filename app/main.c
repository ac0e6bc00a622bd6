/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "conf.h"
#include "early.h"
#include "gmem.h"
#include "log.h"
#include "path.h"
#include "report.h"
#include "tele.h"
#include "vnet.h"
#include "worker.h"

/* Exit codes; dptap(8) documents them. */
enum {
	EXIT_FINE = 0,
	EXIT_NOT_STARTED = 1,
	EXIT_USAGE = 2,
	EXIT_BOOKS = 3,
};

#define TICK_MS 100

static int
complain(int code, const char *error)
{
	fprintf(stderr, "dptap: %s\n", error);
	return code;
}

/* Every ethdev that EAL probed, where no uplink is named. */
static int
add_probed_uplinks(struct dt_conf *conf, char error[static DT_ERROR_SIZE])
{
	uint16_t device;

	RTE_ETH_FOREACH_DEV(device)
	{
		char name[RTE_ETH_NAME_MAX_LEN];
		int err = rte_eth_dev_get_name_by_port(device, name);

		if (err != 0)
			snprintf(error, DT_ERROR_SIZE, "device %u that EAL probed has no name: %s", device,
				strerror(-err));
		else
			err = dt_conf_add_uplink(conf, name, error);
		if (err != 0)
			return err;
	}
	return 0;
}

/* A peer decides how much the library says; who wants to hear it says so by --log-level=lib.vhost.config:info. */
static void
quieten_vhost(int argc, char *const argv[])
{
	for (int i = 1; i < argc; i++)
		if (strstr(argv[i], "lib.vhost") != NULL)
			return;
	rte_log_set_level_pattern("lib.vhost.*", RTE_LOG_CRIT);
}

/* @return an argument that asks EAL for a device, NULL: there is none */
static const char *
device_argument(int argc, char *const argv[])
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "-a", 2) == 0 || strncmp(argv[i], "--allow", 7) == 0 ||
			strncmp(argv[i], "--vdev", 6) == 0)
			return argv[i];
	return NULL;
}

static bool
has_argument(int argc, char *const argv[], const char *wanted)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], wanted) == 0)
			return true;
	return false;
}

static int
start_eal(int argc, char *argv[])
{
	if (rte_eal_init(argc, argv) >= 0) {
		quieten_vhost(argc, argv);
		return 0;
	}
	if (!has_argument(argc, argv, "--no-huge") && (rte_errno == ENOMEM || rte_errno == EACCES || rte_errno == 0))
		fprintf(stderr,
			"dptap: EAL did not start: no usable hugepages? Reserve some (echo 512 > "
			"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages), or run without: --no-huge -m 512\n");
	else
		fprintf(stderr,
			"dptap: EAL did not start: %s; see its messages above, and dptap --help. Beside another DPDK "
			"program, "
			"or another dptap, give it a name of its own: --file-prefix NAME\n",
			rte_errno != 0 ? rte_strerror(rte_errno) : "no reason given");
	return -1;
}

/* For --check-config. */
static int
say_fine(const struct dt_conf *conf)
{
	printf("dptap: %s: nothing wrong: %u uplink%s, %u guest%s%s\n", conf->source, conf->n_uplinks,
		conf->n_uplinks == 1 ? "" : "s", conf->n_guests, conf->n_guests == 1 ? "" : "s",
		conf->no_uplinks_given ? "; the uplinks will be what EAL probes" : "");
	return EXIT_FINE;
}

static void
say_ready(const struct dt_path *path)
{
	unsigned int workers = dt_workers_count(), uplinks = dt_path_n_uplinks(path);
	unsigned int guests = dt_path_n_ports(path) - uplinks;

	fprintf(stderr, "dptap: ready: %u worker%s, %u uplink%s, %u guest%s; telemetry: %s/dpdk_telemetry.v2\n",
		workers, workers == 1 ? "" : "s", uplinks, uplinks == 1 ? "" : "s", guests, guests == 1 ? "" : "s",
		rte_eal_get_runtime_dir());
}

/* Until SIGINT or SIGTERM. */
static void
run(struct dt_path *path, const sigset_t *stop_signals)
{
	const struct timespec tick = { .tv_nsec = TICK_MS * 1000000L };

	while (sigtimedwait(stop_signals, NULL, &tick) < 0)
		dt_path_tick(path);
}

static int
serve(struct dt_conf *conf, const sigset_t *stop_signals)
{
	char error[DT_ERROR_SIZE];
	struct dt_path *path;
	int code = EXIT_NOT_STARTED;

	if (dt_path_new(conf, &path, error) != 0)
		return complain(EXIT_NOT_STARTED, error);
	if (dt_workers_start() != 0) {
		complain(EXIT_NOT_STARTED, "a worker cannot be started: EAL's lcore runs something else");
	} else if (dt_tele_start(path) != 0) {
		complain(EXIT_NOT_STARTED, "telemetry takes no more commands: start EAL without --no-telemetry");
	} else if (dt_path_start(path, error) != 0) {
		complain(EXIT_NOT_STARTED, error);
	} else {
		say_ready(path);
		run(path, stop_signals);
		code = EXIT_FINE;
	}
	dt_tele_stop();
	dt_path_stop(path);
	if (code == EXIT_FINE && !dt_report())
		code = EXIT_BOOKS;
	dt_path_free(path);
	return code;
}

/* All that needs EAL. */
static int
run_with_eal(struct dt_conf *conf, bool wants_device, const sigset_t *stop_signals)
{
	char error[DT_ERROR_SIZE];
	int err = dt_gmem_catch_faults();
	int code;

	if (err != 0)
		return complain(EXIT_NOT_STARTED, strerror(-err));
	err = dt_vnet_init();
	if (err != 0)
		return complain(
			EXIT_NOT_STARTED, "no mbuf flags are left for offloads: is another library using them all?");
	if (conf->no_uplinks_given && add_probed_uplinks(conf, error) != 0)
		return complain(EXIT_NOT_STARTED, error);
	if (conf->n_uplinks == 0 && wants_device)
		return complain(EXIT_NOT_STARTED,
			"EAL was given a device (-a or --vdev), but no driver took it: is it there "
			"(lspci), and bound to vfio-pci (dpdk-devbind.py -s)? See EAL's messages above");
	if (conf->n_uplinks == 0)
		DT_LOG(WARNING, "there is no uplink: guests reach only each other");
	if (dt_conf_check(conf, error) != 0)
		return complain(EXIT_USAGE, error);
	err = dt_workers_init(conf->idle);
	if (err == -ENODEV)
		return complain(EXIT_NOT_STARTED,
			"no worker lcore: the main lcore only controls; give EAL at least two, as in "
			"-l 0-1, or --lcores 0@0,1@0 to share one CPU");
	if (err == -EMFILE || err == -ENFILE)
		return complain(EXIT_NOT_STARTED,
			"[dptap] idle = sleep: no descriptors left for workers to be woken by; raise the limit of open "
			"files (ulimit -n, or LimitNOFILE= in dptap.service)");
	if (err != 0)
		return complain(
			EXIT_NOT_STARTED, "no memory for workers; reserve more hugepages, or give EAL -m MEGABYTES");
	code = serve(conf, stop_signals);
	dt_workers_fini();
	return code;
}

int
main(int argc, char *argv[])
{
	int own = dt_early_own_args(argc, argv);
	int n_eal = own < argc || strcmp(argv[argc - 1], "--") == 0 ? own - 1 : argc;
	char error[DT_ERROR_SIZE];
	struct dt_conf *conf;
	sigset_t stop_signals;
	bool wants_device;
	int code;

	if (dt_early_answer(argc, argv))
		return EXIT_FINE;
	if (dt_early_misplaced(argc, argv) != NULL) {
		snprintf(error, sizeof(error),
			"%s: EAL's options end at \"--\", dptap's own come behind it: dptap -l 0-1 -- %s",
			dt_early_misplaced(argc, argv), dt_early_misplaced(argc, argv));
		return complain(EXIT_USAGE, error);
	}
	if (dt_conf_parse(argc - own, argv + own, error, &conf) != 0)
		return complain(EXIT_USAGE, error);
	if (conf->check_only) {
		code = dt_conf_check(conf, error) == 0 ? say_fine(conf) : complain(EXIT_USAGE, error);
		dt_conf_free(conf);
		return code;
	}
	/* Blocked before any thread exists, so that the main thread alone takes them. */
	sigemptyset(&stop_signals);
	sigaddset(&stop_signals, SIGINT);
	sigaddset(&stop_signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop_signals, NULL);
	signal(SIGPIPE, SIG_IGN); /* a peer that is gone is an error of that write */

	argv[n_eal] = NULL;
	wants_device = device_argument(n_eal, argv) != NULL; /* EAL reorders them */
	if (start_eal(n_eal, argv) != 0) {
		dt_conf_free(conf);
		return EXIT_NOT_STARTED;
	}
	code = run_with_eal(conf, wants_device, &stop_signals);
	rte_eal_cleanup();
	dt_conf_free(conf);
	return code;
}
