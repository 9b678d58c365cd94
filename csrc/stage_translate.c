/* SPDX-License-Identifier: Apache-2.0 */
/* stage_translate.c - new flows are remembered here, and the bytes made to carry the decision.
 *
 * Remembering is the moment of truth, as nf_conntrack_confirm is in the kernel: a packet whose flow
 * another packet of the batch has begun in the meantime follows that flow's decision instead of its
 * own, and is routed again. Where the answers' key is taken, the source port changes (to another of
 * its class, RFC 6335 in spirit, nf_nat_core.c in numbers), masqueraded or not.
 */
#include "follow.h"
#include "rewrite.h"
#include "stage.h"

#include <errno.h>

enum {
	PORT_TRIES_FIRST = 128, /* halved each round, as the kernel does, while at least: */
	PORT_TRIES_LAST = 16,
};

/* As the kernel does, untranslated from here on. */
static void pass_invalid(const struct stage_ctx *ctx, struct packet *p)
{
	stage_invalid(ctx, p);
	if (p->verdict == VERDICT_CONTINUE)
		stage_route_packet(ctx, p);
}

/* P-88: as nf_ct_resolve_clash, which lets only such packets pass as chose the same. */
static bool lost_race(const struct stage_ctx *ctx, const struct packet *p, const struct flow *f)
{
	return ctx->node->config.tracking.udp_races && p->key.proto == PROTO_UDP && !p->reply &&
	       p->endpoint && p->endpoint->slot != f->endpoint_slot;
}

/* Another packet has begun the flow in the meantime: take part in it. False if there is none. */
static bool adopt(const struct stage_ctx *ctx, struct packet *p)
{
	struct flow *f =
	    flow_table_find(ctx->node->flows, &p->key, p->hash, ctx->now_ns, &p->reply);

	if (!f)
		return false;
	if (lost_race(ctx, p, f)) {
		packet_drop(p, DROP_INSERT_FAILED);
		return true;
	}
	if (!(p->flags & PACKET_FRAGMENT_LATER)) {
		uint8_t was = f->state;

		if (!flow_advance(f, p->reply, packet_tcp_flags(p), ctx->now_ns)) {
			pass_invalid(ctx, p);
			return true;
		}
		if (UNLIKELY(ctx->node->load != NULL))
			node_load_moved(ctx->node, f, was);
	}
	p->masquerade = 0;
	follow_flow(p, f);
	stage_trace(ctx, p, TRACE_FLOW, TRACE_FLOW_HIT, f->service, f->state);
	stage_route_packet(ctx, p);
	return true;
}

struct port_range {
	uint32_t first;
	uint32_t count;
};

static struct port_range port_class(const struct flow_key *k)
{
	uint16_t port = from_be16(k->sport);

	if (k->proto == PROTO_ICMP)
		return (struct port_range){0, 65536};
	if (port < 512)
		return (struct port_range){1, 511};
	if (port < 1024)
		return (struct port_range){600, 1024 - 600};
	return (struct port_range){1024, 65536 - 1024};
}

/* P-87: a packet is lost once; when it is sent again the kernel sees whose port it is. */
static bool lost_to_collision(struct node *n, const struct packet *p)
{
	uint32_t *lost = &n->lost[p->hash % NODE_LOST];

	if (!n->config.tracking.collisions_lose || *lost == p->hash)
		return false;
	*lost = p->hash;
	return true;
}

/* Tries ports from a random one on until the answers' key is free. */
static int insert_elsewhere(const struct stage_ctx *ctx, struct packet *p, enum flow_state state,
			    struct flow_pair *pair, struct flow **f)
{
	struct node *n = ctx->node;
	struct port_range range = port_class(&p->key);

	n->stats.masquerade_collisions++;
	if (lost_to_collision(n, p))
		return -EAGAIN;
	if (p->key.proto != PROTO_TCP && p->key.proto != PROTO_UDP && p->key.proto != PROTO_SCTP &&
	    p->key.proto != PROTO_ICMP)
		return -EEXIST; /* no ports to change */
	for (unsigned tries = PORT_TRIES_FIRST; tries >= PORT_TRIES_LAST; tries /= 2) {
		uint64_t random = random_next(&n->random) >> 32;
		uint32_t offset = (uint32_t)(random * range.count >> 32);

		for (unsigned i = 0; i < tries; i++) {
			int err;

			p->to.sport = to_be16((uint16_t)(range.first + offset));
			offset = offset + 1 == range.count ? 0 : offset + 1;
			pair->reply = flow_key_reversed(&p->to);
			pair->reply_hash = flow_key_hash(&pair->reply, n->hash_seed);
			err = flow_table_insert(n->flows, pair, state, ctx->now_ns, f);
			if (err != -EEXIST)
				return err;
		}
	}
	return -EEXIST;
}

static void describe_flow(const struct stage_ctx *ctx, const struct packet *p, struct flow *f)
{
	f->endpoint_generation = service_table_udp_generation(ctx->services);
	if (p->service) {
		f->flags |= FLOW_TRANSLATED;
		f->service = p->service->id;
		f->endpoint_slot = p->endpoint->slot;
		f->endpoint_generation = p->endpoint->generation;
		if (UNLIKELY(ctx->node->load != NULL))
			node_load_begins(ctx->node, f);
	}
	if (!addr_equal(p->key.src, p->to.src) || p->key.sport != p->to.sport)
		f->flags |= FLOW_MASQUERADED;
}

static enum drop_reason why_not_inserted(int err)
{
	if (err == -ENOSPC)
		return DROP_FLOW_FULL;
	return err == -EAGAIN ? DROP_INSERT_FAILED : DROP_NO_SOURCE_PORT;
}

static void remember(const struct stage_ctx *ctx, struct packet *p, struct flow_pair *pair)
{
	struct node *n = ctx->node;
	enum flow_state state;
	struct flow *f;
	int err;

	if (UNLIKELY(!follow_begins(p, &state))) {
		if (adopt(ctx, p))
			return;
		if (p->flags & PACKET_FRAGMENT_LATER)
			packet_drop(p, DROP_FRAGMENT_ORPHAN);
		else
			pass_invalid(ctx, p);
		return;
	}
	err = flow_table_insert(n->flows, pair, state, ctx->now_ns, &f);
	if (err == -EEXIST) {
		if (adopt(ctx, p))
			return;
		err = insert_elsewhere(ctx, p, state, pair, &f);
	}
	if (err) {
		packet_drop(p, why_not_inserted(err));
		return;
	}
	describe_flow(ctx, p, f);
	if (!flow_key_equal(&p->key, &p->to))
		p->flags |= PACKET_TRANSLATED;
	n->stats.flows_new++;
	n->stats.service_hits += p->service != NULL;
}

static void trace_translation(const struct stage_ctx *ctx, struct packet *p)
{
	bool source = !addr_equal(p->key.src, p->to.src) || p->key.sport != p->to.sport;
	enum trace_event event = TRACE_TRANSLATED;

	if (flow_key_equal(&p->key, &p->to))
		event = TRACE_ACCEPTED;
	else if (source && !p->reply && !(p->flags & PACKET_ICMP_ERROR))
		event = TRACE_MASQUERADED;
	stage_trace(ctx, p, TRACE_TRANSLATE, event, 0, 0);
}

/* Packets of new flows; their keys' places in the index are waited for all at once. */
static void remember_fresh(const struct stage_ctx *ctx, struct batch *b)
{
	struct node *n = ctx->node;
	struct flow_pair pairs[BATCH_MAX];

	for (uint64_t left = b->fresh; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		const struct packet *p = b->pkt[i];
		struct flow_pair *pair = &pairs[i];

		pair->original = p->key;
		pair->original_hash = p->hash;
		pair->reply = flow_key_reversed(&p->to);
		pair->reply_hash = flow_key_hash(&pair->reply, n->hash_seed);
		flow_table_prefetch_insert(n->flows, pair);
	}
	for (uint64_t left = b->fresh; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		if (LIKELY(b->pkt[i]->verdict == VERDICT_CONTINUE))
			remember(ctx, b->pkt[i], &pairs[i]);
	}
}

static void translate_odd(const struct stage_ctx *ctx, struct packet *p)
{
	if (p->flags & PACKET_TRANSLATED) {
		if (!rewrite_packet(p)) {
			packet_drop(p, DROP_BAD_L4);
			return;
		}
		ctx->node->stats.icmp_errors_translated += (p->flags & PACKET_ICMP_ERROR) != 0;
	} else if (p->flags & PACKET_ROUTED) {
		rewrite_ttl(packet_ipv4(p));
	}
	if (p->flags & PACKET_MARKED)
		trace_translation(ctx, p);
	p->verdict = VERDICT_FORWARD;
}

static inline void translate_plain(struct packet *p, uint8_t proto)
{
	if (LIKELY(p->flags & PACKET_TRANSLATED))
		rewrite_plain(p, proto);
	else if (p->flags & PACKET_ROUTED)
		rewrite_ttl(packet_ipv4(p));
	p->verdict = VERDICT_FORWARD;
}

void stage_translate(const struct stage_ctx *ctx, struct batch *b)
{
	unsigned count = b->count;

	if (b->fresh)
		remember_fresh(ctx, b);
	for (unsigned i = 0; i < count; i++) {
		struct packet *p = b->pkt[i];
		uint8_t proto = p->key.proto;

		if (LIKELY(!packet_is_odd(p)) && LIKELY(proto == PROTO_TCP || proto == PROTO_UDP))
			translate_plain(p, proto);
		else if (p->verdict == VERDICT_CONTINUE)
			translate_odd(ctx, p);
		else if (p->verdict == VERDICT_REPLY)
			b->refused |= UINT64_C(1) << i;
	}
}
