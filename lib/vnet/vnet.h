/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * virtio_net_hdr and offloads: what a sender left undone on a packet, judged as the kernel's tap judges it, kept in the
 * mbuf while somebody may still do it, and done here where nobody will.
 *
 * An mbuf says what is undone by DPDK's transmit flags and header lengths. These are derived from the packet itself,
 * never from a guest's numbers, so that any driver may trust them:
 *
 *  - A partial checksum: one of RTE_MBUF_F_TX_TCP_CKSUM, _UDP_CKSUM, _SCTP_CKSUM, with _IPV4 or _IPV6, l2_len (VLAN
 *    tags included), l3_len (IPv4 options or IPv6 extension headers included). The checksum field holds the sum of the
 *    pseudo header.
 *  - A packet to cut: RTE_MBUF_F_TX_TCP_SEG or _UDP_SEG besides, l4_len, tso_segsz, for IPv4 _IP_CKSUM. _UDP_SEG alone
 *    means IP fragments (UFO), with dt_vnet_uso datagrams of their own (USO). dt_vnet_ecn: the TCP sender asked that
 *    CWR stays in the first segment alone.
 *
 * (m->ol_flags & DT_VNET_WORK) == 0 is a packet that is whole, as nearly all are.
 *
 * For workers: pure functions on copies and mbufs, without any state but what dt_vnet_init() made. They never touch
 * guest memory, and never write into data that another mbuf shares. They count nothing; what they cannot do they name.
 */
#ifndef DT_VNET_H
#define DT_VNET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <linux/virtio_net.h>

#include <rte_branch_prediction.h>
#include <rte_mbuf.h>

#include <dptap/drop_cause.h>

/* The header's length on the wire: without and with num_buffers. */
#define DT_VNET_HDR_LEGACY 10
#define DT_VNET_HDR_MRG    12

/* The longest frame: 64 KiB of payload behind an Ethernet header. */
#define DT_VNET_FRAME_MAX (65536u + 14u)

/* Of virtio 1.2, 5.1.3 and 5.1.6; newer than the headers of our oldest system. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif

/** What is left undone on an mbuf; none of them: the packet is whole. */
#define DT_VNET_WORK (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)

/** Dynamic mbuf flags; zero before dt_vnet_init(). */
extern uint64_t dt_vnet_uso, dt_vnet_ecn;

/** What an egress takes undone, and what a packet needs of it. */
enum {
	DT_TAKES_TCP_CSUM = 1,
	DT_TAKES_UDP_CSUM = 2,
	DT_TAKES_SCTP_CSUM = 4,
	DT_TAKES_TSO4 = 8,
	DT_TAKES_TSO6 = 16,
	DT_TAKES_ECN = 32, /* TSO with CWR in the first segment alone */
	DT_TAKES_UFO = 64,
	DT_TAKES_USO4 = 128,
	DT_TAKES_USO6 = 256,
};

/**
 * Register the dynamic flags.
 *
 * @return 0; -errno as rte_mbuf_dynflag_register()
 * @note main lcore, after rte_eal_init() and before any worker runs
 */
int dt_vnet_init(void);

/** What a guest of these negotiated features takes. */
uint32_t dt_vnet_guest_takes(uint64_t features);

/**
 * What a NIC of these RTE_ETH_TX_OFFLOAD_ capabilities takes.
 *
 * Never UFO and USO, for DPDK's UDP_TSO does not say which of them is meant, and never ECN, of which it says nothing.
 */
uint32_t dt_vnet_nic_takes(uint64_t tx_offload_capa);

/**
 * Write the header checksum of a large packet of IPv4, for a NIC that cuts but has no RTE_ETH_TX_OFFLOAD_IPV4_CKSUM, as
 * virtual ones do: who cuts in the end makes each segment's anew, and wants to find a right one.
 *
 * @param m  its headers are its own, and in the first mbuf; nothing is done to a packet without RTE_MBUF_F_TX_IP_CKSUM
 */
void dt_vnet_complete_ipv4(struct rte_mbuf *m);

/** What an egress must take for @p m to pass as it is; 0: any does. */
uint32_t dt_vnet_needs(const struct rte_mbuf *m);

/**
 * Judge the header that came with a frame, and say in the mbuf what the sender left undone.
 *
 * Verdicts are those of the kernel's tap (tap_get_user and virtio_net_hdr_to_skb of Linux 6.x); behind them comes what
 * was not negotiated. A header that the kernel takes and whose packet its segmentation then refuses, whatever
 * the egress, is DT_CAUSE_GSO_MALFORMED. Partial checksums that the mbuf cannot express are completed here.
 *
 * @param hdr       a copy of what came in front of the frame
 * @param features  what the guest negotiated
 * @param m         the frame, in one mbuf or several, all of them the caller's alone; no flag is set, all lengths are
 *                  right. Kept as it was unless DT_CAUSE_MAX is returned
 * @return DT_CAUSE_MAX: it is good; else why the frame is to be dropped
 */
enum dt_cause dt_vnet_accept(const struct virtio_net_hdr *hdr, uint64_t features, struct rte_mbuf *m);

/** The same, quickly for the header of nearly all. @p hdr's num_buffers is not looked at (virtio 1.2, 5.1.6.2) */
static inline enum dt_cause
dt_vnet_take(const struct virtio_net_hdr *hdr, uint64_t features, struct rte_mbuf *m)
{
	uint64_t first;
	uint16_t rest;

	memcpy(&first, hdr, sizeof(first));
	memcpy(&rest, &hdr->csum_offset, sizeof(rest));
	return likely((first | rest) == 0) ? DT_CAUSE_MAX : dt_vnet_accept(hdr, features, m);
}

/**
 * Make a large packet out of what a NIC (LRO) or librte_gro merged: data of one TCP connection, to be cut again at
 * tso_segsz. Its checksums were verified.
 *
 * @param m  RTE_MBUF_F_RX_LRO and tso_segsz are set
 * @return false: it is no TCP, or has nothing to cut, or its headers are shared or scattered: a whole packet as it is
 */
bool dt_vnet_from_lro(struct rte_mbuf *m);

/**
 * Say that a received packet's checksum was left undone, as a NIC of a virtual machine passes it on
 * (RTE_MBUF_F_RX_L4_CKSUM_NONE): as a partial checksum of its TCP or UDP.
 *
 * @return false: it is neither, or nothing that a NIC would complete, or its headers are shared or scattered: as it was
 */
bool dt_vnet_from_partial(struct rte_mbuf *m);

/**
 * The header that tells a guest about a packet; all zeros for one that is whole and whose checksum nobody verified.
 *
 * @param features  of that guest; it takes what @p m needs
 */
void dt_vnet_header(const struct rte_mbuf *m, uint64_t features, struct virtio_net_hdr *ret_hdr);

/**
 * Complete a partial checksum. @p m is not one to cut.
 *
 * @param m     replaced (dt_replaced()) where its data are shared: by a copy of the headers, and the rest attached
 * @param pool  to make that copy from
 * @return DT_CAUSE_MAX: done, nothing is left undone; else why not, and @p m is as it was
 */
enum dt_cause dt_vnet_complete(struct rte_mbuf **m, struct rte_mempool *pool);

/** The longest headers that a segment can have, in whole cache lines; see HEADERS_MAX in internal.h. */
#define DT_VNET_CUT_HDR_MAX 704

/** A packet that is being cut into segments. */
struct dt_vnet_cut {
	/* for the books: set when it begins */
	uint32_t n_segs; /* above 1 */
	uint64_t bytes; /* of all segments, headers included */

	/* for the books: what is still to come */
	uint32_t left_segs;
	uint64_t left_bytes;

	/* the rest belongs to the functions below */
	struct rte_mempool *pool;
	uint16_t pool_priv_size;
	enum { DT_VNET_CUT_TCP, DT_VNET_CUT_USO, DT_VNET_CUT_UFO } kind;
	bool v6;
	bool checksum; /* complete it */
	bool one_segment; /* copy payload into the header's mbuf */
	uint16_t size; /* payload bytes of a segment */
	uint16_t l2_len;
	uint16_t l3_len; /* without the fragment header that UFO adds to IPv6 */
	uint16_t hdr_len; /* bytes of hdr */
	uint16_t ip_sum; /* of what all segments have in common in the IPv4 header, */
	uint16_t l4_sum; /* in the TCP or UDP header, */
	uint16_t pseudo_sum; /* and in the pseudo header */
	uint16_t id; /* IPv4's, of the next segment */
	uint16_t tcp_flags; /* with the header's length */
	uint32_t tcp_seq;
	uint32_t payload_len;
	uint64_t seg_flags; /* ol_flags and tx_offload of each segment */
	uint64_t seg_offload;
	uint32_t done; /* payload bytes that are in segments */
	struct rte_mbuf *m; /* where the payload goes on, */
	uint32_t offset; /* within m */
	const struct rte_mbuf *packet;
	uint8_t udp[8]; /* UFO: the payload's first bytes, with their checksum */
	uint8_t hdr[DT_VNET_CUT_HDR_MAX]; /* of a segment, with zeros where they differ */
};

/**
 * Begin to cut a packet into what skb_gso_segment() of Linux 6.x makes of it, byte for byte.
 *
 * @param m            stays the caller's, who gives it up by dt_replaced() behind the last segment, or drops it
 * @param pool         for segments: a header of their own, and indirect mbufs for payload; with room for
 *                     DT_VNET_CUT_HDR_MAX bytes in each
 * @param checksum     complete TCP's and UDP's checksums; else segments have partial ones. UFO's is always complete
 * @param one_segment  copy payload, so that each segment is a single mbuf
 * @return DT_CAUSE_MAX; DT_CAUSE_GSO_MALFORMED: headers and lengths do not make a packet to cut;
 *         DT_CAUSE_UPLINK_ONE_SEGMENT: a segment does not fit into one mbuf
 */
enum dt_cause dt_vnet_cut_begin(
	struct dt_vnet_cut *cut, struct rte_mbuf *m, struct rte_mempool *pool, bool checksum, bool one_segment);

/**
 * Make the next segments.
 *
 * Nothing is held between calls: a cut may be abandoned at any time.
 *
 * @param segs       room for @p n, above 0
 * @param ret_cause  why, if 0 is returned: DT_CAUSE_MAX: that was all; DT_CAUSE_GSO_NO_MBUF: the pool is empty
 * @return segments made, in order; 0: none
 */
unsigned int dt_vnet_cut_next(
	struct dt_vnet_cut *cut, struct rte_mbuf **segs, unsigned int n, enum dt_cause *ret_cause);

#endif
