/* SPDX-License-Identifier: Apache-2.0 */
/* relay.h - what is relayed: nodes, service ports, and a front for each of both.
 *
 * A front is what listens at one node for one service port: at the port that all nodes have for it,
 * at the address of cni0, and for what comes by cni0 only; answers leave by cni0 too, whoever
 * asked, so that the data plane sees them. Everything that a front does, it does in its node's
 * network namespace.
 */
#ifndef NETSIM_RELAY_RELAY_H
#define NETSIM_RELAY_RELAY_H

#include "balancer.h"
#include "loop.h"

#include <netinet/in.h>

/* What happened at a node, in the order of COUNTS in netsim/lab/relay_messages.py. */
struct counts {
	uint64_t connections;  /* TCP, that an endpoint took */
	uint64_t clients;      /* UDP, that got an endpoint */
	uint64_t dials_failed; /* refused, or not answered in time */
	uint64_t unserved;     /* connections closed, datagrams lost: nobody took them */
	uint64_t exhausted;    /* the same, for want of descriptors or memory */
};

struct node {
	struct link link;
	uint32_t id;
	uint32_t addr; /* of cni0 */
	int space;     /* network namespace */
	uint64_t inode;
	bool stale;
	struct link fronts;
	struct link connections; /* that are relayed; their fronts may be gone */
	struct counts counts;
};

struct service {
	struct link link;
	uint32_t id;
	int type; /* SOCK_STREAM or SOCK_DGRAM */
	uint16_t port;
	uint16_t node_port; /* 0: none */
	uint32_t affinity_s;
	struct target *targets;
	size_t count;
	bool stale;
	struct link fronts;
};

struct front {
	struct watch watch;
	struct watch claim; /* holds the node port, so that no program takes it */
	struct link of_node, of_service, failing;
	struct node *node;
	struct service *service;
	struct balancer balancer;
	struct link users;      /* connections that look for an endpoint; UDP clients */
	int error, claim_error; /* why it does not listen; negative errno */
};

/* A socket in a network namespace, not blocking; negative errno. */
int space_socket(int space, int type);
int space_init(void);

/* Whether an error means that nothing more can be opened; counted and logged then. */
bool is_exhausted(struct node *n, int error);

void tcp_ready(struct watch *w, uint32_t events); /* of a front */
void tcp_stop_dialing(struct front *f);
void tcp_close_all(struct node *n);
int tcp_init(void);

void udp_ready(struct watch *w, uint32_t events); /* of a front */
void udp_close_all(struct front *f);
void udp_init(void);

/* tables; negative errno */
void tables_init(uint64_t random);
void tables_mark_stale(void);
void tables_sweep(void);
int node_set(uint32_t id, uint32_t addr, int space); /* takes the descriptor over */
void node_drop(uint32_t id);
int service_set(const struct service *like); /* its targets are copied */
void service_drop(uint32_t id);

/* What does not listen although it should, after another try. */
struct problem {
	uint32_t node, service;
	int32_t error;
	uint32_t claim; /* the node port, which somebody else has */
};
size_t tables_problems(struct problem *out, size_t max);

struct node_counts {
	uint64_t node;
	struct counts counts;
};
size_t tables_counts(struct node_counts *out, size_t max);

/* The socket by which control says what there is to do. */
int control_open(const char *path);

#endif
