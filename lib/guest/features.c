/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include <rte_vhost.h>

#include "feature.h"

#define BIT(n) (1ULL << (n))

/* What the ring code does, and what lies with the front end alone but is hidden from the guest unless we offer it. */
#define OFFERED                                                                                                        \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER) | BIT(VIRTIO_F_ANY_LAYOUT) |     \
		BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |      \
		BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_STATUS) |                       \
		BIT(VIRTIO_NET_F_GUEST_ANNOUNCE))

/* What a driver may leave undone, and what may be left undone for it. */
#define OFFERED_OFFLOADS                                                                                               \
	(BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |                          \
		BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO) | BIT(VIRTIO_NET_F_HOST_USO) |                 \
		BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |           \
		BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_GUEST_USO4) |             \
		BIT(VIRTIO_NET_F_GUEST_USO6))

/* Between the front end and us. */
#define OFFERED_BEHIND (BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VHOST_F_LOG_ALL))

uint64_t
dt_guest_features(const struct dt_conf_guest *conf)
{
	uint64_t offered = OFFERED | OFFERED_OFFLOADS;

	if (conf->n_queues > 1)
		offered |= BIT(VIRTIO_NET_F_MQ);
	return dt_feature_sound(offered & ~conf->features_off) | OFFERED_BEHIND;
}

/* Protocol features; numbers, because the library has renamed its own constants. */
enum {
	PROTOCOL_MQ = 0, /* asked for the number of queue pairs */
	PROTOCOL_LOG_SHMFD = 1,
	PROTOCOL_RARP = 2,
	PROTOCOL_REPLY_ACK = 3,
	PROTOCOL_NET_MTU = 4,
	PROTOCOL_BACKEND_REQ = 5, /* some front ends fail without */
	PROTOCOL_STATUS = 16,
};

uint64_t
dt_guest_protocol_features(void)
{
	/* Not CONFIG: no front end asks us for what it knows itself, and QEMU warns of a back end that offers it. */
	return BIT(PROTOCOL_MQ) | BIT(PROTOCOL_LOG_SHMFD) | BIT(PROTOCOL_RARP) | BIT(PROTOCOL_REPLY_ACK) |
	       BIT(PROTOCOL_NET_MTU) | BIT(PROTOCOL_BACKEND_REQ) | BIT(PROTOCOL_STATUS);
}

void
dt_guest_take_features(struct dt_guest *guest)
{
	if (rte_vhost_get_negotiated_features(guest->vid, &guest->features) != 0)
		guest->features = 0;
	/* What waits was made to fit what the guest took before; dt_pair_to_guest() looks again. */
	dt_fit_set(&guest->fit, dt_vnet_guest_takes(guest->features));
}

bool
dt_guest_has(const struct dt_guest *guest, unsigned int bit)
{
	return (guest->features & BIT(bit)) != 0;
}

void
dt_guest_say_running(struct dt_guest *guest)
{
	char names[512] = "";
	size_t len = 0;

	for (unsigned int bit = 0; bit < 64 && len < sizeof(names); bit++)
		if (dt_guest_has(guest, bit) && dt_feature_name(bit) != NULL)
			len += (size_t)snprintf(names + len, sizeof(names) - len, " %s", dt_feature_name(bit));
	GUEST_SAY(guest, INFO, "running:%s", names);
}
