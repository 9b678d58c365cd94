/* SPDX-License-Identifier: Apache-2.0 */
/* tables.c - nodes, service ports, and a front wherever one meets the other. */
#include "relay.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICE  "cni0"
#define BACKLOG 4096
#define BUCKETS 4096 /* a power of two */

static struct link nodes;
static struct link services[BUCKETS];
static struct link failing; /* fronts that do not listen where they should */
static uint64_t random_state;
static bool anything_stale;

void tables_init(uint64_t random)
{
	link_init(&nodes);
	link_init(&failing);
	for (size_t i = 0; i < BUCKETS; i++)
		link_init(&services[i]);
	random_state = random ? random : 1;
}

/* A socket that is bound, and listens if it is one of TCP. */
static int listener_open(struct watch *w, int space, int type, struct sockaddr_in at)
{
	const int on = 1;
	int error = 0;

	w->fd = space_socket(space, type);
	if (w->fd < 0) {
		error = w->fd;
		w->fd = -1;
		return error;
	}
	if (type == SOCK_STREAM)
		setsockopt(w->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (at.sin_addr.s_addr != INADDR_ANY &&
	    setsockopt(w->fd, SOL_SOCKET, SO_BINDTODEVICE, DEVICE, sizeof(DEVICE)) < 0)
		error = -errno;
	if (!error && bind(w->fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		error = -errno;
	if (!error && type == SOCK_STREAM && listen(w->fd, BACKLOG) < 0)
		error = -errno;
	if (error)
		loop_close(w);
	return error;
}

static struct sockaddr_in address(uint32_t addr, uint16_t port)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(addr)};
}

/* Open what is not open; whether nothing is left. */
static bool front_open(struct front *f)
{
	const struct service *s = f->service;
	const struct node *n = f->node;

	if (f->watch.fd < 0) {
		f->error = listener_open(&f->watch, n->space, s->type, address(n->addr, s->port));
		if (!f->error)
			f->error = loop_wait_for(&f->watch, EPOLLIN);
		if (f->error)
			loop_close(&f->watch);
	}
	if (s->node_port && f->claim.fd < 0)
		f->claim_error =
		    listener_open(&f->claim, n->space, s->type, address(INADDR_ANY, s->node_port));
	return !f->error && !f->claim_error;
}

static void front_close(struct front *f)
{
	if (f->service->type == SOCK_STREAM)
		tcp_stop_dialing(f);
	else
		udp_close_all(f);
	loop_close(&f->watch);
	loop_close(&f->claim);
	link_remove(&f->of_node);
	link_remove(&f->of_service);
	link_remove(&f->failing);
	balancer_free(&f->balancer);
	loop_free(f);
}

static int front_balance(struct front *f)
{
	const struct service *s = f->service;

	return balancer_set(&f->balancer, s->targets, s->count, s->affinity_s, &random_state);
}

static int front_new(struct node *n, struct service *s)
{
	struct front *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->node = n;
	f->service = s;
	f->watch =
	    (struct watch){.ready = s->type == SOCK_STREAM ? tcp_ready : udp_ready, .fd = -1};
	f->claim = (struct watch){.fd = -1};
	link_init(&f->of_node);
	link_init(&f->of_service);
	link_init(&f->failing);
	link_init(&f->users);
	if (front_balance(f)) {
		free(f);
		return -ENOMEM;
	}
	link_insert(&n->fronts, &f->of_node);
	link_insert(&s->fronts, &f->of_service);
	if (!front_open(f))
		link_insert(&failing, &f->failing);
	return 0;
}

static void node_free(struct node *n)
{
	for_each(l, &n->fronts)
		front_close(container_of(l, struct front, of_node));
	tcp_close_all(n);
	link_remove(&n->link);
	close(n->space);
	loop_free(n);
}

/* A node is its namespace: control may number it anew. */
static struct node *node_find(uint64_t inode, uint32_t addr)
{
	for_each(l, &nodes) {
		struct node *n = container_of(l, struct node, link);

		if (n->inode == inode && n->addr == addr)
			return n;
	}
	return NULL;
}

static int node_new(uint32_t id, uint32_t addr, int space, uint64_t inode)
{
	struct node *n = calloc(1, sizeof(*n));
	int error = 0;

	if (!n) {
		close(space);
		return -ENOMEM;
	}
	*n = (struct node){.id = id, .addr = addr, .space = space, .inode = inode};
	link_init(&n->link);
	link_init(&n->fronts);
	link_init(&n->connections);
	link_insert(&nodes, &n->link);
	for (size_t i = 0; i < BUCKETS; i++)
		for_each(l, &services[i])
			error =
			    front_new(n, container_of(l, struct service, link)) ? -ENOMEM : error;
	return error;
}

int node_set(uint32_t id, uint32_t addr, int space)
{
	struct stat what;
	struct node *n;

	if (fstat(space, &what) < 0) {
		close(space);
		return -errno;
	}
	n = node_find(what.st_ino, addr);
	if (!n)
		return node_new(id, addr, space, what.st_ino);
	close(space);
	n->id = id;
	n->stale = false;
	return 0;
}

void node_drop(uint32_t id)
{
	for_each(l, &nodes) {
		struct node *n = container_of(l, struct node, link);

		if (n->id == id && !n->stale)
			node_free(n);
	}
}

static struct link *bucket_of(uint32_t id)
{
	return &services[id & (BUCKETS - 1)];
}

static struct service *service_find(uint32_t id)
{
	struct link *bucket = bucket_of(id);

	for_each(l, bucket) {
		struct service *s = container_of(l, struct service, link);

		if (s->id == id)
			return s;
	}
	return NULL;
}

static void service_free(struct service *s)
{
	for_each(l, &s->fronts)
		front_close(container_of(l, struct front, of_service));
	link_remove(&s->link);
	free(s->targets);
	loop_free(s);
}

void service_drop(uint32_t id)
{
	struct service *s = service_find(id);

	if (s)
		service_free(s);
}

static int service_update(struct service *s, const struct service *like)
{
	struct target *targets = malloc(like->count ? like->count * sizeof(*targets) : 1);
	int error = 0;

	if (!targets)
		return -ENOMEM;
	if (like->count)
		memcpy(targets, like->targets, like->count * sizeof(*targets));
	free(s->targets);
	s->targets = targets;
	s->count = like->count;
	s->affinity_s = like->affinity_s;
	s->stale = false;
	for_each(l, &s->fronts) {
		struct front *f = container_of(l, struct front, of_service);

		error = front_balance(f) ? -ENOMEM : error;
	}
	return error;
}

static int service_new(const struct service *like)
{
	struct service *s = calloc(1, sizeof(*s));
	int error;

	if (!s)
		return -ENOMEM;
	*s = *like;
	s->targets = NULL;
	link_init(&s->link);
	link_init(&s->fronts);
	error = service_update(s, like);
	if (error) {
		free(s);
		return error;
	}
	link_insert(bucket_of(s->id), &s->link);
	for_each(l, &nodes)
		error = front_new(container_of(l, struct node, link), s) ? -ENOMEM : error;
	return error;
}

int service_set(const struct service *like)
{
	struct service *s = service_find(like->id);

	if (s &&
	    (s->type != like->type || s->port != like->port || s->node_port != like->node_port)) {
		service_free(s);
		s = NULL;
	}
	return s ? service_update(s, like) : service_new(like);
}

void tables_mark_stale(void)
{
	anything_stale = true;
	for_each(l, &nodes)
		container_of(l, struct node, link)->stale = true;
	for (size_t i = 0; i < BUCKETS; i++)
		for_each(l, &services[i])
			container_of(l, struct service, link)->stale = true;
}

void tables_sweep(void)
{
	if (!anything_stale)
		return;
	anything_stale = false;
	for_each(l, &nodes)
		if (container_of(l, struct node, link)->stale)
			node_free(container_of(l, struct node, link));
	for (size_t i = 0; i < BUCKETS; i++)
		for_each(l, &services[i])
			if (container_of(l, struct service, link)->stale)
				service_free(container_of(l, struct service, link));
}

static size_t problems_of(const struct front *f, struct problem *out, size_t max)
{
	const int32_t errors[] = {f->error, f->claim_error};
	size_t count = 0;

	for (uint32_t claim = 0; claim < 2; claim++)
		if (errors[claim] && count < max)
			out[count++] =
			    (struct problem){f->node->id, f->service->id, -errors[claim], claim};
	return count;
}

size_t tables_problems(struct problem *out, size_t max)
{
	size_t count = 0;

	for_each(l, &failing) {
		struct front *f = container_of(l, struct front, failing);

		if (front_open(f))
			link_remove(&f->failing);
		count += problems_of(f, out + count, max - count);
	}
	return count;
}

size_t tables_counts(struct node_counts *out, size_t max)
{
	size_t count = 0;

	for_each(l, &nodes) {
		const struct node *n = container_of(l, struct node, link);

		if (count < max)
			out[count++] = (struct node_counts){n->id, n->counts};
	}
	return count;
}
