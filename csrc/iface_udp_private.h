/* SPDX-License-Identifier: Apache-2.0 */
/* iface_udp_private.h - what iface_udp.c and iface_udp_send.c share. Rank 6. */
#ifndef NETSIM_IFACE_UDP_PRIVATE_H
#define NETSIM_IFACE_UDP_PRIVATE_H

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "iface_udp.h"
#include "node.h"

enum {
	HELD_MAX = 16,             /* messages per recvmmsg() */
	RECEIVE_BYTES = 256 * 1024 /* per batch, so that it stays in the cache */
};

/* A received datagram that is being copied out, if UDP_GRO made it of several. */
struct held {
	struct packet *packet;
	uint32_t used;
	be32 src;
	be16 sport;
	uint16_t segment; /* 0: not joined by the kernel */
};

struct iface_udp {
	struct iface base;
	size_t tunnel;
	int senders[UDP_SENDERS_MAX];
	unsigned sender_count;

	struct held held[HELD_MAX];
	unsigned held_first;
	unsigned held_count;
	unsigned appetite; /* messages to ask for next */
	uint32_t overflow_seen;

	bool no_segment;        /* the kernel can not cut: never ask again */
	unsigned segment_pause; /* sends to make without before asking again */
};

static inline struct iface_udp *udp_of(struct iface *i)
{
	return (struct iface_udp *)(void *)i;
}

void iface_udp_send(struct iface *i, struct packet_pool *pool, struct packet *const *pkt,
		    unsigned count);

#endif
