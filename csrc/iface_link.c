/* SPDX-License-Identifier: Apache-2.0 */
/* iface_link.c - a node's end of the fabric: outer headers on and off.
 *
 * Outer headers are what flannel's kernel sockets write (spec 2.1, 2.2): TTL 64, DF for udp and not
 * for vxlan, a UDP checksum. A super-packet has no UDP checksum (RFC 7348 allows it; hardware that
 * cuts it would write them). What arrives is checked as a kernel would, for links will corrupt.
 */
#include "fabric.h"

#include <errno.h>
#include <stdlib.h>

#include "capture.h"
#include "checksum.h"
#include "iface_cut.h"
#include "node.h"

enum {
	TUNNEL_VXLAN = sizeof(struct vxlan_hdr) + sizeof(struct eth_hdr),
	OUTER = sizeof(struct ipv4_hdr) + sizeof(struct udp_hdr),
	OUTER_MAX = 65535,
	RECEIVE_BYTES = 256 * 1024,
};
static_assert(OUTER + TUNNEL_VXLAN == 50, "VXLAN overhead, RFC 7348 4.3 without outer Ethernet");

static struct iface_link *link_of(struct iface *i)
{
	return (struct iface_link *)(void *)i;
}

/* Bytes between the wire's first and the inner IPv4 header. */
static size_t tunnel_bytes(const struct node *n)
{
	return n->config.backend == BACKEND_VXLAN ? TUNNEL_VXLAN : 0;
}

static size_t outer_bytes(const struct node *n)
{
	return n->config.backend == BACKEND_HOST_GW ? 0 : OUTER;
}

static void outer_on(struct iface_link *l, struct packet *p)
{
	const struct node_config *config = &l->base.node->config;
	bool df = config->backend == BACKEND_UDP;
	uint32_t udp_len = p->len + (uint32_t)sizeof(struct udp_hdr);
	struct udp_hdr *u = (void *)(p->data - sizeof(*u));
	struct ipv4_hdr *h = (void *)(p->data - OUTER);

	*h = (struct ipv4_hdr){
	    .version_ihl = 0x45,
	    .total_len = to_be16((uint16_t)(p->len + OUTER)),
	    .id = to_be16(l->ip_id++),
	    .frag = to_be16(df ? IPV4_DF : 0),
	    .ttl = TTL_DEFAULT,
	    .proto = PROTO_UDP,
	    .src = addr_to_v4(config->address),
	    .dst = p->outer_dst,
	};
	h->checksum = checksum_finish(checksum_partial(h, sizeof(*h), 0));
	*u = (struct udp_hdr){
	    .sport = p->outer_sport,
	    .dport = p->outer_dport,
	    .len = to_be16((uint16_t)udp_len),
	};
	if (p->gso_type == VNET_GSO_NONE) {
		uint64_t sum = checksum_pseudo_v4(h->src, h->dst, PROTO_UDP, (uint16_t)udp_len);

		u->checksum = checksum_finish(checksum_partial(u, udp_len, sum));
		if (u->checksum == 0)
			u->checksum = 0xffff;
	}
	p->data -= OUTER;
	p->len += OUTER;
}

/* Checks and strips the outer headers; DROP_NONE if they are sound and for this node. */
static enum drop_reason outer_off(const struct node *n, struct packet *p)
{
	const struct ipv4_hdr *h = packet_ipv4(p);
	const struct udp_hdr *u = (const void *)(h + 1);
	uint16_t udp_len;

	if (p->len < OUTER || h->version_ihl != 0x45 || from_be16(h->total_len) != p->len)
		return DROP_TUNNEL_SHORT;
	if (checksum_finish(checksum_partial(h, sizeof(*h), 0)) != 0)
		return DROP_BAD_CHECKSUM;
	udp_len = from_be16(u->len);
	if (h->proto != PROTO_UDP || udp_len != p->len - sizeof(*h))
		return DROP_TUNNEL_SHORT;
	if (h->dst != addr_to_v4(n->config.address) || u->dport != n->config.port)
		return DROP_TUNNEL_STRANGER;
	if (u->checksum) {
		uint64_t sum = checksum_pseudo_v4(h->src, h->dst, PROTO_UDP, udp_len);

		if (checksum_finish(checksum_partial(u, udp_len, sum)) != 0)
			return DROP_BAD_CHECKSUM;
	}
	p->outer_src = h->src;
	p->outer_dst = h->dst;
	p->outer_sport = u->sport;
	p->outer_dport = u->dport;
	p->data += OUTER;
	p->len -= OUTER;
	return DROP_NONE;
}

static unsigned link_receive(struct iface *i, struct packet_pool *pool, struct batch *b)
{
	size_t outer = outer_bytes(i->node);
	uint32_t bytes = 0;

	b->count = 0;
	while (b->count < BATCH_MAX && bytes < RECEIVE_BYTES) {
		struct packet *p = packet_list_pop(&i->arrived);
		enum drop_reason why;

		if (!p)
			break;
		p->in = i;
		bytes += p->len;
		iface_count_rx(i, p, outer + tunnel_bytes(i->node));
		capture_seen(i, CAPTURE_INBOUND, p->data, p->len);
		why = outer ? outer_off(i->node, p) : DROP_NONE;
		if (why) {
			node_count_drop(i->node, why);
			packet_give(pool, p);
			continue;
		}
		b->pkt[b->count++] = p;
	}
	i->more = i->arrived.first != NULL;
	return b->count;
}

static void link_emit(struct iface *i, struct packet_pool *pool, struct packet *p)
{
	struct iface_link *l = link_of(i);
	uint32_t to = p->peer ? p->peer->node : PEER_EXTERNAL;
	size_t outer = outer_bytes(i->node);
	struct iface_stats before = i->stats;
	enum drop_reason why;

	if (outer)
		outer_on(l, p);
	capture_seen(i, CAPTURE_OUTBOUND, p->data, p->len);
	iface_count_tx(i, p, outer + tunnel_bytes(i->node));
	why = fabric_deliver(l, to, pool, p);
	if (why) {
		i->stats = before;
		iface_drop(i, pool, p, why);
	}
}

static void link_send(struct iface *i, struct packet_pool *pool, struct packet *const *pkt,
		      unsigned count)
{
	size_t outer = outer_bytes(i->node);

	for (unsigned n = 0; n < count; n++) {
		struct packet *p = pkt[n];

		if (p->flags & PACKET_MAY_FRAGMENT || p->len + outer > OUTER_MAX)
			iface_cut(i, pool, p, tunnel_bytes(i->node), i->node->config.mtu,
				  link_emit);
		else
			link_emit(i, pool, p);
	}
	fabric_flush(link_of(i)->fabric, link_of(i)->worker);
}

static void link_close(struct iface *i)
{
	struct iface_link *l = link_of(i);

	iface_give_arrived(i);
	if (l->joined)
		fabric_leave(l->fabric, l);
	free(l);
}

static const struct iface_ops link_ops = {
    .name = "link",
    .receive = link_receive,
    .send = link_send,
    .close = link_close,
};

bool iface_is_link(const struct iface *i)
{
	return i->ops == &link_ops;
}

int iface_link_new(struct iface **out, struct fabric *f)
{
	struct iface_link *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->base.ops = &link_ops;
	l->base.fd = -1;
	l->base.up = true;
	l->fabric = f;
	*out = &l->base;
	return 0;
}

int iface_link_join(struct iface *i)
{
	struct iface_link *l = link_of(i);
	int error = fabric_join(l->fabric, l);

	l->joined = error == 0;
	return error;
}
