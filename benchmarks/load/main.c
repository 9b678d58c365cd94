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

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
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

static int usage(void)
{
	fputs("usage: load serve PORT\n"
	      "       load bulk HOST PORT SECONDS STREAMS\n"
	      "       load echo HOST PORT SECONDS\n"
	      "       load connect HOST PORT SECONDS IN-FLIGHT\n"
	      "       load udp HOST PORT SECONDS BYTES RATE   (RATE 0: as fast as it goes)\n"
	      "       load udp-max HOST PORT SECONDS BYTES\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	unsigned port;
	double seconds, more;

	if (argc == 3 && !strcmp(what, "serve"))
		return serve((unsigned)atoi(argv[2]));
	if (argc < 5)
		return usage();
	port = (unsigned)atoi(argv[3]);
	seconds = atof(argv[4]);
	more = argc > 5 ? atof(argv[5]) : 0;
	if (argc == 6 && !strcmp(what, "bulk"))
		return client_bulk(argv[2], port, seconds, (unsigned)more);
	if (argc == 5 && !strcmp(what, "echo"))
		return client_echo(argv[2], port, seconds);
	if (argc == 6 && !strcmp(what, "connect"))
		return client_connect(argv[2], port, seconds, (unsigned)more);
	if (argc == 7 && !strcmp(what, "udp"))
		return client_udp(argv[2], port, seconds, (unsigned)more, atof(argv[6]));
	if (argc == 6 && !strcmp(what, "udp-max"))
		return client_udp_max(argv[2], port, seconds, (unsigned)more);
	return usage();
}
