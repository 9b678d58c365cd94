/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c - a byte ring with contiguous records.
 *
 * Positions only grow; their low bits are offsets. A record is an 8-byte head (its length) and the
 * bytes, rounded up to 8. A record that would cross the end begins at offset 0 instead, and a mark
 * stands where it would have begun. Each side keeps a copy of the other's position and looks at the
 * shared one only when its copy says that there is no room, or nothing to read.
 */
#include "ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HEAD_BYTES = 8, RING_BYTES_MIN = 4096 };

#define SKIP_MARK UINT64_MAX

struct ring {
	uint8_t *bytes;
	size_t size;

	_Alignas(CACHE_LINE) _Atomic size_t written; /* producer's position */
	size_t reserved;                             /* where it will be after ring_commit() */
	size_t read_seen;

	_Alignas(CACHE_LINE) _Atomic size_t read; /* consumer's position */
	size_t peeked;                            /* where it will be after ring_release() */
	size_t written_seen;
};

int ring_new(struct ring **out, size_t bytes)
{
	struct ring *r;

	if (bytes < RING_BYTES_MIN || (bytes & (bytes - 1)))
		return -EINVAL;
	r = aligned_alloc(CACHE_LINE, sizeof(*r));
	if (!r)
		return -ENOMEM;
	memset(r, 0, sizeof(*r));
	r->size = bytes;
	r->bytes = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->bytes == MAP_FAILED) {
		free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	munmap(r->bytes, r->size);
	free(r);
}

static size_t ring_offset(const struct ring *r, size_t position)
{
	return position & (r->size - 1);
}

static void head_set(struct ring *r, size_t position, uint64_t value)
{
	memcpy(r->bytes + ring_offset(r, position), &value, sizeof(value));
}

static uint64_t head_get(const struct ring *r, size_t position)
{
	uint64_t value;

	memcpy(&value, r->bytes + ring_offset(r, position), sizeof(value));
	return value;
}

void *ring_reserve(struct ring *r, size_t len)
{
	size_t at = atomic_load_explicit(&r->written, memory_order_relaxed);
	size_t need = HEAD_BYTES + ((len + 7) & ~(size_t)7);
	size_t to_end = r->size - ring_offset(r, at);
	size_t skip = need > to_end ? to_end : 0;

	if (need > r->size / 4)
		return NULL;
	if (at + skip + need - r->read_seen > r->size) {
		r->read_seen = atomic_load_explicit(&r->read, memory_order_acquire);
		if (at + skip + need - r->read_seen > r->size)
			return NULL;
	}
	if (skip)
		head_set(r, at, SKIP_MARK);
	head_set(r, at + skip, len);
	r->reserved = at + skip + need;
	return r->bytes + ring_offset(r, at + skip) + HEAD_BYTES;
}

void ring_commit(struct ring *r)
{
	atomic_store(&r->written, r->reserved);
}

const void *ring_peek(struct ring *r, size_t *len)
{
	size_t at = atomic_load_explicit(&r->read, memory_order_relaxed);
	uint64_t head;

	if (at == r->written_seen) {
		r->written_seen = atomic_load_explicit(&r->written, memory_order_acquire);
		if (at == r->written_seen)
			return NULL;
	}
	head = head_get(r, at);
	if (head == SKIP_MARK) {
		at += r->size - ring_offset(r, at);
		head = head_get(r, at);
	}
	*len = (size_t)head;
	r->peeked = at + HEAD_BYTES + (((size_t)head + 7) & ~(size_t)7);
	return r->bytes + ring_offset(r, at) + HEAD_BYTES;
}

void ring_release(struct ring *r)
{
	atomic_store_explicit(&r->read, r->peeked, memory_order_release);
}

bool ring_empty(struct ring *r)
{
	return atomic_load_explicit(&r->read, memory_order_relaxed) == atomic_load(&r->written);
}
