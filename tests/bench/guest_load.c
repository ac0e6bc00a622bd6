/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guests in one process, that send and receive as fast as they can: net_virtio_user0, net_virtio_user1 and so on.
 *
 *   guest_load EAL-ARGUMENTS -- WAY LENGTH MSS QUEUES RING-SIZE MAC0 [MAC1 ...] OUTSIDE-MAC [cable]
 *
 * WAY: pairs (each two guests send to each other), out (all send to OUTSIDE-MAC) or in (they only receive).
 * LENGTH: bytes of a frame, up to 65,549. MSS 0: plain frames; else TCP over IPv4 that is left to be cut into
 * segments of MSS bytes, checksum and all. cable: port 0 is the other end of the forwarder's NIC, which has to be there
 * before the forwarder and so before the guests; they are made by command, and send only so far ahead of what comes in
 * by the cable that a NIC's queue holds it.
 *
 * Commands on standard input, a line each: guest NAME,DEVARGS, start, clear, stats, quit. Each is answered with what
 * was counted since "clear": frames sent and received by guests, and cycles of the rounds that moved any.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#define BURST      32
#define ROOM       2048
#define FRAME_MAX  65549u
#define QUEUES_MAX 16
#define GUESTS_MAX 64
#define AHEAD_MAX  8 /* frames under way to the cable */
#define LOST_US    20000 /* if nothing comes for so long, nothing is under way any more */

static struct {
	uint32_t length; /* bytes of a frame */
	uint16_t mss; /* 0: plain */
	uint16_t n_queues;
	uint16_t ring_size;
	uint16_t n_guests;
	bool cable;
	uint16_t first; /* guests are the ports from here on, in order */
	bool sends;
	uint16_t burst; /* frames sent as one */
	struct rte_mempool *pool;
	uint8_t frame[GUESTS_MAX][128]; /* how the frames of each guest begin */

	/* control writes */
	bool running;
	bool stop;
	uint64_t base[3];

	/* the worker's */
	uint64_t ahead; /* frames under way to the cable */
	uint64_t arrived_at; /* TSC of the last one */
	uint64_t count[3]; /* sent, received, busy cycles */
} load;

static void __attribute__((noreturn)) fail(const char *what, int err)
{
	fprintf(stderr, "guest_load: %s: %s\n", what, err != 0 ? rte_strerror(abs(err)) : "failed");
	exit(1);
}

static void
make_frame(uint8_t *frame, const struct rte_ether_addr *from, const struct rte_ether_addr *to)
{
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)frame;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(ip + 1);

	eth->src_addr = *from;
	eth->dst_addr = *to;
	eth->ether_type = rte_cpu_to_be_16(load.mss > 0 ? RTE_ETHER_TYPE_IPV4 : 0x88b5); /* local experiments */
	if (load.mss == 0)
		return;
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(load.length - sizeof(*eth)));
	ip->time_to_live = 64;
	ip->next_proto_id = IPPROTO_TCP;
	ip->src_addr = rte_cpu_to_be_32(RTE_IPV4(192, 0, 2, 1));
	ip->dst_addr = rte_cpu_to_be_32(RTE_IPV4(192, 0, 2, 2));
	tcp->src_port = rte_cpu_to_be_16(1000);
	tcp->dst_port = rte_cpu_to_be_16(2000);
	tcp->data_off = sizeof(*tcp) / 4 << 4;
	tcp->tcp_flags = RTE_TCP_ACK_FLAG;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	tcp->cksum = rte_ipv4_phdr_cksum(ip, RTE_MBUF_F_TX_TCP_SEG);
}

static void
start_port(uint16_t port, const struct rte_eth_conf *conf)
{
	int err = rte_eth_dev_configure(port, load.n_queues, load.n_queues, conf);

	for (uint16_t q = 0; err == 0 && q < load.n_queues; q++) {
		err = rte_eth_rx_queue_setup(port, q, load.ring_size, SOCKET_ID_ANY, NULL, load.pool);
		if (err == 0)
			err = rte_eth_tx_queue_setup(port, q, load.ring_size, SOCKET_ID_ANY, NULL);
	}
	if (err == 0)
		err = rte_eth_dev_start(port);
	if (err != 0)
		fail("port cannot be started", err);
}

static void
start_guest(unsigned int guest)
{
	uint16_t port = (uint16_t)(load.first + guest);
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;
	int err = rte_eth_dev_info_get(port, &info);

	if (err != 0)
		fail("port", err);
	if (load.length > ROOM)
		conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (load.mss > 0) {
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO;
		conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_LRO;
	}
	if ((conf.txmode.offloads & ~info.tx_offload_capa) != 0 || (conf.rxmode.offloads & ~info.rx_offload_capa) != 0)
		fail("the forwarder does not offer segmentation and checksum offload", -ENOTSUP);
	start_port(port, &conf);
}

/* "NAME,DEVARGS", as behind --vdev: the next guest. */
static void
make_guest(char *device)
{
	static unsigned int n_made;
	char *devargs = strchr(device, ',');
	int err;

	if (devargs == NULL || n_made == load.n_guests)
		fail("guest NAME,DEVARGS: once for each MAC address of a guest", 0);
	*devargs++ = '\0';
	err = rte_eal_hotplug_add("vdev", device, devargs);
	if (err != 0)
		fail(device, err);
	start_guest(n_made++);
}

/* A frame in as many mbufs as it needs; only its beginning is written. */
static struct rte_mbuf *
new_frame(unsigned int guest)
{
	struct rte_mbuf *mbufs[FRAME_MAX / ROOM + 1];
	unsigned int n = (load.length + ROOM - 1) / ROOM;
	struct rte_mbuf *first;

	if (rte_pktmbuf_alloc_bulk(load.pool, mbufs, n) != 0)
		return NULL;
	first = mbufs[0];
	for (unsigned int i = 0; i < n; i++) {
		mbufs[i]->data_len = (uint16_t)(i + 1 < n ? ROOM : load.length - i * ROOM);
		mbufs[i]->next = i + 1 < n ? mbufs[i + 1] : NULL;
	}
	first->nb_segs = (uint16_t)n;
	first->pkt_len = load.length;
	memcpy(rte_pktmbuf_mtod(first, void *), load.frame[guest], 60);
	if (load.mss > 0) {
		first->ol_flags =
			RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
		first->l2_len = sizeof(struct rte_ether_hdr);
		first->l3_len = sizeof(struct rte_ipv4_hdr);
		first->l4_len = sizeof(struct rte_tcp_hdr);
		first->tso_segsz = load.mss;
	}
	return first;
}

static unsigned int
send_some(unsigned int guest, uint16_t queue)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = 0, sent;

	while (n < load.burst && (pkts[n] = new_frame(guest)) != NULL)
		n++;
	sent = rte_eth_tx_burst((uint16_t)(load.first + guest), queue, pkts, n);
	rte_pktmbuf_free_bulk(&pkts[sent], (unsigned int)(n - sent));
	return sent;
}

static unsigned int
receive_some(uint16_t port, uint16_t queue)
{
	struct rte_mbuf *pkts[BURST];
	uint16_t n = rte_eth_rx_burst(port, queue, pkts, BURST);
	unsigned int n_whole = 0;

	for (uint16_t i = 0; i < n; i++)
		n_whole += pkts[i]->pkt_len == load.length;
	rte_pktmbuf_free_bulk(pkts, n);
	return n_whole;
}

/* @return whether guests may send */
static bool
empty_cable(uint64_t now)
{
	unsigned int n = receive_some(0, 0);

	load.ahead -= RTE_MIN(load.ahead, n);
	if (n > 0 || load.ahead == 0)
		load.arrived_at = now;
	else if (now - load.arrived_at > rte_get_tsc_hz() / 1000000 * LOST_US)
		load.ahead = 0;
	return load.ahead < AHEAD_MAX;
}

static void
go_round(unsigned int *received, unsigned int *sent)
{
	for (uint16_t q = 0; q < load.n_queues; q++)
		for (unsigned int guest = 0; guest < load.n_guests; guest++) {
			*received += receive_some((uint16_t)(load.first + guest), q);
			if (load.sends)
				*sent += send_some(guest, q);
		}
}

static int
worker(void *arg)
{
	uint64_t then = rte_rdtsc(), now;

	(void)arg;
	while (!__atomic_load_n(&load.stop, __ATOMIC_RELAXED)) {
		unsigned int sent = 0, received = 0;

		if (__atomic_load_n(&load.running, __ATOMIC_RELAXED) && (!load.cable || empty_cable(then)))
			go_round(&received, &sent);
		load.ahead += sent;
		now = rte_rdtsc();
		load.count[0] += sent;
		load.count[1] += received;
		load.count[2] += sent + received > 0 ? now - then : 0;
		then = now;
	}
	return 0;
}

static void
obey(void)
{
	char line[512];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "guest ", 6) == 0) {
			make_guest(&line[6]);
			line[5] = '\0';
		} else if (strcmp(line, "start") == 0) {
			__atomic_store_n(&load.running, true, __ATOMIC_RELAXED);
		} else if (strcmp(line, "clear") == 0) {
			memcpy(load.base, load.count, sizeof(load.base));
		} else if (strcmp(line, "quit") == 0) {
			break;
		}
		printf("%s: sent %lu received %lu busy %lu hz %lu\n", line, load.count[0] - load.base[0],
			load.count[1] - load.base[1], load.count[2] - load.base[2], rte_get_tsc_hz());
		fflush(stdout);
	}
}

/* All rings full, and twice as many for what is on its way; at least as many as two guests of 1024 take. */
static unsigned int
n_mbufs(void)
{
	return RTE_MAX(16384u, 4u * load.n_guests * load.ring_size) * load.n_queues;
}

static void
read_arguments(int argc, char *argv[], struct rte_ether_addr *macs)
{
	load.cable = argc > 1 && strcmp(argv[argc - 1], "cable") == 0;
	load.first = load.cable ? 1 : 0;
	argc -= load.first;
	if (argc < 8 || argc > 7 + GUESTS_MAX)
		fail("usage: guest_load EAL-ARGUMENTS -- "
		     "WAY LENGTH MSS QUEUES RING-SIZE MAC0 [MAC1 ...] OUTSIDE-MAC [cable]",
			0);
	load.sends = strcmp(argv[1], "in") != 0;
	load.length = (uint32_t)atoi(argv[2]);
	load.mss = (uint16_t)atoi(argv[3]);
	load.n_queues = (uint16_t)atoi(argv[4]);
	load.ring_size = (uint16_t)atoi(argv[5]);
	load.n_guests = (uint16_t)(argc - 7);
	for (unsigned int i = 0; i <= load.n_guests; i++)
		if (rte_ether_unformat_addr(argv[6 + i], &macs[i]) != 0)
			fail("a MAC address makes no sense", 0);
	if (load.length < 60 || load.length > FRAME_MAX || load.n_queues < 1 || load.n_queues > QUEUES_MAX)
		fail("LENGTH is 60 to 65549, QUEUES 1 to 16", 0);
	if (strcmp(argv[1], "pairs") == 0 && load.n_guests % 2 != 0)
		fail("pairs of guests are an even number", 0);
}

int
main(int argc, char *argv[])
{
	struct rte_ether_addr macs[GUESTS_MAX + 1];
	int done = rte_eal_init(argc, argv);
	bool pairs;

	if (done < 0)
		fail("EAL", rte_errno);
	argc -= done;
	argv += done;
	read_arguments(argc, argv, macs);
	pairs = strcmp(argv[1], "pairs") == 0;
	if (rte_eth_dev_count_avail() != (load.cable ? 1 : load.n_guests) ||
		rte_get_next_lcore(-1, 1, 0) >= RTE_MAX_LCORE)
		fail("wants a port for each MAC address of a guest, or one for the cable, and two lcores", 0);
	load.burst = load.length > ROOM ? 4 : BURST;
	load.pool = rte_pktmbuf_pool_create("load", n_mbufs(), 512, 0, ROOM + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	if (load.pool == NULL)
		fail("mbufs", rte_errno);
	for (unsigned int i = 0; i < load.n_guests; i++) {
		make_frame(load.frame[i], &macs[i], &macs[pairs ? i ^ 1 : load.n_guests]);
		if (!load.cable)
			start_guest(i);
	}
	if (load.cable)
		start_port(0, &(struct rte_eth_conf){ 0 });
	rte_eal_remote_launch(worker, NULL, rte_get_next_lcore(-1, 1, 0));
	obey();
	__atomic_store_n(&load.stop, true, __ATOMIC_RELAXED);
	rte_eal_mp_wait_lcore();
	for (uint16_t port = 0; port < load.first + load.n_guests; port++) {
		rte_eth_dev_stop(port);
		rte_eth_dev_close(port);
	}
	rte_eal_cleanup();
	return 0;
}
