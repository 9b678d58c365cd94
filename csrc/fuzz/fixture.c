/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.c - a small node per backend, in memory, for the fuzz target and the benchmark. */
#include "fixture.h"

#include <stdlib.h>

#define V4(a, b, c, d) to_be32((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

static struct addr v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return addr_from_v4(V4(a, b, c, d));
}

static void must(int err)
{
	if (err)
		abort();
}

static void add_service(struct tables *t, uint8_t last, uint16_t port, uint8_t proto,
			uint32_t affinity_s, uint32_t count)
{
	static uint32_t id;
	const struct endpoint_spec endpoints[] = {
	    {v4(10, 244, 1, 3), to_be16(8080)},
	    {v4(10, 244, 2, 2), to_be16(8080)},
	    {v4(10, 244, 1, 2), to_be16(8080)},
	};
	const struct service_spec spec = {
	    .key = {.addr = v4(10, 96, 0, last), .port = to_be16(port), .proto = proto},
	    .id = ++id,
	    .affinity_s = affinity_s,
	    .relay_port = to_be16(proto == PROTO_SCTP ? 0 : 12345),
	    .count = count,
	    .endpoints = endpoints,
	};

	must(tables_set_service(t, &spec));
}

static void add_shared(struct tables *t)
{
	const struct route_row routes[] = {
	    {.prefix = v4(10, 244, 1, 0), .len = 120, .kind = ROUTE_PEER, .index = 0},
	    {.prefix = v4(10, 244, 2, 0), .len = 120, .kind = ROUTE_PEER, .index = 1},
	    {.prefix = v4(10, 244, 3, 0), .len = 120, .kind = ROUTE_PEER, .index = 2},
	    {.prefix = v4(10, 244, 0, 0), .len = 112, .kind = ROUTE_UNREACHABLE},
	    {.prefix = v4(10, 96, 0, 0), .len = 108, .kind = ROUTE_SERVICE_RANGE},
	    {.prefix = v4(0, 0, 0, 0), .len = 96, .kind = ROUTE_STACK},
	};
	const struct peer_row peers[] = {
	    {.address = v4(192, 168, 0, 1),
	     .mac = {2, 0, 0, 0, 0, 1},
	     .port = to_be16(8472),
	     .node = 1},
	    {.address = v4(192, 168, 0, 2),
	     .mac = {2, 0, 0, 0, 0, 2},
	     .port = to_be16(8472),
	     .node = 2},
	    {.address = v4(192, 168, 0, 3),
	     .mac = {2, 0, 0, 0, 0, 3},
	     .port = to_be16(8472),
	     .node = PEER_EXTERNAL},
	};
	struct route_table *rt;
	struct peer_table *pt;

	must(route_table_new(&rt, routes, ARRAY_SIZE(routes)));
	tables_set_routes(t, rt);
	must(peer_table_new(&pt, peers, ARRAY_SIZE(peers)));
	tables_set_peers(t, pt);
	add_service(t, 10, 80, PROTO_TCP, 0, 3);
	add_service(t, 10, 53, PROTO_UDP, 10800, 3);
	add_service(t, 10, 9, PROTO_SCTP, 0, 3);
	add_service(t, 11, 80, PROTO_TCP, 0, 0);
}

static void add_ifaces(struct fixture *f)
{
	static const uint8_t roles[] = {IFACE_POD, IFACE_POD, IFACE_STACK, IFACE_TUNNEL,
					IFACE_WIRE};
	const struct route_row rows[] = {
	    {.prefix = v4(10, 244, 1, 2), .len = 128, .kind = ROUTE_POD, .index = 1},
	    {.prefix = v4(10, 244, 1, 3), .len = 128, .kind = ROUTE_POD, .index = 2},
	    {.prefix = v4(10, 244, 1, 0), .len = 128, .kind = ROUTE_STACK},
	    {.prefix = v4(10, 244, 1, 1), .len = 128, .kind = ROUTE_STACK},
	    {.prefix = v4(192, 168, 0, 1), .len = 128, .kind = ROUTE_STACK},
	};
	struct route_table *local;

	for (unsigned i = 0; i < FIXTURE_IFACES; i++) {
		struct iface *at = &f->ifaces[i];

		*at = (struct iface){.ops = &f->ops,
				     .id = i + 1U,
				     .role = roles[i],
				     .up = true,
				     .mtu = 1450,
				     .fd = -1,
				     .addr = v4(10, 244, 1, (uint8_t)(2 + i))};
		must(node_iface_attach(f->node, at));
	}
	must(route_table_new(&local, rows, ARRAY_SIZE(rows)));
	atomic_store(&f->node->local, local);
}

/* Every backend, and every mode of kube-proxy: netsim/api/proxy_modes.py. */
static const struct setup {
	uint8_t backend;
	struct proxy_config proxy;
} setups[FIXTURES] = {
    {BACKEND_VXLAN, {.affinity = {100, true}}},
    {BACKEND_UDP, {.refused_at = FRONTEND_OWN, .affinity = {65535, false}}},
    {BACKEND_HOST_GW,
     {.refused_at = FRONTEND_OWN | FRONTEND_EXTERNAL,
      .scheduler = SCHEDULE_LEAST_CONNECTIONS,
      .by_entry = true,
      .bound = true,
      .own_first = true,
      .drain_s = 900}},
    {BACKEND_VXLAN, {.relays = true}},
};

struct fixture *fixture_new(unsigned setup, void (*send)(struct iface *i, struct packet_pool *pool,
							 struct packet *const *pkt, unsigned count))
{
	const struct node_config config = {
	    .name = "n1",
	    .uid = 1U + setup,
	    .address = v4(192, 168, 0, 1),
	    .cni_addr = v4(10, 244, 1, 1),
	    .stack_addr = v4(10, 244, 1, 254),
	    .tunnel_addr = v4(10, 244, 1, 0),
	    .cluster_cidr = v4(10, 244, 0, 0),
	    .cluster_len = 112,
	    .backend = setups[setup].backend,
	    .vtep_mac = {2, 0, 0, 0, 0, 1},
	    .vni = 1,
	    .port = to_be16(8472),
	    .mtu = 1450,
	    .flows_max = 4096,
	    .proxy = setups[setup].proxy,
	};
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->ops = (struct iface_ops){.name = "fixture", .send = send};
	must(tables_new(&f->tables, 1));
	must(flow_arena_open(&f->arena, -1, (size_t)64 << 20));
	must(node_new(&f->node, &config, f->tables, f->arena, 1));
	f->node->id = 1;
	must(trace_new(&f->node->trace, 256));
	add_shared(f->tables);
	add_ifaces(f);
	tables_publish(f->tables, 1);
	return f;
}

void fixture_free(struct fixture *f)
{
	if (!f)
		return;
	trace_free(f->node->trace);
	node_free(f->node);
	tables_free(f->tables);
	flow_arena_close(f->arena);
	free(f);
}
