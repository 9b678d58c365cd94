/* SPDX-License-Identifier: Apache-2.0 */
/* iface_queue.c - an iface in memory: tests and `explain` put packets in and take packets out.
 *
 * Two rings of copies, each copy allocated at its exact size, so that the sanitizers see a read
 * past it. Both sides are called on the thread of the node's worker.
 */
#include "iface_queue.h"

#include "capture.h"
#include "node.h"

#include <errno.h>
#include <stdlib.h>

static_assert((IFACE_QUEUE_DEPTH & (IFACE_QUEUE_DEPTH - 1)) == 0, "positions are masked");

struct queued {
	struct inject how;
	size_t len;
	uint8_t *bytes;
};

struct queue {
	size_t head; /* next to take; positions only grow */
	size_t tail; /* next to fill */
	struct queued ring[IFACE_QUEUE_DEPTH];
};

struct iface_queue {
	struct iface base;
	struct queue in;
	struct queue out;
};

static struct iface_queue *self(struct iface *i)
{
	return (struct iface_queue *)(void *)i;
}

static struct queued *queue_first(struct queue *q)
{
	return q->head == q->tail ? NULL : &q->ring[q->head & (IFACE_QUEUE_DEPTH - 1)];
}

static void queue_pop(struct queue *q)
{
	struct queued *e = queue_first(q);

	free(e->bytes);
	e->bytes = NULL;
	q->head++;
}

static int queue_push(struct queue *q, const void *bytes, size_t len, const struct inject *how)
{
	struct queued *e = &q->ring[q->tail & (IFACE_QUEUE_DEPTH - 1)];

	if (q->tail - q->head == IFACE_QUEUE_DEPTH)
		return -ENOBUFS;
	e->bytes = malloc(len ? len : 1);
	if (!e->bytes)
		return -ENOMEM;
	if (len)
		memcpy(e->bytes, bytes, len);
	e->len = len;
	e->how = how ? *how : (struct inject){0};
	q->tail++;
	return 0;
}

static void fill(struct iface *i, struct packet *p, const struct queued *e)
{
	const struct inject *how = &e->how;

	memcpy(p->data, e->bytes, e->len);
	p->len = (uint32_t)e->len;
	p->in = i;
	p->gso_type = how->gso_type;
	p->gso_size = how->gso_size;
	p->hdr_len = how->hdr_len;
	p->csum_offset = how->csum_offset;
	p->l4_off = how->csum_start;
	p->flags =
	    (uint16_t)((how->needs_csum ? PACKET_NEEDS_CSUM : 0) | (how->mark ? PACKET_MARKED : 0));
	p->outer_src = how->outer_src;
	p->outer_dst = how->outer_dst;
	p->outer_sport = how->outer_sport;
	p->outer_dport = how->outer_dport;
}

/* Seen from whose iface it is: what a pod sends comes in here, what a wire brings leaves there. */
static enum capture_direction direction(const struct iface *i, bool received)
{
	return (i->role == IFACE_WIRE) == received ? CAPTURE_INBOUND : CAPTURE_OUTBOUND;
}

static unsigned receive(struct iface *i, struct packet_pool *pool, struct batch *b)
{
	struct queue *q = &self(i)->in;
	unsigned before = b->count;
	struct queued *e;

	while (b->count < BATCH_MAX && (e = queue_first(q)) != NULL) {
		struct packet *p = packet_take(pool);

		if (!p)
			break; /* stays queued */
		fill(i, p, e);
		queue_pop(q);
		i->stats.rx_packets++;
		i->stats.rx_bytes += p->len;
		capture_seen(i, direction(i, true), p->data, p->len);
		b->pkt[b->count++] = p;
	}
	i->more = queue_first(q) != NULL;
	return b->count - before;
}

static struct inject describe(const struct packet *p)
{
	bool partial = p->flags & PACKET_NEEDS_CSUM;
	bool wire = p->out->role == IFACE_WIRE;

	return (struct inject){
	    .gso_type = p->gso_type,
	    .needs_csum = partial,
	    .mark = (p->flags & PACKET_MARKED) != 0,
	    .gso_size = p->gso_size,
	    .csum_start = partial ? p->l4_off : 0,
	    .csum_offset = partial ? p->csum_offset : 0,
	    .hdr_len = p->gso_type ? p->hdr_len : 0,
	    .outer_src = wire ? p->outer_src : 0,
	    .outer_dst = wire ? p->outer_dst : 0,
	    .outer_sport = wire ? p->outer_sport : 0,
	    .outer_dport = wire ? p->outer_dport : 0,
	};
}

static void send(struct iface *i, struct packet_pool *pool, struct packet *const *pkt,
		 unsigned count)
{
	for (unsigned k = 0; k < count; k++) {
		struct inject how = describe(pkt[k]);

		if (queue_push(&self(i)->out, pkt[k]->data, pkt[k]->len, &how)) {
			node_count_drop(i->node, DROP_IFACE_FULL);
			i->stats.tx_drops++;
		} else {
			i->stats.tx_packets++;
			i->stats.tx_bytes += pkt[k]->len;
			capture_seen(i, direction(i, false), pkt[k]->data, pkt[k]->len);
		}
		packet_give(pool, pkt[k]);
	}
}

static void close_queue(struct iface *i)
{
	struct iface_queue *q = self(i);

	while (queue_first(&q->in))
		queue_pop(&q->in);
	while (queue_first(&q->out))
		queue_pop(&q->out);
	free(q);
}

static const struct iface_ops ops = {
    .name = "queue",
    .receive = receive,
    .send = send,
    .close = close_queue,
};

int iface_queue_new(struct iface **out)
{
	struct iface_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->base.ops = &ops;
	q->base.fd = -1;
	q->base.up = true;
	*out = &q->base;
	return 0;
}

int iface_queue_inject(struct iface *i, const void *bytes, size_t len, const struct inject *how)
{
	if (len > PACKET_ROOM)
		return -EMSGSIZE;
	return queue_push(&self(i)->in, bytes, len, how);
}

int64_t iface_queue_extract(struct iface *i, void *bytes, size_t room, struct inject *how)
{
	struct queue *q = &self(i)->out;
	struct queued *e = queue_first(q);
	size_t len;

	if (!e)
		return 0;
	if (e->len > room)
		return -EMSGSIZE;
	len = e->len;
	memcpy(bytes, e->bytes, len);
	if (how)
		*how = e->how;
	queue_pop(q);
	return (int64_t)len;
}

bool iface_queue_waiting(const struct iface *i)
{
	const struct iface_queue *q = (const void *)i;

	return q->in.head != q->in.tail;
}
