/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - life of an engine: made, started, stopped, freed; tables; information.
 *
 * A stepped engine has one worker, which the caller's thread plays in engine_step().
 */
#include "engine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "iface_link.h"

#define ARENA_BYTES (UINT64_C(1) << 30)

static void wake_worker(void *context, unsigned worker)
{
	struct engine *e = context;

	worker_wake(&e->workers[worker]);
}

static int engine_init(struct engine *e)
{
	const struct engine_config *c = &e->config;
	uint64_t seed = c->seed;
	int error;

	error = tables_new(&e->tables, random_next(&seed));
	if (error)
		return error;
	error =
	    flow_arena_open(&e->arena, c->arena_fd, c->arena_bytes ? c->arena_bytes : ARENA_BYTES);
	if (error)
		return error;
	error = fabric_new(&e->fabric, e->worker_count, wake_worker, e);
	if (error)
		return error;
	for (unsigned n = 0; n < e->worker_count; n++) {
		error = worker_init(&e->workers[n], e, n);
		if (error)
			return error;
		fabric_ready_list(e->fabric, n, &e->workers[n].ready);
	}
	return 0;
}

int engine_new(struct engine **out, const struct engine_config *config)
{
	struct engine *e;
	size_t bytes;
	int error;

	if (config->workers > WORKERS_MAX || config->io > IO_EPOLL ||
	    config->polling > POLLING_BUSY)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->config = *config;
	e->stepped = config->workers == 0;
	e->worker_count = e->stepped ? 1 : config->workers;
	bytes = e->worker_count * sizeof(struct worker);
	e->workers = aligned_alloc(CACHE_LINE, bytes);
	if (!e->workers) {
		free(e);
		return -ENOMEM;
	}
	memset(e->workers, 0, bytes);
	for (unsigned n = 0; n < e->worker_count; n++)
		e->workers[n].poller = (struct poller){.epoll_fd = -1, .event_fd = -1};
	e->io = io_method_choose(config->io, &e->io_error);
	error = config->io == IO_URING ? e->io_error : 0;
	if (!error)
		error = engine_init(e);
	if (error) {
		engine_free(e);
		return error;
	}
	*out = e;
	return 0;
}

/* Flows stay in the arena: another engine may adopt them. */
static void node_close(struct worker *w, struct node *n)
{
	while (n->iface_count)
		engine_iface_close(w, n->ifaces[0]);
	node_free(n);
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	engine_stop(e);
	for (size_t n = 0; n < e->iface_count; n++)
		if (e->ifaces[n].iface)
			engine_capture_forget(e, e->ifaces[n].iface);
	engine_capture_end_all(e);
	for (size_t n = 0; n < e->node_count; n++)
		if (e->nodes[n])
			node_close(engine_worker_of(e, e->nodes[n]), e->nodes[n]);
	fabric_free(e->fabric);
	for (unsigned n = 0; n < e->worker_count; n++)
		worker_release(&e->workers[n]);
	tables_free(e->tables);
	if (e->arena)
		flow_arena_close(e->arena);
	free(e->captures);
	free(e->ifaces);
	free(e->nodes);
	free(e->workers);
	free(e);
}

/* Signals are for the program's own threads. */
static int worker_start(struct worker *w)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	w->running = error == 0;
	return -error;
}

/* Rings for all workers or for none. */
static int rings_make(struct engine *e)
{
	int error = 0;

	for (unsigned n = 0; n < e->worker_count && !error; n++)
		error = poller_ring(&e->workers[n].poller, e->workers[n].pool,
				    e->workers[n].pool_packets);
	if (!error)
		return 0;
	for (unsigned n = 0; n < e->worker_count; n++)
		poller_leave(&e->workers[n].poller);
	if (e->config.io == IO_URING)
		return error;
	e->io = IO_EPOLL;
	e->io_error = error;
	return 0;
}

int engine_start(struct engine *e)
{
	int failed;

	if (e->stepped)
		return -EINVAL;
	failed = e->io == IO_URING && !e->started ? rings_make(e) : 0;
	if (failed)
		return failed;
	for (unsigned n = 0; n < e->worker_count && !e->started; n++) {
		int error = worker_start(&e->workers[n]);

		if (error) {
			e->started = true;
			engine_stop(e);
			return error;
		}
	}
	e->started = true;
	return 0;
}

static int64_t leave(struct worker *w, void *arg)
{
	(void)arg;
	w->leaving = true;
	return 0;
}

void engine_stop(struct engine *e)
{
	for (unsigned n = 0; n < e->worker_count; n++) {
		struct worker *w = &e->workers[n];

		if (!w->running)
			continue;
		engine_call(w, leave, NULL);
		pthread_join(w->thread, NULL);
		w->running = false;
	}
	e->started = false;
}

enum io_method engine_io(int *error)
{
	return io_method_choose(IO_AUTO, error);
}

int engine_service_set(struct engine *e, const struct service_spec *spec)
{
	return tables_set_service(e->tables, spec);
}

int engine_service_remove(struct engine *e, const struct service_key *key)
{
	return tables_remove_service(e->tables, key);
}

void engine_services_begin(struct engine *e)
{
	tables_begin_services(e->tables);
}

void engine_services_end(struct engine *e)
{
	tables_commit_services(e->tables);
}

int engine_routes(struct engine *e, const struct route_row *rows, size_t count)
{
	struct route_table *t;
	int error = route_table_new(&t, rows, count);

	if (!error)
		tables_set_routes(e->tables, t);
	return error;
}

int engine_peers(struct engine *e, const struct peer_row *rows, size_t count)
{
	struct peer_table *t;
	int error = peer_table_new(&t, rows, count);

	if (!error)
		tables_set_peers(e->tables, t);
	return error;
}

/* Nobody is woken: a worker that sleeps sees the new tables when it wakes, and holds no old ones.
 */
int engine_publish(struct engine *e, uint64_t revision)
{
	tables_publish(e->tables, revision);
	tables_reap(e->tables);
	return 0;
}

static int64_t flows_bytes(struct worker *w, void *arg)
{
	int64_t bytes = 0;

	(void)arg;
	for (size_t n = 0; n < w->node_count; n++)
		bytes += (int64_t)flow_table_bytes(w->nodes[n]->flows);
	return bytes;
}

int engine_info(struct engine *e, struct engine_info *out)
{
	*out = (struct engine_info){
	    .tables_bytes = service_table_bytes(e->tables->services),
	    .retired_waiting = tables_reap(e->tables),
	    .services = service_table_count(e->tables->services),
	    .workers = e->stepped ? 0 : e->worker_count,
	    .io = e->io,
	    .io_error = e->io_error,
	};
	for (unsigned n = 0; n < e->worker_count; n++)
		out->flows_bytes += (uint64_t)engine_call(&e->workers[n], flows_bytes, NULL);
	return 0;
}
