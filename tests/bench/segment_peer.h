/* SPDX-License-Identifier: BSD-3-Clause */
/** librte_gso and DPDK's software checksums, for TCP over IPv4: what segment_bench compares with. */
#ifndef SEGMENT_PEER_H
#define SEGMENT_PEER_H

#include <stdbool.h>

#include <rte_mbuf.h>

/**
 * Cut a packet.
 *
 * @param pool  of the segments' mbufs
 * @param mss   bytes of payload in a segment
 * @param segs  room for @p n
 * @return      segments; negative: librte_gso's error
 */
typedef int segment_peer(struct rte_mempool *pool, struct rte_mbuf *pkt, uint16_t mss, struct rte_mbuf **segs,
	uint16_t n, bool checksum);

/** Compiled for the processor as the rest is. */
segment_peer segment_peer_native;

/** Compiled as programs are that come in packages: with the flags that libdpdk's own file asks for. */
segment_peer segment_peer_packaged;

#endif
