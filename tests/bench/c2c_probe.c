/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How far apart are two CPUs right now?
 *
 * Two threads, one on each CPU, pass a number back and forth through two cache lines. Printed is the time of one
 * transfer in nanoseconds. On a virtual machine the answer changes while it runs, because the hypervisor moves the
 * virtual CPUs, and with it changes every throughput that crosses the two; so the benchmark asks before and after
 * each window.
 *
 * The round trips are timed in short chunks and the lower quartile is taken: a chunk during which one of the two
 * threads was not running is long, and does not count.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	CHUNKS = 100,
	TRIPS_PER_CHUNK = 400,
	MOST_SECONDS = 5, /* it takes 10 to 30 ms; then the kernel ends it */
};

/* Each on a cache line of its own, and not on neighbours either: prefetchers fetch lines in pairs. */
static alignas(128) _Atomic uint64_t ping; /* written by the asking thread */
static alignas(128) _Atomic uint64_t pong; /* written by the answering thread */

static void *
answer(void *unused)
{
	(void)unused;
	for (uint64_t n = 1; n <= (uint64_t)CHUNKS * TRIPS_PER_CHUNK; n++) {
		while (atomic_load_explicit(&ping, memory_order_acquire) != n)
			;
		atomic_store_explicit(&pong, n, memory_order_release);
	}
	return NULL;
}

/*
 * The thread must start on its CPU, not move there: on the asking thread's CPU it would never run if this is a
 * real-time process.
 */
static int
start_answering(int cpu, pthread_t *ret_thread)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int err;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_attr_init(&attr);
	err = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (err == 0)
		err = pthread_create(ret_thread, &attr, answer, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int
compare_times(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Nanoseconds of one transfer, averaged over a chunk of round trips; @p n is the number sent last. */
static double
time_chunk(uint64_t *n)
{
	double start = now_ns();

	for (int i = 0; i < TRIPS_PER_CHUNK; i++) {
		atomic_store_explicit(&ping, ++*n, memory_order_release);
		while (atomic_load_explicit(&pong, memory_order_acquire) != *n)
			;
	}
	return (now_ns() - start) / (2 * TRIPS_PER_CHUNK);
}

int
main(int argc, char **argv)
{
	double one_way_ns[CHUNKS];
	pthread_t answering;
	cpu_set_t asking_cpu;
	uint64_t n = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: c2c_probe CPU CPU\n");
		return 2;
	}
	alarm(MOST_SECONDS);
	if (start_answering(atoi(argv[2]), &answering) != 0) {
		fprintf(stderr, "c2c_probe: cannot start a thread on CPU %s\n", argv[2]);
		return 1;
	}
	CPU_ZERO(&asking_cpu);
	CPU_SET(atoi(argv[1]), &asking_cpu);
	if (sched_setaffinity(0, sizeof(asking_cpu), &asking_cpu) != 0) {
		fprintf(stderr, "c2c_probe: cannot run on CPU %s\n", argv[1]);
		return 1;
	}
	for (int i = 0; i < CHUNKS; i++)
		one_way_ns[i] = time_chunk(&n);
	pthread_join(answering, NULL);

	qsort(one_way_ns, CHUNKS, sizeof(one_way_ns[0]), compare_times);
	printf("%.1f\n", one_way_ns[CHUNKS / 4]);
	return 0;
}
