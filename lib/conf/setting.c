/* SPDX-License-Identifier: BSD-3-Clause */
#include "setting.h"

#include <string.h>

#include "feature.h"

#define IN(type, member) .offset = offsetof(struct type, member), .size = sizeof(((struct type *)NULL)->member)

/* clang-format off */
const struct dt_conf_setting dt_conf_settings[] = {
	{ .kind = DT_CONF_DPTAP, .key = "mbufs", .type = DT_CONF_NUMBER, .form = "N", IN(dt_conf, mbufs),
	  .min = 1024, .max = 16777215, .unit = "packets", .zero = "as many as the ports need", .initial = "0",
	  .help = "mbufs in all pools: each NUMA node with workers has one" },
	{ .kind = DT_CONF_DPTAP, .key = "idle", .type = DT_CONF_CHOICE, .form = "poll|pause|sleep", IN(dt_conf, idle),
	  .initial = "poll",
	  .help = "what a worker does while it finds nothing to move" },
	{ .kind = DT_CONF_DPTAP, .key = "rebalance", .type = DT_CONF_SWITCH, .form = "auto|off",
	  IN(dt_conf, rebalance), .initial = "off",
	  .help = "auto: queue pairs leave a worker that has too much to do" },

	{ .kind = DT_CONF_UPLINK, .key = "device", .type = DT_CONF_TEXT, .form = "DEVICE", IN(dt_conf_uplink, device),
	  .initial_text = "the uplink's name",
	  .help = "DPDK's name of the device: PCI address or vdev name" },
	{ .kind = DT_CONF_UPLINK, .key = "mode", .type = DT_CONF_CHOICE, .form = "bridge|passthru",
	  IN(dt_conf_uplink, mode), .initial = "bridge",
	  .help = "bridge: by destination MAC; passthru: one guest owns the uplink" },
	{ .kind = DT_CONF_UPLINK, .key = "mtu", .type = DT_CONF_NUMBER, .form = "N", IN(dt_conf_uplink, mtu),
	  .min = 68, .max = 9710, .unit = "bytes", .zero = "1500, or less if the device takes no more", .initial = "0",
	  .help = "largest frame without its Ethernet header" },
	{ .kind = DT_CONF_UPLINK, .key = "queues", .type = DT_CONF_NUMBER, .form = "N", IN(dt_conf_uplink, n_queues),
	  .min = 1, .max = DT_CONF_QUEUES_MAX, .unit = "queue pairs", .initial = "1",
	  .help = "over which the device spreads what it receives" },
	{ .kind = DT_CONF_UPLINK, .key = "promiscuous", .type = DT_CONF_SWITCH, .form = "on|off",
	  IN(dt_conf_uplink, promiscuous), .initial = "on",
	  .help = "receive frames for any MAC address" },
	{ .kind = DT_CONF_UPLINK, .key = "lro", .type = DT_CONF_SWITCH, .form = "on|off", IN(dt_conf_uplink, lro),
	  .initial = "off",
	  .help = "let the device merge TCP segments that it receives" },
	{ .kind = DT_CONF_UPLINK, .key = "gro", .type = DT_CONF_SWITCH, .form = "on|off", IN(dt_conf_uplink, gro),
	  .initial = "off",
	  .help = "merge TCP segments that come in one burst" },
	{ .kind = DT_CONF_UPLINK, .key = "offloads_off", .type = DT_CONF_WORDS, .form = "WORD+WORD...",
	  .words = "tx_csum|tso|multi_segs|rx_csum|rss_hash", IN(dt_conf_uplink, offloads_off),
	  .initial = "none",
	  .help = "what the device says it can and shall not do" },
	{ .kind = DT_CONF_UPLINK, .key = "rx_desc", .type = DT_CONF_NUMBER, .form = "N", IN(dt_conf_uplink, rx_desc),
	  .min = 64, .max = 32768, .unit = "descriptors", .initial = "1024",
	  .help = "size of the device's receive ring" },
	{ .kind = DT_CONF_UPLINK, .key = "tx_desc", .type = DT_CONF_NUMBER, .form = "N", IN(dt_conf_uplink, tx_desc),
	  .min = 64, .max = 32768, .unit = "descriptors", .initial = "1024",
	  .help = "size of the device's transmit ring" },
	{ .kind = DT_CONF_UPLINK, .key = "queue_len", .type = DT_CONF_NUMBER, .form = "N",
	  IN(dt_conf_uplink, queue_len), .min = 64, .max = 65536, .unit = "packets", .initial = "1000",
	  .help = "what the lane in front of a transmit queue holds" },

	{ .kind = DT_CONF_GUEST, .key = "socket", .type = DT_CONF_TEXT, .form = "PATH", IN(dt_conf_guest, socket),
	  .required = true,
	  .help = "the vhost-user socket that dptap shares with QEMU" },
	{ .kind = DT_CONF_GUEST, .key = "socket_mode", .type = DT_CONF_CHOICE, .form = "server|client",
	  IN(dt_conf_guest, socket_mode), .initial = "server",
	  .help = "server: dptap listens, QEMU connects; client: the reverse" },
	{ .kind = DT_CONF_GUEST, .key = "mac", .type = DT_CONF_MAC, .form = "XX:XX:XX:XX:XX:XX", IN(dt_conf_guest, mac),
	  .initial_text = "learnt from what the guest sends",
	  .help = "the guest's MAC address" },
	{ .kind = DT_CONF_GUEST, .key = "uplink", .type = DT_CONF_NAME, .form = "NAME", IN(dt_conf_guest, uplink_name),
	  .initial_text = "the first uplink",
	  .help = "the uplink that the guest is bridged to" },
	{ .kind = DT_CONF_GUEST, .key = "queues", .type = DT_CONF_NUMBER, .form = "N", IN(dt_conf_guest, n_queues),
	  .min = 1, .max = DT_CONF_QUEUES_MAX, .unit = "queue pairs", .initial = "1",
	  .help = "as many as the guest may use" },
	{ .kind = DT_CONF_GUEST, .key = "queue_len", .type = DT_CONF_NUMBER, .form = "N", IN(dt_conf_guest, queue_len),
	  .min = 64, .max = 65536, .unit = "packets", .initial = "1000",
	  .help = "what the lane in front of a receive queue holds" },
	{ .kind = DT_CONF_GUEST, .key = "features_off", .type = DT_CONF_FEATURES, .form = "NAME[+NAME...]",
	  IN(dt_conf_guest, features_off), .initial_text = "none",
	  .help = "virtio features that the guest is not offered" },
};
/* clang-format on */

const unsigned int dt_conf_n_settings = sizeof(dt_conf_settings) / sizeof(dt_conf_settings[0]);

_Static_assert(sizeof(dt_conf_settings) / sizeof(dt_conf_settings[0]) <= 32, "dt_conf_section.seen has a bit a row");

const struct dt_conf_setting *
dt_conf_setting_find(enum dt_conf_kind kind, const char *key)
{
	for (unsigned int i = 0; i < dt_conf_n_settings; i++)
		if (dt_conf_settings[i].kind == kind && strcmp(dt_conf_settings[i].key, key) == 0)
			return &dt_conf_settings[i];
	return NULL;
}

void
dt_conf_setting_range(const struct dt_conf_setting *row, char text[static DT_CONF_RANGE_SIZE])
{
	const size_t size = DT_CONF_RANGE_SIZE;
	int len = 0;

	if (row->type == DT_CONF_NUMBER)
		len = snprintf(text, size, "%u to %u %s, ", row->min, row->max, row->unit);

	if (row->required)
		snprintf(text + len, size - len, "required");
	else if (row->initial == NULL)
		snprintf(text + len, size - len, "default: %s", row->initial_text);
	else if (row->zero != NULL)
		snprintf(text + len, size - len, "default %s: %s", row->initial, row->zero);
	else
		snprintf(text + len, size - len, "default %s", row->initial);
}

void
dt_conf_setting_help(enum dt_conf_kind kind, FILE *out)
{
	for (unsigned int i = 0; i < dt_conf_n_settings; i++) {
		const struct dt_conf_setting *row = &dt_conf_settings[i];
		char range[DT_CONF_RANGE_SIZE];

		if (row->kind != kind)
			continue;
		dt_conf_setting_range(row, range);
		fprintf(out, "  %s=%-*s %s\n", row->key, (int)(28 - strlen(row->key)), row->form, row->help);
		fprintf(out, "  %29s (%s)\n", "", range);
	}
}

void
dt_conf_features_help(FILE *out)
{
	int column = 0;

	for (unsigned int bit = 0; bit < 64; bit++) {
		if (!dt_feature_can_be_off(bit))
			continue;
		if (column > 90) {
			fputs("\n", out);
			column = 0;
		}
		column += fprintf(out, "  %s", dt_feature_name(bit));
	}
	fputs("\n", out);
}
