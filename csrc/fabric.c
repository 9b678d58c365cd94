/* SPDX-License-Identifier: Apache-2.0 */
/* fabric.c - the directory of links, and the way between workers.
 *
 * The directory maps a node's id to its worker and its link. Pages of it are made as ids grow and
 * live as long as the fabric. Any worker reads the worker's number; the link's pointer is read and
 * written by that worker only. A packet that finds its node gone is dropped where that shows: at
 * the sender, or when it is taken from the ring.
 */
#include "fabric.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "node.h"
#include "ring.h"

enum {
	PAGE_ENTRIES = 1024,
	PAGES = 1024,
	RING_BYTES = 8 << 20, /* about 120 super-packets */
	COLLECT_MAX = 64,     /* packets per ring and call: they come out of the worker's pool */
};

struct place {
	_Atomic uint32_t worker; /* 0: nobody; else worker + 1 */
	struct iface_link *link;
};

/* One worker's end. Only that worker touches it, but for the rings' own other side. */
struct side {
	_Alignas(CACHE_LINE) struct ready_list *ready;
	struct ring *in[WORKERS_MAX]; /* by the worker that fills it */
	uint64_t to_wake;             /* bit per worker */
};
static_assert(WORKERS_MAX <= 64, "to_wake has a bit per worker");

struct fabric {
	_Atomic(struct place *) pages[PAGES];
	unsigned workers;
	fabric_wake_fn *wake;
	void *context;
	struct side sides[];
};

/* What of a packet's metadata survives the wire. */
struct crossing {
	uint32_t node;
	uint32_t len;
	uint16_t flags;
	uint16_t gso_size;
	uint16_t hdr_len;
	uint16_t csum_offset;
	uint8_t gso_type;
	uint8_t pad[7];
};

int fabric_new(struct fabric **out, unsigned workers, fabric_wake_fn *wake, void *context)
{
	size_t bytes = sizeof(struct fabric) + workers * sizeof(struct side);
	struct fabric *f;

	bytes = (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	f = aligned_alloc(CACHE_LINE, bytes);
	if (!f)
		return -ENOMEM;
	memset(f, 0, bytes);
	f->workers = workers;
	f->wake = wake;
	f->context = context;
	for (unsigned to = 0; to < workers; to++) {
		for (unsigned from = 0; from < workers; from++) {
			if (from != to && ring_new(&f->sides[to].in[from], RING_BYTES)) {
				fabric_free(f);
				return -ENOMEM;
			}
		}
	}
	*out = f;
	return 0;
}

void fabric_free(struct fabric *f)
{
	if (!f)
		return;
	for (unsigned to = 0; to < f->workers; to++)
		for (unsigned from = 0; from < f->workers; from++)
			ring_free(f->sides[to].in[from]);
	for (unsigned n = 0; n < PAGES; n++)
		free(atomic_load_explicit(&f->pages[n], memory_order_relaxed));
	free(f);
}

void fabric_ready_list(struct fabric *f, unsigned worker, struct ready_list *ready)
{
	f->sides[worker].ready = ready;
}

static struct place *place_find(struct fabric *f, uint32_t node)
{
	struct place *page;

	if (node / PAGE_ENTRIES >= PAGES)
		return NULL;
	page = atomic_load_explicit(&f->pages[node / PAGE_ENTRIES], memory_order_acquire);
	return page ? &page[node % PAGE_ENTRIES] : NULL;
}

int fabric_join(struct fabric *f, struct iface_link *l)
{
	uint32_t node = l->base.node->id;
	struct place *p;

	if (node / PAGE_ENTRIES >= PAGES)
		return -ENOSPC;
	if (!place_find(f, node)) {
		struct place *page = calloc(PAGE_ENTRIES, sizeof(*page)), *none = NULL;

		if (!page)
			return -ENOMEM;
		if (!atomic_compare_exchange_strong(&f->pages[node / PAGE_ENTRIES], &none, page))
			free(page);
	}
	p = place_find(f, node);
	if (atomic_load_explicit(&p->worker, memory_order_relaxed))
		return -EEXIST;
	l->worker = l->base.node->worker;
	l->node_id = node;
	p->link = l;
	atomic_store_explicit(&p->worker, l->worker + 1, memory_order_release);
	return 0;
}

void iface_link_move(struct iface *i, unsigned worker)
{
	struct iface_link *l = (struct iface_link *)(void *)i;
	struct place *p = place_find(l->fabric, l->node_id);

	assert(!l->base.arrived.first);
	l->worker = worker;
	atomic_store_explicit(&p->worker, worker + 1, memory_order_release);
}

void fabric_leave(struct fabric *f, struct iface_link *l)
{
	struct place *p = place_find(f, l->node_id);

	atomic_store_explicit(&p->worker, 0, memory_order_release);
	p->link = NULL;
}

static void link_push(struct fabric *f, struct iface_link *l, struct packet *p)
{
	packet_list_push(&l->base.arrived, p);
	ready_push(f->sides[l->worker].ready, &l->base);
}

static struct crossing crossing_of(const struct packet *p, uint32_t node)
{
	return (struct crossing){
	    .node = node,
	    .len = p->len,
	    .flags = p->flags & (PACKET_NEEDS_CSUM | PACKET_MARKED),
	    .gso_size = p->gso_size,
	    .hdr_len = p->hdr_len,
	    .csum_offset = p->csum_offset,
	    .gso_type = p->gso_type,
	};
}

static void crossing_apply(const struct crossing *c, struct packet *p)
{
	p->len = c->len;
	p->flags = c->flags;
	p->gso_size = c->gso_size;
	p->hdr_len = c->hdr_len;
	p->csum_offset = c->csum_offset;
	p->gso_type = c->gso_type;
}

/* Whatever the sending node's stages learned stays behind. */
static void forget(struct packet *p)
{
	struct crossing c = crossing_of(p, 0);
	uint8_t *data = p->data;

	memset(p, 0, offsetof(struct packet, buffer));
	p->data = data;
	crossing_apply(&c, p);
}

enum drop_reason fabric_deliver(struct iface_link *from, uint32_t to, struct packet_pool *pool,
				struct packet *p)
{
	struct fabric *f = from->fabric;
	struct place *place = place_find(f, to);
	uint32_t worker = place ? atomic_load_explicit(&place->worker, memory_order_acquire) : 0;
	struct crossing *c;

	if (!worker)
		return DROP_IFACE_DOWN;
	if (--worker == from->worker) {
		forget(p);
		link_push(f, place->link, p);
		return DROP_NONE;
	}
	c = ring_reserve(f->sides[worker].in[from->worker], sizeof(*c) + p->len);
	if (!c)
		return DROP_RING_FULL;
	*c = crossing_of(p, to);
	memcpy(c + 1, p->data, p->len);
	ring_commit(f->sides[worker].in[from->worker]);
	f->sides[from->worker].to_wake |= UINT64_C(1) << worker;
	packet_give(pool, p);
	return DROP_NONE;
}

void fabric_flush(struct fabric *f, unsigned worker)
{
	uint64_t *to_wake = &f->sides[worker].to_wake;

	while (*to_wake) {
		f->wake(f->context, (unsigned)__builtin_ctzll(*to_wake));
		*to_wake &= *to_wake - 1;
	}
}

bool fabric_waiting(struct fabric *f, unsigned worker)
{
	for (unsigned from = 0; from < f->workers; from++)
		if (from != worker && !ring_empty(f->sides[worker].in[from]))
			return true;
	return false;
}

/* To the worker that the node has moved to meanwhile. False if its ring is full. */
static bool pass_on(struct fabric *f, unsigned worker, unsigned to, const struct crossing *c,
		    size_t len)
{
	void *room = ring_reserve(f->sides[to].in[worker], len);

	if (!room)
		return false;
	memcpy(room, c, len);
	ring_commit(f->sides[to].in[worker]);
	f->sides[worker].to_wake |= UINT64_C(1) << to;
	return true;
}

static unsigned collect_ring(struct fabric *f, unsigned worker, struct ring *r,
			     struct packet_pool *pool)
{
	const struct crossing *c;
	unsigned moved = 0;
	size_t len;

	while (moved < COLLECT_MAX && (c = ring_peek(r, &len)) != NULL) {
		struct place *place = place_find(f, c->node);
		uint32_t owner = atomic_load_explicit(&place->worker, memory_order_acquire);
		struct packet *p;

		if (owner != worker + 1) {
			if (owner && !pass_on(f, worker, owner - 1, c, len))
				break;
			ring_release(r); /* the node went while the packet was under way */
			continue;
		}
		p = packet_take(pool);
		if (!p)
			break;
		crossing_apply(c, p);
		memcpy(p->data, c + 1, c->len);
		ring_release(r);
		link_push(f, place->link, p);
		moved++;
	}
	return moved;
}

unsigned fabric_collect(struct fabric *f, unsigned worker, struct packet_pool *pool)
{
	unsigned moved = 0;

	for (unsigned from = 0; from < f->workers; from++)
		if (from != worker)
			moved += collect_ring(f, worker, f->sides[worker].in[from], pool);
	fabric_flush(f, worker);
	return moved;
}
