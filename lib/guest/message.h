/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside the module: a vhost-user message as the library hands it to hooks, and which ones are refused.
 *
 * On the library's thread. All in a message was written by the peer and is not checked yet.
 */
#ifndef DT_GUEST_MESSAGE_H
#define DT_GUEST_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

struct dt_guest;

/* Requests of the vhost-user protocol that a front end may make of us. */
enum dt_request {
	DT_GET_FEATURES = 1,
	DT_SET_FEATURES = 2,
	DT_SET_OWNER = 3,
	DT_RESET_OWNER = 4,
	DT_SET_MEM_TABLE = 5,
	DT_SET_LOG_BASE = 6,
	DT_SET_LOG_FD = 7,
	DT_SET_VRING_NUM = 8,
	DT_SET_VRING_ADDR = 9,
	DT_SET_VRING_BASE = 10,
	DT_GET_VRING_BASE = 11,
	DT_SET_VRING_KICK = 12,
	DT_SET_VRING_CALL = 13,
	DT_SET_VRING_ERR = 14,
	DT_GET_PROTOCOL_FEATURES = 15,
	DT_SET_PROTOCOL_FEATURES = 16,
	DT_GET_QUEUE_NUM = 17,
	DT_SET_VRING_ENABLE = 18,
	DT_SEND_RARP = 19,
	DT_NET_SET_MTU = 20,
	DT_SET_BACKEND_REQ_FD = 21,
	DT_SET_STATUS = 39,
	DT_GET_STATUS = 40,
};

#define DT_MESSAGE_REGIONS_MAX 8

/* The wire format, which the library's own struct begins with in every release. */
struct dt_message {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
	union {
		uint64_t u64;
		uint8_t mac[6];
		struct {
			uint64_t size;
			uint64_t offset;
		} log;
		struct {
			uint32_t index;
			uint32_t num;
		} state;
		struct {
			uint32_t n_regions;
			uint32_t padding;
			struct {
				uint64_t gpa;
				uint64_t size;
				uint64_t front_end_address;
				uint64_t offset;
			} regions[DT_MESSAGE_REGIONS_MAX];
		} memory;
	} payload;
} __attribute__((packed));

/**
 * Judge a message before the library acts on it: what makes no sense or was never offered is refused, and told.
 *
 * @return whether the hook has to answer with an error
 */
bool dt_message_refused(struct dt_guest *guest, const struct dt_message *msg);

/** Which ring a message is about, if about one; not checked. @return whether it is */
bool dt_message_ring(const struct dt_message *msg, uint32_t *ret_ring);

/** Close what came with a message that the library will not see: it would be the one to do so. */
void dt_message_close_fds(struct dt_message *msg);

#endif
