/* SPDX-License-Identifier: BSD-3-Clause */
#include "vq.h"

#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <sys/eventfd.h>

static bool
has(const struct dt_vq *vq, unsigned int bit)
{
	return (vq->features & (1ULL << bit)) != 0;
}

void
dt_vq_derive(struct dt_vq *vq)
{
	vq->packed = has(vq, VIRTIO_F_RING_PACKED);
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
	dt_vq_derive(vq);
	vq->n_used = 0;
	vq->signalled_valid = false;
	vq->listens = false;
	dt_vq_break(vq, DT_VQ_FINE);
	return vq->packed ? dt_packed_start(vq) : dt_split_start(vq);
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

/* Now, not when we last looked: a wish to hear of it is rare. */
static bool
is_empty(const struct dt_vq *vq)
{
	if (vq->packed)
		return !dt_packed_ready(vq, 0);
	return __atomic_load_n(&vq->avail->idx, __ATOMIC_RELAXED) == vq->last_avail;
}

void
dt_vq_notify(struct dt_vq *vq)
{
	bool wanted;

	/*
	 * What we published must be visible before we read what the guest wants; pairs with the driver's barrier
	 * between writing its wish and looking at the ring again (virtio 1.2, 2.7.7.1 and 2.8.14).
	 */
	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
	wanted = vq->packed ? dt_packed_wanted(vq) : dt_split_wanted(vq);
	vq->signalled_valid = true;
	/* Suppressed or not, a legacy driver that asked for it hears that nothing is left (virtio 0.9.5, 2.4.2). */
	if (wanted || (vq->notify_on_empty && is_empty(vq)))
		dt_vq_interrupt(vq);
}

bool
dt_vq_listen(struct dt_vq *vq, unsigned int steps)
{
	vq->listens = true;
	if (vq->packed)
		dt_packed_set_kicks(vq, VRING_PACKED_EVENT_FLAG_ENABLE);
	else
		dt_split_listen(vq, (uint16_t)steps);
	/*
	 * The guest must be able to see our wish before we look at the ring for the last time; pairs with the driver's
	 * barrier between making a chain available and reading what we wish (virtio 1.2, 2.7.10 and 2.8.14). One of
	 * us sees what the other wrote: we its chain, or the guest our wish.
	 */
	rte_atomic_thread_fence(__ATOMIC_SEQ_CST);
	return dt_vq_ready(vq, steps);
}

void
dt_vq_ignore(struct dt_vq *vq)
{
	if (!vq->listens)
		return;
	vq->listens = false;
	if (vq->packed)
		dt_packed_set_kicks(vq, VRING_PACKED_EVENT_FLAG_DISABLE);
	else
		dt_split_ignore(vq);
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
