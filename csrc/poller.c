/* SPDX-License-Identifier: Apache-2.0 */
/* poller.c - epoll, level-triggered: what an iface leaves unread is reported again. */
#include "poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

const char *const poller_name = "epoll";

static int watch(struct poller *p, int fd, void *data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};

	return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int poller_init(struct poller *p)
{
	int error;

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
	if (p->event_fd >= 0)
		close(p->event_fd);
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
	p->event_fd = -1;
	p->epoll_fd = -1;
}

int poller_add(struct poller *p, struct iface *i)
{
	return i->fd < 0 ? 0 : watch(p, i->fd, i);
}

void poller_remove(struct poller *p, struct iface *i)
{
	if (i->fd >= 0)
		(void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, i->fd, NULL);
}

unsigned poller_wait(struct poller *p, struct iface *ready[POLLER_EVENTS], uint64_t timeout_ns)
{
	struct epoll_event events[POLLER_EVENTS];
	uint64_t ms = (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
	int at_most = (int)(ms < 60000 ? ms : 60000);
	int timeout = timeout_ns == UINT64_MAX ? -1 : at_most;
	int n = epoll_wait(p->epoll_fd, events, POLLER_EVENTS, timeout);
	unsigned count = 0;

	for (int k = 0; k < n; k++) {
		uint64_t wakes;

		if (events[k].data.ptr)
			ready[count++] = events[k].data.ptr;
		else
			(void)!read(p->event_fd, &wakes, sizeof(wakes));
	}
	return count;
}

void poller_wake(struct poller *p)
{
	uint64_t one = 1;

	(void)!write(p->event_fd, &one, sizeof(one));
}
