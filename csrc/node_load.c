/* SPDX-License-Identifier: Apache-2.0 */
/* node_load.c - connections to endpoints, counted on nodes whose scheduler or affinity asks.
 *
 * A connection is counted from when it is remembered until it is forgotten, which the flow table
 * says. It is active while it is being opened or open (tcp_state_active_table in Linux
 * ip_vs_proto_tcp.c); without states it is active. While a client has one, its affinity lasts.
 *
 * TCP outlives its endpoint for a time that begins when the aging of flows comes across the first
 * such connection. What the client then sends is taken for the middle of another connection, which
 * the endpoint that gets it does not know: it answers with a reset.
 */
#include "node.h"

static bool is_active(const struct flow *f)
{
	return f->original.proto != PROTO_TCP || f->state == FLOW_SYN_SENT ||
	       f->state == FLOW_SYN_RECV || f->state == FLOW_ESTABLISHED;
}

static struct load_key key_of(const struct flow *f)
{
	return (struct load_key){service_entry(f->service, &f->original), f->endpoint_slot,
				 f->endpoint_generation};
}

static void count(struct node *n, const struct flow *f, bool active, int by)
{
	const struct load_key key = key_of(f);

	load_table_add(n->load, &key, active, by);
}

static void hold(struct node *n, const struct flow *f, int by)
{
	const struct affinity_key key = {.client = f->original.src,
					 .service = service_entry(f->service, &f->original),
					 .slot = f->endpoint_slot,
					 .generation = f->endpoint_generation};

	affinity_hold(n->affinity, &key, by);
}

void node_load_begins(struct node *n, const struct flow *f)
{
	count(n, f, is_active(f), 1);
	hold(n, f, 1);
}

void node_load_moved(struct node *n, const struct flow *f, uint8_t was)
{
	struct flow before = {.original = f->original, .state = was};

	if (!(f->flags & FLOW_TRANSLATED) || is_active(&before) == is_active(f))
		return;
	count(n, f, is_active(&before), -1);
	count(n, f, is_active(f), 1);
}

void node_load_ends(const struct flow *f, void *node)
{
	struct node *n = node;

	if (!(f->flags & FLOW_TRANSLATED) || f->endpoint_slot == FLOW_NO_SLOT)
		return;
	count(n, f, is_active(f), -1);
	hold(n, f, -1);
}

bool node_load_is_over(const struct flow *f, uint64_t now_ns, void *node)
{
	struct node *n = node;
	const struct load_key key = key_of(f);
	uint32_t drain_s = n->config.proxy.drain_s;

	if (!drain_s || f->original.proto != PROTO_TCP || !(f->flags & FLOW_TRANSLATED) ||
	    service_table_slot_alive(n->tables->services, f->endpoint_slot, f->endpoint_generation))
		return false;
	return load_table_gone_s(n->load, &key, (uint32_t)(now_ns / NS_PER_S)) >= drain_s;
}
