/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Test frames, each of which can be told from all others, in mbufs and in plain memory.
 *
 * Stands for the far end of a wire, which is why it may make and free mbufs past the books.
 */
#ifndef DT_TEST_PACKET_H
#define DT_TEST_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

/** Write frame number @p seq: two addresses, a type, and bytes that depend on number and place. */
void dt_test_frame_fill(uint8_t *frame, uint32_t len, uint16_t seq);

/** Whether @p frame is number @p seq, to the last byte. */
bool dt_test_frame_is(const uint8_t *frame, uint32_t len, uint16_t seq);

/** An mbuf, or several if @p len needs them, with frame number @p seq. Fails the test if the pool is empty. */
struct rte_mbuf *dt_test_packet(uint32_t len, uint16_t seq);

/** Whether the packet is frame number @p seq of @p len bytes, over all its segments. */
bool dt_test_packet_is(const struct rte_mbuf *pkt, uint32_t len, uint16_t seq);

/** Set destination and source, each given by its last byte: 02:00:00:00:00:xx; 0xff: broadcast. */
void dt_test_packet_address(struct rte_mbuf *pkt, uint8_t destination, uint8_t source);

/** Set the source to 02:00:00:xx:xx:00, one of many. */
void dt_test_packet_source(struct rte_mbuf *pkt, uint16_t source);

/** The far end of a wire took it. */
void dt_test_packet_free(struct rte_mbuf *pkt);

#endif
