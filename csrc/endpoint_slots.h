/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint_slots.h - numbered places for endpoints, each with a generation. Part of service_table.
 *
 * Rank 1. One writer; endpoint_slot_alive() from any thread. Generations lie in address space that
 * is reserved once, so that they never move. A generation is odd while its slot is taken and even
 * while it is free.
 */
#ifndef NETSIM_ENDPOINT_SLOTS_H
#define NETSIM_ENDPOINT_SLOTS_H

#include <stdatomic.h>

#include "base.h"

enum { ENDPOINT_SLOTS_MAX = 1 << 24 }; /* 64 MiB of address space, touched as it is used */

struct endpoint_slots {
	_Atomic uint32_t *generations;
	uint32_t used; /* slots that have ever been taken */
	uint32_t *free;
	size_t free_count;
	size_t free_room;
	size_t leaving; /* slots that are about to be given, from the end of free */
};

/* Return: 0, -ENOMEM. */
int endpoint_slots_init(struct endpoint_slots *s);
void endpoint_slots_fini(struct endpoint_slots *s);

/* Makes sure that @count slots can be taken and everything given back. Return: 0, -ENOMEM. */
int endpoint_slots_reserve(struct endpoint_slots *s, size_t count);

/* Takes a slot that was reserved, in a new generation. */
uint32_t endpoint_slot_take(struct endpoint_slots *s, uint32_t *generation);

/* Two steps for what readers can still find: a slot leaves, and what has left is given together. */
void endpoint_slot_leave(struct endpoint_slots *s, uint32_t slot);
void endpoint_slots_give(struct endpoint_slots *s);

size_t endpoint_slots_bytes(const struct endpoint_slots *s);

/* Whether the endpoint is still there; never one of a slot beyond all. */
static inline bool endpoint_slot_alive(const struct endpoint_slots *s, uint32_t slot,
				       uint32_t generation)
{
	if (slot >= ENDPOINT_SLOTS_MAX)
		return false;
	if (LIKELY(atomic_load_explicit(&s->generations[slot], memory_order_relaxed) == generation))
		return true;
	/* who looks for another one must see what took its place */
	return atomic_load_explicit(&s->generations[slot], memory_order_acquire) == generation;
}

#endif
