/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the protocol means for the rings. The library unmaps memory, moves rings and closes descriptors while it
 * handles a message, mostly without a callback. So each message is seen before the library acts on it, when the
 * worker lets go, and after, when it may take over what there is then. A message that fails has no "after": the
 * rings then stay where they are, paused, until one succeeds.
 */
#include "internal.h"

#include <sys/socket.h>

#include <rte_vhost.h>

#include "gmem.h"
#include "message.h"
#include "socket.h"

/* What a message touches. */
enum reach {
	REACHES_NOTHING,
	REACHES_ONE_RING,
	REACHES_ALL,
	REACHES_MEMORY, /* and all rings with it */
	REACHES_LOG, /* where all rings mark what they write */
};

static enum reach
reach_of(uint32_t request)
{
	switch (request) {
	case DT_SET_MEM_TABLE:
		return REACHES_MEMORY;
	case DT_SET_LOG_BASE:
		return REACHES_LOG;
	case DT_SET_FEATURES:
	case DT_SET_VRING_ADDR:
		return REACHES_ALL;
	case DT_SET_VRING_NUM:
	case DT_SET_VRING_BASE:
	case DT_SET_VRING_KICK:
	case DT_SET_VRING_CALL:
		return REACHES_ONE_RING;
	default:
		return REACHES_NOTHING;
	}
}

static void
let_go(struct dt_guest *guest, const struct dt_message *msg)
{
	uint32_t ring = 0; /* one that there is */

	dt_message_ring(msg, &ring);
	switch (reach_of(msg->request)) {
	case REACHES_NOTHING:
		break;
	case REACHES_ONE_RING:
		dt_guest_stop_ring(guest, ring, DT_STOP_PAUSE, DT_CAUSE_LANE_QUEUE_PAUSED);
		break;
	case REACHES_MEMORY:
		guest->frozen = true;
		dt_guest_stop_rings(guest, DT_STOP_PAUSE, DT_CAUSE_LANE_QUEUE_PAUSED);
		dt_guest_drop_memory(guest);
		break;
	case REACHES_LOG:
		guest->frozen = true;
		dt_guest_stop_rings(guest, DT_STOP_PAUSE, DT_CAUSE_LANE_QUEUE_PAUSED);
		dt_guest_drop_log(guest);
		break;
	case REACHES_ALL:
		guest->frozen = true;
		dt_guest_stop_rings(guest, DT_STOP_PAUSE, DT_CAUSE_LANE_QUEUE_PAUSED);
		break;
	}
	if (msg->request == DT_SEND_RARP) {
		dt_guest_announce(guest, msg->payload.mac);
	} else if (msg->request == DT_NET_SET_MTU) {
		guest->new_mtu = (uint16_t)msg->payload.u64; /* the library refuses what does not fit */
	} else if (msg->request == DT_SET_VRING_BASE) {
		guest->new_base_ring = ring;
		guest->new_base = (uint16_t)msg->payload.state.num;
	} else if (msg->request == DT_GET_VRING_BASE) {
		/* The reply is sent before anything else is called: the front end may be gone then. */
		dt_guest_stop_ring(guest, ring, DT_STOP_CLOSE, DT_CAUSE_GUEST_QUEUE_STOPPED);
		guest->ring[ring].ready = false;
		dt_positions_forget(guest, ring);
	} else if (msg->request == DT_SET_VRING_ENABLE && msg->payload.state.num == 0) {
		/* While it may still take packets. */
		dt_guest_disable_ring(guest, ring);
	} else if (msg->request == DT_RESET_OWNER) {
		dt_guest_stop_rings(guest, DT_STOP_CLOSE, DT_CAUSE_GUEST_QUEUE_STOPPED);
		dt_guest_drop_memory(guest);
		for (ring = 0; ring < guest->n_rings; ring++) {
			guest->ring[ring] = (struct dt_guest_ring){ 0 };
			dt_positions_forget(guest, ring);
		}
	}
}

static enum rte_vhost_msg_result
before(int vid, void *raw)
{
	struct dt_guest *guest = dt_guest_by_vid(vid);
	struct dt_message *msg = raw;
	enum rte_vhost_msg_result result = RTE_VHOST_MSG_RESULT_NOT_HANDLED;

	if (guest == NULL)
		return result;
	pthread_mutex_lock(&guest->lock);
	guest->request = msg->request;
	dt_gmem_guard(&guest->vanished);
	if (dt_socket_stalled(guest->fd)) {
		/* It reads no answers: the next one would hold up everybody. The library sees the connection end. */
		GUEST_SAY(guest, ERR, "the front end reads no answers: disconnected");
		shutdown(guest->fd, SHUT_RDWR);
		dt_message_close_fds(msg);
		result = RTE_VHOST_MSG_RESULT_ERR;
	} else if (dt_message_refused(guest, msg)) {
		dt_message_close_fds(msg);
		result = RTE_VHOST_MSG_RESULT_ERR;
	} else if (msg->request == DT_GET_QUEUE_NUM) {
		dt_message_close_fds(msg);
		msg->payload.u64 = guest->n_pairs; /* the library would say 128 */
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
	if (reach == REACHES_LOG)
		dt_guest_take_log(guest);
	if (reach == REACHES_MEMORY || reach == REACHES_LOG || reach == REACHES_ALL)
		guest->frozen = false;
	if (guest->request == DT_SET_FEATURES)
		dt_guest_take_features(guest);
	else if (guest->request == DT_SET_VRING_BASE)
		guest->ring[guest->new_base_ring].base = guest->new_base;
	else if (guest->request == DT_NET_SET_MTU)
		guest->mtu = guest->new_mtu;
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
