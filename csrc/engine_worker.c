/* SPDX-License-Identifier: Apache-2.0 */
/* engine_worker.c - the poll cycle.
 *
 *   sleep until an iface, another worker or the control thread has something
 *   take the time; enter the tables
 *   one batch from each iface that is ready, through the pipeline
 *   packets from other workers' rings to their links
 *   ifaces with input in memory (links, queues, joined datagrams) until there is no more: what came
 *   in by descriptors goes out before more is taken, so that no flood takes all the pool's packets
 *   now and then, look for expired flows
 *   answer a call of the control thread
 *
 * While there are flows a worker wakes at least every second to age them; without flows it sleeps
 * until something happens.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "iface_link.h"
#include "pipeline.h"

enum {
	POOL_PACKETS = 512,
	TRACE_RECORDS = 16384,
	READY_ROUNDS = 128,       /* batches from memory in one cycle */
	EXPIRE_BUDGET_BUSY = 512, /* flow records per node and tick */
	EXPIRE_BUDGET_IDLE = 8192,
};

#define TICK_BUSY_NS (100 * NS_PER_MS)
#define TICK_IDLE_NS NS_PER_S

int worker_init(struct worker *w, struct engine *e, unsigned index)
{
	unsigned packets = e->config.pool_packets ? e->config.pool_packets : POOL_PACKETS;
	int error;

	w->engine = e;
	w->index = index;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->done, NULL);
	error = poller_init(&w->poller);
	if (error)
		return error;
	error = packet_pool_new(&w->pool, packets);
	if (!error)
		error = trace_new(&w->trace, TRACE_RECORDS);
	return error;
}

void worker_release(struct worker *w)
{
	trace_free(w->trace);
	packet_pool_free(w->pool);
	poller_release(&w->poller);
	pthread_cond_destroy(&w->done);
	pthread_mutex_destroy(&w->lock);
	free(w->nodes);
}

void worker_wake(struct worker *w)
{
	if (atomic_load(&w->asleep) && !atomic_exchange(&w->notified, true))
		poller_wake(&w->poller);
}

unsigned worker_receive(struct worker *w, struct iface *i)
{
	struct batch b = {.count = 0};
	unsigned n = i->ops->receive(i, w->pool, &b);

	if (i->more)
		ready_push(&w->ready, i);
	if (n) {
		w->processed += n;
		pipeline_run(i->node, &b, w->now_ns);
	}
	if (UNLIKELY(!i->up))
		poller_remove(&w->poller, i); /* its descriptor would be reported for ever */
	return n;
}

void worker_unready(struct worker *w, const struct iface *gone)
{
	struct ready_list kept = {0};
	struct iface *i;

	while ((i = ready_pop(&w->ready)) != NULL)
		if (i != gone)
			ready_push(&kept, i);
	w->ready = kept;
}

/* A call ends a cycle after the present batch: what is left is found again in the next. */
static bool is_called(const struct worker *w)
{
	return atomic_load_explicit(&w->call, memory_order_relaxed) != NULL;
}

static void receive_ready(struct worker *w)
{
	struct iface *i;

	for (unsigned n = 0; n < READY_ROUNDS && (i = ready_pop(&w->ready)) != NULL; n++) {
		worker_receive(w, i);
		if (is_called(w))
			break;
	}
}

/* Ages flows. A wake-up costs more than the look, so an idle worker looks longer and less often. */
static void tick(struct worker *w)
{
	bool busy = w->processed != w->processed_at_tick;
	size_t budget = busy ? EXPIRE_BUDGET_BUSY : EXPIRE_BUDGET_IDLE;
	size_t flows = 0;

	for (size_t n = 0; n < w->node_count; n++) {
		struct node *node = w->nodes[n];

		if (!flow_table_count(node->flows))
			continue;
		node->stats.flows_expired += flow_table_expire(node->flows, w->now_ns, budget);
		flows += flow_table_count(node->flows);
	}
	w->processed_at_tick = w->processed;
	w->tick_ns = flows ? w->now_ns + (busy ? TICK_BUSY_NS : TICK_IDLE_NS) : 0;
}

/* Says that it sleeps, then looks whether it may. */
static unsigned sleep_until_ready(struct worker *w, struct iface **ready)
{
	struct engine *e = w->engine;
	uint64_t timeout = UINT64_MAX;
	unsigned n;

	tables_leave(e->tables, w->index);
	atomic_store(&w->notified, false);
	atomic_store(&w->asleep, 1);
	if (w->ready.first || atomic_load(&w->call) || fabric_waiting(e->fabric, w->index))
		timeout = 0;
	else if (w->tick_ns)
		timeout = w->tick_ns > w->now_ns ? w->tick_ns - w->now_ns : 0;
	n = poller_wait(&w->poller, ready, timeout);
	atomic_store(&w->asleep, 0);
	return n;
}

static void cycle(struct worker *w)
{
	struct engine *e = w->engine;
	struct iface *ready[POLLER_EVENTS];
	uint64_t before = w->processed;
	unsigned n = sleep_until_ready(w, ready);

	w->now_ns = engine_now(e);
	tables_enter(e->tables, w->index);
	atomic_store_explicit(&w->revision, atomic_load(&e->tables->revision),
			      memory_order_release);
	for (unsigned k = 0; k < n && (k == 0 || !is_called(w)); k++)
		worker_receive(w, ready[k]);
	fabric_collect(e->fabric, w->index, w->pool);
	receive_ready(w);
	if (w->tick_ns && w->now_ns >= w->tick_ns)
		tick(w);
	else if (!w->tick_ns && w->processed != before)
		w->tick_ns = w->now_ns + TICK_BUSY_NS;
	worker_answer(w);
}

void *worker_main(void *context)
{
	struct worker *w = context;
	char name[32];

	(void)snprintf(name, sizeof(name), "netsim-w%u", w->index);
	pthread_setname_np(pthread_self(), name);
	w->leaving = false;
	w->tick_ns = engine_now(w->engine); /* flows may have been adopted */
	while (!w->leaving)
		cycle(w);
	tables_leave(w->engine->tables, w->index);
	return NULL;
}
