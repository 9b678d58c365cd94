/* SPDX-License-Identifier: Apache-2.0 */
/* load_table.h - how many connections endpoints have, and whose turn it is: what schedulers ask.
 *
 * Rank 1. One per node whose scheduler asks, owned by its worker. All is by *entry*, an address and
 * port at which a service is reached (service_entry()): IPVS has a virtual server for each.
 * Connections are counted for as many endpoints as may have any; turns are bounded, and an entry
 * whose turn was forgotten begins with its first endpoint.
 */
#ifndef NETSIM_LOAD_TABLE_H
#define NETSIM_LOAD_TABLE_H

#include "base.h"

struct load_key {
	uint32_t entry;
	uint32_t slot;
	uint32_t generation;
};

struct load {
	struct load_key key;
	uint32_t active; /* being opened, or open */
	uint32_t inactive;
	uint32_t left_s; /* when the endpoint was first found gone, plus one; 0: not yet */
};

/* The endpoint that was chosen last: where it was in its set, and its slot. */
struct turn {
	uint32_t entry; /* 0: nobody's */
	uint32_t place;
	uint32_t slot;
};

struct load_table;

/**
 * load_table_new() - Make an empty table; its memory is touched as it is used
 * @out:	the table, on success
 * @max:	connections that there may be
 * @seed:	of its hashes
 *
 * Return: 0, -ENOMEM.
 */
int load_table_new(struct load_table **out, size_t max, uint64_t seed);
void load_table_free(struct load_table *t);

/**
 * load_table_find() - What an endpoint bears; zeros if nothing
 */
struct load load_table_find(const struct load_table *t, const struct load_key *key);

/**
 * load_table_add() - A connection begins (@count 1) or ends (-1), which is active or not
 */
void load_table_add(struct load_table *t, const struct load_key *key, bool active, int count);

/**
 * load_table_gone_s() - Since when the endpoint of a connection has been gone, in seconds
 * @t:		table
 * @key:	of an endpoint that is gone
 * @now_s:	time
 *
 * Return: 0 when it is asked for the first time, and for one without connections.
 */
uint32_t load_table_gone_s(struct load_table *t, const struct load_key *key, uint32_t now_s);

/**
 * load_table_turn() - An entry's turn, to be read and written; a new one is at the first endpoint
 */
struct turn *load_table_turn(struct load_table *t, uint32_t entry);

size_t load_table_count(const struct load_table *t);

#endif
