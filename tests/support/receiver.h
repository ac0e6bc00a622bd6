/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A guest that receives: memory, ring and queue pair of port vm0, whose lane port vm1 fills.
 *
 * One for a process, made anew for each test by the setup function. Everything runs on the calling thread.
 */
#ifndef DT_TEST_RECEIVER_H
#define DT_TEST_RECEIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "books.h"
#include "guest_memory.h"
#include "pair.h"

#define DT_TEST_RECEIVER_IN   DT_AT_IN(DT_TEST_VM1)
#define DT_TEST_RECEIVER_OUT  DT_AT_OUT(DT_TEST_VM0)
#define DT_TEST_RECEIVER_LANE 64 /* packets */
#define DT_TEST_RECEIVER_FEATURES                                                                                      \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_NET_F_MRG_RXBUF)

struct dt_test_receiver {
	struct dt_test_memory memory; /* two regions; the ring is in the first */
	struct dt_test_ring ring;
	struct dt_pair pair;
	struct dt_vq *vq; /* the pair's, to the guest */
};

extern struct dt_test_receiver dt_test_receiver;

/** cmocka's setup, which finds a ring's layout in its state, and teardown, which ends with the law of the books. */
int dt_test_receiver_open(void **state);
int dt_test_receiver_close(void **state);

/** Put packets, numbered from @p seq on, into the guest's lane. */
void dt_test_receiver_put(unsigned int n, uint32_t len, uint16_t seq);

/** Post @p n buffers of one descriptor each in the first region, full of rubbish. */
void dt_test_receiver_post(unsigned int n, uint32_t len);

/** The next packet that the guest finds is that one, in so many buffers (of chains in the ring's own table). */
void dt_test_receiver_expect(uint32_t len, uint16_t seq, uint16_t num_buffers);

/** The next used element says that nothing was written to the chain. @return its head */
uint32_t dt_test_receiver_expect_empty(void);

#endif
