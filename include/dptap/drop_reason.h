/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The reasons under which dptap drops packets: the kernel's own names and numbers.
 *
 * Codes 0 to 15 are those of enum skb_drop_reason when the tap driver learnt to give reasons, 16 to 20 the five
 * that came with it. The set is closed. Names, not numbers, are the interface: the kernel has renumbered its
 * enumeration since, and tools print the name in capitals without a prefix, as dropwatch does.
 */
#ifndef DPTAP_DROP_REASON_H
#define DPTAP_DROP_REASON_H

/* X(code, NAME, "meaning, in the kernel's words") */
#define DT_REASON_LIST(X)                                                                                              \
	X(0, NOT_SPECIFIED, "drop reason is not specified; never used, a non-zero count is a bug")                     \
	X(1, NO_SOCKET, "socket not found: there is nobody to take the packet")                                        \
	X(2, PKT_TOO_SMALL, "packet size is too small")                                                                \
	X(3, TCP_CSUM, "TCP checksum error")                                                                           \
	X(4, SOCKET_FILTER, "dropped by socket filter")                                                                \
	X(5, UDP_CSUM, "UDP checksum error")                                                                           \
	X(6, NETFILTER_DROP, "dropped by netfilter: an access-control rule refused it")                                \
	X(7, OTHERHOST, "packet does not belong to the current host")                                                  \
	X(8, IP_CSUM, "IP checksum error")                                                                             \
	X(9, IP_INHDR, "there is something wrong with the IP header")                                                  \
	X(10, IP_RPFILTER, "IP reverse-path filter failed: a source address that is not the sender's own")             \
	X(11, UNICAST_IN_L2_MULTICAST, "destination L2 address is multicast, but L3 address is unicast")               \
	X(12, XFRM_POLICY, "xfrm policy check failed")                                                                 \
	X(13, IP_NOPROTO, "no support for IP protocol")                                                                \
	X(14, SOCKET_RCVBUFF, "socket receive buffer is full")                                                         \
	X(15, PROTO_MEM, "proto memory limitation: no buffer for a copy, or the NIC found none")                       \
	X(16, SKB_CSUM, "sk_buff checksum error: a checksum could not be completed")                                   \
	X(17, SKB_COPY_DATA, "failed to copy data from or to the packet: guest memory is bad")                         \
	X(18, SKB_GSO_SEG, "gso segmentation error: it could not be cut to what the egress takes")                     \
	X(19, DEV_HDR, "there is something wrong with the device driver specific header")                              \
	X(20, FULL_RING, "ring buffer is full")

enum dt_drop_reason {
#define X(code, name, meaning) DT_REASON_##name = code,
	DT_REASON_LIST(X)
#undef X
		DT_REASON_MAX /* how many, not a reason */
};

#endif
