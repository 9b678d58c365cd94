/* SPDX-License-Identifier: Apache-2.0 */
/* flow_index.h - from the hash of a key to the names of what may have it. Part of flow_table.
 *
 * Rank 1. Holds pairs of a hash (of which it keeps 8 bits) and a name of 24 bits, several with
 * equal hashes too; what the names mean is the caller's business. Private memory, rebuilt when
 * lost.
 *
 * Theory: linear hashing (Litwin 1980) over buckets of one cache line. Growing doubles the number
 * of buckets, but one bucket at a time: bucket b is split into b and b + size, in the same array,
 * whose address space is reserved once. So nothing is ever copied as a whole, and the memory that
 * is touched is the memory that is used. A full bucket goes on in overflow buckets.
 */
#ifndef NETSIM_FLOW_INDEX_H
#define NETSIM_FLOW_INDEX_H

#include "base.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
	BUCKET_ENTRIES = 15,
	BUCKET_FILL = 12, /* entries per bucket on average at which it begins to grow */
	FLOW_NAME_BITS = 24,
	FLOW_NAME_MAX = (1 << FLOW_NAME_BITS) - 1,
};

/* Entries lie without gaps; tag 0 is none. Tags and names apart, so that one instruction compares
 * all tags. An entry in passing is tag << 24 | name.
 */
struct bucket {
	uint8_t tag[BUCKET_ENTRIES + 1]; /* the last is always 0 */
	uint8_t name[BUCKET_ENTRIES][3]; /* least significant byte first */
	uint8_t overflow[3];             /* number of the next bucket, 0: none */
};
static_assert(sizeof(struct bucket) == CACHE_LINE, "one look at memory");

struct flow_index {
	struct bucket *buckets;
	struct bucket *overflow; /* [0] is not used */
	uint32_t mask;           /* size - 1; size is a power of two */
	uint32_t split;          /* buckets below have been split: they use the doubled size */
	uint32_t size_max;
	uint32_t overflow_used;
	uint32_t overflow_free; /* chained through overflow */
	size_t entries;
};

/* The hash under which @name was added. */
typedef uint32_t flow_index_hash_fn(const void *context, uint32_t name);
/* @name is about to be asked for. */
typedef void flow_index_prefetch_fn(const void *context, uint32_t name);

struct flow_index_names {
	flow_index_hash_fn *hash;
	flow_index_prefetch_fn *prefetch;
	const void *context;
};

/**
 * flow_index_init() - Reserve address space for an index of at most @entries_max
 *
 * Return: 0, -ENOMEM.
 */
int flow_index_init(struct flow_index *x, size_t entries_max);
void flow_index_fini(struct flow_index *x);

/**
 * flow_index_add() - Add @name (1 to FLOW_NAME_MAX) under @hash
 * @names:	how to ask for hashes, if a bucket is to be split
 *
 * Splits two buckets at most. Return: 0, -ENOSPC.
 */
int flow_index_add(struct flow_index *x, uint32_t hash, uint32_t name,
		   const struct flow_index_names *names);

/**
 * flow_index_remove() - Remove what flow_index_add() added
 */
void flow_index_remove(struct flow_index *x, uint32_t hash, uint32_t name);
size_t flow_index_bytes(const struct flow_index *x);

static inline const struct bucket *flow_index_bucket(const struct flow_index *x, uint32_t hash)
{
	uint32_t b = hash & x->mask;

	if (b < x->split)
		b = hash & (2 * x->mask + 1);
	return &x->buckets[b];
}

/* Never 0, so that no tag matches an empty entry. The top bits: buckets use the low ones. */
static inline uint8_t flow_index_tag(uint32_t hash)
{
	uint32_t tag = hash >> FLOW_NAME_BITS;

	return (uint8_t)(tag + !tag);
}

static inline uint32_t bucket_name(const struct bucket *b, unsigned i)
{
	uint32_t word; /* one byte more than the name, which is still the bucket's */

	memcpy(&word, (const char *)b + offsetof(struct bucket, name) + (size_t)3 * i,
	       sizeof(word));
	return word & FLOW_NAME_MAX;
}

static inline uint32_t bucket_overflow(const struct bucket *b)
{
	uint32_t word; /* the bucket's last, whose lowest byte is a name's */

	memcpy(&word, (const char *)(b + 1) - sizeof(word), sizeof(word));
	return word >> 8;
}

/* Bit i is set if entry i has the tag. */
static inline uint32_t bucket_match(const struct bucket *b, uint8_t tag)
{
#ifdef __SSE2__
	const __m128i all = _mm_load_si128((const __m128i *)(const void *)b->tag);
	const __m128i tags = _mm_set1_epi32((int)(tag * UINT32_C(0x01010101)));

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(all, tags));
#else
	uint32_t m = 0;

	for (unsigned i = 0; i < BUCKET_ENTRIES; i++)
		m |= (uint32_t)(b->tag[i] == tag) << i;
	return m;
#endif
}

/* One step of a search: start with {hash's bucket, bucket_match()}. */
struct flow_index_cursor {
	const struct bucket *bucket;
	uint32_t matches;
	uint8_t tag;
};

static inline struct flow_index_cursor flow_index_search(const struct flow_index *x, uint32_t hash)
{
	struct flow_index_cursor c = {.bucket = flow_index_bucket(x, hash),
				      .tag = flow_index_tag(hash)};

	c.matches = bucket_match(c.bucket, c.tag);
	return c;
}

/* The next name that may be the one, 0 if there is none. */
static inline uint32_t flow_index_next(const struct flow_index *x, struct flow_index_cursor *c)
{
	unsigned i;

	while (UNLIKELY(!c->matches)) {
		if (LIKELY(!bucket_overflow(c->bucket)))
			return 0;
		c->bucket = &x->overflow[bucket_overflow(c->bucket)];
		c->matches = bucket_match(c->bucket, c->tag);
	}
	i = (unsigned)__builtin_ctz(c->matches);
	c->matches &= c->matches - 1;
	return bucket_name(c->bucket, i);
}

#endif
