/* Symmetric RSS by rte_flow, whose items are laid out anew in each DPDK release. See shim.h. */
#include "shim.h"

#include <errno.h>

#include <rte_errno.h>
#include <rte_flow.h>

/*
 * Asks for RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ, which spreads over all bits of the hash where the 6d5a key has 16.
 * All or nothing: after a refusal the rules already made are taken back and the port goes on with the key.
 */
int fp_flow_symmetric(uint16_t port, uint16_t queues, int addresses, int inner)
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
		struct rte_flow_item items[4] = {
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
			while (i-- > 0)
				if (made[i] != NULL)
					rte_flow_destroy(port, made[i], &error);
			return rc;
		}
	}
	return 0;
}
