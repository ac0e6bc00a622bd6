/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include "pool.h"

#define RX_CSUM                                                                                                        \
	(RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM |                 \
		RTE_ETH_RX_OFFLOAD_SCTP_CKSUM)
#define TX_CSUM                                                                                                        \
	(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |                 \
		RTE_ETH_TX_OFFLOAD_SCTP_CKSUM)
#define RSS_FIELDS (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)

/* What fits into one of our mbufs, with two VLAN tags. */
#define ONE_MBUF_MTU (DT_POOL_ROOM - RTE_ETHER_HDR_LEN - 2 * RTE_VLAN_HLEN)

/* What a driver promises and is better left alone, in addition to what the user says. */
static uint32_t
not_to_be_trusted(const char *driver)
{
	/* It cuts in software, and once a segment with its Ethernet header exceeds the MTU takes nothing ever again. */
	return strcmp(driver, "net_tap") == 0 ? DT_OFFLOAD_TSO : 0;
}

static void
mask(uint32_t off, uint64_t *rx_capa, uint64_t *tx_capa)
{
	if ((off & DT_OFFLOAD_RX_CSUM) != 0)
		*rx_capa &= ~(uint64_t)RX_CSUM;
	if ((off & DT_OFFLOAD_RSS_HASH) != 0)
		*rx_capa &= ~(uint64_t)RTE_ETH_RX_OFFLOAD_RSS_HASH;
	if ((off & DT_OFFLOAD_TX_CSUM) != 0)
		*tx_capa &= ~(uint64_t)TX_CSUM;
	if ((off & DT_OFFLOAD_MULTI_SEGS) != 0)
		*tx_capa &= ~(uint64_t)RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	/* Segmentation needs both of these. */
	if ((off & (DT_OFFLOAD_TSO | DT_OFFLOAD_TX_CSUM | DT_OFFLOAD_MULTI_SEGS)) != 0)
		*tx_capa &= ~(uint64_t)RTE_ETH_TX_OFFLOAD_TCP_TSO;
}

/* The NIC spreads packets over its queues by a hash of their flow, and computes it where guests have several, too. */
static void
choose_hash(const struct dt_uplink *uplink, const struct rte_eth_dev_info *info, struct rte_eth_conf *eth)
{
	uint64_t fields = info->flow_type_rss_offloads & RSS_FIELDS;

	if (uplink->n_queues == 1 && (!uplink->spread || fields == 0))
		return;
	eth->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	eth->rx_adv_conf.rss_conf.rss_hf = fields;
}

static int
choose_lro(const struct dt_uplink *uplink, const struct rte_eth_dev_info *info, struct rte_eth_conf *eth)
{
	if (!uplink->conf->lro)
		return 0;
	if ((info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_LRO) == 0)
		return -ENOTSUP;
	eth->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
	eth->rxmode.max_lro_pkt_size = RTE_MIN(info->max_lro_pkt_size, (uint32_t)UINT16_MAX);
	return 0;
}

int
dt_uplink_choose_offloads(struct dt_uplink *uplink, const struct rte_eth_dev_info *info, struct rte_eth_conf *eth)
{
	uint64_t rx = info->rx_offload_capa, tx = info->tx_offload_capa;
	int err;

	/* A packet to cut lies in several mbufs. */
	if ((tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) == 0)
		tx &= ~(uint64_t)RTE_ETH_TX_OFFLOAD_TCP_TSO;
	mask(uplink->conf->offloads_off | not_to_be_trusted(info->driver_name), &rx, &tx);
	err = choose_lro(uplink, info, eth);
	if (err != 0)
		return err;
	choose_hash(uplink, info, eth);
	eth->rxmode.offloads |= rx & RX_CSUM;
	if (uplink->spread && eth->rxmode.mq_mode == RTE_ETH_MQ_RX_RSS && eth->rx_adv_conf.rss_conf.rss_hf != 0)
		eth->rxmode.offloads |= rx & RTE_ETH_RX_OFFLOAD_RSS_HASH;
	if (uplink->conf->mtu > ONE_MBUF_MTU || uplink->conf->lro)
		eth->rxmode.offloads |= rx & RTE_ETH_RX_OFFLOAD_SCATTER;
	eth->txmode.offloads = tx & (RTE_ETH_TX_OFFLOAD_MULTI_SEGS | TX_CSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO);

	uplink->rx_offloads = eth->rxmode.offloads;
	uplink->tx_offloads = eth->txmode.offloads;
	uplink->fit.multi_segment = (eth->txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
	uplink->fit.attaches = uplink->fit.multi_segment;
	uplink->fit.writes = true;
	dt_fit_set(&uplink->fit, dt_vnet_nic_takes(eth->txmode.offloads));
	return 0;
}
