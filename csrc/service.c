/* SPDX-License-Identifier: Apache-2.0 */
/* service.c - services are made in one piece of memory: what they have many of lies behind them. */
#include "service.h"

#include <errno.h>
#include <stdlib.h>

enum { NO_SLOT = UINT32_MAX };

struct object {
	struct retired retired;
	struct service service;
};

/* How much of each array a spec needs. */
struct extent {
	size_t positions;
	size_t nodes;
	size_t bytes;
};

struct retired *service_retired(const struct service *s)
{
	return (struct retired *)((char *)s - offsetof(struct object, service));
}

static bool choice_is_sound(const struct service_spec *spec, const struct choice_spec *c)
{
	if (c->otherwise >= SET_FIRST + spec->set_count)
		return false;
	for (uint32_t i = 0; i < c->count; i++)
		if (c->nodes[i].set >= SET_FIRST + spec->set_count ||
		    (i > 0 && c->nodes[i].node <= c->nodes[i - 1].node))
			return false;
	return true;
}

static bool frontend_is_sound(const struct service_key *key, uint32_t flags)
{
	return key->port != 0 && !(flags & ~(uint32_t)FRONTEND_FLAGS);
}

/* The relay's among them. */
static size_t endpoint_count(const struct service_spec *spec)
{
	return (size_t)spec->count + (spec->relay_port ? 1 : 0);
}

static int measure(const struct service_spec *spec, struct extent *need)
{
	*need = (struct extent){.nodes = (size_t)spec->cluster.count + spec->local.count};
	if (!frontend_is_sound(&spec->key, spec->flags) || spec->range_count > UINT16_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < spec->frontend_count; i++)
		if (!frontend_is_sound(&spec->frontends[i].key, spec->frontends[i].flags))
			return -EINVAL;
	for (uint32_t i = 0; i < spec->set_count; i++) {
		const struct set_spec *set = &spec->sets[i];

		for (uint32_t n = 0; n < set->count; n++)
			if (set->positions[n] >= spec->count)
				return -EINVAL;
		need->positions += set->count;
	}
	if (!choice_is_sound(spec, &spec->cluster) || !choice_is_sound(spec, &spec->local) ||
	    need->positions >= SET_LISTED)
		return -EINVAL;
	need->bytes = sizeof(struct object) + endpoint_count(spec) * sizeof(struct endpoint) +
		      spec->range_count * sizeof(struct source_range) +
		      spec->frontend_count * sizeof(struct frontend) +
		      need->nodes * sizeof(struct node_set) + need->positions * sizeof(uint32_t);
	return need->bytes > UINT32_MAX ? -EINVAL : 0;
}

static bool in_a_row(const struct set_spec *set)
{
	for (uint32_t i = 1; i < set->count; i++)
		if (set->positions[i] != set->positions[0] + i)
			return false;
	return true;
}

/* The set with a number. Each of the spec's own is written to @order as often as it is asked for.
 */
static struct endpoint_set set_make(const struct service_spec *spec, uint32_t number)
{
	const struct set_spec *set;
	uint32_t first = 0;

	if (number == SET_ALL)
		return (struct endpoint_set){0, spec->count};
	if (number == SET_NONE)
		return (struct endpoint_set){0, 0};
	set = &spec->sets[number - SET_FIRST];
	if (set->count == 0)
		return (struct endpoint_set){0, 0};
	if (in_a_row(set))
		return (struct endpoint_set){set->positions[0], set->count};
	for (const struct set_spec *before = spec->sets; before < set; before++)
		first += before->count;
	return (struct endpoint_set){first | SET_LISTED, set->count};
}

static struct set_choice choice_make(const struct service_spec *spec, const struct choice_spec *c,
				     struct node_set *nodes, uint32_t first)
{
	for (uint32_t i = 0; i < c->count; i++)
		nodes[first + i] =
		    (struct node_set){c->nodes[i].node, set_make(spec, c->nodes[i].set)};
	return (struct set_choice){set_make(spec, c->otherwise), first, c->count};
}

static bool is_served(const struct service *s)
{
	if (s->cluster.otherwise.count || s->local.otherwise.count)
		return true;
	for (uint32_t i = 0; i < s->cluster.count + s->local.count; i++)
		if (s->node_sets[i].set.count)
			return true;
	return false;
}

static void endpoints_copy(struct service *s, const struct service_spec *spec)
{
	for (uint32_t i = 0; i < spec->count; i++)
		s->endpoints[i] = (struct endpoint){.addr = spec->endpoints[i].addr,
						    .port = spec->endpoints[i].port,
						    .slot = NO_SLOT};
	s->count = spec->count;
	s->relayed = spec->relay_port != 0;
	if (s->relayed)
		s->endpoints[s->count++] =
		    (struct endpoint){.port = spec->relay_port, .slot = NO_SLOT};
}

static void frontends_copy(struct service *s, struct frontend *to, const struct service_spec *spec)
{
	s->own = (struct frontend){
	    .key = spec->key, .flags = (spec->flags & FRONTEND_FLAGS) | FRONTEND_OWN, .service = s};
	for (uint32_t i = 0; i < spec->frontend_count; i++)
		to[i] =
		    (struct frontend){.key = spec->frontends[i].key,
				      .flags = spec->frontends[i].flags & ~(uint32_t)FRONTEND_OWN,
				      .service = s};
	s->frontends = to;
	s->frontend_count = spec->frontend_count;
}

static void sets_copy(struct service *s, struct node_set *nodes, uint32_t *order,
		      const struct service_spec *spec)
{
	uint32_t *to = order;

	s->cluster = choice_make(spec, &spec->cluster, nodes, 0);
	s->local = choice_make(spec, &spec->local, nodes, spec->cluster.count);
	for (uint32_t i = 0; i < spec->set_count; to += spec->sets[i++].count)
		if (spec->sets[i].count)
			memcpy(to, spec->sets[i].positions, spec->sets[i].count * sizeof(*to));
	s->node_sets = nodes;
	s->order = order;
	s->served = is_served(s);
}

int service_new(struct service **out, const struct service_spec *spec)
{
	struct extent need;
	struct source_range *ranges;
	struct frontend *frontends;
	struct node_set *nodes;
	struct object *o;
	struct service *s;
	int err = measure(spec, &need);

	if (err)
		return err;
	o = calloc(1, need.bytes);
	if (!o)
		return -ENOMEM;
	s = &o->service;
	ranges = (struct source_range *)(void *)&s->endpoints[endpoint_count(spec)];
	frontends = (struct frontend *)(void *)(ranges + spec->range_count);
	nodes = (struct node_set *)(void *)(frontends + spec->frontend_count);
	endpoints_copy(s, spec);
	if (spec->range_count)
		memcpy(ranges, spec->ranges, spec->range_count * sizeof(*ranges));
	s->ranges = ranges;
	s->range_count = (uint16_t)spec->range_count;
	s->id = spec->id;
	s->affinity_s = spec->affinity_s;
	s->revision = spec->revision;
	s->bytes = (uint32_t)need.bytes;
	frontends_copy(s, frontends, spec);
	sets_copy(s, nodes, (uint32_t *)(void *)(nodes + need.nodes), spec);
	*out = s;
	return 0;
}

struct endpoint_set service_set_listed(const struct service *s, const struct set_choice *c,
				       uint64_t node)
{
	const struct node_set *sets = &s->node_sets[c->first];
	uint32_t low = 0, high = c->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (sets[middle].node == node)
			return sets[middle].set;
		if (sets[middle].node < node)
			low = middle + 1;
		else
			high = middle;
	}
	return c->otherwise;
}

bool service_accepts(const struct service *s, struct addr from)
{
	for (uint32_t i = 0; i < s->range_count; i++)
		if (source_range_has(&s->ranges[i], from))
			return true;
	return false;
}
