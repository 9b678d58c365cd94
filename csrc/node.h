/* SPDX-License-Identifier: Apache-2.0 */
/* node.h - one emulated Kubernetes node: identity, tables of its own, ifaces, counters. Rank 4.
 *
 * A node belongs to one worker at a time; while the engine runs only that worker touches it
 * (changes arrive as engine calls at a quiet point). Counters are plain: readers ask the worker.
 */
#ifndef NETSIM_NODE_H
#define NETSIM_NODE_H

#include <stdatomic.h>

#include "affinity_table.h"
#include "flow_arena.h"
#include "flow_table.h"
#include "fragment_table.h"
#include "iface.h"
#include "load_table.h"
#include "tables.h"
#include "trace.h"

enum backend_kind {
	BACKEND_VXLAN,
	BACKEND_UDP,
	BACKEND_HOST_GW, /* fabric wire: bare packets; udp wire: the node's stack forwards */
};

/* Which sources are pods of the node, to kube-proxy (spec 3.6). */
enum local_detector {
	DETECT_CLUSTER_CIDR, /* those in the cluster's range */
	DETECT_NODE_CIDR,    /* those in the node's pod range */
	DETECT_INTERFACE,    /* those that come from a pod's interface: by bridge or name prefix */
	DETECT_NONE,         /* nobody can tell */
	DETECT_COUNT
};

/* Which endpoint a new connection gets: stage_schedule.c has them. */
enum scheduler {
	SCHEDULE_RANDOM,
	SCHEDULE_ROUND_ROBIN,
	SCHEDULE_LEAST_CONNECTIONS,
	SCHEDULE_SHORTEST_DELAY,
	SCHEDULE_SOURCE_HASH,
	SCHEDULE_DESTINATION_HASH,
	SCHEDULE_CONSISTENT_HASH,
	SCHEDULE_COUNT
};

enum { NODE_PORT_RANGES_MAX = 16 };

/* How the node's service proxy is set up: what differs between modes and options is here, and no
 * stage asks for a mode.
 */
struct proxy_config {
	uint8_t detector; /* enum local_detector */
	bool masquerade_all;
	bool localhost_node_ports; /* node ports at 127.0.0.0/8 */
	uint8_t refused_at;        /* enum frontend_flags: their addresses have no other ports */
	uint8_t range_count;       /* 0: node ports at every address of the node */
	uint8_t scheduler;         /* enum scheduler */
	bool by_entry;             /* affinity is by service_entry(), and outlasts connections */
	bool bound;                /* the node has Services' addresses: errors come from them */
	bool own_first;            /* policy Local: for its own and its pods too, if it has any */
	uint32_t drain_s;          /* TCP outlives its endpoint by as much; 0: goes on */
	bool refuses_own;          /* where nobody serves: what the node itself sends, too */
	bool ranges_first;         /* source ranges hold where nobody serves */
	bool drops_rest;           /* of the service ranges; else it follows the default route */
	bool relays;               /* all of it goes to a program on the node: service_relay() */
	struct affinity_limit affinity;
	struct source_range node_port_ranges[NODE_PORT_RANGES_MAX];
};

/* Where Linux's connection tracking loses packets (spec 3.9): all off by default. */
struct tracking_config {
	bool invalid_passes;  /* P-86: what fits no connection goes on as it is, untracked */
	bool collisions_lose; /* P-87: the first packet of a flow whose source port is taken */
	bool udp_races; /* P-88: UDP that follows a flow's first packet at once chooses anew */
};

enum { NODE_LOST = 64 };

struct node_config {
	char name[64];
	uint64_t number;          /* names the node in choices of services */
	uint64_t uid;             /* stable over restarts: owner of the node's flows */
	struct addr address;      /* on the underlay: eth0 */
	struct addr cni_addr;     /* of cni0: first address of the pod range */
	struct addr stack_addr;   /* in the pod range and no interface's: last but broadcast */
	struct addr tunnel_addr;  /* of flannel0 / flannel.1: base address of the pod range */
	struct addr cluster_cidr; /* all pods: sources inside are not masqueraded */
	uint8_t cluster_len;      /* in bits of the 16-byte form */
	struct addr pod_cidr;     /* the node's own pods */
	struct addr pod_mask;
	uint8_t backend; /* enum backend_kind */
	uint8_t vtep_mac[6];
	uint32_t vni;
	be16 port;    /* UDP port of the backend */
	uint16_t mtu; /* of the overlay: what pods have */
	uint32_t flows_max;
	struct proxy_config proxy;
	struct tracking_config tracking;
};

struct node_stats {
	uint64_t drops[DROP_REASON_COUNT];
	uint64_t packets; /* through the pipeline */
	uint64_t flows;   /* known now; filled in when read */
	uint64_t flows_new;
	uint64_t flows_expired;   /* forgotten when their time was over */
	uint64_t flows_stale;     /* UDP flows chosen anew because the endpoint left */
	uint64_t service_hits;    /* new flows sent to an endpoint */
	uint64_t service_rejects; /* answered with ICMP port unreachable: no endpoints, no port */
	uint64_t affinity_hits;
	uint64_t affinity_evicted;
	uint64_t masquerade_collisions;
	uint64_t localhost_node_ports; /* new flows to node ports at 127.0.0.0/8 */
	uint64_t icmp_errors_sent;
	uint64_t icmp_errors_translated;
};

enum { NODE_TRACE_OFF, NODE_TRACE_MATCH };

/* Which packets to mark; zero fields match anything. */
struct trace_filter {
	struct addr src;
	struct addr dst;
	be16 sport;
	be16 dport;
	uint8_t proto;
	bool on;
	uint32_t limit; /* packets to mark before switching itself off; 0: no limit */
};

enum { WAY_BITS = 10 };

/* Where packets to a destination leave, as stage_route found it out last; in a direct-mapped table.
 * An epoch is a state of the tables and ifaces that routes depend on.
 */
struct way {
	struct addr dst; /* an address, or a range's first */
	uint64_t epoch;  /* 0: none; with WAY_RANGE: for all of node.way_mask's range */
	struct iface *out;
	const struct peer_row *peer;
	uint16_t mtu;
	uint8_t router_from; /* role of ifaces between which and out is nothing but a router */
};

#define WAY_RANGE (UINT64_C(1) << 63)

/* The tables that ways were found in. A table's address is given to another one only after a
 * generation in which nobody could see it.
 */
struct way_tables {
	const struct route_table *local;
	const struct route_table *routes;
	const struct peer_table *peers;
	uint64_t generation;
};

struct node {
	struct node_config config;
	uint32_t id;
	struct tables *tables; /* the lab's */
	/* pods of this node, its stack's addresses; the last one is freed by node_free() */
	_Atomic(const struct route_table *) local;
	struct source_range cluster; /* config.cluster_cidr */

	struct flow_table *flows;
	struct fragment_table *fragments;
	struct affinity_table *affinity;
	struct load_table *load; /* NULL: connections are not counted */
	uint64_t hash_seed;
	uint64_t random; /* state of random_next(): endpoint choice, masquerade ports */
	/* P-87: hashes of keys whose first packet was lost, by hash: sent again they pass */
	uint32_t lost[NODE_LOST];

	struct iface **ifaces; /* by position; route rows name them by id */
	uint32_t iface_count;
	struct iface **iface_index; /* by hash of the id; node.c's own */
	uint32_t iface_index_bits;
	struct iface *stack;  /* cni0, or NULL */
	struct iface *tunnel; /* flannel.1, or NULL */
	struct iface *wire;   /* NULL on a lone node */

	struct way *ways;   /* stage_route's */
	uint64_t way_epoch; /* changes with way_tables and with the ifaces above */
	struct way_tables way_tables;
	struct addr way_mask; /* of the longest prefix in way_tables.routes */

	struct packet_pool *pool; /* its worker's */
	struct trace *trace;      /* its worker's */
	struct trace_filter filter;
	uint32_t trace_next;
	struct node_stats stats;
	_Atomic uint64_t revision; /* tables' revision at the node's last batch or quiet point */
	unsigned worker;
	uint64_t work_seen; /* engine_move.c's: its counters when they were last compared */
};

/**
 * node_new() - Make a node without ifaces
 * @out:	the node, on success
 * @config:	copied
 * @tables:	the lab's shared tables
 * @arena:	for its flows
 * @seed:	of the lab; every draw of the node derives from it and the node's uid
 *
 * Return: 0, -EINVAL for a config that contradicts itself, -ENOMEM.
 */
int node_new(struct node **out, const struct node_config *config, struct tables *tables,
	     struct flow_arena *arena, uint64_t seed);
void node_free(struct node *n);

/**
 * node_iface() - The iface with this id, NULL if it is not (or no longer) here. O(1).
 */
struct iface *node_iface(const struct node *n, uint32_t id);
int node_iface_attach(struct node *n, struct iface *i);
void node_iface_detach(struct node *n, struct iface *i);

/**
 * node_in_cluster() - Whether an address is a pod's: inside config.cluster_cidr
 */
static inline bool node_in_cluster(const struct node *n, struct addr a)
{
	return source_range_has(&n->cluster, a);
}

/**
 * node_is_local() - Whether an address is the node's own: one of its stack's, or loopback
 */
static inline bool node_is_local(const struct node *n, struct addr a)
{
	const struct node_config *c = &n->config;

	return addr_equal(a, c->address) || addr_equal(a, c->cni_addr) ||
	       addr_equal(a, c->tunnel_addr) || addr_is_loopback(a);
}

/**
 * node_frontend_local() - The node port at an address of the node, NULL if there is none
 */
const struct frontend *node_frontend_local(const struct node *n, const struct service_table *t,
					   const struct service_key *key);

/**
 * node_frontend() - What service port a packet to an address is for, NULL if for none
 * @n:		the node that it is at
 * @t:		services
 * @key:	destination, port and protocol
 * @hash:	service_table_hash() of the key
 */
static inline const struct frontend *node_frontend(const struct node *n,
						   const struct service_table *t,
						   const struct service_key *key, uint64_t hash)
{
	const struct frontend *f = service_table_find(t, key, hash);

	return f || LIKELY(!node_is_local(n, key->addr)) ? f : node_frontend_local(n, t, key);
}

static inline void node_count_drop(struct node *n, enum drop_reason why)
{
	n->stats.drops[why]++;
}

/**
 * node_load_begins() - A translated connection is remembered; the node counts (n->load)
 * node_load_moved() - A connection's state was @was until now
 * node_load_ends() - A connection is forgotten
 * node_load_is_over() - The endpoint of a connection has been gone for config.proxy.drain_s
 */
void node_load_begins(struct node *n, const struct flow *f);
void node_load_moved(struct node *n, const struct flow *f, uint8_t was);
void node_load_ends(const struct flow *f, void *node);
bool node_load_is_over(const struct flow *f, uint64_t now_ns, void *node);

/**
 * node_adopt_flows() - After a restart: take over the flows in the arena and re-tie translated
 *			ones to the endpoint slots of the current tables
 *
 * Return: flows adopted.
 */
size_t node_adopt_flows(struct node *n, uint64_t now_ns);

#endif
