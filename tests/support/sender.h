/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A guest that sends: memory, ring and queue pair of port vm0, whose frames end in a lane of port vm1.
 *
 * One for a process, made anew for each test by the setup function. Everything runs on the calling thread.
 */
#ifndef DT_TEST_SENDER_H
#define DT_TEST_SENDER_H

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "books.h"
#include "guest_memory.h"
#include "pair.h"

#define DT_TEST_SENDER_IN     DT_AT_IN(DT_TEST_VM0)
#define DT_TEST_SENDER_OUT    DT_AT_OUT(DT_TEST_VM1)
#define DT_TEST_SENDER_REGION 0x100000ULL /* bytes of each of the two regions; the ring is in the first */
#define DT_TEST_SENDER_FEATURES                                                                                        \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_NET_F_MRG_RXBUF)

struct dt_test_sender {
	struct dt_test_memory memory;
	struct dt_test_ring ring;
	struct dt_pair pair;
	struct dt_vq *vq; /* the pair's, from the guest */
	struct dt_lane lane;
	uint16_t given_back; /* chains that the guest has seen in the used ring */
};

extern struct dt_test_sender dt_test_sender;

/** cmocka's setup, which finds a ring's layout in its state, and teardown, which ends with the law of the books. */
int dt_test_sender_open(void **state);
int dt_test_sender_close(void **state);

/** Write a header of zeros and frame number @p seq in one stretch. @return its guest-physical address */
uint64_t dt_test_sender_write(unsigned int region, uint32_t len, uint16_t seq);

/** Send a frame in one buffer of the first region. */
void dt_test_sender_send(uint32_t len, uint16_t seq);

/** The next frame that came out is that one. */
void dt_test_sender_expect(uint32_t len, uint16_t seq);

/** The guest has @p n more chains back, in the order in which it offered them, and nothing written to them. */
void dt_test_sender_expect_back(unsigned int n);

#endif
