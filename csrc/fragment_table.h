/* SPDX-License-Identifier: Apache-2.0 */
/* fragment_table.h - ports of fragmented datagrams, so that later fragments follow the first.
 * Rank 1.
 *
 * One per node, owned by its worker, fixed size. Key: source, destination, protocol, IP id
 * (RFC 791). An entry lives 30 s, as Linux's ipfrag_time.
 */
#ifndef NETSIM_FRAGMENT_TABLE_H
#define NETSIM_FRAGMENT_TABLE_H

#include "base.h"

enum { FRAGMENT_TIMEOUT_S = 30 };

struct fragment_key {
	struct addr src;
	struct addr dst;
	be16 id;
	uint8_t proto;
	uint8_t pad[5]; /* zero */
};

struct fragment_table;

int fragment_table_new(struct fragment_table **out, size_t max, uint64_t seed);
void fragment_table_free(struct fragment_table *t);

/**
 * fragment_remember() - First fragment seen: later ones have these ports
 *
 * In a full table it takes the place of the oldest, whose later fragments have long passed.
 */
void fragment_remember(struct fragment_table *t, const struct fragment_key *k, be16 sport,
		       be16 dport, uint64_t now_ns);

/**
 * fragment_find() - Ports of a later fragment
 *
 * Return: false for an orphan.
 */
bool fragment_find(const struct fragment_table *t, const struct fragment_key *k, uint64_t now_ns,
		   be16 *sport, be16 *dport);

#endif
