/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: headers as a packet has them, and sums over packets. */
#ifndef DT_VNET_INTERNAL_H
#define DT_VNET_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "sum.h"
#include "vnet.h"

/* What l3_len of an mbuf can say. */
#define L3_LEN_MAX 511

/* Headers that anything is done with: Ethernet and seven VLAN tags, L3_LEN_MAX bytes of IP, a TCP header. */
#define HEADERS_MAX 640

/* ---- headers ---- */

/** What a packet's own headers say. */
struct dt_packet {
	uint16_t l2_len; /* with VLAN tags */
	uint16_t l3_len; /* with IPv4 options, IPv6 extension headers */
	uint8_t proto; /* of what follows */
	bool v6;
	bool odd; /* a fragment, of another IP version, or of another length than the frame: not for a NIC's eyes */
};

/**
 * The first bytes of a packet in one piece: HEADERS_MAX, or all if it is shorter.
 *
 * @param copy  of HEADERS_MAX bytes, for a packet whose first mbuf has fewer
 */
static inline const uint8_t *
dt_packet_view(const struct rte_mbuf *m, uint8_t *copy)
{
	return rte_pktmbuf_read(m, 0, RTE_MIN(m->pkt_len, (uint32_t)HEADERS_MAX), copy);
}

static inline uint16_t
dt_be16_at(const uint8_t *at)
{
	uint16_t word;

	memcpy(&word, at, sizeof(word));
	return rte_be_to_cpu_16(word);
}

/** A packet's EtherType, that of the outermost tag if it has any. */
static inline uint16_t
dt_packet_type(const uint8_t *view)
{
	return dt_be16_at(view + 2 * RTE_ETHER_ADDR_LEN);
}

/**
 * Walk the headers to what IP carries, over as much as Linux's segmentation walks.
 *
 * @param type  EtherType to begin with
 * @param len   of the frame
 * @return false: not IPv4 or IPv6, or cut off, or longer than an mbuf can say
 */
bool dt_packet_parse(const uint8_t *view, uint32_t len, uint16_t type, struct dt_packet *ret_packet);

/**
 * Find the transport header as Linux's flow dissector does.
 *
 * @return whether there is one, of a protocol that it need not know
 */
bool dt_packet_dissect(const uint8_t *view, uint32_t len, uint16_t type, uint16_t *ret_offset, uint8_t *ret_proto);

/** Whether nobody else reads the data of this mbuf. */
static inline bool
dt_is_own(const struct rte_mbuf *m)
{
	return RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1;
}

/** Write into a packet whose data are nobody else's, over mbufs if need be. */
void dt_packet_write(struct rte_mbuf *m, uint32_t offset, const void *from, uint32_t len);

/* ---- mbufs ---- */

/** Say where the headers end, and how large a segment is. @p l4_len and @p segment 0: nothing is to be cut */
static inline void
dt_mbuf_lengths(struct rte_mbuf *m, const struct dt_packet *packet, uint32_t l4_len, uint16_t segment)
{
	m->tx_offload = 0;
	m->l2_len = packet->l2_len;
	m->l3_len = packet->l3_len;
	m->l4_len = l4_len & 0xff;
	m->tso_segsz = segment;
}

/* ---- sums ---- */

/** Add up @p len bytes of a packet that has them. */
uint64_t dt_packet_sum(const struct rte_mbuf *m, uint32_t offset, uint32_t len);

/** The pseudo header of IPv4 or IPv6 (RFC 9293, 3.1; RFC 8200, 8.1), without the length. */
uint64_t dt_sum_pseudo(const uint8_t *view, const struct dt_packet *packet);

#endif
