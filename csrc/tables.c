/* SPDX-License-Identifier: Apache-2.0 */
/* tables.c - publish, read without locks, retire.
 *
 * Theory: quiescent-state-based reclamation. A piece that the control thread takes out of sight is
 * stamped with the current generation, which tables_reap() then ends. A worker announces the
 * generation in which it entered; 0 means that it holds nothing. A piece is free once every worker
 * announces 0 or a later generation than its stamp.
 *
 * The one delicate moment is a worker that wakes up, whose announcement must be seen before its
 * first load of a pointer. Its read-modify-write of the generation and that of tables_reap() are
 * ordered one way or the other: either the worker comes first, then the control thread sees the
 * announcement; or it comes second, then the worker sees the new pointers. A worker that stays
 * awake only loads the generation, a line that changes with the tables and not with packets.
 */
#include "tables.h"

#include <errno.h>

/* Memory without a header of its own. */
struct retired_entry {
	struct retired retired;
	void *memory;
	void (*free_memory)(void *);
};

int tables_new(struct tables **out, uint64_t seed)
{
	struct tables *t = aligned_alloc(CACHE_LINE, sizeof(*t));
	struct peer_table *nobody = NULL;
	int err;

	if (!t)
		return -ENOMEM;
	memset(t, 0, sizeof(*t));
	atomic_init(&t->generation, 1);
	err = service_table_new(&t->services, seed);
	if (!err) /* wires may have packets before there are peers */
		err = peer_table_new(&nobody, NULL, 0);
	if (err) {
		service_table_free(t->services);
		free(t);
		return err;
	}
	atomic_init(&t->peers, nobody);
	*out = t;
	return 0;
}

void tables_free(struct tables *t)
{
	if (!t)
		return;
	retired_free(t->waiting);
	service_table_free(t->services);
	route_table_free((struct route_table *)atomic_load(&t->routes));
	peer_table_free((struct peer_table *)atomic_load(&t->peers));
	free(t);
}

uint64_t tables_enter(struct tables *t, unsigned worker)
{
	_Atomic uint64_t *seen = &t->seen[worker][0];
	uint64_t generation = atomic_load_explicit(&t->generation, memory_order_acquire);
	uint64_t before = atomic_load_explicit(seen, memory_order_relaxed);

	if (before == generation)
		return generation;
	atomic_store_explicit(seen, generation, memory_order_release);
	if (before == 0)
		atomic_fetch_add_explicit(&t->generation, 0, memory_order_acq_rel);
	return generation;
}

void tables_leave(struct tables *t, unsigned worker)
{
	atomic_store_explicit(&t->seen[worker][0], 0, memory_order_release);
}

static void waiting_push(struct tables *t, struct retired *r)
{
	r->generation = atomic_load_explicit(&t->generation, memory_order_relaxed);
	retired_push(&t->waiting, r);
	t->waiting_count++;
}

static void entry_release(struct retired *r)
{
	struct retired_entry *e = (struct retired_entry *)r;

	e->free_memory(e->memory);
	free(e);
}

void tables_retire(struct tables *t, void *memory, void (*free_memory)(void *))
{
	struct retired_entry *e;

	if (!memory)
		return;
	e = malloc(sizeof(*e));
	if (!e)
		return; /* out of memory: lost, for a reader may still hold it */
	*e = (struct retired_entry){
	    .retired = {.release = entry_release}, .memory = memory, .free_memory = free_memory};
	waiting_push(t, &e->retired);
}

static void routes_free(void *memory)
{
	route_table_free(memory);
}

static void peers_free(void *memory)
{
	peer_table_free(memory);
}

void tables_set_routes(struct tables *t, struct route_table *routes)
{
	const struct route_table *old =
	    atomic_exchange_explicit(&t->routes, routes, memory_order_acq_rel);

	tables_retire(t, (void *)old, routes_free);
}

void tables_set_peers(struct tables *t, struct peer_table *peers)
{
	const struct peer_table *old =
	    atomic_exchange_explicit(&t->peers, peers, memory_order_acq_rel);

	tables_retire(t, (void *)old, peers_free);
}

static void waiting_push_all(struct tables *t, struct retired *list)
{
	while (list) {
		struct retired *next = list->next;

		waiting_push(t, list);
		list = next;
	}
}

int tables_set_service(struct tables *t, const struct service_spec *spec)
{
	struct retired *retired = NULL;
	int err = service_table_set(t->services, spec, &retired);

	waiting_push_all(t, retired);
	return err;
}

int tables_remove_service(struct tables *t, const struct service_key *key)
{
	struct retired *retired = NULL;
	int err = service_table_remove(t->services, key, &retired);

	waiting_push_all(t, retired);
	return err;
}

void tables_begin_services(struct tables *t)
{
	service_table_begin(t->services);
}

void tables_commit_services(struct tables *t)
{
	struct retired *retired = NULL;

	service_table_commit(t->services, &retired);
	waiting_push_all(t, retired);
}

void tables_publish(struct tables *t, uint64_t revision)
{
	atomic_store_explicit(&t->revision, revision, memory_order_release);
}

/* The earliest generation that a worker is in; UINT64_MAX if all are asleep. */
static uint64_t earliest_seen(struct tables *t)
{
	uint64_t earliest = UINT64_MAX;

	for (unsigned w = 0; w < WORKERS_MAX; w++) {
		uint64_t seen = atomic_load_explicit(&t->seen[w][0], memory_order_acquire);

		if (seen != 0 && seen < earliest)
			earliest = seen;
	}
	return earliest;
}

size_t tables_reap(struct tables *t)
{
	struct retired **link = &t->waiting;
	uint64_t earliest;

	if (!t->waiting)
		return 0;
	/* nobody may enter the newest piece's generation any more */
	if (t->waiting->generation == atomic_load_explicit(&t->generation, memory_order_relaxed))
		atomic_fetch_add_explicit(&t->generation, 1, memory_order_acq_rel);
	earliest = earliest_seen(t);
	/* newest first: once one is free, so are all behind it */
	while (*link && (*link)->generation >= earliest)
		link = &(*link)->next;
	for (struct retired *r = *link; r; r = r->next)
		t->waiting_count--;
	retired_free(*link);
	*link = NULL;
	return t->waiting_count;
}
