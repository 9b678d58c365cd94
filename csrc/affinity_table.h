/* SPDX-License-Identifier: Apache-2.0 */
/* affinity_table.h - sessionAffinity ClientIP: which endpoints a client had last. Rank 1.
 *
 * One per node, owned by its worker. Key: service port (service.id), client address before
 * masquerade (P-30, P-31, P-32) and endpoint: as in kube-proxy, whose lists belong to endpoints, a
 * client may be with several of them, if not all ways in lead to all endpoints (P-36, P-43).
 * Renewed by new connections only (P-35): stage_service calls affinity_set() for each.
 *
 * Bounded twice. An endpoint has as many clients as its list has room for in kube-proxy (P-37);
 * what becomes of one more is a matter of the limit. And when the table is full, the least recently
 * renewed entry of the probed neighbourhood goes.
 */
#ifndef NETSIM_AFFINITY_TABLE_H
#define NETSIM_AFFINITY_TABLE_H

#include "base.h"

enum affinity_state {
	AFFINITY_UNUSED, /* never: ends a search */
	AFFINITY_LEFT,   /* no more */
	AFFINITY_KNOWN,
};

struct affinity {
	struct addr client;
	uint64_t renewed_ns;
	uint32_t service;
	uint32_t endpoint_slot;
	uint32_t endpoint_generation;
	uint32_t state; /* enum affinity_state */
	uint32_t older; /* of its endpoint's, by position plus one; 0: the oldest */
	uint32_t newer;
	uint32_t held; /* times: has no timeout meanwhile */
};

/* How many clients an endpoint is remembered for; beyond, the least recently renewed goes
 * (xt_recent) or the new one is not remembered before another's time is over (a set of nftables).
 */
struct affinity_limit {
	uint32_t clients; /* 0: no limit */
	bool evicts;
};

struct affinity_table;

/**
 * affinity_table_new() - Make an empty table; its memory is touched as it is used
 * @out:	the table, on success
 * @max:	entries, at least; to be full at, it must be four times as many as are to be kept
 * @limit:	of each endpoint; copied
 * @seed:	of its hashes
 *
 * Return: 0, -ENOMEM.
 */
int affinity_table_new(struct affinity_table **out, size_t max, const struct affinity_limit *limit,
		       uint64_t seed);
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

/* Who got what: the endpoint in @slot. An endpoint that left and came back is another one (P-38).
 */
struct affinity_key {
	struct addr client;
	uint32_t service;
	uint32_t slot;
	uint32_t generation;
};

/**
 * affinity_set() - Remember or renew that a client got an endpoint
 * @t:		table
 * @key:	who, and what
 * @now_ns:	time
 * @timeout_s:	of the service now
 *
 * Return: true if for lack of room another client is not remembered any more, or this one is not.
 */
bool affinity_set(struct affinity_table *t, const struct affinity_key *key, uint64_t now_ns,
		  uint32_t timeout_s);

/**
 * affinity_hold() - An entry is held once more (@by 1) or less (-1), if it is still there
 */
void affinity_hold(struct affinity_table *t, const struct affinity_key *key, int by);

size_t affinity_table_count(const struct affinity_table *t);

#endif
