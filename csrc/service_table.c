/* SPDX-License-Identifier: Apache-2.0 */
/* service_table.c - one writer, many readers without locks.
 *
 * Theory: the index is an open-addressed array of pointers to immutable services, at most half
 * used, so that every probe ends. A change stores one pointer with release order; a removal leaves
 * a tombstone, which later additions use again. When the index fills up, the writer copies the
 * pointers to a new one, swaps it in and retires the old: a reader finishes its probe in whichever
 * it began. A service is replaced in its own place, so that readers see the old one or the new one
 * but never none.
 *
 * The writer ends the generations of departed endpoints after the swap: a reader that picked one
 * just before remembers a stale generation and chooses anew on its next packet.
 *
 * Every allocation happens before the first change, so that a failed call has changed nothing.
 */
#include "service_table.h"

#include <errno.h>
#include <stdlib.h>

enum { INDEX_MIN = 16, NOT_FOUND = UINT32_MAX };

struct object {
	struct retired retired;
	struct service service;
};

static const struct service tombstone;

static inline bool key_equal(const struct service_key *a, const struct service_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static struct object *object_of(const struct service *s)
{
	return (struct object *)((char *)s - offsetof(struct object, service));
}

static size_t index_bytes(uint64_t places)
{
	return sizeof(struct service_index) + places * sizeof(service_ref);
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
	t->bytes = sizeof(*t) + index_bytes(INDEX_MIN);
	atomic_init(&t->index, x);
	*out = t;
	return 0;
}

void service_table_free(struct service_table *t)
{
	struct service_index *x;

	if (!t)
		return;
	x = index_own(t);
	for (uint64_t i = 0; i <= x->mask; i++) {
		const struct service *s = atomic_load_explicit(&x->places[i], memory_order_relaxed);

		if (s && s != &tombstone)
			free(object_of(s));
	}
	endpoint_slots_fini(&t->slots);
	free(x);
	free(t->scratch);
	free(t);
}

const struct service *service_table_find(const struct service_table *t, struct addr addr, be16 port,
					 uint8_t proto)
{
	const struct service_key key = {.addr = addr, .port = port, .proto = proto};
	struct service_index *x = atomic_load_explicit(&t->index, memory_order_acquire);

	for (uint64_t i = service_table_hash(t, &key);; i++) {
		const struct service *s =
		    atomic_load_explicit(&x->places[i & x->mask], memory_order_acquire);

		if (!s)
			return NULL;
		if (s != &tombstone && key_equal(&s->key, &key))
			return s;
	}
}

const struct endpoint *service_endpoint_in(const struct service *s, uint32_t slot,
					   uint32_t generation)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->endpoints[i].slot == slot)
			return s->endpoints[i].generation == generation ? &s->endpoints[i] : NULL;
	return NULL;
}

size_t service_table_count(const struct service_table *t)
{
	return t->count;
}

size_t service_table_bytes(const struct service_table *t)
{
	return t->bytes + endpoint_slots_bytes(&t->slots) + t->scratch_room * sizeof(t->scratch[0]);
}

/* Where a key is, or NULL. */
static service_ref *place_find(struct service_table *t, const struct service_key *key)
{
	struct service_index *x = index_own(t);

	for (uint64_t i = service_table_hash(t, key);; i++) {
		service_ref *place = &x->places[i & x->mask];
		const struct service *s = atomic_load_explicit(place, memory_order_relaxed);

		if (!s)
			return NULL;
		if (s != &tombstone && key_equal(&s->key, key))
			return place;
	}
}

/* Where a key that is not in the index goes. */
static service_ref *place_free(struct service_index *x, uint64_t hash)
{
	for (uint64_t i = hash;; i++) {
		service_ref *place = &x->places[i & x->mask];
		const struct service *s = atomic_load_explicit(place, memory_order_relaxed);

		if (!s || s == &tombstone)
			return place;
	}
}

/* Makes room for one more service: a new index without tombstones when the old one is half used. */
static int index_reserve(struct service_table *t, struct retired **retired)
{
	struct service_index *old = index_own(t), *x;
	uint64_t places = INDEX_MIN;

	if (2 * (t->used + 1) <= old->mask + 1)
		return 0;
	while (places < 4 * (t->count + 1))
		places *= 2;
	x = index_new(places);
	if (!x)
		return -ENOMEM;
	for (uint64_t i = 0; i <= old->mask; i++) {
		const struct service *s =
		    atomic_load_explicit(&old->places[i], memory_order_relaxed);

		if (s && s != &tombstone)
			atomic_store_explicit(place_free(x, service_table_hash(t, &s->key)), s,
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

/* Copies the endpoints of @spec to @s without slots yet, finding duplicates. */
static int endpoints_copy(struct service_table *t, struct service *s,
			  const struct service_spec *spec, size_t *mask)
{
	size_t places = 8;
	int err;

	while (places < 2 * (size_t)spec->count)
		places *= 2;
	err = scratch_reserve(t, places);
	if (err)
		return err;
	*mask = places - 1;
	for (; s->count < spec->count; s->count++) {
		const struct endpoint_spec *e = &spec->endpoints[s->count];
		uint32_t *at = scratch_probe(t, *mask, s->endpoints, e->addr, e->port);

		if (e->port == 0 || *at != NOT_FOUND)
			return -EINVAL;
		*at = s->count;
		s->endpoints[s->count] =
		    (struct endpoint){.addr = e->addr, .port = e->port, .slot = NOT_FOUND};
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

static size_t object_bytes(uint32_t endpoints)
{
	return sizeof(struct object) + endpoints * sizeof(struct endpoint);
}

/* After @old is out of sight: ends the generations of endpoints that did not stay. */
static void service_retire(struct service_table *t, const struct service *old,
			   const struct service *now, size_t mask, struct retired **retired)
{
	for (uint32_t i = 0; i < old->count; i++) {
		const struct endpoint *e = &old->endpoints[i];

		if (!now || *scratch_probe(t, mask, now->endpoints, e->addr, e->port) == NOT_FOUND)
			endpoint_slot_give(&t->slots, e->slot);
	}
	t->bytes -= object_bytes(old->count);
	retired_push(retired, &object_of(old)->retired);
}

/* Everything a change of @spec->count endpoints may need, before the first change. */
static int change_prepare(struct service_table *t, const struct service_spec *spec,
			  struct object **out, size_t *mask)
{
	struct object *o;
	int err;

	if (spec->key.port == 0)
		return -EINVAL;
	if (endpoint_slots_reserve(&t->slots, spec->count))
		return -ENOMEM;
	o = calloc(1, object_bytes(spec->count));
	if (!o)
		return -ENOMEM;
	err = endpoints_copy(t, &o->service, spec, mask);
	if (err) {
		free(o);
		return err;
	}
	*out = o;
	return 0;
}

int service_table_set(struct service_table *t, const struct service_spec *spec,
		      struct retired **retired)
{
	service_ref *place = place_find(t, &spec->key);
	const struct service *old = NULL;
	struct object *o;
	size_t mask;
	int err;

	err = change_prepare(t, spec, &o, &mask);
	if (err)
		return err;
	if (place) {
		old = atomic_load_explicit(place, memory_order_relaxed);
	} else {
		err = index_reserve(t, retired);
		if (err) {
			free(o);
			return err;
		}
		place = place_free(index_own(t), service_table_hash(t, &spec->key));
		t->used += !atomic_load_explicit(place, memory_order_relaxed);
		t->count++;
	}
	o->service.key = spec->key;
	o->service.id = spec->id;
	o->service.affinity_s = spec->affinity_s;
	o->service.revision = spec->revision;
	slots_assign(t, old, &o->service, mask);
	t->bytes += object_bytes(spec->count);
	atomic_store_explicit(place, &o->service, memory_order_release);
	if (old)
		service_retire(t, old, &o->service, mask, retired);
	return 0;
}

int service_table_remove(struct service_table *t, const struct service_key *key,
			 struct retired **retired)
{
	service_ref *place = place_find(t, key);
	const struct service *old;

	if (!place)
		return -ENOENT;
	old = atomic_load_explicit(place, memory_order_relaxed);
	atomic_store_explicit(place, &tombstone, memory_order_release);
	t->count--;
	service_retire(t, old, NULL, 0, retired);
	return 0;
}
