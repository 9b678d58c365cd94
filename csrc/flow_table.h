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
 */
#ifndef NETSIM_FLOW_TABLE_H
#define NETSIM_FLOW_TABLE_H

#include "flow_arena.h"
#include "flow_index.h"
#include "flow_state.h"

/* A record's number: its chunk's, and its place there. The chunk's header takes the place of record
 * 0, so that no number is 0, and a number is found without a division.
 */
enum {
	RECORD_BITS = FLOW_NAME_BITS - 1, /* a name is a number and the direction */
	RECORD_PLACE_BITS = 10,
	RECORD_PLACES = 1 << RECORD_PLACE_BITS,
	FLOW_CHUNKS_MAX = 1 << (RECORD_BITS - RECORD_PLACE_BITS),
	FLOWS_PER_CHUNK = RECORD_PLACES - 1,
	FLOWS_MAX = FLOW_CHUNKS_MAX * FLOWS_PER_CHUNK,
};

static_assert(sizeof(struct flow) == FLOW_CHUNK_HEADER, "the header takes a record's place");
static_assert(sizeof(struct flow) * RECORD_PLACES == FLOW_CHUNK_BYTES, "records fill a chunk");

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
	struct flow **chunks; /* where their headers are */
	uint32_t chunk_count;
	uint32_t end;  /* above the numbers of all records that have ever been taken */
	uint32_t free; /* number of a free record; 0: none */
	uint32_t count;
	uint32_t max;
	uint32_t cursor;    /* of flow_table_expire() */
	uint64_t barren_ns; /* when a full table was searched for an expired flow in vain */
	struct flow_arena *arena;
	uint64_t owner;
	uint64_t seed;
	struct flow_keeper keeper;
	struct flow_index_names names;
};

/* A name in the index: a record's number and the direction. */
static inline struct flow *flow_at(const struct flow_table *t, uint32_t record)
{
	return &t->chunks[record >> RECORD_PLACE_BITS][record & (RECORD_PLACES - 1)];
}

static inline struct flow *flow_named(const struct flow_table *t, uint32_t name)
{
	return flow_at(t, name >> 1);
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
 * Flows may have been removed since the guess, not inserted; a removed one has expired. If not,
 * flow_table_find() knows.
 */
static inline bool flow_table_confirm(const struct flow *f, bool reply, const struct flow_key *key,
				      uint64_t now_ns)
{
	return flow_key_equal(flow_named_key(f, reply), key) && f->expires_ns > now_ns;
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

#endif
