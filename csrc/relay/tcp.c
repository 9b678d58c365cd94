/* SPDX-License-Identifier: Apache-2.0 */
/* tcp.c - connections: an endpoint is looked for, then bytes are moved by splice(2).
 *
 * Endpoints are tried one after the other (P-102). A side that ends ends the other too: nothing is
 * half-closed, and what is under way in the other direction is lost (spec 3.11). A pipe is had only
 * while bytes are in it.
 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_TURN 64 /* at one front before others get their turn */
#define PORTION      65536
#define PIPES_KEPT   64
#define KEEPALIVE_S  15
#define STARVED_MS   10

static const enum patience patiences[] = {PATIENCE_250_MS, PATIENCE_500_MS, PATIENCE_1_S,
					  PATIENCE_2_S};
enum { TRIES = sizeof(patiences) / sizeof(patiences[0]) };
enum { CLIENT, SERVER, SIDES };

/* What one side has said and the other has not taken yet. */
struct flow {
	int pipe[2];
	size_t held; /* 0: there is no pipe */
};

struct connection {
	struct link link;    /* in front->users, later node->connections */
	struct front *front; /* NULL once an endpoint has been found */
	struct node *node;
	struct watch sides[SIDES];
	struct flow flows[SIDES]; /* by the side that speaks */
	struct timer timer;
	uint32_t client;
	unsigned tries;
};

static int spare = -1; /* a descriptor to accept with, and hang up, when there is no other */
static int pipes[PIPES_KEPT][2];
static size_t pipes_count;

int tcp_init(void)
{
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return spare < 0 ? -errno : 0;
}

static int pipe_take(struct flow *f)
{
	if (pipes_count > 0) {
		pipes_count--;
		f->pipe[0] = pipes[pipes_count][0];
		f->pipe[1] = pipes[pipes_count][1];
		return 0;
	}
	return pipe2(f->pipe, O_NONBLOCK | O_CLOEXEC) < 0 ? -errno : 0;
}

static void pipe_close(struct flow *f)
{
	close(f->pipe[0]);
	close(f->pipe[1]);
}

/* It is empty. */
static void pipe_give(struct flow *f)
{
	if (pipes_count == PIPES_KEPT) {
		pipe_close(f);
		return;
	}
	pipes[pipes_count][0] = f->pipe[0];
	pipes[pipes_count][1] = f->pipe[1];
	pipes_count++;
}

static void connection_end(struct connection *c)
{
	link_remove(&c->link);
	timer_stop(&c->timer);
	for (int side = 0; side < SIDES; side++) {
		loop_close(&c->sides[side]);
		if (c->flows[side].held)
			pipe_close(&c->flows[side]);
	}
	loop_free(c);
}

static int receive(struct connection *c, int from)
{
	struct flow *f = &c->flows[from];
	ssize_t n;
	int error = pipe_take(f);

	if (error)
		return error;
	n = splice(c->sides[from].fd, NULL, f->pipe[1], NULL, PORTION,
		   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		f->held = (size_t)n;
		return 0;
	}
	error = n < 0 ? -errno : -EPIPE;
	pipe_give(f);
	return error == -EAGAIN ? 0 : error;
}

static int deliver(struct connection *c, int from)
{
	struct flow *f = &c->flows[from];
	ssize_t n = splice(f->pipe[0], NULL, c->sides[!from].fd, NULL, f->held,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	f->held -= (size_t)n;
	if (!f->held)
		pipe_give(f);
	return 0;
}

/* A portion of what a side says; negative errno: it has ended. */
static int move(struct connection *c, int from)
{
	int error = c->flows[from].held ? 0 : receive(c, from);

	return error || !c->flows[from].held ? error : deliver(c, from);
}

static int wait_for_sides(struct connection *c)
{
	int error = 0;

	for (int side = 0; side < SIDES && !error; side++) {
		uint32_t reads = c->flows[side].held ? 0 : EPOLLIN;
		uint32_t writes = c->flows[!side].held ? EPOLLOUT : 0;

		error = loop_wait_for(&c->sides[side], reads | writes);
	}
	return error;
}

static void relay(struct connection *c, int side, uint32_t events)
{
	bool failed = events & (EPOLLERR | EPOLLHUP);
	int error = 0;

	if (!c->flows[side].held && (failed || events & EPOLLIN))
		error = move(c, side);
	else if (failed)
		error = -EPIPE;
	if (!error && events & EPOLLOUT && c->flows[!side].held)
		error = move(c, !side);
	if (!error)
		error = wait_for_sides(c);
	if (!error)
		return;
	(void)is_exhausted(c->node, error);
	connection_end(c);
}

static void client_ready(struct watch *w, uint32_t events)
{
	relay(container_of(w, struct connection, sides[CLIENT]), CLIENT, events);
}

static struct sockaddr_in address_of(const struct target *t)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons(t->port), .sin_addr.s_addr = htonl(t->addr)};
}

static int dial_one(struct connection *c, const struct target *t)
{
	const struct sockaddr_in to = address_of(t);
	struct watch *server = &c->sides[SERVER];
	int fd = space_socket(c->node->space, SOCK_STREAM), error = 0;

	if (fd < 0)
		return fd;
	server->fd = fd;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		error = -errno;
	if (!error)
		error = loop_wait_for(server, EPOLLOUT);
	if (error)
		loop_close(server);
	return error;
}

static void dial(struct connection *c)
{
	struct counts *counts = &c->node->counts;

	while (c->tries < TRIES) {
		enum patience patience = patiences[c->tries];
		const struct target *t =
		    balancer_next(&c->front->balancer, c->client, loop_now_ns(), c->tries > 0);
		int error = t ? dial_one(c, t) : 0;

		if (!t)
			break;
		c->tries++;
		if (!error) {
			timer_start(&c->timer, patience);
			return;
		}
		if (is_exhausted(c->node, error)) {
			connection_end(c);
			return;
		}
		counts->dials_failed++;
	}
	counts->unserved++;
	connection_end(c);
}

static void dial_another(struct connection *c)
{
	timer_stop(&c->timer);
	loop_close(&c->sides[SERVER]);
	c->node->counts.dials_failed++;
	dial(c);
}

static void not_answered(struct timer *t)
{
	dial_another(container_of(t, struct connection, timer));
}

/* As Go sets up its connections. */
static void set_options(int fd)
{
	const int on = 1, interval_s = KEEPALIVE_S;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &interval_s, sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
}

static void dialed(struct connection *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->sides[SERVER].fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
		dial_another(c);
		return;
	}
	timer_stop(&c->timer);
	c->node->counts.connections++;
	c->front = NULL;
	link_remove(&c->link);
	link_insert(&c->node->connections, &c->link);
	set_options(c->sides[SERVER].fd);
	error = wait_for_sides(c);
	if (error) {
		(void)is_exhausted(c->node, error);
		connection_end(c);
	}
}

static void server_ready(struct watch *w, uint32_t events)
{
	struct connection *c = container_of(w, struct connection, sides[SERVER]);

	if (c->front)
		dialed(c);
	else
		relay(c, SERVER, events);
}

static void begin(struct front *f, int fd, uint32_t client)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		(void)is_exhausted(f->node, -ENOMEM);
		close(fd);
		return;
	}
	c->front = f;
	c->node = f->node;
	c->client = client;
	c->sides[CLIENT] = (struct watch){.ready = client_ready, .fd = fd};
	c->sides[SERVER] = (struct watch){.ready = server_ready, .fd = -1};
	timer_init(&c->timer, not_answered);
	link_init(&c->link);
	link_insert(&f->users, &c->link);
	set_options(fd);
	dial(c);
}

/* Without a descriptor for it, whoever comes would come again and again. */
static void hang_up(const struct front *f)
{
	int fd;

	if (spare >= 0)
		close(spare);
	else
		poll(NULL, 0, STARVED_MS); /* others have taken it */
	fd = accept4(f->watch.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void tcp_ready(struct watch *w, uint32_t events)
{
	struct front *f = container_of(w, struct front, watch);

	(void)events;
	for (int i = 0; i < ACCEPTS_TURN; i++) {
		struct sockaddr_in from = {0};
		socklen_t len = sizeof(from);
		int fd =
		    accept4(w->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			begin(f, fd, ntohl(from.sin_addr.s_addr));
		} else if (is_exhausted(f->node, -errno)) {
			hang_up(f);
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return;
		}
	}
}

static void end_all(struct link *connections)
{
	for_each(l, connections)
		connection_end(container_of(l, struct connection, link));
}

void tcp_stop_dialing(struct front *f)
{
	end_all(&f->users);
}

void tcp_close_all(struct node *n)
{
	end_all(&n->connections);
}
