/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Frames of real protocols for tests, built in plain memory, and packets of them in mbufs cut at any place.
 *
 * Sums here are naive on purpose: they are what lib/vnet is compared with.
 */
#ifndef DT_TEST_FRAME_H
#define DT_TEST_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#define DT_TEST_FRAME_MAX 70100

/* In a list of extension headers; its number in the protocol is zero. */
#define DT_TEST_HOP_BY_HOP 0xff

/** What a frame is to be of. Zeros: nothing of it. */
struct dt_test_frame_spec {
	uint16_t type; /* EtherType of IPv4 or IPv6; else what the frame says, with nothing but payload behind it */
	uint16_t says; /* the EtherType that is written, if it is another */
	unsigned int n_tags; /* 802.1Q, the first of several 802.1ad */
	uint8_t proto; /* TCP, UDP, SCTP, or anything, with nothing but payload behind it */
	uint32_t ip_options; /* bytes of IPv4 options, a multiple of 4 */
	uint8_t extensions[6]; /* IPv6 extension headers, in order */
	uint8_t extension_units; /* of eight bytes, beyond the first, in each but a fragment header */
	uint16_t fragment; /* IPv4's flags and offset; its own number of bits */
	uint32_t tcp_options; /* bytes, a multiple of 4 */
	uint16_t tcp_flags; /* 0: ACK and PSH */
	uint32_t payload;
};

/** A frame, and where things are in it. */
struct dt_test_frame {
	uint32_t len;
	uint32_t l3; /* where IP begins */
	uint32_t l4; /* where what it carries begins */
	uint32_t payload; /* where that one's payload begins */
	uint8_t proto;
	bool v6;
	uint8_t bytes[DT_TEST_FRAME_MAX];
};

/** Build a frame with right lengths and checksums, and payload out of @p seed. */
void dt_test_frame_build(const struct dt_test_frame_spec *spec, uint32_t seed, struct dt_test_frame *ret_frame);

/** RFC 1071, the slow way: the sum of 16-bit words in network order, folded. */
uint16_t dt_test_sum(const uint8_t *bytes, uint32_t len, uint32_t start);

/** The sum of the pseudo header for @p len bytes of TCP or UDP. */
uint16_t dt_test_pseudo_sum(const struct dt_test_frame *frame, uint32_t len);

/** Where the checksum of TCP, UDP or SCTP is in its header. */
uint32_t dt_test_check_offset(uint8_t proto);

/** Put the sum of the pseudo header where the checksum is, as a sender does that leaves it undone. */
void dt_test_frame_leave_csum(struct dt_test_frame *frame);

/** Whether IPv4's and TCP's or UDP's checksums are right; bytes of a frame that begins as @p frame does. */
bool dt_test_csums_are_right(const struct dt_test_frame *frame, const uint8_t *bytes, uint32_t len);

/**
 * A packet in mbufs of the first pool, cut at the places of @p cuts (ascending, above 0); what is longer than an mbuf
 * is cut again. Fails the test if the pool is empty.
 */
struct rte_mbuf *dt_test_packet_of(const uint8_t *bytes, uint32_t len, const uint32_t *cuts, unsigned int n_cuts);

/**
 * The same, but each part in memory from malloc() that ends where the part ends, so that a sanitizer sees who reads or
 * writes past it.
 */
struct rte_mbuf *dt_test_packet_guarded(const uint8_t *bytes, uint32_t len, const uint32_t *cuts, unsigned int n_cuts);

/** Copy a whole packet out. @return its length */
uint32_t dt_test_packet_read(const struct rte_mbuf *pkt, uint8_t *bytes);

/** A number below @p n that @p seed goes on from. */
uint32_t dt_test_random(uint64_t *seed, uint32_t n);

/** Where random numbers begin: at DT_TEST_SEED of the environment, else at the time. Printed, to repeat a failure. */
uint64_t dt_test_seed(void);

#endif
