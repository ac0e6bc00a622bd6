/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include <linux/virtio_config.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_version.h>

#include "internal.h"

/* What one guest may map of our address space, which all of them share. */
#define MAPPED_MAX (16ULL << 40)

/*
 * Where the library keeps the descriptors that came with a message: int fds[8], int n, behind a payload that grew
 * once.
 */
#define FDS_MAX          8
#define FDS_OFFSET       644
#define FDS_OFFSET_25_03 1084

/* @return how many, 0 to FDS_MAX */
static int
fds_of(const struct dt_message *msg, int **ret_fds)
{
	bool grown = rte_version_year() > 25 || (rte_version_year() == 25 && rte_version_month() >= 3);
	int *fds = (int *)((uintptr_t)msg + (grown ? FDS_OFFSET_25_03 : FDS_OFFSET));
	int n = fds[FDS_MAX];

	*ret_fds = fds;
	return n < 0 ? 0 : RTE_MIN(n, FDS_MAX);
}

void
dt_message_close_fds(struct dt_message *msg)
{
	int *fds;
	int n = fds_of(msg, &fds);

	for (int i = 0; i < n; i++)
		close(fds[i]);
	fds[FDS_MAX] = 0;
}

/*
 * The library answers far more than was offered: in-flight areas that it writes beyond, postcopy that tells our
 * addresses. What no front end needs of us never reaches it.
 */
static bool
is_known(uint32_t request)
{
	switch ((enum dt_request)request) {
	case DT_GET_FEATURES:
	case DT_SET_FEATURES:
	case DT_SET_OWNER:
	case DT_RESET_OWNER:
	case DT_SET_MEM_TABLE:
	case DT_SET_LOG_BASE:
	case DT_SET_LOG_FD:
	case DT_SET_VRING_NUM:
	case DT_SET_VRING_ADDR:
	case DT_SET_VRING_BASE:
	case DT_GET_VRING_BASE:
	case DT_SET_VRING_KICK:
	case DT_SET_VRING_CALL:
	case DT_SET_VRING_ERR:
	case DT_GET_PROTOCOL_FEATURES:
	case DT_SET_PROTOCOL_FEATURES:
	case DT_GET_QUEUE_NUM:
	case DT_SET_VRING_ENABLE:
	case DT_SEND_RARP:
	case DT_NET_SET_MTU:
	case DT_SET_BACKEND_REQ_FD:
	case DT_SET_STATUS:
	case DT_GET_STATUS:
		return true;
	}
	return false;
}

#define RING_MASK 0xff /* of the u64 in KICK, CALL and ERR */

bool
dt_message_ring(const struct dt_message *msg, uint32_t *ret_ring)
{
	switch (msg->request) {
	case DT_SET_VRING_NUM:
	case DT_SET_VRING_ADDR:
	case DT_SET_VRING_BASE:
	case DT_GET_VRING_BASE:
	case DT_SET_VRING_ENABLE:
		*ret_ring = msg->payload.state.index;
		return true;
	case DT_SET_VRING_KICK:
	case DT_SET_VRING_CALL:
	case DT_SET_VRING_ERR:
		*ret_ring = (uint32_t)(msg->payload.u64 & RING_MASK);
		return true;
	default:
		return false;
	}
}

/* The library maps what it is told to map; a region that it cannot map would stay open for good. */
static bool
is_bad_memory(struct dt_guest *guest, const struct dt_message *msg)
{
	uint32_t n_regions = msg->payload.memory.n_regions;
	uint64_t mapped = 0;
	int *fds;
	int n_fds = fds_of(msg, &fds);

	if (n_regions > DT_MESSAGE_REGIONS_MAX) {
		GUEST_SAY(guest, ERR, "memory table of %u regions: at most %u are supported; use fewer memory backends",
			n_regions, DT_MESSAGE_REGIONS_MAX);
		return true;
	}
	for (int i = 0; i < n_fds; i++) {
		struct stat st;

		if (fstat(fds[i], &st) == 0 && S_ISREG(st.st_mode))
			continue;
		GUEST_SAY(guest, ERR, "memory region %d is no file that can be shared: refused", i);
		return true;
	}
	for (uint32_t i = 0; i < n_regions; i++) {
		uint64_t size = msg->payload.memory.regions[i].size, offset = msg->payload.memory.regions[i].offset;
		uint64_t gpa = msg->payload.memory.regions[i].gpa;

		if (size > MAPPED_MAX || offset > MAPPED_MAX) {
			mapped = MAPPED_MAX + 1;
			break;
		}
		mapped += size + offset;
		if (dt_guest_log_is_short(guest, gpa + size >= gpa ? gpa + size : UINT64_MAX))
			return true;
	}
	if (mapped > MAPPED_MAX)
		GUEST_SAY(guest, ERR, "memory table of more than %llu TiB: refused", MAPPED_MAX >> 40);
	return mapped > MAPPED_MAX;
}

static bool
is_bad_log(struct dt_guest *guest, const struct dt_message *msg)
{
	int *fds;
	int n_fds = fds_of(msg, &fds);

	return dt_guest_log_is_bad(guest, msg, fds, n_fds);
}

bool
dt_message_refused(struct dt_guest *guest, const struct dt_message *msg)
{
	uint32_t ring = 0, num = msg->payload.state.num;

	if (!is_known(msg->request)) {
		GUEST_SAY(guest, ERR, "the front end makes request %u, which was not offered: refused", msg->request);
		return true;
	}
	if (dt_message_ring(msg, &ring) && ring >= guest->n_rings) {
		GUEST_SAY(guest, ERR,
			"the front end sets up ring %u, but there are %u (queues=%u): refused; start QEMU with "
			"queues=%u, or raise the guest's queues=",
			ring, guest->n_rings, guest->n_pairs, guest->n_pairs);
		return true;
	}
	if (msg->request == DT_SET_VRING_NUM &&
		(num == 0 || num > 32768 || ((num & (num - 1)) != 0 && !dt_guest_has(guest, VIRTIO_F_RING_PACKED)))) {
		GUEST_SAY(guest, ERR, "ring %u of %u entries: refused, want at most 32768, a power of two if split",
			ring, num);
		return true;
	}
	return (msg->request == DT_SET_MEM_TABLE && is_bad_memory(guest, msg)) ||
	       (msg->request == DT_SET_LOG_BASE && is_bad_log(guest, msg));
}
