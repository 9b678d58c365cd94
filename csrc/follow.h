/* SPDX-License-Identifier: Apache-2.0 */
/* follow.h - a packet and its tracked connection: what stage_flow and stage_translate share.
 * Rank 3. */
#ifndef NETSIM_FOLLOW_H
#define NETSIM_FOLLOW_H

#include "flow_table.h"
#include "packet.h"

static inline uint8_t packet_tcp_flags(const struct packet *p)
{
	if (p->key.proto != PROTO_TCP || (p->flags & PACKET_FRAGMENT_LATER))
		return 0;
	return ((const struct tcp_hdr *)(const void *)packet_l4(p))->flags;
}

/* Of all packets but whole datagrams. */
bool follow_begins_any(const struct packet *p, enum flow_state *state);

/**
 * follow_begins() - Whether a packet can begin a connection, and in which state
 *
 * Not: later fragments, ICMP answers, and what flow_first_state() refuses.
 */
static inline bool follow_begins(const struct packet *p, enum flow_state *state)
{
	if (p->key.proto != PROTO_UDP || UNLIKELY(p->flags & PACKET_FRAGMENT_LATER))
		return follow_begins_any(p, state);
	*state = FLOW_NEW;
	return true;
}

/* The packet takes the flow's decision; p->reply says in which direction it travels. */
static inline void follow_flow(struct packet *p, const struct flow *f)
{
	flow_key_reverse(&p->to, flow_named_key(f, !p->reply));
	if (f->flags & (FLOW_TRANSLATED | FLOW_MASQUERADED))
		p->flags |= PACKET_TRANSLATED;
}

#endif
