/* SPDX-License-Identifier: Apache-2.0 */
/* stage_service.c - first packets to a service address get one of its endpoints, or a rejection.
 *
 * kube-proxy's nat table: only the first packet of a connection comes here (spec 3.2). Choice: the
 * client's last endpoint while affinity holds and the endpoint is still there (P-30..P-38), else
 * each endpoint with probability 1/n (P-20). No endpoints: port unreachable, for TCP too (P-60).
 */
#include "stage.h"

static void trace_choice(const struct stage_ctx *ctx, struct packet *p, enum trace_event event,
			 const struct endpoint *e)
{
	uint32_t index = (uint32_t)(e - p->service->endpoints);

	stage_trace(ctx, p, TRACE_SERVICE, event, p->service->id, index << 16 | p->service->count);
}

/* The endpoint that this client had last, if the service still has it. */
static const struct endpoint *affine(const struct stage_ctx *ctx, const struct packet *p)
{
	const struct service *s = p->service;
	const struct affinity *a =
	    affinity_find(ctx->node->affinity, s->id, p->key.src, ctx->now_ns, s->affinity_s);

	return a ? service_endpoint_in(s, a->endpoint_slot, a->endpoint_generation) : NULL;
}

static const struct endpoint *choose(const struct stage_ctx *ctx, struct packet *p)
{
	const struct service *s = p->service;
	struct node *n = ctx->node;
	const struct endpoint *e = s->affinity_s ? affine(ctx, p) : NULL;

	if (e) {
		n->stats.affinity_hits++;
		trace_choice(ctx, p, TRACE_SERVICE_AFFINE, e);
	} else {
		e = service_pick(s, (uint32_t)(random_next(&n->random) >> 32));
		trace_choice(ctx, p, TRACE_SERVICE_CHOSEN, e);
	}
	if (s->affinity_s &&
	    affinity_set(n->affinity, s->id, p->key.src, e->slot, e->generation, ctx->now_ns))
		n->stats.affinity_evicted++;
	return e;
}

static void serve(const struct stage_ctx *ctx, struct packet *p)
{
	if (p->service->count == 0) {
		/* rejected where it would be forwarded, which is too late for a TTL of 1 */
		if (packet_ipv4(p)->ttl <= 1 && !iface_is_own_kernel(p->in)) {
			packet_reply(p, ICMP_TIME_EXCEEDED, ICMP_TTL_EXCEEDED, DROP_TTL_EXCEEDED);
			return;
		}
		ctx->node->stats.service_rejects++;
		stage_trace(ctx, p, TRACE_SERVICE, TRACE_SERVICE_REJECTED, p->service->id, 0);
		packet_reply(p, ICMP_UNREACHABLE, ICMP_PORT_UNREACHABLE, DROP_NO_ENDPOINT);
		return;
	}
	p->endpoint = choose(ctx, p);
	__builtin_prefetch(p->endpoint);
	__builtin_prefetch((const char *)(p->endpoint + 1) - 1);
}

static void go_to_endpoint(const struct stage_ctx *ctx, struct packet *p)
{
	p->to.dst = p->endpoint->addr;
	p->to.dport = p->endpoint->port;
	/* ClusterIP row of the masquerade matrix (spec 3.6), and hairpin */
	p->masquerade =
	    !node_in_cluster(ctx->node, p->key.src) || addr_equal(p->key.src, p->endpoint->addr);
}

/* A table that no cache holds is waited for once per step, not once per packet. */
static void begin_finds(const struct stage_ctx *ctx, const struct batch *b)
{
	uint64_t hash[BATCH_MAX];

	for (uint64_t left = b->fresh; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		const struct flow_key *k = &b->pkt[i]->key;

		hash[i] = service_table_hash(
		    ctx->services, &(struct service_key){k->dst, k->dport, k->proto, {0}});
		service_table_prefetch(ctx->services, hash[i]);
	}
	for (uint64_t left = b->fresh; left; left &= left - 1)
		service_table_prefetch_service(ctx->services, hash[__builtin_ctzll(left)]);
}

/* Only packets of new flows. */
void stage_service(const struct stage_ctx *ctx, struct batch *b)
{
	if (!b->fresh)
		return;
	begin_finds(ctx, b);
	for (uint64_t left = b->fresh; left; left &= left - 1) {
		struct packet *p = b->pkt[__builtin_ctzll(left)];

		p->service =
		    service_table_find(ctx->services, p->key.dst, p->key.dport, p->key.proto);
		if (p->service)
			serve(ctx, p);
	}
	for (uint64_t left = b->fresh; left; left &= left - 1) {
		struct packet *p = b->pkt[__builtin_ctzll(left)];

		if (p->endpoint)
			go_to_endpoint(ctx, p);
	}
}
