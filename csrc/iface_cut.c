/* SPDX-License-Identifier: Apache-2.0 */
/* iface_cut.c - the slow but general way out: one pool packet per segment or fragment. */
#include "iface_cut.h"

#include "gso.h"
#include "iface_ring.h"
#include "node.h"

void iface_drop(struct iface *i, struct packet_pool *pool, struct packet *p, enum drop_reason why)
{
	node_count_drop(i->node, why);
	i->stats.tx_drops++;
	packet_give(pool, p);
}

void iface_give_arrived(struct iface *i)
{
	struct packet *p;

	while ((p = packet_list_pop(&i->arrived)) != NULL)
		packet_give(i->node->pool, p);
}

/* An empty packet with the same way to go; NULL, counted, when there is none. */
static struct packet *piece_take(struct iface *i, struct packet_pool *pool, const struct packet *of)
{
	struct packet *p = iface_take(i, pool);

	if (!p) {
		node_count_drop(i->node, DROP_POOL_EMPTY);
		i->stats.tx_drops++;
		return NULL;
	}
	p->flags = of->flags & (PACKET_MARKED | PACKET_MAY_FRAGMENT);
	p->in = of->in;
	p->out = of->out;
	p->peer = of->peer;
	p->hash = of->hash;
	p->l4_off = of->l4_off;
	p->trace_id = of->trace_id;
	p->outer_src = of->outer_src;
	p->outer_dst = of->outer_dst;
	p->outer_sport = of->outer_sport;
	p->outer_dport = of->outer_dport;
	return p;
}

static void fragment(struct iface *i, struct packet_pool *pool, struct packet *p, size_t tunnel,
		     uint16_t mtu, iface_emit_fn *emit)
{
	uint32_t from = 0;
	bool left = true;

	if (!(p->flags & PACKET_MAY_FRAGMENT) || p->len <= tunnel + mtu) {
		emit(i, pool, p);
		return;
	}
	while (left) {
		struct packet *piece = piece_take(i, pool, p);
		struct gso_out out = {.room = PACKET_ROOM};

		if (!piece)
			break;
		out.data = piece->data;
		left = gso_fragment(p, tunnel, mtu, &from, &out);
		if (!out.count) {
			iface_drop(i, pool, piece, DROP_TOO_BIG);
			break;
		}
		piece->len = out.len;
		emit(i, pool, piece);
	}
	packet_give(pool, p);
}

void iface_cut(struct iface *i, struct packet_pool *pool, struct packet *p, size_t tunnel,
	       uint16_t mtu, iface_emit_fn *emit)
{
	uint32_t from = 0;
	bool left = true;

	if (p->gso_type == VNET_GSO_NONE) {
		gso_complete_checksum(p, tunnel);
		fragment(i, pool, p, tunnel, mtu, emit);
		return;
	}
	while (left) {
		struct packet *piece = piece_take(i, pool, p);
		struct gso_out out = {.room = PACKET_ROOM, .max = 1};

		if (!piece)
			break;
		out.data = piece->data;
		left = gso_cut(p, tunnel, &from, &out);
		if (!out.count) {
			iface_drop(i, pool, piece, DROP_IFACE_ERROR);
			break;
		}
		piece->len = out.len;
		fragment(i, pool, piece, tunnel, mtu, emit);
	}
	packet_give(pool, p);
}
