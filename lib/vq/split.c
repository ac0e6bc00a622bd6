/* SPDX-License-Identifier: BSD-3-Clause */
#include "vq.h"

#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <sys/eventfd.h>

/* virtio 1.2, 2.7.10: the two event fields lie behind the rings. */
static inline uint16_t *
used_event(const struct dt_vq *vq)
{
	return &vq->avail->ring[vq->size];
}

static inline uint16_t *
avail_event(const struct dt_vq *vq)
{
	return (uint16_t *)&vq->used->ring[vq->size];
}

void
dt_vq_interrupt(struct dt_vq *vq)
{
	/* An eventfd that is full has a signal pending, which is all we want. */
	if (vq->callfd < 0 || eventfd_write(vq->callfd, 1) == 0 || errno != EINTR)
		return;
	/* It made us wait until somebody noticed: its other end has undone O_NONBLOCK, and gets no more of our time. */
	vq->callfd = -1;
}

static bool
has(const struct dt_vq *vq, unsigned int bit)
{
	return (vq->features & (1ULL << bit)) != 0;
}

/* What the features mean for the ring. */
static void
derive(struct dt_vq *vq)
{
	vq->in_order = has(vq, VIRTIO_F_IN_ORDER);
	vq->event_idx = has(vq, VIRTIO_RING_F_EVENT_IDX);
	vq->mergeable = has(vq, VIRTIO_NET_F_MRG_RXBUF);
	vq->notify_on_empty = has(vq, VIRTIO_F_NOTIFY_ON_EMPTY);
	vq->hdr_len = has(vq, VIRTIO_F_VERSION_1) || vq->mergeable ? sizeof(struct virtio_net_hdr_mrg_rxbuf)
								   : sizeof(struct virtio_net_hdr);
	vq->logs = has(vq, VHOST_F_LOG_ALL) && vq->log_base != NULL;
}

int
dt_vq_start(struct dt_vq *vq)
{
	if (has(vq, VIRTIO_F_RING_PACKED))
		return -EINVAL;
	if (vq->size == 0 || vq->size > 32768 || (vq->size & (vq->size - 1)) != 0)
		return -EINVAL;
	if ((uintptr_t)vq->desc % 16 != 0 || (uintptr_t)vq->avail % 2 != 0 || (uintptr_t)vq->used % 4 != 0)
		return -EINVAL;
	if (!dt_gmem_contains(vq->mem, vq->desc, 16ULL * vq->size) ||
		!dt_gmem_contains(vq->mem, vq->avail, 6 + 2ULL * vq->size) ||
		!dt_gmem_contains(vq->mem, vq->used, 6 + 8ULL * vq->size))
		return -EFAULT;
	derive(vq);
	vq->mask = (uint16_t)(vq->size - 1);
	vq->last_avail = vq->base;
	vq->avail_seen = vq->base;
	vq->used_idx = __atomic_load_n(&vq->used->idx, __ATOMIC_RELAXED);
	vq->n_used = 0;
	vq->signalled_valid = false;
	vq->bad_heads = 0;
	dt_vq_break(vq, DT_VQ_FINE);

	/* We poll, so the guest need not kick: by flag, or by an event index that it has passed already. */
	__atomic_store_n(&vq->used->flags, (uint16_t)VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
	if (vq->event_idx)
		__atomic_store_n(avail_event(vq), (uint16_t)(vq->last_avail - 1), __ATOMIC_RELAXED);
	if (vq->logs) {
		dt_vq_log(vq, &vq->used->flags, sizeof(vq->used->flags));
		dt_vq_log(vq, avail_event(vq), sizeof(uint16_t));
	}
	return 0;
}

void
dt_vq_notify(struct dt_vq *vq)
{
	uint16_t old = vq->signalled;
	uint16_t new = vq->used_idx;
	bool wanted;

	/*
	 * Our store of used->idx must be visible before we read what the guest wants; pairs with the driver's
	 * barrier between writing its wish and looking at used->idx again (virtio 1.2, 2.7.7.1).
	 */
	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq->event_idx) {
		uint16_t event = __atomic_load_n(used_event(vq), __ATOMIC_RELAXED);

		wanted = !vq->signalled_valid || vring_need_event(event, new, old);
	} else {
		wanted = (__atomic_load_n(&vq->avail->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT) == 0;
	}
	vq->signalled = new;
	vq->signalled_valid = true;
	if (wanted)
		dt_vq_interrupt(vq);
}

const char *
dt_vq_fault_text(const struct dt_vq *vq)
{
	switch ((enum dt_vq_fault)__atomic_load_n(&vq->fault, __ATOMIC_RELAXED)) {
	case DT_VQ_FINE:
		return NULL;
	case DT_VQ_AVAIL_TOO_FAR:
		return "the available index is further ahead than the ring is long";
	case DT_VQ_BAD_HEADS:
		return "too many descriptor heads in a row are beyond the ring's size";
	case DT_VQ_VANISHED:
		return "the guest memory that holds its packets disappeared";
	}
	return "unknown fault";
}
