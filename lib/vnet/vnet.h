/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * virtio_net_hdr: what a guest says about a frame, judged as the kernel's tap judges it.
 *
 * Pure functions on copies, for workers. They never touch guest memory.
 */
#ifndef DT_VNET_H
#define DT_VNET_H

#include <stdint.h>
#include <string.h>

#include <linux/virtio_net.h>

#include <rte_branch_prediction.h>

#include <dptap/drop_cause.h>

/* The header's length on the wire: without and with num_buffers. */
#define DT_VNET_HDR_LEGACY 10
#define DT_VNET_HDR_MRG    12

/* The longest frame: 64 KiB of payload behind an Ethernet header. */
#define DT_VNET_FRAME_MAX (65536u + 14u)

/* segmentation types of virtio_net_hdr (virtio 1.2, 5.1.6); UDP_L4 is newer than the headers of our oldest system */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/** The verdict where the header is not all zeros. See dt_vnet_check(). */
enum dt_cause dt_vnet_judge(const struct virtio_net_hdr *hdr, uint32_t frame_len, uint64_t features);

/**
 * Judge the header that came with a frame.
 *
 * @param hdr        a copy; num_buffers is not looked at, a driver may leave anything there (virtio 1.2, 5.1.6.2)
 * @param frame_len  bytes of the frame without this header
 * @param features   what the guest negotiated
 * @return DT_CAUSE_MAX: it is good; else why the frame is to be dropped
 */
static inline enum dt_cause
dt_vnet_check(const struct virtio_net_hdr *hdr, uint32_t frame_len, uint64_t features)
{
	uint64_t first;
	uint16_t rest;

	/* flags and gso_type are zero for nearly all; then nothing else in the header has a meaning */
	memcpy(&first, hdr, sizeof(first));
	memcpy(&rest, &hdr->csum_offset, sizeof(rest));
	if (likely((first | rest) == 0))
		return DT_CAUSE_MAX;
	return dt_vnet_judge(hdr, frame_len, features);
}

#endif
