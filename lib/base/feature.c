/* SPDX-License-Identifier: BSD-3-Clause */
#include "feature.h"

#include <string.h>

#define BIT(n)   (1ULL << (n))
#define BITS_MAX 64

/* Bits by their place in virtio 1.2, 5.1.3 and 6; the last two are vhost's own. */
static const char *const names[BITS_MAX] = {
	[0] = "csum",
	[1] = "guest_csum",
	[2] = "ctrl_guest_offloads",
	[3] = "mtu",
	[5] = "mac",
	[7] = "guest_tso4",
	[8] = "guest_tso6",
	[9] = "guest_ecn",
	[10] = "guest_ufo",
	[11] = "host_tso4",
	[12] = "host_tso6",
	[13] = "host_ecn",
	[14] = "host_ufo",
	[15] = "mrg_rxbuf",
	[16] = "status",
	[17] = "ctrl_vq",
	[18] = "ctrl_rx",
	[19] = "ctrl_vlan",
	[21] = "guest_announce",
	[22] = "mq",
	[23] = "ctrl_mac_addr",
	[24] = "notify_on_empty",
	[27] = "any_layout",
	[28] = "indirect_desc",
	[29] = "event_idx",
	[32] = "version_1",
	[33] = "access_platform",
	[34] = "packed",
	[35] = "in_order",
	[36] = "order_platform",
	[54] = "guest_uso4",
	[55] = "guest_uso6",
	[56] = "host_uso",
	[57] = "hash_report",
	[59] = "guest_hdrlen",
	[60] = "rss",
	[62] = "standby",
	[63] = "speed_duplex",
	[26] = "log_all",
	[30] = "protocol_features",
};

/* What dptap may offer to a driver. */
#define CAN_BE_OFF                                                                                                     \
	(BIT(0) | BIT(1) | BIT(3) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) |       \
		BIT(15) | BIT(16) | BIT(21) | BIT(22) | BIT(24) | BIT(27) | BIT(28) | BIT(29) | BIT(32) | BIT(34) |    \
		BIT(35) | BIT(54) | BIT(55) | BIT(56))

/* A feature, and those of which it needs at least one. */
static const struct {
	unsigned int bit;
	uint64_t needs;
} needs[] = {
	{ 7, BIT(1) },
	{ 8, BIT(1) },
	{ 10, BIT(1) },
	{ 54, BIT(1) },
	{ 55, BIT(1) },
	{ 9, BIT(7) | BIT(8) },
	{ 11, BIT(0) },
	{ 12, BIT(0) },
	{ 14, BIT(0) },
	{ 56, BIT(0) },
	{ 13, BIT(11) | BIT(12) },
	{ 34, BIT(32) },
	{ 35, BIT(32) },
};

const char *
dt_feature_name(unsigned int bit)
{
	return bit < BITS_MAX ? names[bit] : NULL;
}

int
dt_feature_bit(const char *name, size_t len)
{
	for (int bit = 0; bit < BITS_MAX; bit++)
		if (names[bit] != NULL && strlen(names[bit]) == len && strncmp(names[bit], name, len) == 0)
			return bit;
	return -1;
}

bool
dt_feature_can_be_off(unsigned int bit)
{
	return bit < BITS_MAX && (CAN_BE_OFF & BIT(bit)) != 0;
}

uint64_t
dt_feature_sound(uint64_t features)
{
	/* In the table's order: what a row needs has been judged by an earlier one. */
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if ((features & needs[i].needs) == 0)
			features &= ~BIT(needs[i].bit);
	return features;
}
