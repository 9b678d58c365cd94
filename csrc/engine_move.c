/* SPDX-License-Identifier: Apache-2.0 */
/* engine_move.c - nodes from worker to worker, and when.
 *
 * A node moves in two calls. Its worker takes the node's ifaces out of its poller, puts what they
 * hold through the pipeline, and hands node and link over; from then on the new worker may find
 * packets for the node in its rings. The new worker then watches the other ifaces. Packets that
 * lie in a descriptor meanwhile stay there, those in rings follow (fabric.c).
 *
 * Balancing compares what the workers' threads have to do, which costs them nothing; only an
 * overloaded one is asked which node makes how much of it. Workers with little to do are joined:
 * a packet that passes through two nodes then wakes one thread, not two.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "iface_link.h"

enum {
	BUSY_PERCENT = 85, /* of a processor: a worker that may be relieved */
	IDLE_PERCENT = 80, /* two workers that do not make more together are joined */
	GAIN_PERCENT = 10, /* that the busier of the two must win */
	BYTES_PER_WORK = 4096,
};

struct move {
	struct node *node;
	struct worker *to;
};

static int64_t make_room(struct worker *w, void *arg)
{
	(void)arg;
	return worker_node_room(w);
}

/* Whether packets of the worker's pool wait in an iface; in a queue it is copies that do. */
static bool holds_packets(const struct iface *i)
{
	return i->arrived.first || (i->more && i->fd >= 0);
}

/* Until there are none: what one iface held may come back by another. */
static void put_through(struct worker *w, struct node *n)
{
	bool held = true;

	while (held) {
		held = false;
		for (uint32_t k = 0; k < n->iface_count; k++) {
			if (!holds_packets(n->ifaces[k]))
				continue;
			worker_receive(w, n->ifaces[k]);
			held = true;
		}
	}
}

static int64_t hand_over(struct worker *w, void *arg)
{
	const struct move *m = arg;
	struct node *n = m->node;

	for (uint32_t k = 0; k < n->iface_count; k++)
		poller_remove(&w->poller, n->ifaces[k]);
	put_through(w, n);
	for (uint32_t k = 0; k < n->iface_count; k++)
		worker_unready(w, n->ifaces[k]);
	worker_node_remove(w, n);
	n->worker = m->to->index;
	n->pool = m->to->pool;
	n->trace = m->to->trace;
	if (n->wire && iface_is_link(n->wire))
		iface_link_move(n->wire, n->worker);
	return 0;
}

static int64_t take_over(struct worker *w, void *arg)
{
	const struct move *m = arg;

	w->nodes[w->node_count++] = m->node;
	for (uint32_t k = 0; k < m->node->iface_count; k++) {
		struct iface *i = m->node->ifaces[k];

		if (poller_add(&w->poller, i))
			i->up = false;
		if (i->fd < 0)
			ready_push(&w->ready, i); /* a queue may hold something */
	}
	w->tick_ns = engine_now(w->engine);
	return 0;
}

static int node_move(struct engine *e, struct node *n, struct worker *to)
{
	struct move m = {n, to};
	struct worker *from = engine_worker_of(e, n);
	int error;

	if (from == to)
		return 0;
	error = (int)engine_call(to, make_room, NULL);
	if (error)
		return error;
	engine_call(from, hand_over, &m);
	engine_call(to, take_over, &m);
	return 0;
}

int engine_node_move(struct engine *e, uint32_t node, unsigned worker)
{
	struct node *n = engine_node(e, node);

	if (!n)
		return -ENOENT;
	if (worker >= e->worker_count)
		return -EINVAL;
	return node_move(e, n, &e->workers[worker]);
}

/* What a worker's thread has worked since the last look, in percent of @passed_ns. */
static uint64_t busy_percent(struct worker *w, uint64_t passed_ns)
{
	uint64_t before = w->work_ns, looked;
	struct timespec t;
	clockid_t clock;

	if (!w->running || pthread_getcpuclockid(w->thread, &clock) || clock_gettime(clock, &t))
		return 0;
	looked = atomic_load_explicit(&w->looked_ns, memory_order_relaxed);
	w->work_ns = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec - looked;
	return before && w->work_ns > before ? (w->work_ns - before) * 100 / passed_ns : 0;
}

static uint64_t work_of(const struct node *n)
{
	uint64_t work = 0;

	for (uint32_t k = 0; k < n->iface_count; k++) {
		const struct iface_stats *s = &n->ifaces[k]->stats;

		work +=
		    s->rx_packets + s->tx_packets + (s->rx_bytes + s->tx_bytes) / BYTES_PER_WORK;
	}
	return work;
}

/* What is asked of an overloaded worker: which node, moved to one that is idler by @apart percent,
 * leaves the busier of the two with least.
 */
struct choice {
	uint64_t busy;
	uint64_t apart;
	struct node *best;
};

static int64_t choose_node(struct worker *w, void *arg)
{
	struct choice *c = arg;
	uint64_t total = 0, least = c->busy - c->busy * GAIN_PERCENT / 100;

	for (size_t n = 0; n < w->node_count; n++)
		total += work_of(w->nodes[n]) - w->nodes[n]->work_seen;
	for (size_t n = 0; n < w->node_count; n++) {
		struct node *node = w->nodes[n];
		uint64_t work = work_of(node);
		uint64_t share = total ? (work - node->work_seen) * c->busy / total : 0;
		uint64_t stays = c->busy - share, goes = c->busy - c->apart + share;
		uint64_t busier = stays > goes ? stays : goes;

		node->work_seen = work;
		if (share && busier < least) {
			least = busier;
			c->best = node;
		}
	}
	return 0;
}

/* Moves a node from a worker that is overloaded. Returns how many. */
static int relieve(struct engine *e, const uint64_t *busy, unsigned most, unsigned least)
{
	struct choice c = {busy[most], busy[most] - busy[least], NULL};

	engine_call(&e->workers[most], choose_node, &c);
	if (!c.best)
		return 0;
	return node_move(e, c.best, &e->workers[least]) ? 0 : 1;
}

/* Gives all nodes of the idlest worker that has any to the next one. Returns how many. */
static int join_idle(struct engine *e, const uint64_t *busy)
{
	struct worker *from = NULL, *to = NULL;
	int moved = 0;

	for (unsigned n = e->worker_count; n-- > 0;) {
		struct worker *w = &e->workers[n];

		if (!w->node_count)
			continue;
		if (!from || busy[n] < busy[from->index]) {
			to = from;
			from = w;
		} else if (!to || busy[n] < busy[to->index]) {
			to = w;
		}
	}
	if (!to || busy[from->index] + busy[to->index] > IDLE_PERCENT)
		return 0;
	while (from->node_count && !node_move(e, from->nodes[from->node_count - 1], to))
		moved++;
	return moved;
}

int engine_balance(struct engine *e)
{
	uint64_t now = engine_now(e), busy[WORKERS_MAX], passed = now - e->balanced_ns;
	unsigned most = 0, least = 0;

	if (e->worker_count < 2 || passed == 0)
		return 0;
	e->balanced_ns = now;
	for (unsigned n = 0; n < e->worker_count; n++) {
		busy[n] = busy_percent(&e->workers[n], passed);
		if (busy[n] > busy[most])
			most = n;
		if (busy[n] < busy[least])
			least = n;
	}
	if (e->config.polling == POLLING_BUSY)
		return 0;
	return busy[most] < BUSY_PERCENT ? join_idle(e, busy) : relieve(e, busy, most, least);
}
