/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside the module: a bridge's forwarding database, MAC address to port.
 *
 * Workers look up without a lock, learn and forget now and then; control adds what is configured. Addresses that
 * are configured belong to their port for good; learnt ones move with their user.
 */
#ifndef DT_FDB_H
#define DT_FDB_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>

struct dt_fdb;

/** A MAC address as a number: its six bytes, zero above. */
static inline uint64_t
dt_mac_key(const struct rte_ether_addr *mac)
{
	uint32_t low;
	uint16_t high;

	/* In registers: six bytes put together in memory would be read before their stores can be forwarded. */
	__builtin_memcpy(&low, mac, sizeof(low));
	__builtin_memcpy(&high, mac->addr_bytes + sizeof(low), sizeof(high));
	return low | (uint64_t)high << 32;
}

/** @return 0; -ENOMEM, -EINVAL */
int dt_fdb_new(const char *name, uint32_t size, struct dt_fdb **ret_fdb);
void dt_fdb_free(struct dt_fdb *fdb);

/** The NUMA node that its table really lies on, -1: unknown. */
int dt_fdb_node(const struct dt_fdb *fdb);

/** Main thread. @return 0; -ENOSPC */
int dt_fdb_add(struct dt_fdb *fdb, uint64_t key, unsigned int member);

/** @return the bridge's member that owns the address, -1: none. Workers. */
int dt_fdb_find(const struct dt_fdb *fdb, uint64_t key);

/**
 * A member used @p key as its own. Workers, rarely.
 * @return 1: the entry is the member's now; 0: it was already, or belongs to another for good; -ENOSPC
 */
int dt_fdb_learn(struct dt_fdb *fdb, uint64_t key, unsigned int member);

/** Whether @p key was learnt of that member and is still its own. Workers. */
bool dt_fdb_is_learnt_of(const struct dt_fdb *fdb, uint64_t key, unsigned int member);

/** Forget @p key if it was learnt, of whomever. Any EAL lcore, no other thread. */
void dt_fdb_forget(struct dt_fdb *fdb, uint64_t key);

#endif
