/*
 * The C side of dpdk-sys: everything that is an inline function, a macro, thread-local, or a struct whose layout
 * changes between DPDK releases stands behind a function or a plain struct of ours. bindgen reads this file.
 *
 * On the packet clock there is one call a burst, none a packet: mbuf fields are read in Rust by the offsets below.
 */
#ifndef FP_SHIM_H
#define FP_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

/* Where the fields of an mbuf are. Offsets, because 24.11 moved some of them into unnamed structs. */
enum fp_mbuf_layout {
	FP_MBUF_SIZE = sizeof(struct rte_mbuf),
	FP_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	FP_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	FP_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	FP_MBUF_PORT = offsetof(struct rte_mbuf, port),
	FP_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	FP_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	FP_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	FP_MBUF_HASH = offsetof(struct rte_mbuf, hash),
	FP_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	FP_HEADROOM = RTE_PKTMBUF_HEADROOM,
	FP_DATA_ROOM = RTE_MBUF_DEFAULT_DATAROOM,
	FP_CACHE_MAX = RTE_MEMPOOL_CACHE_MAX_SIZE,
	FP_PORTS_MAX = RTE_MAX_ETHPORTS,
	FP_NAME_MAX = 64,
	FP_KEY_MAX = 128,
	FP_INTERFACE_NAME = 16, /* IFNAMSIZ */
};

/* What a device says of itself (rte_eth_dev_info, and its names). */
struct fp_port_info {
	char driver[FP_NAME_MAX];
	char name[FP_NAME_MAX];
	uint8_t mac[6];
	int32_t socket; /* NUMA node, or -1 */
	uint32_t if_index; /* of the kernel's interface, or 0 */
	uint16_t rx_queues_max;
	uint16_t tx_queues_max;
	uint16_t reta_size;
	uint8_t hash_key_size;
	uint64_t rss_offloads;
	uint32_t frame_octets_max; /* with FCS */
	uint16_t mtu_min;
	uint16_t mtu_max;
	uint16_t descriptors_min;
	uint16_t descriptors_max;
	uint16_t descriptors_align;
	uint8_t can_scatter;
	uint8_t can_timestamp;
	uint8_t can_rss_hash;
};

/* What a port is told before it starts. */
struct fp_port_config {
	uint16_t rx_queues;
	uint16_t tx_queues; /* 0 except for drivers that insist on pairs */
	uint16_t descriptors;
	uint32_t mtu; /* 0: as the driver likes */
	uint8_t scatter;
	uint8_t timestamps;
	uint8_t promiscuous;
	uint8_t hash_addresses; /* addresses alone */
	uint8_t hash_inner; /* the innermost headers */
	uint8_t key_length; /* 0: no RSS */
	uint8_t key[FP_KEY_MAX];
};

/* What came of it. */
struct fp_port_started {
	const char *call; /* the DPDK function that failed, or NULL */
	uint16_t descriptors; /* as adjusted to the device's limits */
	uint8_t promiscuous; /* the device receives frames for others */
	uint8_t symmetric; /* the device confirmed key and hash functions */
};

struct fp_link {
	uint32_t speed_mbps; /* 0 unknown */
	uint8_t up;
	uint8_t full_duplex;
};

struct fp_stats {
	uint64_t packets;
	uint64_t octets;
	uint64_t missed;
	uint64_t errors;
	uint64_t no_buffer;
};

/* A Linux interface. */
struct fp_interface {
	char name[FP_INTERFACE_NAME];
	uint32_t index;
	uint32_t speed_mbps; /* 0 unknown */
	uint16_t kind; /* ARPHRD */
	uint8_t mac[6];
	uint8_t up; /* switched on */
	uint8_t running; /* has a carrier */
	uint8_t loopback;
	uint8_t full_duplex;
};

/* How an interface is read by AF_PACKET. */
struct fp_packet_config {
	uint32_t slot_octets; /* a power of two */
	uint32_t slots;
	uint8_t promiscuous;
};

struct fp_packet_ring;
struct fp_packet_queue;

int fp_errno(void);
const char *fp_strerror(int error);
const char *fp_version(void);

int fp_eal_start(int argc, char **argv);
int fp_eal_stop(void);
/* Runs a function once on the EAL's own thread, the one of interrupts and alarms. */
int fp_on_eal_thread(void (*run)(void *argument), void *argument);
int fp_thread_register(void);
void fp_thread_unregister(void);
size_t fp_log_take(char *into, size_t capacity);

struct rte_mempool *fp_pool_create(const char *name, uint32_t elements, uint32_t cache, uint16_t data_room, int socket);
void fp_pool_free(struct rte_mempool *pool);
uint32_t fp_pool_available(const struct rte_mempool *pool);
uint32_t fp_pool_in_use(const struct rte_mempool *pool);

int fp_port_find(const char *device, uint16_t *port);
int fp_port_probe(const char *device);
int fp_port_info(uint16_t port, struct fp_port_info *info);
int fp_port_start(uint16_t port, const struct fp_port_config *config, struct rte_mempool *pool, struct fp_port_started *started);
void fp_port_stop(uint16_t port);
void fp_port_close(uint16_t port, int unplug);
int fp_port_link(uint16_t port, struct fp_link *link);
int fp_port_stats(uint16_t port, struct fp_stats *stats);
int fp_xstats_count(uint16_t port);
int fp_xstats_names(uint16_t port, char (*names)[FP_NAME_MAX], uint32_t capacity);
int fp_xstats_values(uint16_t port, uint64_t *values, uint32_t capacity);
int fp_timestamp_field(int *offset, uint64_t *flag);
int fp_read_clock(uint16_t port, uint64_t *ticks);

int fp_flow_symmetric(uint16_t port, uint16_t queues, int addresses, int inner);

uint16_t fp_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
void fp_free_bulk(struct rte_mbuf **mbufs, uint32_t count);

int fp_interface(const char *name, uint32_t index, struct fp_interface *into);
struct fp_packet_ring *fp_packet_open(const struct fp_interface *interface, const struct fp_packet_config *config, const char **call,
				      int *error);
void fp_packet_close(struct fp_packet_ring *ring);
int fp_packet_share(struct fp_packet_ring *ring, uint16_t *group);
int fp_packet_go(struct fp_packet_ring *ring);
uint32_t fp_packet_dropped(struct fp_packet_ring *ring);
uint32_t fp_packet_bound(const struct fp_packet_ring *ring);
uint32_t fp_packet_slots(const struct fp_packet_ring *ring);
struct fp_packet_queue *fp_packet_queue_create(struct fp_packet_ring *ring, struct rte_mempool *pool);
void fp_packet_queue_free(struct fp_packet_queue *queue);
struct fp_packet_ring *fp_packet_queue_offer(struct fp_packet_queue *queue, struct fp_packet_ring *ring);
struct fp_packet_ring *fp_packet_queue_left(struct fp_packet_queue *queue);
void fp_packet_queue_counted(const struct fp_packet_queue *queue, uint64_t *packets, uint64_t *octets);
uint16_t fp_packet_rx(struct fp_packet_queue *queue, struct rte_mbuf **mbufs, uint16_t count);

struct rte_ring *fp_ring_create(const char *name, uint32_t capacity, int socket);
void fp_ring_free(struct rte_ring *ring);
uint32_t fp_ring_put(struct rte_ring *ring, struct rte_mbuf **mbufs, uint32_t count);
uint32_t fp_ring_take(struct rte_ring *ring, struct rte_mbuf **mbufs, uint32_t count);
uint32_t fp_ring_count(const struct rte_ring *ring);

#endif
