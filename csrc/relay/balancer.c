/* SPDX-License-Identifier: Apache-2.0 */
/* balancer.c - a shuffled list with a place in it; clients in a hash table that is made anew when
 * it is half full, or endpoints go: what need not be remembered is left out then.
 */
#include "balancer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S   UINT64_C(1000000000)
#define PLACES_MIN 16

void balancer_free(struct balancer *b)
{
	free(b->given);
	free(b->order);
	free(b->clients);
	*b = (struct balancer){0};
}

/* xorshift64* */
static uint32_t random_below(uint64_t *state, uint32_t below)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)(((*state * UINT64_C(0x2545f4914f6cdd1d)) >> 32) * below >> 32);
}

static void shuffle(struct target *targets, size_t count, uint64_t *random)
{
	for (size_t left = count; left > 1; left--) {
		size_t at = random_below(random, (uint32_t)left);
		struct target moved = targets[at];

		targets[at] = targets[left - 1];
		targets[left - 1] = moved;
	}
}

static bool same(const struct target *a, const struct target *b)
{
	return a->addr == b->addr && a->port == b->port;
}

/* The place of a client, or the free one where it belongs; the table has one. */
static struct affinity *place_of(struct affinity *table, size_t places, uint32_t client)
{
	uint32_t hash = client * UINT32_C(2654435769);
	size_t at = (hash ^ hash >> 16) & (places - 1);

	while (table[at].client && table[at].client != client)
		at = (at + 1) & (places - 1);
	return &table[at];
}

/* Whole seconds are compared, as kube-proxy compares them. */
static bool is_fresh(const struct balancer *b, const struct affinity *a, uint64_t now_ns)
{
	return (now_ns - a->used_ns) / NS_PER_S < b->affinity_s;
}

static bool has_target(const struct target *targets, size_t count, const struct target *target)
{
	for (size_t i = 0; i < count; i++)
		if (same(&targets[i], target))
			return true;
	return false;
}

static void forget_gone(struct balancer *b, const struct target *targets, size_t count)
{
	struct affinity *old = b->clients;
	struct affinity *new = old ? calloc(b->places, sizeof(*new)) : NULL;

	b->known = 0;
	b->clients = new; /* without memory everybody is forgotten */
	for (size_t i = 0; new && i < b->places; i++) {
		if (old[i].client && has_target(targets, count, &old[i].target)) {
			*place_of(new, b->places, old[i].client) = old[i];
			b->known++;
		}
	}
	free(old);
	if (!new)
		b->places = 0;
}

int balancer_set(struct balancer *b, const struct target *targets, size_t count,
		 uint32_t affinity_s, uint64_t *random)
{
	size_t bytes = count * sizeof(*targets);
	struct target *given, *order;

	b->affinity_s = affinity_s;
	if (count == b->count && (count == 0 || memcmp(b->given, targets, bytes) == 0))
		return 0;
	given = malloc(bytes ? bytes : 1);
	order = malloc(bytes ? bytes : 1);
	if (!given || !order) {
		free(given);
		free(order);
		return -ENOMEM;
	}
	memcpy(given, targets, bytes);
	memcpy(order, targets, bytes);
	shuffle(order, count, random);
	forget_gone(b, targets, count);
	free(b->given);
	free(b->order);
	b->given = given;
	b->order = order;
	b->count = count;
	b->next = 0;
	return 0;
}

/* Room for one more client: those that have no affinity any more go first. */
static bool make_room(struct balancer *b, uint64_t now_ns)
{
	struct affinity *new;
	size_t places, fresh = 0;

	if (2 * (b->known + 1) <= b->places)
		return true;
	for (size_t i = 0; i < b->places; i++)
		fresh += b->clients[i].client && is_fresh(b, &b->clients[i], now_ns);
	places = PLACES_MIN;
	while (places < 4 * (fresh + 1))
		places *= 2;
	new = calloc(places, sizeof(*new));
	if (!new)
		return false;
	for (size_t i = 0; i < b->places; i++)
		if (b->clients[i].client && is_fresh(b, &b->clients[i], now_ns))
			*place_of(new, places, b->clients[i].client) = b->clients[i];
	free(b->clients);
	b->clients = new;
	b->places = places;
	b->known = fresh;
	return true;
}

static void remember(struct balancer *b, uint32_t client, const struct target *target,
		     uint64_t now_ns)
{
	struct affinity *a;

	if (!make_room(b, now_ns)) /* without memory there is no affinity */
		return;
	a = place_of(b->clients, b->places, client);
	b->known += a->client == 0;
	*a = (struct affinity){client, *target, now_ns};
}

static struct affinity *find(const struct balancer *b, uint32_t client)
{
	struct affinity *a = b->places ? place_of(b->clients, b->places, client) : NULL;

	return a && a->client ? a : NULL;
}

const struct target *balancer_next(struct balancer *b, uint32_t client, uint64_t now_ns,
				   bool failed)
{
	struct affinity *a;
	const struct target *target;

	if (b->count == 0)
		return NULL;
	a = b->affinity_s && !failed ? find(b, client) : NULL;
	if (a && is_fresh(b, a, now_ns)) {
		a->used_ns = now_ns;
		return &a->target;
	}
	target = &b->order[b->next];
	b->next = (b->next + 1) % b->count;
	if (b->affinity_s)
		remember(b, client, target, now_ns);
	return target;
}
