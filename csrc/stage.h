/* SPDX-License-Identifier: Apache-2.0 */
/* stage.h - the steps of the packet path. Rank 3.
 *
 * A stage is a function of (batch, tables, flows, now): no clock, allocation, lock or system call,
 * one loop over the batch. It acts on packets whose verdict is VERDICT_CONTINUE, unless it says
 * otherwise. The order is one array in pipeline.c.
 */
#ifndef NETSIM_STAGE_H
#define NETSIM_STAGE_H

#include "node.h"

/* What a batch is processed against: loaded once per batch, valid until the cycle ends. */
struct stage_ctx {
	struct node *node;
	const struct service_table *services;
	const struct route_table *local;
	const struct route_table *routes;
	const struct peer_table *peers;
	uint64_t generation; /* of the tables; loaded before them */
	uint64_t revision;
	uint64_t now_ns;
};

typedef void stage_fn(const struct stage_ctx *ctx, struct batch *b);

/* stage_tunnel.c: packets that came in by a wire lose their encapsulation */
void stage_tunnel_off(const struct stage_ctx *ctx, struct batch *b);
/* stage_parse.c: every length checked; key and hash; fragments get the first one's ports */
void stage_parse(const struct stage_ctx *ctx, struct batch *b);
/* stage_flow.c: known connections; ICMP errors about them; to from the flow's decision */
void stage_flow(const struct stage_ctx *ctx, struct batch *b);
/* stage_service.c: first packets to a service get an endpoint or a rejection */
void stage_service(const struct stage_ctx *ctx, struct batch *b);
/* stage_route.c: out, TTL and MTU checks, masquerade decision */
void stage_route(const struct stage_ctx *ctx, struct batch *b);
/* stage_translate.c: remember new flows, rewrite addresses, ports, checksums, TTL */
void stage_translate(const struct stage_ctx *ctx, struct batch *b);
/* stage_reply.c: takes VERDICT_REPLY: the packet becomes the ICMP error and is routed back */
void stage_reply(const struct stage_ctx *ctx, struct batch *b);
/* stage_tunnel.c: packets that leave by a wire get their encapsulation */
void stage_tunnel_on(const struct stage_ctx *ctx, struct batch *b);

/**
 * stage_route_lookup() - Row for a destination: the node's own table first, then the shared one
 */
const struct route_row *stage_route_lookup(const struct stage_ctx *ctx, struct addr dst);

/**
 * stage_route_packet() - What stage_route does to one packet
 *
 * For stage_translate, when another packet of the batch has decided for this one's flow.
 */
void stage_route_packet(const struct stage_ctx *ctx, struct packet *p);

/**
 * stage_invalid() - What fits no connection: dropped, or left as it is, untracked (P-86)
 *
 * The client's kernel answers what it then gets from an endpoint that it never asked with a reset.
 */
void stage_invalid(const struct stage_ctx *ctx, struct packet *p);

/**
 * stage_schedule() - The endpoint of a set, not empty, that the node's scheduler gives a connection
 */
const struct endpoint *stage_schedule(const struct stage_ctx *ctx, const struct packet *p,
				      struct endpoint_set set);

/**
 * stage_is_detour() - Whether a packet is the node's own stack's, from it and to it
 *
 * What is for a node port comes by here because the stack can not tell which ports are Services';
 * what is for no Service goes back and is delivered there.
 */
static inline bool stage_is_detour(const struct stage_ctx *ctx, const struct packet *p)
{
	return iface_is_own_kernel(p->in) && node_is_local(ctx->node, p->key.dst);
}

/**
 * stage_trace_marked() - Write a decision record if the packet is marked
 */
void stage_trace_marked(const struct stage_ctx *ctx, struct packet *p, enum trace_stage stage,
			enum trace_event event, uint32_t object, uint32_t detail);

static inline void stage_trace(const struct stage_ctx *ctx, struct packet *p,
			       enum trace_stage stage, enum trace_event event, uint32_t object,
			       uint32_t detail)
{
	if (UNLIKELY(p->flags & PACKET_MARKED))
		stage_trace_marked(ctx, p, stage, event, object, detail);
}

#endif
