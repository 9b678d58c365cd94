/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - what the relay waits for: descriptors, and times. One thread, epoll. */
#ifndef NETSIM_RELAY_LOOP_H
#define NETSIM_RELAY_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A ring of things that have a place in it; its head is one without a thing. */
struct link {
	struct link *next, *previous;
};

void link_init(struct link *l);
void link_insert(struct link *head, struct link *l); /* as the last */
void link_remove(struct link *l);                    /* and it is a ring of its own */
bool link_is_empty(const struct link *head);

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* The current one may be removed. */
#define for_each(l, head)                                                                          \
	for (struct link *l = (head)->next, *l##_next = l->next; l != (head);                      \
	     l = l##_next, l##_next = l->next)

/* A descriptor, and what to do when it is ready. */
struct watch {
	void (*ready)(struct watch *w, uint32_t events);
	int fd;          /* -1: closed; what is reported of it meanwhile is passed over */
	uint32_t events; /* that are waited for; 0: none, it is not in the set */
};

/**
 * loop_wait_for() - Change what a descriptor is waited for
 * @events:	EPOLLIN, EPOLLOUT; 0 for nothing, then errors are not told either
 *
 * Return: 0 or negative errno.
 */
int loop_wait_for(struct watch *w, uint32_t events);

/**
 * loop_close() - Close a descriptor, if it is open
 */
void loop_close(struct watch *w);

/* Durations that are waited for; each has a queue of its own, so that the first in it is due first.
 */
enum patience { PATIENCE_250_MS, PATIENCE_500_MS, PATIENCE_1_S, PATIENCE_2_S, PATIENCES };

struct timer {
	struct link link;
	uint64_t due_ns;
	void (*ended)(struct timer *t);
};

void timer_init(struct timer *t, void (*ended)(struct timer *t));
void timer_start(struct timer *t, enum patience patience); /* or start again */
void timer_stop(struct timer *t);

int loop_init(void);
uint64_t loop_now_ns(void); /* as of the last events */

/**
 * loop_free() - Free memory once nothing that is under way can mention it
 * @memory:	from malloc(), at least as large as a pointer
 */
void loop_free(void *memory);

/**
 * loop_run() - Work until epoll fails
 *
 * Return: negative errno.
 */
int loop_run(void);

#endif
