/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - the server: echo, sink, UDP sink, and one answer per connection. One thread, epoll.
 *
 * The server of PORT_ASK closes first, so that TIME_WAIT is its own and a client that asks ten
 * thousand times a second does not run out of ports.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64, CHUNK = 256 * 1024, DATAGRAMS = 64, DATAGRAM_BYTES = 2048, FDS_MAX = 4096 };

/* Who a descriptor belongs to: the array's index. */
struct peer {
	unsigned role; /* PORT_*; PORTS + PORT_*: listens */
	uint64_t bytes;
};

static struct peer peers[FDS_MAX];
static uint8_t buffer[CHUNK];
static int poller;

static void watch(int fd, unsigned role)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	if (fd >= FDS_MAX) {
		errno = EMFILE;
		die("socket");
	}
	peers[fd] = (struct peer){.role = role};
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
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

static void accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		watch(fd, peers[listener].role - PORTS);
}

static void on_stream(int fd)
{
	struct peer *p = &peers[fd];
	ssize_t n = recv(fd, buffer, p->role == PORT_SINK ? CHUNK : 4096, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (n == 0 && p->role == PORT_SINK)
			(void)!send(fd, &p->bytes, sizeof(p->bytes), MSG_NOSIGNAL);
		close(fd);
		return;
	}
	p->bytes += (uint64_t)n;
	if (p->role == PORT_SINK)
		return;
	if (send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n || p->role == PORT_ASK)
		close(fd);
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

static void on_event(int fd)
{
	if (peers[fd].role == PORTS + PORT_UDP)
		on_datagrams(fd);
	else if (peers[fd].role >= PORTS)
		accept_all(fd);
	else
		on_stream(fd);
}

int serve(unsigned port)
{
	struct epoll_event events[EVENTS];

	poller = epoll_create1(EPOLL_CLOEXEC);
	if (poller < 0)
		die("epoll_create1");
	for (unsigned role = 0; role < PORTS; role++)
		listen_on(port + role, role);
	(void)puts("ready");
	(void)fflush(stdout);
	for (;;) {
		int n = epoll_wait(poller, events, EVENTS, -1);

		for (int i = 0; i < n; i++)
			on_event(events[i].data.fd);
	}
}
