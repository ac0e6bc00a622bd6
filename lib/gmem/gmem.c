/* SPDX-License-Identifier: BSD-3-Clause */
#include "gmem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sigbus.h"

static int
larger_first(const void *a, const void *b)
{
	const struct dt_gmem_region *left = a, *right = b;

	return left->size < right->size ? 1 : left->size > right->size ? -1 : 0;
}

/*
 * Tables are kept for later ones, never given back: the SIGBUS handler of another thread may be looking at one that has
 * just been forgotten.
 */
static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dt_gmem *spare;

static struct dt_gmem *
take_spare(void)
{
	struct dt_gmem *mem;

	pthread_mutex_lock(&spare_lock);
	mem = spare;
	if (mem != NULL)
		spare = mem->next_spare;
	pthread_mutex_unlock(&spare_lock);
	return mem != NULL ? mem : calloc(1, sizeof(*mem));
}

static void
put_spare(struct dt_gmem *mem)
{
	pthread_mutex_lock(&spare_lock);
	mem->next_spare = spare;
	spare = mem;
	pthread_mutex_unlock(&spare_lock);
}

int
dt_gmem_new(const struct dt_gmem_region *regions, unsigned int n_regions, struct dt_gmem **ret_mem)
{
	struct dt_gmem *mem;
	int err;

	if (n_regions > DT_GMEM_REGIONS_MAX)
		return -E2BIG;
	mem = take_spare();
	if (mem == NULL)
		return -ENOMEM;
	*mem = (struct dt_gmem){ .n_regions = n_regions };
	memcpy(mem->regions, regions, n_regions * sizeof(*regions));
	qsort(mem->regions, n_regions, sizeof(*regions), larger_first);
	err = dt_sigbus_watch(mem);
	if (err != 0) {
		put_spare(mem);
		return err;
	}
	*ret_mem = mem;
	return 0;
}

void
dt_gmem_free(struct dt_gmem *mem)
{
	if (mem == NULL)
		return;
	dt_sigbus_forget(mem);
	put_spare(mem);
}

void *
dt_gmem_part(const struct dt_gmem *mem, uint64_t gpa, uint64_t len, uint64_t *ret_len)
{
	for (unsigned int i = 0; i < mem->n_regions; i++) {
		const struct dt_gmem_region *region = &mem->regions[i];
		uint64_t offset = gpa - region->gpa;

		if (offset >= region->size)
			continue;
		*ret_len = len <= region->size - offset ? len : region->size - offset;
		return region->hva + offset;
	}
	return NULL;
}

bool
dt_gmem_read(const struct dt_gmem *mem, uint64_t gpa, void *to, size_t len)
{
	uint8_t *out = to;

	while (len > 0) {
		uint64_t n;
		const void *from = dt_gmem_part(mem, gpa, len, &n);

		if (from == NULL)
			return false;
		memcpy(out, from, n);
		out += n;
		gpa += n;
		len -= n;
	}
	return true;
}

bool
dt_gmem_contains(const struct dt_gmem *mem, const void *hva, uint64_t len)
{
	for (unsigned int i = 0; i < mem->n_regions; i++) {
		const struct dt_gmem_region *region = &mem->regions[i];
		uint64_t offset = (uint64_t)((uintptr_t)hva - (uintptr_t)region->hva);

		if (offset < region->size && len <= region->size - offset)
			return true;
	}
	return false;
}

bool
dt_gmem_gpa(const struct dt_gmem *mem, const void *hva, uint64_t *ret_gpa)
{
	for (unsigned int i = 0; i < mem->n_regions; i++) {
		const struct dt_gmem_region *region = &mem->regions[i];
		uint64_t offset = (uint64_t)((uintptr_t)hva - (uintptr_t)region->hva);

		if (offset >= region->size)
			continue;
		*ret_gpa = region->gpa + offset;
		return true;
	}
	return false;
}
