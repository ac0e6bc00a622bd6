/* SPDX-License-Identifier: BSD-3-Clause */
#include "packed.h"

#include <errno.h>

#include "vq.h"

/* How long a ring that was emptied is left alone. */
#define REST_US 1

bool
dt_packed_is_position(const struct dt_vq *vq, uint32_t position)
{
	return position <= UINT16_MAX && (position & ~DT_PACKED_WRAP) < vq->size;
}

int
dt_packed_check(const struct dt_vq *vq)
{
	if (vq->size == 0 || vq->size > 32768 || vq->position == NULL || (uintptr_t)vq->ring % 16 != 0 ||
		(uintptr_t)vq->driver_event % 4 != 0 || (uintptr_t)vq->device_event % 4 != 0)
		return -EINVAL;
	if (!dt_gmem_contains(vq->mem, vq->ring, 16ULL * vq->size) ||
		!dt_gmem_contains(vq->mem, vq->driver_event, sizeof(*vq->driver_event)) ||
		!dt_gmem_contains(vq->mem, vq->device_event, sizeof(*vq->device_event)))
		return -EFAULT;
	return 0;
}

int
dt_packed_start(struct dt_vq *vq)
{
	int err = dt_packed_check(vq);

	if (err != 0)
		return err;
	if (!dt_packed_is_position(vq, vq->base))
		return -EINVAL;
	dt_packed_go_to(vq, vq->base);
	vq->n_unsignalled = 0;
	vq->rest = (uint32_t)(rte_get_tsc_hz() / 1000000 * REST_US);
	vq->rest_until = 0;
	dt_vq_position_set(vq->position, vq->base);

	dt_packed_set_kicks(vq, VRING_PACKED_EVENT_FLAG_DISABLE);
	return 0;
}

/* virtio 1.2, 2.8.14. Also with EVENT_IDX it may be all or none. */
void
dt_packed_set_kicks(struct dt_vq *vq, uint16_t flags)
{
	__atomic_store_n(&vq->device_event->flags, flags, __ATOMIC_RELAXED);
	if (vq->logs)
		dt_vq_log(vq, vq->device_event, sizeof(*vq->device_event));
}

/* Whether the descriptor at a position is among the last @p n that were published. */
static bool
is_among(const struct dt_vq *vq, uint16_t position, uint32_t n)
{
	uint32_t lap = 2u * vq->size;
	uint32_t now = vq->last_avail + (vq->avail_flags == DT_PACKED_AVAIL ? vq->size : 0u);
	uint32_t then = (position & ~DT_PACKED_WRAP) + ((position & DT_PACKED_WRAP) != 0 ? vq->size : 0u);
	uint32_t back = (now + lap - then % lap) % lap;

	return back != 0 && back <= n;
}

bool
dt_packed_wanted(struct dt_vq *vq)
{
	/* Both fields in one look. */
	uint32_t event = __atomic_load_n((const uint32_t *)(const void *)vq->driver_event, __ATOMIC_RELAXED);
	uint32_t n = vq->n_unsignalled;

	vq->n_unsignalled = 0;
	switch (event >> 16 & 3) {
	case VRING_PACKED_EVENT_FLAG_DISABLE:
		return false;
	case VRING_PACKED_EVENT_FLAG_DESC:
		return !vq->event_idx || !vq->signalled_valid || n >= 2u * vq->size || is_among(vq, (uint16_t)event, n);
	default:
		return true;
	}
}

void
dt_packed_log(const struct dt_vq *vq, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		dt_vq_log(vq, dt_packed_word(vq, vq->position->used[i].at), sizeof(uint64_t));
}
