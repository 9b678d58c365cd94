/* SPDX-License-Identifier: Apache-2.0 */
/* engine_iface.c - ifaces of an engine: made here, attached and closed by their worker. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "iface_link.h"
#include "iface_tun.h"
#include "iface_udp.h"

struct iface_entry *engine_iface(const struct engine *e, uint32_t id)
{
	if (id - 1 >= e->iface_count || !e->ifaces[id - 1].iface)
		return NULL;
	return &e->ifaces[id - 1];
}

void engine_iface_close(struct worker *w, struct iface *i)
{
	struct node *n = i->node;

	poller_remove(&w->poller, i);
	worker_unready(w, i);
	node_iface_detach(n, i);
	i->node = n; /* whose pool close() gives packets back to */
	i->ops->close(i);
}

struct attach_args {
	struct node *node;
	struct iface *iface;
	enum iface_kind kind;
};

static int64_t attach(struct worker *w, void *arg)
{
	const struct attach_args *args = arg;
	struct iface *i = args->iface;
	int error = node_iface_attach(args->node, i);

	i->node = args->node;
	if (error)
		return error;
	if (args->kind == KIND_LINK)
		error = iface_link_join(i);
	if (!error)
		error = poller_add(&w->poller, i);
	if (error) {
		node_iface_detach(args->node, i);
		i->node = args->node;
	}
	return error;
}

/* Room in the registry, before anything is made that would have to be undone. */
static int iface_prepare(struct engine *e, const struct iface_config *c)
{
	struct iface_entry *grown;

	if (!engine_node(e, c->node))
		return -ENOENT;
	if (c->role > IFACE_WIRE)
		return -EINVAL;
	grown = realloc(e->ifaces, (e->iface_count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	e->ifaces = grown;
	return 0;
}

/* Takes over @i. */
static int iface_add(struct engine *e, const struct iface_config *c, struct iface *i,
		     enum iface_kind kind, uint32_t *id)
{
	struct node *n = engine_node(e, c->node);
	struct attach_args args = {n, i, kind};
	int error;

	i->id = (uint32_t)e->iface_count + 1;
	i->node = n;
	i->role = c->role;
	i->mtu = c->mtu;
	i->addr = c->addr;
	memcpy(i->name, c->name, sizeof(i->name));
	i->name[sizeof(i->name) - 1] = '\0';
	error = (int)engine_call(engine_worker_of(e, n), attach, &args);
	if (error) {
		i->ops->close(i);
		return error;
	}
	e->ifaces[e->iface_count++] = (struct iface_entry){i, n, (uint8_t)kind};
	*id = i->id;
	return 0;
}

int engine_iface_queue(struct engine *e, const struct iface_config *c, uint32_t *id)
{
	struct iface *i;
	int error = iface_prepare(e, c);

	if (!error)
		error = iface_queue_new(&i);
	return error ? error : iface_add(e, c, i, KIND_QUEUE, id);
}

int engine_iface_link(struct engine *e, const struct iface_config *c, uint32_t *id)
{
	struct iface *i;
	int error = iface_prepare(e, c);

	if (!error)
		error = iface_link_new(&i, e->fabric);
	return error ? error : iface_add(e, c, i, KIND_LINK, id);
}

int engine_iface_tun(struct engine *e, const struct iface_config *c, int fd, uint32_t *id)
{
	struct iface *i;
	int error = iface_prepare(e, c);

	if (!error)
		error = iface_tun_new(&i, fd);
	if (error) {
		close(fd);
		return error;
	}
	return iface_add(e, c, i, KIND_TUN, id);
}

int engine_iface_udp(struct engine *e, const struct iface_config *c, const int *fds, size_t count,
		     uint32_t *id)
{
	struct iface *i;
	int error = iface_prepare(e, c);

	if (!error) {
		uint8_t backend = engine_node(e, c->node)->config.backend;
		size_t tunnel = backend == BACKEND_VXLAN
				    ? sizeof(struct vxlan_hdr) + sizeof(struct eth_hdr)
				    : 0;

		error = backend == BACKEND_HOST_GW
			    ? -EINVAL
			    : iface_udp_new(&i, fds, count, tunnel, backend == BACKEND_UDP);
	}
	if (error) {
		for (size_t n = 0; n < count; n++)
			close(fds[n]);
		return error;
	}
	return iface_add(e, c, i, KIND_UDP, id);
}

static int64_t detach(struct worker *w, void *arg)
{
	engine_iface_close(w, arg);
	return 0;
}

int engine_iface_remove(struct engine *e, uint32_t id)
{
	struct iface_entry *entry = engine_iface(e, id);

	if (!entry)
		return -ENOENT;
	engine_capture_forget(e, entry->iface);
	engine_call(engine_worker_of(e, entry->node), detach, entry->iface);
	*entry = (struct iface_entry){0};
	return 0;
}

struct stats_args {
	const struct iface *iface;
	struct iface_stats *out;
};

static int64_t read_stats(struct worker *w, void *arg)
{
	const struct stats_args *args = arg;

	(void)w;
	*args->out = args->iface->stats;
	return 0;
}

int engine_iface_stats(struct engine *e, uint32_t iface, struct iface_stats *out)
{
	struct iface_entry *entry = engine_iface(e, iface);
	struct stats_args args = {entry ? entry->iface : NULL, out};

	if (!entry)
		return -ENOENT;
	return (int)engine_call(engine_worker_of(e, entry->node), read_stats, &args);
}

struct inject_args {
	struct iface *iface;
	const void *bytes;
	size_t len;
	const struct inject *how;
};

static int64_t inject(struct worker *w, void *arg)
{
	const struct inject_args *args = arg;
	int error = iface_queue_inject(args->iface, args->bytes, args->len, args->how);

	if (!error)
		ready_push(&w->ready, args->iface);
	return error;
}

int engine_inject(struct engine *e, uint32_t iface, const void *bytes, size_t len,
		  const struct inject *how)
{
	struct iface_entry *entry = engine_iface(e, iface);
	struct inject_args args = {entry ? entry->iface : NULL, bytes, len, how};

	if (!entry)
		return -ENOENT;
	if (entry->kind != KIND_QUEUE)
		return -EINVAL;
	return (int)engine_call(engine_worker_of(e, entry->node), inject, &args);
}

struct extract_args {
	struct iface *iface;
	void *bytes;
	size_t room;
	struct inject *how;
};

static int64_t extract(struct worker *w, void *arg)
{
	const struct extract_args *args = arg;

	(void)w;
	return iface_queue_extract(args->iface, args->bytes, args->room, args->how);
}

int64_t engine_extract(struct engine *e, uint32_t iface, void *bytes, size_t room,
		       struct inject *how)
{
	struct iface_entry *entry = engine_iface(e, iface);
	struct extract_args args = {entry ? entry->iface : NULL, bytes, room, how};

	if (!entry)
		return -ENOENT;
	if (entry->kind != KIND_QUEUE)
		return -EINVAL;
	return engine_call(engine_worker_of(e, entry->node), extract, &args);
}
