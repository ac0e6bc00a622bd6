/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A load that keeps time: frames go into one port at a given rate, and how long each was under way is measured where
 * they come out.
 *
 *   paced_load EAL-ARGUMENTS -- LENGTH ECHO FROM-MAC TO-MAC
 *
 * Frames of LENGTH bytes go into port 0 and come out of port 1; with ECHO 1 they are sent back there, with addresses
 * swapped, and come out of port 0 again. Commands on standard input, a line each: "quit", and "go RATE MS": send RATE
 * frames a second (0: as fast as the ring takes them) for MS milliseconds, and wait until no more come. It is answered
 * with counts and two histograms, "there" and "back" since the sending; a histogram is a list of CYCLES:FRAMES, where
 * CYCLES is the most that these frames took.
 *
 * All is done by one thread, whose clock (TSC) is the only one. A frame carries the time when its burst is given to the
 * ring. One that is due and cannot be sent for long is "late", and no part of what follows.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#define BURST     32
#define RING_SIZE 1024
#define N_MBUFS   16383
#define BACKLOG   512 /* frames that are due and not sent: beyond, they are given up as late */
#define PATIENCE  50 /* milliseconds without any frame, and those that are still missing are lost */
#define SUB_BITS  6 /* of a cycle count are kept in a histogram: 1.6 % */
#define N_BUCKETS ((64 - SUB_BITS + 1) << SUB_BITS)
#define MARK      0x6470746170ULL

/* What a frame carries, behind its Ethernet header. */
struct stamp {
	uint64_t mark;
	uint64_t sent_at; /* TSC */
} __attribute__((packed));

/* What became of a trial. */
struct trial {
	uint64_t due; /* by the rate and the time */
	uint64_t late; /* of these, never sent: this program was too slow */
	uint64_t refused; /* of these, the ring had no room for them */
	uint64_t sent;
	uint64_t arrived; /* at port 1 */
	uint64_t returned; /* to port 0 */
	uint64_t cycles; /* from the first sent to the end of sending */
	uint64_t gap; /* cycles of the longest round of sending and receiving: many, if something else ran here */
	uint64_t there[N_BUCKETS];
	uint64_t back[N_BUCKETS];
};

static struct {
	uint16_t length;
	bool echo;
	struct rte_ether_hdr header;
	struct rte_mempool *pool;
	struct trial trial;
} load;

static void __attribute__((noreturn)) fail(const char *what, int err)
{
	fprintf(stderr, "paced_load: %s: %s\n", what, err != 0 ? rte_strerror(abs(err)) : "failed");
	exit(1);
}

static void
start_port(uint16_t port)
{
	struct rte_eth_conf conf = { 0 };
	int err = rte_eth_dev_configure(port, 1, 1, &conf);

	if (err == 0)
		err = rte_eth_rx_queue_setup(port, 0, RING_SIZE, SOCKET_ID_ANY, NULL, load.pool);
	if (err == 0)
		err = rte_eth_tx_queue_setup(port, 0, RING_SIZE, SOCKET_ID_ANY, NULL);
	if (err == 0)
		err = rte_eth_dev_start(port);
	if (err != 0)
		fail("port cannot be started", err);
}

/* ---- histograms ---- */

/* Small numbers as they are; of others the first SUB_BITS + 1 bits. */
static unsigned int
bucket_of(uint64_t cycles)
{
	unsigned int shift = cycles >> SUB_BITS <= 1 ? 0 : 63u - SUB_BITS - (unsigned int)__builtin_clzll(cycles);

	return (shift << SUB_BITS) + (unsigned int)(cycles >> shift);
}

/* The most that falls into a bucket. */
static uint64_t
most_of(unsigned int bucket)
{
	unsigned int shift = bucket >> SUB_BITS <= 1 ? 0 : (bucket >> SUB_BITS) - 1;

	return (((uint64_t)bucket - ((uint64_t)shift << SUB_BITS) + 1) << shift) - 1;
}

static void
print_histogram(const char *name, const uint64_t *frames)
{
	printf("%s:", name);
	for (unsigned int i = 0; i < N_BUCKETS; i++)
		if (frames[i] > 0)
			printf(" %lu:%lu", most_of(i), frames[i]);
	printf("\n");
}

/* ---- frames ---- */

static struct stamp *
stamp_of(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, struct stamp *, sizeof(struct rte_ether_hdr));
}

/* @return frames that the ring took */
static unsigned int
send_some(unsigned int n)
{
	const struct stamp stamp = { .mark = MARK, .sent_at = rte_rdtsc() };
	struct rte_mbuf *pkts[BURST];
	unsigned int sent;

	if (rte_pktmbuf_alloc_bulk(load.pool, pkts, n) != 0)
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		pkts[i]->data_len = load.length;
		pkts[i]->pkt_len = load.length;
		*rte_pktmbuf_mtod(pkts[i], struct rte_ether_hdr *) = load.header;
		*stamp_of(pkts[i]) = stamp;
	}
	sent = rte_eth_tx_burst(0, 0, pkts, (uint16_t)n);
	rte_pktmbuf_free_bulk(&pkts[sent], n - sent);
	return sent;
}

static void
swap_addresses(struct rte_mbuf *m)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ether_addr address = eth->dst_addr;

	eth->dst_addr = eth->src_addr;
	eth->src_addr = address;
}

/* Take what has come and note how long it took; others' frames do not count. @return frames that do */
static unsigned int
receive_some(uint16_t port, uint64_t *histogram)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = rte_eth_rx_burst(port, 0, pkts, BURST), sent = 0;
	uint64_t now = rte_rdtsc();
	unsigned int n_good = 0;

	for (uint16_t i = 0; i < n; i++) {
		if (pkts[i]->pkt_len != load.length || stamp_of(pkts[i])->mark != MARK)
			continue;
		n_good++;
		histogram[bucket_of(now - stamp_of(pkts[i])->sent_at)]++;
		if (load.echo && port == 1)
			swap_addresses(pkts[i]);
	}
	if (load.echo && port == 1 && n > 0)
		sent = rte_eth_tx_burst(1, 0, pkts, n);
	rte_pktmbuf_free_bulk(&pkts[sent], n - sent);
	return n_good;
}

/* ---- a trial ---- */

/* Send what is due by now, a burst at the most. */
static void
send_due(struct trial *trial, uint64_t elapsed, double per_cycle)
{
	uint64_t done = trial->sent + trial->refused + trial->late, n;
	unsigned int sent;

	trial->due = per_cycle > 0 ? (uint64_t)((double)elapsed * per_cycle) : done + BURST;
	n = trial->due - done;
	if (n > BACKLOG) {
		trial->late += n;
		return;
	}
	if (n == 0)
		return;
	n = RTE_MIN(n, (uint64_t)BURST);
	sent = send_some((unsigned int)n);
	trial->sent += sent;
	trial->refused += n - sent;
}

static bool
is_complete(const struct trial *trial)
{
	return (load.echo ? trial->returned : trial->arrived) == trial->sent;
}

static void
go(struct trial *trial, double rate, uint64_t milliseconds)
{
	uint64_t hz = rte_get_tsc_hz(), length = hz / 1000 * milliseconds, patience = hz / 1000 * PATIENCE;
	uint64_t start, now, heard;

	memset(trial, 0, sizeof(*trial));
	start = now = heard = rte_rdtsc();
	while (now - start < length || (!is_complete(trial) && now - heard < patience)) {
		unsigned int n;

		if (now - start < length) {
			send_due(trial, now - start, rate / (double)hz);
			trial->cycles = now - start;
			heard = now;
		}
		n = receive_some(1, trial->there);
		trial->arrived += n;
		if (load.echo) {
			unsigned int n_back = receive_some(0, trial->back);

			trial->returned += n_back;
			n += n_back;
		}
		trial->gap = RTE_MAX(trial->gap, rte_rdtsc() - now);
		now = rte_rdtsc();
		if (n > 0)
			heard = now;
	}
}

static void
answer(const struct trial *trial)
{
	printf("went: due %lu late %lu refused %lu sent %lu arrived %lu returned %lu cycles %lu gap %lu hz %lu\n",
		trial->due, trial->late, trial->refused, trial->sent, trial->arrived, trial->returned, trial->cycles,
		trial->gap, rte_get_tsc_hz());
	print_histogram("there", trial->there);
	print_histogram("back", trial->back);
	fflush(stdout);
}

static void
obey(void)
{
	char line[64];
	double rate;
	unsigned int milliseconds;

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL && strcmp(line, "quit\n") != 0) {
		if (sscanf(line, "go %lf %u", &rate, &milliseconds) != 2)
			fail("a command is neither 'go RATE MS' nor 'quit'", 0);
		go(&load.trial, rate, milliseconds);
		answer(&load.trial);
	}
}

int
main(int argc, char *argv[])
{
	int done = rte_eal_init(argc, argv);

	if (done < 0)
		fail("EAL", rte_errno);
	argc -= done;
	argv += done;
	if (argc != 5 || rte_ether_unformat_addr(argv[3], &load.header.src_addr) != 0 ||
		rte_ether_unformat_addr(argv[4], &load.header.dst_addr) != 0)
		fail("usage: paced_load EAL-ARGUMENTS -- LENGTH ECHO FROM-MAC TO-MAC", 0);
	load.length = (uint16_t)atoi(argv[1]);
	load.echo = atoi(argv[2]) != 0;
	load.header.ether_type = rte_cpu_to_be_16(0x88b5); /* local experiments */
	if (load.length < 60 || load.length > 1514 || rte_eth_dev_count_avail() != 2)
		fail("wants a LENGTH of 60 to 1514, and two ports", 0);
	load.pool = rte_pktmbuf_pool_create("load", N_MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (load.pool == NULL)
		fail("mbufs", rte_errno);
	start_port(0);
	start_port(1);
	obey();
	for (uint16_t port = 0; port < 2; port++) {
		rte_eth_dev_stop(port);
		rte_eth_dev_close(port);
	}
	rte_eal_cleanup();
	return 0;
}
