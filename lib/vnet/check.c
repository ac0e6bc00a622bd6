/* SPDX-License-Identifier: BSD-3-Clause */
#include "vnet.h"

#include <stdbool.h>

static bool
gso_negotiated(uint8_t type, uint64_t features)
{
	switch (type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return (features & (1ULL << VIRTIO_NET_F_HOST_TSO4)) != 0;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return (features & (1ULL << VIRTIO_NET_F_HOST_TSO6)) != 0;
	case VIRTIO_NET_HDR_GSO_UDP:
		return (features & (1ULL << VIRTIO_NET_F_HOST_UFO)) != 0;
	default:
		return false; /* USO has no feature bit that we offer */
	}
}

static bool
gso_known(uint8_t type)
{
	return type == VIRTIO_NET_HDR_GSO_NONE || type == VIRTIO_NET_HDR_GSO_TCPV4 ||
	       type == VIRTIO_NET_HDR_GSO_TCPV6 || type == VIRTIO_NET_HDR_GSO_UDP || type == VIRTIO_NET_HDR_GSO_UDP_L4;
}

enum dt_cause
dt_vnet_judge(const struct virtio_net_hdr *hdr, uint32_t frame_len, uint64_t features)
{
	uint8_t type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	bool partial = (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;

	/* What makes no sense in itself comes before what was not negotiated: it says more about the sender. */
	if (!gso_known(type) || hdr->gso_type == VIRTIO_NET_HDR_GSO_ECN)
		return DT_CAUSE_HDR_GSO_TYPE;
	if (type != VIRTIO_NET_HDR_GSO_NONE && hdr->gso_size == 0)
		return DT_CAUSE_HDR_GSO_SIZE;
	if (partial && (uint32_t)hdr->csum_start + hdr->csum_offset + sizeof(uint16_t) > frame_len)
		return DT_CAUSE_HDR_CSUM_RANGE;
	if (type != VIRTIO_NET_HDR_GSO_NONE && !gso_negotiated(type, features))
		return DT_CAUSE_HDR_GSO_NOT_NEGOTIATED;
	if (partial && (features & (1ULL << VIRTIO_NET_F_CSUM)) == 0)
		return DT_CAUSE_HDR_CSUM_NOT_NEGOTIATED;
	return DT_CAUSE_MAX;
}
