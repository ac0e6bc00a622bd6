/* SPDX-License-Identifier: BSD-3-Clause */
#include "fdb.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_lcore.h>

#include "node.h"
#include "worker.h"

/* An entry's value: the member, and whether it is configured. */
#define FIXED ((uintptr_t)1 << 16)

struct dt_fdb {
	struct rte_hash *hash;
};

static uint32_t
hash_key(const void *key, uint32_t len, uint32_t seed)
{
	(void)len;
	return rte_hash_crc_8byte(*(const uint64_t *)key, seed);
}

int
dt_fdb_new(const char *name, uint32_t size, struct dt_fdb **ret_fdb)
{
	struct rte_hash_parameters params = {
		.name = name,
		.entries = size,
		.key_len = sizeof(uint64_t),
		.hash_func = hash_key,
		.socket_id = (int)rte_socket_id(),
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_MULTI_WRITER_ADD,
	};
	struct rte_hash_rcu_config rcu = { .v = dt_workers_qsbr(), .mode = RTE_HASH_QSBR_MODE_DQ };
	struct dt_fdb *fdb = calloc(1, sizeof(*fdb));

	if (fdb == NULL)
		return -ENOMEM;
	fdb->hash = rte_hash_create(&params);
	if (fdb->hash == NULL || rte_hash_rcu_qsbr_add(fdb->hash, &rcu) != 0) {
		int err = rte_errno != 0 ? -rte_errno : -ENOMEM;

		dt_fdb_free(fdb);
		return err;
	}
	*ret_fdb = fdb;
	return 0;
}

void
dt_fdb_free(struct dt_fdb *fdb)
{
	if (fdb == NULL)
		return;
	rte_hash_free(fdb->hash);
	free(fdb);
}

int
dt_fdb_node(const struct dt_fdb *fdb)
{
	return dt_node_of(fdb->hash);
}

int
dt_fdb_add(struct dt_fdb *fdb, uint64_t key, unsigned int member)
{
	return rte_hash_add_key_data(fdb->hash, &key, (void *)(FIXED | member));
}

int
dt_fdb_find(const struct dt_fdb *fdb, uint64_t key)
{
	void *value;

	if (rte_hash_lookup_data(fdb->hash, &key, &value) < 0)
		return -1;
	return (int)((uintptr_t)value & ~FIXED);
}

int
dt_fdb_learn(struct dt_fdb *fdb, uint64_t key, unsigned int member)
{
	void *value;
	bool known = rte_hash_lookup_data(fdb->hash, &key, &value) >= 0;
	int err;

	if (known && ((uintptr_t)value == member || ((uintptr_t)value & FIXED) != 0))
		return 0;
	err = rte_hash_add_key_data(fdb->hash, &key, (void *)(uintptr_t)member);
	return err == 0 ? 1 : err;
}

bool
dt_fdb_is_learnt_of(const struct dt_fdb *fdb, uint64_t key, unsigned int member)
{
	void *value;

	return rte_hash_lookup_data(fdb->hash, &key, &value) >= 0 && (uintptr_t)value == member;
}

void
dt_fdb_forget(struct dt_fdb *fdb, uint64_t key)
{
	void *value;

	if (rte_hash_lookup_data(fdb->hash, &key, &value) >= 0 && ((uintptr_t)value & FIXED) == 0)
		rte_hash_del_key(fdb->hash, &key);
}
