/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.c - the ordered list of stages, and what happens to verdicts.
 *
 * Marked packets are followed from here: the stages write what they decided, this file writes where
 * a packet came in, where it died, and where it went.
 */
#include "pipeline.h"

#include "iface.h"

/* The packet path, top to bottom. Add a stage here and nowhere else. */
const struct pipeline_stage pipeline_stages[PIPELINE_STAGES] = {
    {stage_tunnel_off, TRACE_TUNNEL_OFF},
    {stage_parse, TRACE_PARSE},
    {stage_flow, TRACE_FLOW},
    {stage_service, TRACE_SERVICE},
    {stage_route, TRACE_ROUTE},
    {stage_translate, TRACE_TRANSLATE},
    {stage_reply, TRACE_REPLY},
    {stage_tunnel_on, TRACE_TUNNEL_ON},
};

struct stage_ctx pipeline_context(struct node *n, uint64_t now_ns)
{
	struct tables *t = n->tables;
	/* first, so that what is reported was in place before the tables were read */
	uint64_t revision = atomic_load_explicit(&t->revision, memory_order_acquire);
	uint64_t generation = atomic_load_explicit(&t->generation, memory_order_acquire);

	return (struct stage_ctx){
	    .node = n,
	    .services = t->services,
	    .local = atomic_load_explicit(&n->local, memory_order_acquire),
	    .routes = atomic_load_explicit(&t->routes, memory_order_acquire),
	    .peers = atomic_load_explicit(&t->peers, memory_order_acquire),
	    .generation = generation,
	    .revision = revision,
	    .now_ns = now_ns,
	};
}

static void mark(const struct stage_ctx *ctx, struct packet *p)
{
	p->flags |= PACKET_MARKED;
	p->trace_id = ctx->node->trace_next++;
	stage_trace(ctx, p, TRACE_RECEIVE, TRACE_ACCEPTED, p->in->role, 0);
}

/* Bits of the packets that came with a mark (inject). */
static uint64_t marked_by_iface(const struct stage_ctx *ctx, const struct batch *b)
{
	uint64_t marked = 0;

	for (unsigned i = 0; i < b->count; i++) {
		if (UNLIKELY(b->pkt[i]->flags & PACKET_MARKED)) {
			mark(ctx, b->pkt[i]);
			marked |= UINT64_C(1) << i;
		}
	}
	return marked;
}

static bool matches(const struct trace_filter *f, const struct flow_key *k)
{
	static const struct addr any;

	return (addr_equal(f->src, any) || addr_equal(f->src, k->src)) &&
	       (addr_equal(f->dst, any) || addr_equal(f->dst, k->dst)) &&
	       (!f->sport || f->sport == k->sport) && (!f->dport || f->dport == k->dport) &&
	       (!f->proto || f->proto == k->proto);
}

/* After stage_parse, which learns what the filter asks for; dropped packets with an address count.
 */
static uint64_t marked_by_filter(const struct stage_ctx *ctx, const struct batch *b)
{
	struct trace_filter *f = &ctx->node->filter;
	uint64_t marked = 0;

	for (unsigned i = 0; i < b->count && f->on; i++) {
		struct packet *p = b->pkt[i];

		if ((p->flags & PACKET_MARKED) || !matches(f, &p->key))
			continue;
		mark(ctx, p);
		marked |= UINT64_C(1) << i;
		if (p->verdict == VERDICT_CONTINUE)
			stage_trace(ctx, p, TRACE_PARSE, TRACE_ACCEPTED, p->key.proto, p->len);
		if (f->limit == 1)
			f->on = false;
		if (f->limit)
			f->limit--;
	}
	return marked;
}

/* Writes the end of marked packets that @stage dropped; returns those that live. */
static uint64_t trace_drops(const struct stage_ctx *ctx, const struct batch *b, uint64_t marked,
			    enum trace_stage stage)
{
	for (uint64_t left = marked; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		struct packet *p = b->pkt[i];

		if (p->verdict == VERDICT_DROP) {
			stage_trace(ctx, p, stage, TRACE_DROPPED, p->drop, 0);
			marked &= ~(UINT64_C(1) << i);
		}
	}
	return marked;
}

static void run_stages(const struct stage_ctx *ctx, struct batch *b)
{
	uint64_t marked = marked_by_iface(ctx, b);

	for (size_t i = 0; i < ARRAY_SIZE(pipeline_stages); i++) {
		pipeline_stages[i].run(ctx, b);
		if (UNLIKELY(pipeline_stages[i].name == TRACE_PARSE && ctx->node->filter.on))
			marked |= marked_by_filter(ctx, b);
		if (UNLIKELY(marked))
			marked = trace_drops(ctx, b, marked, pipeline_stages[i].name);
	}
}

/* How many packets at the front of a batch go to the first one's iface and are not marked. */
static unsigned count_alike(const struct batch *b)
{
	const uint32_t mask = PACKET_MARKED | UINT32_C(0xff) << 16, alike = VERDICT_FORWARD << 16;
	const struct iface *out = b->pkt[0]->out;
	unsigned n = 0;

	while (n < b->count && LIKELY((packet_word(b->pkt[n]) & mask) == alike) &&
	       LIKELY(b->pkt[n]->out == out))
		n++;
	return n;
}

/* Gives the dropped back; returns how many are left at the front of @b. */
static unsigned bury(struct node *n, struct batch *b)
{
	unsigned left = 0;

	for (unsigned i = 0; i < b->count; i++) {
		struct packet *p = b->pkt[i];

		if (LIKELY(p->verdict == VERDICT_FORWARD)) {
			b->pkt[left++] = p;
			continue;
		}
		assert(p->verdict == VERDICT_DROP);
		node_count_drop(n, (enum drop_reason)p->drop);
		packet_give(n->pool, p);
	}
	return left;
}

/* Hands the first packet's company over to the iface that they leave by; returns what is left. */
static unsigned send_together(const struct stage_ctx *ctx, struct batch *b, unsigned left)
{
	struct packet *together[BATCH_MAX];
	struct iface *out = b->pkt[0]->out;
	unsigned count = 0, rest = 0;

	for (unsigned i = 0; i < left; i++) {
		struct packet *p = b->pkt[i];

		if (p->out != out) {
			b->pkt[rest++] = p;
			continue;
		}
		stage_trace(ctx, p, TRACE_SEND, TRACE_FORWARDED, out->id, 0);
		together[count++] = p;
	}
	out->ops->send(out, ctx->node->pool, together, count);
	return rest;
}

static void dispatch(const struct stage_ctx *ctx, struct batch *b)
{
	if (LIKELY(count_alike(b) == b->count)) {
		struct iface *out = b->pkt[0]->out;

		out->ops->send(out, ctx->node->pool, b->pkt, b->count);
	} else {
		unsigned left = bury(ctx->node, b);

		while (left)
			left = send_together(ctx, b, left);
	}
	b->count = 0;
}

void pipeline_run(struct node *n, struct batch *b, uint64_t now_ns)
{
	struct stage_ctx ctx = pipeline_context(n, now_ns);

	if (UNLIKELY(b->count == 0))
		return;
	n->stats.packets += b->count;
	b->fresh = 0;
	b->refused = 0;
	run_stages(&ctx, b);
	dispatch(&ctx, b);
	atomic_store_explicit(&n->revision, ctx.revision, memory_order_release);
}
