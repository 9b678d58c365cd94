/* SPDX-License-Identifier: Apache-2.0 */
/* flow_table.c - flows of one node: records in the arena, names of their keys in a private index.
 *
 * Theory: records are numbered in the order of the owner's chunks. Each of a flow's two keys is in
 * the index, under a name made of the record's number and the direction; a flow whose two keys are
 * equal is in it once. No two flows in the index share a key: an expired one is forgotten when a
 * new one wants its key.
 *
 * A record is valid if its commit word is FLOW_COMMIT. That is written after everything else and
 * cleared before anything else, so that a process may die between any two instructions: what the
 * next one finds is a whole flow or none. A free record holds the number of the next one.
 */
#include "flow_table.h"

#include <errno.h>
#include <stdlib.h>

#include "flow_arena.h"
#include "flow_index.h"

enum {
	RECLAIM_BUDGET = 32, /* records to look at for an expired one when the table is full */
};
static_assert(FLOW_ARENA_VERSION == 3 && sizeof(struct flow) == 104, "a new layout: a new version");
static_assert(FLOW_CHUNKS_MAX * RECORD_PLACES - 1 == FLOW_NAME_MAX / 2, "names of all records");

static inline uint32_t name_of(uint32_t record, bool reply)
{
	return record << 1 | reply;
}

static uint32_t name_hash(const void *context, uint32_t name)
{
	const struct flow_table *t = context;

	return flow_key_hash(flow_named_key(flow_named(t, name), name & 1), t->seed);
}

static void names_prefetch(const void *context, uint32_t name)
{
	const struct flow_key *key = flow_named_key(flow_named(context, name), name & 1);

	__builtin_prefetch(key);
	__builtin_prefetch((const char *)(key + 1) - 1);
}

static uint32_t chunks_max(size_t flows)
{
	return (uint32_t)((flows + FLOWS_PER_CHUNK - 1) / FLOWS_PER_CHUNK);
}

int flow_table_new(struct flow_table **out, struct flow_arena *arena, uint64_t owner, size_t max,
		   uint64_t seed)
{
	struct flow_table *t;

	if (max == 0 || max > (size_t)FLOWS_MAX)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->max = (uint32_t)max;
	t->arena = arena;
	t->owner = owner;
	t->seed = seed;
	t->barren_ns = UINT64_MAX;
	t->names = (struct flow_index_names){name_hash, names_prefetch, t};
	t->chunks = calloc(chunks_max(max), sizeof(struct flow *));
	if (!t->chunks || flow_index_init(&t->index, 2 * max)) {
		free(t->chunks);
		free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

void flow_table_free(struct flow_table *t)
{
	if (!t)
		return;
	flow_index_fini(&t->index);
	free(t->chunks);
	free(t);
}

/* The name of a key, expired or not; 0 if there is none. */
static inline uint32_t name_find(const struct flow_table *t, const struct flow_key *key,
				 uint32_t hash)
{
	struct flow_index_cursor c = flow_index_search(&t->index, hash);
	uint32_t name;

	do
		name = flow_index_next(&t->index, &c);
	while (name && !flow_key_equal(flow_named_key(flow_named(t, name), name & 1), key));
	return name;
}

struct flow *flow_table_find(struct flow_table *t, const struct flow_key *key, uint32_t hash,
			     uint64_t now_ns, bool *reply)
{
	uint32_t name = name_find(t, key, hash);
	struct flow *f;

	if (!name)
		return NULL;
	*reply = name & 1;
	f = flow_named(t, name);
	return f->expires_ns > now_ns ? f : NULL;
}

static void commit_set(struct flow *f, uint8_t word)
{
	__atomic_store_n(&f->commit, word, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* nothing below moves up */
}

static void record_give(struct flow_table *t, uint32_t record)
{
	struct flow *f = flow_at(t, record);

	commit_set(f, 0);
	f->expires_ns = 0; /* for flow_table_confirm() */
	f->service = t->free;
	t->free = record;
}

/* Makes the records of a chunk's memory the table's; returns the number of its header's place. */
static uint32_t chunk_add(struct flow_table *t, struct flow *memory)
{
	t->chunks[t->chunk_count] = memory - 1;
	return t->chunk_count++ << RECORD_PLACE_BITS;
}

/* A free record's number; 0 if there is none. */
static uint32_t record_take(struct flow_table *t)
{
	uint32_t n = t->free;

	if (n) {
		t->free = flow_at(t, n)->service;
		return n;
	}
	if (t->end == t->chunk_count << RECORD_PLACE_BITS) {
		struct flow *memory = flow_arena_chunk_new(t->arena, t->owner);

		if (!memory)
			return 0;
		t->end = chunk_add(t, memory) + 1;
	}
	return t->end++;
}

static inline int record_index(struct flow_table *t, uint32_t record, const struct flow_pair *pair)
{
	int err = flow_index_add(&t->index, pair->original_hash, name_of(record, false), &t->names);

	if (err || flow_key_equal(&pair->original, &pair->reply))
		return err;
	err = flow_index_add(&t->index, pair->reply_hash, name_of(record, true), &t->names);
	if (err)
		flow_index_remove(&t->index, pair->original_hash, name_of(record, false));
	return err;
}

static void record_forget(struct flow_table *t, uint32_t record)
{
	const struct flow *f = flow_at(t, record);

	if (UNLIKELY(t->keeper.forgets != NULL))
		t->keeper.forgets(f, t->keeper.context);
	flow_index_remove(&t->index, flow_key_hash(&f->original, t->seed), name_of(record, false));
	if (!flow_key_equal(&f->original, &f->reply))
		flow_index_remove(&t->index, flow_key_hash(&f->reply, t->seed),
				  name_of(record, true));
	record_give(t, record);
	t->count--;
}

/* Whether a live flow has the key; an expired one is forgotten. */
static bool key_in_use(struct flow_table *t, const struct flow_key *key, uint32_t hash,
		       uint64_t now_ns)
{
	uint32_t name = name_find(t, key, hash);

	if (LIKELY(!name))
		return false;
	if (flow_named(t, name)->expires_ns > now_ns)
		return true;
	record_forget(t, name >> 1);
	return false;
}

static bool pair_in_use(struct flow_table *t, const struct flow_pair *pair, uint64_t now_ns)
{
	return key_in_use(t, &pair->original, pair->original_hash, now_ns) ||
	       key_in_use(t, &pair->reply, pair->reply_hash, now_ns);
}

bool flow_table_reclaim(struct flow_table *t, uint64_t now_ns)
{
	if (t->barren_ns == now_ns)
		return false;
	if (flow_table_expire(t, now_ns, RECLAIM_BUDGET))
		return true;
	t->barren_ns = now_ns;
	return false;
}

/* Field by field: a whole struct would be zeroed by a slow instruction first. */
static void record_write(struct flow *f, const struct flow_pair *pair, enum flow_state state,
			 uint64_t now_ns)
{
	f->original = pair->original;
	f->expires_ns = now_ns + flow_timeout_s(pair->original.proto, state, 0) * NS_PER_S;
	f->service = 0;
	f->endpoint_slot = (uint32_t)FLOW_NO_SLOT;
	f->endpoint_generation = 0;
	f->commit = 0;
	f->born = flow_quarters(now_ns);
	f->state = (uint8_t)state;
	f->flags = 0;
	f->reply = pair->reply;
}

int flow_table_insert(struct flow_table *t, const struct flow_pair *pair, enum flow_state state,
		      uint64_t now_ns, struct flow **out)
{
	uint32_t record;
	struct flow *f;
	int err;

	if (pair_in_use(t, pair, now_ns))
		return -EEXIST;
	if (!flow_table_has_room(t, now_ns))
		return -ENOSPC;
	record = record_take(t);
	if (!record)
		return -ENOSPC;
	f = flow_at(t, record);
	record_write(f, pair, state, now_ns);
	err = record_index(t, record, pair);
	if (err) {
		record_give(t, record);
		return err;
	}
	t->count++;
	commit_set(f, FLOW_COMMIT);
	*out = f;
	return 0;
}

void flow_table_remove(struct flow_table *t, struct flow *f)
{
	uint32_t name = name_find(t, &f->original, flow_key_hash(&f->original, t->seed));

	record_forget(t, name >> 1);
}

static inline bool is_over(const struct flow_table *t, const struct flow *f, uint64_t now_ns)
{
	if (f->commit != FLOW_COMMIT)
		return false;
	return f->expires_ns <= now_ns || (UNLIKELY(t->keeper.is_over != NULL) &&
					   t->keeper.is_over(f, now_ns, t->keeper.context));
}

/* Whether a number is a record's, and not that of a chunk's header. */
static inline bool is_record(uint32_t number)
{
	return (number & (RECORD_PLACES - 1)) != 0;
}

size_t flow_table_expire(struct flow_table *t, uint64_t now_ns, size_t budget)
{
	size_t forgotten = 0;

	if (budget > t->end)
		budget = t->end;
	for (; budget; budget--) {
		if (++t->cursor >= t->end)
			t->cursor = 0;
		if (!is_record(t->cursor) || !is_over(t, flow_at(t, t->cursor), now_ns))
			continue;
		record_forget(t, t->cursor);
		forgotten++;
	}
	return forgotten;
}

uint32_t flow_table_walk_part(struct flow_table *t, uint64_t now_ns, uint32_t from, uint32_t budget,
			      bool (*visit)(struct flow *f, void *context), void *context)
{
	for (uint32_t i = from; i < t->end; i++) {
		struct flow *f = flow_at(t, i);

		if (i - from == budget)
			return i;
		if (is_record(i) && f->commit == FLOW_COMMIT && f->expires_ns > now_ns &&
		    !visit(f, context))
			return 0;
	}
	return 0;
}

void flow_table_walk(struct flow_table *t, uint64_t now_ns,
		     bool (*visit)(struct flow *f, void *context), void *context)
{
	flow_table_walk_part(t, now_ns, 0, t->end, visit, context);
}

/* Whether the last process left a whole flow here that can be taken over. */
static bool flow_adoptable(const struct flow *f, uint64_t now_ns)
{
	static const uint8_t zero[sizeof(f->original.pad)];

	return f->commit == FLOW_COMMIT && f->expires_ns > now_ns && f->state < FLOW_STATE_COUNT &&
	       f->original.proto == f->reply.proto &&
	       memcmp(f->original.pad, zero, sizeof(zero)) == 0 &&
	       memcmp(f->reply.pad, zero, sizeof(zero)) == 0;
}

static void chunk_adopt(struct flow_table *t, struct flow *memory, uint64_t now_ns)
{
	uint32_t header = chunk_add(t, memory);

	t->end = header + RECORD_PLACES;
	for (uint32_t i = RECORD_PLACES - 1; i > 0; i--) {
		const struct flow *f = flow_at(t, header + i);
		struct flow_pair pair = flow_pair(t, &f->original, &f->reply);

		if (flow_adoptable(f, now_ns) && t->count < t->max &&
		    !pair_in_use(t, &pair, now_ns) && record_index(t, header + i, &pair) == 0)
			t->count++;
		else
			record_give(t, header + i);
	}
}

size_t flow_table_adopt(struct flow_table *t, uint64_t now_ns)
{
	void *memory = NULL;

	if (t->end)
		return 0; /* not empty: its own records are among the owner's */
	while (t->chunk_count < chunks_max(t->max)) {
		memory = flow_arena_chunk_next(t->arena, t->owner, memory);
		if (!memory)
			break;
		chunk_adopt(t, memory, now_ns);
	}
	return t->count;
}

size_t flow_table_count(const struct flow_table *t)
{
	return t->count;
}

size_t flow_table_bytes(const struct flow_table *t)
{
	return sizeof(*t) + chunks_max(t->max) * sizeof(struct flow *) +
	       t->chunk_count * (size_t)FLOW_CHUNK_BYTES + flow_index_bytes(&t->index);
}
