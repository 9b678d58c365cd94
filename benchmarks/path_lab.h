/* SPDX-License-Identifier: Apache-2.0 */
/* path_lab.h - one node in memory with the tables of a large cluster, and the packets it gets.
 *
 * A pod of the node asks services whose endpoints are on PEERS other nodes; or pods of those ask
 * our pod over the wire. Datagrams of 64 bytes. Flows are visited in an order that looks random.
 */
#ifndef BENCHMARKS_PATH_LAB_H
#define BENCHMARKS_PATH_LAB_H

#include "node.h"

struct path_lab {
	struct node *node;
	struct packet_pool *pool;
	struct iface pod;
	struct iface wire;
	uint32_t first; /* of the flows whose packets are made */
	uint32_t flows;
	uint32_t services;
	bool arriving;   /* packets come by the wire */
	uint64_t serial; /* of the next packet */
	uint64_t sent;   /* packets that left the node */
};

/* There is one. */
extern struct path_lab lab;

/* Ends the program if @error is not 0. */
void must(int error);

/* Time that this thread ran: what others take does not count. A system call. */
uint64_t thread_ns(void);
/* Time, without a system call. */
uint64_t clock_ns(void);

/* @flows_max: of the node. flows, services and arriving are set before. */
void path_lab_make(uint32_t flows_max);
/* The next @size packets. */
void path_lab_fill(struct batch *b, unsigned size);
/* As an iface takes them. */
void path_lab_sink(struct packet_pool *pool, struct packet *const *pkt, unsigned count);

#endif
