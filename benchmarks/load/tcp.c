/* SPDX-License-Identifier: Apache-2.0 */
/* tcp.c - the clients over TCP: bulk, one byte there and back, one connection per question. */
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	STREAMS_MAX = 64,
	CHUNK = 128 * 1024,
	SAMPLES_MAX = 1 << 20,
	WARM_ROUNDS = 100,
	GIVE_UP_S = 10
};

static int connected(const char *host, unsigned port)
{
	struct timeval limit = {.tv_sec = GIVE_UP_S};
	struct sockaddr_in a = load_address(host, port);
	int fd = load_socket(SOCK_STREAM);

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		die("connect");
	return fd;
}

/* Fills every stream in turn until @end. */
static void pour(const int *fd, unsigned streams, uint64_t end)
{
	static uint8_t chunk[CHUNK];
	struct pollfd p[STREAMS_MAX];

	for (unsigned i = 0; i < streams; i++)
		p[i] = (struct pollfd){.fd = fd[i], .events = POLLOUT};
	while (now_ns() < end) {
		if (streams > 1 && poll(p, streams, 1000) < 0)
			die("poll");
		for (unsigned i = 0; i < streams; i++) {
			int flags = MSG_NOSIGNAL | (streams > 1 ? MSG_DONTWAIT : 0);

			if (streams > 1 && !p[i].revents)
				continue;
			if (send(fd[i], chunk, CHUNK, flags) < 0 && errno != EAGAIN)
				die("send");
		}
	}
}

int client_bulk(const char *host, unsigned port, double seconds, unsigned streams)
{
	uint64_t bytes = 0, start, count;
	int fd[STREAMS_MAX];

	if (streams < 1 || streams > STREAMS_MAX)
		return 2;
	for (unsigned i = 0; i < streams; i++)
		fd[i] = connected(host, port + PORT_SINK);
	start = now_ns();
	pour(fd, streams, start + (uint64_t)(seconds * 1e9));
	for (unsigned i = 0; i < streams; i++)
		shutdown(fd[i], SHUT_WR);
	for (unsigned i = 0; i < streams; i++) {
		if (recv(fd[i], &count, sizeof(count), MSG_WAITALL) != sizeof(count))
			die("the sink did not answer");
		bytes += count;
		close(fd[i]);
	}
	printf("{\"gbit_s\": %.4f}\n", (double)bytes * 8 / (double)(now_ns() - start));
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int client_echo(const char *host, unsigned port, double seconds)
{
	uint32_t *took = malloc(SAMPLES_MAX * sizeof(*took));
	int fd = connected(host, port + PORT_ECHO);
	uint64_t end = now_ns() + (uint64_t)(seconds * 1e9), before, after = 0;
	size_t count = 0;
	char byte = 'x';

	if (!took)
		die("memory");
	for (unsigned n = 0; after < end && count < SAMPLES_MAX; n++) {
		before = now_ns();
		if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1)
			die("echo");
		after = now_ns();
		if (n >= WARM_ROUNDS)
			took[count++] = (uint32_t)(after - before);
	}
	if (!count)
		die("no samples");
	qsort(took, count, sizeof(*took), compare);
	printf("{\"p50_us\": %.2f, \"p99_us\": %.2f, \"samples\": %zu}\n", took[count / 2] / 1e3,
	       took[count * 99 / 100] / 1e3, count);
	free(took);
	close(fd);
	return 0;
}

/* Begins one more connection: question, answer and end follow as events. */
static void ask(int poller, const struct sockaddr_in *to)
{
	int fd = load_socket(SOCK_STREAM | SOCK_NONBLOCK);
	struct epoll_event e = {.events = EPOLLOUT, .data.fd = fd};

	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) && errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
}

/* Returns whether the connection has been answered and is over. */
static bool advance(int poller, const struct epoll_event *e)
{
	struct epoll_event in = {.events = EPOLLIN, .data.fd = e->data.fd};
	char room[8];
	ssize_t n;

	if (e->events & EPOLLOUT) {
		if (send(e->data.fd, "x", 1, MSG_NOSIGNAL) != 1)
			die("question");
		if (epoll_ctl(poller, EPOLL_CTL_MOD, e->data.fd, &in))
			die("epoll_ctl");
		return false;
	}
	n = recv(e->data.fd, room, sizeof(room), 0);
	if (n < 0)
		die("answer");
	if (n > 0) /* most often the server's end is here too: one wake-up less */
		n = recv(e->data.fd, room, sizeof(room), MSG_DONTWAIT);
	if (n != 0)
		return false;
	close(e->data.fd);
	return true;
}

int client_connect(const char *host, unsigned port, double seconds, unsigned in_flight)
{
	struct sockaddr_in to = load_address(host, port + PORT_ASK);
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), now = start;
	int poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[STREAMS_MAX];
	uint64_t count = 0;

	if (poller < 0 || in_flight < 1 || in_flight > STREAMS_MAX)
		return 2;
	for (unsigned i = 0; i < in_flight; i++)
		ask(poller, &to);
	while ((now = now_ns()) < end) {
		int n = epoll_wait(poller, events, STREAMS_MAX, GIVE_UP_S * 1000);

		if (n == 0) {
			errno = ETIMEDOUT;
			die("no connection is answered");
		}
		for (int i = 0; i < n; i++) {
			if (!advance(poller, &events[i]))
				continue;
			count++;
			ask(poller, &to);
		}
	}
	printf("{\"per_s\": %.2f}\n", (double)count * 1e9 / (double)(now - start));
	return 0;
}
