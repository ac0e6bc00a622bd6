/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast are large packets cut? lib/vnet against librte_gso with software checksums, which does the same work for
 * TCP over IPv4: the segments are compared byte by byte first. Rounds take turns in one process, and the median of
 * the ratios of neighbours is what counts. DPDK's checksums are inline functions, hence as fast as whoever uses them
 * was compiled for: as dptap is, or as packages are. Other kinds of packets are shown as figures alone.
 *
 *     taskset -c CPU build/tests/segment_bench [ROUNDS]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "segment_peer.h"
#include "vnet.h"

#define MSS      1448u
#define SEGMENTS 45u /* the most that a packet of IPv4 and TCP with time stamps holds */
#define BURST    32u
#define REPEAT   32u /* packets in a round */
#define TCP_LEN  32u

#define POOL_SIZE 32767u
#define ROOM      2048u

struct kind {
	const char *name;
	uint16_t type;
	uint8_t proto;
	uint8_t gso_type;
};

static const struct kind kinds[] = {
	{ "TCP over IPv4", RTE_ETHER_TYPE_IPV4, IPPROTO_TCP, VIRTIO_NET_HDR_GSO_TCPV4 },
	{ "TCP over IPv6", RTE_ETHER_TYPE_IPV6, IPPROTO_TCP, VIRTIO_NET_HDR_GSO_TCPV6 },
	{ "UDP over IPv4 (USO)", RTE_ETHER_TYPE_IPV4, IPPROTO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4 },
	{ "UDP over IPv6 (USO)", RTE_ETHER_TYPE_IPV6, IPPROTO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4 },
	{ "UDP over IPv4 (fragments)", RTE_ETHER_TYPE_IPV4, IPPROTO_UDP, VIRTIO_NET_HDR_GSO_UDP },
};

static struct rte_mempool *pool;

static void
die(const char *what)
{
	fprintf(stderr, "segment_bench: %s\n", what);
	exit(2);
}

/* ---- a packet as a guest sends it ---- */

static uint32_t
write_l3(uint8_t *at, const struct kind *kind, uint32_t payload_len)
{
	if (kind->type == RTE_ETHER_TYPE_IPV4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)at;

		*ip = (struct rte_ipv4_hdr){ .version_ihl = RTE_IPV4_VHL_DEF,
			.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + payload_len)),
			.packet_id = RTE_BE16(0xfff0),
			.fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG),
			.time_to_live = 64,
			.next_proto_id = kind->proto,
			.src_addr = RTE_BE32(RTE_IPV4(10, 0, 0, 1)),
			.dst_addr = RTE_BE32(RTE_IPV4(10, 0, 0, 2)) };
		ip->hdr_checksum = rte_ipv4_cksum(ip);
		return sizeof(*ip);
	}
	*(struct rte_ipv6_hdr *)at = (struct rte_ipv6_hdr){ .vtc_flow = RTE_BE32(6u << 28),
		.payload_len = rte_cpu_to_be_16((uint16_t)payload_len),
		.proto = kind->proto,
		.hop_limits = 64 };
	at[8] = at[24] = 0xfd;
	at[23] = 1;
	at[39] = 2;
	return sizeof(struct rte_ipv6_hdr);
}

static uint32_t
write_headers(uint8_t *at, const struct kind *kind)
{
	uint32_t l4_len = kind->proto == IPPROTO_TCP ? TCP_LEN : sizeof(struct rte_udp_hdr);
	uint32_t l3_len, payload_len = l4_len + MSS * SEGMENTS;
	uint8_t *l4;

	memset(at, 2, 2 * RTE_ETHER_ADDR_LEN);
	at[12] = (uint8_t)(kind->type >> 8);
	at[13] = (uint8_t)kind->type;
	l3_len = write_l3(at + RTE_ETHER_HDR_LEN, kind, payload_len);
	l4 = at + RTE_ETHER_HDR_LEN + l3_len;
	if (kind->proto == IPPROTO_TCP)
		*(struct rte_tcp_hdr *)l4 = (struct rte_tcp_hdr){ .src_port = RTE_BE16(1000),
			.dst_port = RTE_BE16(2000),
			.sent_seq = RTE_BE32(0xfffffff0),
			.data_off = TCP_LEN / 4 << 4,
			.tcp_flags = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG };
	else
		*(struct rte_udp_hdr *)l4 = (struct rte_udp_hdr){ .src_port = RTE_BE16(1000),
			.dst_port = RTE_BE16(2000),
			.dgram_len = rte_cpu_to_be_16((uint16_t)payload_len) };
	return RTE_ETHER_HDR_LEN + l3_len + l4_len;
}

/* In mbufs of ROOM bytes, as a frame comes out of a guest. */
static struct rte_mbuf *
make_packet(const struct kind *kind)
{
	static uint8_t frame[65536 + 256];
	struct virtio_net_hdr hdr = { .gso_type = kind->gso_type, .gso_size = MSS };
	uint32_t hdr_len = write_headers(frame, kind), len = hdr_len + MSS * SEGMENTS;
	struct rte_mbuf *pkt = NULL, *last = NULL;

	for (uint32_t i = hdr_len; i < len; i++)
		frame[i] = (uint8_t)rand();
	for (uint32_t at = 0; at < len; at += ROOM) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		uint32_t n = RTE_MIN(len - at, ROOM);

		if (m == NULL)
			die("the pool is too small");
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame + at, n);
		if (pkt == NULL) {
			pkt = m;
		} else {
			last->next = m;
			pkt->nb_segs++;
			pkt->pkt_len += n;
		}
		last = m;
	}
	if (kind->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4) {
		/* left undone by the sender, who has to say so */
		uint16_t l3_len = (uint16_t)(hdr_len - sizeof(struct rte_udp_hdr) - RTE_ETHER_HDR_LEN);
		uint8_t *l3 = rte_pktmbuf_mtod_offset(pkt, uint8_t *, RTE_ETHER_HDR_LEN);
		struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(l3 + l3_len);

		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.csum_start = (uint16_t)(RTE_ETHER_HDR_LEN + l3_len);
		hdr.csum_offset = offsetof(struct rte_udp_hdr, dgram_cksum);
		udp->dgram_cksum = kind->type == RTE_ETHER_TYPE_IPV4 ? rte_ipv4_phdr_cksum((void *)l3, 0)
								     : rte_ipv6_phdr_cksum((void *)l3, 0);
	}
	if (dt_vnet_accept(&hdr, UINT64_MAX, pkt) != DT_CAUSE_MAX)
		die("the packet is not good");
	return pkt;
}

/* ---- the two ---- */

static unsigned int
cut_by_vnet(struct rte_mbuf *pkt, struct rte_mbuf **segs, bool checksum)
{
	struct dt_vnet_cut cut;
	enum dt_cause cause;
	unsigned int n = 0, made;

	if (dt_vnet_cut_begin(&cut, pkt, pool, checksum, false) != DT_CAUSE_MAX)
		die("the packet is not to be cut");
	while ((made = dt_vnet_cut_next(&cut, segs + n, BURST, &cause)) > 0)
		n += made;
	return n;
}

static unsigned int
cut_by_copy(struct rte_mbuf *pkt, struct rte_mbuf **segs, bool checksum)
{
	struct dt_vnet_cut cut;
	enum dt_cause cause;
	unsigned int n = 0, made;

	if (dt_vnet_cut_begin(&cut, pkt, pool, checksum, true) != DT_CAUSE_MAX)
		die("the packet is not to be cut");
	while ((made = dt_vnet_cut_next(&cut, segs + n, BURST, &cause)) > 0)
		n += made;
	return n;
}

typedef unsigned int (*cutter)(struct rte_mbuf *pkt, struct rte_mbuf **segs, bool checksum);

static unsigned int
all(int n)
{
	if (n != (int)SEGMENTS)
		die("librte_gso does not cut the packet");
	return (unsigned int)n;
}

static unsigned int
cut_by_gso(struct rte_mbuf *pkt, struct rte_mbuf **segs, bool checksum)
{
	return all(segment_peer_native(pool, pkt, MSS, segs, SEGMENTS, checksum));
}

static unsigned int
cut_as_packaged(struct rte_mbuf *pkt, struct rte_mbuf **segs, bool checksum)
{
	return all(segment_peer_packaged(pool, pkt, MSS, segs, SEGMENTS, checksum));
}

struct rival {
	const char *name;
	cutter cut;
};

static const struct rival native = { "librte_gso", cut_by_gso };
static const struct rival packaged = { "librte_gso, checksums as packaged", cut_as_packaged };

static void
check_equal(struct rte_mbuf *pkt, const struct rival *rival)
{
	static uint8_t buffers[2][ROOM];
	struct rte_mbuf *ours[SEGMENTS + BURST], *theirs[SEGMENTS];

	if (cut_by_vnet(pkt, ours, true) != SEGMENTS || rival->cut(pkt, theirs, true) != SEGMENTS)
		die("segments are missing");
	for (unsigned int i = 0; i < SEGMENTS; i++) {
		uint32_t len = ours[i]->pkt_len;
		const void *a = rte_pktmbuf_read(ours[i], 0, len, buffers[0]);
		const void *b = rte_pktmbuf_read(theirs[i], 0, len, buffers[1]);

		if (len != theirs[i]->pkt_len || memcmp(a, b, len) != 0)
			die("the two make different segments");
	}
	rte_pktmbuf_free_bulk(ours, SEGMENTS);
	rte_pktmbuf_free_bulk(theirs, SEGMENTS);
}

/* Cycles of cutting, or of cutting and freeing, one packet; the mean of a round. */
static double
round_of(cutter cut, struct rte_mbuf *pkt, bool checksum, bool with_free)
{
	struct rte_mbuf *segs[SEGMENTS + BURST];
	uint64_t cycles = 0;

	for (unsigned int i = 0; i < REPEAT; i++) {
		uint64_t start = rte_rdtsc(), end;
		unsigned int n = cut(pkt, segs, checksum);

		end = rte_rdtsc();
		rte_pktmbuf_free_bulk(segs, n);
		cycles += (with_free ? rte_rdtsc() : end) - start;
	}
	return (double)cycles / REPEAT;
}

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *values, unsigned int n)
{
	qsort(values, n, sizeof(*values), by_size);
	return values[n / 2];
}

static void
compare(cutter mine, const struct rival *rival, struct rte_mbuf *pkt, unsigned int n_rounds, bool checksum,
	bool with_free)
{
	double *ours = calloc(n_rounds, sizeof(*ours)), *theirs = calloc(n_rounds, sizeof(*theirs));
	double *ratios = calloc(n_rounds, sizeof(*ratios)), us = 1e6 / (double)rte_get_tsc_hz();

	if (ours == NULL || theirs == NULL || ratios == NULL)
		die("no memory");
	for (unsigned int i = 0; i < n_rounds; i++) {
		ours[i] = round_of(mine, pkt, checksum, with_free);
		theirs[i] = round_of(rival->cut, pkt, checksum, with_free);
		ratios[i] = theirs[i] / ours[i];
	}
	printf("%s%s: %.2fx (%.2f us, %s %.2f us)\n", checksum ? "with checksums" : "without checksums",
		with_free ? ", segments freed" : "", median(ratios, n_rounds), median(ours, n_rounds) * us, rival->name,
		median(theirs, n_rounds) * us);
	free(ours);
	free(theirs);
	free(ratios);
}

static void
figure(const struct kind *kind, unsigned int n_rounds)
{
	struct rte_mbuf *pkt = make_packet(kind);
	double *ours = calloc(n_rounds, sizeof(*ours));

	if (ours == NULL)
		die("no memory");
	for (unsigned int i = 0; i < n_rounds; i++)
		ours[i] = round_of(cut_by_vnet, pkt, true, false);
	printf("%s: %.2f us\n", kind->name, median(ours, n_rounds) * 1e6 / (double)rte_get_tsc_hz());
	rte_pktmbuf_free(pkt);
	free(ours);
}

int
main(int argc, char *argv[])
{
	char *eal[] = { argv[0], (char[]){ "--no-huge" }, (char[]){ "-m" }, (char[]){ "256" }, (char[]){ "--no-pci" },
		(char[]){ "--no-telemetry" }, (char[]){ "--no-shconf" }, (char[]){ "--log-level=*:critical" }, NULL };
	unsigned int n_rounds = argc > 1 ? (unsigned int)atoi(argv[1]) : 301;
	struct rte_mbuf *pkt;

	if (n_rounds == 0 || rte_eal_init((int)RTE_DIM(eal) - 1, eal) < 0 || dt_vnet_init() != 0)
		die("usage: segment_bench [ROUNDS]; or EAL did not start");
	pool = rte_pktmbuf_pool_create("bench", POOL_SIZE, 256, 0, RTE_PKTMBUF_HEADROOM + ROOM, (int)rte_socket_id());
	if (pool == NULL)
		die("no memory for mbufs");
	pkt = make_packet(&kinds[0]);
	check_equal(pkt, &native);
	check_equal(pkt, &packaged);
	printf("%s, %u bytes into %u segments:\n", kinds[0].name, pkt->pkt_len, SEGMENTS);
	compare(cut_by_vnet, &native, pkt, n_rounds, true, false);
	compare(cut_by_vnet, &native, pkt, n_rounds, true, true);
	compare(cut_by_vnet, &packaged, pkt, n_rounds, true, false);
	compare(cut_by_vnet, &packaged, pkt, n_rounds, true, true);
	compare(cut_by_vnet, &native, pkt, n_rounds, false, false);
	printf("the same, payload copied:\n");
	compare(cut_by_copy, &native, pkt, n_rounds, true, false);
	compare(cut_by_copy, &native, pkt, n_rounds, true, true);
	compare(cut_by_copy, &packaged, pkt, n_rounds, true, true);
	rte_pktmbuf_free(pkt);
	printf("figures, with checksums:\n");
	for (unsigned int i = 1; i < RTE_DIM(kinds); i++)
		figure(&kinds[i], n_rounds);
	if (rte_mempool_avail_count(pool) != POOL_SIZE)
		die("an mbuf is lost");
	rte_eal_cleanup();
	return 0;
}
