/* SPDX-License-Identifier: BSD-3-Clause */
#include "sender.h"

#include <string.h>

#include "packet.h"
#include "pool.h"
#include "testing.h"
#include "vnet.h"

struct dt_test_sender dt_test_sender;

static struct dt_test_sender *const sender = &dt_test_sender;

static unsigned int
into_lane(void *lane, struct rte_mbuf **pkts, unsigned int n)
{
	dt_lane_put(lane, DT_TEST_SENDER_IN, pkts, n);
	return 1;
}

int
dt_test_sender_open(void **state)
{
	const uint64_t *layout = *state;

	dt_test_books_open(state);
	memset(sender, 0, sizeof(*sender));
	assert_int_equal(
		dt_lane_init(&sender->lane, "lane", DT_TEST_SENDER_OUT, 1000, DT_CAUSE_SHUTTING_DOWN, 0, true), 0);
	dt_lane_open(&sender->lane);
	dt_test_memory_new(&sender->memory, 2, DT_TEST_SENDER_REGION);
	dt_test_ring_new(&sender->ring, &sender->memory, 0, dt_test_ring_size(*layout), *layout);
	sender->pair.at_in = DT_TEST_SENDER_IN;
	sender->pair.at_out = DT_AT_OUT(DT_TEST_VM0);
	sender->pair.sink = (struct dt_sink){ into_lane, &sender->lane };
	sender->pair.pool = dt_pool_of(0);
	sender->pair.burst = DT_BURST;
	assert_int_equal(dt_lane_init(&sender->pair.lane, "to_sender", sender->pair.at_out, 64,
				 DT_CAUSE_GUEST_NOT_READY, 0, true),
		0);
	sender->vq = &sender->pair.vq[DT_RING_FROM_GUEST];
	dt_test_ring_start(&sender->ring, DT_TEST_SENDER_FEATURES, sender->vq);
	return 0;
}

int
dt_test_sender_close(void **state)
{
	int result;

	dt_test_memory_free(&sender->memory);
	result = dt_test_books_close(state);
	dt_lane_fini(&sender->lane);
	dt_lane_fini(&sender->pair.lane);
	return result;
}

uint64_t
dt_test_sender_write(unsigned int region, uint32_t len, uint16_t seq)
{
	static uint8_t bytes[DT_VNET_HDR_MRG + DT_VNET_FRAME_MAX + 10];
	uint32_t hdr_len = sender->vq->hdr_len;
	uint64_t gpa = dt_test_take(&sender->memory, region, hdr_len + len);

	memset(bytes, 0, hdr_len);
	dt_test_frame_fill(bytes + hdr_len, len, seq);
	dt_test_write(&sender->memory, gpa, bytes, hdr_len + len);
	return gpa;
}

void
dt_test_sender_send(uint32_t len, uint16_t seq)
{
	uint64_t gpa = dt_test_sender_write(0, len, seq);

	dt_test_offer(&sender->ring, dt_test_desc(&sender->ring, gpa, sender->vq->hdr_len + len, 0, 0));
}

void
dt_test_sender_expect(uint32_t len, uint16_t seq)
{
	struct rte_mbuf *pkt;

	assert_int_equal(dt_lane_peek(&sender->lane, &pkt, 1), 1);
	assert_true(dt_test_packet_is(pkt, len, seq));
	dt_lane_finish(&sender->lane, 1);
	dt_delivered(DT_TEST_SENDER_OUT, &pkt, 1);
}

void
dt_test_sender_expect_back(unsigned int n)
{
	const struct dt_test_ring *ring = &sender->ring;
	struct vring_used_elem elem;

	for (unsigned int i = 0; i < n; i++) {
		assert_true(dt_test_used(&sender->ring, &elem));
		assert_int_equal(elem.id, ring->offered[sender->given_back++ % DT_TEST_RING_MAX]);
		assert_int_equal(elem.len, 0);
	}
	assert_false(dt_test_used(&sender->ring, &elem));
}
