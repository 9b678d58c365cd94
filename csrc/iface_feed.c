/* SPDX-License-Identifier: Apache-2.0 */
/* iface_feed.c - packets that lie with the kernel to be filled.
 *
 * How many these are follows their size: enough for FEED_BYTES, so that the kernel fills packets
 * that are still in the cache, yet takes many small ones at once. What has arrived and waits for
 * its turn is the pool's loss, so a feed stops before the pool is empty.
 */
#include "iface_feed.h"

#include <errno.h>
#include <sys/mman.h>

enum {
	FEED_MIN = 4,
	FEED_BYTES = 192 * 1024,
	READ_BYTES = 65535,
	SIZE_SHIFT = 4, /* weight of the newest packet in the mean: a sixteenth */
};

int iface_feed_init(struct iface_feed *f, struct uring *u, enum feed_kind group, unsigned packets,
		    unsigned left)
{
	size_t bytes = FEED_ENTRIES * sizeof(struct io_uring_buf);
	void *memory =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	f->ring = memory;
	f->left = left;
	f->max = packets < FEED_ENTRIES ? packets : FEED_ENTRIES;
	f->before = group == FEED_TUN ? sizeof(struct vnet_hdr) : sizeof(struct recv_head);
	for (unsigned n = 0; n < FEED_ENTRIES; n++)
		f->ids[f->unused++] = (uint16_t)n;
	return uring_buffers(u, f->ring, FEED_ENTRIES, (uint16_t)group);
}

/* Packets for about FEED_BYTES of what came lately. */
static unsigned feed_wanted(const struct iface_feed *f)
{
	uint32_t mean = f->mean_bytes >> SIZE_SHIFT;
	unsigned wanted = FEED_BYTES / (mean + 1);

	if (wanted < FEED_MIN)
		wanted = FEED_MIN;
	return wanted < f->max ? wanted : f->max;
}

void iface_feed_fill(struct iface_feed *f, struct packet_pool *pool)
{
	unsigned wanted = feed_wanted(f);

	if (f->given >= wanted)
		return;
	while (f->given < wanted && packet_pool_left(pool) > f->left) {
		struct packet *p = packet_take(pool);
		uint16_t id = f->ids[--f->unused];
		struct io_uring_buf *b = &f->ring->bufs[f->tail++ & (FEED_ENTRIES - 1)];

		f->packets[id] = p;
		f->given++;
		b->addr = (uintptr_t)(p->data - f->before);
		b->len = (uint32_t)f->before + READ_BYTES;
		b->bid = id;
	}
	__atomic_store_n(&f->ring->tail, f->tail, __ATOMIC_RELEASE);
}

struct packet *iface_feed_take(struct iface_feed *f, uint32_t cqe_flags, int32_t bytes)
{
	uint16_t id = (uint16_t)(cqe_flags >> IORING_CQE_BUFFER_SHIFT);
	struct packet *p = f->packets[id];

	f->packets[id] = NULL;
	f->ids[f->unused++] = id;
	f->given--;
	p->len = bytes > 0 ? (uint32_t)bytes : 0;
	f->mean_bytes += p->len - (f->mean_bytes >> SIZE_SHIFT);
	return p;
}

void iface_feed_release(struct iface_feed *f, struct packet_pool *pool)
{
	for (unsigned n = 0; n < FEED_ENTRIES; n++)
		if (f->packets[n])
			packet_give(pool, f->packets[n]);
	if (f->ring)
		munmap(f->ring, FEED_ENTRIES * sizeof(struct io_uring_buf));
}
