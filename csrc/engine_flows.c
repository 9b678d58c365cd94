/* SPDX-License-Identifier: Apache-2.0 */
/* engine_flows.c - connections of a node: copied out, cleared; and stepped engines, which live from
 * step to step.
 */
#include "engine.h"

#include <errno.h>

#include "iface_link.h"

struct flows_args {
	struct node *node;
	const struct flow_filter *filter;
	uint32_t cursor;
	uint32_t max;
	struct flow *out;
	size_t count;
};

static bool addr_matches(struct addr a, struct addr wanted)
{
	static const struct addr any;

	return addr_equal(wanted, any) || addr_equal(wanted, a);
}

static bool key_matches(const struct flow_key *k, const struct flow_key *wanted)
{
	return addr_matches(k->src, wanted->src) && addr_matches(k->dst, wanted->dst) &&
	       (!wanted->sport || wanted->sport == k->sport) &&
	       (!wanted->dport || wanted->dport == k->dport) &&
	       (!wanted->proto || wanted->proto == k->proto);
}

static bool copy_flow(struct flow *f, void *context)
{
	struct flows_args *args = context;
	const struct flow_filter *filter = args->filter;

	if ((filter->state == FLOW_STATE_COUNT || filter->state == f->state) &&
	    key_matches(&f->original, &filter->original) && key_matches(&f->reply, &filter->reply))
		args->out[args->count++] = *f;
	return true;
}

static int64_t copy_flows(struct worker *w, void *arg)
{
	struct flows_args *args = arg;

	args->cursor = flow_table_walk_part(args->node->flows, engine_now(w->engine), args->cursor,
					    args->max, copy_flow, args);
	return (int64_t)args->count;
}

int64_t engine_flows(struct engine *e, uint32_t node, const struct flow_filter *filter,
		     uint32_t *cursor, struct flow *out, uint32_t max)
{
	struct flows_args args = {.node = engine_node(e, node),
				  .filter = filter,
				  .cursor = *cursor,
				  .max = max,
				  .out = out};
	int64_t count;

	if (!args.node)
		return -ENOENT;
	count = engine_call(engine_worker_of(e, args.node), copy_flows, &args);
	*cursor = args.cursor;
	return count;
}

/* A walk may not remove: some are gathered, then removed, until none is left. */
struct doomed {
	struct flow *flow[256];
	size_t count;
};

static bool gather(struct flow *f, void *context)
{
	struct doomed *d = context;

	d->flow[d->count++] = f;
	return d->count < ARRAY_SIZE(d->flow);
}

static int64_t clear_flows(struct worker *w, void *arg)
{
	struct node *n = arg;
	struct doomed d;

	do {
		d.count = 0;
		flow_table_walk(n->flows, engine_now(w->engine), gather, &d);
		for (size_t k = 0; k < d.count; k++)
			flow_table_remove(n->flows, d.flow[k]);
	} while (d.count);
	return 0;
}

int engine_flows_clear(struct engine *e, uint32_t node)
{
	struct node *n = engine_node(e, node);

	return n ? (int)engine_call(engine_worker_of(e, n), clear_flows, n) : -ENOENT;
}

/* One batch from every iface, in the order of nodes and ifaces. False when there was nothing. */
static bool step_once(struct worker *w, int64_t *packets)
{
	bool any = false;

	for (size_t n = 0; n < w->node_count; n++) {
		struct node *node = w->nodes[n];

		for (uint32_t k = 0; k < node->iface_count; k++) {
			struct iface *i = node->ifaces[k];
			unsigned received = i->up ? worker_receive(w, i) : 0;

			*packets += received;
			any |= received || i->more;
		}
	}
	return any;
}

int64_t engine_step(struct engine *e, uint64_t now_ns)
{
	struct worker *w = &e->workers[0];
	int64_t packets = 0;

	if (!e->stepped)
		return -EINVAL;
	e->step_ns = now_ns;
	w->now_ns = now_ns;
	tables_enter(e->tables, w->index);
	while (step_once(w, &packets))
		;
	tables_leave(e->tables, w->index);
	while (ready_pop(&w->ready))
		; /* every iface has been asked until it had nothing */
	return packets;
}

int64_t engine_expire(struct engine *e, uint64_t now_ns)
{
	struct worker *w = &e->workers[0];
	int64_t expired = 0;

	if (!e->stepped)
		return -EINVAL;
	e->step_ns = now_ns;
	for (size_t n = 0; n < w->node_count; n++) {
		struct node *node = w->nodes[n];
		size_t gone = flow_table_expire(node->flows, now_ns, SIZE_MAX);

		node->stats.flows_expired += gone;
		expired += (int64_t)gone;
	}
	return expired;
}
