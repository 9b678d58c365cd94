/* SPDX-License-Identifier: Apache-2.0 */
/* stage_service.c - first packets to a service get one of its endpoints, or a rejection.
 *
 * kube-proxy's nat table: only the first packet of a connection comes here (spec 3.2). Who may use
 * which endpoints, and in whose name, is one row of the table below (3.5, 3.6). Choice: the first
 * endpoint, in the set's order, that the client had while affinity holds (P-30..P-38), else each
 * with probability 1/n (P-20). No endpoints: port unreachable, for TCP too (P-60), or nothing at
 * all where only the Local policy keeps them away (P-61). What the proxy says of a Service's other
 * ports, and to ping, depends on its mode (3.11). On a node that relays all that is a program's to
 * decide (csrc/relay), to which everything goes.
 */
#include "stage.h"

/* Where a packet comes from, as kube-proxy tells sources apart. */
enum source_class {
	SOURCE_POD,
	SOURCE_NODE, /* the node's own addresses */
	SOURCE_OUTSIDE,
	SOURCE_CLASSES
};

/* What it asks for. */
enum way_in {
	IN_CLUSTER,        /* cluster IP */
	IN_CLUSTER_LOCAL,  /* cluster IP, internalTrafficPolicy Local */
	IN_EXTERNAL,       /* node port, external or load balancer's address */
	IN_EXTERNAL_LOCAL, /* the same, externalTrafficPolicy Local; a host port */
	WAYS_IN
};

struct admittance {
	bool local;      /* the node's own endpoints only */
	bool masquerade; /* in the node's name */
};

/* The masquerade matrix (spec 3.6); what hairpins is masqueraded whatever the row says. */
static const struct admittance admittances[WAYS_IN][SOURCE_CLASSES] = {
    [IN_CLUSTER] = {[SOURCE_POD] = {false, false},
		    [SOURCE_NODE] = {false, true},
		    [SOURCE_OUTSIDE] = {false, true}},
    [IN_CLUSTER_LOCAL] = {[SOURCE_POD] = {true, false},
			  [SOURCE_NODE] = {true, true},
			  [SOURCE_OUTSIDE] = {true, true}},
    [IN_EXTERNAL] = {[SOURCE_POD] = {false, true},
		     [SOURCE_NODE] = {false, true},
		     [SOURCE_OUTSIDE] = {false, true}},
    [IN_EXTERNAL_LOCAL] = {[SOURCE_POD] = {false, false}, /* as if it went out and came back */
			   [SOURCE_NODE] = {false, true},
			   [SOURCE_OUTSIDE] = {true, false}},
};

static inline enum way_in way_in(const struct frontend *f)
{
	return (f->flags & FRONTEND_EXTERNAL ? IN_EXTERNAL : IN_CLUSTER) +
	       (f->flags & FRONTEND_LOCAL ? 1 : 0);
}

static bool is_pod(const struct node *n, const struct packet *p)
{
	switch ((enum local_detector)n->config.proxy.detector) {
	case DETECT_CLUSTER_CIDR:
		return node_in_cluster(n, p->key.src);
	case DETECT_NODE_CIDR:
		return addr_equal(addr_and(p->key.src, n->config.pod_mask), n->config.pod_cidr);
	case DETECT_INTERFACE:
		return p->in->role == IFACE_POD;
	default:
		return false;
	}
}

static enum source_class source_class(const struct node *n, const struct packet *p)
{
	/* the addresses of cni0 and the tunnel are in the pods' ranges: to a range they are pods */
	if (is_pod(n, p))
		return SOURCE_POD;
	return node_is_local(n, p->key.src) ? SOURCE_NODE : SOURCE_OUTSIDE;
}

/* Options of the proxy against the table: without a detector nobody can be told from a pod, so to
 * cluster IPs nobody is masqueraded; with masquerade_all everybody is.
 */
static struct admittance admit(const struct node *n, const struct packet *p,
			       const struct frontend *f)
{
	const struct proxy_config *c = &n->config.proxy;
	struct admittance a = admittances[way_in(f)][source_class(n, p)];

	if (!(f->flags & FRONTEND_EXTERNAL)) {
		a.masquerade &= c->detector != DETECT_NONE;
		a.masquerade |= c->masquerade_all;
	}
	return a;
}

static void trace_choice(const struct stage_ctx *ctx, struct packet *p, enum trace_event event,
			 struct endpoint_set set)
{
	uint32_t index = (uint32_t)(p->endpoint - p->service->endpoints);

	stage_trace(ctx, p, TRACE_SERVICE, event, p->service->id, index << 16 | set.count);
}

/* What a client has affinity with: a service port, however it is reached (P-33), or an entry. */
static uint32_t affinity_of(const struct node *n, const struct packet *p)
{
	uint32_t id = p->service->id;

	return n->config.proxy.by_entry ? service_entry(id, &p->key) : id;
}

/* The first endpoint of the set that this client is with, as kube-proxy asks their lists in turn
 * (P-36).
 */
static const struct endpoint *affine(const struct stage_ctx *ctx, const struct packet *p,
				     struct endpoint_set set)
{
	const struct affinity *known[AFFINITY_FOUND_MAX];
	const struct service *s = p->service;
	unsigned count = affinity_find(ctx->node->affinity, affinity_of(ctx->node, p), p->key.src,
				       ctx->now_ns, s->affinity_s, known);

	for (uint32_t i = 0; count && i < set.count; i++) {
		const struct endpoint *e = service_set_endpoint(s, set, i);

		for (unsigned k = 0; k < count; k++)
			if (known[k]->endpoint_slot == e->slot &&
			    known[k]->endpoint_generation == e->generation)
				return e;
	}
	return NULL;
}

static void remember(const struct stage_ctx *ctx, const struct packet *p)
{
	const struct affinity_key key = {.client = p->key.src,
					 .service = affinity_of(ctx->node, p),
					 .slot = p->endpoint->slot,
					 .generation = p->endpoint->generation};
	struct node *n = ctx->node;

	if (affinity_set(n->affinity, &key, ctx->now_ns, p->service->affinity_s))
		n->stats.affinity_evicted++;
}

static void choose(const struct stage_ctx *ctx, struct packet *p, struct endpoint_set set)
{
	const struct service *s = p->service;
	struct node *n = ctx->node;
	const struct endpoint *e = s->affinity_s ? affine(ctx, p, set) : NULL;

	if (e) {
		n->stats.affinity_hits++;
		p->endpoint = e;
		trace_choice(ctx, p, TRACE_SERVICE_AFFINE, set);
	} else {
		e = LIKELY(!n->load)
			? service_pick(s, set, (uint32_t)(random_next(&n->random) >> 32))
			: stage_schedule(ctx, p, set);
		p->endpoint = e;
		trace_choice(ctx, p, TRACE_SERVICE_CHOSEN, set);
	}
	if (s->affinity_s)
		remember(ctx, p);
}

/* A load balancer's address is open to the ranges; if the node is in one, also to what the node
 * sends in that address's own name (P-70 to P-73).
 */
static bool in_ranges(const struct node *n, const struct packet *p)
{
	return service_accepts(p->service, p->key.src) ||
	       (addr_equal(p->key.src, p->key.dst) &&
		service_accepts(p->service, n->config.address));
}

static void reject(const struct stage_ctx *ctx, struct packet *p, uint32_t service,
		   enum drop_reason why)
{
	/* rejected where it would be forwarded, which is too late for a TTL of 1 */
	if (packet_ipv4(p)->ttl <= 1 && !iface_is_own_kernel(p->in)) {
		packet_reply(p, ICMP_TIME_EXCEEDED, ICMP_TTL_EXCEEDED, DROP_TTL_EXCEEDED);
		return;
	}
	ctx->node->stats.service_rejects++;
	stage_trace(ctx, p, TRACE_SERVICE, TRACE_SERVICE_REJECTED, service, 0);
	packet_reply(p, ICMP_UNREACHABLE, ICMP_PORT_UNREACHABLE, why);
}

/* With own_first what comes from the node and its pods is like what comes from outside, unless the
 * node has no endpoint.
 */
static struct endpoint_set set_for(const struct node *n, const struct frontend *f, bool local)
{
	const uint32_t external_local = FRONTEND_EXTERNAL | FRONTEND_LOCAL;
	const struct service *s = f->service;
	uint64_t number = n->config.number;

	if (UNLIKELY(n->config.proxy.own_first) && (f->flags & external_local) == external_local) {
		struct endpoint_set own = service_set_of(s, &s->local, number);

		if (own.count)
			return own;
	}
	return service_set_of(s, local ? &s->local : &s->cluster, number);
}

/* Nobody serves. Where no rule is on the node's way out, what it sends itself to an address that is
 * not its own leaves for there, and nobody answers.
 */
static void turn_away(const struct stage_ctx *ctx, struct packet *p, const struct frontend *f)
{
	const struct node *n = ctx->node;

	if (!n->config.proxy.refuses_own && f->flags & FRONTEND_EXTERNAL &&
	    node_is_local(n, p->key.src) && !node_is_local(n, p->key.dst))
		packet_drop(p, DROP_NO_ENDPOINT);
	else
		reject(ctx, p, f->service->id, DROP_NO_ENDPOINT);
}

static void serve(const struct stage_ctx *ctx, struct packet *p, const struct frontend *f)
{
	const struct node *n = ctx->node;
	const struct service *s = f->service;
	struct admittance a = admit(n, p, f);
	struct endpoint_set set = set_for(n, f, a.local);

	p->service = s;
	if (UNLIKELY(addr_is_loopback(p->key.dst)) && !(f->flags & FRONTEND_HOST))
		ctx->node->stats.localhost_node_ports++;
	if (UNLIKELY(f->flags & FRONTEND_RANGES) && (s->served || n->config.proxy.ranges_first) &&
	    !in_ranges(n, p)) {
		packet_drop(p, DROP_SOURCE_RANGE);
	} else if (LIKELY(set.count != 0)) {
		choose(ctx, p, set);
		p->masquerade = a.masquerade;
		__builtin_prefetch(p->endpoint);
		__builtin_prefetch((const char *)(p->endpoint + 1) - 1);
	} else if (s->served) {
		packet_drop(p, DROP_NO_LOCAL_ENDPOINT);
	} else {
		turn_away(ctx, p, f);
	}
}

/* The relay has no policy here. It sees who asks; but what the node's own kernel sends would not
 * come back from there, unless it is from another address (stack_addr).
 */
static bool go_to_relay(const struct stage_ctx *ctx, struct packet *p, const struct frontend *f)
{
	const struct node *n = ctx->node;
	const struct endpoint *relay = f ? service_relay(f->service) : NULL;

	if (!relay)
		return false;
	p->service = f->service;
	p->endpoint = relay;
	p->masquerade = node_is_local(n, p->key.src);
	p->to.dst = n->config.cni_addr;
	p->to.dport = relay->port;
	ctx->node->stats.localhost_node_ports += addr_is_loopback(p->key.dst);
	stage_trace(ctx, p, TRACE_SERVICE, TRACE_SERVICE_RELAYED, f->service->id,
		    from_be16(relay->port));
	return true;
}

/* Who asks itself is masqueraded, and who comes by the node's kernel to a program of the node: its
 * answers to a client from outside would leave by that kernel, untranslated.
 */
static void go_to_endpoint(const struct node *n, struct packet *p)
{
	p->to.dst = p->endpoint->addr;
	p->to.dport = p->endpoint->port;
	if (UNLIKELY(addr_equal(p->key.src, p->to.dst)) ||
	    (UNLIKELY(iface_is_own_kernel(p->in)) && node_is_local(n, p->to.dst)))
		p->masquerade = 1;
}

/* What the packets ask for. */
struct finds {
	struct service_key key[BATCH_MAX];
	uint64_t hash[BATCH_MAX];
};

/* A table that no cache holds is waited for once per step, not once per packet. */
static void begin_finds(const struct stage_ctx *ctx, const struct batch *b, struct finds *finds)
{
	for (uint64_t left = b->fresh; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		finds->key[i] = service_key_of(&b->pkt[i]->key);
		finds->hash[i] = service_table_hash(ctx->services, &finds->key[i]);
		service_table_prefetch(ctx->services, finds->hash[i]);
	}
	for (uint64_t left = b->fresh; left; left &= left - 1)
		service_table_prefetch_frontend(ctx->services, finds->hash[__builtin_ctzll(left)]);
}

/* What goes back to the stack is its own to track: of the answers nothing is seen here. */
static void leave_alone(struct batch *b, unsigned i)
{
	b->pkt[i]->flags &= (uint16_t)~PACKET_NEW_FLOW;
	b->fresh &= ~(UINT64_C(1) << i);
}

/* For no service port. */
static void unserved(const struct stage_ctx *ctx, struct batch *b, unsigned i)
{
	struct packet *p = b->pkt[i];
	uint32_t refused_at = ctx->node->config.proxy.refused_at;

	if (UNLIKELY(stage_is_detour(ctx, p)))
		leave_alone(b, i);
	else if (UNLIKELY(refused_at) &&
		 service_table_has_address(ctx->services, p->key.dst, refused_at))
		reject(ctx, p, 0, DROP_NO_SERVICE_PORT);
}

/* Returns who is left: what is for host ports, which are not the proxy's. */
static uint64_t relay_all(const struct stage_ctx *ctx, struct batch *b, const struct finds *finds)
{
	uint64_t others = 0;

	for (uint64_t left = b->fresh; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		const struct frontend *f =
		    node_frontend(ctx->node, ctx->services, &finds->key[i], finds->hash[i]);

		if (f && f->flags & FRONTEND_HOST)
			others |= UINT64_C(1) << i;
		else if (!go_to_relay(ctx, b->pkt[i], f))
			unserved(ctx, b, i);
	}
	return others;
}

/* By itself, so that batches without new flows need not make room for what it keeps. */
__attribute__((noinline)) static void serve_all(const struct stage_ctx *ctx, struct batch *b)
{
	struct finds finds;
	uint64_t fresh;

	begin_finds(ctx, b, &finds);
	fresh = LIKELY(!ctx->node->config.proxy.relays) ? b->fresh : relay_all(ctx, b, &finds);
	for (uint64_t left = fresh; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		const struct frontend *f =
		    node_frontend(ctx->node, ctx->services, &finds.key[i], finds.hash[i]);

		if (f)
			serve(ctx, b->pkt[i], f);
		else
			unserved(ctx, b, i);
	}
	for (uint64_t left = fresh; left; left &= left - 1) {
		struct packet *p = b->pkt[__builtin_ctzll(left)];

		if (p->endpoint)
			go_to_endpoint(ctx->node, p);
	}
}

/* Only packets of new flows. */
void stage_service(const struct stage_ctx *ctx, struct batch *b)
{
	if (b->fresh)
		serve_all(ctx, b);
}
