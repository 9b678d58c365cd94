/* SPDX-License-Identifier: Apache-2.0 */
/* tables.h - what all nodes of a lab share: publish, read without locks, retire. Rank 2.
 *
 * Theory: one control thread writes, N workers read. A worker calls tables_enter() at the top of
 * each poll cycle and loads pointers only until tables_leave(), which it calls before it sleeps.
 * Memory that was replaced is stamped with the generation in which it went and freed by
 * tables_reap() once every worker has entered a later one, or is asleep.
 */
#ifndef NETSIM_TABLES_H
#define NETSIM_TABLES_H

#include <stdatomic.h>

#include "route_table.h"
#include "service_table.h"

enum { WORKERS_MAX = 64 };

struct tables {
	struct service_table *services;
	_Atomic(const struct route_table *) routes; /* NULL at first */
	_Atomic(const struct peer_table *) peers;
	_Atomic uint64_t revision; /* of the objects that the rows were compiled from */

	_Atomic uint64_t generation;
	_Alignas(CACHE_LINE) _Atomic uint64_t seen[WORKERS_MAX][CACHE_LINE / 8];
	struct retired *waiting; /* control thread's own, newest first */
	size_t waiting_count;
};

int tables_new(struct tables **out, uint64_t seed);
void tables_free(struct tables *t);

/**
 * tables_enter() - A worker begins to read; returns the generation it is in
 */
uint64_t tables_enter(struct tables *t, unsigned worker);

/**
 * tables_leave() - The worker holds no pointer any more
 */
void tables_leave(struct tables *t, unsigned worker);

/**
 * tables_set_routes() / tables_set_peers() - Swap in a new shared table; the old one is retired
 * @routes:	ownership passes to @t
 */
void tables_set_routes(struct tables *t, struct route_table *routes);
void tables_set_peers(struct tables *t, struct peer_table *peers);

/**
 * tables_set_service() / tables_remove_service() - service_table_set()/remove() plus retirement
 */
int tables_set_service(struct tables *t, const struct service_spec *spec);
int tables_remove_service(struct tables *t, const struct service_key *key);

/**
 * tables_begin_services() / tables_commit_services() - The changes between them show together
 */
void tables_begin_services(struct tables *t);
void tables_commit_services(struct tables *t);

/**
 * tables_retire() - Free @memory with @free_memory after every worker has passed a quiet point
 */
void tables_retire(struct tables *t, void *memory, void (*free_memory)(void *));

/**
 * tables_publish() - Make it known that rows of @revision are in place
 */
void tables_publish(struct tables *t, uint64_t revision);

/**
 * tables_reap() - Free what no worker can see any more (control thread)
 *
 * Return: pieces that still wait.
 */
size_t tables_reap(struct tables *t);

#endif
