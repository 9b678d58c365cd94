/* SPDX-License-Identifier: Apache-2.0 */
/* load_table.c - connections by endpoint, turns by entry.
 *
 * Theory: loads are in an open-addressed array, at most half used; one that has no connection any
 * more goes, and what lies behind it moves up. A turn lies in one of NEIGHBOURHOOD places from its
 * hash; where all are others', it takes the first.
 */
#include "load_table.h"

#include <errno.h>
#include <stdlib.h>

enum { TURNS = 1 << 16, NEIGHBOURHOOD = 16, TURN_BEFORE_FIRST = UINT32_MAX };

struct load_table {
	uint64_t seed;
	uint64_t mask;
	size_t count;
	struct turn turns[TURNS];
	struct load loads[];
};

int load_table_new(struct load_table **out, size_t max, uint64_t seed)
{
	size_t places = NEIGHBOURHOOD;
	struct load_table *t;

	while (places < 2 * max)
		places *= 2;
	t = calloc(1, sizeof(*t) + places * sizeof(t->loads[0]));
	if (!t)
		return -ENOMEM;
	t->seed = seed;
	t->mask = places - 1;
	*out = t;
	return 0;
}

void load_table_free(struct load_table *t)
{
	free(t);
}

size_t load_table_count(const struct load_table *t)
{
	return t->count;
}

static inline uint64_t home_of(const struct load_table *t, const struct load_key *k)
{
	uint64_t x = (uint64_t)k->generation << 32 | k->slot;

	return mix64(x ^ mix64(t->seed + k->entry)) & t->mask;
}

static inline bool is_free(const struct load *l)
{
	return !(l->active | l->inactive);
}

/* Where a key is, or belongs. */
static uint64_t place_of(const struct load_table *t, const struct load_key *key)
{
	uint64_t i = home_of(t, key);

	while (!is_free(&t->loads[i]) && memcmp(&t->loads[i].key, key, sizeof(*key)) != 0)
		i = (i + 1) & t->mask;
	return i;
}

struct load load_table_find(const struct load_table *t, const struct load_key *key)
{
	return t->loads[place_of(t, key)];
}

/* Takes a load away: those behind it that may lie nearer to their home do. */
static void remove_at(struct load_table *t, uint64_t hole)
{
	for (uint64_t i = (hole + 1) & t->mask; !is_free(&t->loads[i]); i = (i + 1) & t->mask) {
		uint64_t home = home_of(t, &t->loads[i].key);

		if (((i - home) & t->mask) < ((i - hole) & t->mask))
			continue;
		t->loads[hole] = t->loads[i];
		hole = i;
	}
	t->loads[hole] = (struct load){0};
	t->count--;
}

void load_table_add(struct load_table *t, const struct load_key *key, bool active, int count)
{
	uint64_t at = place_of(t, key);
	struct load *l = &t->loads[at];
	uint32_t *n = active ? &l->active : &l->inactive;

	if (is_free(l)) {
		if (count < 0)
			return;
		l->key = *key;
		t->count++;
	}
	*n += (uint32_t)count;
	if (is_free(l))
		remove_at(t, at);
}

uint32_t load_table_gone_s(struct load_table *t, const struct load_key *key, uint32_t now_s)
{
	struct load *l = &t->loads[place_of(t, key)];

	if (is_free(l))
		return 0;
	if (!l->left_s)
		l->left_s = now_s + 1;
	return now_s + 1 - l->left_s;
}

struct turn *load_table_turn(struct load_table *t, uint32_t entry)
{
	uint64_t home = mix64(t->seed ^ entry);
	struct turn *turn = &t->turns[home % TURNS];

	for (uint64_t i = 0; i < NEIGHBOURHOOD; i++) {
		struct turn *other = &t->turns[(home + i) % TURNS];

		if (other->entry == entry)
			return other;
		if (!other->entry) {
			turn = other;
			break;
		}
	}
	*turn = (struct turn){entry, TURN_BEFORE_FIRST, TURN_BEFORE_FIRST};
	return turn;
}
