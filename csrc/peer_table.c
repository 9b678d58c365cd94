/* SPDX-License-Identifier: Apache-2.0 */
/* peer_table.c - the far ends of wires, by position and by underlay address.
 *
 * Theory: rows stay in the order in which routes number them; beside them lies an open-addressed
 * index of positions, at most half full.
 */
#include "route_table.h"

#include <errno.h>
#include <stdlib.h>

enum { EMPTY = UINT32_MAX };

struct peer_table {
	uint32_t count;
	uint32_t mask;
	uint32_t *index;
	struct peer_row rows[];
};

/* The index slot of an address, or the empty one where it belongs. */
static uint32_t *index_probe(const struct peer_table *t, struct addr address)
{
	uint64_t i = mix64(address.w[0] ^ mix64(address.w[1]));

	for (;; i++) {
		uint32_t *slot = &t->index[i & t->mask];

		if (*slot == EMPTY || addr_equal(t->rows[*slot].address, address))
			return slot;
	}
}

int peer_table_new(struct peer_table **out, const struct peer_row *rows, size_t count)
{
	struct peer_table *t;
	uint32_t slots = 2;

	if (count > UINT32_MAX / 8)
		return -ENOMEM;
	t = calloc(1, sizeof(*t) + count * sizeof(t->rows[0]));
	if (!t)
		return -ENOMEM;
	while (slots < 2 * count)
		slots *= 2;
	t->index = malloc(slots * sizeof(t->index[0]));
	if (!t->index) {
		peer_table_free(t);
		return -ENOMEM;
	}
	memset(t->index, 0xff, slots * sizeof(t->index[0]));
	t->mask = slots - 1;
	for (; t->count < count; t->count++) {
		uint32_t *slot = index_probe(t, rows[t->count].address);

		if (*slot != EMPTY) {
			peer_table_free(t);
			return -EEXIST;
		}
		*slot = t->count;
		t->rows[t->count] = rows[t->count];
	}
	*out = t;
	return 0;
}

void peer_table_free(struct peer_table *t)
{
	if (!t)
		return;
	free(t->index);
	free(t);
}

const struct peer_row *peer_table_row(const struct peer_table *t, uint32_t index)
{
	return index < t->count ? &t->rows[index] : NULL;
}

const struct peer_row *peer_table_find(const struct peer_table *t, struct addr address)
{
	uint32_t row = *index_probe(t, address);

	return row == EMPTY ? NULL : &t->rows[row];
}
