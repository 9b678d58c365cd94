/* SPDX-License-Identifier: Apache-2.0 */
/* poller.c - io_uring (iface_ring.c), or epoll, level-triggered: what an iface leaves unread is
 * reported again.
 */
#include "poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "iface_ring.h"
#include "uring.h"

enum { EVENTS = 64, TRIAL_ENTRIES = 8 };

enum io_method io_method_choose(enum io_method wanted, int *error)
{
	struct uring *trial = NULL;

	*error = wanted == IO_EPOLL ? 0 : uring_new(&trial, TRIAL_ENTRIES, TRIAL_ENTRIES);
	uring_free(trial);
	return wanted == IO_EPOLL || *error ? IO_EPOLL : IO_URING;
}

static int watch(struct poller *p, int fd, void *data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};

	return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int poller_init(struct poller *p, struct ready_list *ready)
{
	int error;

	p->ready = ready;
	p->event_fd = -1;
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0)
		return -errno;
	p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = p->event_fd < 0 ? -errno : watch(p, p->event_fd, NULL);
	if (error)
		poller_release(p);
	return error;
}

void poller_release(struct poller *p)
{
	poller_leave(p);
	if (p->event_fd >= 0)
		close(p->event_fd);
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
	p->event_fd = -1;
	p->epoll_fd = -1;
}

int poller_ring(struct poller *p, struct packet_pool *pool, unsigned packets)
{
	return iface_ring_new(&p->ring, pool, packets);
}

void poller_enter(struct poller *p)
{
	if (p->ring && iface_ring_enable(p->ring, p->event_fd, p->ready))
		poller_leave(p);
	p->entered = true;
}

void poller_leave(struct poller *p)
{
	p->entered = false;
	iface_ring_free(p->ring);
	p->ring = NULL;
}

int poller_add(struct poller *p, struct iface *i)
{
	if (i->fd < 0 || !i->up || !p->entered)
		return 0;
	if (!p->ring)
		return watch(p, i->fd, i);
	iface_ring_attach(p->ring, i);
	return 0;
}

void poller_remove(struct poller *p, struct iface *i)
{
	if (i->ring)
		iface_ring_detach(i->ring, i);
	else if (i->fd >= 0 && !p->ring && p->entered)
		(void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, i->fd, NULL);
}

static void wait_epoll(struct poller *p, uint64_t timeout_ns)
{
	struct epoll_event events[EVENTS];
	uint64_t ms = (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
	int at_most = (int)(ms < 60000 ? ms : 60000);
	int timeout = timeout_ns == UINT64_MAX ? -1 : at_most;
	int n = epoll_wait(p->epoll_fd, events, EVENTS, timeout);

	for (int k = 0; k < n; k++) {
		uint64_t wakes;

		if (events[k].data.ptr)
			ready_push(p->ready, events[k].data.ptr);
		else
			(void)!read(p->event_fd, &wakes, sizeof(wakes));
	}
}

void poller_wait(struct poller *p, uint64_t timeout_ns)
{
	if (p->ring)
		iface_ring_wait(p->ring, timeout_ns);
	else
		wait_epoll(p, timeout_ns);
}

void poller_wake(struct poller *p)
{
	uint64_t one = 1;

	(void)!write(p->event_fd, &one, sizeof(one));
}
