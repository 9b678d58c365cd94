/* SPDX-License-Identifier: Apache-2.0 */
/* engine_worker.c - the poll cycle.
 *
 *   have what was held back sent; sleep until an iface, another worker or the control thread has
 *   something
 *   take the time; enter the tables
 *   packets from other workers' rings to their links
 *   batch by batch through the pipeline, from ifaces with input, first come first served, until
 *   there is no more: what came in by descriptors goes out by links before more is taken, so that
 *   no flood takes all the pool's packets
 *   now and then, look for expired flows
 *   answer a call of the control thread
 *
 * While there are flows a worker wakes at least every second to age them; without flows it sleeps
 * until something happens.
 */
#include "engine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "iface_link.h"
#include "pipeline.h"

enum {
	POOL_PACKETS = 512,
	TRACE_RECORDS = 16384,
	READY_ROUNDS = 128,       /* batches from memory in one cycle */
	SPIN_PACKETS = 4,         /* one each way, through two nodes */
	LOOK_NS_MAX = 3000,       /* a look that took longer let another thread run */
	EXPIRE_BUDGET_BUSY = 512, /* flow records per node and tick */
	EXPIRE_BUDGET_IDLE = 8192,
};

#define TICK_BUSY_NS (100 * NS_PER_MS)
#define TICK_IDLE_NS NS_PER_S
#define SPIN_NS      UINT64_C(150000) /* more than a wake-up on another processor takes */

int worker_init(struct worker *w, struct engine *e, unsigned index)
{
	int error;

	w->engine = e;
	w->index = index;
	w->pool_packets = e->config.pool_packets ? e->config.pool_packets : POOL_PACKETS;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->done, NULL);
	error = poller_init(&w->poller, &w->ready);
	if (error)
		return error;
	error = packet_pool_new(&w->pool, w->pool_packets);
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

/* Whether the worker's way of polling lets it sleep now. */
static bool may_sleep(const struct worker *w)
{
	switch ((enum polling)w->engine->config.polling) {
	case POLLING_SLEEP:
		return true;
	case POLLING_SPIN:
		return engine_now(w->engine) >= w->spin_until_ns;
	default:
		return false;
	}
}

static bool has_work(const struct worker *w)
{
	return w->ready.first || atomic_load(&w->call) ||
	       fabric_waiting(w->engine->fabric, w->index);
}

/* Says that it sleeps, then looks whether it may. False: it did not try to. */
static bool sleep_until_ready(struct worker *w)
{
	uint64_t timeout = UINT64_MAX;

	tables_leave(w->engine->tables, w->index);
	if (!may_sleep(w)) {
		poller_wait(&w->poller, 0);
		if (!has_work(w))
			sched_yield(); /* to the programs that would give it something to do */
		return false;
	}
	atomic_store(&w->notified, false);
	atomic_store(&w->asleep, 1);
	if (has_work(w))
		timeout = 0;
	else if (w->tick_ns)
		timeout = w->tick_ns > w->now_ns ? w->tick_ns - w->now_ns : 0;
	poller_wait(&w->poller, timeout);
	atomic_store(&w->asleep, 0);
	return true;
}

/* Looking pays where somebody waits for each answer: a packet or two at a time, soon after the last
 * ones. With more under way the processor is better left to the programs.
 */
static void spin_or_not(struct worker *w, uint64_t packets)
{
	if (!packets)
		return;
	if (packets <= SPIN_PACKETS && w->now_ns - w->worked_ns < SPIN_NS)
		w->spin_until_ns = w->now_ns + SPIN_NS;
	else
		w->spin_until_ns = 0;
	w->worked_ns = w->now_ns;
}

/* Keeps time of which the worker only looked apart from work, for engine_balance(). */
static void count_look(struct worker *w, uint64_t began_ns)
{
	uint64_t took = w->now_ns - began_ns;
	uint64_t sum = atomic_load_explicit(&w->looked_ns, memory_order_relaxed);

	atomic_store_explicit(&w->looked_ns, sum + (took < LOOK_NS_MAX ? took : LOOK_NS_MAX),
			      memory_order_relaxed);
}

static void cycle(struct worker *w)
{
	struct engine *e = w->engine;
	uint64_t before = w->processed, began_ns = w->now_ns;
	bool slept = sleep_until_ready(w);

	w->now_ns = engine_now(e);
	tables_enter(e->tables, w->index);
	atomic_store_explicit(&w->revision, atomic_load(&e->tables->revision),
			      memory_order_release);
	fabric_collect(e->fabric, w->index, w->pool);
	receive_ready(w);
	spin_or_not(w, w->processed - before);
	if (!slept && w->processed == before)
		count_look(w, began_ns);
	if (w->tick_ns && w->now_ns >= w->tick_ns)
		tick(w);
	else if (!w->tick_ns && w->processed != before)
		w->tick_ns = w->now_ns + TICK_BUSY_NS;
	if (UNLIKELY(is_called(w))) {
		poller_wait(&w->poller, 0); /* nothing is under way during a call */
		worker_answer(w);
	}
}

/* Hands the ifaces to the thread's way of waiting. */
static void enter(struct worker *w)
{
	poller_enter(&w->poller);
	for (size_t n = 0; n < w->node_count; n++)
		for (uint32_t k = 0; k < w->nodes[n]->iface_count; k++)
			if (poller_add(&w->poller, w->nodes[n]->ifaces[k]))
				w->nodes[n]->ifaces[k]->up = false;
}

static void leave(struct worker *w)
{
	for (size_t n = 0; n < w->node_count; n++)
		for (uint32_t k = 0; k < w->nodes[n]->iface_count; k++)
			poller_remove(&w->poller, w->nodes[n]->ifaces[k]);
	poller_leave(&w->poller);
}

void *worker_main(void *context)
{
	struct worker *w = context;
	char name[32];

	(void)snprintf(name, sizeof(name), "netsim-w%u", w->index);
	pthread_setname_np(pthread_self(), name);
	packet_pool_touch(w->pool);
	w->leaving = false;
	w->tick_ns = engine_now(w->engine); /* flows may have been adopted */
	enter(w);
	while (!w->leaving)
		cycle(w);
	leave(w);
	tables_leave(w->engine->tables, w->index);
	return NULL;
}
