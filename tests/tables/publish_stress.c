/* SPDX-License-Identifier: Apache-2.0 */
/* publish_stress.c - one writer changes tables as fast as it can under readers that check them.
 *
 * Run under ThreadSanitizer and AddressSanitizer by test_publish.py. Every object is made so that
 * it can be told whether it is whole. Readers hold what they found until the writer has gone on a
 * good way, sleep now and then, and look again. Built with -DBROKEN they forget to say that they
 * are reading, and a sanitizer must notice.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "tables.h"
#include "wire.h"

enum {
	READERS = 3,
	SERVICES = 64,
	ENDPOINTS = 8,
	CHANGES = 30000,
	TOGETHER = 4,   /* services after those that change together only: id is their version */
	HELD_OVER = 40, /* changes that a reader holds its finds over */
	ROUTES = 16,
};

static struct tables *tables;
static _Atomic unsigned changes;
static _Atomic bool done;
static _Atomic unsigned long looks;

static void fail(const char *what)
{
	(void)fprintf(stderr, "publish_stress: %s\n", what);
	abort();
}

static struct addr numbered(uint32_t high, uint32_t low)
{
	return addr_from_v4(to_be32(high << 16 | low));
}

static struct service_key key_of(uint32_t n)
{
	return (struct service_key){
	    .addr = numbered(0x0a60, n), .port = to_be16((uint16_t)(n + 1)), .proto = PROTO_TCP};
}

/* Every endpoint of a service carries its number; the revision says how many there are. */
static void service_check(const struct service *s, uint32_t n)
{
	if (s->id != n || s->revision != s->count)
		fail("a service is not whole");
	for (uint32_t i = 0; i < s->count; i++) {
		const struct endpoint *e = &s->endpoints[i];

		if (addr_to_v4(e->addr) >> 24 != n || e->generation % 2 == 0)
			fail("an endpoint is not its service's");
		(void)service_table_slot_alive(tables->services, e->slot, e->generation);
	}
}

static void route_check(const struct route_table *routes, uint32_t n)
{
	const struct route_row *r = route_table_find(routes, numbered(0x0af4, n << 8 | 7));

	if (!r || r->index % ROUTES != n || r->index / ROUTES != route_table_count(routes))
		fail("a route is not its table's");
}

/* Once one of those that change together is new, none is old. */
static void together_check(void)
{
	uint32_t newest = 0;

	for (uint32_t n = SERVICES; n < SERVICES + TOGETHER; n++) {
		struct service_key k = key_of(n);
		uint64_t hash = service_table_hash(tables->services, &k);
		const struct frontend *f = service_table_find(tables->services, &k, hash);

		if (!f || f->service->id < newest)
			fail("half of a change is seen");
		newest = f->service->id;
	}
}

static void wait_for_changes(unsigned count)
{
	unsigned from = atomic_load_explicit(&changes, memory_order_relaxed);

	while (!atomic_load_explicit(&done, memory_order_relaxed) &&
	       atomic_load_explicit(&changes, memory_order_relaxed) - from < count)
		sched_yield();
}

static void look(uint64_t *random)
{
	uint32_t n = (uint32_t)(random_next(random) % SERVICES);
	struct service_key k = key_of(n);
	const struct frontend *f =
	    service_table_find(tables->services, &k, service_table_hash(tables->services, &k));
	const struct route_table *routes =
	    atomic_load_explicit(&tables->routes, memory_order_acquire);
	const struct peer_table *peers = atomic_load_explicit(&tables->peers, memory_order_acquire);

	if (random_next(random) % 64 == 0)
		wait_for_changes(HELD_OVER);
	if (f)
		service_check(f->service, n);
	together_check();
	route_check(routes, n % ROUTES);
	if (peer_table_find(peers, numbered(0x0a00, n % 4))->node != n % 4)
		fail("a peer is not its table's");
	atomic_fetch_add_explicit(&looks, 1, memory_order_relaxed);
}

static void *reader(void *arg)
{
	unsigned worker = *(const unsigned *)arg;
	uint64_t random = worker + 1;

	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
#ifndef BROKEN
		tables_enter(tables, worker);
#endif
		for (unsigned i = 0; i < 8; i++)
			look(&random);
		if (random_next(&random) % 4 == 0)
			tables_leave(tables, worker);
	}
	tables_leave(tables, worker);
	return NULL;
}

static void service_change(uint64_t *random)
{
	struct endpoint_spec endpoints[ENDPOINTS];
	uint32_t n = (uint32_t)(random_next(random) % SERVICES);
	struct service_spec spec = {.key = key_of(n), .id = n, .endpoints = endpoints};

	if (random_next(random) % 4 == 0) {
		(void)tables_remove_service(tables, &spec.key);
		return;
	}
	spec.count = (uint32_t)(random_next(random) % (ENDPOINTS + 1));
	spec.revision = spec.count;
	for (uint32_t i = 0; i < spec.count; i++)
		endpoints[i] = (struct endpoint_spec){
		    .addr = addr_from_v4(n << 24 | (uint32_t)(random_next(random) % 4) << 8 | i),
		    .port = to_be16(80)};
	if (tables_set_service(tables, &spec))
		fail("a service could not be set");
}

static void together_change(uint32_t version)
{
	tables_begin_services(tables);
	for (uint32_t n = SERVICES; n < SERVICES + TOGETHER; n++) {
		struct endpoint_spec e = {addr_from_v4(n << 24 | version % 7), to_be16(80)};
		struct service_spec spec = {
		    .key = key_of(n), .id = version, .endpoints = &e, .count = 1};

		if (tables_set_service(tables, &spec))
			fail("a service could not be set");
	}
	tables_commit_services(tables);
}

static void routes_change(uint64_t *random)
{
	uint32_t count = ROUTES + (uint32_t)(random_next(random) % 8);
	struct route_row rows[ROUTES + 8];
	struct route_table *t;

	for (uint32_t i = 0; i < count; i++)
		rows[i] = (struct route_row){.prefix = numbered(0x0af4, i << 8),
					     .len = 120,
					     .kind = ROUTE_PEER,
					     .index = count * ROUTES + i % ROUTES};
	if (route_table_new(&t, rows, count))
		fail("routes could not be made");
	tables_set_routes(tables, t);
}

static void peers_change(void)
{
	struct peer_row rows[4];
	struct peer_table *t;

	for (uint32_t i = 0; i < 4; i++)
		rows[i] = (struct peer_row){.address = numbered(0x0a00, i), .node = i};
	if (peer_table_new(&t, rows, 4))
		fail("peers could not be made");
	tables_set_peers(tables, t);
}

static size_t write_all(void)
{
	uint64_t random = 99;
	size_t most_waiting = 0;

	for (unsigned i = 0; i < CHANGES; i++) {
		size_t waiting;

		if (i % 16 == 0)
			routes_change(&random);
		else if (i % 16 == 1)
			peers_change();
		else if (i % 16 < 5)
			together_change(i);
		else
			service_change(&random);
		tables_publish(tables, i);
		waiting = i % 3 ? 0 : tables_reap(tables);
		if (waiting > most_waiting)
			most_waiting = waiting;
		atomic_store_explicit(&changes, i, memory_order_relaxed);
		if (i % 64 == 0)
			sched_yield();
	}
	atomic_store_explicit(&done, true, memory_order_relaxed);
	return most_waiting;
}

int main(void)
{
	pthread_t threads[READERS];
	unsigned workers[READERS];
	uint64_t random = 1;
	size_t most;

	if (tables_new(&tables, 5))
		return 1;
	routes_change(&random);
	peers_change();
	together_change(0);
	for (unsigned i = 0; i < READERS; i++) {
		workers[i] = i * 9;
		if (pthread_create(&threads[i], NULL, reader, &workers[i]))
			return 1;
	}
	most = write_all();
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	if (tables_reap(tables) != 0)
		fail("something waits for readers that are gone");
	printf("%d changes, %lu looks, at most %zu pieces waiting\n", CHANGES, atomic_load(&looks),
	       most);
	tables_free(tables);
	return 0;
}
