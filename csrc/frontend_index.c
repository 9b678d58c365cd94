/* SPDX-License-Identifier: Apache-2.0 */
/* frontend_index.c - see the header for the theory. */
#include "frontend_index.h"

#include <errno.h>
#include <stdlib.h>

enum { PLACES_MIN = 16 };

/* No key is equal to its: padding is zero elsewhere. */
static const struct frontend tombstone = {.key = {.pad = {1}}};

static size_t places_bytes(uint64_t count)
{
	return sizeof(struct frontend_places) + count * sizeof(frontend_ref);
}

static struct frontend_places *places_new(uint64_t count)
{
	struct frontend_places *p = calloc(1, places_bytes(count));

	if (p)
		p->mask = count - 1;
	return p;
}

/* Where the writer works. */
static struct frontend_places *places_own(const struct frontend_index *x)
{
	return x->next ? x->next : atomic_load_explicit(&x->places, memory_order_relaxed);
}

int frontend_index_init(struct frontend_index *x)
{
	struct frontend_places *p = places_new(PLACES_MIN);

	if (!p)
		return -ENOMEM;
	x->next = NULL;
	x->count = 0;
	x->used = 0;
	atomic_init(&x->places, p);
	return 0;
}

void frontend_index_fini(struct frontend_index *x)
{
	free(atomic_load_explicit(&x->places, memory_order_relaxed));
	free(x->next);
}

int frontend_index_begin(struct frontend_index *x)
{
	const struct frontend_places *now = places_own(x);
	size_t bytes = places_bytes(now->mask + 1);

	x->next = malloc(bytes);
	if (!x->next)
		return -ENOMEM;
	memcpy(x->next, now, bytes);
	return 0;
}

void frontend_index_commit(struct frontend_index *x, struct retired **retired)
{
	struct frontend_places *old = atomic_load_explicit(&x->places, memory_order_relaxed);

	if (!x->next)
		return;
	atomic_store_explicit(&x->places, x->next, memory_order_release);
	x->next = NULL;
	retired_push(retired, &old->retired);
}

size_t frontend_index_bytes(const struct frontend_index *x)
{
	return places_bytes(places_own(x)->mask + 1);
}

/* Where a key is, or NULL. */
static frontend_ref *place_find(const struct frontend_index *x, uint64_t hash,
				const struct service_key *key)
{
	struct frontend_places *p = places_own(x);

	for (uint64_t i = hash;; i++) {
		frontend_ref *place = &p->at[i & p->mask];
		const struct frontend *f = atomic_load_explicit(place, memory_order_relaxed);

		if (!f)
			return NULL;
		if (service_key_equal(&f->key, key))
			return place;
	}
}

/* Where a key that is not in the index goes. */
static frontend_ref *place_free(struct frontend_places *p, uint64_t hash)
{
	for (uint64_t i = hash;; i++) {
		frontend_ref *place = &p->at[i & p->mask];
		const struct frontend *f = atomic_load_explicit(place, memory_order_relaxed);

		if (!f || f == &tombstone)
			return place;
	}
}

const struct frontend *frontend_index_named(const struct frontend_index *x, uint64_t hash,
					    const struct service_key *key)
{
	const frontend_ref *place = place_find(x, hash, key);

	return place ? atomic_load_explicit(place, memory_order_relaxed) : NULL;
}

int frontend_index_reserve(struct frontend_index *x, size_t more, frontend_hash_fn *hash,
			   uint64_t seed, struct retired **retired)
{
	struct frontend_places *old = places_own(x), *p;
	uint64_t count = PLACES_MIN;

	if (2 * (x->used + more) <= old->mask + 1)
		return 0;
	while (count < 4 * (x->count + more))
		count *= 2;
	p = places_new(count);
	if (!p)
		return -ENOMEM;
	for (uint64_t i = 0; i <= old->mask; i++) {
		const struct frontend *f = atomic_load_explicit(&old->at[i], memory_order_relaxed);

		if (f && f != &tombstone)
			atomic_store_explicit(place_free(p, hash(f, seed)), f,
					      memory_order_relaxed);
	}
	x->used = x->count;
	if (x->next) {
		free(x->next); /* nobody has seen it */
		x->next = p;
		return 0;
	}
	atomic_store_explicit(&x->places, p, memory_order_release);
	retired_push(retired, &old->retired);
	return 0;
}

bool frontend_index_show(struct frontend_index *x, uint64_t hash, const struct frontend *f)
{
	frontend_ref *place = place_find(x, hash, &f->key);
	bool fresh = !place;

	if (fresh) {
		place = place_free(places_own(x), hash);
		x->used += !atomic_load_explicit(place, memory_order_relaxed);
		x->count++;
	}
	atomic_store_explicit(place, f, memory_order_release);
	return fresh;
}

void frontend_index_hide(struct frontend_index *x, uint64_t hash, const struct frontend *f)
{
	frontend_ref *place = place_find(x, hash, &f->key);

	if (!place || atomic_load_explicit(place, memory_order_relaxed) != f)
		return;
	atomic_store_explicit(place, &tombstone, memory_order_release);
	x->count--;
}
