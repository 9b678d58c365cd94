/* SPDX-License-Identifier: Apache-2.0 */
/* route_table.c - longest-prefix match by one hash table per prefix length.
 *
 * Theory: rows are sorted into levels, longest prefix first. A level is an open-addressed table at
 * most half full whose slots are the rows themselves, so that a look-up is one masked compare per
 * level and touches one cache line. Levels and slots are one allocation. The hash is not seeded:
 * rows come from the control side, and what packets choose only decides where a miss is noticed.
 */
#include "route_table.h"

#include <errno.h>
#include <stdlib.h>

enum { LENGTH_MAX = 128 };

static struct addr prefix_mask(unsigned len)
{
	struct addr m = {{0, 0}};

	for (unsigned i = 0; i < 2; i++, len = len > 64 ? len - 64 : 0) {
		if (len >= 64)
			m.w[i] = UINT64_MAX;
		else if (len)
			m.w[i] = __builtin_bswap64(~(UINT64_MAX >> len));
	}
	return m;
}

static int row_check(const struct route_row *r)
{
	if (r->len > LENGTH_MAX || r->kind >= ROUTE_KIND_COUNT)
		return -EINVAL;
	return addr_equal(r->prefix, addr_and(r->prefix, prefix_mask(r->len))) ? 0 : -EINVAL;
}

/* Levels of the lengths that occur; returns the slots that all of them need. */
static uint32_t levels_lay_out(struct route_table *t, const uint32_t *per_length)
{
	uint32_t first = 0;

	for (unsigned len = LENGTH_MAX + 1; len-- > 0;) {
		uint32_t slots = 2;

		if (!per_length[len])
			continue;
		while (slots < 2 * per_length[len])
			slots *= 2;
		t->levels[t->level_count++] = (struct route_level){
		    .mask = prefix_mask(len), .first = first, .slots_mask = slots - 1};
		first += slots;
	}
	return first;
}

static int rows_place(struct route_table *t, const struct route_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct addr mask = prefix_mask(rows[i].len);
		const struct route_level *l = t->levels;
		struct route_row *r;

		while (!addr_equal(l->mask, mask))
			l++;
		r = route_probe(t, l, rows[i].prefix);
		if (r->kind != ROUTE_KIND_COUNT)
			return -EEXIST;
		*r = rows[i];
	}
	return 0;
}

int route_table_new(struct route_table **out, const struct route_row *rows, size_t count)
{
	uint32_t per_length[LENGTH_MAX + 1] = {0};
	struct route_table *t;
	uint32_t lengths = 0, slots;
	int err;

	if (count > UINT32_MAX / 8)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		err = row_check(&rows[i]);
		if (err)
			return err;
		lengths += per_length[rows[i].len]++ == 0;
	}
	t = calloc(1, sizeof(*t) + lengths * sizeof(t->levels[0]));
	if (!t)
		return -ENOMEM;
	t->count = count;
	slots = levels_lay_out(t, per_length);
	t->slots = calloc(slots + 1, sizeof(t->slots[0]));
	err = -ENOMEM;
	if (!t->slots)
		goto fail;
	for (uint32_t i = 0; i < slots; i++)
		t->slots[i] = (struct route_row){.kind = ROUTE_KIND_COUNT};
	err = rows_place(t, rows, count);
	if (err)
		goto fail;
	*out = t;
	return 0;
fail:
	route_table_free(t);
	return err;
}

void route_table_free(struct route_table *t)
{
	if (!t)
		return;
	free(t->slots);
	free(t);
}

struct addr route_table_mask(const struct route_table *t)
{
	return t->level_count ? t->levels[0].mask : prefix_mask(0);
}

bool route_table_splits(const struct route_table *t, struct addr prefix, struct addr mask)
{
	for (uint32_t i = 0; i < t->level_count; i++) {
		const struct route_level *l = &t->levels[i];

		if (addr_equal(addr_and(mask, l->mask), l->mask))
			return false; /* as long or shorter, as are those that follow */
		for (uint32_t k = 0; k <= l->slots_mask; k++) {
			const struct route_row *r = &t->slots[l->first + k];

			if (r->kind != ROUTE_KIND_COUNT &&
			    addr_equal(addr_and(r->prefix, mask), prefix))
				return true;
		}
	}
	return false;
}

size_t route_table_count(const struct route_table *t)
{
	return t->count;
}
