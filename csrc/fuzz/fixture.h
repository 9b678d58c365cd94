/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.h - a small node per backend, in memory, for the fuzz target and the benchmark.
 *
 *   10.244.1.2 pod0, 10.244.1.3 pod1        this node: 192.168.0.1, pods 10.244.1.0/24
 *   10.244.2.0/24 behind 192.168.0.2        10.244.3.0/24 behind 192.168.0.3 (external)
 *   10.96.0.10 tcp/80, udp/53 (affine), sctp/9: pod1, 10.244.2.2, pod0     10.96.0.11 tcp/80:
 * nobody
 */
#ifndef NETSIM_FIXTURE_H
#define NETSIM_FIXTURE_H

#include "../pipeline.h"

enum fixture_iface {
	FIXTURE_POD0,
	FIXTURE_POD1,
	FIXTURE_STACK,
	FIXTURE_TUNNEL,
	FIXTURE_WIRE,
	FIXTURE_IFACES,
};

enum { FIXTURES = 4 };

struct fixture {
	struct tables *tables;
	struct flow_arena *arena;
	struct node *node;
	struct iface_ops ops;
	struct iface ifaces[FIXTURE_IFACES];
};

/**
 * fixture_new() - Build the node, without a pool; aborts if it can not
 * @setup:	number of a backend and mode, below FIXTURES
 * @send:	what every iface does with packets: it owns them
 */
struct fixture *fixture_new(unsigned setup,
			    void (*send)(struct iface *i, struct packet_pool *pool,
					 struct packet *const *pkt, unsigned count));
void fixture_free(struct fixture *f);

#endif
