/* SPDX-License-Identifier: Apache-2.0 */
/* poller.h - which ifaces have input, and sleeping until one has. Rank 5.
 *
 * The only place that knows how a worker waits: with io_uring, or with epoll where that is not to
 * be had. Stages and pipeline do not; an iface asks whether it has a ring. Of one worker: what is
 * not said to be for any thread is called by the worker, or by the control thread while the worker
 * does not run.
 */
#ifndef NETSIM_POLLER_H
#define NETSIM_POLLER_H

#include "iface.h"

enum io_method { IO_AUTO, IO_URING, IO_EPOLL };

struct poller {
	int epoll_fd;
	int event_fd;
	struct iface_ring *ring; /* NULL: epoll */
	struct ready_list *ready;
	bool entered; /* a worker's thread waits with it */
};

/**
 * io_method_choose() - What workers can wait with
 * @wanted:	IO_AUTO for the best
 * @error:	why it is not io_uring: negative errno, 0 if it is or was not wanted
 *
 * Return: IO_URING or IO_EPOLL.
 */
enum io_method io_method_choose(enum io_method wanted, int *error);

/**
 * poller_init() - Make a poller
 * @ready:	where ifaces with input are put
 */
int poller_init(struct poller *p, struct ready_list *ready);
void poller_release(struct poller *p);

/**
 * poller_ring() - Make ready to wait with io_uring (any thread, before the worker runs)
 * @packets:	in @pool
 *
 * Return: 0, or why it can not be.
 */
int poller_ring(struct poller *p, struct packet_pool *pool, unsigned packets);

/**
 * poller_enter() - The worker's thread begins; ifaces are added afterwards
 */
void poller_enter(struct poller *p);

/**
 * poller_leave() - It ends; every iface is removed
 */
void poller_leave(struct poller *p);

/**
 * poller_add() - Watch i->fd, if a worker's thread has entered; nothing otherwise
 *
 * Return: 0, or what epoll_ctl() says.
 */
int poller_add(struct poller *p, struct iface *i);
void poller_remove(struct poller *p, struct iface *i);

/**
 * poller_wait() - Have ifaces send what they hold back, and put those with input on the ready list
 * @timeout_ns:	0: do not sleep; UINT64_MAX: for ever
 */
void poller_wait(struct poller *p, uint64_t timeout_ns);

/**
 * poller_wake() - End the present or next poller_wait() (any thread)
 */
void poller_wake(struct poller *p);

#endif
