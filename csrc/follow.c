/* SPDX-License-Identifier: Apache-2.0 */
/* follow.c - which packets can begin a connection. */
#include "follow.h"

#include "icmp_quote.h"

bool follow_begins_any(const struct packet *p, enum flow_state *state)
{
	if (p->flags & PACKET_FRAGMENT_LATER)
		return false;
	if (p->key.proto == PROTO_ICMP && icmp_class(*packet_l4(p)) != ICMP_CLASS_REQUEST)
		return false;
	return flow_first_state(p->key.proto, packet_tcp_flags(p), state);
}
