/* SPDX-License-Identifier: Apache-2.0 */
/* affinity_table.h - sessionAffinity ClientIP: which endpoints a client had last. Rank 1.
 *
 * One per node, owned by its worker. Key: service port (service.id), client address before
 * masquerade (P-30, P-31, P-32) and endpoint: as in kube-proxy, whose lists belong to endpoints, a
 * client may be with several of them, if not all ways in lead to all endpoints (P-36, P-43).
 * Renewed by new connections only (P-35): stage_service calls affinity_set() for each. Bounded:
 * when full, the least recently renewed entry of the probed neighbourhood goes.
 */
#ifndef NETSIM_AFFINITY_TABLE_H
#define NETSIM_AFFINITY_TABLE_H

#include "base.h"

struct affinity {
	struct addr client;
	uint64_t renewed_ns;
	uint32_t service;
	uint32_t endpoint_slot;
	uint32_t endpoint_generation;
	uint32_t used;
};

struct affinity_table;

int affinity_table_new(struct affinity_table **out, size_t max, uint64_t seed);
void affinity_table_free(struct affinity_table *t);

enum { AFFINITY_FOUND_MAX = 16 };

/**
 * affinity_find() - The entries of a client that are not older than their timeout
 * @t:		table
 * @service:	service.id
 * @client:	source address as the service saw it
 * @now_ns:	time
 * @timeout_s:	of the service now
 * @found:	the entries
 *
 * Return: how many there are. Does not renew.
 */
unsigned affinity_find(const struct affinity_table *t, uint32_t service, struct addr client,
		       uint64_t now_ns, uint32_t timeout_s,
		       const struct affinity *found[AFFINITY_FOUND_MAX]);

/**
 * affinity_set() - Remember or renew: @client of @service got the endpoint in @slot at @now_ns
 * @generation:	of the slot: an endpoint that left and came back is another one (P-38)
 *
 * Return: true if another client's live entry had to go.
 */
bool affinity_set(struct affinity_table *t, uint32_t service, struct addr client, uint32_t slot,
		  uint32_t generation, uint64_t now_ns);

size_t affinity_table_count(const struct affinity_table *t);

#endif
