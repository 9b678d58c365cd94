/* SPDX-License-Identifier: Apache-2.0 */
/* service_table.c - one writer, many readers without locks.
 *
 * Theory: the index is an open-addressed array of pointers to frontends, which are part of
 * immutable services, at most half used, so that every probe ends. A change stores one pointer per
 * frontend with release order; a removal leaves a tombstone, which later additions use again. When
 * the index fills up, the writer copies the pointers to a new one, swaps it in and retires the old:
 * a reader finishes its probe in whichever it began. A frontend is replaced in its own place, so
 * that readers see the old one or the new one but never none.
 *
 * The writer ends the generations of departed endpoints after the swap: a reader that picked one
 * just before remembers a stale generation and chooses anew on its next packet.
 *
 * Every allocation happens before the first change, so that a failed call has changed nothing.
 */
#include "service_table.h"

#include "wire.h"

#include <errno.h>
#include <stdlib.h>

enum { INDEX_MIN = 16, NOT_FOUND = UINT32_MAX };

/* No key is equal to its: padding is zero elsewhere. */
static const struct frontend tombstone = {.key = {.pad = {1}}};

static inline bool key_equal(const struct service_key *a, const struct service_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static size_t index_bytes(uint64_t places)
{
	return sizeof(struct service_index) + places * sizeof(frontend_ref);
}

static struct service_index *index_new(uint64_t places)
{
	struct service_index *x = calloc(1, index_bytes(places));

	if (x)
		x->mask = places - 1;
	return x;
}

static struct service_index *index_own(const struct service_table *t)
{
	return atomic_load_explicit(&t->index, memory_order_relaxed);
}

int service_table_new(struct service_table **out, uint64_t seed)
{
	struct service_table *t = calloc(1, sizeof(*t));
	struct service_index *x = index_new(INDEX_MIN);

	if (!t || !x || endpoint_slots_init(&t->slots)) {
		free(x);
		free(t);
		return -ENOMEM;
	}
	t->seed = seed;
	atomic_init(&t->udp_generation, 1);
	t->bytes = sizeof(*t) + index_bytes(INDEX_MIN);
	atomic_init(&t->index, x);
	*out = t;
	return 0;
}

void service_table_free(struct service_table *t)
{
	struct retired *all = NULL;
	struct service_index *x;

	if (!t)
		return;
	x = index_own(t);
	for (uint64_t i = 0; i <= x->mask; i++) {
		const struct frontend *f =
		    atomic_load_explicit(&x->places[i], memory_order_relaxed);

		if (f && f->flags & FRONTEND_OWN)
			retired_push(&all, service_retired(f->service));
	}
	retired_free(all);
	endpoint_slots_fini(&t->slots);
	free(x);
	free(t->scratch);
	free(t);
}

const struct frontend *service_table_find(const struct service_table *t,
					  const struct service_key *key, uint64_t hash)
{
	struct service_index *x = atomic_load_explicit(&t->index, memory_order_acquire);

	for (uint64_t i = hash;; i++) {
		const struct frontend *f =
		    atomic_load_explicit(&x->places[i & x->mask], memory_order_acquire);

		if (!f || key_equal(&f->key, key))
			return f;
	}
}

size_t service_table_count(const struct service_table *t)
{
	return t->services;
}

size_t service_table_bytes(const struct service_table *t)
{
	return t->bytes + endpoint_slots_bytes(&t->slots) + t->scratch_room * sizeof(t->scratch[0]);
}

/* Where a key is, or NULL. */
static frontend_ref *place_find(struct service_table *t, const struct service_key *key)
{
	struct service_index *x = index_own(t);

	for (uint64_t i = service_table_hash(t, key);; i++) {
		frontend_ref *place = &x->places[i & x->mask];
		const struct frontend *f = atomic_load_explicit(place, memory_order_relaxed);

		if (!f)
			return NULL;
		if (key_equal(&f->key, key))
			return place;
	}
}

/* Where a key that is not in the index goes. */
static frontend_ref *place_free(struct service_index *x, uint64_t hash)
{
	for (uint64_t i = hash;; i++) {
		frontend_ref *place = &x->places[i & x->mask];
		const struct frontend *f = atomic_load_explicit(place, memory_order_relaxed);

		if (!f || f == &tombstone)
			return place;
	}
}

/* The service that has a key for its own, or NULL. */
static const struct service *service_named(struct service_table *t, const struct service_key *key)
{
	const frontend_ref *place = place_find(t, key);
	const struct frontend *f = place ? atomic_load_explicit(place, memory_order_relaxed) : NULL;

	return f && f->flags & FRONTEND_OWN ? f->service : NULL;
}

/* Makes room for @more frontends: a new index without tombstones when the old one is half used. */
static int index_reserve(struct service_table *t, size_t more, struct retired **retired)
{
	struct service_index *old = index_own(t), *x;
	uint64_t places = INDEX_MIN;

	if (2 * (t->used + more) <= old->mask + 1)
		return 0;
	while (places < 4 * (t->count + more))
		places *= 2;
	x = index_new(places);
	if (!x)
		return -ENOMEM;
	for (uint64_t i = 0; i <= old->mask; i++) {
		const struct frontend *f =
		    atomic_load_explicit(&old->places[i], memory_order_relaxed);

		if (f && f != &tombstone)
			atomic_store_explicit(place_free(x, service_table_hash(t, &f->key)), f,
					      memory_order_relaxed);
	}
	t->used = t->count;
	t->bytes += index_bytes(places) - index_bytes(old->mask + 1);
	atomic_store_explicit(&t->index, x, memory_order_release);
	retired_push(retired, &old->retired);
	return 0;
}

static int scratch_reserve(struct service_table *t, size_t places)
{
	uint32_t *p;

	if (places > t->scratch_room) {
		p = realloc(t->scratch, places * sizeof(*p));
		if (!p)
			return -ENOMEM;
		t->scratch = p;
		t->scratch_room = places;
	}
	memset(t->scratch, 0xff, places * sizeof(t->scratch[0]));
	return 0;
}

/* The scratch place of an address and port among @endpoints, or the empty one where it belongs. */
static uint32_t *scratch_probe(const struct service_table *t, size_t mask,
			       const struct endpoint *endpoints, struct addr addr, be16 port)
{
	uint64_t i = mix64(addr.w[0] ^ t->seed ^ mix64(addr.w[1] + port));

	for (;; i++) {
		uint32_t *at = &t->scratch[i & mask];

		if (*at == NOT_FOUND ||
		    (endpoints[*at].port == port && addr_equal(endpoints[*at].addr, addr)))
			return at;
	}
}

/* Enters the endpoints of @s into the scratch table, finding duplicates. */
static int endpoints_enter(struct service_table *t, const struct service *s, size_t *mask)
{
	size_t places = 8;
	int err;

	while (places < 2 * (size_t)s->count)
		places *= 2;
	err = scratch_reserve(t, places);
	if (err)
		return err;
	*mask = places - 1;
	for (uint32_t i = 0; i < s->count; i++) {
		const struct endpoint *e = &s->endpoints[i];
		uint32_t *at = scratch_probe(t, *mask, s->endpoints, e->addr, e->port);

		if (e->port == 0 || *at != NOT_FOUND)
			return -EINVAL;
		*at = i;
	}
	return 0;
}

/* Whether the keys of @s are different, and none is another service's own. */
static int keys_check(struct service_table *t, const struct service *s)
{
	const struct frontend *f = s->frontends;

	for (uint32_t i = 0; i < s->frontend_count; i++) {
		if (key_equal(&f[i].key, &s->own.key))
			return -EINVAL;
		for (uint32_t k = 0; k < i; k++)
			if (key_equal(&f[i].key, &f[k].key))
				return -EINVAL;
		if (service_named(t, &f[i].key))
			return -EEXIST;
	}
	return 0;
}

/* Endpoints of @old that stay keep their slots; the others of @s get one each. */
static void slots_assign(struct service_table *t, const struct service *old, struct service *s,
			 size_t mask)
{
	for (uint32_t i = 0; old && i < old->count; i++) {
		const struct endpoint *e = &old->endpoints[i];
		uint32_t at = *scratch_probe(t, mask, s->endpoints, e->addr, e->port);

		if (at != NOT_FOUND) {
			s->endpoints[at].slot = e->slot;
			s->endpoints[at].generation = e->generation;
		}
	}
	for (uint32_t i = 0; i < s->count; i++) {
		struct endpoint *e = &s->endpoints[i];

		if (e->slot == NOT_FOUND)
			e->slot = endpoint_slot_take(&t->slots, &e->generation);
	}
}

/* Makes a frontend visible, in the place of what has its key. There is room. */
static void frontend_show(struct service_table *t, const struct frontend *f)
{
	frontend_ref *place = place_find(t, &f->key);

	if (!place) {
		place = place_free(index_own(t), service_table_hash(t, &f->key));
		t->used += !atomic_load_explicit(place, memory_order_relaxed);
		t->count++;
		if (f->key.proto == PROTO_UDP)
			atomic_fetch_add_explicit(&t->udp_generation, 1, memory_order_release);
	}
	atomic_store_explicit(place, f, memory_order_release);
}

/* Takes a frontend out of sight, unless something else has its key by now. */
static void frontend_hide(struct service_table *t, const struct frontend *f)
{
	frontend_ref *place = place_find(t, &f->key);

	if (!place || atomic_load_explicit(place, memory_order_relaxed) != f)
		return;
	atomic_store_explicit(place, &tombstone, memory_order_release);
	t->count--;
}

/* Takes @old out of sight where @now is not; ends the generations of endpoints that did not stay.
 */
static void service_retire(struct service_table *t, const struct service *old,
			   const struct service *now, size_t mask, struct retired **retired)
{
	frontend_hide(t, &old->own);
	for (uint32_t i = 0; i < old->frontend_count; i++)
		frontend_hide(t, &old->frontends[i]);
	for (uint32_t i = 0; i < old->count; i++) {
		const struct endpoint *e = &old->endpoints[i];

		if (!now || *scratch_probe(t, mask, now->endpoints, e->addr, e->port) == NOT_FOUND)
			endpoint_slot_give(&t->slots, e->slot);
	}
	t->bytes -= old->bytes;
	t->services--;
	retired_push(retired, service_retired(old));
}

/* Everything a change may need, before the first change. */
static int change_prepare(struct service_table *t, const struct service_spec *spec,
			  struct service **out, size_t *mask, struct retired **retired)
{
	struct service *s;
	int err;

	err = service_new(&s, spec);
	if (err)
		return err;
	err = endpoint_slots_reserve(&t->slots, s->count);
	if (!err)
		err = endpoints_enter(t, s, mask);
	if (!err)
		err = keys_check(t, s);
	if (!err)
		err = index_reserve(t, 1 + (size_t)s->frontend_count, retired);
	if (err) {
		retired_free(service_retired(s));
		return err;
	}
	*out = s;
	return 0;
}

int service_table_set(struct service_table *t, const struct service_spec *spec,
		      struct retired **retired)
{
	const struct service *old;
	struct service *s = NULL;
	size_t mask = 0;
	int err;

	err = change_prepare(t, spec, &s, &mask, retired);
	if (err)
		return err;
	old = service_named(t, &spec->key);
	slots_assign(t, old, s, mask);
	t->bytes += s->bytes;
	t->services++;
	frontend_show(t, &s->own);
	for (uint32_t i = 0; i < s->frontend_count; i++)
		frontend_show(t, &s->frontends[i]);
	if (old)
		service_retire(t, old, s, mask, retired);
	return 0;
}

int service_table_remove(struct service_table *t, const struct service_key *key,
			 struct retired **retired)
{
	const struct service *s = service_named(t, key);

	if (!s)
		return -ENOENT;
	service_retire(t, s, NULL, 0, retired);
	return 0;
}
