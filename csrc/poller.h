/* SPDX-License-Identifier: Apache-2.0 */
/* poller.h - which ifaces have input, and sleeping until one has. Rank 7.
 *
 * The only place that knows how a worker waits: another mechanism (io_uring) replaces poller.c and
 * brings ifaces of its own; stages, pipeline and engine stay.
 */
#ifndef NETSIM_POLLER_H
#define NETSIM_POLLER_H

#include "iface.h"

enum { POLLER_EVENTS = 64 };

struct poller {
	int epoll_fd;
	int event_fd;
};

extern const char *const poller_name;

int poller_init(struct poller *p);
void poller_release(struct poller *p);

/**
 * poller_add() - Watch i->fd
 *
 * Return: 0, or what epoll_ctl() says.
 */
int poller_add(struct poller *p, struct iface *i);
void poller_remove(struct poller *p, struct iface *i);

/**
 * poller_wait() - Ifaces with input
 * @timeout_ns:	0: do not sleep; UINT64_MAX: for ever
 *
 * Return: how many of @ready were filled in.
 */
unsigned poller_wait(struct poller *p, struct iface *ready[POLLER_EVENTS], uint64_t timeout_ns);

/**
 * poller_wake() - End the present or next poller_wait() (any thread)
 */
void poller_wake(struct poller *p);

#endif
