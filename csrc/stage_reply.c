/* SPDX-License-Identifier: Apache-2.0 */
/* stage_reply.c - a refused packet becomes the ICMP error about itself and goes back.
 *
 * In place: the quote stays where it is, new headers go in front. As Linux writes them (icmp.c:
 * precedence internetwork control, quote up to 576 bytes in all) and, for what flannel's udp proxy
 * refuses, as the proxy does (TTL 8, header plus 8 bytes, never about ICMP).
 */
#include "checksum.h"
#include "stage.h"

enum {
	HEADERS = sizeof(struct ipv4_hdr) + sizeof(struct icmp_hdr),
	REPLY_BYTES_MAX = 576, /* RFC 1812 4.3.2.3 */
	TOS_MASK = 0x1e,
	TOS_INTERNETWORK_CONTROL = 0xc0, /* RFC 1812 4.3.2.5 */
	FLANNEL_TTL = 8,
	FLANNEL_QUOTED_L4 = 8,
};

/* How the error looks: Linux's by default. */
struct style {
	struct addr source;
	uint32_t quote;
	uint8_t ttl;
	uint8_t tos;
};

/* RFC 1122 3.2.2: not about an ICMP error, not about a later fragment; stage_parse has already
 * refused sources that are not one host.
 */
static bool may_answer(const struct packet *p)
{
	return !(p->flags & (PACKET_ICMP_ERROR | PACKET_FRAGMENT_LATER));
}

/* The node as the sender sees it: the hop that traceroute shows. About a packet whose destination
 * is being translated, it comes from what the sender knows: the error is translated back like an
 * answer.
 */
static struct addr hop_address(const struct node *n, const struct packet *p)
{
	bool service = p->drop == DROP_NO_ENDPOINT || p->drop == DROP_NO_SERVICE_PORT;

	if (!addr_equal(p->key.dst, p->to.dst) || (service && n->config.proxy.bound))
		return p->key.dst;
	switch ((enum iface_role)p->in->role) {
	case IFACE_POD:
		return n->config.cni_addr;
	case IFACE_WIRE:
		return n->config.backend == BACKEND_HOST_GW ? n->config.address
							    : n->config.tunnel_addr;
	default: /* the kernel drops what claims to come from an address of its own */
		return p->key.dst;
	}
}

static bool refused_by_flannel(const struct node *n, const struct packet *p)
{
	return n->config.backend == BACKEND_UDP && p->reply_type == ICMP_UNREACHABLE &&
	       p->reply_code == ICMP_NET_UNREACHABLE && node_in_cluster(n, p->to.dst);
}

static void make_style(const struct node *n, const struct packet *p, struct style *s)
{
	uint32_t room = REPLY_BYTES_MAX - HEADERS;

	*s = (struct style){
	    .source = hop_address(n, p),
	    .quote = p->len < room ? p->len : room,
	    .ttl = TTL_DEFAULT,
	    .tos = (packet_ipv4(p)->tos & TOS_MASK) | TOS_INTERNETWORK_CONTROL,
	};
	if (refused_by_flannel(n, p)) {
		uint32_t quote = (uint32_t)p->l4_off + FLANNEL_QUOTED_L4;

		s->quote = p->len < quote ? p->len : quote;
		s->ttl = FLANNEL_TTL;
		s->tos = 0;
		if (p->in->role == IFACE_POD && addr_equal(p->key.dst, p->to.dst))
			s->source = n->config.tunnel_addr;
	}
}

static void write_error(struct packet *p, const struct style *s)
{
	be32 dst = packet_ipv4(p)->src;
	struct ipv4_hdr *ip;
	struct icmp_hdr *icmp;

	assert(packet_headroom(p) >= HEADERS);
	p->data -= HEADERS;
	p->len = HEADERS + s->quote;
	p->l4_off = sizeof(*ip);
	ip = packet_ipv4(p);
	*ip = (struct ipv4_hdr){
	    .version_ihl = 0x45,
	    .tos = s->tos,
	    .total_len = to_be16((uint16_t)p->len),
	    .ttl = s->ttl,
	    .proto = PROTO_ICMP,
	    .src = addr_to_v4(s->source),
	    .dst = dst,
	};
	ip->checksum = checksum_finish(checksum_partial(ip, sizeof(*ip), 0));
	icmp = (void *)packet_l4(p);
	*icmp = (struct icmp_hdr){.type = p->reply_type, .code = p->reply_code};
	icmp->unreach.mtu = to_be16(p->reply_mtu);
	icmp->checksum = checksum_finish(checksum_partial(icmp, p->len - p->l4_off, 0));
	p->flags &= PACKET_MARKED;
	p->gso_type = VNET_GSO_NONE;
	p->gso_size = 0;
	p->to = (struct flow_key){.src = s->source, .dst = addr_from_v4(dst), .proto = PROTO_ICMP};
}

/* Over a wire: through the peer that the sender is behind. */
static const struct peer_row *peer_behind(const struct stage_ctx *ctx, struct addr dst)
{
	const struct route_row *row = stage_route_lookup(ctx, dst);
	const struct peer_row *peer = row && row->kind == ROUTE_PEER
					  ? peer_table_row(ctx->peers, row->index)
					  : peer_table_find(ctx->peers, dst);

	return peer && peer->node != ctx->node->id ? peer : NULL;
}

static void reply(const struct stage_ctx *ctx, struct packet *p)
{
	struct node *n = ctx->node;
	struct style s;

	if (!may_answer(p) || (p->key.proto == PROTO_ICMP && refused_by_flannel(n, p))) {
		packet_drop(p, (enum drop_reason)p->drop);
		return;
	}
	if (p->in->role == IFACE_WIRE) {
		p->peer = peer_behind(ctx, p->key.src);
		if (!p->peer) {
			packet_drop(p, (enum drop_reason)p->drop);
			return;
		}
	}
	make_style(n, p, &s);
	write_error(p, &s);
	p->out = p->in;
	p->verdict = VERDICT_FORWARD;
	n->stats.icmp_errors_sent++;
	stage_trace(ctx, p, TRACE_REPLY, TRACE_REPLIED, p->reply_type, p->reply_code);
}

void stage_reply(const struct stage_ctx *ctx, struct batch *b)
{
	for (uint64_t left = b->refused; left; left &= left - 1)
		reply(ctx, b->pkt[__builtin_ctzll(left)]);
}
