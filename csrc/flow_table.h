/* SPDX-License-Identifier: Apache-2.0 */
/* flow_table.h - connection tracking of one node: both directions, states, timeouts. Rank 2.
 *
 * Owned by one worker; no locks. A flow has two keys: original[0] as the first packet arrived, and
 * reply, as answers arrive (the reverse of the key *after* translation). A find by either key
 * returns the flow and the direction. Records lie in a flow_arena, so that they survive the
 * process; the index does not.
 *
 * Growth is incremental: no single insert costs more than a few buckets. Aging is a bounded scan
 * (flow_table_expire), called by the worker between batches; an expired flow is never returned by
 * flow_table_find.
 *
 * States and timeouts are those of Linux nf_conntrack (net/netfilter/nf_conntrack_proto_*.c) with
 * the two values that kube-proxy sets (P-85): TCP established 24 h, CLOSE_WAIT 1 h.
 */
#ifndef NETSIM_FLOW_TABLE_H
#define NETSIM_FLOW_TABLE_H

#include "base.h"

struct flow_arena;

enum flow_state {
	FLOW_NEW,      /* UDP, ICMP, other: no answer seen */
	FLOW_REPLIED,  /* UDP and others: answer seen */
	FLOW_SYN_SENT, /* TCP, as nf_conntrack names them */
	FLOW_SYN_RECV,
	FLOW_ESTABLISHED, /* SCTP too */
	FLOW_FIN_WAIT,
	FLOW_CLOSE_WAIT,
	FLOW_LAST_ACK,
	FLOW_TIME_WAIT,
	FLOW_CLOSE,
	FLOW_SYN_SENT2,
	FLOW_STATE_COUNT
};

enum flow_flags {
	FLOW_TRANSLATED = 1 << 0,  /* destination was rewritten (service) */
	FLOW_MASQUERADED = 1 << 1, /* source was rewritten */
	FLOW_SEEN_REPLY = 1 << 2,
	FLOW_ASSURED = 1 << 3,
};

enum { FLOW_NO_SLOT = UINT32_MAX };
enum { FLOWS_MAX = (1 << 23) - 2 };

/* Between the keys lies what both directions need, so that either touches 64 bytes in a row. A
 * change of this layout changes FLOW_ARENA_VERSION.
 */
struct flow {
	struct flow_key original;
	uint64_t expires_ns;
	uint32_t service;       /* service.id of a translated flow */
	uint32_t endpoint_slot; /* FLOW_NO_SLOT if not translated */
	uint32_t endpoint_generation;
	uint8_t commit; /* written last; flow_table.c's own */
	uint8_t born;   /* UDP: when it began, in quarters of a second */
	uint8_t state;  /* enum flow_state */
	uint8_t flags;  /* enum flow_flags */
	struct flow_key reply;
};
static_assert(sizeof(struct flow) == 104, "with its share of the index, a flow fits in 128 bytes");

struct flow_table;

/**
 * flow_table_new() - Make a table
 * @out:	the table, on success
 * @arena:	where records lie
 * @owner:	the node's stable uid
 * @max:	flows at most (up to FLOWS_MAX); one more is refused
 * @seed:	of flow_key_hash(), the node's own
 *
 * Return: 0, -EINVAL for a @max of 0 or above FLOWS_MAX, -ENOMEM.
 */
int flow_table_new(struct flow_table **out, struct flow_arena *arena, uint64_t owner, size_t max,
		   uint64_t seed);

/**
 * flow_table_free() - Free the index; the records stay in the arena
 */
void flow_table_free(struct flow_table *t);

/**
 * flow_table_adopt() - Take over the owner's records that are already in the arena
 * @t:		empty table
 * @now_ns:	time; expired and half-written records are dropped
 *
 * Endpoint slots of the last process mean nothing in this one: the caller walks the flows
 * (flow_table_walk) and sets them again.
 *
 * Return: number of flows adopted.
 */
size_t flow_table_adopt(struct flow_table *t, uint64_t now_ns);

/**
 * flow_table_find() - The live flow that a packet belongs to
 * @t:		table
 * @key:	of the packet
 * @hash:	flow_key_hash(key, seed)
 * @now_ns:	time
 * @reply:	set to whether @key is the reply direction
 *
 * Return: flow, NULL if unknown.
 */
struct flow *flow_table_find(struct flow_table *t, const struct flow_key *key, uint32_t hash,
			     uint64_t now_ns, bool *reply);

/**
 * flow_table_prefetch_index() / flow_table_prefetch_flow() - Begin a find early
 * @t:		table
 * @hash:	flow_key_hash(key, seed)
 *
 * A stage that calls the first for its whole batch, then the second, then flow_table_find(), waits
 * for memory once per batch instead of twice per packet. Both are optional.
 */
void flow_table_prefetch_index(const struct flow_table *t, uint32_t hash);
void flow_table_prefetch_flow(const struct flow_table *t, uint32_t hash);

/**
 * flow_table_insert() - Remember a flow
 * @t:		table
 * @original:	key of the first packet as it arrived
 * @reply:	key that answers will carry
 * @state:	first state; its timeout counts from @now_ns
 * @now_ns:	time
 * @out:	the flow, on success: slot FLOW_NO_SLOT, flags 0
 *
 * Return: 0, -EEXIST if either key is in use by a live flow, -ENOSPC if the table is full.
 */
int flow_table_insert(struct flow_table *t, const struct flow_key *original,
		      const struct flow_key *reply, enum flow_state state, uint64_t now_ns,
		      struct flow **out);

/**
 * flow_table_remove() - Forget a flow; the pointer is dead afterwards
 */
void flow_table_remove(struct flow_table *t, struct flow *f);

/**
 * flow_table_expire() - Scan up to @budget records and forget those that have expired
 *
 * Return: number of flows forgotten.
 */
size_t flow_table_expire(struct flow_table *t, uint64_t now_ns, size_t budget);

/**
 * flow_table_walk() - Call @visit for every live flow (the worker's thread)
 * @visit:	returns false to stop; may change slot fields, may not insert or remove
 */
void flow_table_walk(struct flow_table *t, uint64_t now_ns,
		     bool (*visit)(struct flow *f, void *context), void *context);

size_t flow_table_count(const struct flow_table *t);
size_t flow_table_bytes(const struct flow_table *t);

/* Time in quarters of a second, modulo 64 s. */
static inline uint8_t flow_quarters(uint64_t now_ns)
{
	return (uint8_t)(now_ns / (NS_PER_S / 4));
}

/**
 * flow_first_state() - State that a connection's first packet puts it in
 * @proto:	PROTO_*
 * @tcp_flags:	TCP only
 * @state:	the state
 *
 * Return: false if such a packet can not begin a connection (TCP SYN+ACK, RST, SYN+FIN...). A bare
 *         ACK begins one in ESTABLISHED, as with nf_conntrack_tcp_loose.
 */
bool flow_first_state(uint8_t proto, uint8_t tcp_flags, enum flow_state *state);

/**
 * flow_advance() - Move a flow's state by one packet and renew its timeout
 * @f:		flow
 * @reply:	direction of the packet
 * @tcp_flags:	TCP only
 * @now_ns:	time
 *
 * Return: false if the packet is invalid in this state: it must be dropped, the flow is unchanged.
 */
bool flow_advance(struct flow *f, bool reply, uint8_t tcp_flags, uint64_t now_ns);

/**
 * flow_reopens() - Whether a SYN starts the connection anew
 *
 * True in TIME_WAIT and, in the original direction, CLOSE, as nf_conntrack: the caller removes the
 * flow and begins a new one with the packet as its first.
 */
bool flow_reopens(const struct flow *f, bool reply, uint8_t tcp_flags);

/**
 * flow_timeout_s() - Timeout of a state, for tests and `get conntrack`
 * @proto:	PROTO_*
 * @state:	enum flow_state
 * @flags:	enum flow_flags (UDP: 30 s, 120 s once assured: a stream)
 */
uint32_t flow_timeout_s(uint8_t proto, enum flow_state state, uint8_t flags);

const char *flow_state_name(uint8_t proto, enum flow_state state);

#endif
