/* SPDX-License-Identifier: Apache-2.0 */
/* flow_index.c - adding, removing and splitting; theory in flow_index.h. */
#include "flow_index.h"

#include <errno.h>
#include <sys/mman.h>

enum { SIZE_FIRST = 16, SPLITS_PER_ADD = 2 };

static size_t reserved_bytes(const struct flow_index *x)
{
	return 2 * (size_t)x->size_max * sizeof(struct bucket);
}

int flow_index_init(struct flow_index *x, size_t entries_max)
{
	uint32_t size_max = SIZE_FIRST;
	void *p;

	while ((size_t)size_max * BUCKET_FILL < entries_max)
		size_max *= 2;
	*x = (struct flow_index){.mask = SIZE_FIRST - 1, .size_max = size_max};
	p = mmap(NULL, reserved_bytes(x), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	/* a huge page would be zeroed on the packet path, and make an idle node heavy */
	(void)madvise(p, reserved_bytes(x), MADV_NOHUGEPAGE);
	x->buckets = p;
	x->overflow = x->buckets + size_max;
	return 0;
}

void flow_index_fini(struct flow_index *x)
{
	if (x->buckets)
		munmap(x->buckets, reserved_bytes(x));
}

size_t flow_index_bytes(const struct flow_index *x)
{
	return ((size_t)x->mask + 1 + x->split + x->overflow_used) * sizeof(struct bucket);
}

static struct bucket *bucket_of(struct flow_index *x, uint32_t hash)
{
	return x->buckets + (flow_index_bucket(x, hash) - x->buckets);
}

static void write24(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)v;
	at[1] = (uint8_t)(v >> 8);
	at[2] = (uint8_t)(v >> 16);
}

static void entry_write(struct bucket *b, unsigned i, uint8_t tag, uint32_t name)
{
	b->tag[i] = tag;
	write24(b->name[i], name);
}

/* Entries in a bucket: they lie without gaps. */
static unsigned bucket_count(const struct bucket *b)
{
	return (unsigned)__builtin_ctz(bucket_match(b, 0));
}

/* A number of an empty overflow bucket, 0 if there is none. */
static uint32_t overflow_take(struct flow_index *x)
{
	uint32_t n = x->overflow_free;

	if (n) {
		x->overflow_free = bucket_overflow(&x->overflow[n]);
		write24(x->overflow[n].overflow, 0);
	} else if (x->overflow_used + 1 < x->size_max) {
		n = ++x->overflow_used;
	}
	return n;
}

static void overflow_give(struct flow_index *x, uint32_t n)
{
	x->overflow[n] = (struct bucket){0};
	write24(x->overflow[n].overflow, x->overflow_free);
	x->overflow_free = n;
}

/* Goes on in overflow buckets. By itself, as is growth: what hardly any addition needs takes no
 * room on the stack of all.
 */
__attribute__((noinline)) static int overflow_add(struct flow_index *x, struct bucket *b,
						  uint8_t tag, uint32_t name)
{
	unsigned count;

	do {
		if (!bucket_overflow(b))
			write24(b->overflow, overflow_take(x));
		if (!bucket_overflow(b))
			return -ENOSPC;
		b = &x->overflow[bucket_overflow(b)];
		count = bucket_count(b);
	} while (count == BUCKET_ENTRIES);
	entry_write(b, count, tag, name);
	x->entries++;
	return 0;
}

static inline int entry_add(struct flow_index *x, uint32_t hash, uint8_t tag, uint32_t name)
{
	struct bucket *b = bucket_of(x, hash);
	unsigned count = bucket_count(b);

	if (UNLIKELY(count == BUCKET_ENTRIES))
		return overflow_add(x, b, tag, name);
	entry_write(b, count, tag, name);
	x->entries++;
	return 0;
}

/* Adds again, with one more bit of their hashes, the entries of a bucket that was taken out. */
static void bucket_scatter(struct flow_index *x, const struct bucket *b,
			   const struct flow_index_names *names)
{
	unsigned count = bucket_count(b);

	x->entries -= count;
	for (unsigned i = 0; i < count; i++)
		names->prefetch(names->context, bucket_name(b, i));
	for (unsigned i = 0; i < count; i++) {
		uint32_t hash = names->hash(names->context, bucket_name(b, i));

		/* can not fail: the chains of both halves need no more buckets than the one did */
		(void)entry_add(x, hash, b->tag[i], bucket_name(b, i));
	}
}

static void split_next(struct flow_index *x, const struct flow_index_names *names)
{
	struct bucket *home = &x->buckets[x->split++], b = *home;

	*home = (struct bucket){0};
	for (uint32_t n = bucket_overflow(&b);; n = bucket_overflow(&b)) {
		bucket_scatter(x, &b, names);
		if (!n)
			break;
		b = x->overflow[n];
		overflow_give(x, n);
	}
	if (x->split > x->mask) {
		x->mask = 2 * x->mask + 1;
		x->split = 0;
	}
}

static bool is_growing(const struct flow_index *x)
{
	size_t size = (size_t)x->mask + 1;

	return x->split || (x->entries > size * BUCKET_FILL && size < x->size_max);
}

__attribute__((noinline)) static int grow_and_add(struct flow_index *x, uint32_t hash,
						  uint32_t name,
						  const struct flow_index_names *names)
{
	for (unsigned i = 0; i < SPLITS_PER_ADD; i++)
		if (i == 0 || x->split)
			split_next(x, names);
	return entry_add(x, hash, flow_index_tag(hash), name);
}

int flow_index_add(struct flow_index *x, uint32_t hash, uint32_t name,
		   const struct flow_index_names *names)
{
	if (UNLIKELY(is_growing(x)))
		return grow_and_add(x, hash, name, names);
	return entry_add(x, hash, flow_index_tag(hash), name);
}

/* The bucket of a chain that holds an entry, and its place in it. */
static struct bucket *entry_find(struct flow_index *x, struct bucket *b, uint8_t tag, uint32_t name,
				 unsigned *place)
{
	for (;; b = &x->overflow[bucket_overflow(b)]) {
		for (uint32_t m = bucket_match(b, tag); m; m &= m - 1) {
			*place = (unsigned)__builtin_ctz(m);
			if (bucket_name(b, *place) == name)
				return b;
		}
		assert(bucket_overflow(b));
	}
}

/* The last entry of the chain takes the place of the one that goes. */
void flow_index_remove(struct flow_index *x, uint32_t hash, uint32_t name)
{
	struct bucket *last = bucket_of(x, hash), *before = NULL, *b;
	unsigned place, end;

	b = entry_find(x, last, flow_index_tag(hash), name, &place);
	while (UNLIKELY(bucket_overflow(last))) {
		before = last;
		last = &x->overflow[bucket_overflow(last)];
	}
	end = bucket_count(last) - 1;
	entry_write(b, place, last->tag[end], bucket_name(last, end));
	entry_write(last, end, 0, 0);
	x->entries--;
	if (UNLIKELY(end == 0 && before)) {
		uint32_t n = bucket_overflow(before);

		write24(before->overflow, 0);
		overflow_give(x, n);
	}
}
