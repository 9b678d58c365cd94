/* SPDX-License-Identifier: Apache-2.0 */
/* route_table.h - longest-prefix match to a route row, and the peers that routes name. Rank 1.
 *
 * Both tables are built once from rows and immutable afterwards: readers need no lock and hold no
 * pointer past the poll cycle. Constant time: one hash probe per distinct prefix length, longest
 * first (a lab has three or four lengths). The lab has one shared route table (pod ranges of the
 * nodes, the service range, default); each node has a small one of its own (its pods, its stack's
 * addresses) that is asked first.
 */
#ifndef NETSIM_ROUTE_TABLE_H
#define NETSIM_ROUTE_TABLE_H

#include "base.h"

enum route_kind {
	ROUTE_POD,           /* index: iface id of the pod, on this node */
	ROUTE_STACK,         /* the node's own network stack; index unused */
	ROUTE_PEER,          /* index: row of the peer table */
	ROUTE_UNREACHABLE,   /* answer ICMP net unreachable */
	ROUTE_SERVICE_RANGE, /* no service matched: it is dropped */
	ROUTE_KIND_COUNT
};

struct route_row {
	struct addr prefix;
	uint8_t len;  /* prefix length in bits of the 16-byte form: IPv4 /24 is 120 */
	uint8_t kind; /* enum route_kind */
	uint16_t pad;
	uint32_t index;
};

/* Rows of one prefix length. */
struct route_level {
	struct addr mask;
	uint32_t first; /* slot */
	uint32_t slots_mask;
};

/* route_table.c's own; here so that look-ups can be inlined. */
struct route_table {
	size_t count;
	struct route_row *slots; /* kind ROUTE_KIND_COUNT: empty */
	uint32_t level_count;
	struct route_level levels[];
};

/**
 * route_table_new() - Build a table from rows, which are copied
 * @out:	the table, on success
 * @rows:	at most one per (prefix, len)
 * @count:	number of rows
 *
 * Return: 0, -EINVAL for bits set outside the prefix or an unknown kind, -EEXIST for two rows with
 *         one prefix, -ENOMEM.
 */
int route_table_new(struct route_table **out, const struct route_row *rows, size_t count);

/**
 * route_table_free() - Free a table
 * @t:		table or NULL
 */
void route_table_free(struct route_table *t);

static inline uint32_t route_hash(struct addr a)
{
	uint64_t x = a.w[0] * UINT64_C(0x9e3779b97f4a7c15) ^ a.w[1];

	return (uint32_t)(__builtin_bswap64(x * UINT64_C(0xc2b2ae3d27d4eb4f)));
}

/* The row's slot in its level, or the empty one where it belongs. */
static inline struct route_row *route_probe(const struct route_table *t,
					    const struct route_level *l, struct addr prefix)
{
	for (uint32_t i = route_hash(prefix);; i++) {
		struct route_row *r = &t->slots[l->first + (i & l->slots_mask)];

		if (r->kind == ROUTE_KIND_COUNT || addr_equal(r->prefix, prefix))
			return r;
	}
}

/**
 * route_table_find() - Longest matching prefix
 * @t:		table
 * @dst:	destination
 *
 * Return: the row, NULL if none matches.
 */
static inline const struct route_row *route_table_find(const struct route_table *t, struct addr dst)
{
	for (uint32_t i = 0; i < t->level_count; i++) {
		const struct route_level *l = &t->levels[i];
		const struct route_row *r = route_probe(t, l, addr_and(dst, l->mask));

		if (r->kind != ROUTE_KIND_COUNT)
			return r;
	}
	return NULL;
}

/**
 * route_table_mask() - Of the longest prefix in the table; none: of length 0
 */
struct addr route_table_mask(const struct route_table *t);

/**
 * route_table_splits() - Whether a longer prefix than @mask lies within @prefix
 *
 * If not, all addresses within @prefix have the same row. Looks at every row.
 */
bool route_table_splits(const struct route_table *t, struct addr prefix, struct addr mask);

size_t route_table_count(const struct route_table *t);

enum { PEER_EXTERNAL = UINT32_MAX };

/* The far end of a wire: a node as its neighbours see it. */
struct peer_row {
	struct addr address; /* on the underlay */
	uint8_t mac[6];      /* of its VTEP (vxlan) */
	be16 port;           /* UDP port that it listens on */
	uint32_t node;       /* engine's node id, PEER_EXTERNAL if it is not in this process */
};

struct peer_table;

/**
 * peer_table_new() - Build a table from rows, which are copied
 * @out:	the table, on success
 * @rows:	at most one per address
 * @count:	number of rows
 *
 * Return: 0, -EEXIST for two rows with one address, -ENOMEM.
 */
int peer_table_new(struct peer_table **out, const struct peer_row *rows, size_t count);
void peer_table_free(struct peer_table *t);

/**
 * peer_table_row() - The row that ROUTE_PEER's index names
 *
 * Return: the row, NULL if out of range.
 */
const struct peer_row *peer_table_row(const struct peer_table *t, uint32_t index);

/**
 * peer_table_find() - The peer with this underlay address: is the sender one of us?
 *
 * Return: the row, NULL for a stranger.
 */
const struct peer_row *peer_table_find(const struct peer_table *t, struct addr address);

#endif
