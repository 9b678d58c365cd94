/* SPDX-License-Identifier: Apache-2.0 */
/* service.h - a service port: keys that lead to it, endpoints, and who may use which. Rank 1.
 *
 * An immutable object, the same for all nodes. Its *frontends* are the keys by which it is found:
 * its own (the cluster IP's), and those by which traffic comes from outside. A key with no address
 * is a node port: it stands for any address of a node. What depends on the node is an index: a
 * service has sets of endpoints, and a choice says which set a node uses; there is one choice for
 * each traffic policy. Where a program on the node relays connections (proxy_config.relays) no
 * policy is asked: the relay's port is the last of the endpoints, in no set, and without an
 * address.
 */
#ifndef NETSIM_SERVICE_H
#define NETSIM_SERVICE_H

#include "retired.h"
#include "wire.h"

struct service_key {
	struct addr addr;
	be16 port;
	uint8_t proto;
	uint8_t pad[5]; /* zero */
};
static_assert(sizeof(struct service_key) == 24, "service keys are compared as three words");

/* What a packet asks for: port and protocol follow each other in its key too. Made of words, which
 * is how it is hashed next (struct flow_words says why).
 */
static inline struct service_key service_key_of(const struct flow_key *k)
{
	const uint64_t words[] = {flow_key_word(k, 2), flow_key_word(k, 3),
				  flow_key_word(k, 4) >> 16};
	struct service_key out;

	static_assert(offsetof(struct flow_key, dst) == 16, "words 2 and 3");
	static_assert(offsetof(struct flow_key, dport) == 34 &&
			  offsetof(struct flow_key, proto) == 36,
		      "word 4 but its first 16 bits");
	memcpy(&out, words, sizeof(out));
	return out;
}

struct endpoint {
	struct addr addr;
	be16 port;
	uint32_t slot;
	uint32_t generation;
};

enum frontend_flags {
	FRONTEND_OWN = 1 << 0,      /* names the service: the cluster IP */
	FRONTEND_EXTERNAL = 1 << 1, /* a node port, external or load balancer's address */
	FRONTEND_LOCAL = 1 << 2,    /* traffic policy Local */
	FRONTEND_RANGES = 1 << 3,   /* only from the service's source ranges */
	FRONTEND_HOST = 1 << 4,     /* a host port: its address is a node's, not a service's */
	FRONTEND_FLAGS = (1 << 5) - 1,
};

struct service;

struct frontend {
	struct service_key key;
	uint32_t flags; /* enum frontend_flags */
	uint32_t pad;
	const struct service *service;
};

/* Some of a service's endpoints: @count of them from position @first on, or, with SET_LISTED, those
 * at the positions that begin at order[first].
 */
struct endpoint_set {
	uint32_t first;
	uint32_t count;
};

#define SET_LISTED (UINT32_C(1) << 31)

struct node_set {
	uint64_t node; /* node_config.number */
	struct endpoint_set set;
};

/* Which set a node uses: its own among @count (sorted) from node_sets[first] on, or the default. */
struct set_choice {
	struct endpoint_set otherwise;
	uint32_t first;
	uint32_t count;
};

struct source_range {
	struct addr prefix;
	struct addr mask;
};

static inline bool source_range_has(const struct source_range *r, struct addr a)
{
	return addr_equal(addr_and(a, r->mask), r->prefix);
}

struct service {
	struct frontend own;
	uint32_t id;         /* names the service port in affinity entries and decision records */
	uint32_t affinity_s; /* sessionAffinity ClientIP timeout; 0: none */
	struct set_choice cluster;
	struct set_choice local;
	uint64_t revision; /* that put this object in place */
	bool served;       /* some set has an endpoint */
	bool relayed;      /* the last endpoint is the relay's */
	uint16_t range_count;
	uint32_t frontend_count; /* beside its own */
	uint32_t count;
	uint32_t bytes;
	const struct frontend *frontends;
	const struct source_range *ranges;
	const struct node_set *node_sets;
	const uint32_t *order;
	struct endpoint endpoints[];
};

/**
 * service_entry() - A number for the address and port at which a service port is asked, not 0
 * @service:	service.id
 * @key:	of a packet that asks
 */
static inline uint32_t service_entry(uint32_t service, const struct flow_key *key)
{
	uint64_t x = mix64(key->dst.w[1] ^ ((uint64_t)service << 16 | key->dport));

	return (uint32_t)mix64(x ^ key->dst.w[0]) | 1;
}

/* What the control side hands over; copied. */
struct endpoint_spec {
	struct addr addr;
	be16 port;
};

struct frontend_spec {
	struct service_key key;
	uint32_t flags;
};

/* Sets by number: of all endpoints, of none, then the spec's own. */
enum { SET_ALL, SET_NONE, SET_FIRST };

struct set_spec {
	const uint32_t *positions; /* of endpoints; no two equal */
	uint32_t count;
};

struct node_spec {
	uint64_t node;
	uint32_t set;
};

struct choice_spec {
	uint32_t otherwise; /* number of a set */
	uint32_t count;
	const struct node_spec *nodes; /* by ascending node, no two equal */
};

struct service_spec {
	struct service_key key;
	uint32_t flags; /* of its own frontend */
	uint32_t id;
	uint32_t affinity_s;
	uint64_t revision;
	uint32_t count;
	uint32_t set_count;
	uint32_t frontend_count;
	uint32_t range_count;
	be16 relay_port;                       /* on nodes that relay; 0: not served there */
	const struct endpoint_spec *endpoints; /* no two equal */
	const struct set_spec *sets;
	const struct frontend_spec *frontends; /* beside its own */
	const struct source_range *ranges;
	struct choice_spec cluster;
	struct choice_spec local;
};

/**
 * service_new() - Make a service of a spec; its endpoints have no slots yet
 * @out:	the service, on success
 * @spec:	copied
 *
 * Return: 0, -EINVAL for a zero port or a position, set or node that can not be, -ENOMEM.
 */
int service_new(struct service **out, const struct service_spec *spec);

/**
 * service_retired() - The header of a service's memory, to retire or free it by
 */
struct retired *service_retired(const struct service *s);

struct endpoint_set service_set_listed(const struct service *s, const struct set_choice *c,
				       uint64_t node);

/**
 * service_set_of() - The endpoints that a node may send to
 * @s:		service
 * @c:		its choice for a traffic policy
 * @node:	the node's number
 */
static inline struct endpoint_set service_set_of(const struct service *s,
						 const struct set_choice *c, uint64_t node)
{
	return LIKELY(c->count == 0) ? c->otherwise : service_set_listed(s, c, node);
}

/**
 * service_set_endpoint() - The endpoint at a place of a set
 * @s:		service
 * @set:	of its endpoints
 * @at:		below set.count
 */
static inline const struct endpoint *service_set_endpoint(const struct service *s,
							  struct endpoint_set set, uint32_t at)
{
	uint32_t position = set.first + at;

	if (UNLIKELY(set.first & SET_LISTED))
		position = s->order[position & ~(uint32_t)SET_LISTED];
	return &s->endpoints[position];
}

/**
 * service_pick() - One endpoint of a set, each with probability 1/count
 * @s:		service
 * @set:	of its endpoints, not empty
 * @random:	uniform 32 bits
 */
static inline const struct endpoint *service_pick(const struct service *s, struct endpoint_set set,
						  uint32_t random)
{
	return service_set_endpoint(s, set, (uint32_t)(((uint64_t)random * set.count) >> 32));
}

/**
 * service_relay() - Where nodes that relay send: a port at an address of their own
 *
 * Return: NULL if they do not serve it.
 */
static inline const struct endpoint *service_relay(const struct service *s)
{
	return s->relayed ? &s->endpoints[s->count - 1] : NULL;
}

/**
 * service_accepts() - Whether the source ranges of a service have an address
 */
bool service_accepts(const struct service *s, struct addr from);

/**
 * service_endpoint_find() - The endpoint with this address and port, or NULL
 * @s:		service
 * @addr:	endpoint address
 * @port:	wire order
 */
static inline const struct endpoint *service_endpoint_find(const struct service *s,
							   struct addr addr, be16 port)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const struct endpoint *e = &s->endpoints[i];

		if (e->port == port && addr_equal(e->addr, addr))
			return e;
	}
	return NULL;
}

#endif
