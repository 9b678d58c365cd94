/* SPDX-License-Identifier: Apache-2.0 */
/* affinity_table.c - clients and the endpoints they last got.
 *
 * Theory: a client's entries lie in NEIGHBOURHOOD places in a row from its hash. A place that has
 * been used once is never unused again, so that the first unused place ends a search. A full
 * neighbourhood gives up its least recently renewed entry. The memory is touched as it is used.
 *
 * With a limit, the entries of an endpoint are a list, oldest first, and lists are found by a
 * second hash, in which there are twice as many places as entries: a list that becomes empty goes,
 * and what lies behind it moves up.
 */
#include "affinity_table.h"

#include <errno.h>
#include <stdlib.h>

enum { NEIGHBOURHOOD = AFFINITY_FOUND_MAX };

/* An endpoint's entries, by position plus one. */
struct list {
	uint32_t slot;
	uint32_t generation;
	uint32_t count; /* 0: nobody's */
	uint32_t oldest;
	uint32_t newest;
};

struct affinity_table {
	uint64_t seed;
	uint64_t mask;
	size_t count;
	struct affinity_limit limit;
	struct list *lists; /* NULL without a limit */
	uint64_t list_mask;
	struct affinity entries[];
};

int affinity_table_new(struct affinity_table **out, size_t max, const struct affinity_limit *limit,
		       uint64_t seed)
{
	size_t places = NEIGHBOURHOOD;
	struct affinity_table *t;

	while (places < max && places < UINT32_MAX / 4)
		places *= 2;
	t = calloc(1, sizeof(*t) + places * sizeof(t->entries[0]));
	if (!t)
		return -ENOMEM;
	t->seed = seed;
	t->mask = places - 1;
	t->limit = *limit;
	t->list_mask = 2 * places - 1;
	if (limit->clients) {
		t->lists = calloc(2 * places, sizeof(t->lists[0]));
		if (!t->lists) {
			free(t);
			return -ENOMEM;
		}
	}
	*out = t;
	return 0;
}

void affinity_table_free(struct affinity_table *t)
{
	if (!t)
		return;
	free(t->lists);
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
	return a->state == AFFINITY_KNOWN && a->service == service && addr_equal(a->client, client);
}

static inline bool is_over(const struct affinity *a, uint64_t now_ns, uint32_t timeout_s)
{
	return now_ns - a->renewed_ns > timeout_s * NS_PER_S && !a->held;
}

unsigned affinity_find(const struct affinity_table *t, uint32_t service, struct addr client,
		       uint64_t now_ns, uint32_t timeout_s,
		       const struct affinity *found[AFFINITY_FOUND_MAX])
{
	uint64_t home = client_hash(t, service, client);
	unsigned count = 0;

	for (uint64_t i = 0; i < NEIGHBOURHOOD; i++) {
		const struct affinity *a = &t->entries[(home + i) & t->mask];

		if (a->state == AFFINITY_UNUSED)
			break;
		if (entry_is(a, service, client) && !is_over(a, now_ns, timeout_s))
			found[count++] = a;
	}
	return count;
}

static inline uint64_t list_home(const struct affinity_table *t, uint32_t slot, uint32_t generation)
{
	return mix64(t->seed ^ ((uint64_t)generation << 32 | slot)) & t->list_mask;
}

/* An endpoint's list, or where it would be. */
static struct list *list_of(const struct affinity_table *t, uint32_t slot, uint32_t generation)
{
	for (uint64_t i = list_home(t, slot, generation);; i++) {
		struct list *l = &t->lists[i & t->list_mask];

		if (l->count == 0 || (l->slot == slot && l->generation == generation))
			return l;
	}
}

/* Takes an empty list away: those behind it that may lie nearer to their home do. */
static void list_close(struct affinity_table *t, struct list *l)
{
	uint64_t hole = (uint64_t)(l - t->lists);

	for (uint64_t i = (hole + 1) & t->list_mask; t->lists[i].count;
	     i = (i + 1) & t->list_mask) {
		uint64_t home = list_home(t, t->lists[i].slot, t->lists[i].generation);

		if (((i - home) & t->list_mask) < ((i - hole) & t->list_mask))
			continue;
		t->lists[hole] = t->lists[i];
		hole = i;
	}
	t->lists[hole].count = 0;
}

static struct affinity *entry_at(struct affinity_table *t, uint32_t position)
{
	return &t->entries[position - 1];
}

static void unlink_entry(struct affinity_table *t, struct affinity *a)
{
	struct list *l;

	if (!t->lists)
		return;
	l = list_of(t, a->endpoint_slot, a->endpoint_generation);
	*(a->older ? &entry_at(t, a->older)->newer : &l->oldest) = a->newer;
	*(a->newer ? &entry_at(t, a->newer)->older : &l->newest) = a->older;
	if (--l->count == 0)
		list_close(t, l);
}

static void link_newest(struct affinity_table *t, struct affinity *a)
{
	uint32_t position = (uint32_t)(a - t->entries) + 1;
	struct list *l;

	if (!t->lists)
		return;
	l = list_of(t, a->endpoint_slot, a->endpoint_generation);
	if (l->count == 0)
		*l = (struct list){.slot = a->endpoint_slot, .generation = a->endpoint_generation};
	a->older = l->newest;
	a->newer = 0;
	*(l->newest ? &entry_at(t, l->newest)->newer : &l->oldest) = position;
	l->newest = position;
	l->count++;
}

static void forget(struct affinity_table *t, struct affinity *a)
{
	unlink_entry(t, a);
	a->state = AFFINITY_LEFT;
	t->count--;
}

static inline bool entry_has(const struct affinity *a, const struct affinity_key *key)
{
	return entry_is(a, key->service, key->client) && a->endpoint_slot == key->slot &&
	       a->endpoint_generation == key->generation;
}

/* The client's entry with an endpoint; failing that a free place; failing that the stalest. */
static struct affinity *place_choose(struct affinity_table *t, const struct affinity_key *key)
{
	uint64_t home = client_hash(t, key->service, key->client);
	struct affinity *stalest = &t->entries[home & t->mask], *free = NULL;

	for (uint64_t i = 0; i < NEIGHBOURHOOD; i++) {
		struct affinity *a = &t->entries[(home + i) & t->mask];

		if (entry_has(a, key))
			return a;
		if (a->state != AFFINITY_KNOWN && !free)
			free = a;
		if (a->state == AFFINITY_UNUSED)
			break;
		if (a->renewed_ns < stalest->renewed_ns)
			stalest = a;
	}
	return free ? free : stalest;
}

/* Whether the endpoint has room for one more client, and in @over whether somebody had to go. */
static bool make_room(struct affinity_table *t, const struct affinity_key *key, uint64_t now_ns,
		      uint32_t timeout_s, bool *over)
{
	const struct list *l = t->lists ? list_of(t, key->slot, key->generation) : NULL;
	struct affinity *oldest;

	*over = false;
	if (!l || l->count < t->limit.clients)
		return true;
	oldest = entry_at(t, l->oldest);
	*over = !is_over(oldest, now_ns, timeout_s);
	if (*over && !t->limit.evicts)
		return false;
	forget(t, oldest);
	return true;
}

bool affinity_set(struct affinity_table *t, const struct affinity_key *key, uint64_t now_ns,
		  uint32_t timeout_s)
{
	struct affinity *a = place_choose(t, key);
	bool known = entry_has(a, key), over = false;
	uint32_t held = known ? a->held : 0;

	if (!known && !make_room(t, key, now_ns, timeout_s, &over))
		return over;
	if (a->state == AFFINITY_KNOWN) {
		over = over || !entry_is(a, key->service, key->client);
		forget(t, a);
	}
	t->count++;
	*a = (struct affinity){.client = key->client,
			       .renewed_ns = now_ns,
			       .service = key->service,
			       .endpoint_slot = key->slot,
			       .endpoint_generation = key->generation,
			       .state = AFFINITY_KNOWN,
			       .held = held};
	link_newest(t, a);
	return over;
}

void affinity_hold(struct affinity_table *t, const struct affinity_key *key, int by)
{
	struct affinity *a = place_choose(t, key);

	if (entry_has(a, key) && (by > 0 || a->held))
		a->held += (uint32_t)by;
}

size_t affinity_table_count(const struct affinity_table *t)
{
	return t->count;
}
