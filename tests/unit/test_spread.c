/* SPDX-License-Identifier: BSD-3-Clause */
/* Which of a guest's queue pairs a packet goes to: one for all packets of a flow, and over many flows all of them. */
#include "testing.h"

#include <string.h>

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "books.h"
#include "eal.h"
#include "guest/internal.h"
#include "packet.h"

#define IN    DT_AT_IN(DT_TEST_VM1)
#define PAIRS 4

static struct dt_guest *guest;

static struct dt_worker *
only_worker(void *self, struct dt_worker *now, int node)
{
	return dt_worker_at(0);
}

static int
open_guest(void **state)
{
	static const struct dt_conf_guest conf = { .name = "vm0", .n_queues = PAIRS, .queue_len = 256 };
	const struct dt_sink sinks[PAIRS] = { 0 };

	dt_test_books_open(state);
	assert_int_equal(dt_workers_init(DT_IDLE_POLL), 0);
	assert_int_equal(
		dt_guest_new(&conf, DT_TEST_VM0, sinks, (struct dt_guest_place){ .choose = only_worker }, true, &guest),
		0);
	for (unsigned int i = 0; i < PAIRS; i++)
		dt_lane_open(dt_guest_lane(guest, i));
	return 0;
}

static int
close_guest(void **state)
{
	int result;

	for (unsigned int i = 0; i < PAIRS; i++)
		dt_lane_drain(dt_guest_lane(guest, i), DT_CAUSE_SHUTTING_DOWN);
	result = dt_test_books_close(state);
	dt_guest_free(guest);
	dt_workers_fini();
	return result;
}

/* ---- frames: what stands at which byte ---- */

struct frame {
	uint8_t bytes[256];
	uint16_t len;
};

static void
put16(struct frame *frame, uint16_t value)
{
	frame->bytes[frame->len++] = (uint8_t)(value >> 8);
	frame->bytes[frame->len++] = (uint8_t)value;
}

static void
put_bytes(struct frame *frame, uint8_t value, unsigned int n)
{
	memset(&frame->bytes[frame->len], value, n);
	frame->len = (uint16_t)(frame->len + n);
}

/* Two MAC addresses and VLAN tags, up to the type of what follows. */
static struct frame
begin(unsigned int n_tags, uint16_t type)
{
	struct frame frame = { .len = 0 };

	put_bytes(&frame, 0x02, 12);
	for (unsigned int i = 0; i < n_tags; i++) {
		put16(&frame, n_tags == 2 && i == 0 ? RTE_ETHER_TYPE_QINQ : RTE_ETHER_TYPE_VLAN);
		put16(&frame, (uint16_t)(100 + i));
	}
	put16(&frame, type);
	return frame;
}

static void
put_ipv4(struct frame *frame, uint8_t protocol, uint16_t fragment, uint8_t source)
{
	put16(frame, 0x4500);
	put16(frame, 100);
	put16(frame, 7);
	put16(frame, fragment);
	put16(frame, (uint16_t)(64 << 8 | protocol));
	put16(frame, 0);
	put_bytes(frame, source, 4);
	put_bytes(frame, 10, 4);
}

static void
put_ipv6(struct frame *frame, uint8_t protocol, uint8_t source)
{
	put16(frame, 0x6000);
	put16(frame, 0);
	put16(frame, 100);
	put16(frame, (uint16_t)(protocol << 8 | 64));
	put_bytes(frame, source, 16);
	put_bytes(frame, 0xfd, 16);
}

static void
put_ports(struct frame *frame, uint16_t source, uint16_t destination)
{
	put16(frame, source);
	put16(frame, destination);
	put_bytes(frame, 0, 16);
}

static struct frame
udp4(uint16_t source_port)
{
	struct frame frame = begin(0, RTE_ETHER_TYPE_IPV4);

	put_ipv4(&frame, IPPROTO_UDP, 0, 1);
	put_ports(&frame, source_port, 53);
	return frame;
}

static struct frame
flow_of(unsigned int version, uint8_t protocol, unsigned int n_tags, uint16_t port)
{
	struct frame frame = begin(n_tags, version == 4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6);

	if (version == 4)
		put_ipv4(&frame, protocol, 0, 1);
	else
		put_ipv6(&frame, protocol, 1);
	put_ports(&frame, port, 80);
	return frame;
}

/* A packet that the other guest sent; what stands behind its end in the mbuf is as in the frame, too. */
static struct rte_mbuf *
packet_of(const struct frame *frame)
{
	struct rte_mbuf *pkt;

	dt_test_bring(IN, &pkt, 1, frame->len, 0);
	memcpy(rte_pktmbuf_mtod(pkt, void *), frame->bytes, sizeof(frame->bytes));
	return pkt;
}

static uint32_t
hash_of(const struct frame *frame)
{
	struct rte_mbuf *pkt = packet_of(frame);
	uint32_t hash = dt_spread_hash(pkt);

	dt_drop(IN, pkt, DT_CAUSE_NO_DESTINATION);
	return hash;
}

/* ---- what makes a flow ---- */

static void
ports_tell_flows_apart_and_the_rest_of_a_packet_does_not(void **state)
{
	struct frame one = udp4(1000), same = udp4(1000), other = udp4(1001);

	same.bytes[same.len - 1] = 99; /* payload */
	same.bytes[14 + 4] = 99; /* identification */
	same.bytes[14 + 8] = 3; /* time to live */

	assert_int_equal(hash_of(&one), hash_of(&same));
	assert_int_not_equal(hash_of(&one), hash_of(&other));
}

static void
tcp_sctp_and_ipv6_have_ports_too(void **state)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	uint32_t hashes[2][3][2];

	for (unsigned int version = 0; version < 2; version++)
		for (unsigned int i = 0; i < 3; i++)
			for (unsigned int port = 0; port < 2; port++) {
				struct frame frame =
					flow_of(version == 0 ? 4 : 6, protocols[i], 0, (uint16_t)(1000 + port));

				hashes[version][i][port] = hash_of(&frame);
			}

	for (unsigned int version = 0; version < 2; version++)
		for (unsigned int i = 0; i < 3; i++) {
			assert_int_not_equal(hashes[version][i][0], hashes[version][i][1]);
			assert_int_not_equal(hashes[version][i][0], hashes[version][(i + 1) % 3][0]);
		}
}

static void
addresses_tell_flows_apart_where_there_are_no_ports(void **state)
{
	uint32_t hashes[2];

	for (uint8_t source = 0; source < 2; source++) {
		struct frame frame = begin(0, RTE_ETHER_TYPE_IPV4);

		put_ipv4(&frame, IPPROTO_ICMP, 0, source);
		put_bytes(&frame, 8, 20);
		hashes[source] = hash_of(&frame);
	}

	assert_int_not_equal(hashes[0], hashes[1]);
}

static void
vlan_tags_do_not_change_a_flow(void **state)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP };

	for (unsigned int version = 4; version <= 6; version += 2)
		for (unsigned int i = 0; i < RTE_DIM(protocols); i++) {
			struct frame bare = flow_of(version, protocols[i], 0, 1000);

			for (unsigned int tags = 1; tags <= 2; tags++) {
				struct frame same = flow_of(version, protocols[i], tags, 1000);
				struct frame other = flow_of(version, protocols[i], tags, 1001);

				assert_int_equal(hash_of(&same), hash_of(&bare));
				if (protocols[i] != IPPROTO_ICMP)
					assert_int_not_equal(hash_of(&same), hash_of(&other));
			}
		}
}

static void
ip_options_do_not_change_a_flow(void **state)
{
	struct frame bare = flow_of(4, IPPROTO_TCP, 0, 1000), same = begin(0, RTE_ETHER_TYPE_IPV4);

	put_ipv4(&same, IPPROTO_TCP, 0, 1);
	same.bytes[14] = 0x46;
	put_bytes(&same, 1, 4);
	put_ports(&same, 1000, 80);

	assert_int_equal(hash_of(&same), hash_of(&bare));
}

static void
ipv6_extension_headers_do_not_hide_a_flow(void **state)
{
	uint32_t hashes[2];

	for (uint16_t port = 0; port < 2; port++) {
		struct frame frame = begin(0, RTE_ETHER_TYPE_IPV6);

		put_ipv6(&frame, IPPROTO_HOPOPTS, 1);
		put16(&frame, IPPROTO_UDP << 8);
		put_bytes(&frame, 0, 6);
		put_ports(&frame, (uint16_t)(1000 + port), 53);
		hashes[port] = hash_of(&frame);
	}

	assert_int_not_equal(hashes[0], hashes[1]);
}

static void
all_fragments_of_a_datagram_are_one_flow(void **state)
{
	static const uint16_t places[] = { 0x2000, 0x2001, 0x0002 }; /* first, middle, last */
	uint32_t hashes[3];

	for (unsigned int i = 0; i < 3; i++) {
		struct frame frame = begin(0, RTE_ETHER_TYPE_IPV4);

		put_ipv4(&frame, IPPROTO_UDP, places[i], 1);
		put_ports(&frame, (uint16_t)(1000 + i), 53); /* payload, but in the first */
		hashes[i] = hash_of(&frame);
	}
	assert_int_equal(hashes[0], hashes[1]);
	assert_int_equal(hashes[0], hashes[2]);

	for (unsigned int i = 0; i < 3; i++) {
		struct frame frame = begin(0, RTE_ETHER_TYPE_IPV6);

		put_ipv6(&frame, IPPROTO_FRAGMENT, 1);
		put16(&frame, IPPROTO_UDP << 8);
		put16(&frame, (uint16_t)(i << 3 | (i < 2)));
		put_bytes(&frame, 7, 4);
		put_ports(&frame, (uint16_t)(1000 + i), 53);
		hashes[i] = hash_of(&frame);
	}
	assert_int_equal(hashes[0], hashes[1]);
	assert_int_equal(hashes[0], hashes[2]);
}

static void
what_is_no_ip_goes_by_its_link_addresses(void **state)
{
	struct frame one = begin(0, RTE_ETHER_TYPE_ARP), same, other;

	put_bytes(&one, 1, 46);
	same = one;
	same.bytes[30] = 77;
	other = one;
	other.bytes[11] = 77; /* source */

	assert_int_equal(hash_of(&one), hash_of(&same));
	assert_int_not_equal(hash_of(&one), hash_of(&other));
}

static void
a_packet_cut_short_anywhere_is_spread_without_reading_beyond_it(void **state)
{
	struct frame frames[] = { udp4(1000), begin(2, RTE_ETHER_TYPE_IPV6), begin(0, RTE_ETHER_TYPE_IPV4) };

	put_ipv6(&frames[1], IPPROTO_DSTOPTS, 1);
	put16(&frames[1], IPPROTO_TCP << 8 | 1);
	put_bytes(&frames[1], 0, 14);
	put_ports(&frames[1], 1, 2);
	put_ipv4(&frames[2], IPPROTO_UDP, 0, 1);
	frames[2].bytes[14] = 0x4f; /* options that are not there */

	for (unsigned int i = 0; i < 3; i++)
		for (uint16_t len = RTE_ETHER_HDR_LEN; len <= frames[i].len; len++) {
			struct frame cut = frames[i], noisy;

			cut.len = len;
			noisy = cut;
			memset(&noisy.bytes[len], 0xa5, sizeof(noisy.bytes) - len);
			assert_int_equal(hash_of(&cut), hash_of(&noisy));
		}
}

static void
the_nic_s_hash_counts_where_there_is_one(void **state)
{
	struct frame frame = udp4(1000);
	struct rte_mbuf *pkt = packet_of(&frame);

	pkt->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
	pkt->hash.rss = 0x12345678;
	assert_int_equal(dt_spread_hash(pkt), 0x12345678);

	dt_drop(IN, pkt, DT_CAUSE_NO_DESTINATION);
}

/* ---- and where flows go ---- */

static unsigned int
waiting(unsigned int pair)
{
	return dt_lane_count(dt_guest_lane(guest, pair));
}

/* 32 packets of as many flows. */
static void
put_flows(void)
{
	struct rte_mbuf *pkts[DT_BURST];

	for (uint16_t i = 0; i < DT_BURST; i++) {
		struct frame frame = udp4((uint16_t)(1000 + i));

		pkts[i] = packet_of(&frame);
	}
	assert_int_equal(dt_guest_put(guest, IN, pkts, DT_BURST), DT_BURST);
}

static void
many_flows_use_all_enabled_pairs_and_no_other(void **state)
{
	dt_spread_set(&guest->spread, (const uint8_t[]){ 0, 2, 3 }, 3);
	put_flows();

	assert_true(waiting(0) > 3 && waiting(2) > 3 && waiting(3) > 3);
	assert_int_equal(waiting(1), 0);
	assert_int_equal(waiting(0) + waiting(2) + waiting(3), DT_BURST);
}

static void
the_only_enabled_pair_gets_all(void **state)
{
	dt_spread_set(&guest->spread, (const uint8_t[]){ 2 }, 1);
	put_flows();

	assert_int_equal(waiting(2), DT_BURST);
}

static void
each_pair_s_packets_keep_their_order(void **state)
{
	struct rte_mbuf *pkts[DT_BURST], *again[DT_BURST];

	dt_spread_set(&guest->spread, (const uint8_t[]){ 0, 1, 2, 3 }, 4);
	for (uint16_t i = 0; i < DT_BURST; i++) {
		struct frame frame = udp4((uint16_t)(1000 + i % 8));

		frame.bytes[frame.len - 1] = (uint8_t)i;
		pkts[i] = packet_of(&frame);
	}
	dt_guest_put(guest, IN, pkts, DT_BURST);

	for (unsigned int pair = 0; pair < PAIRS; pair++) {
		unsigned int n = dt_lane_peek(dt_guest_lane(guest, pair), again, DT_BURST);
		int last = -1;

		for (unsigned int i = 0; i < n; i++) {
			int number = *rte_pktmbuf_mtod_offset(again[i], uint8_t *, again[i]->pkt_len - 1);

			assert_true(number > last);
			last = number;
		}
		if (n > 0)
			dt_lane_finish(dt_guest_lane(guest, pair), 0);
	}
}

#define SPREAD_TEST(f) cmocka_unit_test_setup_teardown(f, open_guest, close_guest)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SPREAD_TEST(ports_tell_flows_apart_and_the_rest_of_a_packet_does_not),
		SPREAD_TEST(tcp_sctp_and_ipv6_have_ports_too),
		SPREAD_TEST(addresses_tell_flows_apart_where_there_are_no_ports),
		SPREAD_TEST(vlan_tags_do_not_change_a_flow),
		SPREAD_TEST(ip_options_do_not_change_a_flow),
		SPREAD_TEST(ipv6_extension_headers_do_not_hide_a_flow),
		SPREAD_TEST(all_fragments_of_a_datagram_are_one_flow),
		SPREAD_TEST(what_is_no_ip_goes_by_its_link_addresses),
		SPREAD_TEST(a_packet_cut_short_anywhere_is_spread_without_reading_beyond_it),
		SPREAD_TEST(the_nic_s_hash_counts_where_there_is_one),
		SPREAD_TEST(many_flows_use_all_enabled_pairs_and_no_other),
		SPREAD_TEST(the_only_enabled_pair_gets_all),
		SPREAD_TEST(each_pair_s_packets_keep_their_order),
	};

	dt_test_eal_start();
	return dt_test_eal_stop(cmocka_run_group_tests(tests, NULL, NULL));
}
