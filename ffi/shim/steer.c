/* Steering rules: rte_flow, whose items and header structs are laid out anew in each DPDK release. See shim.h. */
#include "shim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_flow.h>

enum { ITEMS = 4 };

struct built {
	struct rte_flow_attr attr;
	struct rte_flow_item items[ITEMS];
	struct rte_flow_action actions[2];
	struct rte_flow_item_ipv4 v4, v4_mask;
	struct rte_flow_item_ipv6 v6, v6_mask;
	struct rte_flow_item_tcp tcp, tcp_mask;
	struct rte_flow_item_udp udp, udp_mask;
	struct rte_flow_item_sctp sctp, sctp_mask;
	struct rte_flow_action_queue queue;
};

static void build_v4(const struct fp_rule *rule, struct built *b)
{
	if (rule->has_source) {
		memcpy(&b->v4.hdr.src_addr, rule->source, 4);
		memset(&b->v4_mask.hdr.src_addr, 0xff, 4);
	}
	if (rule->has_destination) {
		memcpy(&b->v4.hdr.dst_addr, rule->destination, 4);
		memset(&b->v4_mask.hdr.dst_addr, 0xff, 4);
	}
	if (rule->protocol != 0) {
		b->v4.hdr.next_proto_id = rule->protocol;
		b->v4_mask.hdr.next_proto_id = 0xff;
	}
	b->items[1] = (struct rte_flow_item){ .type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &b->v4, .mask = &b->v4_mask };
}

static void build_v6(const struct fp_rule *rule, struct built *b)
{
	if (rule->has_source) {
		memcpy(&b->v6.hdr.src_addr, rule->source, 16);
		memset(&b->v6_mask.hdr.src_addr, 0xff, 16);
	}
	if (rule->has_destination) {
		memcpy(&b->v6.hdr.dst_addr, rule->destination, 16);
		memset(&b->v6_mask.hdr.dst_addr, 0xff, 16);
	}
	if (rule->protocol != 0) {
		b->v6.hdr.proto = rule->protocol;
		b->v6_mask.hdr.proto = 0xff;
	}
	b->items[1] = (struct rte_flow_item){ .type = RTE_FLOW_ITEM_TYPE_IPV6, .spec = &b->v6, .mask = &b->v6_mask };
}

#define PORTS(header)                                                                                                  \
	do {                                                                                                           \
		b->header.hdr.src_port = rule->source_port;                                                            \
		b->header.hdr.dst_port = rule->destination_port;                                                       \
		b->header##_mask.hdr.src_port = rule->source_port ? 0xffff : 0;                                        \
		b->header##_mask.hdr.dst_port = rule->destination_port ? 0xffff : 0;                                   \
		b->items[2].spec = &b->header;                                                                         \
		b->items[2].mask = &b->header##_mask;                                                                  \
	} while (0)

static void build_ports(const struct fp_rule *rule, struct built *b)
{
	switch (rule->protocol) {
	case 6:
		b->items[2].type = RTE_FLOW_ITEM_TYPE_TCP;
		PORTS(tcp);
		break;
	case 17:
		b->items[2].type = RTE_FLOW_ITEM_TYPE_UDP;
		PORTS(udp);
		break;
	case 132:
		b->items[2].type = RTE_FLOW_ITEM_TYPE_SCTP;
		PORTS(sctp);
		break;
	default:
		b->items[2].type = RTE_FLOW_ITEM_TYPE_END;
	}
}

static void build(const struct fp_rule *rule, struct built *b)
{
	memset(b, 0, sizeof(*b));
	b->attr.ingress = 1;
	b->items[0].type = RTE_FLOW_ITEM_TYPE_ETH;
	if (rule->version == 4)
		build_v4(rule, b);
	else
		build_v6(rule, b);
	build_ports(rule, b);
	b->items[3].type = RTE_FLOW_ITEM_TYPE_END;
	b->queue.index = rule->queue;
	if (rule->drop)
		b->actions[0].type = RTE_FLOW_ACTION_TYPE_DROP;
	else
		b->actions[0] = (struct rte_flow_action){ .type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &b->queue };
	b->actions[1].type = RTE_FLOW_ACTION_TYPE_END;
}

static void say(char *message, size_t capacity, const struct rte_flow_error *error)
{
	snprintf(message, capacity, "%s", error->message == NULL ? "" : error->message);
}

int fp_flow_check(uint16_t port, const struct fp_rule *rule, char *message, size_t capacity)
{
	struct rte_flow_error error = { 0 };
	struct built b;
	int rc;

	build(rule, &b);
	rc = rte_flow_validate(port, &b.attr, b.items, b.actions, &error);
	say(message, capacity, &error);
	return rc;
}

struct rte_flow *fp_flow_create(uint16_t port, const struct fp_rule *rule, char *message, size_t capacity)
{
	struct rte_flow_error error = { 0 };
	struct rte_flow *flow;
	struct built b;

	build(rule, &b);
	flow = rte_flow_create(port, &b.attr, b.items, b.actions, &error);
	say(message, capacity, &error);
	return flow;
}

int fp_flow_destroy(uint16_t port, struct rte_flow *flow)
{
	struct rte_flow_error error = { 0 };

	return rte_flow_destroy(port, flow, &error);
}

int fp_flow_flush(uint16_t port)
{
	struct rte_flow_error error = { 0 };

	return rte_flow_flush(port, &error);
}

/*
 * Asks for RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ, which spreads over all bits of the hash where the 6d5a key has 16.
 * All or nothing: after a refusal the rules already made are taken back and the port goes on with the key.
 */
int fp_flow_symmetric(uint16_t port, uint16_t queues, int addresses, int inner, char *message, size_t capacity)
{
	static const struct {
		enum rte_flow_item_type l3, l4;
		uint64_t types;
	} kinds[] = {
		{ RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_TCP, RTE_ETH_RSS_NONFRAG_IPV4_TCP },
		{ RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_UDP, RTE_ETH_RSS_NONFRAG_IPV4_UDP },
		{ RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_SCTP, RTE_ETH_RSS_NONFRAG_IPV4_SCTP },
		{ RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_END, RTE_ETH_RSS_IPV4 },
		{ RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_TCP, RTE_ETH_RSS_NONFRAG_IPV6_TCP },
		{ RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_UDP, RTE_ETH_RSS_NONFRAG_IPV6_UDP },
		{ RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_SCTP, RTE_ETH_RSS_NONFRAG_IPV6_SCTP },
		{ RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_END, RTE_ETH_RSS_IPV6 },
	};
	struct rte_flow *made[RTE_DIM(kinds)];
	struct rte_flow_error error = { 0 };
	uint16_t all[256];
	size_t i;

	if (queues > RTE_DIM(all))
		return -ENOTSUP;
	for (i = 0; i < queues; i++)
		all[i] = (uint16_t)i;
	for (i = 0; i < RTE_DIM(kinds); i++) {
		struct rte_flow_attr attr = { .ingress = 1 };
		struct rte_flow_item items[ITEMS] = {
			{ .type = RTE_FLOW_ITEM_TYPE_ETH }, { .type = kinds[i].l3 }, { .type = kinds[i].l4 }, { .type = RTE_FLOW_ITEM_TYPE_END },
		};
		struct rte_flow_action_rss rss = {
			.func = RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ, .types = kinds[i].types, .level = inner ? 2 : 0, .queue_num = queues, .queue = all,
		};
		struct rte_flow_action actions[2] = {
			{ .type = RTE_FLOW_ACTION_TYPE_RSS, .conf = &rss }, { .type = RTE_FLOW_ACTION_TYPE_END },
		};
		int rc = 0;

		made[i] = NULL;
		/* Addresses alone: the rules of the network layer, which hold for whatever it carries. */
		if (addresses && kinds[i].l4 != RTE_FLOW_ITEM_TYPE_END)
			continue;
		made[i] = rte_flow_create(port, &attr, items, actions, &error);
		if (made[i] == NULL) {
			rc = rte_errno == 0 ? -ENOTSUP : -rte_errno;
			say(message, capacity, &error);
			while (i-- > 0)
				if (made[i] != NULL)
					rte_flow_destroy(port, made[i], &error);
			return rc;
		}
	}
	return 0;
}
