/* SPDX-License-Identifier: Apache-2.0 */
/* affinity_table.c - clients and the endpoints they last got.
 *
 * Theory: a client's entries lie in NEIGHBOURHOOD places in a row from its hash. Entries
 * never go away, they are only overwritten, so that the first unused place ends a search. A full
 * neighbourhood gives up its least recently renewed entry. The memory is touched as it is used.
 */
#include "affinity_table.h"

#include <errno.h>
#include <stdlib.h>

enum { NEIGHBOURHOOD = AFFINITY_FOUND_MAX };

struct affinity_table {
	uint64_t seed;
	uint64_t mask;
	size_t count;
	struct affinity entries[];
};

int affinity_table_new(struct affinity_table **out, size_t max, uint64_t seed)
{
	size_t places = NEIGHBOURHOOD;
	struct affinity_table *t;

	while (places < max && places < SIZE_MAX / 2 / sizeof(t->entries[0]))
		places *= 2;
	t = calloc(1, sizeof(*t) + places * sizeof(t->entries[0]));
	if (!t)
		return -ENOMEM;
	t->seed = seed;
	t->mask = places - 1;
	*out = t;
	return 0;
}

void affinity_table_free(struct affinity_table *t)
{
	free(t);
}

static inline uint64_t client_hash(const struct affinity_table *t, uint32_t service,
				   struct addr client)
{
	return mix64((client.w[0] ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15) + client.w[1] +
		     service * UINT64_C(0xc2b2ae3d27d4eb4f));
}

static inline bool entry_is(const struct affinity *a, uint32_t service, struct addr client)
{
	return a->service == service && addr_equal(a->client, client);
}

unsigned affinity_find(const struct affinity_table *t, uint32_t service, struct addr client,
		       uint64_t now_ns, uint32_t timeout_s,
		       const struct affinity *found[AFFINITY_FOUND_MAX])
{
	uint64_t home = client_hash(t, service, client);
	unsigned count = 0;

	for (uint64_t i = 0; i < NEIGHBOURHOOD; i++) {
		const struct affinity *a = &t->entries[(home + i) & t->mask];

		if (!a->used)
			break;
		if (entry_is(a, service, client) && now_ns - a->renewed_ns <= timeout_s * NS_PER_S)
			found[count++] = a;
	}
	return count;
}

/* The client's entry with an endpoint; failing that an unused place; failing that the stalest. */
static struct affinity *place_choose(struct affinity_table *t, uint32_t service, struct addr client,
				     uint32_t slot, uint32_t generation)
{
	uint64_t home = client_hash(t, service, client);
	struct affinity *stalest = &t->entries[home & t->mask];

	for (uint64_t i = 0; i < NEIGHBOURHOOD; i++) {
		struct affinity *a = &t->entries[(home + i) & t->mask];

		if (!a->used)
			return a;
		if (entry_is(a, service, client) && a->endpoint_slot == slot &&
		    a->endpoint_generation == generation)
			return a;
		if (a->renewed_ns < stalest->renewed_ns)
			stalest = a;
	}
	return stalest;
}

bool affinity_set(struct affinity_table *t, uint32_t service, struct addr client, uint32_t slot,
		  uint32_t generation, uint64_t now_ns)
{
	struct affinity *a = place_choose(t, service, client, slot, generation);
	bool evicted = a->used && !entry_is(a, service, client);

	t->count += !a->used;
	*a = (struct affinity){.client = client,
			       .renewed_ns = now_ns,
			       .service = service,
			       .endpoint_slot = slot,
			       .endpoint_generation = generation,
			       .used = 1};
	return evicted;
}

size_t affinity_table_count(const struct affinity_table *t)
{
	return t->count;
}
