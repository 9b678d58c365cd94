/* SPDX-License-Identifier: Apache-2.0 */
/* node.c - one emulated Kubernetes node: what it owns, its ifaces by id, its flows after a restart.
 *
 * The index of ifaces is a hash table with linear probing at most half full, made anew when it is
 * full or an iface goes; a lookup is one multiplication and about one probe.
 */
#include "node.h"

#include <errno.h>
#include <stdlib.h>

enum {
	FRAGMENTS_MAX = 1024,
	AFFINITY_MAX = 4 * 65536, /* an nftables set is full at 65535 (P-37) */
	INDEX_BITS_MIN = 3,
	IPV4_MTU_MIN = 68, /* RFC 791 */
	VNI_MAX = 0xffffff,
	ADDR_BITS = 128,
};

static bool config_good(const struct node_config *c)
{
	if (c->proxy.scheduler >= SCHEDULE_COUNT)
		return false;
	if (c->uid == 0 || c->flows_max == 0 || c->mtu < IPV4_MTU_MIN || c->cluster_len > ADDR_BITS)
		return false;
	if (!addr_is_v4(c->address) || !addr_is_v4(c->cni_addr) || !addr_is_v4(c->stack_addr))
		return false;
	if (c->backend == BACKEND_HOST_GW)
		return true;
	return c->backend <= BACKEND_UDP && c->port != 0 && c->vni <= VNI_MAX &&
	       addr_is_v4(c->tunnel_addr);
}

/* The first @len bits of 64 are set, in wire order. */
static uint64_t mask_word(unsigned len)
{
	return len == 0 ? 0 : __builtin_bswap64(UINT64_MAX << (64 - len));
}

static struct source_range range_make(struct addr prefix, unsigned len)
{
	struct addr mask = {{mask_word(len < 64 ? len : 64), mask_word(len < 64 ? 0 : len - 64)}};

	return (struct source_range){addr_and(prefix, mask), mask};
}

/* Only where somebody asks for it. */
static int make_load(struct node *n)
{
	const struct flow_keeper keeper = {node_load_ends, node_load_is_over, n};
	const struct node_config *c = &n->config;
	int err;

	if (c->proxy.scheduler == SCHEDULE_RANDOM && !c->proxy.by_entry)
		return 0;
	err = load_table_new(&n->load, c->flows_max, random_next(&n->random));
	if (!err)
		flow_table_keep(n->flows, &keeper);
	return err;
}

static int make_tables(struct node *n, struct flow_arena *arena, uint64_t seed)
{
	const struct node_config *c = &n->config;
	int err;

	n->ways = calloc((size_t)1 << WAY_BITS, sizeof(n->ways[0])); /* touched as it is used */
	if (!n->ways)
		return -ENOMEM;
	n->random = mix64(seed ^ mix64(c->uid));
	n->hash_seed = random_next(&n->random);
	err = flow_table_new(&n->flows, arena, c->uid, c->flows_max, n->hash_seed);
	if (err)
		return err;
	err = fragment_table_new(&n->fragments, FRAGMENTS_MAX, random_next(&n->random));
	if (err)
		return err;
	err = affinity_table_new(&n->affinity, AFFINITY_MAX, &c->proxy.affinity,
				 random_next(&n->random));
	return err ? err : make_load(n);
}

int node_new(struct node **out, const struct node_config *config, struct tables *tables,
	     struct flow_arena *arena, uint64_t seed)
{
	struct node *n;
	int err;

	if (!config_good(config))
		return -EINVAL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->config = *config;
	n->cluster = range_make(config->cluster_cidr, config->cluster_len);
	n->config.name[sizeof(n->config.name) - 1] = '\0';
	n->tables = tables;
	n->way_epoch = 1;
	err = make_tables(n, arena, seed);
	if (err) {
		node_free(n);
		return err;
	}
	*out = n;
	return 0;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	route_table_free((struct route_table *)atomic_load(&n->local));
	flow_table_free(n->flows);
	fragment_table_free(n->fragments);
	affinity_table_free(n->affinity);
	load_table_free(n->load);
	free(n->iface_index);
	free(n->ifaces);
	free(n->ways);
	free(n);
}

static uint32_t index_slot(uint32_t id, uint32_t bits)
{
	return id * UINT32_C(0x9e3779b1) >> (32 - bits);
}

struct iface *node_iface(const struct node *n, uint32_t id)
{
	if (UNLIKELY(!n->iface_index))
		return NULL;
	uint32_t mask = (UINT32_C(1) << n->iface_index_bits) - 1;

	for (uint32_t i = index_slot(id, n->iface_index_bits);; i = (i + 1) & mask) {
		struct iface *found = n->iface_index[i];

		if (!found || found->id == id)
			return found;
	}
}

static void index_add(struct node *n, struct iface *i)
{
	uint32_t mask = (UINT32_C(1) << n->iface_index_bits) - 1;
	uint32_t at = index_slot(i->id, n->iface_index_bits);

	while (n->iface_index[at])
		at = (at + 1) & mask;
	n->iface_index[at] = i;
}

/* With room for twice as many again. */
static int index_rebuild(struct node *n)
{
	uint32_t bits = INDEX_BITS_MIN;
	struct iface **index;

	while ((UINT32_C(1) << bits) < 4 * n->iface_count)
		bits++;
	index = calloc((size_t)1 << bits, sizeof(struct iface *));
	if (!index)
		return -ENOMEM;
	free(n->iface_index);
	n->iface_index = index;
	n->iface_index_bits = bits;
	for (uint32_t i = 0; i < n->iface_count; i++)
		index_add(n, n->ifaces[i]);
	return 0;
}

/* The node's one iface of a role other than IFACE_POD. */
static struct iface **role_slot(struct node *n, uint8_t role)
{
	switch ((enum iface_role)role) {
	case IFACE_STACK:
		return &n->stack;
	case IFACE_TUNNEL:
		return &n->tunnel;
	default:
		return &n->wire;
	}
}

int node_iface_attach(struct node *n, struct iface *i)
{
	bool alone = i->role != IFACE_POD;
	struct iface **grown;

	if (alone && *role_slot(n, i->role))
		return -EEXIST;
	grown = realloc(n->ifaces, (n->iface_count + 1) * sizeof(struct iface *));
	if (!grown)
		return -ENOMEM;
	n->ifaces = grown;
	n->ifaces[n->iface_count++] = i;
	if (n->iface_index && 2 * n->iface_count <= UINT32_C(1) << n->iface_index_bits) {
		index_add(n, i);
	} else if (index_rebuild(n)) {
		n->iface_count--;
		return -ENOMEM;
	}
	i->node = n;
	n->way_epoch++;
	if (alone)
		*role_slot(n, i->role) = i;
	return 0;
}

void node_iface_detach(struct node *n, struct iface *i)
{
	uint32_t at = 0;

	while (at < n->iface_count && n->ifaces[at] != i)
		at++;
	if (at == n->iface_count)
		return;
	memmove(&n->ifaces[at], &n->ifaces[at + 1],
		(n->iface_count - at - 1) * sizeof(struct iface *));
	n->iface_count--;
	if (i->role != IFACE_POD)
		*role_slot(n, i->role) = NULL;
	i->node = NULL;
	n->way_epoch++;
	if (index_rebuild(n)) { /* no memory: no index rather than one with a dead pointer */
		free(n->iface_index);
		n->iface_index = NULL;
	}
}

const struct frontend *node_frontend_local(const struct node *n, const struct service_table *t,
					   const struct service_key *key)
{
	const struct service_key any = {.port = key->port, .proto = key->proto};
	const struct proxy_config *c = &n->config.proxy;
	bool served = c->range_count == 0;

	if (addr_is_loopback(key->addr) && !c->localhost_node_ports)
		return NULL;
	for (unsigned i = 0; i < c->range_count && !served; i++)
		served = source_range_has(&c->node_port_ranges[i], key->addr);
	return served ? service_table_find(t, &any, service_table_hash(t, &any)) : NULL;
}

struct tie {
	struct node *node;
	const struct service_table *services;
};

/* Slots of the last process mean nothing: a UDP flow that finds none is chosen anew (P-80), a TCP
 * flow goes on to wherever it went.
 */
static bool retie(struct flow *f, void *context)
{
	const struct tie *tie = context;
	const struct flow_key *k = &f->original;
	const struct service_key key = {k->dst, k->dport, k->proto, {0}};
	const struct frontend *found;
	const struct endpoint *e;

	f->endpoint_slot = FLOW_NO_SLOT;
	f->endpoint_generation = 0;
	if (!(f->flags & FLOW_TRANSLATED))
		return true;
	found =
	    node_frontend(tie->node, tie->services, &key, service_table_hash(tie->services, &key));
	if (!found)
		return true;
	f->service = found->service->id;
	e = service_endpoint_find(found->service, f->reply.src, f->reply.sport);
	if (e) {
		f->endpoint_slot = e->slot;
		f->endpoint_generation = e->generation;
	}
	if (e && tie->node->load)
		node_load_begins(tie->node, f);
	return true;
}

size_t node_adopt_flows(struct node *n, uint64_t now_ns)
{
	size_t adopted = flow_table_adopt(n->flows, now_ns);
	struct tie tie = {n, n->tables->services};

	flow_table_walk(n->flows, now_ns, retie, &tie);
	return adopted;
}
