/* SPDX-License-Identifier: Apache-2.0 */
/* tables.c - ns per operation of the tables behind the packet path, at several sizes.
 *
 * Keys are visited in an order that looks random. Operations on a flow table are those of a batch:
 * begun for 64 keys, then done. `pause` is the dearest single insertion while a table grows: of
 * each insertion the cheapest of three runs, so that what interrupts the program does not count.
 *
 * Usage: tables flow|service|route|affinity SIZE
 * Prints one JSON object: operation to ns.
 */
#include <stdio.h>
#include <stdlib.h>

#include "path_lab.h"

enum { REPEATS = 5, OPERATIONS = 1 << 18, STEP = 999999937, GROWTHS = 3, ENDPOINTS = 10 };

static uint32_t size;
static uint64_t found; /* so that nothing is optimized away */

static struct addr numbered(uint32_t n)
{
	return addr_from_v4(to_be32((UINT32_C(10) << 24) + n));
}

static uint32_t shuffled(uint64_t n)
{
	return (uint32_t)(n * STEP % size);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Median ns of one of @count operations of which @run does all. */
static void measure(const char *name, uint64_t count, void (*run)(uint64_t count))
{
	static bool more;
	double each[REPEATS];

	for (unsigned n = 0; n < REPEATS; n++) {
		uint64_t start = thread_ns();

		run(count);
		each[n] = (double)(thread_ns() - start) / (double)count;
	}
	qsort(each, REPEATS, sizeof(each[0]), compare);
	printf("%s\"%s\": %.1f", more ? ", " : "", name, each[REPEATS / 2]);
	more = true;
}

static struct flow_table *flows;

static struct flow_key flow_number(uint32_t n, bool reply)
{
	struct flow_key k = {.src = numbered(n),
			     .dst = addr_from_v4(to_be32(UINT32_C(0xc0000001))),
			     .sport = to_be16(1024),
			     .dport = to_be16(80),
			     .proto = PROTO_UDP};

	return reply ? flow_key_reversed(&k) : k;
}

static struct flow_pair pair_number(uint32_t n)
{
	struct flow_key original = flow_number(n, false), reply = flow_number(n, true);

	return flow_pair(flows, &original, &reply);
}

static void flows_make(void)
{
	static uint64_t owner;
	struct flow_arena *arena;

	must(flow_arena_open(&arena, -1, UINT64_C(1) << 30));
	must(flow_table_new(&flows, arena, ++owner, size, 1));
}

static void flows_find(uint64_t count)
{
	for (uint64_t n = 0; n < count; n += BATCH_MAX) {
		struct flow_guess guess[BATCH_MAX];
		struct flow_key key[BATCH_MAX];
		uint32_t hash[BATCH_MAX];

		for (unsigned i = 0; i < BATCH_MAX; i++) {
			key[i] = flow_number(shuffled(n + i), i & 1);
			hash[i] = flow_key_hash(&key[i], 1);
			flow_table_prefetch_index(flows, hash[i]);
		}
		for (unsigned i = 0; i < BATCH_MAX; i++)
			guess[i] = flow_table_guess(flows, hash[i]);
		for (unsigned i = 0; i < BATCH_MAX; i++) {
			bool reply;

			if (guess[i].flow &&
			    flow_table_confirm(guess[i].flow, guess[i].reply, &key[i], NS_PER_S))
				found++;
			else
				found += flow_table_find(flows, &key[i], hash[i], NS_PER_S,
							 &reply) != NULL;
		}
	}
}

static void flows_insert(uint64_t count)
{
	for (uint64_t n = 0; n < count; n += BATCH_MAX) {
		struct flow_pair pair[BATCH_MAX];
		struct flow *f;

		for (unsigned i = 0; i < BATCH_MAX; i++) {
			pair[i] = pair_number(shuffled(n + i));
			flow_table_prefetch_insert(flows, &pair[i]);
		}
		for (unsigned i = 0; i < BATCH_MAX && n + i < count; i++)
			must(flow_table_insert(flows, &pair[i], FLOW_NEW, NS_PER_S, &f));
	}
}

static void flows_scan(uint64_t count)
{
	found += flow_table_expire(flows, 2 * NS_PER_S, count);
}

static void flows_expire(uint64_t count)
{
	if (flow_table_expire(flows, UINT64_MAX, SIZE_MAX) != count)
		must(-1);
}

static void flows_refill(uint64_t count)
{
	flows_expire(count);
	flows_insert(count);
}

/* ns of the dearest insertion. */
static uint64_t flows_pause(void)
{
	uint32_t *cheapest = malloc(size * sizeof(cheapest[0]));
	uint64_t worst = 0;

	if (!cheapest)
		exit(1);
	memset(cheapest, 0xff, size * sizeof(cheapest[0]));
	for (unsigned run = 0; run < GROWTHS; run++) {
		flow_table_free(flows);
		flows_make();
		for (uint32_t n = 0; n < size; n++) {
			const struct flow_pair pair = pair_number(shuffled(n));
			uint64_t start = clock_ns();
			struct flow *f;

			must(flow_table_insert(flows, &pair, FLOW_NEW, NS_PER_S, &f));
			start = clock_ns() - start;
			if (start < cheapest[n])
				cheapest[n] = (uint32_t)start;
		}
	}
	for (uint32_t n = 0; n < size; n++)
		worst = cheapest[n] > worst ? cheapest[n] : worst;
	free(cheapest);
	return worst;
}

static void flow_operations(void)
{
	uint64_t pause;

	flows_make();
	pause = flows_pause();
	measure("find", OPERATIONS, flows_find);
	measure("insert and expire", size, flows_refill);
	measure("scan", size, flows_scan);
	printf(", \"pause\": %llu, \"bytes\": %.1f", (unsigned long long)pause,
	       (double)flow_table_bytes(flows) / size);
}

static struct tables *tables;

static void service_set(uint32_t n)
{
	struct endpoint_spec e[ENDPOINTS];
	const struct service_spec spec = {
	    .key = {numbered(n), to_be16(80), PROTO_TCP, {0}},
	    .id = n + 1,
	    .count = ENDPOINTS,
	    .endpoints = e,
	};

	for (uint32_t i = 0; i < ENDPOINTS; i++)
		e[i] = (struct endpoint_spec){numbered(n * ENDPOINTS + i), to_be16(8080)};
	must(tables_set_service(tables, &spec));
}

static void services_find(uint64_t count)
{
	for (uint64_t n = 0; n < count; n++) {
		struct service_key k = {numbered(shuffled(n)), to_be16(80), PROTO_TCP, {0}};
		uint64_t hash = service_table_hash(tables->services, &k);

		found += service_table_find(tables->services, &k, hash) != NULL;
	}
}

static void services_change(uint64_t count)
{
	for (uint64_t n = 0; n < count; n++) {
		service_set(shuffled(n));
		(void)tables_reap(tables);
	}
}

static void service_operations(void)
{
	must(tables_new(&tables, 1));
	for (uint32_t n = 0; n < size; n++)
		service_set(n);
	measure("find", OPERATIONS, services_find);
	measure("change", OPERATIONS / 16, services_change);
	printf(", \"bytes\": %.1f", (double)service_table_bytes(tables->services) / size);
}

static struct route_table *routes;

static void routes_find(uint64_t count)
{
	for (uint64_t n = 0; n < count; n++)
		found += route_table_find(routes, numbered(shuffled(n) << 8 | 7)) != NULL;
}

/* A pod range per node, and what lies around them. */
static void route_operations(void)
{
	struct route_row *rows = calloc(size + 2, sizeof(rows[0]));

	if (!rows)
		exit(1);
	for (uint32_t n = 0; n < size; n++)
		rows[n] = (struct route_row){numbered(n << 8), 120, ROUTE_PEER, 0, n};
	rows[size] = (struct route_row){numbered(0), 104, ROUTE_UNREACHABLE, 0, 0};
	rows[size + 1] = (struct route_row){addr_from_v4(0), 96, ROUTE_STACK, 0, 0};
	must(route_table_new(&routes, rows, size + 2));
	free(rows);
	measure("find", OPERATIONS, routes_find);
}

static struct affinity_table *affinity;

static void affinity_renew(uint64_t count)
{
	for (uint64_t n = 0; n < count; n++) {
		uint32_t client = shuffled(n);
		const struct affinity_key key = {
		    .client = numbered(client), .service = 1, .slot = client, .generation = 1};

		found += affinity_set(affinity, &key, NS_PER_S, 10800);
	}
}

static void affinity_look(uint64_t count)
{
	const struct affinity *known[AFFINITY_FOUND_MAX];

	for (uint64_t n = 0; n < count; n++)
		found += affinity_find(affinity, 1, numbered(shuffled(n)), NS_PER_S, 10800, known);
}

static void affinity_operations(void)
{
	const struct affinity_limit limit = {100, true};

	must(affinity_table_new(&affinity, 65535, &limit, 1));
	affinity_renew(size);
	measure("find", OPERATIONS, affinity_look);
	measure("set", OPERATIONS, affinity_renew);
}

static const struct {
	const char *name;
	void (*run)(void);
} families[] = {
    {"flow", flow_operations},
    {"service", service_operations},
    {"route", route_operations},
    {"affinity", affinity_operations},
};

int main(int argc, char **argv)
{
	size = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
	if (!size || size > UINT32_C(1) << 23)
		return 2;
	printf("{");
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (!strcmp(families[i].name, argv[1]))
			families[i].run();
	printf("}\n");
	return found ? 0 : 1;
}
