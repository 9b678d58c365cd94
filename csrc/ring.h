/* SPDX-License-Identifier: Apache-2.0 */
/* ring.h - bytes from one thread to another: one producer, one consumer, no lock. Rank 1.
 *
 * Records of any length up to a quarter of the ring, each contiguous. Used between workers (fabric)
 * and from a worker to a capture's writer. Neither side waits: a full ring refuses. The last store
 * of ring_commit() and the load of ring_empty() are sequentially consistent, so that "commit, then
 * look whether the consumer sleeps" and "say that I sleep, then look for records" can not miss
 * each other.
 */
#ifndef NETSIM_RING_H
#define NETSIM_RING_H

#include "base.h"

struct ring;

/**
 * ring_new() - Make an empty ring; memory is only used once written to
 * @out:	the ring, on success
 * @bytes:	a power of two, 4096 at least
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int ring_new(struct ring **out, size_t bytes);
void ring_free(struct ring *r);

/**
 * ring_reserve() - Room for one record (producer)
 * @len:	bytes, more than 0
 *
 * Return: 8-byte aligned memory to fill before ring_commit(), NULL when there is no room.
 */
void *ring_reserve(struct ring *r, size_t len);

/**
 * ring_commit() - Show the reserved record to the consumer (producer)
 */
void ring_commit(struct ring *r);

/**
 * ring_peek() - The oldest record (consumer)
 * @len:	set to its length
 *
 * Return: the record, valid until ring_release(); NULL when there is none.
 */
const void *ring_peek(struct ring *r, size_t *len);

/**
 * ring_release() - Give back the room of the record that ring_peek() returned (consumer)
 */
void ring_release(struct ring *r);

/**
 * ring_empty() - Whether there is nothing to peek at (consumer)
 */
bool ring_empty(struct ring *r);

#endif
