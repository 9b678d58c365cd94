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

enum iface_role {
	IFACE_POD,   /* a pod's eth0 */
	IFACE_STACK, /* the node's own network stack: cni0 */
	IFACE_TUNNEL,/* the node's own network stack: flannel0 or flannel.1 */
	IFACE_WIRE,  /* to other nodes */
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

struct iface {
	const struct iface_ops *ops;
	struct node *node;
	uint32_t id; /* unique in the engine, never reused */
	uint8_t role;
	bool up;
	uint16_t mtu;
	int fd;		  /* to poll for input; -1 if polled by other means */
	struct addr addr; /* pod's address (IFACE_POD): source addresses are checked against it */
	struct iface_stats stats;
	struct capture *capture; /* NULL unless somebody watches */
	char name[32];
};

struct iface_ops {
	const char *name;
	/**
	 * receive() - Fill @b with up to BATCH_MAX packets taken from @pool
	 *
	 * Sets p->in, data, len and segmentation fields; for a wire also outer_*. Must not block.
	 *
	 * Return: packets received, 0 if there is none now.
	 */
	unsigned (*receive)(struct iface *i, struct packet_pool *pool, struct batch *b);
	/**
	 * send() - Send packets in order; takes ownership of all of them
	 *
	 * What can not be sent is given back to @pool after node_count_drop().
	 */
	void (*send)(struct iface *i, struct packet_pool *pool, struct packet *const *pkt,
		     unsigned count);
	/** close() - Release everything, the iface itself included */
	void (*close)(struct iface *i);
};

#endif
