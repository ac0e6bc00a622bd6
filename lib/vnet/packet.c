/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <netinet/in.h>

#include <rte_ether.h>
#include <rte_ip.h>

/* As deep as Linux follows tags before it gives up. */
#define VLAN_TAGS_MAX 7

/* Headers that Linux's dissector looks at. */
#define DISSECT_MAX 15

#define IPV6_FRAGMENT_LEN 8u

static bool
is_vlan(uint16_t type)
{
	return type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ;
}

/* Whether @p n bytes lie at @p offset. */
static inline bool
holds(uint32_t len, uint32_t offset, uint32_t n)
{
	return offset + n <= RTE_MIN(len, (uint32_t)HEADERS_MAX);
}

static inline bool
is_option_header(uint8_t proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS;
}

static bool
parse_ipv4(const uint8_t *view, uint32_t len, struct dt_packet *packet)
{
	const uint8_t *ip = view + packet->l2_len;
	struct rte_ipv4_hdr hdr;

	if (!holds(len, packet->l2_len, sizeof(hdr)))
		return false;
	memcpy(&hdr, ip, sizeof(hdr));
	packet->l3_len = rte_ipv4_hdr_len(&hdr);
	if (packet->l3_len < sizeof(hdr) || !holds(len, packet->l2_len, packet->l3_len))
		return false;
	packet->v6 = false;
	packet->proto = hdr.next_proto_id;
	packet->odd = hdr.version_ihl >> 4 != IPVERSION ||
		      (hdr.fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)) != 0 ||
		      rte_be_to_cpu_16(hdr.total_length) != len - packet->l2_len;
	return true;
}

static bool
parse_ipv6(const uint8_t *view, uint32_t len, struct dt_packet *packet)
{
	struct rte_ipv6_hdr hdr;
	uint32_t l3_len = sizeof(hdr);

	if (!holds(len, packet->l2_len, sizeof(hdr)))
		return false;
	memcpy(&hdr, view + packet->l2_len, sizeof(hdr));
	packet->v6 = true;
	packet->proto = hdr.proto;
	while (is_option_header(packet->proto)) {
		const uint8_t *option = view + packet->l2_len + l3_len;

		if (!holds(len, packet->l2_len + l3_len, 8))
			return false;
		l3_len += (option[1] + 1u) * 8u;
		if (!holds(len, packet->l2_len, l3_len))
			return false;
		packet->proto = option[0];
	}
	packet->l3_len = (uint16_t)l3_len;
	packet->odd = view[packet->l2_len] >> 4 != 6 ||
		      rte_be_to_cpu_16(hdr.payload_len) + sizeof(hdr) != len - packet->l2_len;
	return l3_len <= L3_LEN_MAX;
}

bool
dt_packet_parse(const uint8_t *view, uint32_t len, uint16_t type, struct dt_packet *ret_packet)
{
	struct dt_packet packet = { .l2_len = RTE_ETHER_HDR_LEN };
	bool good;

	for (unsigned int i = 0; is_vlan(type); i++) {
		if (i == VLAN_TAGS_MAX || !holds(len, packet.l2_len, sizeof(struct rte_vlan_hdr)))
			return false;
		type = dt_be16_at(view + packet.l2_len + offsetof(struct rte_vlan_hdr, eth_proto));
		packet.l2_len += sizeof(struct rte_vlan_hdr);
	}
	if (type == RTE_ETHER_TYPE_IPV4)
		good = parse_ipv4(view, len, &packet);
	else
		good = type == RTE_ETHER_TYPE_IPV6 && parse_ipv6(view, len, &packet);
	if (good)
		*ret_packet = packet;
	return good;
}

/* What the dissector knows at one header. */
struct dissection {
	const uint8_t *view;
	uint32_t len;
	uint32_t offset;
	uint16_t type; /* EtherType of the header at offset */
	uint8_t proto; /* IP's number of it, once IP was seen */
	bool done; /* this is it */
};

/* Past IPv6's further headers. A fragment's first header behind it is the last that is looked at. */
static bool
dissect_options(struct dissection *d)
{
	for (unsigned int i = 0; i < DISSECT_MAX && !d->done; i++) {
		const uint8_t *option = d->view + d->offset;

		if (is_option_header(d->proto)) {
			if (!holds(d->len, d->offset, 2))
				return false;
			d->offset += (option[1] + 1u) * 8u;
			d->proto = option[0];
		} else if (d->proto == IPPROTO_FRAGMENT) {
			if (!holds(d->len, d->offset, IPV6_FRAGMENT_LEN))
				return false;
			d->offset += IPV6_FRAGMENT_LEN;
			d->proto = option[0];
			d->done = true;
		} else {
			return true;
		}
	}
	d->done = true;
	return true;
}

static bool
dissect_ip(struct dissection *d)
{
	if (d->type == RTE_ETHER_TYPE_IPV4) {
		struct rte_ipv4_hdr hdr;

		if (!holds(d->len, d->offset, sizeof(hdr)))
			return false;
		memcpy(&hdr, d->view + d->offset, sizeof(hdr));
		if (rte_ipv4_hdr_len(&hdr) < sizeof(hdr))
			return false;
		d->offset += rte_ipv4_hdr_len(&hdr);
		d->proto = hdr.next_proto_id;
		d->done = (hdr.fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)) != 0;
	} else {
		if (!holds(d->len, d->offset, sizeof(struct rte_ipv6_hdr)))
			return false;
		d->proto = d->view[d->offset + offsetof(struct rte_ipv6_hdr, proto)];
		d->offset += sizeof(struct rte_ipv6_hdr);
		if (!dissect_options(d))
			return false;
	}
	/* IP in IP: the inner one counts */
	if (!d->done && d->proto == IPPROTO_IPIP)
		d->type = RTE_ETHER_TYPE_IPV4;
	else if (!d->done && d->proto == IPPROTO_IPV6)
		d->type = RTE_ETHER_TYPE_IPV6;
	else
		d->done = true;
	return true;
}

bool
dt_packet_dissect(const uint8_t *view, uint32_t len, uint16_t type, uint16_t *ret_offset, uint8_t *ret_proto)
{
	struct dissection d = { .view = view, .len = len, .offset = RTE_ETHER_HDR_LEN, .type = type };

	for (unsigned int i = 0; i < DISSECT_MAX && !d.done; i++) {
		if (is_vlan(d.type)) {
			if (!holds(len, d.offset, sizeof(struct rte_vlan_hdr)))
				return false;
			d.type = dt_be16_at(view + d.offset + offsetof(struct rte_vlan_hdr, eth_proto));
			d.offset += sizeof(struct rte_vlan_hdr);
		} else if (d.type == RTE_ETHER_TYPE_IPV4 || d.type == RTE_ETHER_TYPE_IPV6) {
			if (!dissect_ip(&d))
				return false;
		} else {
			return false;
		}
	}
	*ret_offset = (uint16_t)RTE_MIN(d.offset, len);
	*ret_proto = d.proto;
	return true;
}

void
dt_packet_write(struct rte_mbuf *m, uint32_t offset, const void *from, uint32_t len)
{
	const uint8_t *bytes = from;

	for (; len > 0; m = m->next) {
		uint32_t n;

		if (offset >= m->data_len) {
			offset -= m->data_len;
			continue;
		}
		n = RTE_MIN(len, m->data_len - offset);
		memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, offset), bytes, n);
		bytes += n;
		len -= n;
		offset = 0;
	}
}

uint64_t
dt_packet_sum(const struct rte_mbuf *m, uint32_t offset, uint32_t len)
{
	uint64_t sum = 0;
	bool odd = false;

	for (; len > 0; m = m->next) {
		uint64_t part;
		uint32_t n;

		if (offset >= m->data_len) {
			offset -= m->data_len;
			continue;
		}
		n = RTE_MIN(len, m->data_len - offset);
		part = dt_sum(rte_pktmbuf_mtod_offset(m, const uint8_t *, offset), n);
		sum += odd ? dt_sum_shift(part) : part;
		odd ^= (n & 1) != 0;
		len -= n;
		offset = 0;
	}
	return sum;
}

uint64_t
dt_sum_pseudo(const uint8_t *view, const struct dt_packet *packet)
{
	const uint8_t *ip = view + packet->l2_len;

	if (packet->v6)
		return dt_sum(ip + offsetof(struct rte_ipv6_hdr, src_addr), 32) + dt_sum_of(packet->proto);
	return dt_sum(ip + offsetof(struct rte_ipv4_hdr, src_addr), 8) + dt_sum_of(packet->proto);
}
