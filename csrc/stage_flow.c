/* SPDX-License-Identifier: Apache-2.0 */
/* stage_flow.c - known connections, and what their first packet decided.
 *
 * The whole batch passes here before any of it is remembered (stage_translate), so two packets of
 * one new flow both look new; stage_translate makes the second follow the first. A packet that can
 * not begin a connection (an answer, a reset) is let through only if an earlier packet of the batch
 * may be its beginning, or if the node's own kernel sent it: a pod that talks to another node's
 * address is answered through that node's stack, which has tracked the beginning on its eth0.
 */
#include "follow.h"
#include "stage.h"

enum { UDP_RACE_NS = 100000 }; /* since the last packet */

/* P-81: a connection to what was no service when it began, and is one now. */
static bool superseded(const struct stage_ctx *ctx, const struct packet *p, struct flow *f)
{
	const struct service_key key = service_key_of(&p->key);
	uint64_t hash = service_table_hash(ctx->services, &key);

	if (node_frontend(ctx->node, ctx->services, &key, hash))
		return true;
	f->endpoint_generation = service_table_udp_generation(ctx->services); /* looked */
	return false;
}

/*
 * P-80: only UDP is cut loose when its endpoint leaves, and not before the client sends again: what
 * the endpoint has yet to answer arrives. A restart may have lost the slot.
 */
static inline bool stale(const struct stage_ctx *ctx, const struct packet *p, struct flow *f)
{
	if (p->key.proto != PROTO_UDP || p->reply)
		return false;
	if (f->flags & FLOW_TRANSLATED)
		return !service_table_slot_alive(ctx->services, f->endpoint_slot,
						 f->endpoint_generation);
	return UNLIKELY(f->endpoint_generation != service_table_udp_generation(ctx->services)) &&
	       superseded(ctx, p, f);
}

/*
 * P-88: to Linux a flow is not there before its first packet has left by another processor, so UDP
 * that follows at once chooses an endpoint of its own. Who loses is seen in stage_translate.
 */
static inline bool unconfirmed(const struct stage_ctx *ctx, const struct packet *p,
			       const struct flow *f)
{
	return UNLIKELY(ctx->node->config.tracking.udp_races) && p->key.proto == PROTO_UDP &&
	       !p->reply && !(f->flags & FLOW_SEEN_REPLY) && (f->flags & FLOW_TRANSLATED) &&
	       f->expires_ns + UDP_RACE_NS > ctx->now_ns + FLOW_UDP_S * NS_PER_S;
}

static bool begun_in_batch(const struct batch *b, unsigned before)
{
	const struct flow_key *key = &b->pkt[before]->key;
	struct flow_key reversed = flow_key_reversed(key);

	for (unsigned i = 0; i < before; i++) {
		const struct packet *p = b->pkt[i];

		if (p->verdict == VERDICT_CONTINUE && (p->flags & PACKET_NEW_FLOW) &&
		    (flow_key_equal(&p->key, key) || flow_key_equal(&p->key, &reversed)))
			return true;
	}
	return false;
}

static void new_flow(const struct stage_ctx *ctx, struct batch *b, unsigned i)
{
	struct packet *p = b->pkt[i];
	enum flow_state state;

	p->to = p->key;
	p->reply = false;
	if (UNLIKELY(!follow_begins(p, &state)) && !begun_in_batch(b, i)) {
		if (iface_is_own_kernel(p->in) && !(p->flags & PACKET_FRAGMENT_LATER))
			return; /* forwarded untracked */
		if (p->flags & PACKET_FRAGMENT_LATER)
			packet_drop(p, DROP_FRAGMENT_ORPHAN);
		else
			stage_invalid(ctx, p);
		return;
	}
	/* before a Service is looked up for it, as nf_conntrack does; stage_translate knows for
	 * sure
	 */
	if (UNLIKELY(!flow_table_has_room(ctx->node->flows, ctx->now_ns))) {
		packet_drop(p, DROP_FLOW_FULL);
		return;
	}
	p->flags |= PACKET_NEW_FLOW;
	b->fresh |= UINT64_C(1) << i;
	stage_trace(ctx, p, TRACE_FLOW, TRACE_FLOW_NEW, 0, 0);
}

/* An ICMP error is about a connection or about nothing; it never begins or renews one. */
static void related(const struct stage_ctx *ctx, struct packet *p)
{
	struct flow *f =
	    flow_table_find(ctx->node->flows, &p->key, p->hash, ctx->now_ns, &p->reply);

	if (!f && iface_is_own_kernel(p->in)) {
		p->to = p->key;
		return;
	}
	/* it must go to who sent the quoted packet, or translation could be aimed at others */
	if (!f || packet_ipv4(p)->dst != addr_to_v4(p->key.dst)) {
		p->to = p->key;
		packet_drop(p, DROP_ICMP_UNRELATED);
		return;
	}
	follow_flow(p, f);
	stage_trace(ctx, p, TRACE_FLOW, TRACE_FLOW_RELATED, f->service, f->state);
}

/* Forget a flow and take the packet for the beginning of another. */
static void begin_anew(const struct stage_ctx *ctx, struct batch *b, unsigned i, struct flow *f)
{
	flow_table_remove(ctx->node->flows, f);
	new_flow(ctx, b, i);
}

static void known(const struct stage_ctx *ctx, struct batch *b, unsigned i, struct flow *f)
{
	struct packet *p = b->pkt[i];
	struct node *n = ctx->node;
	bool refused = false;

	if (UNLIKELY(stale(ctx, p, f))) {
		stage_trace(ctx, p, TRACE_FLOW, TRACE_FLOW_STALE, f->service, 0);
		n->stats.flows_stale++;
		begin_anew(ctx, b, i, f);
		return;
	}
	if (!(p->flags & PACKET_FRAGMENT_LATER)) {
		if (unconfirmed(ctx, p, f)) {
			new_flow(ctx, b, i);
			return;
		}
		uint8_t flags = packet_tcp_flags(p), was = f->state;

		if ((flags & TCP_SYN) && flow_reopens(f, p->reply, flags)) {
			begin_anew(ctx, b, i, f);
			return;
		}
		refused = (flags & TCP_RST) && !(f->flags & FLOW_SEEN_REPLY);
		if (!flow_advance(f, p->reply, flags, ctx->now_ns)) {
			stage_invalid(ctx, p);
			return;
		}
		if (UNLIKELY(n->load != NULL))
			node_load_moved(n, f, was);
	}
	follow_flow(p, f);
	stage_trace(ctx, p, TRACE_FLOW, TRACE_FLOW_HIT, f->service, f->state);
	if (UNLIKELY(refused)) /* it never was a connection */
		flow_table_remove(n->flows, f);
}

/* Without a guess there is no flow: none is inserted in this stage. */
static void any_packet(const struct stage_ctx *ctx, struct batch *b, unsigned i,
		       struct flow_guess g)
{
	struct packet *p = b->pkt[i];
	struct flow *f = NULL;

	if (p->verdict != VERDICT_CONTINUE)
		return;
	if (p->flags & PACKET_ICMP_ERROR) {
		related(ctx, p);
		return;
	}
	if (g.flow)
		f = flow_table_find(ctx->node->flows, &p->key, p->hash, ctx->now_ns, &p->reply);
	if (f)
		known(ctx, b, i, f);
	else
		new_flow(ctx, b, i);
}

/* The common case, in which nothing changes but the time: what known() does then. */
static inline bool goes_on(const struct stage_ctx *ctx, struct packet *p, struct flow_guess g)
{
	struct flow *f = g.flow;

	if (UNLIKELY(packet_is_odd(p)) || UNLIKELY(!f) ||
	    UNLIKELY(!flow_table_confirm(f, g.reply, &p->key, ctx->now_ns)))
		return false;
	p->reply = g.reply;
	if (p->key.proto == PROTO_TCP) {
		const struct tcp_hdr *tcp = (const void *)packet_l4(p);

		if (UNLIKELY(!flow_tcp_goes_on(f, tcp->flags, ctx->now_ns)))
			return false;
	} else if (p->key.proto != PROTO_UDP || UNLIKELY(stale(ctx, p, f)) ||
		   unconfirmed(ctx, p, f) || UNLIKELY(!flow_udp_goes_on(f, g.reply, ctx->now_ns))) {
		return false;
	}
	follow_flow(p, f);
	return true;
}

void stage_flow(const struct stage_ctx *ctx, struct batch *b)
{
	const struct flow_table *flows = ctx->node->flows;
	struct flow_guess guess[BATCH_MAX];
	unsigned count = b->count;

	for (unsigned i = 0; i < count; i++)
		guess[i] = flow_table_guess(flows, b->pkt[i]->hash);
	for (unsigned i = 0; i < count; i++)
		if (UNLIKELY(!goes_on(ctx, b->pkt[i], guess[i])))
			any_packet(ctx, b, i, guess[i]);
}
