/* SPDX-License-Identifier: Apache-2.0 */
/* service_table.h - (address, port, protocol) to the endpoints that serve it. Rank 1.
 *
 * One table per lab, shared by all nodes. Changing a service swaps one pointer per frontend in the
 * index, so a change costs its own size. Changes that must show together are made to a copy of the
 * index (service_table_begin()), which costs the index's size. One writer (the control thread);
 * readers on any worker take no lock and keep no pointer past the poll cycle in which they read it:
 * what service_table_set() and service_table_remove() hand back must be retired, not freed.
 *
 * Endpoints live in numbered slots, each with a generation that changes when the endpoint leaves
 * its service. A flow remembers (slot, generation): removing an endpoint is O(1), however many
 * flows use it. An endpoint that stays in a service over a change keeps its slot. A service may
 * have endpoints that are in no set: flows that have them keep them, new ones do not come.
 */
#ifndef NETSIM_SERVICE_TABLE_H
#define NETSIM_SERVICE_TABLE_H

#include "base.h"
#include "endpoint_slots.h"
#include "frontend_index.h"
#include "retired.h"
#include "service.h"

/* service_table.c's own; here so that what the packet path asks can be inlined. */
struct service_table {
	struct frontend_index keys;      /* by key */
	struct frontend_index addresses; /* those that have one, by it */
	struct endpoint_slots slots;
	uint64_t seed;
	_Atomic uint32_t udp_generation; /* changes when a key of UDP is new */

	/* the writer's own */
	bool open;             /* between begin and commit */
	bool udp_new;          /* since it began: a key of UDP */
	struct retired *going; /* since then: services that readers still see */
	size_t services;
	uint32_t *scratch; /* positions of a spec's endpoints by hash */
	size_t scratch_room;
	size_t bytes;
};

/**
 * service_table_new() - Make an empty table
 * @out:	the table, on success
 * @seed:	of the index hash
 *
 * Return: 0, -ENOMEM.
 */
int service_table_new(struct service_table **out, uint64_t seed);

/**
 * service_table_free() - Free the table and every service in it
 * @t:		table or NULL; no reader may be left
 */
void service_table_free(struct service_table *t);

/**
 * service_table_set() - Add a service or replace the one with the same own key
 * @t:		table
 * @spec:	service, copied
 * @retired:	list to which replaced memory (object, outgrown index) is prepended; see retired.h
 *
 * A key that another service has beside its own passes to this one.
 *
 * Return: 0, -EINVAL for a duplicate endpoint or key, a zero port, or a position, set or node that
 *         can not be, -EEXIST for another service's own key, -ENOMEM (nothing changed).
 */
int service_table_set(struct service_table *t, const struct service_spec *spec,
		      struct retired **retired);

/**
 * service_table_remove() - Remove a service and its keys; its endpoints' generations change
 * @t:		table
 * @key:	its own
 * @retired:	list to which freed memory is prepended
 *
 * Return: 0, -ENOENT.
 */
int service_table_remove(struct service_table *t, const struct service_key *key,
			 struct retired **retired);

/**
 * service_table_begin() - What is set and removed from now on shows at service_table_commit() only
 * @t:		table
 *
 * If there is no memory for that, changes show one by one.
 */
void service_table_begin(struct service_table *t);

/**
 * service_table_commit() - All that was set and removed since it began shows, together
 * @t:		table
 * @retired:	list to which freed memory is prepended
 */
void service_table_commit(struct service_table *t, struct retired **retired);

/**
 * service_table_udp_generation() - Another one whenever UDP may have got a frontend (any thread)
 */
static inline uint32_t service_table_udp_generation(const struct service_table *t)
{
	return atomic_load_explicit(&t->udp_generation, memory_order_acquire);
}

static inline uint64_t service_key_hash(const struct service_key *k, uint64_t seed)
{
	uint64_t w[3];

	memcpy(w, k, sizeof(w));
	return mix64((w[0] ^ seed) * UINT64_C(0x9e3779b97f4a7c15) + w[1] +
		     w[2] * UINT64_C(0xc2b2ae3d27d4eb4f));
}

static inline uint64_t service_table_hash(const struct service_table *t,
					  const struct service_key *k)
{
	return service_key_hash(k, t->seed);
}

/**
 * service_table_find() - What is at an address, port and protocol (any thread, no lock)
 * @t:		table
 * @key:	what is asked for; address zero: a node port
 * @hash:	service_table_hash() of the key
 *
 * Return: the frontend, NULL if there is none.
 */
const struct frontend *service_table_find(const struct service_table *t,
					  const struct service_key *key, uint64_t hash);

/**
 * service_table_has_address() - Whether there is a service at an address (any thread, no lock)
 * @t:		table
 * @addr:	asked for
 * @flags:	enum frontend_flags: only frontends with one of them count
 */
bool service_table_has_address(const struct service_table *t, struct addr addr, uint32_t flags);

/* A find in steps, as a flow table's: service_table_prefetch() for all of a batch, then
 * service_table_prefetch_frontend(), then service_table_find().
 */
static inline const frontend_ref *service_table_place(const struct service_table *t, uint64_t hash)
{
	struct frontend_places *p = frontend_index_places(&t->keys);

	return &p->at[hash & p->mask];
}

PREFETCHING void service_table_prefetch(const struct service_table *t, uint64_t hash)
{
	__builtin_prefetch((const void *)service_table_place(t, hash));
}

PREFETCHING void service_table_prefetch_frontend(const struct service_table *t, uint64_t hash)
{
	const char *f =
	    (const char *)atomic_load_explicit(service_table_place(t, hash), memory_order_acquire);

	__builtin_prefetch(f);                      /* its service's own: the service follows */
	__builtin_prefetch(f ? f + CACHE_LINE : f); /* an empty place: nothing may be added to it */
}

/**
 * service_table_slot_alive() - Whether a remembered endpoint is still in its service (any thread)
 * @t:		table
 * @slot:	as remembered
 * @generation:	as remembered
 */
static inline bool service_table_slot_alive(const struct service_table *t, uint32_t slot,
					    uint32_t generation)
{
	return endpoint_slot_alive(&t->slots, slot, generation);
}

/**
 * service_table_count() - Services in the table (writer's thread)
 */
size_t service_table_count(const struct service_table *t);

/**
 * service_table_bytes() - Memory held by the table, for `netsim status` (writer's thread)
 */
size_t service_table_bytes(const struct service_table *t);

#endif
