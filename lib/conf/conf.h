/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Configuration: a file and arguments become one checked structure.
 *
 * Every setting is one row of a table (name, type, range, unit, default, help) that the file parser, the
 * argument parser, --help and the reference read. Called by app/main.c once, before any port exists, on the main
 * thread; it opens no port and creates nothing. Everything behind it may rely on what it has checked: names,
 * MAC addresses and sockets are unique, references between sections resolve, numbers are in range.
 */
#ifndef DT_CONF_H
#define DT_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_ether.h>

#include "idle.h"

#define DT_NAME_SIZE   32 /* a port's name with its NUL: 1 to 31 of [A-Za-z0-9_.:-] */
#define DT_SOCKET_SIZE 108 /* a socket path with its NUL, as in struct sockaddr_un */
#define DT_DEVICE_SIZE 64 /* an ethdev's name with its NUL */
#define DT_ERROR_SIZE  512 /* room for one error message with its NUL */

#define DT_CONF_QUEUES_MAX 16 /* queue pairs of one port */

enum dt_mode {
	DT_MODE_BRIDGE, /* by destination MAC, between the uplink and its guests and between these */
	DT_MODE_PASSTHRU, /* one guest owns the uplink, nothing is looked up */
};

enum dt_socket_mode {
	DT_SOCKET_SERVER, /* dptap listens, the front end connects */
	DT_SOCKET_CLIENT, /* the front end listens, dptap connects, again and again */
};

/** Offloads of an uplink that can be switched off; in the order of the setting's words. */
enum dt_conf_offload {
	DT_OFFLOAD_TX_CSUM = 1,
	DT_OFFLOAD_TSO = 2,
	DT_OFFLOAD_MULTI_SEGS = 4,
	DT_OFFLOAD_RX_CSUM = 8,
	DT_OFFLOAD_RSS_HASH = 16,
};

struct dt_conf_uplink {
	char name[DT_NAME_SIZE];
	char device[DT_DEVICE_SIZE]; /* ethdev name: PCI address or vdev name */
	enum dt_mode mode;
	uint32_t mtu; /* bytes, 0: 1500, or less if the device takes no more */
	uint32_t n_queues; /* queue pairs */
	bool promiscuous;
	bool lro; /* the NIC merges what it receives of a TCP connection */
	bool gro; /* dptap does */
	uint32_t offloads_off; /* enum dt_conf_offload: of the NIC's, not to be used */
	uint32_t rx_desc; /* NIC ring sizes, in descriptors */
	uint32_t tx_desc;
	uint32_t queue_len; /* packets a lane holds */
};

struct dt_conf_guest {
	char name[DT_NAME_SIZE];
	char socket[DT_SOCKET_SIZE];
	enum dt_socket_mode socket_mode;
	bool has_mac;
	struct rte_ether_addr mac; /* valid if has_mac */
	char uplink_name[DT_NAME_SIZE]; /* as given, "" if not */
	int uplink; /* index into uplinks[], -1: none; set by dt_conf_check() */
	uint32_t n_queues; /* queue pairs, at most */
	uint32_t queue_len; /* packets the lane of each holds */
	uint64_t features_off; /* virtio features that are not offered, a bit each */
};

struct dt_conf {
	char source[256]; /* "command line" or the file's path, for telemetry */
	uint32_t mbufs; /* packets in the mbuf pool, 0: as many as the ports need */
	enum dt_idle idle; /* what workers do while they find nothing */
	bool rebalance; /* queue pairs leave workers that have too much to do */
	bool check_only; /* --check-config */
	bool no_uplinks_given; /* neither file nor arguments name an uplink: take what EAL probed */
	uint32_t given; /* the settings of [dptap] that were given, for the parser */
	struct dt_conf_uplink *uplinks;
	unsigned int n_uplinks;
	struct dt_conf_guest *guests;
	unsigned int n_guests;
};

/**
 * Read the arguments behind "--" (and the file that --config names) into a new configuration.
 *
 * Syntax, ranges, unknown keys, duplicate keys, duplicate names (uplinks and guests share one name space, and so
 * do file and arguments), missing and malformed values are judged here; other relations between sections are left
 * to dt_conf_check(), since uplinks may still be added by what EAL probed. --help, --version and --list-reasons
 * are for main() to find first: here they are an error, since they come too late.
 *
 * @param argc      number of arguments, without the program's name
 * @param argv      arguments; not modified
 * @param error     receives one line without newline that names place, fault and remedy
 * @param ret_conf  the configuration; the caller frees it with dt_conf_free(). Written only on success.
 * @return 0; -EINVAL: bad argument or file content; -ENOENT, -EACCES, ...: the file cannot be read; -ENOMEM.
 */
int dt_conf_parse(int argc, char *const argv[], char error[static DT_ERROR_SIZE], struct dt_conf **ret_conf);

/**
 * Add an uplink with default settings and @p device as its name; for what EAL probed when none is named.
 *
 * @return 0; -EINVAL: the name cannot serve as a port's name, or a port has it already; -ENOMEM.
 */
int dt_conf_add_uplink(struct dt_conf *conf, const char *device, char error[static DT_ERROR_SIZE]);

/**
 * Check what relates sections to each other, and resolve each guest's uplink.
 *
 * Refused: one device for two uplinks, one MAC address or socket for two guests, a multicast or zero MAC, an
 * uplink that a guest names and nobody defines, a pass-through uplink with more than one guest, more ports than
 * DT_CONF_PORTS_MAX, no port at all. With check_only and no uplink given, the uplinks that guests name are let
 * pass: what EAL would probe is not known then.
 *
 * @return 0; -EINVAL with @p error filled.
 */
int dt_conf_check(struct dt_conf *conf, char error[static DT_ERROR_SIZE]);

/** Most ports (uplinks and guests together) that one process serves. */
#define DT_CONF_PORTS_MAX 240

/** Free a configuration; NULL is allowed. */
void dt_conf_free(struct dt_conf *conf);

/** Print the options and all settings with range, unit and default, from the table. */
void dt_conf_help(FILE *out);

#endif
