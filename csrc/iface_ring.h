/* SPDX-License-Identifier: Apache-2.0 */
/* iface_ring.h - what a worker's ifaces ask of its io_uring, and the packets that travel with it.
 * Rank 4.
 *
 * Receiving: one standing request per iface, which fills packets that the ring keeps ready for the
 * kernel; they wait in iface.arrived until receive() takes them. Sending: packets are collected and
 * go with the worker's next system call, in order; they are the ring's until then. Requests never
 * outlive that call: what would block fails.
 */
#ifndef NETSIM_IFACE_RING_H
#define NETSIM_IFACE_RING_H

#include <sys/socket.h>

#include "iface.h"

struct iface_ring;

/* Packets for the kernel to fill, by where it begins in them. */
enum feed_kind {
	FEED_TUN, /* a virtio header before data */
	FEED_UDP, /* struct recv_head before data */
	FEED_COUNT,
};

enum { RECV_CONTROL_BYTES = 40 };

/* What a recvmsg request writes in front of the datagram. */
struct recv_head {
	uint32_t name_len; /* struct io_uring_recvmsg_out */
	uint32_t control_len;
	uint32_t payload_len;
	uint32_t flags;
	struct {
		uint16_t family;
		be16 port;
		be32 addr;
		uint8_t zero[8];
	} from; /* struct sockaddr_in */
	uint8_t control[RECV_CONTROL_BYTES];
};

/**
 * iface_ring_new() - Make a ring for a worker
 * @out:	the ring, on success
 * @pool:	its packets
 * @packets:	how many these are
 *
 * Return: 0, -ENOMEM, or what uring_new() says.
 */
int iface_ring_new(struct iface_ring **out, struct packet_pool *pool, unsigned packets);

/**
 * iface_ring_free() - Nothing is attached and nothing was queued since the last wait
 */
void iface_ring_free(struct iface_ring *r);

/**
 * iface_ring_enable() - The calling thread is the worker's
 * @event_fd:	iface_ring_wait() returns when it is written to
 * @ready:	gets the ifaces that packets have arrived for
 */
int iface_ring_enable(struct iface_ring *r, int event_fd, struct ready_list *ready);

/**
 * iface_ring_attach() - Receive for an iface with a descriptor
 */
void iface_ring_attach(struct iface_ring *r, struct iface *i);

/**
 * iface_ring_detach() - Send what is queued, end the standing request and wait for its end
 *
 * What has arrived stays for receive().
 */
void iface_ring_detach(struct iface_ring *r, struct iface *i);

/* The standing request, for iface_ops.arm */
void iface_ring_read(struct iface_ring *r, struct iface *i);
void iface_ring_recvmsg(struct iface_ring *r, struct iface *i, const struct msghdr *m);

/**
 * iface_ring_write() - Queue a write; iface_ops.sent is called when it is done
 * @start:	inside @p
 */
void iface_ring_write(struct iface_ring *r, struct iface *i, struct packet *p, const uint8_t *start,
		      uint32_t len);

/**
 * iface_take() - packet_take() for who sends or receives by an iface
 *
 * Where the pool is empty, packets whose writes are queued come back first.
 */
struct packet *iface_take(struct iface *i, struct packet_pool *pool);

/**
 * iface_ring_wait() - Send what is queued, take what has arrived
 * @timeout_ns:	0: do not sleep; UINT64_MAX: for ever
 */
void iface_ring_wait(struct iface_ring *r, uint64_t timeout_ns);

#endif
