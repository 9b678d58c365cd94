/* SPDX-License-Identifier: Apache-2.0 */
/* stage_tunnel.c - encapsulation of the three flannel backends, off and on.
 *
 * vxlan (RFC 7348): VXLAN and Ethernet headers between the VTEPs. udp: the bare IPv4 packet, whose
 * TTL each of the two proxies takes one from (flannel's proxy_amd64.c). host-gw: nothing at all.
 * The outer IPv4 and UDP headers are the iface's: a socket or an emulated link writes them.
 */
#include "rewrite.h"
#include "stage.h"

enum {
	VXLAN_BYTES = sizeof(struct vxlan_hdr) + sizeof(struct eth_hdr),
	SPORT_FIRST = 32768, /* net.ipv4.ip_local_port_range */
	SPORT_COUNT = 60999 - SPORT_FIRST + 1,
};
static_assert(VXLAN_BYTES == 22, "RFC 7348 section 5");

static enum drop_reason vxlan_off(const struct node_config *c, struct packet *p)
{
	const struct vxlan_hdr *vxlan = (const void *)p->data;
	const struct eth_hdr *eth =
	    (const struct eth_hdr *)(const void *)(p->data + sizeof(*vxlan));

	if (p->len < VXLAN_BYTES)
		return DROP_TUNNEL_SHORT;
	if (vxlan->flags != VXLAN_FLAG_VNI)
		return DROP_TUNNEL_BAD;
	if (((uint32_t)vxlan->vni[0] << 16 | (uint32_t)vxlan->vni[1] << 8 | vxlan->vni[2]) !=
	    c->vni)
		return DROP_TUNNEL_VNI;
	if (memcmp(eth->dst, c->vtep_mac, sizeof(eth->dst)) != 0)
		return DROP_TUNNEL_MAC;
	if (eth->type != to_be16(ETHERTYPE_IPV4))
		return DROP_TUNNEL_BAD;
	p->data += VXLAN_BYTES;
	p->len -= VXLAN_BYTES;
	return DROP_NONE;
}

/* The proxy of either side; also what flanneld does with a TTL of zero: silence. */
static enum drop_reason udp_proxy(struct packet *p)
{
	if (p->len < sizeof(struct ipv4_hdr))
		return DROP_TUNNEL_SHORT;
	if (packet_ipv4(p)->ttl <= 1)
		return DROP_TUNNEL_TTL;
	rewrite_ttl(packet_ipv4(p));
	return DROP_NONE;
}

/* flannel's proxy reads into a buffer of its device's MTU: the kernel refuses what was cut off. */
static enum drop_reason udp_off(const struct node_config *c, struct packet *p)
{
	uint32_t size = p->gso_type ? (uint32_t)p->hdr_len + p->gso_size : p->len;

	return size > c->mtu ? DROP_TRUNCATED : udp_proxy(p);
}

static enum drop_reason tunnel_off(const struct stage_ctx *ctx, struct packet *p)
{
	const struct node_config *c = &ctx->node->config;
	const struct peer_row *peer;
	enum drop_reason why;

	if (c->backend == BACKEND_HOST_GW)
		return DROP_NONE;
	peer = peer_table_find(ctx->peers, addr_from_v4(p->outer_src));
	if (!peer || peer->node == ctx->node->id)
		return DROP_TUNNEL_STRANGER;
	why = c->backend == BACKEND_VXLAN ? vxlan_off(c, p) : udp_off(c, p);
	if (why == DROP_NONE)
		stage_trace(ctx, p, TRACE_TUNNEL_OFF, TRACE_DECAPSULATED, peer->node, 0);
	return why;
}

void stage_tunnel_off(const struct stage_ctx *ctx, struct batch *b)
{
	unsigned count = b->count;

	for (unsigned i = 0; i < count; i++) {
		struct packet *p = b->pkt[i];

		if (p->in->role != IFACE_WIRE)
			continue;
		enum drop_reason why = tunnel_off(ctx, p);

		if (why != DROP_NONE)
			packet_drop(p, why);
	}
}

/* The 22 bytes before the IPv4 header, in words that overlap: everything but the peer's MAC is the
 * same for all packets of a node.
 */
struct vxlan_words {
	uint64_t vxlan;
	uint64_t from; /* source MAC and Ethernet type */
};

static struct vxlan_words vxlan_words(const struct node_config *c)
{
	const struct vxlan_hdr vxlan = {
	    .flags = VXLAN_FLAG_VNI,
	    .vni = {(uint8_t)(c->vni >> 16), (uint8_t)(c->vni >> 8), (uint8_t)c->vni},
	};
	struct eth_hdr eth = {.type = to_be16(ETHERTYPE_IPV4)};
	struct vxlan_words w;

	memcpy(eth.src, c->vtep_mac, sizeof(eth.src));
	memcpy(&w.vxlan, &vxlan, sizeof(w.vxlan));
	memcpy(&w.from, eth.src, sizeof(w.from));
	return w;
}

static inline void vxlan_on(struct packet *p, const struct peer_row *peer, struct vxlan_words w)
{
	uint32_t offset = (uint32_t)(((uint64_t)p->hash * SPORT_COUNT) >> 32);
	uint8_t *at = p->data - VXLAN_BYTES;
	uint64_t to; /* and two bytes that are overwritten */

	static_assert(offsetof(struct peer_row, mac) + sizeof(to) <= sizeof(struct peer_row), "");
	assert(packet_headroom(p) >= VXLAN_BYTES);
	p->data = at;
	p->len += VXLAN_BYTES;
	memcpy(&to, (const char *)peer + offsetof(struct peer_row, mac), sizeof(to));
	memcpy(at, &w.vxlan, sizeof(w.vxlan));
	memcpy(at + sizeof(struct vxlan_hdr), &to, sizeof(to));
	memcpy(at + VXLAN_BYTES - sizeof(w.from), &w.from, sizeof(w.from));
	p->outer_sport = to_be16((uint16_t)(SPORT_FIRST + offset));
}

/* udp and host-gw; false if the packet is dropped. */
static bool bare_on(const struct node_config *c, struct packet *p)
{
	enum drop_reason why = c->backend == BACKEND_UDP ? udp_proxy(p) : DROP_NONE;

	p->outer_sport = c->port;
	if (why != DROP_NONE)
		packet_drop(p, why);
	return why == DROP_NONE;
}

void stage_tunnel_on(const struct stage_ctx *ctx, struct batch *b)
{
	const struct node_config *c = &ctx->node->config;
	struct vxlan_words w = vxlan_words(c);
	be32 source = addr_to_v4(c->address);
	bool vxlan = c->backend == BACKEND_VXLAN;
	unsigned count = b->count;

	for (unsigned i = 0; i < count; i++) {
		struct packet *p = b->pkt[i];

		if (UNLIKELY(p->verdict != VERDICT_FORWARD) || p->out->role != IFACE_WIRE)
			continue;
		const struct peer_row *peer = p->peer;

		p->outer_src = source;
		p->outer_dst = addr_to_v4(peer->address);
		p->outer_dport = peer->port;
		if (LIKELY(vxlan))
			vxlan_on(p, peer, w);
		else if (!bare_on(c, p))
			continue;
		if (UNLIKELY(p->flags & PACKET_MARKED))
			stage_trace(ctx, p, TRACE_TUNNEL_ON, TRACE_ENCAPSULATED, peer->node,
				    from_be16(p->outer_sport));
	}
}
