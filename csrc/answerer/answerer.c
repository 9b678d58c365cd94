/* SPDX-License-Identifier: Apache-2.0 */
/* answerer.c - the program that a container without a command runs: answers on the given ports.
 *
 *	answerer tcp:80 udp:53 ...
 *
 * HTTP over TCP, words over UDP (answers.h). One thread, epoll. Writes one byte to the descriptor
 * NETSIM_READY_FD once every port is bound. SIGTERM begins the end: for 200 ms connections are
 * still accepted, but none is kept alive; then idle ones are closed and requests under way have
 * the rest of 2 s to finish. Without a free descriptor the connection longest unused gives way.
 */
#include "answers.h"
#include "connection.h"
#include "port.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORTS_MAX    256
#define EVENTS_MAX   128
#define ACCEPTS_TURN 64   /* at one port before others get their turn */
#define END_MS       1800 /* after SIGTERM */
#ifndef ACCEPT_MORE_MS
#define ACCEPT_MORE_MS 200 /* after SIGTERM; tests on a busy machine take longer */
#endif
#define STARVED_MS 10 /* between tries to accept with nothing to give way */

/* What an epoll event is about: the signals, a port by its number here, else a connection. */
#define ABOUT_SIGNALS UINT64_C(0)
#define ABOUT_PORTS   UINT64_C(1)

static struct port ports[PORTS_MAX];
static size_t ports_count;
static int epoll_fd, signal_fd;
static char hostname[256];
/* A ring of all connections: clients.newer is the oldest, clients.older the newest. */
static struct connection clients = {.older = &clients, .newer = &clients};
static struct connection *ended; /* freed after the batch of events that may mention them */
static int64_t term_ms = -1;     /* when SIGTERM came */
static bool accepting = true;

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return ((int64_t)now.tv_sec * 1000) + (now.tv_nsec / 1000000);
}

static void fail(const char *what, int error)
{
	(void)fprintf(stderr, "answerer: %s: %s\n", what, strerror(error));
	exit(1);
}

static void watch(int fd, int operation, uint32_t events, uint64_t about)
{
	struct epoll_event event = {.events = events, .data.u64 = about};

	if (epoll_ctl(epoll_fd, operation, fd, &event) < 0)
		fail("epoll_ctl", errno);
}

static void unlink_client(struct connection *c)
{
	c->older->newer = c->newer;
	c->newer->older = c->older;
}

static void link_newest(struct connection *c)
{
	c->older = clients.older;
	c->newer = &clients;
	clients.older->newer = c;
	clients.older = c;
}

static void end_client(struct connection *c)
{
	unlink_client(c);
	connection_close(c);
	c->newer = ended;
	ended = c;
}

static void free_ended(void)
{
	while (ended) {
		struct connection *next = ended->newer;

		free(ended);
		ended = next;
	}
}

static void serve_client(struct connection *c)
{
	static const uint32_t events[] = {
	    [CONNECTION_READS] = EPOLLIN,
	    [CONNECTION_WRITES] = EPOLLOUT,
	};
	enum connection_state state = connection_work(c, term_ms < 0);

	if (state == CONNECTION_ENDS) {
		end_client(c);
		return;
	}
	unlink_client(c);
	link_newest(c);
	watch(c->fd, EPOLL_CTL_MOD, events[state], (uintptr_t)c);
}

/* Make room for a connection by ending the one longest unused; pause if there is none. */
static bool end_oldest(void)
{
	if (clients.newer == &clients) {
		poll(NULL, 0, STARVED_MS);
		return false;
	}
	end_client(clients.newer);
	return true;
}

/* Whether it is worth trying again after accept() failed. */
static bool accept_again(int error)
{
	if (error == EMFILE || error == ENFILE || error == ENOMEM)
		return end_oldest();
	return error == EINTR || error == ECONNABORTED;
}

/* Accept a turn's worth of connections. False: no more wait. */
static bool accept_clients(const struct port *port)
{
	for (int i = 0; i < ACCEPTS_TURN; i++) {
		struct asker asker = {.hostname = hostname};
		socklen_t len = sizeof(asker.from);
		struct connection *c;
		int fd = accept4(port->fd, (struct sockaddr *)&asker.from, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (!accept_again(errno))
				return false;
			continue;
		}
		c = connection_new(fd, &asker);
		if (!c)
			return false;
		link_newest(c);
		watch(fd, EPOLL_CTL_ADD, EPOLLIN, (uintptr_t)c);
		serve_client(c); /* the request is often here already */
	}
	return true;
}

static void open_ports(char **names)
{
	for (; *names; names++) {
		struct port *port = &ports[ports_count];
		int known = ports_count < PORTS_MAX ? port_parse(*names, port) : -1;
		int error;

		if (known < 0) {
			(void)fprintf(
			    stderr,
			    "answerer: bad port '%s'\nusage: answerer [tcp:PORT|udp:PORT]...\n",
			    *names);
			exit(2);
		}
		if (known == 0) {
			(void)fprintf(stderr, "answerer: %s: not answered\n", *names);
			continue;
		}
		error = port_open(port);
		if (error < 0)
			fail(*names, -error);
		watch(port->fd, EPOLL_CTL_ADD, EPOLLIN, ABOUT_PORTS + ports_count++);
	}
}

/* Who waits for us learns that every port is bound; an error there is theirs. */
static void report_ready(void)
{
	const char *text = getenv("NETSIM_READY_FD");
	long fd = text ? strtol(text, NULL, 10) : -1;

	if (fd <= STDERR_FILENO || fd > INT_MAX)
		return;
	if (write((int)fd, "r", 1) < 0)
		(void)fprintf(stderr, "answerer: NETSIM_READY_FD: %s\n", strerror(errno));
	close((int)fd);
}

static void watch_signals(void)
{
	sigset_t ends;

	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signal_fd = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signal_fd < 0)
		fail("signalfd", errno);
	watch(signal_fd, EPOLL_CTL_ADD, EPOLLIN, ABOUT_SIGNALS);
}

static void set_up(char **names)
{
	const char *name = getenv("HOSTNAME");
	struct rlimit files;

	if (name && *name)
		(void)snprintf(hostname, sizeof(hostname), "%s", name);
	else if (gethostname(hostname, sizeof(hostname) - 1) < 0)
		fail("gethostname", errno);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		fail("epoll", errno);
	watch_signals();
	open_ports(names);
	(void)printf("answerer %s:", hostname);
	for (; *names; names++)
		(void)printf(" %s", *names);
	(void)printf("\n");
	(void)fflush(stdout);
	report_ready();
}

static void on_signal(void)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) > 0)
		;
	if (term_ms < 0)
		term_ms = now_ms();
}

static void close_idle(void)
{
	struct connection *c = clients.newer;

	while (c != &clients) {
		struct connection *next = c->newer;

		if (connection_is_idle(c))
			end_client(c);
		c = next;
	}
}

/* Accept what the kernel has accepted already, then nothing any more. */
static void stop_accepting(void)
{
	accepting = false;
	for (size_t i = 0; i < ports_count; i++) {
		if (ports[i].type == SOCK_DGRAM)
			port_answer_datagrams(&ports[i], hostname);
		while (ports[i].type == SOCK_STREAM && accept_clients(&ports[i]))
			;
		close(ports[i].fd);
	}
	close_idle();
	free_ended();
}

/* How long to wait for events; -1: until one comes, -2: it is time to end. */
static int patience_ms(void)
{
	int64_t elapsed;

	if (term_ms < 0)
		return -1;
	elapsed = now_ms() - term_ms;
	if (accepting && elapsed < ACCEPT_MORE_MS)
		return (int)(ACCEPT_MORE_MS - elapsed);
	if (accepting)
		stop_accepting();
	if (elapsed >= END_MS || clients.newer == &clients)
		return -2;
	return (int)(END_MS - elapsed);
}

static void dispatch_port(const struct port *port)
{
	if (port->type == SOCK_STREAM)
		accept_clients(port);
	else
		port_answer_datagrams(port, hostname);
}

static void dispatch(epoll_data_t about)
{
	struct connection *c;

	if (about.u64 == ABOUT_SIGNALS) {
		on_signal();
		return;
	}
	if (about.u64 < ABOUT_PORTS + PORTS_MAX) {
		dispatch_port(&ports[about.u64 - ABOUT_PORTS]);
		return;
	}
	c = about.ptr; /* small numbers are never addresses */
	if (c->fd >= 0)
		serve_client(c);
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS_MAX];
	int wait;

	(void)argc;
	set_up(argv + 1);
	while ((wait = patience_ms()) > -2) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, wait);

		if (n < 0 && errno != EINTR)
			fail("epoll_wait", errno);
		for (int i = 0; i < n; i++)
			dispatch(events[i].data);
		free_ended();
	}
	return 0;
}
