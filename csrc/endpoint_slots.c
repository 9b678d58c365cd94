/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint_slots.c - numbered places for endpoints; free ones are used again, last given first. */
#include "endpoint_slots.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static const size_t generations_bytes = ENDPOINT_SLOTS_MAX * sizeof(uint32_t);

int endpoint_slots_init(struct endpoint_slots *s)
{
	void *p = mmap(NULL, generations_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(p, generations_bytes, MADV_NOHUGEPAGE);
	*s = (struct endpoint_slots){.generations = p};
	return 0;
}

void endpoint_slots_fini(struct endpoint_slots *s)
{
	munmap(s->generations, generations_bytes);
	free(s->free);
}

int endpoint_slots_reserve(struct endpoint_slots *s, size_t count)
{
	size_t wanted = s->used + count, room = s->free_room ? s->free_room : 64;
	uint32_t *p;

	if (wanted - s->free_count > ENDPOINT_SLOTS_MAX)
		return -ENOMEM;
	if (wanted <= s->free_room)
		return 0;
	while (room < wanted)
		room *= 2;
	p = realloc(s->free, room * sizeof(*p));
	if (!p)
		return -ENOMEM;
	memmove(&p[room - s->leaving], &p[s->free_room - s->leaving], s->leaving * sizeof(*p));
	s->free = p;
	s->free_room = room;
	return 0;
}

uint32_t endpoint_slot_take(struct endpoint_slots *s, uint32_t *generation)
{
	uint32_t slot = s->free_count ? s->free[--s->free_count] : s->used++;

	*generation = atomic_fetch_add_explicit(&s->generations[slot], 1, memory_order_release) + 1;
	return slot;
}

/* There is room: what leaves is neither free nor twice there. */
void endpoint_slot_leave(struct endpoint_slots *s, uint32_t slot)
{
	s->free[s->free_room - ++s->leaving] = slot;
}

void endpoint_slots_give(struct endpoint_slots *s)
{
	for (; s->leaving; s->leaving--) {
		uint32_t slot = s->free[s->free_room - s->leaving];

		atomic_fetch_add_explicit(&s->generations[slot], 1, memory_order_release);
		s->free[s->free_count++] = slot;
	}
}

size_t endpoint_slots_bytes(const struct endpoint_slots *s)
{
	return s->used * sizeof(s->generations[0]) + s->free_room * sizeof(s->free[0]);
}
