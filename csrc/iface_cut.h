/* SPDX-License-Identifier: Apache-2.0 */
/* iface_cut.h - a packet that an iface can not carry whole, piece by piece. Rank 6. */
#ifndef NETSIM_IFACE_CUT_H
#define NETSIM_IFACE_CUT_H

#include "iface.h"

/* Takes ownership of @piece. */
typedef void iface_emit_fn(struct iface *i, struct packet_pool *pool, struct packet *piece);

/**
 * iface_drop() - Count a packet that could not be sent and give it back
 */
void iface_drop(struct iface *i, struct packet_pool *pool, struct packet *p, enum drop_reason why);

/**
 * iface_give_arrived() - Give back what has arrived and nobody took: the iface closes
 */
void iface_give_arrived(struct iface *i);

/**
 * iface_cut() - Cut a super-packet into segments and, where PACKET_MAY_FRAGMENT asks for it, into
 *		 fragments
 * @i:		iface that sends
 * @pool:	packets for the pieces; one that the pool has no packet for is counted as dropped
 * @p:		packet; consumed
 * @tunnel:	bytes of tunnel header before its IPv4 header
 * @mtu:	of the inner packet, for fragments
 * @emit:	called for each piece in order; checksums are complete
 */
void iface_cut(struct iface *i, struct packet_pool *pool, struct packet *p, size_t tunnel,
	       uint16_t mtu, iface_emit_fn *emit);

#endif
