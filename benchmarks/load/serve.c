/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - the server: echo, sink, UDP sink, and one answer per connection. One thread, epoll.
 *
 * The server of PORT_ASK closes first, so that TIME_WAIT is its own and a client that asks ten
 * thousand times a second does not run out of ports.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64, CHUNK = 256 * 1024, DATAGRAMS = 64, DATAGRAM_BYTES = 2048 };

struct peer {
	int fd;
	unsigned role; /* PORT_*; PORTS + PORT_*: listens */
	uint64_t bytes;
};

static uint8_t buffer[CHUNK];
static int poller;

static void watch(int fd, unsigned role)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};

	if (!p)
		die("memory");
	p->fd = fd;
	p->role = role;
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
}

static void forget(struct peer *p)
{
	close(p->fd);
	free(p);
}

static void listen_on(unsigned port, unsigned role)
{
	bool stream = role != PORT_UDP;
	int one = 1, fd = load_socket((stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK);
	struct sockaddr_in a = load_address("0.0.0.0", port);

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)))
		die("bind");
	if (stream && listen(fd, 4096))
		die("listen");
	watch(fd, PORTS + role);
}

static void accept_all(const struct peer *p)
{
	int fd;

	while ((fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		watch(fd, p->role - PORTS);
}

static void on_stream(struct peer *p)
{
	ssize_t n = recv(p->fd, buffer, p->role == PORT_SINK ? CHUNK : 4096, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (n == 0 && p->role == PORT_SINK)
			(void)!send(p->fd, &p->bytes, sizeof(p->bytes), MSG_NOSIGNAL);
		forget(p);
		return;
	}
	p->bytes += (uint64_t)n;
	if (p->role == PORT_SINK)
		return;
	if (send(p->fd, buffer, (size_t)n, MSG_NOSIGNAL) != n || p->role == PORT_ASK)
		forget(p);
}

static void on_datagrams(int fd)
{
	static uint8_t room[DATAGRAMS][DATAGRAM_BYTES];
	static struct udp_count count;
	static uint64_t first;
	struct sockaddr_in from[DATAGRAMS];
	struct iovec iov[DATAGRAMS];
	struct mmsghdr m[DATAGRAMS] = {0};
	int n;

	for (unsigned i = 0; i < DATAGRAMS; i++) {
		iov[i] = (struct iovec){room[i], DATAGRAM_BYTES};
		m[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
					       .msg_namelen = sizeof(from[i]),
					       .msg_iov = &iov[i],
					       .msg_iovlen = 1};
	}
	n = recvmmsg(fd, m, DATAGRAMS, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		if (m[i].msg_len == 1) {
			(void)!sendto(fd, &count, sizeof(count), 0, (struct sockaddr *)&from[i],
				      sizeof(from[i]));
			count = (struct udp_count){0};
			continue;
		}
		if (!count.received++)
			first = now_ns();
		count.bytes += m[i].msg_len;
	}
	if (n > 0 && count.received)
		count.span_ns = now_ns() - first;
}

static void on_event(struct peer *p)
{
	if (p->role == PORTS + PORT_UDP)
		on_datagrams(p->fd);
	else if (p->role >= PORTS)
		accept_all(p);
	else
		on_stream(p);
}

int serve(unsigned port)
{
	struct epoll_event events[EVENTS];

	poller = epoll_create1(EPOLL_CLOEXEC);
	if (poller < 0)
		die("epoll_create1");
	for (unsigned role = 0; role < PORTS; role++)
		listen_on(port + role, role);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(poller, events, EVENTS, -1);

		for (int i = 0; i < n; i++)
			on_event(events[i].data.ptr);
	}
}
