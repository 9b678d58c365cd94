/* SPDX-License-Identifier: Apache-2.0 */
/* flow_arena.h - memory for flows that outlives the data plane process. Rank 1.
 *
 * A file descriptor (memfd, kept by the lab's init) mapped in chunks. Each chunk belongs to one
 * owner (a node's stable uid) and holds fixed-size records. After `kill -9` a new data plane maps
 * the same descriptor and adopts the records whose commit word is valid; indexes are private
 * memory and are rebuilt. With fd -1 the arena is anonymous memory (tests).
 */
#ifndef NETSIM_FLOW_ARENA_H
#define NETSIM_FLOW_ARENA_H

#include "base.h"

enum {
	FLOW_CHUNK_BYTES = 104 * 1024, /* 1,024 flows, of which the first makes room for: */
	FLOW_CHUNK_HEADER = 104,
	FLOW_ARENA_VERSION = 3, /* of the layout of chunks and of struct flow */
};

struct flow_arena;

/**
 * flow_arena_open() - Map an arena; chunks already in it are kept
 * @out:	the arena, on success
 * @fd:		memfd, duplicated; -1 for anonymous memory
 * @max_bytes:	upper bound of the arena, reserved as address space only; at least a chunk
 *
 * Return: 0, -EINVAL if the file was written by another version or @max_bytes is too small,
 *         -ENOMEM, or mmap's error.
 */
int flow_arena_open(struct flow_arena **out, int fd, size_t max_bytes);
void flow_arena_close(struct flow_arena *a);

/**
 * flow_arena_chunk_new() - Give a zeroed chunk to an owner (any worker)
 * @a:		arena
 * @owner:	nonzero uid of the node
 *
 * Return: the chunk's usable memory (FLOW_CHUNK_BYTES minus the header), NULL if the arena
 *         is full.
 */
void *flow_arena_chunk_new(struct flow_arena *a, uint64_t owner);

/**
 * flow_arena_chunk_next() - Walk an owner's chunks, for adoption
 * @a:		arena
 * @owner:	uid
 * @after:	result of the last call, NULL to start
 */
void *flow_arena_chunk_next(struct flow_arena *a, uint64_t owner, const void *after);

/**
 * flow_arena_release() - Take every chunk from an owner that is gone; they are reused
 */
void flow_arena_release(struct flow_arena *a, uint64_t owner);

#endif
