/* SPDX-License-Identifier: Apache-2.0 */
/* iface_link.h - the fabric: nodes joined inside the process. Rank 6.
 *
 * Each node has one link iface. A packet sent by it really carries outer IPv4 and UDP headers, and
 * the far link really checks and strips them; super-packets cross whole. Between nodes of one
 * worker the packet itself moves, to another worker its bytes are copied into the ring of that pair
 * of workers. For host-gw the bare packet crosses.
 */
#ifndef NETSIM_IFACE_LINK_H
#define NETSIM_IFACE_LINK_H

#include "iface.h"

struct fabric;

/* Called by a sending worker when packets lie in a ring for @worker. */
typedef void fabric_wake_fn(void *context, unsigned worker);

/**
 * fabric_new() - Make the fabric of an engine
 * @out:	the fabric, on success
 * @workers:	rings are made for each ordered pair of them
 * @wake:	with @context
 *
 * Return: 0, -ENOMEM.
 */
int fabric_new(struct fabric **out, unsigned workers, fabric_wake_fn *wake, void *context);
void fabric_free(struct fabric *f); /* every link is closed */

/**
 * fabric_ready_list() - Where links of @worker are put when packets wait in them
 */
void fabric_ready_list(struct fabric *f, unsigned worker, struct ready_list *ready);

/**
 * fabric_waiting() - Whether other workers' packets wait for @worker (that worker)
 */
bool fabric_waiting(struct fabric *f, unsigned worker);

/**
 * fabric_collect() - Move packets from other workers' rings to the links of @worker
 * @pool:	of @worker; what finds no packet stays in its ring
 *
 * Return: packets moved.
 */
unsigned fabric_collect(struct fabric *f, unsigned worker, struct packet_pool *pool);

/**
 * iface_link_new() - Make a node's end
 * @out:	the iface, on success; its close() takes it out of the fabric
 *
 * Return: 0, -ENOMEM.
 */
int iface_link_new(struct iface **out, struct fabric *f);

bool iface_is_link(const struct iface *i);

/**
 * iface_link_join() - Make the link reachable under its node's id (its worker)
 * @i:		link with node set
 *
 * Return: 0, -EEXIST if the node has a link, -ENOSPC for a node id beyond the fabric's, -ENOMEM.
 */
int iface_link_join(struct iface *i);

/**
 * iface_link_move() - From now on the link is another worker's (its present worker)
 * @i:		link that has joined and holds no packets
 *
 * What is under way to it follows.
 */
void iface_link_move(struct iface *i, unsigned worker);

#endif
