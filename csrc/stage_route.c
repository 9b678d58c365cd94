/* SPDX-License-Identifier: Apache-2.0 */
/* stage_route.c - where a packet leaves, and whether it may: TTL, MTU, source of a masquerade.
 *
 * Pods of one node are on a bridge (no TTL taken), also where a Service lies between them; what
 * uses a wire crosses routers; what the node's own kernel sends, forwards or receives, it counts
 * itself.
 */
#include "stage.h"

const struct route_row *stage_route_lookup(const struct stage_ctx *ctx, struct addr dst)
{
	const struct route_row *row = ctx->local ? route_table_find(ctx->local, dst) : NULL;

	if (!row && ctx->routes)
		row = route_table_find(ctx->routes, dst);
	return row;
}

static void to_iface(struct packet *p, struct iface *out)
{
	if (UNLIKELY(!out || !out->up))
		packet_drop(p, DROP_IFACE_DOWN);
	else
		p->out = out;
}

static void to_peer(const struct stage_ctx *ctx, struct packet *p, const struct peer_row *peer)
{
	struct node *n = ctx->node;

	if (UNLIKELY(!peer)) {
		packet_reply(p, ICMP_UNREACHABLE, ICMP_NET_UNREACHABLE, DROP_NO_ROUTE);
	} else if (UNLIKELY(peer->node == n->id)) {
		packet_reply(p, ICMP_UNREACHABLE, ICMP_HOST_UNREACHABLE, DROP_NO_POD);
	} else if (!n->wire && n->config.backend == BACKEND_HOST_GW) {
		to_iface(p, n->stack); /* its kernel has the route to the peer */
	} else {
		p->peer = peer;
		to_iface(p, n->wire);
	}
}

/* host-gw: masqueraded packets are answered to a node's underlay address, over the same wire. A
 * Service's endpoint on a node is not: its answer would not come back that way.
 */
static const struct peer_row *underlay_peer(const struct stage_ctx *ctx, struct addr dst)
{
	const struct node *n = ctx->node;
	const struct peer_row *peer;

	if (n->config.backend != BACKEND_HOST_GW || !n->wire)
		return NULL;
	peer = peer_table_find(ctx->peers, dst);
	return peer && peer->node != n->id ? peer : NULL;
}

static void no_route(const struct stage_ctx *ctx, struct packet *p)
{
	const struct peer_row *peer = underlay_peer(ctx, p->to.dst);

	if (peer)
		to_peer(ctx, p, peer);
	else
		packet_reply(p, ICMP_UNREACHABLE, ICMP_NET_UNREACHABLE, DROP_NO_ROUTE);
}

/* For no service. What is at no service's address at all is the router's, in modes that leave it to
 * the default route (P-113).
 */
static void unserved(const struct stage_ctx *ctx, struct packet *p)
{
	bool dropped =
	    ctx->node->config.proxy.drops_rest ||
	    service_table_has_address(ctx->services, p->to.dst, FRONTEND_OWN | FRONTEND_EXTERNAL);

	packet_drop(p, dropped ? DROP_NO_SERVICE_PORT : DROP_LEAK);
}

static bool translated(const struct packet *p)
{
	return !flow_key_equal(&p->key, &p->to);
}

static void follow_row(const struct stage_ctx *ctx, struct packet *p, const struct route_row *row)
{
	switch ((enum route_kind)row->kind) {
	case ROUTE_POD:
		to_iface(p, node_iface(ctx->node, row->index));
		break;
	case ROUTE_STACK: {
		const struct peer_row *peer = underlay_peer(ctx, p->to.dst);

		if (UNLIKELY(peer != NULL) && !translated(p))
			to_peer(ctx, p, peer);
		else
			to_iface(p, ctx->node->stack);
		break;
	}
	case ROUTE_PEER:
		to_peer(ctx, p, peer_table_row(ctx->peers, row->index));
		break;
	case ROUTE_SERVICE_RANGE:
		unserved(ctx, p);
		break;
	default:
		no_route(ctx, p);
		break;
	}
}

static bool from_stack(const struct packet *p)
{
	return iface_is_own_kernel(p->in);
}

/* Back to where it came from: pointless, unless it is another packet by now or was to come by. */
static bool loops(const struct stage_ctx *ctx, const struct packet *p)
{
	return (p->out == p->in || (p->out->role == IFACE_STACK && from_stack(p))) &&
	       !translated(p) && !stage_is_detour(ctx, p);
}

static bool crosses_router(const struct packet *p)
{
	return !from_stack(p) && p->out->role != IFACE_STACK &&
	       (p->in->role == IFACE_WIRE || p->out->role == IFACE_WIRE);
}

static uint16_t mtu_of(const struct node *n, const struct iface *out)
{
	return out->role == IFACE_WIRE ? n->config.mtu : out->mtu;
}

/* A super-packet counts as the segments that it stands for. */
static void check_mtu(const struct stage_ctx *ctx, struct packet *p)
{
	uint32_t mtu = mtu_of(ctx->node, p->out);
	uint32_t size = p->gso_type ? (uint32_t)p->hdr_len + p->gso_size : p->len;

	if (LIKELY(size <= mtu))
		return;
	if (!(packet_ipv4(p)->frag & to_be16(IPV4_DF)) && !p->gso_type) {
		p->flags |= PACKET_MAY_FRAGMENT;
		return;
	}
	packet_reply(p, ICMP_UNREACHABLE, ICMP_FRAG_NEEDED, DROP_TOO_BIG);
	p->reply_mtu = (uint16_t)mtu;
}

/* Address of the outgoing interface, as MASQUERADE takes it (spec 3.6). */
static struct addr masquerade_source(const struct node *n, const struct packet *p)
{
	const struct node_config *c = &n->config;

	switch ((enum iface_role)p->out->role) {
	case IFACE_WIRE:
		return c->backend == BACKEND_HOST_GW ? c->address : c->tunnel_addr;
	case IFACE_STACK: /* its own addresses would be martians coming from cni0 */
		return c->stack_addr;
	default:
		return c->cni_addr;
	}
}

/* Whether it may leave by p->out, and as what. */
static void check_out(const struct stage_ctx *ctx, struct packet *p)
{
	if (UNLIKELY(loops(ctx, p))) {
		packet_drop(p, DROP_LOOP);
		return;
	}
	if (crosses_router(p)) {
		p->flags |= PACKET_ROUTED;
		if (UNLIKELY(packet_ipv4(p)->ttl <= 1)) {
			packet_reply(p, ICMP_TIME_EXCEEDED, ICMP_TTL_EXCEEDED, DROP_TTL_EXCEEDED);
			return;
		}
	}
	if (UNLIKELY(p->masquerade))
		p->to.src = masquerade_source(ctx->node, p);
	check_mtu(ctx, p);
}

/* Sets out and peer, or another verdict; returns the row that said so, NULL if none did. */
static const struct route_row *find_way(const struct stage_ctx *ctx, struct packet *p)
{
	const struct route_row *row = stage_route_lookup(ctx, p->to.dst);

	p->peer = NULL;
	if (LIKELY(row != NULL))
		follow_row(ctx, p, row);
	else
		no_route(ctx, p);
	if (LIKELY(p->verdict == VERDICT_CONTINUE))
		stage_trace(ctx, p, TRACE_ROUTE, TRACE_ROUTED, row ? row->kind : ROUTE_PEER,
			    row ? row->index : 0);
	return row;
}

void stage_route_packet(const struct stage_ctx *ctx, struct packet *p)
{
	p->out = NULL;
	p->flags &= (uint16_t)~(PACKET_ROUTED | PACKET_MAY_FRAGMENT);
	(void)find_way(ctx, p);
	if (p->verdict == VERDICT_CONTINUE)
		check_out(ctx, p);
}

/* A change of the tables makes all ways that were found out of date at once. */
static uint64_t current_epoch(const struct stage_ctx *ctx)
{
	const struct way_tables now = {ctx->local, ctx->routes, ctx->peers, ctx->generation};
	struct node *n = ctx->node;

	if (UNLIKELY(memcmp(&n->way_tables, &now, sizeof(now)) != 0)) {
		n->way_tables = now;
		n->way_mask = ctx->routes ? route_table_mask(ctx->routes) : (struct addr){{0, 0}};
		n->way_epoch++;
	}
	return n->way_epoch;
}

static inline struct way *way_to(struct node *n, struct addr dst)
{
	uint64_t x = (dst.w[0] ^ dst.w[1]) * UINT64_C(0x9e3779b97f4a7c15);

	return &n->ways[x >> (64 - WAY_BITS)];
}

/* The way to an address: its range's or, where the node's own routes split that, its own. */
static inline const struct way *way_known(struct node *n, struct addr dst, uint64_t epoch)
{
	struct addr range = addr_and(dst, n->way_mask);
	const struct way *w = way_to(n, range);

	if (LIKELY(w->epoch == (epoch | WAY_RANGE)) && LIKELY(addr_equal(w->dst, range)))
		return w;
	w = way_to(n, dst);
	return LIKELY(w->epoch == epoch) && LIKELY(addr_equal(w->dst, dst)) ? w : NULL;
}

/* Between a pod and a wire, by a way that is known: what route_packet() does then, in a line. */
static inline bool take_way(struct node *n, struct packet *p, uint64_t epoch)
{
	const struct way *w;

	if (UNLIKELY(packet_is_odd_or_super(p)))
		return false;
	w = way_known(n, p->to.dst, epoch);
	if (UNLIKELY(!w) || UNLIKELY(!w->out->up) || UNLIKELY(p->in->role != w->router_from) ||
	    UNLIKELY(p->masquerade) || UNLIKELY(p->len > w->mtu) ||
	    UNLIKELY(packet_ipv4(p)->ttl <= 1))
		return false;
	p->out = w->out;
	p->peer = w->peer;
	p->flags |= PACKET_ROUTED;
	return true;
}

static uint8_t router_from(const struct iface *out)
{
	switch ((enum iface_role)out->role) {
	case IFACE_POD:
		return IFACE_WIRE;
	case IFACE_WIRE:
		return IFACE_POD;
	default:
		return UINT8_MAX;
	}
}

static void remember_way(const struct stage_ctx *ctx, const struct packet *p, uint64_t epoch,
			 const struct route_row *row)
{
	struct node *n = ctx->node;
	struct way w = {.dst = addr_and(p->to.dst, n->way_mask),
			.epoch = epoch | WAY_RANGE,
			.out = p->out,
			.peer = p->peer,
			.mtu = mtu_of(n, p->out),
			.router_from = router_from(p->out)};

	if (router_from(p->out) == UINT8_MAX || way_known(n, p->to.dst, epoch))
		return; /* never taken; known, but the packet was not plain */
	/* peers on the underlay are found by address */
	if (!row || (row->kind != ROUTE_PEER && row->kind != ROUTE_POD) ||
	    (ctx->local && route_table_splits(ctx->local, w.dst, n->way_mask))) {
		w.dst = p->to.dst;
		w.epoch = epoch;
	}
	*way_to(n, w.dst) = w;
}

static void route_packet(const struct stage_ctx *ctx, struct packet *p, uint64_t epoch)
{
	const struct route_row *row = find_way(ctx, p);

	if (p->verdict != VERDICT_CONTINUE)
		return;
	remember_way(ctx, p, epoch, row);
	check_out(ctx, p);
}

void stage_route(const struct stage_ctx *ctx, struct batch *b)
{
	uint64_t epoch = current_epoch(ctx);
	struct node *n = ctx->node;
	unsigned count = b->count;

	for (unsigned i = 0; i < count; i++) {
		struct packet *p = b->pkt[i];

		if (UNLIKELY(!take_way(n, p, epoch)) && p->verdict == VERDICT_CONTINUE)
			route_packet(ctx, p, epoch);
	}
}
