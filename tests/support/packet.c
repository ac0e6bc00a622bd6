/* SPDX-License-Identifier: BSD-3-Clause */
#include "packet.h"

#include <string.h>

#include <rte_ether.h>

#include "pool.h"
#include "testing.h"

/* IEEE's EtherType for local experiments. */
static const uint8_t start[] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };

static uint8_t
byte_at(uint32_t i, uint16_t seq)
{
	if (i < sizeof(start))
		return start[i];
	return (uint8_t)(seq * 7 + (seq >> 8) * 13 + i + (i >> 8) * 31);
}

void
dt_test_frame_fill(uint8_t *frame, uint32_t len, uint16_t seq)
{
	for (uint32_t i = 0; i < len; i++)
		frame[i] = byte_at(i, seq);
}

bool
dt_test_frame_is(const uint8_t *frame, uint32_t len, uint16_t seq)
{
	for (uint32_t i = 0; i < len; i++)
		if (frame[i] != byte_at(i, seq))
			return false;
	return true;
}

struct rte_mbuf *
dt_test_packet(uint32_t len, uint16_t seq)
{
	struct rte_mbuf *pkt = rte_pktmbuf_alloc(dt_pool_of(0));
	struct rte_mbuf *last = pkt;

	assert_non_null(pkt);
	for (uint32_t i = 0; i < len; i++) {
		if (last->data_len == DT_POOL_ROOM) {
			last->next = rte_pktmbuf_alloc(dt_pool_of(0));
			last = last->next;
			assert_non_null(last);
			pkt->nb_segs++;
		}
		*rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len) = byte_at(i, seq);
		last->data_len++;
	}
	pkt->pkt_len = len;
	return pkt;
}

bool
dt_test_packet_is(const struct rte_mbuf *pkt, uint32_t len, uint16_t seq)
{
	uint32_t at = 0;

	if (pkt->pkt_len != len)
		return false;
	for (const struct rte_mbuf *m = pkt; m != NULL; m = m->next)
		for (uint32_t i = 0; i < m->data_len; i++, at++)
			if (*rte_pktmbuf_mtod_offset(m, const uint8_t *, i) != byte_at(at, seq))
				return false;
	return at == len;
}

void
dt_test_packet_address(struct rte_mbuf *pkt, uint8_t destination, uint8_t source)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkt, struct rte_ether_hdr *);

	memset(&eth->dst_addr, destination == 0xff ? 0xff : 0, RTE_ETHER_ADDR_LEN);
	if (destination != 0xff)
		eth->dst_addr.addr_bytes[0] = 2;
	eth->dst_addr.addr_bytes[5] = destination;
	eth->src_addr = (struct rte_ether_addr){ { 2, 0, 0, 0, 0, source } };
}

void
dt_test_packet_source(struct rte_mbuf *pkt, uint16_t source)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkt, struct rte_ether_hdr *);

	eth->src_addr = (struct rte_ether_addr){ { 2, 0, 0, (uint8_t)(source >> 8), (uint8_t)source, 0 } };
}

void
dt_test_packet_free(struct rte_mbuf *pkt)
{
	rte_pktmbuf_free(pkt);
}
