/* SPDX-License-Identifier: Apache-2.0 */
/* load_stress.c - the load table against an array, small enough that places are fought for. */
#include <assert.h>
#include <stdio.h>

#include "load_table.h"

enum { CONNECTIONS = 24, ENTRIES = 3, SLOTS = 20, GENERATIONS = 2, STEPS = 200000 };

static const uint64_t seeds[] = {1, 2, 3, 4, 5};

struct connection {
	struct load_key key;
	bool active;
};

static uint32_t below(uint32_t limit, uint64_t *random)
{
	return (uint32_t)(random_next(random) % limit);
}

static struct load_key random_key(uint64_t *random)
{
	return (struct load_key){.entry = 1 + below(ENTRIES, random),
				 .slot = below(SLOTS, random),
				 .generation = below(GENERATIONS, random)};
}

static struct load expected(const struct connection *all, unsigned count,
			    const struct load_key *key)
{
	struct load l = {.key = *key};

	for (unsigned i = 0; i < count; i++)
		if (memcmp(&all[i].key, key, sizeof(*key)) == 0)
			*(all[i].active ? &l.active : &l.inactive) += 1;
	return l;
}

static void compare(const struct load_table *t, const struct connection *all, unsigned count,
		    uint64_t *random)
{
	struct load_key key = random_key(random);
	struct load want = expected(all, count, &key), got = load_table_find(t, &key);

	assert(got.active == want.active && got.inactive == want.inactive);
}

static void stress(uint64_t seed)
{
	struct connection all[CONNECTIONS];
	unsigned count = 0;
	struct load_table *t;
	uint64_t random = seed;

	if (load_table_new(&t, CONNECTIONS, seed))
		return;
	for (unsigned step = 0; step < STEPS; step++) {
		bool begins = count == 0 || (count < CONNECTIONS && below(2, &random) == 0);
		unsigned at = begins ? count : below(count, &random);

		if (begins)
			all[count++] =
			    (struct connection){random_key(&random), below(2, &random) == 0};
		load_table_add(t, &all[at].key, all[at].active, begins ? 1 : -1);
		if (!begins)
			all[at] = all[--count];
		compare(t, all, count, &random);
	}
	while (count--)
		load_table_add(t, &all[count].key, all[count].active, -1);
	assert(load_table_count(t) == 0);
	load_table_free(t);
}

int main(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(seeds); i++)
		stress(seeds[i]);
	printf("%zu changes\n", ARRAY_SIZE(seeds) * STEPS);
	return 0;
}
