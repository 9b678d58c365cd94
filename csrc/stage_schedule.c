/* SPDX-License-Identifier: Apache-2.0 */
/* stage_schedule.c - which endpoint of a set a new connection gets, by IPVS' schedulers (P-22).
 *
 * Source of the rules: Linux net/netfilter/ipvs/ip_vs_{rr,lc,sed,sh,dh,mh}.c. Endpoints that may be
 * chosen have weight 1 with kube-proxy, so that wrr is rr, wlc is lc and nq is sed; those of weight
 * 0, that only finish what they have, are in no set. A set is in the order of addresses.
 */
#include "stage.h"

enum {
	ACTIVE_COST = 256, /* ip_vs_dest_conn_overhead() */
	HASH_BITS = 8,     /* IP_VS_SH_TAB_BITS, IP_VS_DH_TAB_BITS */
};

static uint32_t entry_of(const struct packet *p)
{
	return service_entry(p->service->id, &p->key);
}

static const struct endpoint *random_one(const struct stage_ctx *ctx, const struct packet *p,
					 struct endpoint_set set)
{
	uint32_t random = (uint32_t)(random_next(&ctx->node->random) >> 32);

	return service_pick(p->service, set, random);
}

static uint32_t slot_at(const struct service *s, struct endpoint_set set, uint32_t place)
{
	return service_set_endpoint(s, set, place)->slot;
}

/* Behind the last one chosen; if that has left, what is now in its place. */
static uint32_t next_place(const struct service *s, struct endpoint_set set,
			   const struct turn *turn)
{
	if (turn->place < set.count && slot_at(s, set, turn->place) == turn->slot)
		return turn->place + 1;
	for (uint32_t i = 0; i < set.count; i++)
		if (slot_at(s, set, i) == turn->slot)
			return i + 1;
	return turn->place;
}

static const struct endpoint *round_robin(const struct stage_ctx *ctx, const struct packet *p,
					  struct endpoint_set set)
{
	struct turn *turn = load_table_turn(ctx->node->load, entry_of(p));
	uint32_t place = next_place(p->service, set, turn);

	if (place >= set.count)
		place = 0;
	turn->place = place;
	turn->slot = slot_at(p->service, set, place);
	return service_set_endpoint(p->service, set, place);
}

static struct load load_of(const struct stage_ctx *ctx, uint32_t entry, const struct endpoint *e)
{
	const struct load_key key = {entry, e->slot, e->generation};

	return load_table_find(ctx->node->load, &key);
}

/* The first of those that cost least; inactive connections count for @inactive_cost. */
static const struct endpoint *cheapest(const struct stage_ctx *ctx, const struct packet *p,
				       struct endpoint_set set, uint64_t inactive_cost)
{
	const struct endpoint *best = NULL;
	uint64_t least = UINT64_MAX;
	uint32_t entry = entry_of(p);

	for (uint32_t i = 0; i < set.count; i++) {
		const struct endpoint *e = service_set_endpoint(p->service, set, i);
		struct load l = load_of(ctx, entry, e);
		uint64_t cost = (uint64_t)l.active * ACTIVE_COST + l.inactive * inactive_cost;

		if (cost < least) {
			least = cost;
			best = e;
		}
	}
	return best;
}

static const struct endpoint *least_connections(const struct stage_ctx *ctx, const struct packet *p,
						struct endpoint_set set)
{
	return cheapest(ctx, p, set, 1);
}

static const struct endpoint *shortest_delay(const struct stage_ctx *ctx, const struct packet *p,
					     struct endpoint_set set)
{
	return cheapest(ctx, p, set, 0);
}

/* Buckets are dealt out to the endpoints in turn. */
static const struct endpoint *by_bucket(const struct packet *p, struct endpoint_set set,
					struct addr addr)
{
	uint32_t number = from_be32(addr_to_v4(addr));
	uint32_t bucket = (number * UINT32_C(0x61c88647)) >> (32 - HASH_BITS); /* hash_32() */

	return service_set_endpoint(p->service, set, bucket % set.count);
}

static const struct endpoint *source_hash(const struct stage_ctx *ctx, const struct packet *p,
					  struct endpoint_set set)
{
	(void)ctx;
	return by_bucket(p, set, p->key.src);
}

static const struct endpoint *destination_hash(const struct stage_ctx *ctx, const struct packet *p,
					       struct endpoint_set set)
{
	(void)ctx;
	return by_bucket(p, set, p->key.dst);
}

/* What Maglev's table promises, without the table: a source goes to one endpoint, and of those that
 * come or go only as many sources move as must (highest random weight).
 */
static const struct endpoint *consistent_hash(const struct stage_ctx *ctx, const struct packet *p,
					      struct endpoint_set set)
{
	uint64_t source = mix64(p->key.src.w[0] ^ mix64(p->key.src.w[1]));
	const struct endpoint *best = NULL;
	uint64_t highest = 0;

	(void)ctx;
	for (uint32_t i = 0; i < set.count; i++) {
		const struct endpoint *e = service_set_endpoint(p->service, set, i);
		uint64_t weight =
		    mix64(source ^ mix64(e->addr.w[0] ^ mix64(e->addr.w[1] + e->port)));

		if (!best || weight > highest) {
			highest = weight;
			best = e;
		}
	}
	return best;
}

typedef const struct endpoint *schedule_fn(const struct stage_ctx *ctx, const struct packet *p,
					   struct endpoint_set set);

static schedule_fn *const schedulers[SCHEDULE_COUNT] = {
    [SCHEDULE_RANDOM] = random_one,
    [SCHEDULE_ROUND_ROBIN] = round_robin,
    [SCHEDULE_LEAST_CONNECTIONS] = least_connections,
    [SCHEDULE_SHORTEST_DELAY] = shortest_delay,
    [SCHEDULE_SOURCE_HASH] = source_hash,
    [SCHEDULE_DESTINATION_HASH] = destination_hash,
    [SCHEDULE_CONSISTENT_HASH] = consistent_hash,
};

const struct endpoint *stage_schedule(const struct stage_ctx *ctx, const struct packet *p,
				      struct endpoint_set set)
{
	return schedulers[ctx->node->config.proxy.scheduler](ctx, p, set);
}
