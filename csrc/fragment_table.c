/* SPDX-License-Identifier: Apache-2.0 */
/* fragment_table.c - which ports a fragmented datagram has.
 *
 * Theory: chains from a hashed array of heads, and a list in order of age: a new entry takes the
 * place of the oldest once all are used, so that many datagrams per second cost those that nobody
 * waits for any more. Entries are numbered from 1, 0 ends chains and lists.
 */
#include "fragment_table.h"

#include <errno.h>
#include <stdlib.h>

struct entry {
	struct fragment_key key;
	uint64_t expires_ns;
	be16 sport;
	be16 dport;
	uint32_t chain;
	uint32_t older;
	uint32_t newer;
};

struct fragment_table {
	uint64_t seed;
	uint32_t max;
	uint32_t used; /* entries that have ever been taken */
	uint32_t oldest;
	uint32_t newest;
	uint32_t heads_mask;
	uint32_t *heads;
	struct entry entries[]; /* [0] is not used */
};

static_assert(sizeof(struct fragment_key) == 40, "fragment keys are hashed as five words");

int fragment_table_new(struct fragment_table **out, size_t max, uint64_t seed)
{
	struct fragment_table *t;
	uint32_t heads = 1;

	if (max == 0 || max > UINT32_MAX / 2)
		return -EINVAL;
	while (heads < max)
		heads *= 2;
	t = calloc(1, sizeof(*t) + (max + 1) * sizeof(t->entries[0]));
	if (!t)
		return -ENOMEM;
	t->heads = calloc(heads, sizeof(t->heads[0]));
	if (!t->heads) {
		free(t);
		return -ENOMEM;
	}
	t->seed = seed;
	t->max = (uint32_t)max;
	t->heads_mask = heads - 1;
	*out = t;
	return 0;
}

void fragment_table_free(struct fragment_table *t)
{
	if (!t)
		return;
	free(t->heads);
	free(t);
}

static uint32_t *head_of(const struct fragment_table *t, const struct fragment_key *k)
{
	uint64_t w[5], h = t->seed;

	memcpy(w, k, sizeof(w));
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++)
		h = mix64(h ^ w[i]);
	return &t->heads[h & t->heads_mask];
}

static uint32_t chain_find(const struct fragment_table *t, const struct fragment_key *k)
{
	uint32_t i = *head_of(t, k);

	while (i && memcmp(&t->entries[i].key, k, sizeof(*k)) != 0)
		i = t->entries[i].chain;
	return i;
}

static void age_unlink(struct fragment_table *t, const struct entry *e)
{
	*(e->older ? &t->entries[e->older].newer : &t->oldest) = e->newer;
	*(e->newer ? &t->entries[e->newer].older : &t->newest) = e->older;
}

static void age_append(struct fragment_table *t, uint32_t i)
{
	struct entry *e = &t->entries[i];

	e->older = t->newest;
	e->newer = 0;
	*(t->newest ? &t->entries[t->newest].newer : &t->oldest) = i;
	t->newest = i;
}

/* The oldest entry, out of its chain and the list of ages. */
static uint32_t oldest_unlink(struct fragment_table *t)
{
	uint32_t i = t->oldest;
	struct entry *e = &t->entries[i];
	uint32_t *link = head_of(t, &e->key);

	while (*link != i)
		link = &t->entries[*link].chain;
	*link = e->chain;
	age_unlink(t, e);
	return i;
}

/* An entry in its chain, not yet in the list of ages. */
static uint32_t entry_take(struct fragment_table *t, const struct fragment_key *k)
{
	uint32_t i = t->used < t->max ? ++t->used : oldest_unlink(t), *head = head_of(t, k);

	t->entries[i].key = *k;
	t->entries[i].chain = *head;
	*head = i;
	return i;
}

void fragment_remember(struct fragment_table *t, const struct fragment_key *k, be16 sport,
		       be16 dport, uint64_t now_ns)
{
	uint32_t i = chain_find(t, k);

	if (i)
		age_unlink(t, &t->entries[i]);
	else
		i = entry_take(t, k);
	age_append(t, i);
	t->entries[i].expires_ns = now_ns + FRAGMENT_TIMEOUT_S * NS_PER_S;
	t->entries[i].sport = sport;
	t->entries[i].dport = dport;
}

bool fragment_find(const struct fragment_table *t, const struct fragment_key *k, uint64_t now_ns,
		   be16 *sport, be16 *dport)
{
	uint32_t i = chain_find(t, k);

	if (!i || t->entries[i].expires_ns <= now_ns)
		return false;
	*sport = t->entries[i].sport;
	*dport = t->entries[i].dport;
	return true;
}
