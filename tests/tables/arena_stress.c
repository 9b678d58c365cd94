/* SPDX-License-Identifier: Apache-2.0 */
/* arena_stress.c - several workers take chunks of one arena at once while others' are released.
 *
 * Run under ThreadSanitizer by test_publish.py. Every worker has owners of its own; every chunk
 * must come zeroed and belong to nobody else for as long as it is not released.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "flow_arena.h"

enum {
	WORKERS = 4,
	ROUNDS = 200,
	CHUNKS = 6,
	WORDS = (FLOW_CHUNK_BYTES - FLOW_CHUNK_HEADER) / sizeof(uint64_t),
	STRIDE = 509, /* words between those that are looked at */
};

static struct flow_arena *arena;

static void fail(const char *what)
{
	(void)fprintf(stderr, "arena_stress: %s\n", what);
	abort();
}

static void chunk_fill(uint64_t *chunk, uint64_t expected, uint64_t value)
{
	for (size_t i = 0; i < WORDS; i += STRIDE) {
		if (chunk[i] != expected)
			fail(expected ? "a chunk has two owners" : "a chunk is not zeroed");
		chunk[i] = value;
	}
}

static void *worker(void *arg)
{
	uint64_t first = *(const uint64_t *)arg * ROUNDS + 1;

	for (uint64_t owner = first; owner < first + ROUNDS; owner++) {
		uint64_t *mine[CHUNKS];
		unsigned found = 0;

		for (unsigned i = 0; i < CHUNKS; i++) {
			mine[i] = flow_arena_chunk_new(arena, owner);
			if (!mine[i])
				fail("the arena is full before its time");
			chunk_fill(mine[i], 0, owner);
		}
		for (unsigned i = 0; i < CHUNKS; i++)
			chunk_fill(mine[i], owner, owner);
		for (void *c = NULL; (c = flow_arena_chunk_next(arena, owner, c));)
			found++;
		if (found != CHUNKS)
			fail("an owner's chunks are not found again");
		flow_arena_release(arena, owner);
	}
	return NULL;
}

static void run(int fd)
{
	pthread_t threads[WORKERS];
	uint64_t number[WORKERS];

	/* room for what is in use at once, and for chunks just passed over as they were released */
	if (flow_arena_open(&arena, fd, (size_t)FLOW_CHUNK_BYTES * CHUNKS * WORKERS * 2))
		fail("the arena does not open");
	for (unsigned i = 0; i < WORKERS; i++) {
		number[i] = i;
		if (pthread_create(&threads[i], NULL, worker, &number[i]))
			fail("no thread");
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	flow_arena_close(arena);
}

int main(void)
{
	run(-1);
	run(memfd_create("arena", 0));
	puts("changes over");
	return 0;
}
