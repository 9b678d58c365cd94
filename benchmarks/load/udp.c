/* SPDX-License-Identifier: Apache-2.0 */
/* udp.c - the clients over UDP: datagrams at a rate, at rates on request, and many flows. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	SEND_MAX = 32,        /* datagrams per sendmmsg() */
	PAUSE_NS = 50000,     /* sleeps of a paced sender: bursts of so long */
	SETTLE_NS = 50000000, /* between the last datagram and the first question */
	QUESTIONS = 40,       /* 50 ms each */
	BYTES_MAX = 1400,
};

struct outcome {
	uint64_t sent;
	struct udp_count count;
	double sent_s; /* time that sending took */
};

static int open_sender(const char *host, unsigned port)
{
	struct timeval limit = {.tv_usec = 50000};
	struct sockaddr_in a = load_address(host, port + PORT_UDP);
	int fd = load_socket(SOCK_DGRAM);

	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		die("connect");
	return fd;
}

/* What the sink has counted since it was last asked. */
static struct udp_count question(int fd)
{
	struct udp_count c;

	for (unsigned n = 0; n < QUESTIONS; n++) {
		if (send(fd, "?", 1, 0) < 0 && errno != ECONNREFUSED)
			die("question");
		if (recv(fd, &c, sizeof(c), 0) == sizeof(c))
			return c;
	}
	die("the UDP sink does not answer");
}

static void doze(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

	nanosleep(&t, NULL);
}

static struct outcome trial(int fd, double seconds, unsigned size, double rate)
{
	static uint8_t bytes[BYTES_MAX];
	struct iovec iov = {bytes, size};
	struct mmsghdr m[SEND_MAX] = {0};
	uint64_t start = now_ns(), length = (uint64_t)(seconds * 1e9), now;
	struct outcome o = {0};

	for (unsigned i = 0; i < SEND_MAX; i++)
		m[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
	while ((now = now_ns() - start) < length) {
		uint64_t due = rate > 0 ? (uint64_t)((double)now * rate / 1e9) : UINT64_MAX;
		int n;

		if (o.sent >= due) {
			doze(PAUSE_NS);
			continue;
		}
		n = sendmmsg(fd, m, due - o.sent < SEND_MAX ? (unsigned)(due - o.sent) : SEND_MAX,
			     0);
		if (n < 0 && errno != ENOBUFS && errno != ECONNREFUSED)
			die("sendmmsg");
		o.sent += n > 0 ? (uint64_t)n : 0;
	}
	o.sent_s = (double)now / 1e9;
	doze(SETTLE_NS);
	o.count = question(fd);
	return o;
}

static double loss(const struct outcome *o)
{
	return o->sent ? 1 - (double)o->count.received / (double)o->sent : 1;
}

/* What was still in queues when sending ended counts, and so does the time that it took. */
static double rate_of(const struct outcome *o)
{
	double span = (double)o->count.span_ns / 1e9;

	return (double)o->count.received / (span > o->sent_s ? span : o->sent_s);
}

static void tell(const struct outcome *o)
{
	printf("{\"received_per_s\": %.1f, \"sent\": %lu, \"received\": %lu, \"loss\": %.6f}\n",
	       rate_of(o), o->sent, o->count.received, loss(o));
	(void)fflush(stdout);
}

int client_udp(const char *host, unsigned port, double seconds, unsigned size, double rate)
{
	int fd = open_sender(host, port);
	struct outcome o;

	if (size < 2 || size > BYTES_MAX)
		return 2;
	(void)question(fd);
	o = trial(fd, seconds, size, rate);
	tell(&o);
	close(fd);
	return 0;
}

/* Who searches the highest rate that arrives gives one rate a line and reads what came of it. */
int client_udp_trials(const char *host, unsigned port, double seconds, unsigned size)
{
	int fd = open_sender(host, port);
	char line[64];

	if (size < 2 || size > BYTES_MAX)
		return 2;
	(void)question(fd);
	while (fgets(line, sizeof(line), stdin)) {
		struct outcome o = trial(fd, seconds, size, strtod(line, NULL));

		tell(&o);
	}
	close(fd);
	return 0;
}

/* One datagram from each of many sockets: so many flows, of which nothing more is heard. */
int client_flows(const char *host, unsigned port, unsigned count)
{
	struct sockaddr_in a = load_address(host, port + PORT_UDP);

	for (unsigned i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			die("socket");
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
			die("connect");
		if (send(fd, "flow", 4, 0) < 0 && errno != ENOBUFS)
			die("send");
		close(fd);
		if (i % SEND_MAX == 0)
			doze(PAUSE_NS);
	}
	printf("{\"sent\": %u}\n", count);
	return 0;
}
