/* SPDX-License-Identifier: BSD-3-Clause */
/* What a NIC can do of the work on packets is asked of it, and no more. */
#include "testing.h"

#include <errno.h>

#include "uplink/internal.h"

#define CSUMS                                                                                                          \
	(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |                 \
		RTE_ETH_TX_OFFLOAD_SCTP_CKSUM)
#define MANY RTE_ETH_TX_OFFLOAD_MULTI_SEGS
#define TSO  RTE_ETH_TX_OFFLOAD_TCP_TSO

static struct rte_eth_dev_info info;
static const char *driver = "net_some";
static struct rte_eth_conf eth;

/* A device of such capabilities is asked, for an uplink of such settings. */
static int
ask(struct dt_conf_uplink conf, uint64_t rx_capa, uint64_t tx_capa, bool spread, struct dt_uplink *ret_uplink)
{
	*ret_uplink = (struct dt_uplink){ .conf = &conf, .n_queues = 1, .spread = spread };
	info = (struct rte_eth_dev_info){ .rx_offload_capa = rx_capa, .tx_offload_capa = tx_capa };
	info.driver_name = driver;
	info.flow_type_rss_offloads = spread ? RTE_ETH_RSS_IPV4 : 0;
	eth = (struct rte_eth_conf){ 0 };
	return dt_uplink_choose_offloads(ret_uplink, &info, &eth);
}

static void
a_device_is_asked_for_all_that_it_can_and_we_know(void **state)
{
	const uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	struct dt_uplink uplink;

	assert_int_equal(ask((struct dt_conf_uplink){ 0 }, rx | RTE_ETH_RX_OFFLOAD_VLAN_STRIP,
				 CSUMS | MANY | TSO | RTE_ETH_TX_OFFLOAD_UDP_TSO, false, &uplink),
		0);
	assert_int_equal(eth.rxmode.offloads, rx);
	assert_int_equal(eth.txmode.offloads, CSUMS | MANY | TSO);
	assert_int_equal(eth.rxmode.mq_mode, RTE_ETH_MQ_RX_NONE);
	assert_true(uplink.fit.multi_segment);
	assert_true(uplink.fit.writes);
	assert_int_equal(uplink.fit.takes, dt_vnet_nic_takes(CSUMS | TSO));

	assert_int_equal(ask((struct dt_conf_uplink){ 0 }, 0, 0, false, &uplink), 0);
	assert_int_equal(eth.rxmode.offloads | eth.txmode.offloads, 0);
	assert_false(uplink.fit.multi_segment);
	assert_int_equal(uplink.fit.takes, 0);
}

static void
a_device_of_one_segment_does_not_cut(void **state)
{
	struct dt_uplink uplink;

	assert_int_equal(ask((struct dt_conf_uplink){ 0 }, 0, CSUMS | TSO, false, &uplink), 0);

	assert_int_equal(eth.txmode.offloads, CSUMS);
	assert_int_equal(uplink.fit.takes, DT_TAKES_TCP_CSUM | DT_TAKES_UDP_CSUM | DT_TAKES_SCTP_CSUM);
}

static void
a_driver_that_cannot_be_trusted_with_segmentation_gets_segments(void **state)
{
	struct dt_uplink uplink;

	driver = "net_tap";
	assert_int_equal(ask((struct dt_conf_uplink){ 0 }, 0, CSUMS | MANY | TSO, false, &uplink), 0);
	driver = "net_some";

	assert_int_equal(eth.txmode.offloads, CSUMS | MANY);
}

static void
what_is_switched_off_is_not_asked_for(void **state)
{
	const uint64_t rx = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_RSS_HASH, tx = CSUMS | MANY | TSO;
	const struct {
		uint32_t off;
		uint64_t rx, tx;
	} cases[] = {
		{ DT_OFFLOAD_TSO, rx, CSUMS | MANY },
		{ DT_OFFLOAD_TX_CSUM, rx, MANY },
		{ DT_OFFLOAD_MULTI_SEGS, rx, CSUMS },
		{ DT_OFFLOAD_RX_CSUM, RTE_ETH_RX_OFFLOAD_RSS_HASH, tx },
		{ DT_OFFLOAD_RSS_HASH, RTE_ETH_RX_OFFLOAD_TCP_CKSUM, tx },
	};
	struct dt_uplink uplink;

	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		assert_int_equal(
			ask((struct dt_conf_uplink){ .offloads_off = cases[i].off }, rx, tx, true, &uplink), 0);
		assert_int_equal(eth.rxmode.offloads, cases[i].rx);
		assert_int_equal(eth.txmode.offloads, cases[i].tx);
	}
}

static void
flows_are_told_where_guests_have_several_queues(void **state)
{
	struct dt_uplink uplink;

	assert_int_equal(ask((struct dt_conf_uplink){ 0 }, RTE_ETH_RX_OFFLOAD_RSS_HASH, 0, true, &uplink), 0);

	assert_int_equal(eth.rxmode.mq_mode, RTE_ETH_MQ_RX_RSS);
	assert_int_equal(eth.rx_adv_conf.rss_conf.rss_hf, RTE_ETH_RSS_IPV4);
	assert_int_equal(eth.rxmode.offloads, RTE_ETH_RX_OFFLOAD_RSS_HASH);
}

static void
lro_is_asked_for_or_refused(void **state)
{
	const struct dt_conf_uplink on = { .lro = true };
	struct dt_uplink uplink;

	assert_int_equal(ask(on, 0, 0, false, &uplink), -ENOTSUP);
	assert_int_equal(ask(on, RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_SCATTER, 0, false, &uplink), 0);
	assert_int_equal(eth.rxmode.offloads, RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_SCATTER);
	assert_int_equal(ask((struct dt_conf_uplink){ 0 }, RTE_ETH_RX_OFFLOAD_TCP_LRO, 0, false, &uplink), 0);
	assert_int_equal(eth.rxmode.offloads, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_is_asked_for_all_that_it_can_and_we_know),
		cmocka_unit_test(a_device_of_one_segment_does_not_cut),
		cmocka_unit_test(a_driver_that_cannot_be_trusted_with_segmentation_gets_segments),
		cmocka_unit_test(what_is_switched_off_is_not_asked_for),
		cmocka_unit_test(flows_are_told_where_guests_have_several_queues),
		cmocka_unit_test(lro_is_asked_for_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
