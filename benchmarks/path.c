/* SPDX-License-Identifier: Apache-2.0 */
/* path.c - the packet path in memory: ns per packet of pipeline_run(), no I/O, one core.
 *
 * A pod of one node asks services whose endpoints are on other nodes: 64-byte UDP datagrams with
 * partial checksums, parse to VXLAN written. Flows are visited in an order that looks random. What
 * it costs to make the packets is measured apart and taken off.
 *
 * Usage: path FLOWS SERVICES BATCH PACKETS [new]    with `new`: every packet begins a flow
 * Prints one JSON object. Under callgrind collect inside pipeline_run only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "checksum.h"
#include "node.h"
#include "pipeline.h"

enum {
	POD_PORT_FIRST = 1024,
	ENDPOINTS = 10,
	PEERS = 100,
	BYTES = 64,
	REPEATS = 7,
	STEP = 999999937, /* a prime: flow n is followed by one that looks unrelated */
};

static struct node *node;
static struct packet_pool *pool;
static struct iface pod, wire;
static uint32_t flows, services;
static uint64_t sent, serial;

static void must(int error)
{
	if (error) {
		(void)fprintf(stderr, "path: %s\n", strerror(-error));
		exit(1);
	}
}

static be32 v4(unsigned a, unsigned b, unsigned c, unsigned d)
{
	return to_be32(a << 24 | b << 16 | c << 8 | d);
}

/* Time that this thread ran: what others take does not count. */
static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void sink_send(struct iface *i, struct packet_pool *p, struct packet *const *pkt,
		      unsigned count)
{
	(void)i;
	for (unsigned n = 0; n < count; n++)
		packet_give(p, pkt[n]);
	sent += count;
}

static const struct iface_ops sink_ops = {.name = "sink", .send = sink_send};

static be32 service_address(uint32_t n)
{
	return to_be32((UINT32_C(10) << 24 | UINT32_C(96) << 16) + 1 + n);
}

/* Endpoints of a service, on all peers: 10.(128 + n).x.y with x.y unique within the peer. */
static struct endpoint_spec endpoint_of(uint32_t service, uint32_t n)
{
	uint32_t pod_number = service * ENDPOINTS + n;
	uint32_t peer = pod_number % PEERS, last = pod_number / PEERS + 2;

	return (struct endpoint_spec){addr_from_v4(v4(10, 128 + peer, last >> 8 & 255, last & 255)),
				      to_be16(8080)};
}

static void fill_tables(struct tables *t)
{
	struct route_row routes[PEERS];
	struct peer_row peers[PEERS];
	struct route_table *shared;
	struct peer_table *far;

	for (unsigned n = 0; n < PEERS; n++) {
		routes[n] =
		    (struct route_row){addr_from_v4(v4(10, 128 + n, 0, 0)), 112, ROUTE_PEER, 0, n};
		peers[n] = (struct peer_row){.address = addr_from_v4(v4(192, 168, 1, n + 1)),
					     .mac = {2, 0, 0, 0, 1, (uint8_t)n},
					     .port = to_be16(8472),
					     .node = n + 2};
	}
	must(route_table_new(&shared, routes, PEERS));
	tables_set_routes(t, shared);
	must(peer_table_new(&far, peers, PEERS));
	tables_set_peers(t, far);
	for (uint32_t s = 0; s < services; s++) {
		struct endpoint_spec e[ENDPOINTS];
		struct service_spec spec = {
		    .key = {addr_from_v4(service_address(s)), to_be16(80), PROTO_UDP, {0}},
		    .id = s + 1,
		    .count = ENDPOINTS,
		    .endpoints = e,
		};

		for (uint32_t n = 0; n < ENDPOINTS; n++)
			e[n] = endpoint_of(s, n);
		must(tables_set_service(t, &spec));
	}
	tables_publish(t, 1);
}

static void make_node(void)
{
	struct node_config c = {
	    .name = "n1",
	    .uid = 1,
	    .address = addr_from_v4(v4(192, 168, 0, 1)),
	    .cni_addr = addr_from_v4(v4(10, 127, 0, 1)),
	    .tunnel_addr = addr_from_v4(v4(10, 127, 0, 0)),
	    .stack_addr = addr_from_v4(v4(10, 127, 0, 255)),
	    .cluster_cidr = addr_from_v4(v4(10, 0, 0, 0)),
	    .cluster_len = 104,
	    .backend = BACKEND_VXLAN,
	    .vtep_mac = {2, 0, 0, 0, 0, 1},
	    .vni = 1,
	    .port = to_be16(8472),
	    .mtu = 1450,
	    .flows_max = 4 << 20,
	};
	struct flow_arena *arena;
	struct tables *tables;

	must(tables_new(&tables, 1));
	must(flow_arena_open(&arena, -1, UINT64_C(2) << 30));
	fill_tables(tables);
	must(node_new(&node, &c, tables, arena, 1));
	must(packet_pool_new(&pool, 2 * BATCH_MAX));
	node->pool = pool;
	node->id = 1;
	pod = (struct iface){.ops = &sink_ops, .id = 1, .role = IFACE_POD, .up = true, .mtu = 1450};
	pod.addr = addr_from_v4(v4(10, 127, 0, 2));
	wire = (struct iface){.ops = &sink_ops, .id = 2, .role = IFACE_WIRE, .up = true};
	must(node_iface_attach(node, &pod));
	must(node_iface_attach(node, &wire));
}

/* A datagram of flow @f, as the pod's kernel hands it over. */
static struct packet *make_packet(uint32_t f)
{
	struct packet *p = packet_take(pool);
	struct ipv4_hdr *ip = packet_ipv4(p);
	struct udp_hdr *u = (void *)(ip + 1);
	uint16_t udp_len = BYTES - sizeof(*ip);

	*ip = (struct ipv4_hdr){.version_ihl = 0x45,
				.total_len = to_be16(BYTES),
				.frag = to_be16(IPV4_DF),
				.ttl = TTL_DEFAULT,
				.proto = PROTO_UDP,
				.src = addr_to_v4(pod.addr),
				.dst = service_address(f % services)};
	ip->checksum = checksum_finish(checksum_partial(ip, sizeof(*ip), 0));
	*u = (struct udp_hdr){
	    .sport = to_be16((uint16_t)(POD_PORT_FIRST + f / services)),
	    .dport = to_be16(80),
	    .len = to_be16(udp_len),
	    .checksum = checksum_fold(checksum_pseudo_v4(ip->src, ip->dst, PROTO_UDP, udp_len)),
	};
	p->len = BYTES;
	p->in = &pod;
	p->flags = PACKET_NEEDS_CSUM;
	p->l4_off = sizeof(*ip);
	p->csum_offset = offsetof(struct udp_hdr, checksum);
	return p;
}

static void make_batch(struct batch *b, unsigned size)
{
	for (b->count = 0; b->count < size; serial++)
		b->pkt[b->count++] = make_packet((uint32_t)(serial * STEP % flows));
}

/* ns for @packets, in batches, through the pipeline or just made and given back. */
static uint64_t run(uint64_t packets, unsigned size, bool through)
{
	uint64_t start = now_ns();
	struct batch b;

	for (uint64_t n = 0; n < packets; n += size) {
		make_batch(&b, size);
		if (through)
			pipeline_run(node, &b, NS_PER_S);
		else
			sink_send(NULL, pool, b.pkt, b.count);
	}
	return now_ns() - start;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	bool fresh = argc > 5 && !strcmp(argv[5], "new");
	double each[REPEATS];
	uint64_t packets;
	unsigned batch;

	if (argc < 5)
		return 2;
	flows = (uint32_t)strtoul(argv[1], NULL, 10);
	services = (uint32_t)strtoul(argv[2], NULL, 10);
	batch = (unsigned)strtoul(argv[3], NULL, 10);
	packets = strtoull(argv[4], NULL, 10) / batch * batch;
	if (!flows || !services || flows / services + POD_PORT_FIRST > UINT16_MAX || !batch ||
	    batch > BATCH_MAX || !packets || flows % STEP == 0 || (fresh && packets > flows))
		return 2;
	make_node();
	if (!fresh)
		(void)run((flows + batch - 1) / batch * (uint64_t)batch, batch, true);
	for (unsigned n = 0; n < REPEATS; n++) {
		uint64_t make = run(packets, batch, false), all;

		if (fresh) {
			flow_table_expire(node->flows, UINT64_MAX, SIZE_MAX);
			serial = 0;
		}
		all = run(packets, batch, true);
		each[n] = ((double)all - (double)make) / (double)packets;
	}
	if (node->stats.packets != sent - REPEATS * packets ||
	    node->stats.flows_new < (fresh ? packets : flows))
		must(-EPROTO);
	qsort(each, REPEATS, sizeof(each[0]), compare);
	printf("{\"ns\": %.2f, \"ns_min\": %.2f, \"ns_max\": %.2f, \"flows\": %zu}\n",
	       each[REPEATS / 2], each[0], each[REPEATS - 1], flow_table_count(node->flows));
	return 0;
}
