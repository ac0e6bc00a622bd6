/* SPDX-License-Identifier: BSD-3-Clause */
#include "vnet.h"

#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <rte_hash_crc.h>
#include <rte_sctp.h>

#include "ledger.h"

#include "internal.h"

/* A checksum that is left to do, as the mbuf's flags and lengths say. */
struct partial {
	uint32_t start; /* of what it covers, to the end of the packet */
	uint32_t at; /* where it goes */
	uint32_t len; /* its own */
};

static bool
partial_of(const struct rte_mbuf *m, struct partial *ret_partial)
{
	struct partial partial = { .start = m->l2_len + m->l3_len, .len = sizeof(uint16_t) };

	switch (m->ol_flags & RTE_MBUF_F_TX_L4_MASK) {
	case RTE_MBUF_F_TX_TCP_CKSUM:
		partial.at = partial.start + offsetof(struct tcphdr, check);
		break;
	case RTE_MBUF_F_TX_UDP_CKSUM:
		partial.at = partial.start + offsetof(struct udphdr, check);
		break;
	case RTE_MBUF_F_TX_SCTP_CKSUM:
		partial.at = partial.start + offsetof(struct rte_sctp_hdr, cksum);
		partial.len = sizeof(uint32_t);
		break;
	default:
		return false;
	}
	if (partial.at + partial.len > m->pkt_len)
		return false;
	*ret_partial = partial;
	return true;
}

/* As rte_hash_crc(), which reads whole words wherever they lie. */
static uint32_t
crc_bytes(const uint8_t *bytes, uint32_t len, uint32_t value)
{
	uint64_t word;

	for (; len >= sizeof(word); len -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		value = rte_hash_crc_8byte(word, value);
	}
	for (; len > 0; len--)
		value = rte_hash_crc_1byte(*bytes++, value);
	return value;
}

static uint32_t
crc(const struct rte_mbuf *m, uint32_t offset, uint32_t len, uint32_t value)
{
	for (; len > 0; m = m->next) {
		uint32_t n;

		if (offset >= m->data_len) {
			offset -= m->data_len;
			continue;
		}
		n = RTE_MIN(len, m->data_len - offset);
		value = crc_bytes(rte_pktmbuf_mtod_offset(m, const uint8_t *, offset), n, value);
		len -= n;
		offset = 0;
	}
	return value;
}

/* SCTP's (RFC 9260, 6.8 and appendix A): the field counts as zero. */
static uint32_t
crc_of(const struct rte_mbuf *m, const struct partial *partial)
{
	uint32_t behind = partial->at + partial->len;
	uint32_t value = crc(m, partial->start, partial->at - partial->start, UINT32_MAX);

	value = rte_hash_crc_4byte(0, value);
	return rte_cpu_to_le_32(~crc(m, behind, m->pkt_len - behind, value));
}

static uint16_t
sum_of(const struct rte_mbuf *m, const struct partial *partial)
{
	uint16_t sum = (uint16_t)~dt_sum_fold(dt_packet_sum(m, partial->start, m->pkt_len - partial->start));

	return sum != 0 ? sum : UINT16_MAX; /* which is the same number, and for UDP the only way to write it */
}

/* Whether these bytes are nobody else's. */
static bool
may_write(const struct rte_mbuf *m, uint32_t offset, uint32_t len)
{
	for (; len > 0; m = m->next) {
		uint32_t n;

		if (offset >= m->data_len) {
			offset -= m->data_len;
			continue;
		}
		if (!dt_is_own(m))
			return false;
		n = RTE_MIN(len, m->data_len - offset);
		len -= n;
		offset = 0;
	}
	return true;
}

enum dt_cause
dt_vnet_complete(struct rte_mbuf **m, struct rte_mempool *pool)
{
	struct rte_mbuf *pkt = *m;
	struct partial partial;
	uint32_t value;

	if (!partial_of(pkt, &partial))
		return DT_CAUSE_CSUM_MALFORMED;
	if (unlikely(!may_write(pkt, partial.at, partial.len))) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(pkt, pool, 0, UINT32_MAX);

		if (copy == NULL)
			return DT_CAUSE_CSUM_NO_MBUF;
		dt_replaced(pkt);
		*m = pkt = copy;
	}
	value = partial.len == sizeof(uint16_t) ? sum_of(pkt, &partial) : crc_of(pkt, &partial);
	dt_packet_write(pkt, partial.at, &value, partial.len);
	pkt->ol_flags &= ~(DT_VNET_WORK | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_IP_CKSUM);
	pkt->tx_offload = 0;
	return DT_CAUSE_MAX;
}
