/* SPDX-License-Identifier: Apache-2.0 */
/* packet.c - a worker's packet pool.
 *
 * Theory: one allocation, one free list used as a stack, so that the packet given back last, whose
 * cache lines are warm, is taken next. Memory of packets that were never taken is not touched
 * before a thread serves the pool, which then touches all of it: a huge page takes a while to be
 * zeroed, and would be asked for whenever load reaches a new peak, minutes later too. Huge pages
 * where there are any: each packet begins on a page of its own otherwise, and a batch of them is
 * more than a processor knows by heart (64 translations; measured: a tenth of the path).
 */
#include "packet.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
	HUGE_PAGE = 2 << 20,
	SMALL_PAGE = 4096,
	PACKET_BYTES = (sizeof(struct packet) + PACKET_HEADROOM + PACKET_ROOM + CACHE_LINE - 1) /
		       CACHE_LINE * CACHE_LINE
};

struct packet_pool {
	struct packet *free;
	unsigned count;
	unsigned fresh; /* from here on never taken */
	unsigned taken;
	uint8_t *memory;
};

int packet_pool_new(struct packet_pool **out, unsigned count)
{
	struct packet_pool *pool = calloc(1, sizeof(*pool));
	size_t bytes;

	if (!pool)
		return -ENOMEM;
	bytes = ((size_t)PACKET_BYTES * count + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	pool->memory = aligned_alloc(HUGE_PAGE, bytes);
	if (!pool->memory) {
		free(pool);
		return -ENOMEM;
	}
	(void)madvise(pool->memory, bytes, MADV_HUGEPAGE);
	pool->count = count;
	*out = pool;
	return 0;
}

void packet_pool_free(struct packet_pool *pool)
{
	if (!pool)
		return;
	assert(pool->taken == 0);
	free(pool->memory);
	free(pool);
}

void packet_pool_touch(struct packet_pool *pool)
{
	const size_t end = (size_t)PACKET_BYTES * pool->count;

	for (size_t at = (size_t)PACKET_BYTES * pool->fresh; at < end; at += SMALL_PAGE)
		((volatile uint8_t *)pool->memory)[at] = 0;
}

struct packet *packet_take(struct packet_pool *pool)
{
	struct packet *p = pool->free;

	if (LIKELY(p != NULL))
		pool->free = p->next;
	else if (pool->fresh < pool->count)
		p = (void *)(pool->memory + (size_t)PACKET_BYTES * pool->fresh++);
	else
		return NULL;
	pool->taken++;
	memset(p, 0, sizeof(*p));
	p->data = p->buffer + PACKET_HEADROOM;
	return p;
}

void packet_give(struct packet_pool *pool, struct packet *p)
{
	p->next = pool->free;
	pool->free = p;
	pool->taken--;
}

unsigned packet_pool_left(const struct packet_pool *pool)
{
	return pool->count - pool->taken;
}
