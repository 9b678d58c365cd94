/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - epoll, level-triggered; timers in queues by duration; memory freed after each round. */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 128
#define NS_PER_MS  UINT64_C(1000000)

static const uint64_t durations_ns[PATIENCES] = {
    [PATIENCE_250_MS] = 250 * NS_PER_MS,
    [PATIENCE_500_MS] = 500 * NS_PER_MS,
    [PATIENCE_1_S] = 1000 * NS_PER_MS,
    [PATIENCE_2_S] = 2000 * NS_PER_MS,
};
static int epoll_fd;
static uint64_t now_ns;
static struct link queues[PATIENCES];
static void *garbage; /* each piece begins with a pointer to the next */

void link_init(struct link *l)
{
	l->next = l->previous = l;
}

void link_insert(struct link *head, struct link *l)
{
	l->next = head;
	l->previous = head->previous;
	head->previous->next = l;
	head->previous = l;
}

void link_remove(struct link *l)
{
	l->next->previous = l->previous;
	l->previous->next = l->next;
	link_init(l);
}

bool link_is_empty(const struct link *head)
{
	return head->next == head;
}

int loop_wait_for(struct watch *w, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = w};
	int operation = w->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (w->events == events)
		return 0;
	if (events == 0)
		operation = EPOLL_CTL_DEL;
	if (epoll_ctl(epoll_fd, operation, w->fd, &event) < 0)
		return -errno;
	w->events = events;
	return 0;
}

void loop_close(struct watch *w)
{
	if (w->fd < 0)
		return;
	(void)loop_wait_for(w, 0);
	close(w->fd);
	w->fd = -1;
}

void timer_init(struct timer *t, void (*ended)(struct timer *t))
{
	link_init(&t->link);
	t->ended = ended;
}

void timer_start(struct timer *t, enum patience patience)
{
	link_remove(&t->link);
	link_insert(&queues[patience], &t->link);
	t->due_ns = now_ns + durations_ns[patience];
}

void timer_stop(struct timer *t)
{
	link_remove(&t->link);
}

static void look_at_clock(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = (uint64_t)now.tv_sec * 1000 * NS_PER_MS + (uint64_t)now.tv_nsec;
}

uint64_t loop_now_ns(void)
{
	return now_ns;
}

int loop_init(void)
{
	for (int i = 0; i < PATIENCES; i++)
		link_init(&queues[i]);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	look_at_clock();
	return epoll_fd < 0 ? -errno : 0;
}

void loop_free(void *memory)
{
	memcpy(memory, &garbage, sizeof(garbage));
	garbage = memory;
}

static void free_garbage(void)
{
	while (garbage) {
		void *next;

		memcpy(&next, garbage, sizeof(next));
		free(garbage);
		garbage = next;
	}
}

static struct timer *first_in(const struct link *queue)
{
	return link_is_empty(queue) ? NULL : container_of(queue->next, struct timer, link);
}

static void end_timers(void)
{
	for (int i = 0; i < PATIENCES; i++) {
		struct timer *t;

		while ((t = first_in(&queues[i])) && t->due_ns <= now_ns) {
			link_remove(&t->link);
			t->ended(t);
		}
	}
}

/* In ms, rounded up; -1: for ever. */
static int until_next_timer(void)
{
	uint64_t due_ns = UINT64_MAX;

	for (int i = 0; i < PATIENCES; i++) {
		const struct timer *t = first_in(&queues[i]);

		if (t && t->due_ns < due_ns)
			due_ns = t->due_ns;
	}
	if (due_ns == UINT64_MAX)
		return -1;
	return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

int loop_run(void)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, until_next_timer());

		if (n < 0 && errno != EINTR)
			return -errno;
		look_at_clock();
		for (int i = 0; i < n; i++) {
			struct watch *w = events[i].data.ptr;

			if (w->fd >= 0)
				w->ready(w, events[i].events);
		}
		end_timers();
		free_garbage();
	}
}
