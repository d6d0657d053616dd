/* See shim.h. Compiled with -O3 and the instruction set DPDK's own headers ask for: never for the build machine's. */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <rte_alarm.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf_dyn.h>
#include <rte_version.h>

/* Rust reads these fields by offset and by this width. */
#define WIDTH(field, bytes) _Static_assert(sizeof(((struct rte_mbuf *)0)->field) == (bytes), "mbuf." #field)
WIDTH(buf_addr, 8);
WIDTH(data_off, 2);
WIDTH(nb_segs, 2);
WIDTH(port, 2);
WIDTH(ol_flags, 8);
WIDTH(pkt_len, 4);
WIDTH(data_len, 2);
WIDTH(hash, 8);
WIDTH(buf_len, 2);
_Static_assert(FP_KEY_MAX <= UINT8_MAX, "key length is one octet");

int fp_errno(void) { return rte_errno; }
const char *fp_strerror(int error) { return rte_strerror(error); }
const char *fp_version(void) { return rte_version(); }

/* ---- log: the last lines stay here, so that an error can say what DPDK said, and nothing writes to the terminal ---- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[32 * 1024];
static size_t log_length;

static ssize_t log_write(void *cookie, const char *text, size_t length)
{
	size_t written = length;

	(void)cookie;
	if (length > sizeof(log_text) / 2) {
		text += length - sizeof(log_text) / 2;
		length = sizeof(log_text) / 2;
	}
	pthread_mutex_lock(&log_lock);
	if (log_length + length > sizeof(log_text)) {
		/* The oldest half goes: the cause of a failure is in the last lines. */
		size_t keep = sizeof(log_text) / 2 < log_length ? sizeof(log_text) / 2 : log_length;

		if (keep + length > sizeof(log_text))
			keep = sizeof(log_text) - length;
		memmove(log_text, log_text + log_length - keep, keep);
		log_length = keep;
	}
	memcpy(log_text + log_length, text, length);
	log_length += length;
	pthread_mutex_unlock(&log_lock);
	return (ssize_t)written;
}

size_t fp_log_take(char *into, size_t capacity)
{
	size_t length;

	pthread_mutex_lock(&log_lock);
	length = log_length < capacity ? log_length : capacity;
	memcpy(into, log_text + log_length - length, length);
	log_length = 0;
	pthread_mutex_unlock(&log_lock);
	return length;
}

/* ---- EAL ---- */

int fp_eal_start(int argc, char **argv)
{
	cookie_io_functions_t functions = { .write = log_write };
	FILE *stream = fopencookie(NULL, "w", functions);
	cpu_set_t before;
	int known, rc, error;

	if (stream != NULL) {
		setvbuf(stream, NULL, _IOLBF, 1024);
		rte_openlog_stream(stream);
	}
	/* rte_eal_init ties the calling thread to the main core, and every thread made later would inherit that. */
	known = pthread_getaffinity_np(pthread_self(), sizeof(before), &before) == 0;
	rc = rte_eal_init(argc, argv);
	error = rte_errno;
	if (known)
		pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
	rte_errno = error;
	return rc;
}

int fp_eal_stop(void) { return rte_eal_cleanup(); }
int fp_on_eal_thread(void (*run)(void *argument), void *argument) { return rte_eal_alarm_set(1, run, argument); }

int fp_thread_register(void)
{
	/* Starting as a registered thread must not move it either: its affinity is the caller's decision. */
	return rte_thread_register() == 0 ? 0 : -rte_errno;
}

void fp_thread_unregister(void) { rte_thread_unregister(); }

/* ---- pools ---- */

struct rte_mempool *fp_pool_create(const char *name, uint32_t elements, uint32_t cache, uint16_t data_room, int socket)
{
	return rte_pktmbuf_pool_create(name, elements, cache, 0, data_room, socket);
}

void fp_pool_free(struct rte_mempool *pool) { rte_mempool_free(pool); }
uint32_t fp_pool_available(const struct rte_mempool *pool) { return rte_mempool_avail_count(pool); }
uint32_t fp_pool_in_use(const struct rte_mempool *pool) { return rte_mempool_in_use_count(pool); }

/* ---- ports ---- */

int fp_port_find(const char *device, uint16_t *port)
{
	char name[RTE_DEV_NAME_MAX_LEN];
	size_t length = strcspn(device, ",");
	struct rte_dev_iterator iterator;
	uint16_t found;

	if (length >= sizeof(name))
		return -ENAMETOOLONG;
	memcpy(name, device, length);
	name[length] = 0;
	if (rte_eth_dev_get_port_by_name(name, port) == 0)
		return 0;
	/* Ports whose name is not their device's (representors, several ports on one PCI function). */
	RTE_ETH_FOREACH_MATCHING_DEV(found, device, &iterator) {
		*port = found;
		rte_eth_iterator_cleanup(&iterator);
		return 0;
	}
	return -ENODEV;
}

int fp_port_probe(const char *device) { return rte_dev_probe(device); }

static void copy_name(char *into, const char *from)
{
	snprintf(into, FP_NAME_MAX, "%s", from == NULL ? "" : from);
}

int fp_port_info(uint16_t port, struct fp_port_info *info)
{
	struct rte_eth_dev_info device;
	struct rte_ether_addr mac;
	char name[RTE_ETH_NAME_MAX_LEN] = "";
	int rc = rte_eth_dev_info_get(port, &device);

	if (rc != 0)
		return rc;
	memset(info, 0, sizeof(*info));
	rte_eth_dev_get_name_by_port(port, name);
	copy_name(info->name, name);
	copy_name(info->driver, device.driver_name);
	if (rte_eth_macaddr_get(port, &mac) == 0)
		memcpy(info->mac, mac.addr_bytes, sizeof(info->mac));
	info->socket = rte_eth_dev_socket_id(port);
	info->if_index = device.if_index;
	info->rx_queues_max = device.max_rx_queues;
	info->tx_queues_max = device.max_tx_queues;
	info->reta_size = device.reta_size;
	info->hash_key_size = device.hash_key_size;
	info->rss_offloads = device.flow_type_rss_offloads;
	info->frame_octets_max = device.max_rx_pktlen;
	info->mtu_min = device.min_mtu;
	info->mtu_max = device.max_mtu;
	info->descriptors_min = device.rx_desc_lim.nb_min;
	info->descriptors_max = device.rx_desc_lim.nb_max;
	info->descriptors_align = device.rx_desc_lim.nb_align;
	info->can_scatter = (device.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0;
	info->can_timestamp = (device.rx_offload_capa & RTE_ETH_RX_OFFLOAD_TIMESTAMP) != 0;
	info->can_rss_hash = (device.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH) != 0;
	return 0;
}

#define RSS_WANTED (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP)

/* True when the device reports the key that it was given, and hashes something with it. */
static uint8_t rss_confirmed(uint16_t port, const struct fp_port_config *config)
{
	uint8_t key[FP_KEY_MAX] = { 0 };
	struct rte_eth_rss_conf rss = { .rss_key = key, .rss_key_len = config->key_length };

	if (rte_eth_dev_rss_hash_conf_get(port, &rss) != 0)
		return 0;
	return (rss.rss_hf & RSS_WANTED) != 0 && memcmp(key, config->key, config->key_length) == 0;
}

static int set_up_queues(uint16_t port, const struct fp_port_config *config, struct rte_mempool *pool, uint16_t descriptors,
			 uint16_t tx_descriptors, struct fp_port_started *started)
{
	int socket = rte_eth_dev_socket_id(port);
	uint16_t queue;
	int rc;

	started->call = "rte_eth_rx_queue_setup";
	for (queue = 0; queue < config->rx_queues; queue++) {
		rc = rte_eth_rx_queue_setup(port, queue, descriptors, (unsigned int)socket, NULL, pool);
		if (rc != 0)
			return rc;
	}
	started->call = "rte_eth_tx_queue_setup";
	for (queue = 0; queue < config->tx_queues; queue++) {
		rc = rte_eth_tx_queue_setup(port, queue, tx_descriptors, (unsigned int)socket, NULL);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int fp_port_start(uint16_t port, const struct fp_port_config *config, struct rte_mempool *pool, struct fp_port_started *started)
{
	struct rte_eth_conf conf;
	struct rte_eth_dev_info info;
	uint16_t descriptors = config->descriptors, tx_descriptors = 256;
	int rc;

	memset(started, 0, sizeof(*started));
	memset(&conf, 0, sizeof(conf));
	started->call = "rte_eth_dev_info_get";
	rc = rte_eth_dev_info_get(port, &info);
	if (rc != 0)
		return rc;

	conf.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
	conf.rxmode.mtu = config->mtu;
	if (config->scatter)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	if (config->timestamps)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_TIMESTAMP;
	if (config->key_length != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_key = (uint8_t *)(uintptr_t)config->key;
		conf.rx_adv_conf.rss_conf.rss_key_len = config->key_length;
		conf.rx_adv_conf.rss_conf.rss_hf = (config->hash_addresses ? RTE_ETH_RSS_IP : RSS_WANTED) & info.flow_type_rss_offloads;
		if (config->hash_inner)
			conf.rx_adv_conf.rss_conf.rss_hf |= RTE_ETH_RSS_LEVEL_INNERMOST;
	}

	started->call = "rte_eth_dev_configure";
	rc = rte_eth_dev_configure(port, config->rx_queues, config->tx_queues, &conf);
	if (rc != 0)
		return rc;
	started->call = "rte_eth_dev_adjust_nb_rx_tx_desc";
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(port, &descriptors, &tx_descriptors);
	if (rc != 0)
		return rc;
	started->descriptors = descriptors;
	rc = set_up_queues(port, config, pool, descriptors, tx_descriptors, started);
	if (rc != 0)
		return rc;
	started->call = "rte_eth_dev_start";
	rc = rte_eth_dev_start(port);
	if (rc != 0)
		return rc;
	started->call = NULL;
	if (config->promiscuous)
		rte_eth_promiscuous_enable(port);
	else
		rte_eth_promiscuous_disable(port);
	started->promiscuous = rte_eth_promiscuous_get(port) == 1;
	started->symmetric = config->key_length != 0 && rss_confirmed(port, config);
	return 0;
}

void fp_port_stop(uint16_t port) { rte_eth_dev_stop(port); }

void fp_port_close(uint16_t port, int unplug)
{
	struct rte_eth_dev_info info;
	int known = rte_eth_dev_info_get(port, &info) == 0;

	rte_eth_dev_close(port);
	if (unplug && known && info.device != NULL)
		rte_dev_remove(info.device);
}

int fp_port_link(uint16_t port, struct fp_link *link)
{
	struct rte_eth_link state;
	int rc;

	memset(&state, 0, sizeof(state));
	rc = rte_eth_link_get_nowait(port, &state);
	if (rc != 0)
		return rc;
	link->up = state.link_status == RTE_ETH_LINK_UP;
	link->full_duplex = state.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	link->speed_mbps = state.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : state.link_speed;
	return 0;
}

int fp_port_stats(uint16_t port, struct fp_stats *stats)
{
	struct rte_eth_stats device;
	int rc = rte_eth_stats_get(port, &device);

	if (rc != 0)
		return rc;
	stats->packets = device.ipackets;
	stats->octets = device.ibytes;
	stats->missed = device.imissed;
	stats->errors = device.ierrors;
	stats->no_buffer = device.rx_nombuf;
	return 0;
}

int fp_xstats_count(uint16_t port) { return rte_eth_xstats_get_names(port, NULL, 0); }

_Static_assert(sizeof(struct rte_eth_xstat_name) == FP_NAME_MAX, "xstat names are 64 octets");

int fp_xstats_names(uint16_t port, char (*names)[FP_NAME_MAX], uint32_t capacity)
{
	return rte_eth_xstats_get_names(port, (struct rte_eth_xstat_name *)names, capacity);
}

int fp_xstats_values(uint16_t port, uint64_t *values, uint32_t capacity)
{
	return rte_eth_xstats_get_by_id(port, NULL, values, capacity);
}

int fp_timestamp_field(int *offset, uint64_t *flag)
{
	return rte_mbuf_dyn_rx_timestamp_register(offset, flag) == 0 ? 0 : -rte_errno;
}

int fp_read_clock(uint16_t port, uint64_t *ticks) { return rte_eth_read_clock(port, ticks); }

/* ---- the packet clock ---- */

uint16_t fp_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

void fp_free_bulk(struct rte_mbuf **mbufs, uint32_t count) { rte_pktmbuf_free_bulk(mbufs, count); }

struct rte_ring *fp_ring_create(const char *name, uint32_t capacity, int socket)
{
	return rte_ring_create(name, capacity, socket, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
}

void fp_ring_free(struct rte_ring *ring) { rte_ring_free(ring); }

uint32_t fp_ring_put(struct rte_ring *ring, struct rte_mbuf **mbufs, uint32_t count)
{
	return rte_ring_sp_enqueue_burst(ring, (void *const *)mbufs, count, NULL);
}

uint32_t fp_ring_take(struct rte_ring *ring, struct rte_mbuf **mbufs, uint32_t count)
{
	return rte_ring_sc_dequeue_burst(ring, (void **)mbufs, count, NULL);
}

uint32_t fp_ring_count(const struct rte_ring *ring) { return rte_ring_count(ring); }
