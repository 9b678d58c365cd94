/* SPDX-License-Identifier: Apache-2.0 */
/* engine_node.c - nodes of an engine: by id, on their workers, and what can be read of them. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

struct node *engine_node(const struct engine *e, uint32_t id)
{
	return id - 1 < e->node_count ? e->nodes[id - 1] : NULL;
}

/* The worker with the fewest nodes; the first of several. */
static struct worker *choose_worker(struct engine *e)
{
	size_t nodes[WORKERS_MAX] = {0};
	unsigned best = 0;

	for (size_t n = 0; n < e->node_count; n++)
		if (e->nodes[n])
			nodes[e->nodes[n]->worker]++;
	for (unsigned w = 1; w < e->worker_count; w++)
		if (nodes[w] < nodes[best])
			best = w;
	return &e->workers[best];
}

int worker_node_room(struct worker *w)
{
	size_t room = w->node_room ? w->node_room * 2 : 16;
	struct node **grown;

	if (w->node_count < w->node_room)
		return 0;
	grown = realloc(w->nodes, room * sizeof(struct node *));
	if (!grown)
		return -ENOMEM;
	w->nodes = grown;
	w->node_room = room;
	return 0;
}

static int64_t node_adopt(struct worker *w, void *arg)
{
	struct node *n = arg;
	int error = worker_node_room(w);

	if (error)
		return error;
	n->worker = w->index;
	n->pool = w->pool;
	n->trace = w->trace;
	w->nodes[w->node_count++] = n;
	return 0;
}

int engine_node_add(struct engine *e, const struct node_config *config, uint32_t *id)
{
	struct node **grown;
	struct node *n;
	int error;

	for (size_t k = 0; k < e->node_count; k++)
		if (e->nodes[k] && e->nodes[k]->config.uid == config->uid)
			return -EEXIST;
	grown = realloc(e->nodes, (e->node_count + 1) * sizeof(struct node *));
	if (!grown)
		return -ENOMEM;
	e->nodes = grown;
	error = node_new(&n, config, e->tables, e->arena, e->config.seed);
	if (error)
		return error;
	n->id = (uint32_t)e->node_count + 1;
	error = (int)engine_call(choose_worker(e), node_adopt, n);
	if (error) {
		node_free(n);
		return error;
	}
	e->nodes[e->node_count++] = n;
	*id = n->id;
	return 0;
}

void worker_node_remove(struct worker *w, const struct node *n)
{
	size_t at = 0;

	while (w->nodes[at] != n)
		at++;
	w->node_count--;
	memmove(&w->nodes[at], &w->nodes[at + 1], (w->node_count - at) * sizeof(struct node *));
}

static int64_t node_disown(struct worker *w, void *arg)
{
	struct node *n = arg;

	while (n->iface_count)
		engine_iface_close(w, n->ifaces[0]);
	worker_node_remove(w, n);
	node_free(n);
	return 0;
}

int engine_node_remove(struct engine *e, uint32_t id)
{
	struct node *n = engine_node(e, id);
	uint64_t uid;

	if (!n)
		return -ENOENT;
	uid = n->config.uid;
	for (size_t k = 0; k < e->iface_count; k++) {
		if (e->ifaces[k].iface && e->ifaces[k].node == n) {
			engine_capture_forget(e, e->ifaces[k].iface);
			e->ifaces[k] = (struct iface_entry){0};
		}
	}
	engine_call(engine_worker_of(e, n), node_disown, n);
	flow_arena_release(e->arena, uid);
	e->nodes[id - 1] = NULL;
	return 0;
}

static void routes_free(void *memory)
{
	route_table_free(memory);
}

int engine_node_routes(struct engine *e, uint32_t node, const struct route_row *rows, size_t count)
{
	struct node *n = engine_node(e, node);
	const struct route_table *old;
	struct route_table *t;
	int error;

	if (!n)
		return -ENOENT;
	error = route_table_new(&t, rows, count);
	if (error)
		return error;
	old = atomic_exchange_explicit(&n->local, t, memory_order_acq_rel);
	tables_retire(e->tables, (void *)old, routes_free);
	return 0;
}

struct adopt_args {
	struct engine *engine;
	uint64_t now_ns;
};

static int64_t adopt_flows(struct worker *w, void *arg)
{
	const struct adopt_args *args = arg;
	int64_t adopted = 0;

	for (size_t n = 0; n < w->node_count; n++)
		adopted += (int64_t)node_adopt_flows(w->nodes[n], args->now_ns);
	w->tick_ns = args->now_ns;
	return adopted;
}

int engine_adopt_flows(struct engine *e, uint64_t now_ns)
{
	struct adopt_args args = {e, now_ns};
	int64_t adopted = 0;

	for (unsigned n = 0; n < e->worker_count; n++)
		adopted += engine_call(&e->workers[n], adopt_flows, &args);
	return (int)adopted;
}

/* A worker that sleeps, or does not run, has nothing older than what is published. Reading `asleep`
 * by an addition orders it after the publishing.
 */
int engine_node_revision(struct engine *e, uint32_t node, uint64_t *revision)
{
	struct node *n = engine_node(e, node);
	struct worker *w;

	if (!n)
		return -ENOENT;
	w = engine_worker_of(e, n);
	if (!w->running || atomic_fetch_add(&w->asleep, 0))
		*revision = atomic_load(&e->tables->revision);
	else
		*revision = atomic_load_explicit(&w->revision, memory_order_acquire);
	return 0;
}

struct stats_args {
	const struct node *node;
	struct node_stats *out;
};

static int64_t read_stats(struct worker *w, void *arg)
{
	const struct stats_args *args = arg;

	(void)w;
	for (uint32_t k = 0; k < args->node->iface_count; k++) {
		struct iface *i = args->node->ifaces[k];

		if (i->ops->count)
			i->ops->count(i);
	}
	*args->out = args->node->stats;
	args->out->flows = flow_table_count(args->node->flows);
	return 0;
}

int engine_node_stats(struct engine *e, uint32_t node, struct node_stats *out)
{
	struct stats_args args = {engine_node(e, node), out};

	if (!args.node)
		return -ENOENT;
	return (int)engine_call(engine_worker_of(e, args.node), read_stats, &args);
}

struct trace_args {
	struct node *node;
	struct trace_filter filter;
};

static int64_t set_filter(struct worker *w, void *arg)
{
	const struct trace_args *args = arg;

	(void)w;
	args->node->filter = args->filter;
	return 0;
}

int engine_trace(struct engine *e, uint32_t node, const struct trace_filter *filter)
{
	struct trace_args args = {engine_node(e, node), *filter};

	if (!args.node)
		return -ENOENT;
	return (int)engine_call(engine_worker_of(e, args.node), set_filter, &args);
}

struct drain_args {
	struct trace_record *out;
	size_t max;
	uint64_t missed;
};

static int64_t drain(struct worker *w, void *arg)
{
	struct drain_args *args = arg;

	return (int64_t)trace_drain(w->trace, args->out, args->max, &args->missed);
}

int64_t engine_trace_drain(struct engine *e, struct trace_record *out, size_t max, uint64_t *missed)
{
	size_t count = 0;

	*missed = 0;
	for (unsigned n = 0; n < e->worker_count && count < max; n++) {
		struct drain_args args = {out + count, max - count, 0};

		count += (size_t)engine_call(&e->workers[n], drain, &args);
		*missed += args.missed;
	}
	return (int64_t)count;
}
