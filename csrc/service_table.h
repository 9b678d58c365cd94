/* SPDX-License-Identifier: Apache-2.0 */
/* service_table.h - (address, port, protocol) to the endpoints that serve it. Rank 1.
 *
 * One table per lab, shared by all nodes. A service is an immutable object; changing one swaps one
 * pointer in the index, so a change costs its own size. One writer (the control thread); readers on
 * any worker take no lock and keep no pointer past the poll cycle in which they read it: what
 * service_table_set() and service_table_remove() hand back must be retired, not freed.
 *
 * Endpoints live in numbered slots, each with a generation that changes when the endpoint leaves
 * its service. A flow remembers (slot, generation): removing an endpoint is O(1), however many
 * flows use it. An endpoint that stays in a service over a change keeps its slot.
 */
#ifndef NETSIM_SERVICE_TABLE_H
#define NETSIM_SERVICE_TABLE_H

#include "base.h"
#include "endpoint_slots.h"
#include "retired.h"

struct service_key {
	struct addr addr;
	be16 port;
	uint8_t proto;
	uint8_t pad[5]; /* zero */
};
static_assert(sizeof(struct service_key) == 24, "service keys are compared as three words");

struct endpoint {
	struct addr addr;
	be16 port;
	uint32_t slot;
	uint32_t generation;
};

struct service {
	struct service_key key;
	uint32_t id;         /* names the service port in affinity entries and decision records */
	uint32_t affinity_s; /* sessionAffinity ClientIP timeout; 0: none */
	uint64_t revision;   /* that put this object in place */
	uint32_t count;
	struct endpoint endpoints[];
};

/* What the control side hands over; copied. */
struct endpoint_spec {
	struct addr addr;
	be16 port;
};

struct service_spec {
	struct service_key key;
	uint32_t id;
	uint32_t affinity_s;
	uint64_t revision;
	uint32_t count;
	const struct endpoint_spec *endpoints; /* no two equal */
};

typedef _Atomic(const struct service *) service_ref;

struct service_index {
	struct retired retired;
	uint64_t mask;
	service_ref places[];
};

/* service_table.c's own; here so that what the packet path asks can be inlined. */
struct service_table {
	_Atomic(struct service_index *) index;
	struct endpoint_slots slots;
	uint64_t seed;

	/* the writer's own */
	size_t count;
	size_t used;       /* places that are not NULL: services and tombstones */
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
 * service_table_set() - Add a service or replace the one with the same key
 * @t:		table
 * @spec:	service, copied
 * @retired:	list to which replaced memory (object, outgrown index) is prepended; see retired.h
 *
 * Return: 0, -EINVAL for a duplicate endpoint or zero port, -ENOMEM (nothing changed).
 */
int service_table_set(struct service_table *t, const struct service_spec *spec,
		      struct retired **retired);

/**
 * service_table_remove() - Remove a service; its endpoints' generations change
 * @t:		table
 * @key:	of the service
 * @retired:	list to which freed memory is prepended
 *
 * Return: 0, -ENOENT.
 */
int service_table_remove(struct service_table *t, const struct service_key *key,
			 struct retired **retired);

/**
 * service_table_find() - The service at an address, port and protocol (any thread, no lock)
 * @t:		table
 * @addr:	destination address
 * @port:	destination port, wire order
 * @proto:	PROTO_*
 *
 * Return: the service, NULL if there is none.
 */
const struct service *service_table_find(const struct service_table *t, struct addr addr, be16 port,
					 uint8_t proto);

/* A find in steps, as a flow table's: service_table_prefetch() for all of a batch, then
 * service_table_prefetch_service(), then service_table_find().
 */
static inline uint64_t service_table_hash(const struct service_table *t,
					  const struct service_key *k)
{
	uint64_t w[3];

	memcpy(w, k, sizeof(w));
	return mix64((w[0] ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15) + w[1] +
		     w[2] * UINT64_C(0xc2b2ae3d27d4eb4f));
}

static inline const service_ref *service_table_place(const struct service_table *t, uint64_t hash)
{
	struct service_index *x = atomic_load_explicit(&t->index, memory_order_acquire);

	return &x->places[hash & x->mask];
}

static inline void service_table_prefetch(const struct service_table *t, uint64_t hash)
{
	__builtin_prefetch((const void *)service_table_place(t, hash));
}

static inline void service_table_prefetch_service(const struct service_table *t, uint64_t hash)
{
	const char *s =
	    (const char *)atomic_load_explicit(service_table_place(t, hash), memory_order_acquire);

	__builtin_prefetch(s);
	__builtin_prefetch(s ? s + CACHE_LINE : s); /* an empty place: nothing may be added to it */
}

/**
 * service_pick() - One endpoint, each with probability 1/count
 * @s:		service with at least one endpoint
 * @random:	uniform 32 bits
 */
static inline const struct endpoint *service_pick(const struct service *s, uint32_t random)
{
	return &s->endpoints[((uint64_t)random * s->count) >> 32];
}

/**
 * service_endpoint_find() - The endpoint with this address and port, or NULL
 * @s:		service
 * @addr:	endpoint address
 * @port:	wire order
 */
static inline const struct endpoint *service_endpoint_find(const struct service *s,
							   struct addr addr, be16 port)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const struct endpoint *e = &s->endpoints[i];

		if (e->port == port && addr_equal(e->addr, addr))
			return e;
	}
	return NULL;
}

/**
 * service_endpoint_in() - The endpoint in a slot, or NULL if it has left the service since
 * @s:		service
 * @slot:	as remembered
 * @generation:	as remembered
 */
const struct endpoint *service_endpoint_in(const struct service *s, uint32_t slot,
					   uint32_t generation);

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
