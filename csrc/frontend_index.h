/* SPDX-License-Identifier: Apache-2.0 */
/* frontend_index.h - frontends by a hash: one writer, readers without locks. Part of service_table.
 *
 * Rank 1. An open-addressed array of pointers, at most half used, so that every probe ends. By what
 * the hash is, is the caller's affair, and the same for all of an index: there may be many
 * frontends with one hash. A change stores one pointer with release order; a removal leaves a
 * tombstone, which later additions use again. When the array fills up, the writer copies the
 * pointers to a new one, swaps it in and retires the old: a reader finishes its probe in whichever
 * it began. A frontend is replaced in its own place, so that readers see the old one or the new one
 * but never none. Several changes show together where they are made to a copy of the array.
 */
#ifndef NETSIM_FRONTEND_INDEX_H
#define NETSIM_FRONTEND_INDEX_H

#include <stdatomic.h>

#include "retired.h"
#include "service.h"

typedef _Atomic(const struct frontend *) frontend_ref;

struct frontend_places {
	struct retired retired;
	uint64_t mask;
	frontend_ref at[];
};

struct frontend_index {
	_Atomic(struct frontend_places *) places;

	/* the writer's own */
	struct frontend_places *next; /* a copy under way, NULL: changes show at once */
	size_t count;
	size_t used; /* places that are not NULL: frontends and tombstones */
};

typedef uint64_t frontend_hash_fn(const struct frontend *f, uint64_t seed);

static inline bool service_key_equal(const struct service_key *a, const struct service_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Any thread. */
static inline struct frontend_places *frontend_index_places(const struct frontend_index *x)
{
	return atomic_load_explicit(&x->places, memory_order_acquire);
}

static inline const struct frontend *frontend_at(const struct frontend_places *places, uint64_t i)
{
	return atomic_load_explicit(&places->at[i & places->mask], memory_order_acquire);
}

/* Return: 0, -ENOMEM. */
int frontend_index_init(struct frontend_index *x);
void frontend_index_fini(struct frontend_index *x);

/**
 * frontend_index_begin() - From now on changes are made to a copy
 * @x:		index
 *
 * Return: 0, -ENOMEM: they show at once.
 */
int frontend_index_begin(struct frontend_index *x);

/**
 * frontend_index_commit() - All changes since the beginning show, together; if it did begin
 * @x:		index
 * @retired:	list to which the array as it was is prepended
 */
void frontend_index_commit(struct frontend_index *x, struct retired **retired);

/**
 * frontend_index_reserve() - Make room for more frontends: a new array when the old is half used
 * @x:		index
 * @more:	frontends
 * @hash:	what the index is by
 * @seed:	for it
 * @retired:	list to which the old array is prepended
 *
 * Return: 0, -ENOMEM.
 */
int frontend_index_reserve(struct frontend_index *x, size_t more, frontend_hash_fn *hash,
			   uint64_t seed, struct retired **retired);

/**
 * frontend_index_named() - The frontend with a key, NULL if there is none (writer's thread)
 * @x:		index
 * @hash:	of frontends with this key
 * @key:	of the frontend
 */
const struct frontend *frontend_index_named(const struct frontend_index *x, uint64_t hash,
					    const struct service_key *key);

/**
 * frontend_index_show() - Make a frontend visible, in the place of what has its key; there is room
 *
 * Return: true if nothing had its key.
 */
bool frontend_index_show(struct frontend_index *x, uint64_t hash, const struct frontend *f);

/**
 * frontend_index_hide() - Take a frontend out of sight, unless something else has its key by now
 */
void frontend_index_hide(struct frontend_index *x, uint64_t hash, const struct frontend *f);

size_t frontend_index_bytes(const struct frontend_index *x);

#endif
