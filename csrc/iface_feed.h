/* SPDX-License-Identifier: Apache-2.0 */
/* iface_feed.h - packets that lie with the kernel to be filled (provided buffers). Rank 4. */
#ifndef NETSIM_IFACE_FEED_H
#define NETSIM_IFACE_FEED_H

#include "iface_ring.h"
#include "uring.h"

enum { FEED_ENTRIES = 256 };

struct iface_feed {
	struct io_uring_buf_ring *ring;
	struct packet *packets[FEED_ENTRIES]; /* by buffer id; NULL: not with the kernel */
	uint16_t ids[FEED_ENTRIES];           /* unused ones, a stack */
	unsigned unused;
	unsigned given;
	unsigned max;
	unsigned left;       /* in the pool, for who sends or takes apart what has arrived */
	uint32_t mean_bytes; /* times 2^SIZE_SHIFT */
	uint16_t tail;
	uint16_t before; /* bytes in front of data that the kernel fills too */
};

/**
 * iface_feed_init() - Register an empty feed with a ring
 * @packets:	that it may hold at most
 * @left:	that it leaves in the pool
 *
 * Return: 0, -ENOMEM, or what the kernel says; iface_feed_release() in each case.
 */
int iface_feed_init(struct iface_feed *f, struct uring *u, enum feed_kind group, unsigned packets,
		    unsigned left);

/**
 * iface_feed_release() - Give back what it holds; its ring is gone
 */
void iface_feed_release(struct iface_feed *f, struct packet_pool *pool);

/**
 * iface_feed_fill() - Hand the kernel as many packets as suit what came lately
 */
void iface_feed_fill(struct iface_feed *f, struct packet_pool *pool);

/**
 * iface_feed_take() - The packet that the kernel has filled
 * @cqe_flags:	of the result, with the buffer's id
 * @bytes:	its result: bytes from @before in front of data
 *
 * Return: the packet, len being @bytes.
 */
struct packet *iface_feed_take(struct iface_feed *f, uint32_t cqe_flags, int32_t bytes);

#endif
