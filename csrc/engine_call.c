/* SPDX-License-Identifier: Apache-2.0 */
/* engine_call.c - the control thread has a worker run a function, and waits.
 *
 * There is one control thread and it waits, so a mailbox of one slot is enough. Posting is ordered
 * before the look at `asleep`, and the worker's look into the mailbox after it has set `asleep`:
 * one of the two sees the other.
 */
#include "engine.h"

#include <time.h>

uint64_t engine_now(const struct engine *e)
{
	struct timespec t;

	if (e->stepped)
		return e->step_ns;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

int64_t engine_call(struct worker *w, int64_t (*run)(struct worker *w, void *arg), void *arg)
{
	struct call c = {.run = run, .arg = arg};

	if (!w->running)
		return run(w, arg);
	atomic_store(&w->call, &c);
	worker_wake(w);
	pthread_mutex_lock(&w->lock);
	while (!c.done)
		pthread_cond_wait(&w->done, &w->lock);
	pthread_mutex_unlock(&w->lock);
	return c.result;
}

void worker_answer(struct worker *w)
{
	struct call *c = atomic_load_explicit(&w->call, memory_order_acquire);

	if (LIKELY(!c))
		return;
	c->result = c->run(w, c->arg);
	atomic_store_explicit(&w->call, NULL, memory_order_relaxed);
	pthread_mutex_lock(&w->lock);
	c->done = true;
	pthread_cond_signal(&w->done);
	pthread_mutex_unlock(&w->lock);
}
