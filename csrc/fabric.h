/* SPDX-License-Identifier: Apache-2.0 */
/* fabric.h - what fabric.c and iface_link.c share: who is where, and packets in between. Rank 6. */
#ifndef NETSIM_FABRIC_H
#define NETSIM_FABRIC_H

#include "iface_link.h"

/* Packets wait in base.arrived with their outer headers on. */
struct iface_link {
	struct iface base;
	struct fabric *fabric;
	unsigned worker;
	uint32_t node_id;
	bool joined;
	uint16_t ip_id;
};

/**
 * fabric_deliver() - Hand a packet to the link of node @to (the sender's worker)
 * @p:		outer headers on; consumed if the result is DROP_NONE
 *
 * Return: DROP_NONE, DROP_IFACE_DOWN if there is no such link, DROP_RING_FULL.
 */
enum drop_reason fabric_deliver(struct iface_link *from, uint32_t to, struct packet_pool *pool,
				struct packet *p);

/**
 * fabric_flush() - Wake the workers that @worker has put packets out for since the last call
 */
void fabric_flush(struct fabric *f, unsigned worker);

int fabric_join(struct fabric *f, struct iface_link *l);
void fabric_leave(struct fabric *f, struct iface_link *l);

#endif
