/* SPDX-License-Identifier: Apache-2.0 */
/* service_table.c - one writer, many readers without locks.
 *
 * Theory: services are immutable, and what readers find are their frontends, in an index by key and
 * one by address (frontend_index.h).
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

enum { NOT_FOUND = UINT32_MAX };

static uint64_t address_hash(struct addr addr, uint64_t seed)
{
	return mix64((addr.w[0] ^ seed) * UINT64_C(0x9e3779b97f4a7c15) + addr.w[1]);
}

static uint64_t by_address(const struct frontend *f, uint64_t seed)
{
	return address_hash(f->key.addr, seed);
}

static uint64_t by_key(const struct frontend *f, uint64_t seed)
{
	return service_key_hash(&f->key, seed);
}

int service_table_new(struct service_table **out, uint64_t seed)
{
	struct service_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (frontend_index_init(&t->keys) || frontend_index_init(&t->addresses) ||
	    endpoint_slots_init(&t->slots)) {
		frontend_index_fini(&t->keys);
		frontend_index_fini(&t->addresses);
		free(t);
		return -ENOMEM;
	}
	t->seed = seed;
	atomic_init(&t->udp_generation, 1);
	*out = t;
	return 0;
}

void service_table_free(struct service_table *t)
{
	const struct frontend_places *p;
	struct retired *all = NULL;

	if (!t)
		return;
	service_table_commit(t, &all);
	p = frontend_index_places(&t->keys);
	for (uint64_t i = 0; i <= p->mask; i++) {
		const struct frontend *f = frontend_at(p, i);

		if (f && f->flags & FRONTEND_OWN)
			retired_push(&all, service_retired(f->service));
	}
	retired_free(all);
	endpoint_slots_fini(&t->slots);
	frontend_index_fini(&t->keys);
	frontend_index_fini(&t->addresses);
	free(t->scratch);
	free(t);
}

const struct frontend *service_table_find(const struct service_table *t,
					  const struct service_key *key, uint64_t hash)
{
	const struct frontend_places *p = frontend_index_places(&t->keys);

	for (uint64_t i = hash;; i++) {
		const struct frontend *f = frontend_at(p, i);

		if (!f || service_key_equal(&f->key, key))
			return f;
	}
}

bool service_table_has_address(const struct service_table *t, struct addr addr, uint32_t flags)
{
	const struct frontend_places *p = frontend_index_places(&t->addresses);

	for (uint64_t i = address_hash(addr, t->seed);; i++) {
		const struct frontend *f = frontend_at(p, i);

		if (!f || (f->flags & flags && addr_equal(f->key.addr, addr)))
			return f;
	}
}

size_t service_table_count(const struct service_table *t)
{
	return t->services;
}

size_t service_table_bytes(const struct service_table *t)
{
	return sizeof(*t) + t->bytes + frontend_index_bytes(&t->keys) +
	       frontend_index_bytes(&t->addresses) + endpoint_slots_bytes(&t->slots) +
	       t->scratch_room * sizeof(t->scratch[0]);
}

/* The service that has a key for its own, or NULL. */
static const struct service *service_named(struct service_table *t, const struct service_key *key)
{
	const struct frontend *f = frontend_index_named(&t->keys, service_table_hash(t, key), key);

	return f && f->flags & FRONTEND_OWN ? f->service : NULL;
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
		if (service_key_equal(&f[i].key, &s->own.key))
			return -EINVAL;
		for (uint32_t k = 0; k < i; k++)
			if (service_key_equal(&f[i].key, &f[k].key))
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

/* Whether its address is a service's: that of a node port is any, that of a host port a node's. */
static bool has_address(const struct frontend *f)
{
	return (f->key.addr.w[0] | f->key.addr.w[1]) != 0 && !(f->flags & FRONTEND_HOST);
}

static void frontend_show(struct service_table *t, const struct frontend *f)
{
	if (frontend_index_show(&t->keys, by_key(f, t->seed), f) && f->key.proto == PROTO_UDP)
		t->udp_new = true;
	if (has_address(f))
		frontend_index_show(&t->addresses, by_address(f, t->seed), f);
}

static void frontend_hide(struct service_table *t, const struct frontend *f)
{
	frontend_index_hide(&t->keys, by_key(f, t->seed), f);
	if (has_address(f))
		frontend_index_hide(&t->addresses, by_address(f, t->seed), f);
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
			endpoint_slot_leave(&t->slots, e->slot);
	}
	t->bytes -= old->bytes;
	t->services--;
	retired_push(t->open ? &t->going : retired, service_retired(old));
}

/* What changed has been shown. */
static void shown(struct service_table *t)
{
	if (t->udp_new)
		atomic_fetch_add_explicit(&t->udp_generation, 1, memory_order_release);
	t->udp_new = false;
	endpoint_slots_give(&t->slots);
}

void service_table_begin(struct service_table *t)
{
	if (t->open || frontend_index_begin(&t->keys))
		return;
	t->open = true;
	(void)frontend_index_begin(&t->addresses); /* without: they show as they are made */
}

void service_table_commit(struct service_table *t, struct retired **retired)
{
	struct retired *last = t->going;

	if (!t->open)
		return;
	t->open = false;
	frontend_index_commit(&t->keys, retired);
	frontend_index_commit(&t->addresses, retired);
	shown(t);
	while (last && last->next)
		last = last->next;
	if (last) {
		last->next = *retired;
		*retired = t->going;
		t->going = NULL;
	}
}

/* Everything a change may need, before the first change. */
static int change_prepare(struct service_table *t, const struct service_spec *spec,
			  struct service **out, size_t *mask, struct retired **retired)
{
	struct service *s;
	size_t more;
	int err;

	err = service_new(&s, spec);
	if (err)
		return err;
	more = 1 + (size_t)s->frontend_count;
	err = endpoint_slots_reserve(&t->slots, s->count);
	if (!err)
		err = endpoints_enter(t, s, mask);
	if (!err)
		err = keys_check(t, s);
	if (!err)
		err = frontend_index_reserve(&t->keys, more, by_key, t->seed, retired);
	if (!err)
		err = frontend_index_reserve(&t->addresses, more, by_address, t->seed, retired);
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
	if (!t->open)
		shown(t);
	return 0;
}

int service_table_remove(struct service_table *t, const struct service_key *key,
			 struct retired **retired)
{
	const struct service *s = service_named(t, key);

	if (!s)
		return -ENOENT;
	service_retire(t, s, NULL, 0, retired);
	if (!t->open)
		shown(t);
	return 0;
}
