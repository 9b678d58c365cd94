/* SPDX-License-Identifier: Apache-2.0 */
/* balancer.h - which endpoint of a service port is next: round robin, and affinity of clients.
 *
 * As kube-proxy's mode userspace does it (roundrobin.go): the list is shuffled when it has changed,
 * the place in it goes on with every try, and a client that has affinity stays where it was last
 * until it has not come for the timeout, its endpoint has gone, or could not be reached. Pure: time
 * and random numbers are the caller's.
 */
#ifndef NETSIM_RELAY_BALANCER_H
#define NETSIM_RELAY_BALANCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In host order. */
struct target {
	uint32_t addr;
	uint16_t port;
	uint16_t pad; /* zero */
};
_Static_assert(sizeof(struct target) == 8, "targets are compared as bytes, and travel as they are");

/* Where a client was last; 24 bytes. */
struct affinity {
	uint32_t client; /* 0: nobody */
	struct target target;
	uint64_t used_ns;
};

struct balancer {
	struct target *given; /* as told, to find out whether that has changed */
	struct target *order; /* shuffled */
	size_t count;
	size_t next;
	uint32_t affinity_s;      /* 0: without */
	struct affinity *clients; /* an open table, at most half full */
	size_t known, places;     /* a power of two, or none */
};

void balancer_free(struct balancer *b);

/**
 * balancer_set() - Take in the endpoints and the timeout of affinity
 * @b:		all zero at first
 * @targets:	no two equal; copied
 * @random:	state of the shuffle, which goes on; not 0
 *
 * Equal ones change nothing. Others are shuffled, begin anew, and clients of those that have gone
 * are forgotten.
 *
 * Return: 0, or -ENOMEM, and nothing has changed.
 */
int balancer_set(struct balancer *b, const struct target *targets, size_t count,
		 uint32_t affinity_s, uint64_t *random);

/**
 * balancer_next() - The endpoint to try for a client's connection
 * @client:	address, not 0
 * @failed:	it is not the first try: affinity counts for nothing
 *
 * Return: NULL if there is none; good until the next balancer_set().
 */
const struct target *balancer_next(struct balancer *b, uint32_t client, uint64_t now_ns,
				   bool failed);

#endif
