/* SPDX-License-Identifier: BSD-3-Clause */
#include "receiver.h"

#include <string.h>

#include "packet.h"
#include "pool.h"
#include "testing.h"
#include "vnet.h"

#define RUBBISH 0xee

struct dt_test_receiver dt_test_receiver;

static struct dt_test_receiver *const receiver = &dt_test_receiver;

int
dt_test_receiver_open(void **state)
{
	const uint64_t *layout = *state;
	struct dt_pair *pair = &receiver->pair;

	dt_test_books_open(state);
	memset(receiver, 0, sizeof(*receiver));
	pair->at_in = DT_AT_IN(DT_TEST_VM0);
	pair->at_out = DT_TEST_RECEIVER_OUT;
	pair->pool = dt_pool_of(0);
	pair->burst = DT_BURST;
	assert_int_equal(dt_lane_init(&pair->lane, "to_receiver", pair->at_out, DT_TEST_RECEIVER_LANE,
				 DT_CAUSE_GUEST_NOT_READY, 0, true),
		0);
	dt_lane_open(&pair->lane);
	dt_test_memory_new(&receiver->memory, 2, 0x100000);
	dt_test_ring_new(&receiver->ring, &receiver->memory, 0, dt_test_ring_size(*layout), *layout);
	receiver->vq = &pair->vq[DT_RING_TO_GUEST];
	dt_test_ring_start(&receiver->ring, DT_TEST_RECEIVER_FEATURES, receiver->vq);
	return 0;
}

int
dt_test_receiver_close(void **state)
{
	int result;

	dt_test_memory_free(&receiver->memory);
	result = dt_test_books_close(state);
	dt_lane_fini(&receiver->pair.lane);
	return result;
}

void
dt_test_receiver_put(unsigned int n, uint32_t len, uint16_t seq)
{
	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *pkt;

		dt_test_bring(DT_TEST_RECEIVER_IN, &pkt, 1, len, (uint16_t)(seq + i));
		dt_lane_put(&receiver->pair.lane, DT_TEST_RECEIVER_IN, &pkt, 1);
	}
}

void
dt_test_receiver_post(unsigned int n, uint32_t len)
{
	for (unsigned int i = 0; i < n; i++) {
		struct dt_test_part part = { dt_test_take(&receiver->memory, 0, len), len };

		memset(dt_test_at(&receiver->memory, part.gpa), RUBBISH, len);
		dt_test_offer(&receiver->ring, dt_test_chain(&receiver->ring, &part, 1, true));
	}
}

/* Append what was written into one chain. @return bytes in all */
static uint32_t
read_chain(uint16_t head, uint32_t len, uint8_t *to, uint32_t n)
{
	const struct vring_desc *desc = receiver->ring.desc;

	for (uint16_t i = head; len > 0; i = desc[i].next) {
		for (uint32_t k = 0; k < desc[i].len && len > 0; k++, len--)
			to[n++] = *(uint8_t *)dt_test_at(&receiver->memory, desc[i].addr + k);
		if (len > 0)
			assert_true((desc[i].flags & VRING_DESC_F_NEXT) != 0);
	}
	return n;
}

void
dt_test_receiver_expect(uint32_t len, uint16_t seq, uint16_t num_buffers)
{
	static uint8_t bytes[DT_VNET_HDR_MRG + DT_VNET_FRAME_MAX + 65536];
	static const struct virtio_net_hdr zeros;
	uint8_t hdr_len = receiver->vq->hdr_len;
	uint16_t told;
	uint32_t n = 0;

	for (unsigned int i = 0; i < num_buffers; i++) {
		struct vring_used_elem elem;

		assert_true(dt_test_used(&receiver->ring, &elem));
		assert_in_range(elem.id, 0, receiver->ring.size - 1);
		assert_in_range(elem.len, 1, 65536);
		n = read_chain((uint16_t)elem.id, elem.len, bytes, n);
	}
	assert_int_equal(n, hdr_len + len);
	assert_memory_equal(bytes, &zeros, sizeof(zeros));
	if (hdr_len == DT_VNET_HDR_MRG) {
		memcpy(&told, bytes + sizeof(zeros), sizeof(told));
		assert_int_equal(told, num_buffers);
	}
	assert_true(dt_test_frame_is(bytes + hdr_len, len, seq));
}

uint32_t
dt_test_receiver_expect_empty(void)
{
	struct vring_used_elem elem;

	assert_true(dt_test_used(&receiver->ring, &elem));
	assert_int_equal(elem.len, 0);
	return elem.id;
}
