/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest's header is told, as the kernel's tap (Linux 6.18, macvtap) told the same header and frame; and that
 * none, however hostile, makes anybody look or write past the packet, or leaves numbers in the mbuf that the packet
 * belies.
 */
#include "testing.h"

#include <stdio.h>
#include <stdlib.h>

#include <netinet/in.h>

#include <rte_common.h>
#include <rte_ether.h>

#include "books.h"
#include "eal.h"
#include "frame.h"
#include "packet.h"
#include "pool.h"
#include "vnet.h"

#define BIT(NAME) (1ULL << VIRTIO_NET_F_##NAME)

#define ALL                                                                                                            \
	(BIT(CSUM) | BIT(GUEST_CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN) | BIT(HOST_UFO) |               \
		BIT(HOST_USO) | 1ULL << VIRTIO_F_VERSION_1)

#define GOOD DT_CAUSE_MAX

#define NC   VIRTIO_NET_HDR_F_NEEDS_CSUM
#define DV   VIRTIO_NET_HDR_F_DATA_VALID
#define TCP4 VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6 VIRTIO_NET_HDR_GSO_TCPV6
#define UFO  VIRTIO_NET_HDR_GSO_UDP
#define USO  VIRTIO_NET_HDR_GSO_UDP_L4
#define ECN  VIRTIO_NET_HDR_GSO_ECN

/* flags, gso_type, hdr_len, gso_size, csum_start, csum_offset */
#define H(...)                                                                                                         \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}

#define IP4 .type = RTE_ETHER_TYPE_IPV4
#define IP6 .type = RTE_ETHER_TYPE_IPV6
#define T4(n, ...)                                                                                                     \
	{                                                                                                              \
		IP4, .proto = IPPROTO_TCP, .payload = (n), ##__VA_ARGS__                                               \
	}
#define T6(n, ...)                                                                                                     \
	{                                                                                                              \
		IP6, .proto = IPPROTO_TCP, .payload = (n), ##__VA_ARGS__                                               \
	}
#define U4(n)                                                                                                          \
	{                                                                                                              \
		IP4, .proto = IPPROTO_UDP, .payload = (n)                                                              \
	}
#define U6(n)                                                                                                          \
	{                                                                                                              \
		IP6, .proto = IPPROTO_UDP, .payload = (n)                                                              \
	}
#define RAW(n, t)                                                                                                      \
	{                                                                                                              \
		.type = (t), .payload = (n)                                                                            \
	}
#define ARP RAW(46, RTE_ETHER_TYPE_ARP)

struct row {
	const char *what;
	struct virtio_net_hdr hdr;
	struct dt_test_frame_spec spec;
	enum dt_cause verdict;
	struct virtio_net_hdr told; /* to a guest that takes everything; hdr_len apart */
	bool completed; /* a checksum that no mbuf can leave undone */
	uint32_t patch_at; /* this byte is changed */
	uint8_t patch;
	uint32_t len; /* the frame is cut off here */
};

/* clang-format off */
static const struct row rows[] = {
	/* whole packets */
	{ "plain TCP", H(0), T4(6), GOOD },
	{ "plain UDP", H(0), U4(20), GOOD },
	{ "plain ARP", H(0), ARP, GOOD },
	{ "plain, of an unknown type", H(0), RAW(46, 0x88b5), GOOD },
	{ "plain, of 802.3", H(0), RAW(46, 46), GOOD },
	{ "plain, tagged", H(0), T4(100, .n_tags = 1), GOOD },
	{ "no frame", H(.hdr_len = 1), RAW(0, 0x800), DT_CAUSE_FRAME_TOO_SHORT, .len = 1 },
	{ "half an Ethernet header", H(.hdr_len = 1), RAW(0, 0x800), DT_CAUSE_FRAME_TOO_SHORT, .len = 13 },
	{ "an Ethernet header", H(.hdr_len = 1), RAW(0, 0x800), GOOD },
	{ "one byte of IP", H(.hdr_len = 1), RAW(1, 0x800), GOOD },
	{ "1,514 bytes", H(.hdr_len = 1), T4(1460), GOOD },
	{ "9,014 bytes", H(.hdr_len = 1), T4(8960), GOOD },
	{ "65,535 bytes", H(.hdr_len = 1), T4(65535 - 54), GOOD },
	{ "65,536 bytes", H(.hdr_len = 1), RAW(65536 - 14, 0x88b5), GOOD },

	/* flags */
	{ "DATA_VALID", H(DV), T4(100), GOOD },
	{ "RSC_INFO", H(4), T4(100), GOOD },
	{ "UDP_TUNNEL_CSUM", H(8), T4(100), GOOD },
	{ "flags that nobody knows", H(0xf8), T4(100), GOOD },
	{ "NEEDS_CSUM with DATA_VALID", H(NC | DV, 0, 0, 0, 34, 16), T4(100), GOOD, H(NC, 0, 0, 0, 34, 16) },
	{ "all flags", H(0xff, 0, 0, 0, 34, 16), T4(100), GOOD, H(NC, 0, 0, 0, 34, 16) },

	/* checksums */
	{ "TCP over IPv4", H(NC, 0, 0, 0, 34, 16), T4(100), GOOD, H(NC, 0, 0, 0, 34, 16) },
	{ "UDP over IPv4", H(NC, 0, 0, 0, 34, 6), U4(100), GOOD, H(NC, 0, 0, 0, 34, 6) },
	{ "TCP over IPv6", H(NC, 0, 0, 0, 54, 16), T6(100), GOOD, H(NC, 0, 0, 0, 54, 16) },
	{ "TCP over IPv4, tagged", H(NC, 0, 0, 0, 38, 16), T4(100, .n_tags = 1), GOOD, H(NC, 0, 0, 0, 38, 16) },
	{ "start 0", H(NC), T4(100), DT_CAUSE_HDR_CSUM_START },
	{ "start 13", H(NC, 0, 0, 0, 13), T4(100), DT_CAUSE_HDR_CSUM_START },
	{ "IP's own", H(NC, 0, 0, 0, 14, 10), T4(100), DT_CAUSE_HDR_CSUM_START },
	{ "start 19", H(NC, 0, 0, 0, 19), T4(100), DT_CAUSE_HDR_CSUM_START },
	{ "start 20", H(NC, 0, 0, 0, 20), T4(100), GOOD, .completed = true },
	{ "the last two bytes", H(NC, 0, 0, 0, 152, 0), T4(100), GOOD, .completed = true },
	{ "start 1 byte too far", H(NC, 0, 0, 0, 153, 0), T4(100), DT_CAUSE_HDR_CSUM_RANGE },
	{ "start at the end", H(NC, 0, 0, 0, 154, 0), T4(100), DT_CAUSE_HDR_CSUM_RANGE },
	{ "start behind the end", H(NC, 0, 0, 0, 155, 0), T4(100), DT_CAUSE_HDR_CSUM_RANGE },
	{ "start 65535", H(NC, 0, 0, 0, 0xffff, 0), T4(100), DT_CAUSE_HDR_CSUM_RANGE },
	{ "start and offset 65535", H(NC, 0, 0, 0, 0xffff, 0xffff), T4(100), DT_CAUSE_HDR_CSUM_RANGE },
	{ "an offset to the last two bytes", H(NC, 0, 0, 0, 34, 118), T4(100), GOOD, .completed = true },
	{ "an offset 1 too far", H(NC, 0, 0, 0, 34, 119), T4(100), DT_CAUSE_HDR_CSUM_RANGE },
	{ "an offset to the end", H(NC, 0, 0, 0, 34, 120), T4(100), DT_CAUSE_HDR_CSUM_RANGE },
	{ "offset 65535", H(NC, 0, 0, 0, 34, 0xffff), T4(100), DT_CAUSE_HDR_CSUM_RANGE },
	{ "an offset that 16 bits wrap", H(NC, 0, 0, 0, 34, 0xfffe), T4(100), DT_CAUSE_HDR_CSUM_RANGE },
	{ "an odd start", H(NC, 0, 0, 0, 35, 16), T4(100), GOOD, .completed = true },
	{ "on ARP", H(NC, 0, 0, 0, 34, 6), ARP, GOOD, .completed = true },
	{ "a large frame", H(NC, 0, 0, 0, 34, 16), T4(8960), GOOD, H(NC, 0, 0, 0, 34, 16) },
	{ "far into a large frame", H(NC, 0, 0, 0, 40000, 16), T4(64900), GOOD, .completed = true },
	{ "where nobody asks for one", H(0, 0, 0, 0, 0xffff, 0xffff), T4(100), GOOD },
	{ "SCTP", H(NC, 0, 0, 0, 34, 8), { IP4, .proto = IPPROTO_SCTP, .payload = 100 }, GOOD, H(NC, 0, 0, 0, 34, 8) },
	{ "UDP-Lite", H(NC, 0, 0, 0, 34, 6), { IP4, .proto = 136, .payload = 100 }, GOOD, .completed = true },
	{ "TCP, but UDP's offset", H(NC, 0, 0, 0, 34, 6), T4(100), GOOD, .completed = true },
	{ "a fragment", H(NC, 0, 0, 0, 34, 6), { IP4, .proto = IPPROTO_UDP, .payload = 100, .fragment = 0x2000 }, GOOD,
		.completed = true },
	{ "behind IPv4 options", H(NC, 0, 0, 0, 74, 6), { IP4, .proto = IPPROTO_UDP, .payload = 9, .ip_options = 40 },
		GOOD, H(NC, 0, 0, 0, 74, 6) },
	{ "behind IPv6 extension headers", H(NC, 0, 0, 0, 78, 6),
		{ IP6, .proto = IPPROTO_UDP, .payload = 9, .extensions = { DT_TEST_HOP_BY_HOP, IPPROTO_ROUTING, 60 } },
		GOOD, H(NC, 0, 0, 0, 78, 6) },
	{ "behind more of them than an mbuf can say", H(NC, 0, 0, 0, 54 + 3 * 160, 6),
		{ IP6, .proto = IPPROTO_UDP, .payload = 9, .extension_units = 19,
			.extensions = { DT_TEST_HOP_BY_HOP, IPPROTO_ROUTING, IPPROTO_DSTOPTS } },
		GOOD, .completed = true },
	{ "behind an IPv6 fragment header", H(NC, 0, 0, 0, 62, 6),
		{ IP6, .proto = IPPROTO_UDP, .payload = 9, .extensions = { IPPROTO_FRAGMENT } }, GOOD,
		.completed = true },
	{ "behind seven tags", H(NC, 0, 0, 0, 62, 16), T4(100, .n_tags = 7), GOOD, H(NC, 0, 0, 0, 62, 16) },
	{ "behind eight tags", H(NC, 0, 0, 0, 66, 16), T4(100, .n_tags = 8), GOOD, .completed = true },
	{ "IP's length short of the frame", H(NC, 0, 0, 0, 34, 16), T4(100), GOOD, .completed = true, .patch_at = 17,
		.patch = 100 },
	{ "IP of another version", H(NC, 0, 0, 0, 34, 16), T4(100), GOOD, .completed = true, .patch_at = 14,
		.patch = 0x65 },

	/* the headers' length */
	{ "hdr_len 54", H(0, 0, 54), T4(100), GOOD },
	{ "hdr_len of the frame", H(0, 0, 154), T4(100), GOOD },
	{ "1 more", H(0, 0, 155), T4(100), GOOD },
	{ "2 more, which num_buffers has", H(0, 0, 156), T4(100), GOOD },
	{ "3 more", H(0, 0, 157), T4(100), DT_CAUSE_HDR_LEN_TOO_LONG },
	{ "9 more", H(0, 0, 163), T4(100), DT_CAUSE_HDR_LEN_TOO_LONG },
	{ "10 more", H(0, 0, 164), T4(100), DT_CAUSE_HDR_LEN_TOO_LONG },
	{ "12 more", H(0, 0, 166), T4(100), DT_CAUSE_HDR_LEN_TOO_LONG },
	{ "hdr_len 65535", H(0, 0, 0xffff), T4(100), DT_CAUSE_HDR_LEN_TOO_LONG },
	{ "shorter than the checksum needs", H(NC, 0, 20, 0, 34, 16), T4(100), GOOD, H(NC, 0, 0, 0, 34, 16) },
	{ "hdr_len 65535 and a checksum", H(NC, 0, 0xffff, 0, 34, 16), T4(100), DT_CAUSE_HDR_LEN_TOO_LONG },

	/* TCP */
	{ "TSO4", H(NC, TCP4, 54, 1448, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 1448, 34, 16) },
	{ "TSO4, hdr_len 0", H(NC, TCP4, 0, 1448, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 1448, 34, 16) },
	{ "TSO4, hdr_len 14", H(NC, TCP4, 14, 1448, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 1448, 34, 16) },
	{ "TSO4, hdr_len 5000", H(NC, TCP4, 5000, 1448, 34, 16), T4(4000), DT_CAUSE_HDR_LEN_TOO_LONG },
	{ "TSO6", H(NC, TCP6, 74, 1428, 54, 16), T6(4000), GOOD, H(NC, TCP6, 0, 1428, 54, 16) },
	{ "TSO4, tagged", H(NC, TCP4, 58, 1448, 38, 16), T4(4000, .n_tags = 1), GOOD, H(NC, TCP4, 0, 1448, 38, 16) },
	{ "TSO4, tagged twice", H(NC, TCP4, 0, 1448, 42, 16), T4(4000, .n_tags = 2), GOOD,
		H(NC, TCP4, 0, 1448, 42, 16) },
	{ "TSO4, no checksum", H(0, TCP4, 54, 1448), T4(4000), GOOD, H(NC, TCP4, 0, 1448, 34, 16) },
	{ "TSO4, no checksum, tagged", H(0, TCP4, 54, 1448), T4(4000, .n_tags = 1), GOOD,
		H(NC, TCP4, 0, 1448, 38, 16) },
	{ "TSO4, DATA_VALID", H(DV, TCP4, 54, 1448, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 1448, 34, 16) },
	{ "TSO6, no checksum", H(0, TCP6, 74, 1428), T6(4000), GOOD, H(NC, TCP6, 0, 1428, 54, 16) },
	{ "TSO6 behind extension headers", H(NC, TCP6, 0, 1428, 70, 16),
		T6(4000, .extensions = { DT_TEST_HOP_BY_HOP, IPPROTO_DSTOPTS }), GOOD, H(NC, TCP6, 0, 1428, 70, 16) },
	{ "TSO6 behind them, no checksum", H(0, TCP6, 0, 1428),
		T6(4000, .extensions = { IPPROTO_ROUTING, IPPROTO_DSTOPTS }), GOOD, H(NC, TCP6, 0, 1428, 70, 16) },
	{ "TSO6 behind a fragment header", H(NC, TCP6, 0, 1428, 62, 16), T6(4000, .extensions = { IPPROTO_FRAGMENT }),
		DT_CAUSE_GSO_MALFORMED },
	{ "TSO6 behind a fragment header, no checksum", H(0, TCP6, 0, 1428),
		T6(4000, .extensions = { IPPROTO_FRAGMENT }), DT_CAUSE_GSO_MALFORMED },
	{ "gso_size 0", H(NC, TCP4, 54, 0, 34, 16), T4(4000), DT_CAUSE_HDR_GSO_SIZE },
	{ "gso_size 1", H(NC, TCP4, 54, 1, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 1, 34, 16) },
	{ "gso_size 7", H(NC, TCP4, 54, 7, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 7, 34, 16) },
	{ "gso_size 8", H(NC, TCP4, 54, 8, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 8, 34, 16) },
	{ "gso_size 65535", H(NC, TCP4, 54, 0xffff, 34, 16), T4(4000), DT_CAUSE_HDR_GSO_SIZE },
	{ "gso_size 65534", H(NC, TCP4, 54, 0xfffe, 34, 16), T4(4000), GOOD, H(NC, 0, 0, 0, 34, 16) },
	{ "gso_size of the payload", H(NC, TCP4, 54, 4000, 34, 16), T4(4000), GOOD, H(NC, 0, 0, 0, 34, 16) },
	{ "one less", H(NC, TCP4, 54, 3999, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 3999, 34, 16) },
	{ "gso_size above the payload", H(NC, TCP4, 54, 5000, 34, 16), T4(4000), GOOD, H(NC, 0, 0, 0, 34, 16) },
	{ "gso_size of the payload, which options hide", H(NC, TCP4, 0, 4000, 34, 16), T4(4000, .tcp_options = 12),
		DT_CAUSE_GSO_MALFORMED },
	{ "a small frame", H(NC, TCP4, 54, 1448, 34, 16), T4(100), GOOD, H(NC, 0, 0, 0, 34, 16) },
	{ "no payload", H(NC, TCP4, 54, 1448, 34, 16), T4(0), GOOD, H(NC, 0, 0, 0, 34, 16) },
	{ "UDP's checksum", H(NC, TCP4, 54, 1448, 34, 6), T4(4000), DT_CAUSE_HDR_GSO_CSUM },
	{ "start 14", H(NC, TCP4, 54, 1448, 14, 16), T4(4000), DT_CAUSE_HDR_CSUM_START },
	{ "start 42", H(NC, TCP4, 54, 1448, 42, 16), T4(4000), DT_CAUSE_GSO_MALFORMED },
	{ "start behind the end", H(NC, TCP4, 54, 1448, 5000, 16), T4(4000), DT_CAUSE_HDR_CSUM_RANGE },
	{ "TSO4 with ECN", H(NC, TCP4 | ECN, 54, 1448, 34, 16), T4(4000, .tcp_flags = 0xd0), GOOD,
		H(NC, TCP4 | ECN, 0, 1448, 34, 16) },
	{ "TSO6 with ECN", H(NC, TCP6 | ECN, 74, 1428, 54, 16), T6(4000, .tcp_flags = 0xd0), GOOD,
		H(NC, TCP6 | ECN, 0, 1428, 54, 16) },
	{ "ECN alone", H(0, ECN), T4(100), DT_CAUSE_HDR_GSO_TYPE },
	{ "ECN alone, with a size", H(NC, ECN, 54, 1448, 34, 16), T4(4000), DT_CAUSE_HDR_GSO_TYPE },
	{ "TSO6 on IPv4", H(NC, TCP6, 54, 1448, 34, 16), T4(4000), DT_CAUSE_HDR_CSUM_START },
	{ "TSO4 on IPv6", H(NC, TCP4, 74, 1428, 54, 16), T6(4000), DT_CAUSE_GSO_MALFORMED },
	{ "TSO4 on IPv6, no checksum", H(0, TCP4, 0, 1428), T6(4000), DT_CAUSE_GSO_MALFORMED },
	{ "TSO6 on IPv4, no checksum", H(0, TCP6, 0, 1428), T4(4000), DT_CAUSE_GSO_MALFORMED },
	{ "TSO4 on UDP", H(NC, TCP4, 54, 1448, 34, 16), U4(4000), DT_CAUSE_GSO_MALFORMED },
	{ "TSO4 on UDP, no checksum", H(0, TCP4, 0, 1448), U4(4000), DT_CAUSE_HDR_GSO_PROTOCOL },
	{ "TSO4 on ARP", H(NC, TCP4, 54, 1448, 34, 16), ARP, GOOD, .completed = true },
	{ "TSO4 on ARP, no checksum", H(0, TCP4, 0, 1448), ARP, DT_CAUSE_HDR_GSO_PROTOCOL },
	{ "TSO4 on an unknown type", H(NC, TCP4, 54, 1448, 34, 16), RAW(4000, 0x88b5), DT_CAUSE_GSO_MALFORMED },
	{ "TSO4 on an unknown type, no checksum", H(0, TCP4, 0, 1448), RAW(4000, 0x88b5), DT_CAUSE_HDR_GSO_PROTOCOL },
	{ "TSO4 on type 0", H(NC, TCP4, 54, 1448, 34, 16), RAW(4000, 0), DT_CAUSE_GSO_MALFORMED },
	{ "TSO4 on type 0, no checksum", H(0, TCP4, 0, 1448), RAW(4000, 0), DT_CAUSE_HDR_GSO_PROTOCOL,
		.patch_at = 14, .patch = 'R' },
	{ "TSO4 on IPv4 that says type 0", H(0, TCP4, 0, 1448), T4(4000), GOOD, H(NC, TCP4, 0, 1448, 34, 16),
		.patch_at = 12, .patch = 0 },
	{ "TSO4 on 802.3", H(NC, TCP4, 54, 1448, 34, 16), RAW(1000, 1000), GOOD, .completed = true },
	{ "14 bytes", H(0, TCP4, 0, 1448), RAW(0, 0x800), DT_CAUSE_HDR_GSO_PROTOCOL },
	{ "33 bytes", H(0, TCP4, 0, 1448), T4(0), DT_CAUSE_HDR_GSO_PROTOCOL, .len = 33 },
	{ "34 bytes", H(0, TCP4, 0, 1448), T4(0), DT_CAUSE_HDR_GSO_PROTOCOL, .len = 34 },
	{ "53 bytes", H(0, TCP4, 0, 1448), T4(0), DT_CAUSE_HDR_GSO_PROTOCOL, .len = 53 },
	{ "53 bytes and a checksum", H(NC, TCP4, 0, 1448, 34, 16), T4(0), DT_CAUSE_HDR_CSUM_RANGE, .len = 53 },
	{ "40 bytes and a checksum", H(NC, TCP4, 0, 1448, 34, 4), T4(0), DT_CAUSE_HDR_CSUM_RANGE, .len = 40 },
	{ "a TCP header of 16 bytes", H(NC, TCP4, 54, 1448, 34, 16), T4(4000), DT_CAUSE_GSO_MALFORMED, .patch_at = 46,
		.patch = 0x40 },
	{ "a TCP header of 60 bytes", H(NC, TCP4, 94, 1448, 34, 16), T4(4000, .tcp_options = 40), GOOD,
		H(NC, TCP4, 0, 1448, 34, 16) },
	{ "the same, hdr_len 54", H(NC, TCP4, 54, 1448, 34, 16), T4(4000, .tcp_options = 40), GOOD,
		H(NC, TCP4, 0, 1448, 34, 16) },
	{ "a TCP header longer than the frame", H(NC, TCP4, 0, 1, 34, 16), T4(30), DT_CAUSE_GSO_MALFORMED,
		.patch_at = 46, .patch = 0xf0 },
	{ "an IP header of 60 bytes", H(NC, TCP4, 94, 1448, 74, 16), T4(4000, .ip_options = 40), GOOD,
		H(NC, TCP4, 0, 1448, 74, 16) },
	{ "an IP header of 16 bytes", H(NC, TCP4, 54, 1448, 34, 16), T4(4000), DT_CAUSE_GSO_MALFORMED, .patch_at = 14,
		.patch = 0x44 },
	{ "IP of another version", H(NC, TCP4, 54, 1448, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 1448, 34, 16),
		.patch_at = 14, .patch = 0x65 },
	{ "a fragment", H(NC, TCP4, 54, 1448, 34, 16), T4(4000, .fragment = 0x2000), GOOD,
		H(NC, TCP4, 0, 1448, 34, 16) },
	{ "a fragment, no checksum", H(0, TCP4, 54, 1448), T4(4000, .fragment = 0x2000), GOOD,
		H(NC, TCP4, 0, 1448, 34, 16) },
	{ "IP's length short of the frame", H(NC, TCP4, 54, 1448, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 1448, 34, 16),
		.patch_at = 16, .patch = 0 },
	{ "IP's length beyond the frame", H(NC, TCP4, 54, 1448, 34, 16), T4(4000), GOOD, H(NC, TCP4, 0, 1448, 34, 16),
		.patch_at = 16, .patch = 0x22 },
	{ "65,535 bytes of frame", H(NC, TCP4, 54, 1448, 34, 16), T4(65535 - 54), GOOD, H(NC, TCP4, 0, 1448, 34, 16) },
	{ "65,535 bytes of IP", H(NC, TCP4, 54, 1448, 34, 16), T4(65535 - 40), GOOD, H(NC, TCP4, 0, 1448, 34, 16) },

	/* UDP */
	{ "UFO on IPv4", H(NC, UFO, 42, 1448, 34, 6), U4(4000), GOOD, H(NC, UFO, 0, 1448, 34, 6) },
	{ "UFO on IPv4, no checksum", H(0, UFO, 42, 1448), U4(4000), GOOD, H(NC, UFO, 0, 1448, 34, 6) },
	{ "UFO on IPv6", H(NC, UFO, 62, 1448, 54, 6), U6(4000), GOOD, H(NC, UFO, 0, 1448, 54, 6) },
	{ "UFO on IPv6, no checksum", H(0, UFO, 62, 1448), U6(4000), GOOD, H(NC, UFO, 0, 1448, 54, 6) },
	{ "UFO on IPv6 that says IPv4, no checksum", H(0, UFO, 62, 1448),
		{ IP6, .says = RTE_ETHER_TYPE_IPV4, .proto = IPPROTO_UDP, .payload = 4000 }, GOOD,
		H(NC, UFO, 0, 1448, 54, 6) },
	{ "UFO with another checksum than UDP's", H(NC, UFO, 42, 1448, 60, 0), U4(4000), GOOD,
		H(NC, UFO, 0, 1448, 34, 6) },
	{ "UFO with ECN", H(NC, UFO | ECN, 42, 1448, 34, 6), U4(4000), GOOD, H(NC, UFO, 0, 1448, 34, 6) },
	{ "UFO, 1 byte more than a fragment", H(NC, UFO, 42, 1448, 34, 6), U4(1441), GOOD, H(NC, UFO, 0, 1448, 34, 6) },
	{ "UFO, just a fragment", H(NC, UFO, 42, 1448, 34, 6), U4(1440), GOOD, H(NC, 0, 0, 0, 34, 6) },
	{ "UFO on TCP", H(NC, UFO, 54, 1448, 34, 16), T4(4000), DT_CAUSE_GSO_MALFORMED },
	{ "UFO on TCP, no checksum", H(0, UFO, 54, 1448), T4(4000), DT_CAUSE_HDR_GSO_PROTOCOL },
	{ "UFO, gso_size 0", H(NC, UFO, 42, 0, 34, 6), U4(4000), DT_CAUSE_HDR_GSO_SIZE },
	{ "UFO on ARP", H(0, UFO, 42, 1448), ARP, DT_CAUSE_HDR_GSO_PROTOCOL },
	{ "USO on IPv4", H(NC, USO, 42, 1400, 34, 6), U4(4000), GOOD, H(NC, USO, 0, 1400, 34, 6) },
	{ "USO on IPv6", H(NC, USO, 62, 1400, 54, 6), U6(4000), GOOD, H(NC, USO, 0, 1400, 54, 6) },
	{ "USO, no checksum", H(0, USO, 42, 1400), U4(4000), DT_CAUSE_HDR_GSO_CSUM },
	{ "USO on TCP", H(NC, USO, 54, 1448, 34, 16), T4(4000), DT_CAUSE_HDR_GSO_CSUM },
	{ "USO on TCP, with UDP's checksum", H(NC, USO, 54, 1448, 34, 6), T4(4000), DT_CAUSE_GSO_MALFORMED },
	{ "USO, gso_size 0", H(NC, USO, 42, 0, 34, 6), U4(4000), DT_CAUSE_HDR_GSO_SIZE },
	{ "USO, gso_size 1", H(NC, USO, 42, 1, 34, 6), U4(4000), DT_CAUSE_HDR_GSO_SIZE },
	{ "USO, 128 datagrams", H(NC, USO, 42, 10, 34, 6), U4(1280), GOOD, H(NC, USO, 0, 10, 34, 6) },
	{ "USO, 128 datagrams and a byte", H(NC, USO, 42, 10, 34, 6), U4(1281), DT_CAUSE_HDR_GSO_SIZE },
	{ "USO, gso_size of the payload", H(NC, USO, 42, 4000, 34, 6), U4(4000), GOOD, H(NC, 0, 0, 0, 34, 6) },
	{ "USO, TCP's offset", H(NC, USO, 42, 1400, 34, 16), U4(4000), DT_CAUSE_HDR_GSO_CSUM },
	{ "USO, another start", H(NC, USO, 42, 1400, 36, 6), U4(4000), DT_CAUSE_GSO_MALFORMED },
	{ "USO with ECN", H(NC, USO | ECN, 42, 1448, 34, 6), U4(4000), DT_CAUSE_HDR_GSO_TYPE },
	{ "USO on ARP", H(NC, USO, 42, 1400, 34, 6), ARP, GOOD, .completed = true },

	/* types that are none */
	{ "type 2", H(NC, 2, 54, 1448, 34, 16), T4(4000), DT_CAUSE_HDR_GSO_TYPE },
	{ "type 6", H(NC, 6, 54, 1448, 34, 16), T4(4000), DT_CAUSE_HDR_GSO_TYPE },
	{ "type 0x20", H(NC, 0x20, 54, 1448, 34, 16), T4(4000), DT_CAUSE_HDR_GSO_TYPE },
	{ "type 0x21, a tunnel", H(NC, 0x21, 54, 1448, 34, 16), T4(4000), DT_CAUSE_HDR_GSO_TYPE },
	{ "type 0x7f", H(NC, 0x7f, 54, 1448, 34, 16), T4(4000), DT_CAUSE_HDR_GSO_TYPE },
	{ "no type, but a size", H(0, 0, 54, 1448), T4(4000), GOOD },
	{ "no type, hdr_len beyond the frame", H(0, 0, 5000), T4(100), DT_CAUSE_HDR_LEN_TOO_LONG },
};
/* clang-format on */

static void
build(const struct row *row, struct dt_test_frame *frame)
{
	dt_test_frame_build(&row->spec, 1, frame);
	if (row->patch_at != 0)
		frame->bytes[row->patch_at] = row->patch;
	if (row->len != 0)
		frame->len = row->len;
}

/* The checksum as the header describes it, over the bytes that came: complete ones add up to nothing. */
static bool
is_completed(const struct virtio_net_hdr *hdr, const struct dt_test_frame *frame, const uint8_t *bytes, uint32_t len)
{
	static uint8_t want[DT_TEST_FRAME_MAX];
	uint32_t at = (uint32_t)hdr->csum_start + hdr->csum_offset;
	uint16_t sum = (uint16_t)~dt_test_sum(frame->bytes + hdr->csum_start, frame->len - hdr->csum_start, 0);

	if (sum == 0)
		sum = 0xffff;
	memcpy(want, frame->bytes, frame->len);
	want[at] = (uint8_t)(sum >> 8);
	want[at + 1] = (uint8_t)sum;
	return len == frame->len && memcmp(want, bytes, len) == 0;
}

/* Whether the packet is what came, but for a checksum that was made or begun. */
static bool
is_untouched(const struct row *row, const struct dt_test_frame *frame, const uint8_t *bytes, uint32_t len)
{
	uint32_t check = (uint32_t)row->told.csum_start + row->told.csum_offset;

	if (row->completed)
		return is_completed(&row->hdr, frame, bytes, len);
	if (len != frame->len)
		return false;
	/* without NEEDS_CSUM, and for UFO, a checksum is begun that was not */
	for (uint32_t i = 0; i < len; i++)
		if (bytes[i] != frame->bytes[i] && (row->told.flags == 0 || i < check || i > check + 3))
			return false;
	return true;
}

static void
judge_row(const struct row *row, const struct dt_test_frame *frame, struct rte_mbuf *pkt)
{
	static uint8_t bytes[DT_TEST_FRAME_MAX];
	enum dt_cause verdict = dt_vnet_accept(&row->hdr, ALL, pkt);
	struct virtio_net_hdr told;
	uint32_t len = dt_test_packet_read(pkt, bytes);

	if (verdict != row->verdict)
		fail_msg("%s: %s, not %s", row->what, verdict == GOOD ? "good" : dt_cause_name(verdict),
			row->verdict == GOOD ? "good" : dt_cause_name(row->verdict));
	dt_vnet_header(pkt, ALL, &told);
	told.hdr_len = 0;
	if (memcmp(&told, &row->told, sizeof(told)) != 0)
		fail_msg("%s: a guest is told flags %u type %u size %u start %u offset %u", row->what, told.flags,
			told.gso_type, told.gso_size, told.csum_start, told.csum_offset);
	if (!is_untouched(row, frame, bytes, len))
		fail_msg("%s: the packet was changed", row->what);
	dt_test_packet_free(pkt);
}

static void
each_header_is_told_what_the_kernel_tells_it(void **state)
{
	static struct dt_test_frame frame;

	for (unsigned int i = 0; i < RTE_DIM(rows); i++) {
		build(&rows[i], &frame);
		judge_row(&rows[i], &frame, dt_test_packet_of(frame.bytes, frame.len, NULL, 0));
	}
}

static void
it_does_not_matter_how_the_frame_lies_in_mbufs(void **state)
{
	static struct dt_test_frame frame;

	for (unsigned int i = 0; i < RTE_DIM(rows); i++) {
		build(&rows[i], &frame);
		for (uint32_t cut = 1; cut < RTE_MIN(frame.len, 130u); cut++) {
			const uint32_t cuts[] = { cut, cut + 1, 2 * cut + 5 };

			judge_row(&rows[i], &frame, dt_test_packet_guarded(frame.bytes, frame.len, cuts, 1));
			judge_row(
				&rows[i], &frame, dt_test_packet_guarded(frame.bytes, frame.len, cuts, RTE_DIM(cuts)));
			if (frame.len > 5000)
				break; /* their headers are as those of others */
		}
	}
}

static enum dt_cause
verdict_on(const struct virtio_net_hdr *hdr, uint64_t features, const struct dt_test_frame *frame)
{
	struct rte_mbuf *pkt = dt_test_packet_of(frame->bytes, frame->len, NULL, 0);
	enum dt_cause verdict = dt_vnet_accept(hdr, features, pkt);

	dt_test_packet_free(pkt);
	return verdict;
}

static void
a_short_header_has_no_num_buffers_to_count(void **state)
{
	static struct dt_test_frame frame;
	const struct virtio_net_hdr hdr = { .hdr_len = 155 };

	dt_test_frame_build(&(struct dt_test_frame_spec)T4(100), 1, &frame);

	assert_int_equal(verdict_on(&hdr, 1ULL << VIRTIO_F_VERSION_1, &frame), GOOD);
	assert_int_equal(verdict_on(&hdr, BIT(MRG_RXBUF), &frame), GOOD);
	assert_int_equal(verdict_on(&hdr, 0, &frame), DT_CAUSE_HDR_LEN_TOO_LONG);
}

static void
what_was_not_negotiated_is_refused_last(void **state)
{
	static const struct {
		struct virtio_net_hdr hdr;
		uint64_t feature;
		struct dt_test_frame_spec spec;
		enum dt_cause without;
	} each[] = {
		{ H(NC, 0, 0, 0, 34, 16), BIT(CSUM), T4(4000), DT_CAUSE_HDR_CSUM_NOT_NEGOTIATED },
		{ H(0, TCP4, 0, 1448), BIT(HOST_TSO4), T4(4000), DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
		{ H(0, TCP6, 0, 1448), BIT(HOST_TSO6), T6(4000), DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
		{ H(0, UFO, 0, 1448), BIT(HOST_UFO), U4(4000), DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
		{ H(NC, USO, 0, 1448, 34, 6), BIT(HOST_USO), U4(4000), DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
		{ H(0, TCP4 | ECN, 0, 1448), BIT(HOST_ECN), T4(4000), DT_CAUSE_HDR_GSO_NOT_NEGOTIATED },
		{ H(NC, TCP4, 0, 1448, 34, 16), BIT(CSUM), T4(4000), DT_CAUSE_HDR_CSUM_NOT_NEGOTIATED },
		{ H(NC, TCP4, 0, 0, 34, 16), ALL, T4(4000), DT_CAUSE_HDR_GSO_SIZE },
		{ H(NC, 0, 0, 0, 200, 16), ALL, T4(100), DT_CAUSE_HDR_CSUM_RANGE },
	};
	static struct dt_test_frame frame;

	for (unsigned int i = 0; i < RTE_DIM(each); i++) {
		dt_test_frame_build(&each[i].spec, 1, &frame);
		assert_int_equal(verdict_on(&each[i].hdr, ALL & ~each[i].feature, &frame), each[i].without);
		if (each[i].feature != ALL)
			assert_int_equal(verdict_on(&each[i].hdr, ALL, &frame), GOOD);
	}
}

static void
every_type_and_every_flag_has_its_verdict(void **state)
{
	static struct dt_test_frame frame;

	dt_test_frame_build(&(struct dt_test_frame_spec)T4(4000), 1, &frame);
	for (unsigned int type = 0; type < 256; type++) {
		for (unsigned int flags = 0; flags < 256; flags++) {
			const struct virtio_net_hdr hdr = H((uint8_t)flags, (uint8_t)type, 54, 1448, 34, 16);
			enum dt_cause verdict = verdict_on(&hdr, ALL, &frame), want = DT_CAUSE_HDR_GSO_TYPE;
			bool partial = (flags & NC) != 0;

			if (type == 0 || (type & 0x7f) == TCP4)
				want = GOOD;
			else if ((type & 0x7f) == TCP6)
				want = partial ? DT_CAUSE_HDR_CSUM_START : DT_CAUSE_GSO_MALFORMED;
			else if ((type & 0x7f) == UFO)
				want = partial ? DT_CAUSE_GSO_MALFORMED : DT_CAUSE_HDR_GSO_PROTOCOL;
			else if ((type & 0x7f) == USO)
				want = partial ? DT_CAUSE_HDR_GSO_CSUM : DT_CAUSE_HDR_GSO_PROTOCOL;
			if (verdict != want)
				fail_msg("type %#x flags %#x: %d, not %d", type, flags, (int)verdict, (int)want);
		}
	}
}

static void
every_place_of_a_checksum_has_its_verdict(void **state)
{
	static const uint16_t offsets[] = { 0, 1, 6, 8, 16, 100, 133, 134, 0x7fff, 0xff00, 0xfffd, 0xfffe, 0xffff };
	static struct dt_test_frame frame;

	dt_test_frame_build(&(struct dt_test_frame_spec)T4(100), 1, &frame);
	for (uint32_t start = 0; start <= UINT16_MAX; start++) {
		for (unsigned int i = 0; i < RTE_DIM(offsets); i++) {
			const struct virtio_net_hdr hdr = H(NC, 0, 0, 0, (uint16_t)start, offsets[i]);
			bool inside = start + offsets[i] + 2 <= frame.len;
			enum dt_cause want = !inside      ? DT_CAUSE_HDR_CSUM_RANGE
					     : start < 20 ? DT_CAUSE_HDR_CSUM_START
							  : GOOD;

			assert_int_equal(verdict_on(&hdr, ALL, &frame), want);
		}
	}
}

/* ---- hostile headers on hostile frames ---- */

static void
random_spec(uint64_t *seed, struct dt_test_frame_spec *spec)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDP, IPPROTO_SCTP, 99 };
	static const uint8_t extensions[] = { 0, DT_TEST_HOP_BY_HOP, IPPROTO_ROUTING, IPPROTO_DSTOPTS,
		IPPROTO_FRAGMENT };
	static const uint16_t types[] = { RTE_ETHER_TYPE_IPV4, RTE_ETHER_TYPE_IPV6, RTE_ETHER_TYPE_ARP, 0 };

	*spec = (struct dt_test_frame_spec){
		.type = types[RTE_MIN(dt_test_random(seed, 40) / 16, 3u)],
		.n_tags = dt_test_random(seed, 10) < 8 ? 0 : dt_test_random(seed, 9),
		.proto = protos[dt_test_random(seed, RTE_DIM(protos))],
		.ip_options = dt_test_random(seed, 3) == 0 ? 4 * dt_test_random(seed, 11) : 0,
		.extension_units = (uint8_t)(dt_test_random(seed, 4) == 0 ? dt_test_random(seed, 20) : 0),
		.fragment = (uint16_t)(dt_test_random(seed, 8) == 0 ? 0x2000 : 0),
		.tcp_options = 4 * dt_test_random(seed, 11),
		.payload = dt_test_random(seed, dt_test_random(seed, 4) == 0 ? 4000 : 200),
	};
	for (unsigned int i = 0; i < dt_test_random(seed, 4); i++)
		spec->extensions[i] = extensions[dt_test_random(seed, RTE_DIM(extensions))];
}

static void
random_frame(uint64_t *seed, struct dt_test_frame *frame)
{
	struct dt_test_frame_spec spec;

	random_spec(seed, &spec);
	dt_test_frame_build(&spec, (uint32_t)*seed, frame);
	for (unsigned int i = dt_test_random(seed, 4); i > 0; i--)
		frame->bytes[dt_test_random(seed, RTE_MIN(frame->len, 120u))] = (uint8_t)dt_test_random(seed, 256);
	if (dt_test_random(seed, 4) == 0)
		frame->len = 1 + dt_test_random(seed, frame->len);
}

static uint16_t
random_near(uint64_t *seed, uint32_t number)
{
	return (uint16_t)(dt_test_random(seed, 4) != 0   ? number
			  : dt_test_random(seed, 2) == 0 ? number + dt_test_random(seed, 7) - 3
							 : dt_test_random(seed, 65536));
}

static void
random_header(uint64_t *seed, const struct dt_test_frame *frame, struct virtio_net_hdr *hdr)
{
	static const uint8_t types[] = { 0, TCP4, TCP6, UFO, USO, TCP4 | ECN, TCP6 | ECN, UFO | ECN };

	hdr->flags = (uint8_t)(dt_test_random(seed, 5) == 0 ? dt_test_random(seed, 256) : dt_test_random(seed, 4));
	hdr->gso_type = dt_test_random(seed, 9) == 0 ? (uint8_t)dt_test_random(seed, 256)
						     : types[dt_test_random(seed, RTE_DIM(types))];
	hdr->hdr_len = random_near(seed, frame->payload);
	hdr->gso_size = random_near(seed, dt_test_random(seed, 2) == 0 ? 100 : frame->len - frame->payload);
	hdr->csum_start = random_near(seed, frame->l4);
	hdr->csum_offset = random_near(seed, dt_test_check_offset(frame->proto));
}

/* What any driver may count on. */
static void
check_numbers(const struct rte_mbuf *pkt)
{
	uint64_t work = pkt->ol_flags & DT_VNET_WORK;
	uint64_t segment = work & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG);
	uint64_t v4 = pkt->ol_flags & RTE_MBUF_F_TX_IPV4, v6 = pkt->ol_flags & RTE_MBUF_F_TX_IPV6;
	uint32_t headers = pkt->l2_len + pkt->l3_len + pkt->l4_len;

	if (work == 0) {
		assert_true((pkt->ol_flags & ~RTE_MBUF_F_EXTERNAL) == 0 && pkt->tx_offload == 0);
		return;
	}
	assert_true((v4 == 0) != (v6 == 0));
	assert_true((work & RTE_MBUF_F_TX_L4_MASK) != 0);
	assert_true(pkt->l2_len >= 14 && pkt->l3_len >= (v4 != 0 ? 20 : 40));
	/* fragments cut the UDP header, too: there may be nothing behind it */
	assert_true(headers < pkt->pkt_len || (segment == RTE_MBUF_F_TX_UDP_SEG && headers == pkt->pkt_len));
	if (segment == 0) {
		assert_true(headers + 8 <= pkt->pkt_len && pkt->tso_segsz == 0 && pkt->l4_len == 0);
		assert_true((pkt->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) == 0);
		return;
	}
	assert_true(segment != (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG));
	assert_true(pkt->tso_segsz > 0 && pkt->l4_len >= (segment == RTE_MBUF_F_TX_TCP_SEG ? 20 : 8));
	assert_true((v4 != 0) == ((pkt->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) != 0));
}

/* Whoever accepts a packet can finish it. @return whether there was anything to finish */
static bool
check_that_it_can_be_finished(struct rte_mbuf *pkt)
{
	uint64_t segment = pkt->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG);
	struct rte_mbuf *segs[7];
	struct dt_vnet_cut cut;
	uint64_t bytes = 0;
	unsigned int n, total = 0;
	enum dt_cause cause;

	if ((pkt->ol_flags & DT_VNET_WORK) == 0) {
		dt_test_packet_free(pkt);
		return false;
	}
	if (segment == 0) {
		assert_int_equal(dt_vnet_complete(&pkt, dt_pool_of(0)), DT_CAUSE_MAX);
		assert_true((pkt->ol_flags & DT_VNET_WORK) == 0);
		dt_test_packet_free(pkt);
		return true;
	}
	assert_int_equal(dt_vnet_cut_begin(&cut, pkt, dt_pool_of(0), true, false), DT_CAUSE_MAX);
	while ((n = dt_vnet_cut_next(&cut, segs, RTE_DIM(segs), &cause)) > 0) {
		for (unsigned int i = 0; i < n; i++) {
			bytes += segs[i]->pkt_len;
			dt_test_packet_free(segs[i]);
		}
		total += n;
	}
	assert_int_equal(cause, DT_CAUSE_MAX);
	assert_int_equal(total, cut.n_segs);
	assert_int_equal(bytes, cut.bytes);
	dt_test_packet_free(pkt);
	return true;
}

static void
no_header_makes_anybody_go_past_the_packet(void **state)
{
	static struct dt_test_frame frame;
	static uint8_t bytes[DT_TEST_FRAME_MAX];
	uint64_t seed = dt_test_seed();
	unsigned int n_good = 0, n_bad = 0, n_finished = 0;

	for (unsigned int i = 0; i < 60000; i++) {
		struct virtio_net_hdr hdr;
		struct rte_mbuf *pkt;
		uint32_t cuts[2];

		random_frame(&seed, &frame);
		random_header(&seed, &frame, &hdr);
		cuts[0] = 1 + dt_test_random(&seed, 120);
		cuts[1] = cuts[0] + 1 + dt_test_random(&seed, 1000);
		pkt = dt_test_packet_guarded(frame.bytes, frame.len, cuts, dt_test_random(&seed, 3));
		if (dt_vnet_accept(&hdr, ALL, pkt) == GOOD) {
			check_numbers(pkt);
			n_good++;
			n_finished += check_that_it_can_be_finished(pkt);
		} else {
			assert_int_equal(dt_test_packet_read(pkt, bytes), frame.len);
			assert_memory_equal(bytes, frame.bytes, frame.len);
			assert_true(pkt->ol_flags == (pkt->ol_flags & RTE_MBUF_F_EXTERNAL));
			dt_test_packet_free(pkt);
			n_bad++;
		}
	}
	/* else it would prove little */
	assert_true(n_good > 3000 && n_bad > 3000 && n_finished > 1000);
}

int
main(void)
{
#define BOOKS(test) cmocka_unit_test_setup_teardown(test, dt_test_books_open, dt_test_books_close)
	const struct CMUnitTest tests[] = {
		BOOKS(each_header_is_told_what_the_kernel_tells_it),
		BOOKS(it_does_not_matter_how_the_frame_lies_in_mbufs),
		BOOKS(a_short_header_has_no_num_buffers_to_count),
		BOOKS(what_was_not_negotiated_is_refused_last),
		BOOKS(every_type_and_every_flag_has_its_verdict),
		BOOKS(every_place_of_a_checksum_has_its_verdict),
		BOOKS(no_header_makes_anybody_go_past_the_packet),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
