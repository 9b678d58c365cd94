/* SPDX-License-Identifier: Apache-2.0 */
/* engine_driver.c - an engine with several workers under churn, for the thread and address
 * sanitizers.
 *
 * Pods are TUN ifaces whose far ends (sequenced-packet sockets) belong to two traffic threads: each
 * pod asks services on UDP port 80, answers what arrives for port 8080, and checks that answers
 * come from the service it asked (or, where the connection has been forgotten meanwhile, from the
 * endpoint itself). Meanwhile the main thread does at random everything that a control thread can
 * do. Usage: engine_driver ROUNDS [SEED [epoll|io_uring]]
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "driver_traffic.h"
#include "netsim.h"

enum { WORKERS = 3, MTU = 1450, EXCHANGED = 20 };

static struct engine *engine;
static uint32_t nodes[NODES];
static uint64_t choice; /* main thread's random state */

static void must(int64_t result, const char *what, int line)
{
	if (result >= 0)
		return;
	(void)fprintf(stderr, "engine_driver.c:%d: %s: %s\n", line, what, strerror((int)-result));
	exit(1);
}

#define MUST(expression) must(expression, #expression, __LINE__)

static uint32_t pick(uint32_t n)
{
	return (uint32_t)(random_next(&choice) % n);
}

static struct iface_config iface(uint32_t node, uint8_t role, be32 addr, const char *name)
{
	struct iface_config c = {
	    .node = node, .role = role, .mtu = MTU, .addr = addr_from_v4(addr)};

	(void)snprintf(c.name, sizeof(c.name), "%s", name);
	return c;
}

static struct node_config node_config(unsigned n)
{
	struct node_config c = {
	    .uid = n + 1,
	    .address = addr_from_v4(v4(192, 168, 0, n + 1)),
	    .cni_addr = addr_from_v4(v4(10, 244, n, 1)),
	    .stack_addr = addr_from_v4(v4(10, 244, n, 254)),
	    .tunnel_addr = addr_from_v4(v4(10, 244, n, 0)),
	    .cluster_cidr = addr_from_v4(v4(10, 244, 0, 0)),
	    .cluster_len = 112,
	    .backend = BACKEND_VXLAN,
	    .vtep_mac = {2, 0, 0, 0, 0, (uint8_t)n},
	    .vni = 1,
	    .port = to_be16(8472),
	    .mtu = MTU,
	    .flows_max = 100000,
	    .proxy = {.drops_rest = true},
	};

	(void)snprintf(c.name, sizeof(c.name), "n%u", n);
	return c;
}

static void set_local_routes(unsigned n, uint32_t extra)
{
	struct route_row rows[] = {
	    {addr_from_v4(pods[n].addr), 128, ROUTE_POD, 0, pods[n].iface},
	    {addr_from_v4(v4(10, 244, n, 1)), 128, ROUTE_STACK, 0, 0},
	    {addr_from_v4(v4(10, 244, n, 77)), 128, ROUTE_POD, 0, extra},
	};

	MUST(engine_node_routes(engine, nodes[n], rows, extra ? 3 : 2));
}

static void add_node(unsigned n)
{
	struct node_config c = node_config(n);
	struct iface_config i;
	uint32_t id;
	int fds[2];

	MUST(engine_node_add(engine, &c, &nodes[n]));
	i = iface(nodes[n], IFACE_WIRE, 0, "eth0");
	MUST(engine_iface_link(engine, &i, &id));
	i = iface(nodes[n], IFACE_STACK, 0, "cni0");
	MUST(engine_iface_queue(engine, &i, &id));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		MUST(-errno);
	/* the pod's end keeps its number, so that the traffic threads need not be
	 * told */
	if (pods[n].addr) {
		dup3(fds[0], pods[n].fd, O_CLOEXEC);
		close(fds[0]);
	} else {
		pods[n].fd = fds[0];
		pods[n].addr = v4(10, 244, n, 2);
	}
	i = iface(nodes[n], IFACE_POD, pods[n].addr, "pod");
	MUST(engine_iface_tun(engine, &i, fds[1], &pods[n].iface));
	set_local_routes(n, 0);
}

static void set_shared_routes(void)
{
	struct peer_row peers[NODES];
	struct route_row routes[NODES + 1];

	for (unsigned n = 0; n < NODES; n++) {
		struct node_config c = node_config(n);

		peers[n] =
		    (struct peer_row){.address = c.address, .port = c.port, .node = nodes[n]};
		memcpy(peers[n].mac, c.vtep_mac, sizeof(c.vtep_mac));
		routes[n] =
		    (struct route_row){addr_from_v4(v4(10, 244, n, 0)), 120, ROUTE_PEER, 0, n};
	}
	routes[NODES] =
	    (struct route_row){addr_from_v4(v4(10, 96, 0, 0)), 108, ROUTE_SERVICE_RANGE, 0, 0};
	MUST(engine_peers(engine, peers, NODES));
	MUST(engine_routes(engine, routes, NODES + 1));
}

static struct service_key service_key(unsigned n)
{
	return (struct service_key){
	    addr_from_v4(v4(10, 96, 0, 1 + n)), to_be16(80), PROTO_UDP, {0}};
}

static void set_service(unsigned n, unsigned endpoints)
{
	struct endpoint_spec e[NODES];
	struct service_spec s = {
	    .key = service_key(n),
	    .id = n + 1,
	    .affinity_s = n % 2 ? 10800 : 0,
	    .count = endpoints,
	    .endpoints = e,
	};

	for (unsigned k = 0; k < endpoints; k++)
		e[k] =
		    (struct endpoint_spec){addr_from_v4(pods[(n + k) % NODES].addr), to_be16(8080)};
	MUST(engine_service_set(engine, &s));
}

/* What the control thread may do at any time; each is one line of the table
 * below. */

static void change_service(void)
{
	set_service(pick(SERVICES), pick(NODES + 1));
}

static void remove_service(void)
{
	struct service_key k = service_key(pick(SERVICES));
	int error = engine_service_remove(engine, &k);

	if (error != -ENOENT)
		MUST(error);
}

static void publish(void)
{
	static uint64_t revision;
	uint64_t seen = 0;

	set_shared_routes();
	MUST(engine_publish(engine, ++revision));
	for (unsigned n = 0; n < NODES; n++)
		do
			MUST(engine_node_revision(engine, nodes[n], &seen));
		while (seen != revision);
}

/* A pod sends packets to a service and takes what comes back. */
static void exchange(uint32_t id, be32 addr)
{
	struct datagram d = {.ip = {.src = addr, .dst = v4(10, 96, 0, 1 + pick(SERVICES))},
			     .udp = {.sport = 1, .dport = to_be16(80)}};
	const uint8_t *packet = (const uint8_t *)&d.ip;
	struct inject how = {.mark = 1};
	struct iface_stats stats;
	uint8_t room[2048];
	int64_t len;

	datagram_finish(&d, false);
	for (int k = 0; k < EXCHANGED; k++)
		MUST(engine_inject(engine, id, packet, sizeof(d) - sizeof(d.vnet), &how));
	do
		MUST(engine_iface_stats(engine, id, &stats));
	while (stats.rx_packets < EXCHANGED);
	do
		MUST(len = engine_extract(engine, id, room, sizeof(room), NULL));
	while (len);
}

static void remove_pod(unsigned n, uint32_t id)
{
	set_local_routes(n, 0);
	MUST(engine_iface_remove(engine, id));
}

static void stop_capture(uint32_t capture, uint64_t at_least)
{
	uint64_t captured, missed;

	MUST(engine_capture_stop(engine, capture, &captured, &missed));
	if (captured + missed < at_least)
		MUST(-ENODATA);
}

/* A pod comes, is captured, gets and sends packets, and goes, before its
 * capture ends or after. */
static void churn_pod(void)
{
	unsigned n = pick(NODES);
	be32 addr = v4(10, 244, n, 77);
	struct iface_config c = iface(nodes[n], IFACE_POD, addr, "extra");
	uint32_t id, capture;

	MUST(engine_iface_queue(engine, &c, &id));
	set_local_routes(n, id);
	MUST(
	    engine_capture_start(engine, id, open("/dev/null", O_WRONLY | O_CLOEXEC), 0, &capture));
	exchange(id, addr);
	if (pick(2)) {
		remove_pod(n, id);
		stop_capture(capture, EXCHANGED);
	} else {
		stop_capture(capture, EXCHANGED);
		remove_pod(n, id);
	}
}

static void capture_traffic(void)
{
	unsigned n = pick(NODES);
	uint32_t id, second;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		MUST(-errno);
	MUST(engine_capture_start(engine, pods[n].iface, fds[1], 96, &id));
	MUST(engine_capture_start(engine, pods[n].iface, open("/dev/null", O_WRONLY), 0, &second));
	usleep(2000);
	close(fds[0]); /* the reader goes */
	usleep(1000);
	stop_capture(id, 0);
	stop_capture(second, 0);
}

static void churn_node(void)
{
	unsigned n = pick(NODES);

	MUST(engine_node_remove(engine, nodes[n]));
	add_node(n);
	set_shared_routes();
}

static void read_back(void)
{
	static struct flow flows[1000];
	static struct trace_record records[1000];
	struct flow_filter f = {.state = FLOW_STATE_COUNT};
	unsigned n = pick(NODES);
	struct node_stats stats;
	struct iface_stats i;
	struct engine_info info;
	uint64_t missed;

	MUST(engine_node_stats(engine, nodes[n], &stats));
	MUST(engine_iface_stats(engine, pods[n].iface, &i));
	MUST(engine_flows(engine, nodes[n], &f, &(uint32_t){0}, flows, ARRAY_SIZE(flows)));
	MUST(engine_trace_drain(engine, records, ARRAY_SIZE(records), &missed));
	MUST(engine_info(engine, &info));
}

static void trace(void)
{
	struct trace_filter f = {.on = pick(2), .proto = PROTO_UDP, .limit = 10};

	MUST(engine_trace(engine, nodes[pick(NODES)], &f));
}

static void clear_flows(void)
{
	MUST(engine_flows_clear(engine, nodes[pick(NODES)]));
}

static void move_node(void)
{
	MUST(engine_node_move(engine, nodes[pick(NODES)], pick(WORKERS)));
	MUST(engine_balance(engine));
}

static void restart(void)
{
	engine_stop(engine);
	MUST(engine_start(engine));
}

static const struct {
	void (*run)(void);
	uint32_t weight;
} acts[] = {
    {change_service, 40}, {remove_service, 5}, {publish, 20},        {churn_pod, 20},
    {read_back, 20},      {trace, 5},          {clear_flows, 1},     {restart, 1},
    {move_node, 10},      {churn_node, 2},     {capture_traffic, 2},
};

static void act(void)
{
	uint32_t total = 0, at;

	for (size_t n = 0; n < ARRAY_SIZE(acts); n++)
		total += acts[n].weight;
	at = pick(total);
	for (size_t n = 0; n < ARRAY_SIZE(acts); n++) {
		if (at < acts[n].weight) {
			acts[n].run();
			return;
		}
		at -= acts[n].weight;
	}
}

/* Packets may die for these only, whatever the churn. */
static void check_drops(void)
{
	static const bool allowed[DROP_REASON_COUNT] = {
	    [DROP_NO_SERVICE_PORT] = true, [DROP_NO_ENDPOINT] = true,
	    [DROP_NO_POD] = true,          [DROP_NO_ROUTE] = true,
	    [DROP_FLOW_FULL] = true,       [DROP_NO_SOURCE_PORT] = true,
	    [DROP_IFACE_DOWN] = true,      [DROP_IFACE_FULL] = true,
	    [DROP_RING_FULL] = true,       [DROP_ICMP_UNRELATED] = true,
	    [DROP_TUNNEL_STRANGER] = true, [DROP_TUNNEL_MAC] = true,
	    [DROP_POOL_EMPTY] = true,      [DROP_LOOP] = true,
	};

	for (unsigned n = 0; n < NODES; n++) {
		struct node_stats s;

		MUST(engine_node_stats(engine, nodes[n], &s));
		for (unsigned why = 0; why < DROP_REASON_COUNT; why++) {
			if (!s.drops[why] || allowed[why])
				continue;
			(void)printf("n%u: %lu %s\n", n, s.drops[why], drop_reason_name(why));
			MUST(-EPROTO);
		}
	}
}

int main(int argc, char **argv)
{
	struct engine_config config = {.workers = WORKERS, .seed = 1, .arena_fd = -1};
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
	unsigned first[TRAFFIC];
	pthread_t threads[TRAFFIC];

	if (argc > 3)
		config.io = strcmp(argv[3], "epoll") == 0 ? IO_EPOLL : IO_URING;
	choice = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	MUST(engine_new(&engine, &config));
	for (unsigned n = 0; n < NODES; n++)
		add_node(n);
	set_shared_routes();
	for (unsigned n = 0; n < SERVICES; n++)
		set_service(n, 3);
	MUST(engine_start(engine));
	for (unsigned n = 0; n < TRAFFIC; n++) {
		first[n] = n;
		MUST(-pthread_create(&threads[n], NULL, traffic, &first[n]));
	}
	for (unsigned long n = 0; n < rounds; n++)
		act();
	atomic_store(&enough, true);
	for (unsigned n = 0; n < TRAFFIC; n++)
		pthread_join(threads[n], NULL);
	check_drops();
	engine_free(engine);
	for (unsigned n = 0; n < NODES; n++)
		close(pods[n].fd);
	(void)printf("asked %lu answered %lu orphaned %lu wrong %lu\n", asked, answered, orphaned,
		     wrong);
	return answered && !wrong ? 0 : 1;
}
