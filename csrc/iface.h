/* SPDX-License-Identifier: Apache-2.0 */
/* iface.h - where packets enter or leave a node. Rank 5.
 *
 * An iface belongs to one node and so to one worker; only that worker calls its operations. The
 * kinds of iface differ only in struct iface_ops: iface_queue (in memory), iface_tun (pods and the
 * node's stack), iface_udp (tunnel socket), iface_link (fabric). Only ifaces make system calls.
 */
#ifndef NETSIM_IFACE_H
#define NETSIM_IFACE_H

#include "packet.h"

struct node;
struct capture;
struct iface_ring;

enum iface_role {
	IFACE_POD,    /* a pod's eth0 */
	IFACE_STACK,  /* the node's own network stack: cni0 */
	IFACE_TUNNEL, /* the node's own network stack: flannel0 or flannel.1 */
	IFACE_WIRE,   /* to other nodes */
};

struct iface_stats {
	uint64_t rx_packets; /* into the node */
	uint64_t rx_bytes;
	uint64_t tx_packets; /* out of the node */
	uint64_t tx_bytes;
	uint64_t rx_segments; /* MTU-sized packets that super-packets stood for */
	uint64_t tx_segments;
	uint64_t tx_drops; /* each also counted by reason at the node */
};

/* Packets in order, by their `next`. */
struct packet_list {
	struct packet *first;
	struct packet *last;
};

static inline void packet_list_push(struct packet_list *l, struct packet *p)
{
	p->next = NULL;
	if (l->first)
		l->last->next = p;
	else
		l->first = p;
	l->last = p;
}

static inline struct packet *packet_list_pop(struct packet_list *l)
{
	struct packet *p = l->first;

	if (p)
		l->first = p->next;
	return p;
}

struct iface {
	const struct iface_ops *ops;
	struct node *node;
	uint32_t id; /* unique in the engine, never reused */
	uint8_t role;
	bool up;
	uint16_t mtu;
	int fd;           /* to poll for input; -1 if polled by other means */
	struct addr addr; /* pod's address (IFACE_POD): source addresses are checked against it */
	struct iface_stats stats;
	struct capture *capture;  /* NULL unless somebody watches */
	struct iface *ready_next; /* worker's list of ifaces with input in memory */
	bool ready;               /* on that list */
	bool more;                /* receive() left input in memory that fd does not show */

	/* iface_ring.c's; ring is NULL while descriptors are read and written directly */
	struct iface_ring *ring;
	struct iface *unarmed_next;
	struct packet_list arrived; /* for receive(), wherever they came from */
	bool armed;                 /* the kernel has the standing request */
	bool leaving;
	char name[32];
};

/* Ifaces with input that no descriptor shows, first come first served. One per worker. */
struct ready_list {
	struct iface *first;
	struct iface *last;
};

static inline void ready_push(struct ready_list *l, struct iface *i)
{
	if (i->ready)
		return;
	i->ready = true;
	i->ready_next = NULL;
	if (l->first)
		l->last->ready_next = i;
	else
		l->first = i;
	l->last = i;
}

static inline struct iface *ready_pop(struct ready_list *l)
{
	struct iface *i = l->first;

	if (i) {
		l->first = i->ready_next;
		i->ready = false;
	}
	return i;
}

struct iface_ops {
	const char *name;
	/**
	 * receive() - Fill @b with up to BATCH_MAX packets taken from @pool
	 *
	 * Sets p->in, data, len and segmentation fields; for a wire also outer_*. Counts rx_* and
	 * shows each packet to the capture. Must not block. Sets i->more when it is to be called
	 * again although fd may not poll readable.
	 *
	 * Return: packets received, 0 if there is none now.
	 */
	unsigned (*receive)(struct iface *i, struct packet_pool *pool, struct batch *b);
	/**
	 * send() - Send packets in order; takes ownership of all of them
	 *
	 * What can not be sent is given back to @pool after node_count_drop(). Counts tx_* and
	 * shows each packet to the capture.
	 */
	void (*send)(struct iface *i, struct packet_pool *pool, struct packet *const *pkt,
		     unsigned count);
	/**
	 * sent() - A packet that was queued with iface_ring_write() is sent, or not (@error)
	 *
	 * NULL, like the next two, for who never uses a ring.
	 */
	void (*sent)(struct iface *i, struct packet_pool *pool, struct packet *p, int error);
	/** arm() - Make the standing request that receives */
	void (*arm)(struct iface *i);
	uint8_t feed; /* enum feed_kind: what the standing request fills */
	/**
	 * count() - Bring up to date what only the kernel counts, for who reads statistics
	 *
	 * NULL if there is no such thing.
	 */
	void (*count)(struct iface *i);
	/** close() - Release everything, the iface itself included */
	void (*close)(struct iface *i);
};

/**
 * packet_segments() - MTU-sized packets that a packet stands for
 * @tunnel:	bytes before its inner IPv4 header
 */
static inline uint64_t packet_segments(const struct packet *p, size_t tunnel)
{
	size_t headers = tunnel + p->hdr_len;

	if (p->gso_type == VNET_GSO_NONE || !p->gso_size || p->len <= headers)
		return 1;
	return (p->len - headers + p->gso_size - 1) / p->gso_size;
}

static inline void iface_count_rx(struct iface *i, const struct packet *p, size_t tunnel)
{
	i->stats.rx_packets++;
	i->stats.rx_bytes += p->len;
	i->stats.rx_segments += packet_segments(p, tunnel);
}

static inline void iface_count_tx(struct iface *i, const struct packet *p, size_t tunnel)
{
	i->stats.tx_packets++;
	i->stats.tx_bytes += p->len;
	i->stats.tx_segments += packet_segments(p, tunnel);
}

/* Whether the other side of an iface is the network stack of the node itself. */
static inline bool iface_is_own_kernel(const struct iface *i)
{
	return i->role == IFACE_STACK || i->role == IFACE_TUNNEL;
}

#endif
