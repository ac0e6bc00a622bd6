/* SPDX-License-Identifier: BSD-3-Clause */
#include "sigbus.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "gmem.h"

/* One per connected guest, and one more while its table changes. */
#define WATCHED_MAX 1024

/* Control threads write, the handler reads, on any thread at any time. */
static struct dt_gmem *watched[WATCHED_MAX];

/* Where this thread is at work on memory that is in no table yet, whom to tell. */
static __thread bool *guard;

void
dt_gmem_guard(bool *vanished)
{
	guard = vanished;
}

int
dt_sigbus_watch(struct dt_gmem *mem)
{
	for (unsigned int i = 0; i < WATCHED_MAX; i++) {
		struct dt_gmem *nobody = NULL;

		/* Release: the table is complete before the handler can find it. */
		if (__atomic_compare_exchange_n(&watched[i], &nobody, mem, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return 0;
	}
	return -ENOSPC;
}

void
dt_sigbus_forget(struct dt_gmem *mem)
{
	for (unsigned int i = 0; i < WATCHED_MAX; i++)
		if (__atomic_load_n(&watched[i], __ATOMIC_RELAXED) == mem)
			__atomic_store_n(&watched[i], NULL, __ATOMIC_RELEASE);
}

static bool
put_zeros(uintptr_t start, size_t len)
{
	/* A plain system call, though not on POSIX's list of what a handler may call. */
	return mmap((void *)start, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
		       -1, 0) != MAP_FAILED;
}

/* A page of unknown size: inside a huge one, only a mapping that is aligned to it succeeds. */
static bool
mend_page(uintptr_t fault)
{
	static const size_t page_sizes[] = { 1UL << 12, 1UL << 21, 1UL << 30 };

	for (unsigned int i = 0; i < sizeof(page_sizes) / sizeof(page_sizes[0]); i++)
		if (put_zeros(fault & ~(page_sizes[i] - 1), page_sizes[i]))
			return true;
	return false;
}

/*
 * Put zeros where the file ended. The rest of the mapping goes with it: a MAP_FIXED inside a huge page must be
 * aligned to it, and what lies behind the end of a file is gone as well.
 */
static bool
mend(struct dt_gmem *mem, const uint8_t *fault)
{
	for (unsigned int i = 0; i < mem->n_regions; i++) {
		const struct dt_gmem_region *region = &mem->regions[i];
		uint64_t offset = (uint64_t)(fault - region->map);

		if (fault < region->map || offset >= region->map_size)
			continue;
		offset -= offset % region->page_size;
		__atomic_store_n(&mem->vanished, true, __ATOMIC_RELAXED);
		return put_zeros((uintptr_t)region->map + offset, region->map_size - offset) ||
		       mend_page((uintptr_t)fault);
	}
	return false;
}

static bool
mended(const void *fault)
{
	for (unsigned int i = 0; i < WATCHED_MAX; i++) {
		struct dt_gmem *mem = __atomic_load_n(&watched[i], __ATOMIC_ACQUIRE);

		if (mem != NULL && mend(mem, fault))
			return true;
	}
	if (guard == NULL || !mend_page((uintptr_t)fault))
		return false;
	__atomic_store_n(guard, true, __ATOMIC_RELAXED);
	return true;
}

/* Synchronous: runs on the thread whose access failed, which repeats the access afterwards. */
static void
on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	if (info->si_code > 0 && mended(info->si_addr)) { /* from the kernel for an access, not from kill() */
		errno = saved;
		return;
	}
	/* Not guest memory: die as any program would, with a core. */
	signal(sig, SIG_DFL);
	raise(sig);
	errno = saved;
}

int
dt_gmem_catch_faults(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}
