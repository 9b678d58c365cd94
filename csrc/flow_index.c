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

/* A number of an empty overflow bucket, 0 if there is none. */
static uint32_t overflow_take(struct flow_index *x)
{
	uint32_t n = x->overflow_free;

	if (n) {
		x->overflow_free = x->overflow[n].overflow;
		x->overflow[n].overflow = 0;
	} else if (x->overflow_used + 1 < x->size_max) {
		n = ++x->overflow_used;
	}
	return n;
}

static void overflow_give(struct flow_index *x, uint32_t n)
{
	x->overflow[n] = (struct bucket){.overflow = x->overflow_free};
	x->overflow_free = n;
}

static int chain_add(struct flow_index *x, struct bucket *b, uint32_t entry)
{
	while (b->entry[BUCKET_ENTRIES - 1]) {
		if (!b->overflow)
			b->overflow = overflow_take(x);
		if (!b->overflow)
			return -ENOSPC;
		b = &x->overflow[b->overflow];
	}
	for (unsigned i = 0;; i++) {
		if (!b->entry[i]) {
			b->entry[i] = entry;
			return 0;
		}
	}
}

/* Adds again, with one more bit of their hashes, the entries of a bucket that was taken out. */
static void bucket_scatter(struct flow_index *x, const struct bucket *b,
			   const struct flow_index_names *names)
{
	for (unsigned i = 0; i < BUCKET_ENTRIES && b->entry[i]; i++)
		names->prefetch(names->context, b->entry[i] & FLOW_NAME_MAX);
	for (unsigned i = 0; i < BUCKET_ENTRIES && b->entry[i]; i++) {
		uint32_t hash = names->hash(names->context, b->entry[i] & FLOW_NAME_MAX);

		/* can not fail: the chains of both halves need no more buckets than the one did */
		(void)chain_add(x, bucket_of(x, hash), b->entry[i]);
	}
}

static void split_next(struct flow_index *x, const struct flow_index_names *names)
{
	struct bucket *home = &x->buckets[x->split++], b = *home;

	*home = (struct bucket){.overflow = 0};
	for (uint32_t n = b.overflow;; n = b.overflow) {
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

static void grow(struct flow_index *x, const struct flow_index_names *names)
{
	size_t size = (size_t)x->mask + 1;

	if (!x->split && (x->entries <= size * BUCKET_FILL || size >= x->size_max))
		return;
	for (unsigned i = 0; i < SPLITS_PER_ADD; i++)
		if (i == 0 || x->split)
			split_next(x, names);
}

int flow_index_add(struct flow_index *x, uint32_t hash, uint32_t name,
		   const struct flow_index_names *names)
{
	grow(x, names);
	if (chain_add(x, bucket_of(x, hash), flow_index_tag(hash) | name))
		return -ENOSPC;
	x->entries++;
	return 0;
}

/* The last bucket of a chain; @link is where its number is. */
static struct bucket *chain_last(struct flow_index *x, struct bucket *b, uint32_t **link)
{
	while (b->overflow) {
		*link = &b->overflow;
		b = &x->overflow[b->overflow];
	}
	return b;
}

static uint32_t *entry_find(struct flow_index *x, struct bucket *b, uint32_t entry)
{
	for (;; b = &x->overflow[b->overflow]) {
		for (unsigned i = 0; i < BUCKET_ENTRIES; i++)
			if (b->entry[i] == entry)
				return &b->entry[i];
		assert(b->overflow);
	}
}

void flow_index_remove(struct flow_index *x, uint32_t hash, uint32_t name)
{
	struct bucket *b = bucket_of(x, hash);
	uint32_t *at = entry_find(x, b, flow_index_tag(hash) | name), *link = NULL;
	struct bucket *last = chain_last(x, b, &link);
	unsigned end = 0;

	while (end < BUCKET_ENTRIES && last->entry[end])
		end++;
	*at = last->entry[end - 1];
	last->entry[end - 1] = 0;
	x->entries--;
	if (end == 1 && link) {
		uint32_t n = *link;

		*link = 0;
		overflow_give(x, n);
	}
}
