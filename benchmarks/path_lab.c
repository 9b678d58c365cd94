/* SPDX-License-Identifier: Apache-2.0 */
/* path_lab.c - tables, node and packets of the in-memory benchmarks. */
#include "path_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "checksum.h"

enum {
	POD_PORT_FIRST = 1024,
	ENDPOINTS = 10,
	PEERS = 100,
	BYTES = 64,
	STEP = 999999937, /* a prime: flow n is followed by one that looks unrelated */
};

struct path_lab lab;

void must(int error)
{
	if (error) {
		(void)fprintf(stderr, "benchmark: %s\n", strerror(-error));
		exit(1);
	}
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t thread_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static be32 v4(unsigned a, unsigned b, unsigned c, unsigned d)
{
	return to_be32(a << 24 | b << 16 | c << 8 | d);
}

void path_lab_sink(struct packet_pool *pool, struct packet *const *pkt, unsigned count)
{
	for (unsigned n = 0; n < count; n++)
		packet_give(pool, pkt[n]);
	lab.sent += count;
}

static void sink_send(struct iface *i, struct packet_pool *pool, struct packet *const *pkt,
		      unsigned count)
{
	(void)i;
	path_lab_sink(pool, pkt, count);
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
	for (uint32_t s = 0; s < lab.services; s++) {
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

void path_lab_make(uint32_t flows_max)
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
	    .flows_max = flows_max,
	};
	const struct route_row ours = {addr_from_v4(v4(10, 127, 0, 2)), 128, ROUTE_POD, 0, 1};
	struct route_table *local;
	struct flow_arena *arena;
	struct tables *tables;

	must(tables_new(&tables, 1));
	must(flow_arena_open(&arena, -1, UINT64_C(2) << 30));
	fill_tables(tables);
	must(node_new(&lab.node, &c, tables, arena, 1));
	must(packet_pool_new(&lab.pool, 2 * BATCH_MAX));
	lab.node->pool = lab.pool;
	lab.node->id = 1;
	lab.pod =
	    (struct iface){.ops = &sink_ops, .id = 1, .role = IFACE_POD, .up = true, .mtu = 1450};
	lab.pod.addr = addr_from_v4(v4(10, 127, 0, 2));
	lab.wire = (struct iface){.ops = &sink_ops, .id = 2, .role = IFACE_WIRE, .up = true};
	must(route_table_new(&local, &ours, 1));
	atomic_store(&lab.node->local, local);
	must(node_iface_attach(lab.node, &lab.pod));
	must(node_iface_attach(lab.node, &lab.wire));
}

/* A datagram between two addresses, checksum of the pseudo-header or, over a wire, none. */
static struct packet *datagram(be32 src, be32 dst, uint16_t sport)
{
	struct packet *p = packet_take(lab.pool);
	struct ipv4_hdr *ip = packet_ipv4(p);
	struct udp_hdr *u = (void *)(ip + 1);
	uint16_t udp_len = BYTES - sizeof(*ip);

	*ip = (struct ipv4_hdr){.version_ihl = 0x45,
				.total_len = to_be16(BYTES),
				.frag = to_be16(IPV4_DF),
				.ttl = TTL_DEFAULT,
				.proto = PROTO_UDP,
				.src = src,
				.dst = dst};
	ip->checksum = checksum_finish(checksum_partial(ip, sizeof(*ip), 0));
	*u = (struct udp_hdr){
	    .sport = to_be16(sport), .dport = to_be16(80), .len = to_be16(udp_len)};
	p->len = BYTES;
	return p;
}

/* Of flow @f, as the pod's kernel hands it over. */
static struct packet *leaving(uint32_t f)
{
	be32 src = addr_to_v4(lab.pod.addr), dst = service_address(f % lab.services);
	struct packet *p = datagram(src, dst, (uint16_t)(POD_PORT_FIRST + f / lab.services));
	struct udp_hdr *u = (void *)(packet_ipv4(p) + 1);

	u->checksum = checksum_fold(checksum_pseudo_v4(src, dst, PROTO_UDP, from_be16(u->len)));
	p->in = &lab.pod;
	p->flags = PACKET_NEEDS_CSUM;
	p->l4_off = sizeof(struct ipv4_hdr);
	p->csum_offset = offsetof(struct udp_hdr, checksum);
	return p;
}

/* Of flow @f, from another node's pod, as the tunnel socket hands it over. */
static struct packet *arriving(uint32_t f)
{
	const struct endpoint_spec from = endpoint_of(f % lab.services, 0);
	const uint32_t peer = from_be32(addr_to_v4(from.addr)) >> 16 & 127;
	struct packet *p = datagram(addr_to_v4(from.addr), addr_to_v4(lab.pod.addr),
				    (uint16_t)(POD_PORT_FIRST + f / lab.services));
	struct vxlan_hdr *vxlan =
	    (void *)(p->data - sizeof(struct eth_hdr) - sizeof(struct vxlan_hdr));
	struct eth_hdr *eth = (void *)(vxlan + 1);

	*vxlan = (struct vxlan_hdr){.flags = VXLAN_FLAG_VNI, .vni = {0, 0, 1}};
	*eth = (struct eth_hdr){.type = to_be16(ETHERTYPE_IPV4)};
	memcpy(eth->dst, lab.node->config.vtep_mac, sizeof(eth->dst));
	p->len += (uint32_t)(p->data - (uint8_t *)vxlan);
	p->data = (uint8_t *)vxlan;
	p->in = &lab.wire;
	p->outer_src = v4(192, 168, 1, peer + 1);
	return p;
}

void path_lab_fill(struct batch *b, unsigned size)
{
	for (b->count = 0; b->count < size; lab.serial++) {
		uint32_t f = lab.first + (uint32_t)(lab.serial * STEP % lab.flows);

		b->pkt[b->count++] = lab.arriving ? arriving(f) : leaving(f);
	}
}
