/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the protocol means for the rings. The library unmaps memory, moves rings and closes descriptors while it
 * handles a message, mostly without a callback. So each message is seen before the library acts on it, when the
 * worker lets go, and after, when it may take over what there is then. A message that fails has no "after": the
 * rings then stay where they are, paused, until one succeeds.
 */
#include "internal.h"

#include <unistd.h>

#include <rte_version.h>
#include <rte_vhost.h>

#include "gmem.h"

/* vhost-user protocol: requests that matter here */
enum {
	SET_FEATURES = 2,
	RESET_OWNER = 4,
	SET_MEM_TABLE = 5,
	SET_LOG_BASE = 6,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = DT_REQUEST_SET_VRING_ENABLE,
	SET_INFLIGHT_FD = 32,
	ADD_MEM_REG = 37,
	REM_MEM_REG = 38,
};

/*
 * A message starts with the wire header; the library's own struct goes on behind it, differently in each release.
 * Filled by the peer: nothing in it is checked yet.
 */
struct message {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
	union {
		uint64_t u64;
		struct {
			uint32_t index;
			uint32_t num;
		} state;
		struct {
			uint32_t n_regions;
			uint32_t padding;
		} memory;
	} payload;
} __attribute__((packed));

#define RING_MASK 0xff /* of the u64 in KICK and CALL */

/*
 * Where the library keeps the descriptors that came with a message: int fds[8], int n, behind a payload that grew once.
 * A message that we refuse never gets to the code that would close them.
 */
#define FDS_MAX          8
#define FDS_OFFSET       644
#define FDS_OFFSET_25_03 1084

static void
close_descriptors(void *raw)
{
	bool grown = rte_version_year() > 25 || (rte_version_year() == 25 && rte_version_month() >= 3);
	int *fds = (int *)((uint8_t *)raw + (grown ? FDS_OFFSET_25_03 : FDS_OFFSET));
	int *n = &fds[FDS_MAX];

	for (int i = 0; i < *n && i < FDS_MAX; i++)
		close(fds[i]);
	*n = 0;
}

/* What a message touches. */
enum reach {
	REACHES_NOTHING,
	REACHES_ONE_RING,
	REACHES_ALL,
	REACHES_MEMORY, /* and all rings with it */
};

static enum reach
reach_of(uint32_t request)
{
	switch (request) {
	case SET_MEM_TABLE:
	case ADD_MEM_REG:
	case REM_MEM_REG:
		return REACHES_MEMORY;
	case SET_FEATURES:
	case SET_LOG_BASE:
	case SET_VRING_ADDR:
	case SET_INFLIGHT_FD:
		return REACHES_ALL;
	case SET_VRING_NUM:
	case SET_VRING_BASE:
	case SET_VRING_KICK:
	case SET_VRING_CALL:
		return REACHES_ONE_RING;
	default:
		return REACHES_NOTHING;
	}
}

static uint32_t
ring_of(const struct message *msg)
{
	bool by_fd = msg->request == SET_VRING_KICK || msg->request == SET_VRING_CALL;

	return by_fd ? (uint32_t)(msg->payload.u64 & RING_MASK) : msg->payload.state.index;
}

/* What makes no sense is refused before the library stores it. */
static bool
is_refused(struct dt_guest *guest, const struct message *msg)
{
	uint32_t ring = msg->payload.state.index, num = msg->payload.state.num;

	switch (msg->request) {
	case SET_VRING_NUM:
	case SET_VRING_ADDR:
	case SET_VRING_BASE:
	case GET_VRING_BASE:
	case SET_VRING_ENABLE:
		if (ring < DT_RINGS)
			break;
		GUEST_SAY(guest, ERR,
			"the front end sets up ring %u, but a guest has one queue pair (rings 0 and 1): refused; "
			"start QEMU with queues=1",
			ring);
		return true;
	}
	if (msg->request == SET_VRING_NUM && (num == 0 || num > 32768 || (num & (num - 1)) != 0)) {
		GUEST_SAY(guest, ERR, "ring %u of %u entries: refused, want a power of two up to 32768", ring, num);
		return true;
	}
	if (msg->request == SET_MEM_TABLE && msg->payload.memory.n_regions > DT_GMEM_REGIONS_MAX)
		GUEST_SAY(guest, ERR, "memory table of %u regions: at most %u are supported; use fewer memory backends",
			msg->payload.memory.n_regions, DT_GMEM_REGIONS_MAX);
	return false;
}

static void
let_go(struct dt_guest *guest, const struct message *msg)
{
	uint32_t ring = ring_of(msg);

	switch (reach_of(msg->request)) {
	case REACHES_NOTHING:
		break;
	case REACHES_ONE_RING:
		if (ring < DT_RINGS)
			dt_guest_stop_ring(guest, (enum dt_ring)ring, DT_STOP_PAUSE, DT_CAUSE_LANE_QUEUE_PAUSED);
		break;
	case REACHES_MEMORY:
		guest->frozen = true;
		dt_guest_stop_rings(guest, DT_STOP_PAUSE, DT_CAUSE_LANE_QUEUE_PAUSED);
		dt_guest_drop_memory(guest);
		break;
	case REACHES_ALL:
		guest->frozen = true;
		dt_guest_stop_rings(guest, DT_STOP_PAUSE, DT_CAUSE_LANE_QUEUE_PAUSED);
		break;
	}
	if (msg->request == SET_VRING_BASE) {
		guest->new_base_ring = ring;
		guest->new_base = (uint16_t)msg->payload.state.num;
	} else if (msg->request == GET_VRING_BASE) {
		/* The reply is sent before anything else is called: the front end may be gone then. */
		dt_guest_stop_ring(guest, (enum dt_ring)ring, DT_STOP_CLOSE, DT_CAUSE_GUEST_QUEUE_STOPPED);
		guest->ring[ring].ready = false;
	} else if (msg->request == RESET_OWNER) {
		dt_guest_stop_rings(guest, DT_STOP_CLOSE, DT_CAUSE_GUEST_QUEUE_STOPPED);
		dt_guest_drop_memory(guest);
		for (ring = 0; ring < DT_RINGS; ring++)
			guest->ring[ring].ready = false;
	}
}

static enum rte_vhost_msg_result
before(int vid, void *raw)
{
	struct dt_guest *guest = dt_guest_by_vid(vid);
	struct message *msg = raw;
	enum rte_vhost_msg_result result = RTE_VHOST_MSG_RESULT_NOT_HANDLED;

	if (guest == NULL)
		return result;
	pthread_mutex_lock(&guest->lock);
	guest->request = msg->request;
	dt_gmem_guard(&guest->vanished);
	if (is_refused(guest, msg)) {
		close_descriptors(raw);
		result = RTE_VHOST_MSG_RESULT_ERR;
	} else if (msg->request == GET_QUEUE_NUM) {
		close_descriptors(raw);
		msg->payload.u64 = 1; /* pairs; the library would say 128 */
		msg->size = sizeof(msg->payload.u64);
		result = RTE_VHOST_MSG_RESULT_REPLY;
	} else {
		let_go(guest, msg);
	}
	pthread_mutex_unlock(&guest->lock);
	return result;
}

static enum rte_vhost_msg_result
after(int vid, void *raw)
{
	struct dt_guest *guest = dt_guest_by_vid(vid);
	enum reach reach;

	(void)raw; /* a reply has been written over the payload by now: our own note of the request counts */
	if (guest == NULL)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	pthread_mutex_lock(&guest->lock);
	reach = reach_of(guest->request);
	if (reach == REACHES_MEMORY)
		dt_guest_take_memory(guest);
	if (reach == REACHES_MEMORY || reach == REACHES_ALL)
		guest->frozen = false;
	if (guest->request == SET_FEATURES)
		dt_guest_take_features(guest);
	else if (guest->request == SET_VRING_BASE)
		guest->ring[guest->new_base_ring].base = guest->new_base;
	if (guest->vanished)
		GUEST_SAY(guest, ERR, "its memory disappeared while a ring was set up; restart it");
	else if (reach != REACHES_NOTHING)
		dt_guest_resume(guest);
	pthread_mutex_unlock(&guest->lock);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* The library keeps the address. */
static const struct rte_vhost_user_extern_ops hooks = {
	.pre_msg_handle = before,
	.post_msg_handle = after,
};

int
dt_guest_hook(struct dt_guest *guest, int vid)
{
	return rte_vhost_extern_callback_register(vid, &hooks, guest);
}
