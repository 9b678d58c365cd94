/* SPDX-License-Identifier: Apache-2.0 */
/* udp.c - clients: each has a socket of its own to the endpoint that it got with its first
 * datagram.
 *
 * A client is an address and port, until nothing has come either way for 250 ms; the datagram after
 * that gets another endpoint (P-103). Datagrams longer than 4096 bytes are cut.
 */
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define DATAGRAM_MAX   4096
#define DATAGRAMS_TURN 64   /* of one socket before others get their turn */
#define BUCKETS        4096 /* a power of two */
#define TRIES          4

struct client {
	struct link of_front, in_bucket;
	struct front *front;
	struct watch watch;
	struct sockaddr_in from;
	struct timer idle;
};

static struct link buckets[BUCKETS];

void udp_init(void)
{
	for (size_t i = 0; i < BUCKETS; i++)
		link_init(&buckets[i]);
}

static void client_end(struct client *c)
{
	link_remove(&c->of_front);
	link_remove(&c->in_bucket);
	timer_stop(&c->idle);
	loop_close(&c->watch);
	loop_free(c);
}

static void client_idle(struct timer *t)
{
	client_end(container_of(t, struct client, idle));
}

/* A datagram that did not get through. */
static void count_lost(const struct front *f, int error)
{
	f->node->counts.unserved += !is_exhausted(f->node, error);
}

/* What the endpoint says. */
static void client_ready(struct watch *w, uint32_t events)
{
	static char datagram[DATAGRAM_MAX];
	struct client *c = container_of(w, struct client, watch);

	(void)events;
	for (int i = 0; i < DATAGRAMS_TURN; i++) {
		ssize_t n = recv(w->fd, datagram, sizeof(datagram), 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n >= 0)
			n = sendto(c->front->watch.fd, datagram, (size_t)n, 0,
				   (const struct sockaddr *)&c->from, sizeof(c->from));
		if (n < 0) { /* it refused one, or there is no room for its answer, or no way */
			bool goes_on = errno == EAGAIN;

			count_lost(c->front, -errno);
			if (!goes_on) {
				client_end(c);
				return;
			}
		}
		timer_start(&c->idle, PATIENCE_250_MS);
	}
}

static struct link *bucket_of(const struct front *f, const struct sockaddr_in *from)
{
	uint32_t x = from->sin_addr.s_addr * UINT32_C(2654435769) ^ from->sin_port ^
		     (uint32_t)((uintptr_t)f >> 6);

	return &buckets[(x * UINT32_C(2654435769)) >> 20];
}
_Static_assert(BUCKETS == 1 << 12, "of a hash the upper 12 bits count");

static struct client *client_find(const struct front *f, const struct sockaddr_in *from)
{
	const struct link *bucket = bucket_of(f, from);

	for (struct link *l = bucket->next; l != bucket; l = l->next) {
		struct client *c = container_of(l, struct client, in_bucket);

		if (c->front == f && c->from.sin_port == from->sin_port &&
		    c->from.sin_addr.s_addr == from->sin_addr.s_addr)
			return c;
	}
	return NULL;
}

/* A socket to an endpoint. UDP answers no dial: the first does, unless there is no way there. */
static int dial(struct front *f, uint32_t client)
{
	int error = 0;

	for (int i = 0; i < TRIES; i++) {
		const struct target *t = balancer_next(&f->balancer, client, loop_now_ns(), i > 0);
		struct sockaddr_in to = {.sin_family = AF_INET};
		struct watch w = {.fd = t ? space_socket(f->node->space, SOCK_DGRAM) : -ENOENT};

		if (w.fd < 0)
			return w.fd;
		to.sin_addr.s_addr = htonl(t->addr);
		to.sin_port = htons(t->port);
		if (connect(w.fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
			return w.fd;
		error = -errno;
		loop_close(&w);
		f->node->counts.dials_failed++;
	}
	return error;
}

static struct client *client_new(struct front *f, const struct sockaddr_in *from)
{
	struct client *c = calloc(1, sizeof(*c));
	int fd = c ? dial(f, ntohl(from->sin_addr.s_addr)) : -ENOMEM;

	if (fd < 0) {
		count_lost(f, fd);
		free(c);
		return NULL;
	}
	*c = (struct client){.front = f, .watch = {.ready = client_ready, .fd = fd}, .from = *from};
	timer_init(&c->idle, client_idle);
	link_init(&c->of_front);
	link_init(&c->in_bucket);
	link_insert(&f->users, &c->of_front);
	link_insert(bucket_of(f, from), &c->in_bucket);
	timer_start(&c->idle, PATIENCE_250_MS);
	if (loop_wait_for(&c->watch, EPOLLIN) < 0) {
		(void)is_exhausted(f->node, -ENOMEM);
		client_end(c);
		return NULL;
	}
	f->node->counts.clients++;
	return c;
}

/* What clients say. */
void udp_ready(struct watch *w, uint32_t events)
{
	static char datagram[DATAGRAM_MAX];
	struct front *f = container_of(w, struct front, watch);

	(void)events;
	for (int i = 0; i < DATAGRAMS_TURN; i++) {
		struct sockaddr_in from = {0};
		socklen_t len = sizeof(from);
		struct client *c;
		ssize_t n =
		    recvfrom(w->fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&from, &len);

		if (n < 0)
			return;
		c = client_find(f, &from);
		if (!c)
			c = client_new(f, &from);
		if (c && send(c->watch.fd, datagram, (size_t)n, 0) < 0)
			count_lost(f, -errno);
		else if (c)
			timer_start(&c->idle, PATIENCE_250_MS);
	}
}

void udp_close_all(struct front *f)
{
	for_each(l, &f->users)
		client_end(container_of(l, struct client, of_front));
}
