/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A migration's dirty log: a bitmap in the front end's memory, a bit for each page of the guest, that the rings
 * mark what they write in. The library maps it; here it is judged before, and watched after.
 */
#include "internal.h"

#include <sys/stat.h>

#include <rte_vhost.h>

#include "gmem.h"
#include "message.h"

/* Guest memory that a byte of the log stands for. */
#define LOGGED_BY_BYTE (8 * 4096ULL)

/* A file without room for the log would be a fault at the first mark. @return bytes, 0: no file */
static uint64_t
size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static bool
covers(uint64_t log_size, uint64_t end)
{
	return log_size >= end / LOGGED_BY_BYTE + (end % LOGGED_BY_BYTE != 0);
}

/* Guest-physical address behind the last byte of memory. */
static uint64_t
end_of_memory(const struct dt_guest *guest)
{
	uint64_t end = 0;

	for (unsigned int i = 0; guest->mem != NULL && i < guest->mem->n_regions; i++)
		end = RTE_MAX(end, guest->mem->regions[i].gpa + guest->mem->regions[i].size);
	return end;
}

bool
dt_guest_log_is_bad(struct dt_guest *guest, const struct dt_message *msg, const int fds[], int n_fds)
{
	uint64_t size = msg->payload.log.size, offset = msg->payload.log.offset;
	const char *fault = NULL;

	if (msg->size != sizeof(msg->payload.log) || n_fds != 1)
		fault = "not one file and its size";
	else if (offset != 0) /* the library adds it twice */
		fault = "it does not begin where its file does";
	else if (size == 0 || size > size_of(fds[0]))
		fault = "its file is shorter than it says, or none";
	else if (!covers(size, end_of_memory(guest)))
		fault = "it does not cover the guest's memory";
	if (fault != NULL)
		GUEST_SAY(guest, ERR, "migration log of %lu bytes: refused: %s", size, fault);
	return fault != NULL;
}

bool
dt_guest_log_is_short(struct dt_guest *guest, uint64_t end)
{
	if (guest->log == NULL || covers(guest->log_size, end))
		return false;
	GUEST_SAY(guest, ERR, "memory table beyond what the migration log covers: refused");
	return true;
}

void
dt_guest_drop_log(struct dt_guest *guest)
{
	dt_gmem_free(guest->log);
	guest->log = NULL;
	guest->log_base = NULL;
	guest->log_size = 0;
	guest->log_told = false;
}

void
dt_guest_take_log(struct dt_guest *guest)
{
	uint64_t base, size;
	struct dt_gmem_region region = { .page_size = 4096 };

	if (rte_vhost_get_log_base(guest->vid, &base, &size) != 0 || base == 0 || size == 0)
		return;
	region.hva = region.map = (uint8_t *)(uintptr_t)base;
	region.size = region.map_size = size;
	/* Its file may be cut short as the guest's memory may. */
	if (dt_gmem_new(&region, 1, &guest->log) != 0) {
		GUEST_SAY(guest, ERR, "migration log: no memory to watch it: not used");
		return;
	}
	guest->log_base = region.hva;
	guest->log_size = size;
}

void
dt_guest_watch_log(struct dt_guest *guest)
{
	if (guest->log == NULL || guest->log_told || !dt_gmem_vanished(guest->log))
		return;
	guest->log_told = dt_guest_may_say(guest, RTE_LOG_ERR); /* or later */
	if (guest->log_told)
		DT_LOG(ERR, "guest '%s': its migration log disappeared: that migration cannot succeed",
			guest->conf->name);
}
