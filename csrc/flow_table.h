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

#include "flow_arena.h"
#include "flow_index.h"
#include "wire.h"

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

enum {
	FLOW_COMMIT = 0xf1, /* flow.commit of a whole record */
	FLOWS_PER_CHUNK = (FLOW_CHUNK_BYTES - FLOW_CHUNK_HEADER) / sizeof(struct flow),
};

/* Who is told of flows that are forgotten, while they are whole, and may say that one is over
 * before its time. Without functions: nobody.
 */
struct flow_keeper {
	void (*forgets)(const struct flow *f, void *context);
	bool (*is_over)(const struct flow *f, uint64_t now_ns, void *context);
	void *context;
};

/* flow_table.c's own; here so that finds can be inlined. */
struct flow_table {
	struct flow_index index;
	struct flow **chunks;
	uint32_t chunk_count;
	uint32_t records; /* that have ever been taken, from the start of the first chunk */
	uint32_t free;    /* number of a free record, plus one; 0: none */
	uint32_t count;
	uint32_t max;
	uint32_t cursor;    /* of flow_table_expire() */
	uint64_t barren_ns; /* when a full table was searched for an expired flow in vain */
	struct flow_arena *arena;
	uint64_t owner;
	uint64_t seed;
	struct flow_keeper keeper;
};

/* A name in the index: a record's number and the direction. */
static inline struct flow *flow_at(const struct flow_table *t, uint32_t record)
{
	return &t->chunks[record / FLOWS_PER_CHUNK][record % FLOWS_PER_CHUNK];
}

static inline struct flow *flow_named(const struct flow_table *t, uint32_t name)
{
	return flow_at(t, (name >> 1) - 1);
}

static inline const struct flow_key *flow_named_key(const struct flow *f, bool reply)
{
	return (const struct flow_key *)(const void *)((const char *)f +
						       reply * offsetof(struct flow, reply));
}

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
 * flow_table_keep() - Give a table its keeper, copied, who has both functions
 */
static inline void flow_table_keep(struct flow_table *t, const struct flow_keeper *keeper)
{
	t->keeper = *keeper;
}

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

/* A find in three steps, so that a batch waits for memory once per step and not twice per packet:
 * flow_table_prefetch_index() for all, flow_table_guess() for all, then flow_table_confirm() or, if
 * it fails, flow_table_find().
 */
struct flow_guess {
	struct flow *flow; /* NULL: unknown */
	bool reply;
};

PREFETCHING void flow_table_prefetch_index(const struct flow_table *t, uint32_t hash)
{
	__builtin_prefetch(flow_index_bucket(&t->index, hash));
}

/* All of a record, which begins anywhere in a cache line. */
PREFETCHING void flow_prefetch(const struct flow *f)
{
	__builtin_prefetch(f);
	__builtin_prefetch((const char *)f + CACHE_LINE);
	__builtin_prefetch((const char *)f + sizeof(*f) - 1);
}

/**
 * flow_table_guess() - The first flow whose key may have this hash, on its way into the cache
 * @t:		table
 * @hash:	flow_key_hash(key, seed)
 */
static inline struct flow_guess flow_table_guess(const struct flow_table *t, uint32_t hash)
{
	struct flow_index_cursor c = flow_index_search(&t->index, hash);
	uint32_t name = flow_index_next(&t->index, &c);
	struct flow_guess g = {0};

	if (LIKELY(name != 0)) {
		g.flow = flow_named(t, name);
		g.reply = name & 1;
		flow_prefetch(g.flow);
	}
	return g;
}

/**
 * flow_table_confirm() - Whether a guess was right, and the flow is alive
 *
 * Flows may have been removed since the guess, not inserted. If not, flow_table_find() knows.
 */
static inline bool flow_table_confirm(const struct flow *f, bool reply, const struct flow_key *key,
				      uint64_t now_ns)
{
	return flow_key_equal(flow_named_key(f, reply), key) && f->commit == FLOW_COMMIT &&
	       f->expires_ns > now_ns;
}

/* The two keys of a flow to be and their hashes. */
struct flow_pair {
	struct flow_key original; /* as the first packet arrived */
	struct flow_key reply;    /* as answers will arrive */
	uint32_t original_hash;   /* flow_key_hash(key, seed) */
	uint32_t reply_hash;
};

static inline struct flow_pair
flow_pair(const struct flow_table *t, const struct flow_key *original, const struct flow_key *reply)
{
	return (struct flow_pair){.original = *original,
				  .reply = *reply,
				  .original_hash = flow_key_hash(original, t->seed),
				  .reply_hash = flow_key_hash(reply, t->seed)};
}

/**
 * flow_table_prefetch_insert() - Begin an insertion early; optional
 *
 * Of the answers' key: the other one has just been looked for.
 */
PREFETCHING void flow_table_prefetch_insert(const struct flow_table *t,
					    const struct flow_pair *pair)
{
	flow_table_prefetch_index(t, pair->reply_hash);
}

/**
 * flow_table_reclaim() - Look for an expired flow in a full table and forget it
 *
 * In vain only once in a moment: a flood that is refused must not slow down what is established.
 */
bool flow_table_reclaim(struct flow_table *t, uint64_t now_ns);

/**
 * flow_table_has_room() - Whether one more flow would be remembered now
 */
static inline bool flow_table_has_room(struct flow_table *t, uint64_t now_ns)
{
	return LIKELY(t->count < t->max) || flow_table_reclaim(t, now_ns);
}

/**
 * flow_table_insert() - Remember a flow
 * @t:		table
 * @pair:	its keys
 * @state:	first state; its timeout counts from @now_ns
 * @now_ns:	time
 * @out:	the flow, on success: slot FLOW_NO_SLOT, flags 0
 *
 * Return: 0, -EEXIST if either key is in use by a live flow, -ENOSPC if the table is full.
 */
int flow_table_insert(struct flow_table *t, const struct flow_pair *pair, enum flow_state state,
		      uint64_t now_ns, struct flow **out);

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

/**
 * flow_table_walk_part() - The same for up to @budget records from number @from on
 *
 * Return: where the next part begins, 0 after the last.
 */
uint32_t flow_table_walk_part(struct flow_table *t, uint64_t now_ns, uint32_t from, uint32_t budget,
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

/* The timeouts of connections that go on as they did. */
enum {
	FLOW_TCP_ESTABLISHED_S = 86400, /* kube-proxy; the kernel alone: 5 days */
	FLOW_UDP_S = 30,
	FLOW_UDP_STREAM_S = 120,
};

/**
 * flow_goes_on() - flow_advance() for a packet that changes nothing but the time
 *
 * An ACK of an assured TCP connection, a datagram of an assured stream or of one that nobody has
 * answered. Return: false, and nothing is done, for all others.
 */
static inline bool flow_goes_on(struct flow *f, bool reply, uint8_t tcp_flags, uint64_t now_ns)
{
	uint8_t assured = f->flags & FLOW_ASSURED;

	if (f->original.proto == PROTO_UDP) {
		if (UNLIKELY(!assured && (reply || f->flags & FLOW_SEEN_REPLY)))
			return false;
		f->expires_ns = now_ns + (assured ? FLOW_UDP_STREAM_S : FLOW_UDP_S) * NS_PER_S;
		return true;
	}
	if (UNLIKELY((tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG)) != TCP_ACK ||
		     !assured || f->state != FLOW_ESTABLISHED || f->original.proto != PROTO_TCP))
		return false;
	f->expires_ns = now_ns + FLOW_TCP_ESTABLISHED_S * NS_PER_S;
	return true;
}

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
