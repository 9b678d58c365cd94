/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - arguments, sockets, time. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BUFFER_BYTES = 4 << 20 };

uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void die(const char *what)
{
	(void)fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

int load_socket(int type)
{
	bool stream = (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM;
	int one = 1, bytes = BUFFER_BYTES;
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (stream) {
		if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5))
			die("TCP_CONGESTION cubic");
		if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
			die("TCP_NODELAY");
		return fd; /* its buffers tune themselves */
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		die("SO_RCVBUFFORCE");
	return fd;
}

struct sockaddr_in load_address(const char *host, unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
		errno = EINVAL;
		die(host);
	}
	return a;
}

/* Arguments as they stand: HOST PORT, and up to three numbers. */
struct words {
	const char *host;
	unsigned port;
	double number[3];
};

static int run_bulk(const struct words *w)
{
	return client_bulk(w->host, w->port, w->number[0], (unsigned)w->number[1]);
}

static int run_echo(const struct words *w)
{
	return client_echo(w->host, w->port, w->number[0]);
}

static int run_connect(const struct words *w)
{
	return client_connect(w->host, w->port, w->number[0], (unsigned)w->number[1]);
}

static int run_udp(const struct words *w)
{
	return client_udp(w->host, w->port, w->number[0], (unsigned)w->number[1], w->number[2]);
}

static int run_udp_trials(const struct words *w)
{
	return client_udp_trials(w->host, w->port, w->number[0], (unsigned)w->number[1]);
}

static int run_flows(const struct words *w)
{
	return client_flows(w->host, w->port, (unsigned)w->number[0]);
}

static const struct {
	const char *name;
	int numbers;
	int (*run)(const struct words *w);
	const char *usage;
} clients[] = {
    {"bulk", 2, run_bulk, "SECONDS STREAMS"},
    {"echo", 1, run_echo, "SECONDS"},
    {"connect", 2, run_connect, "SECONDS IN-FLIGHT"},
    {"udp", 3, run_udp, "SECONDS BYTES RATE   (RATE 0: as fast as it goes)"},
    {"udp-trials", 2, run_udp_trials, "SECONDS BYTES   (a rate a line on standard input)"},
    {"flows", 1, run_flows, "COUNT"},
};

enum { CLIENTS = sizeof(clients) / sizeof(clients[0]), WORDS_BEFORE_NUMBERS = 4 };

static int usage(void)
{
	(void)fputs("usage: load serve PORT\n", stderr);
	for (unsigned i = 0; i < CLIENTS; i++)
		(void)fprintf(stderr, "       load %s HOST PORT %s\n", clients[i].name,
			      clients[i].usage);
	return 2;
}

int main(int argc, char **argv)
{
	int numbers = argc - WORDS_BEFORE_NUMBERS;
	struct words w = {0};

	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve((unsigned)strtoul(argv[2], NULL, 10));
	if (numbers < 1 || numbers > 3)
		return usage();
	w.host = argv[2];
	w.port = (unsigned)strtoul(argv[3], NULL, 10);
	for (int i = 0; i < numbers; i++)
		w.number[i] = strtod(argv[WORDS_BEFORE_NUMBERS + i], NULL);
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (!strcmp(argv[1], clients[i].name) && clients[i].numbers == numbers)
			return clients[i].run(&w);
	}
	return usage();
}
