/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: what the beginning of a cut and the making of its segments have in common. */
#ifndef DT_VNET_CUT_H
#define DT_VNET_CUT_H

#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <rte_ip.h>

#include "internal.h"

#define DT_CUT_FRAGMENT_LEN 8u
#define DT_CUT_UDP_LEN      8u

/* Where fields are in their headers. */
#define DT_CUT_IP_LEN     offsetof(struct rte_ipv4_hdr, total_length)
#define DT_CUT_IP_ID      offsetof(struct rte_ipv4_hdr, packet_id)
#define DT_CUT_IP_FRAG    offsetof(struct rte_ipv4_hdr, fragment_offset)
#define DT_CUT_IP_CHECK   offsetof(struct rte_ipv4_hdr, hdr_checksum)
#define DT_CUT_TCP_SEQ    offsetof(struct tcphdr, seq)
#define DT_CUT_TCP_FLAGS  12 /* with the header's length, one word */
#define DT_CUT_TCP_CHECK  offsetof(struct tcphdr, check)
#define DT_CUT_UDP_LEN_AT offsetof(struct udphdr, len)
#define DT_CUT_UDP_CHECK  offsetof(struct udphdr, check)

static inline uint16_t
dt_word_at(const uint8_t *at)
{
	uint16_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/** As it is, in the byte order of the wire. */
static inline void
dt_put_word(uint8_t *at, uint16_t word)
{
	memcpy(at, &word, sizeof(word));
}

static inline void
dt_put_number(uint8_t *at, uint32_t number)
{
	dt_put_word(at, rte_cpu_to_be_16((uint16_t)number));
}

/** Bytes that a fresh mbuf takes; even, so that sums over several begin at whole words. */
static inline uint32_t
dt_cut_room(const struct dt_vnet_cut *cut)
{
	return (rte_pktmbuf_data_room_size(cut->pool) - RTE_PKTMBUF_HEADROOM) & ~1u;
}

#endif
