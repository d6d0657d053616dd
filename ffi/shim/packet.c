/*
 * Linux interfaces by AF_PACKET (packet(7)), in the place of DPDK's net_af_packet: that driver gives a frame that does not fit the
 * length that was kept, does not read what the kernel dropped, knows no link state, and stays with an interface that is gone.
 *
 * A ring is a socket with its TPACKET_V2 slots. One thread polls a queue; the control thread may offer it another ring, to which it
 * changes when the one before is empty.
 */
#define _GNU_SOURCE
#include "shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Since Linux 4.20. */
#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define BLOCK_OCTETS (64u << 10)
/* A ring that the kernel has no memory for is tried smaller, down to so many slots. */
#define SLOTS_LEAST 64u

struct fp_packet_ring {
	int socket;
	int loopback;
	uint8_t *map;
	size_t map_octets;
	uint32_t slot_octets;
	uint32_t slots;
	uint32_t next; /* of the thread that polls */
};

struct fp_packet_queue {
	struct rte_mempool *pool;
	struct fp_packet_ring *ring; /* of the thread that polls */
	struct fp_packet_ring *coming; /* offered by the control thread */
	struct fp_packet_ring *gone; /* given back to it */
	uint64_t packets;
	uint64_t octets;
} __rte_cache_aligned;

/* ---- interfaces ---- */

static int interface_flags(int socket, struct ifreq *request, struct fp_interface *into)
{
	struct ethtool_cmd command = { .cmd = ETHTOOL_GSET };
	uint32_t speed;

	if (ioctl(socket, SIOCGIFFLAGS, request) != 0)
		return -errno;
	into->up = (request->ifr_flags & IFF_UP) != 0;
	into->running = (request->ifr_flags & IFF_RUNNING) != 0;
	into->loopback = (request->ifr_flags & IFF_LOOPBACK) != 0;
	if (ioctl(socket, SIOCGIFHWADDR, request) == 0) {
		into->kind = request->ifr_hwaddr.sa_family;
		memcpy(into->mac, request->ifr_hwaddr.sa_data, sizeof(into->mac));
	}
	request->ifr_data = (void *)&command;
	if (ioctl(socket, SIOCETHTOOL, request) == 0) {
		speed = ethtool_cmd_speed(&command);
		into->speed_mbps = speed == (uint32_t)SPEED_UNKNOWN ? 0 : speed;
		into->full_duplex = command.duplex == DUPLEX_FULL;
	}
	return 0;
}

/* The interface of that index if there is one (it may have another name by now), else that of that name. */
int fp_interface(const char *name, uint32_t index, struct fp_interface *into)
{
	int on = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = -ENODEV;
	struct ifreq request;

	if (on < 0)
		return -errno;
	memset(into, 0, sizeof(*into));
	memset(&request, 0, sizeof(request));
	request.ifr_ifindex = (int)index;
	if (index == 0 || ioctl(on, SIOCGIFNAME, &request) != 0) {
		memset(&request, 0, sizeof(request));
		strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
		rc = ioctl(on, SIOCGIFINDEX, &request) == 0 ? 0 : -errno;
		index = (uint32_t)request.ifr_ifindex;
	} else {
		rc = 0;
	}
	if (rc == 0) {
		into->index = index;
		memcpy(into->name, request.ifr_name, sizeof(request.ifr_name));
		rc = interface_flags(on, &request, into);
	}
	close(on);
	return rc;
}

/* ---- rings ---- */

static int refuse_all(int socket)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { .len = 1, .filter = &nothing };

	return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int make_slots(struct fp_packet_ring *ring, uint32_t slot_octets, uint32_t slots)
{
	uint32_t block = slot_octets > BLOCK_OCTETS ? slot_octets : BLOCK_OCTETS;
	uint32_t in_block = block / slot_octets;
	struct tpacket_req request = { .tp_block_size = block, .tp_frame_size = slot_octets };

	for (;;) {
		request.tp_block_nr = (slots + in_block - 1) / in_block;
		request.tp_frame_nr = request.tp_block_nr * in_block;
		if (setsockopt(ring->socket, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) == 0)
			break;
		if (errno != ENOMEM || slots / 2 < SLOTS_LEAST)
			return -1;
		slots /= 2;
	}
	ring->slot_octets = slot_octets;
	ring->slots = request.tp_frame_nr;
	ring->map_octets = (size_t)block * request.tp_block_nr;
	ring->map = mmap(NULL, ring->map_octets, PROT_READ | PROT_WRITE, MAP_SHARED, ring->socket, 0);
	return ring->map == MAP_FAILED ? -1 : 0;
}

static int fill_ring(struct fp_packet_ring *ring, const struct fp_interface *interface, const struct fp_packet_config *config,
		     const char **call)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)interface->index
	};
	struct packet_mreq membership = { .mr_ifindex = (int)interface->index, .mr_type = PACKET_MR_PROMISC };
	int version = TPACKET_V2, one = 1;

	/* Protocol 0: nothing of any interface comes before bind. */
	*call = "socket(AF_PACKET)";
	ring->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (ring->socket < 0)
		return -1;
	*call = "setsockopt(PACKET_VERSION)";
	if (setsockopt(ring->socket, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) != 0)
		return -1;
	*call = "setsockopt(PACKET_RX_RING)";
	if (make_slots(ring, config->slot_octets, config->slots) != 0)
		return -1;
	/* Where the kernel is too old for it, the pollers look for themselves. */
	ring->loopback = interface->loopback;
	if (ring->loopback)
		(void)setsockopt(ring->socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	*call = "setsockopt(SO_ATTACH_FILTER)";
	if (refuse_all(ring->socket) != 0)
		return -1;
	*call = "setsockopt(PACKET_ADD_MEMBERSHIP)";
	if (config->promiscuous && setsockopt(ring->socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership)) != 0)
		return -1;
	*call = "bind";
	return bind(ring->socket, (const struct sockaddr *)&address, sizeof(address));
}

/* Ready, but nothing comes until fp_packet_go. */
struct fp_packet_ring *fp_packet_open(const struct fp_interface *interface, const struct fp_packet_config *config, const char **call,
				      int *error)
{
	struct fp_packet_ring *ring = calloc(1, sizeof(*ring));

	*call = "calloc";
	*error = ENOMEM;
	if (ring == NULL)
		return NULL;
	ring->socket = -1;
	ring->map = MAP_FAILED;
	if (fill_ring(ring, interface, config, call) == 0)
		return ring;
	*error = errno;
	fp_packet_close(ring);
	return NULL;
}

void fp_packet_close(struct fp_packet_ring *ring)
{
	if (ring == NULL)
		return;
	if (ring->map != MAP_FAILED)
		munmap(ring->map, ring->map_octets);
	if (ring->socket >= 0)
		close(ring->socket);
	free(ring);
}

/* Several sockets share the frames by a symmetric hash; fragments are put together before it, so that they go one way. The first is
 * called with group 0 and makes one. */
int fp_packet_share(struct fp_packet_ring *ring, uint16_t *group)
{
	uint32_t flags = PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_DEFRAG;
	uint32_t argument = *group | (flags | (*group == 0 ? PACKET_FANOUT_FLAG_UNIQUEID : 0)) << 16;
	socklen_t length = sizeof(argument);

	if (setsockopt(ring->socket, SOL_PACKET, PACKET_FANOUT, &argument, sizeof(argument)) != 0)
		return -errno;
	if (getsockopt(ring->socket, SOL_PACKET, PACKET_FANOUT, &argument, &length) != 0)
		return -errno;
	*group = (uint16_t)argument;
	return 0;
}

int fp_packet_go(struct fp_packet_ring *ring)
{
	int nothing = 0;

	return setsockopt(ring->socket, SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof(nothing)) == 0 ? 0 : -errno;
}

/* Frames that found no slot since this was asked last. */
uint32_t fp_packet_dropped(struct fp_packet_ring *ring)
{
	struct tpacket_stats counted = { 0 };
	socklen_t length = sizeof(counted);

	return getsockopt(ring->socket, SOL_PACKET, PACKET_STATISTICS, &counted, &length) == 0 ? counted.tp_drops : 0;
}

/* The interface that it is bound to: none any more (0) when that was taken away. */
uint32_t fp_packet_bound(const struct fp_packet_ring *ring)
{
	struct sockaddr_ll address = { 0 };
	socklen_t length = sizeof(address);

	if (getsockname(ring->socket, (struct sockaddr *)&address, &length) != 0 || address.sll_ifindex < 0)
		return 0;
	return (uint32_t)address.sll_ifindex;
}

uint32_t fp_packet_slots(const struct fp_packet_ring *ring) { return ring->slots; }

/* ---- queues ---- */

struct fp_packet_queue *fp_packet_queue_create(struct fp_packet_ring *ring, struct rte_mempool *pool)
{
	struct fp_packet_queue *queue = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*queue), RTE_CACHE_LINE_SIZE));

	if (queue != NULL) {
		memset(queue, 0, sizeof(*queue));
		queue->pool = pool;
		queue->ring = ring;
	}
	return queue;
}

/* With the rings that it holds. */
void fp_packet_queue_free(struct fp_packet_queue *queue)
{
	if (queue == NULL)
		return;
	fp_packet_close(queue->ring);
	fp_packet_close(queue->coming);
	fp_packet_close(queue->gone);
	free(queue);
}

/* Gives the poller another ring; one that it did not take meanwhile comes back. */
struct fp_packet_ring *fp_packet_queue_offer(struct fp_packet_queue *queue, struct fp_packet_ring *ring)
{
	return __atomic_exchange_n(&queue->coming, ring, __ATOMIC_ACQ_REL);
}

/* The ring that the poller has left, once. */
struct fp_packet_ring *fp_packet_queue_left(struct fp_packet_queue *queue)
{
	return __atomic_exchange_n(&queue->gone, NULL, __ATOMIC_ACQ_REL);
}

void fp_packet_queue_counted(const struct fp_packet_queue *queue, uint64_t *packets, uint64_t *octets)
{
	*packets = __atomic_load_n(&queue->packets, __ATOMIC_RELAXED);
	*octets = __atomic_load_n(&queue->octets, __ATOMIC_RELAXED);
}

/* Changes to the ring that was offered, if the one before that has been fetched. */
static int change_ring(struct fp_packet_queue *queue)
{
	struct fp_packet_ring *coming;

	if (__atomic_load_n(&queue->gone, __ATOMIC_RELAXED) != NULL)
		return 0;
	coming = __atomic_exchange_n(&queue->coming, NULL, __ATOMIC_ACQ_REL);
	if (coming == NULL)
		return 0;
	__atomic_store_n(&queue->gone, queue->ring, __ATOMIC_RELEASE);
	queue->ring = coming;
	return 1;
}

/* Copies a frame, with the VLAN tag that the kernel took out of it. The buffer says how long the frame was on the wire, whatever of it
 * was kept. */
static void copy_frame(struct rte_mbuf *mbuf, const struct tpacket2_hdr *slot, uint32_t slot_octets)
{
	const uint8_t *from = (const uint8_t *)slot + slot->tp_mac;
	uint8_t *into = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t room = rte_pktmbuf_tailroom(mbuf), kept = slot->tp_snaplen, wire = slot->tp_len, tag = 0;

	if (slot->tp_mac >= slot_octets)
		kept = 0;
	else if (kept > slot_octets - slot->tp_mac)
		kept = slot_octets - slot->tp_mac;
	if (slot->tp_status & TP_STATUS_VLAN_VALID && kept >= 12 && room >= 16) {
		uint16_t tpid = slot->tp_status & TP_STATUS_VLAN_TPID_VALID ? slot->tp_vlan_tpid : ETH_P_8021Q;
		uint16_t both[2] = { htons(tpid), htons(slot->tp_vlan_tci) };

		memcpy(into, from, 12);
		memcpy(into + 12, both, 4);
		tag = 4;
		from += 12;
		into += 16;
		kept -= 12;
		room -= 16;
	}
	if (kept > room)
		kept = room;
	memcpy(into, from, kept);
	kept += tag == 0 ? 0 : 16;
	wire += tag;
	mbuf->data_len = (uint16_t)kept;
	mbuf->pkt_len = wire > kept ? wire : kept;
}

static int is_outgoing(const struct tpacket2_hdr *slot)
{
	const struct sockaddr_ll *address = (const void *)((const uint8_t *)slot + TPACKET_ALIGN(sizeof(*slot)));

	return address->sll_pkttype == PACKET_OUTGOING;
}

uint16_t fp_packet_rx(struct fp_packet_queue *queue, struct rte_mbuf **mbufs, uint16_t count)
{
	struct fp_packet_ring *ring = queue->ring;
	uint64_t octets = 0;
	uint16_t taken = 0;
	uint32_t looked;

	for (looked = 0; taken < count && looked < 4u * count; looked++) {
		struct tpacket2_hdr *slot = (void *)(ring->map + (size_t)ring->next * ring->slot_octets);

		if (!(__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
			if (likely(__atomic_load_n(&queue->coming, __ATOMIC_RELAXED) == NULL) || !change_ring(queue))
				break;
			ring = queue->ring;
			continue;
		}
		if (!ring->loopback || !is_outgoing(slot)) {
			struct rte_mbuf *mbuf = rte_pktmbuf_alloc(queue->pool);

			/* It stays in its slot until there is a buffer. */
			if (unlikely(mbuf == NULL))
				break;
			copy_frame(mbuf, slot, ring->slot_octets);
			octets += mbuf->pkt_len;
			mbufs[taken++] = mbuf;
		}
		__atomic_store_n(&slot->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		ring->next = ring->next + 1 == ring->slots ? 0 : ring->next + 1;
	}
	/* One writer. */
	__atomic_store_n(&queue->packets, queue->packets + taken, __ATOMIC_RELAXED);
	__atomic_store_n(&queue->octets, queue->octets + octets, __ATOMIC_RELAXED);
	return taken;
}
