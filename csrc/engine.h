/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - the engine's inside: workers, what they own, and how the control thread reaches it.
 * Rank 8.
 *
 * A worker owns its pool, nodes and ifaces; only it touches them. The control thread asks by a
 * call, which the worker executes between two poll cycles (or the control thread itself, while the
 * worker does not run). Around a call no packet is under way and no pointer into the tables is
 * held.
 */
#ifndef NETSIM_ENGINE_H
#define NETSIM_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "netsim.h"
#include "poller.h"

struct fabric;
struct worker;

/* What a worker is asked to do; lies on the asking thread's stack. */
struct call {
	int64_t (*run)(struct worker *w, void *arg);
	void *arg;
	int64_t result;
	bool done; /* under the worker's lock */
};

struct worker {
	struct engine *engine;
	unsigned index;

	struct packet_pool *pool;
	unsigned pool_packets;
	struct trace *trace;
	struct poller poller;
	struct ready_list ready;
	struct node **nodes;
	size_t node_count;
	size_t node_room;
	uint64_t now_ns;
	uint64_t tick_ns; /* next look for expired flows; 0: there are no flows */
	uint64_t processed;
	uint64_t processed_at_tick;
	uint64_t spin_until_ns;     /* POLLING_SPIN: when to sleep if nothing comes */
	uint64_t worked_ns;         /* when the last packets came */
	_Atomic uint64_t looked_ns; /* time of looks that found nothing and did not sleep */

	pthread_t thread;
	uint64_t work_ns; /* processor time less looks, as engine_balance() saw it last */
	bool running;     /* control thread's own */
	bool leaving;     /* worker's own: the loop ends */
	pthread_mutex_t lock;
	pthread_cond_t done;

	_Alignas(CACHE_LINE) _Atomic(struct call *) call;
	atomic_uint asleep;        /* waits: holds nothing, sees everything when it wakes */
	atomic_bool notified;      /* somebody has already written to its event descriptor */
	_Atomic uint64_t revision; /* of the tables at the last cycle's start */
};

enum iface_kind { KIND_NONE, KIND_QUEUE, KIND_TUN, KIND_UDP, KIND_LINK };

struct iface_entry {
	struct iface *iface; /* NULL: gone */
	struct node *node;
	uint8_t kind; /* enum iface_kind */
};

struct capture_entry {
	struct capture *capture; /* NULL: stopped */
	struct iface *iface;     /* NULL: a socket, or an iface that has gone */
};

struct engine {
	struct engine_config config;
	struct tables *tables;
	struct flow_arena *arena;
	struct fabric *fabric;
	bool stepped;
	bool started;
	enum io_method io;
	int io_error; /* why it is not io_uring */
	uint64_t balanced_ns;
	uint64_t step_ns; /* time of a stepped engine */

	/* control thread's own; by id */
	struct node **nodes;
	size_t node_count;
	struct iface_entry *ifaces;
	size_t iface_count;
	struct capture_entry *captures;
	size_t capture_count;

	unsigned worker_count; /* 1 for a stepped engine */
	struct worker *workers;
};

/* engine_worker.c */

int worker_init(struct worker *w, struct engine *e, unsigned index);
void worker_release(struct worker *w); /* no nodes are left */
void *worker_main(void *context);

/**
 * worker_wake() - Make a worker that sleeps look again (any thread)
 */
void worker_wake(struct worker *w);

/**
 * worker_receive() - One batch from an iface through the pipeline
 *
 * Return: packets received.
 */
unsigned worker_receive(struct worker *w, struct iface *i);

/**
 * worker_unready() - Take an iface that goes away off the ready list
 */
void worker_unready(struct worker *w, const struct iface *gone);

/**
 * worker_node_room() - Make room for one more node
 */
int worker_node_room(struct worker *w);
void worker_node_remove(struct worker *w, const struct node *n);

/* engine_call.c */

/**
 * engine_call() - Have a worker run a function at its next quiet point, and wait for it
 *
 * Return: what @run returned.
 */
int64_t engine_call(struct worker *w, int64_t (*run)(struct worker *w, void *arg), void *arg);

/**
 * worker_answer() - Run the call that waits, if any (the worker's thread, at a quiet point)
 */
void worker_answer(struct worker *w);

/**
 * engine_now() - Time as workers see it: CLOCK_MONOTONIC, or the last step's
 */
uint64_t engine_now(const struct engine *e);

/* engine_node.c, engine_iface.c: by id; NULL if it is not or no longer there */

struct node *engine_node(const struct engine *e, uint32_t id);
struct iface_entry *engine_iface(const struct engine *e, uint32_t id);

static inline struct worker *engine_worker_of(const struct engine *e, const struct node *n)
{
	return &e->workers[n->worker];
}

/**
 * engine_iface_close() - Detach and close an iface (its worker, at a quiet point)
 */
void engine_iface_close(struct worker *w, struct iface *i);

/**
 * engine_capture_forget() - An iface goes: its captures go on without it until stopped
 */
void engine_capture_forget(struct engine *e, const struct iface *i);
void engine_capture_end_all(struct engine *e);

#endif
