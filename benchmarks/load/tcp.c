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
	GIVE_UP_S = 10,
	FDS_MAX = 1024
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

static uint8_t chunk[CHUNK];

static void pour_one(int fd, uint64_t end)
{
	while (now_ns() < end) {
		if (send(fd, chunk, CHUNK, MSG_NOSIGNAL) < 0)
			die("send");
	}
}

/* Fills every stream that has room, in turn. */
static void pour_all(const int *fd, unsigned streams, uint64_t end)
{
	struct pollfd p[STREAMS_MAX];

	for (unsigned i = 0; i < streams; i++)
		p[i] = (struct pollfd){.fd = fd[i], .events = POLLOUT};
	while (now_ns() < end) {
		if (poll(p, streams, 1000) < 0)
			die("poll");
		for (unsigned i = 0; i < streams; i++) {
			if (p[i].revents &&
			    send(fd[i], chunk, CHUNK, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
			    errno != EAGAIN)
				die("send");
		}
	}
}

int client_bulk(const char *host, unsigned port, double seconds, unsigned streams)
{
	uint64_t bytes = 0, start, end, count;
	int fd[STREAMS_MAX];

	if (streams < 1 || streams > STREAMS_MAX)
		return 2;
	for (unsigned i = 0; i < streams; i++)
		fd[i] = connected(host, port + PORT_SINK);
	start = now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	if (streams == 1)
		pour_one(fd[0], end);
	else
		pour_all(fd, streams, end);
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

/* The sample that `percent` of the sorted ones do not exceed, in microseconds. */
static double percentile(const uint32_t *sorted, size_t count, unsigned percent)
{
	size_t at = count * percent / 100;

	return (double)sorted[at] / 1e3;
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
	for (unsigned n = 0; (after < end || !count) && count < SAMPLES_MAX; n++) {
		before = now_ns();
		if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1)
			die("echo");
		after = now_ns();
		if (n >= WARM_ROUNDS)
			took[count++] = (uint32_t)(after - before);
	}
	qsort(took, count, sizeof(*took), compare);
	printf("{\"p50_us\": %.2f, \"p99_us\": %.2f, \"samples\": %zu}\n",
	       percentile(took, count, 50), percentile(took, count, 99), count);
	free(took);
	close(fd);
	return 0;
}

/* Connections under way, by descriptor, and how long the first packet took there and back. */
struct asking {
	int poller;
	struct sockaddr_in to;
	uint64_t begun[FDS_MAX];
	uint32_t *took;
	size_t count;
	uint64_t answered, last, gap; /* gap: the longest time without an answer */
};

/* Begins one more connection: question, answer and end follow as events. */
static void ask(struct asking *a)
{
	int fd = load_socket(SOCK_STREAM | SOCK_NONBLOCK);
	struct epoll_event e = {.events = EPOLLOUT, .data.fd = fd};

	if (fd >= FDS_MAX) {
		errno = EMFILE;
		die("socket");
	}
	a->begun[fd] = now_ns();
	if (connect(fd, (const struct sockaddr *)&a->to, sizeof(a->to)) && errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(a->poller, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
}

/* The handshake is over: the question goes out. */
static void question(struct asking *a, int fd)
{
	struct epoll_event in = {.events = EPOLLIN, .data.fd = fd};

	if (a->count < SAMPLES_MAX)
		a->took[a->count++] = (uint32_t)(now_ns() - a->begun[fd]);
	if (send(fd, "x", 1, MSG_NOSIGNAL) != 1)
		die("question");
	if (epoll_ctl(a->poller, EPOLL_CTL_MOD, fd, &in))
		die("epoll_ctl");
}

static void note_gap(struct asking *a)
{
	uint64_t now = now_ns();

	if (now - a->last > a->gap)
		a->gap = now - a->last;
	a->last = now;
}

/* Takes what there is of the answer; once it is whole and over, the next connection begins. */
static void answer(struct asking *a, int fd)
{
	char room[8];
	ssize_t n = recv(fd, room, sizeof(room), 0);

	if (n < 0)
		die("answer");
	if (n > 0) /* most often the server's end is here too: one wake-up less */
		n = recv(fd, room, sizeof(room), MSG_DONTWAIT);
	if (n != 0)
		return;
	close(fd);
	a->answered++;
	note_gap(a);
	ask(a);
}

/* Until @end, and until something was answered. */
static void ask_until(struct asking *a, uint64_t end)
{
	struct epoll_event events[STREAMS_MAX];

	while (!a->answered || now_ns() < end) {
		int n = epoll_wait(a->poller, events, STREAMS_MAX, GIVE_UP_S * 1000);

		if (n == 0) {
			errno = ETIMEDOUT;
			die("no connection is answered");
		}
		for (int i = 0; i < n; i++) {
			if (events[i].events & EPOLLOUT)
				question(a, events[i].data.fd);
			else
				answer(a, events[i].data.fd);
		}
	}
}

int client_connect(const char *host, unsigned port, double seconds, unsigned in_flight)
{
	static struct asking a;
	uint64_t start, spent;

	a.poller = epoll_create1(EPOLL_CLOEXEC);
	a.to = load_address(host, port + PORT_ASK);
	a.took = malloc(SAMPLES_MAX * sizeof(*a.took));
	if (a.poller < 0 || !a.took || in_flight < 1 || in_flight > STREAMS_MAX)
		return 2;
	start = a.last = now_ns();
	for (unsigned i = 0; i < in_flight; i++)
		ask(&a);
	ask_until(&a, start + (uint64_t)(seconds * 1e9));
	spent = now_ns() - start;
	qsort(a.took, a.count, sizeof(*a.took), compare);
	note_gap(&a);
	printf("{\"per_s\": %.2f, \"first_p50_us\": %.2f, \"first_p99_us\": %.2f, "
	       "\"answered\": %lu, \"gap_ms\": %.2f}\n",
	       (double)a.answered * 1e9 / (double)spent, percentile(a.took, a.count, 50),
	       percentile(a.took, a.count, 99), a.answered, (double)a.gap / 1e6);
	free(a.took);
	return 0;
}
