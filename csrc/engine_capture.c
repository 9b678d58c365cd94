/* SPDX-License-Identifier: Apache-2.0 */
/* engine_capture.c - captures of an engine by id: begun and ended at quiet points of the iface's
 * worker.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "capture.h"
#include "engine.h"

static int capture_prepare(struct engine *e)
{
	struct capture_entry *grown = realloc(e->captures, (e->capture_count + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	e->captures = grown;
	return 0;
}

static uint32_t capture_add(struct engine *e, struct capture *c, struct iface *i)
{
	e->captures[e->capture_count++] = (struct capture_entry){c, i};
	return (uint32_t)e->capture_count;
}

struct watch_args {
	struct iface *iface;
	struct capture *capture;
};

static int64_t watch(struct worker *w, void *arg)
{
	const struct watch_args *args = arg;

	(void)w;
	capture_attach(args->iface, args->capture);
	return 0;
}

static int64_t unwatch(struct worker *w, void *arg)
{
	const struct watch_args *args = arg;

	(void)w;
	capture_detach(args->iface, args->capture);
	return 0;
}

/* The capture has seen the last packet of its iface. */
static void capture_unwatch(struct engine *e, struct capture_entry *entry)
{
	struct watch_args args = {entry->iface, entry->capture};

	if (!entry->iface)
		return;
	engine_call(engine_worker_of(e, entry->iface->node), unwatch, &args);
	entry->iface = NULL;
}

int engine_capture_start(struct engine *e, uint32_t iface, int fd, uint32_t snaplen, uint32_t *id)
{
	struct iface_entry *entry = engine_iface(e, iface);
	struct watch_args args;
	int error = entry ? capture_prepare(e) : -ENOENT;

	if (!error && entry->kind == KIND_UDP)
		error = -EOPNOTSUPP; /* the kernel has the outer headers: engine_capture_socket() */
	if (error) {
		close(fd);
		return error;
	}
	args.iface = entry->iface;
	error = capture_new(&args.capture, &(struct capture_config){
					       .fd = fd,
					       .name = entry->iface->name,
					       .description = entry->node->config.name,
					       .snaplen = snaplen,
					       .clock = e->stepped ? &e->step_ns : NULL,
					   });
	if (error)
		return error;
	engine_call(engine_worker_of(e, entry->node), watch, &args);
	*id = capture_add(e, args.capture, args.iface);
	return 0;
}

int engine_capture_socket(struct engine *e, int packet_fd, int fd, const char *ifname,
			  uint32_t snaplen, uint32_t *id)
{
	struct capture *c;
	int error = capture_prepare(e);

	if (error) {
		close(packet_fd);
		close(fd);
		return error;
	}
	error = capture_new_socket(
	    &c, &(struct capture_config){.fd = fd, .name = ifname, .snaplen = snaplen}, packet_fd);
	if (!error)
		*id = capture_add(e, c, NULL);
	return error;
}

void engine_capture_forget(struct engine *e, const struct iface *i)
{
	for (size_t n = 0; n < e->capture_count; n++)
		if (e->captures[n].iface == i)
			capture_unwatch(e, &e->captures[n]);
}

int engine_capture_stop(struct engine *e, uint32_t id, uint64_t *captured, uint64_t *missed)
{
	struct capture_entry *entry;

	if (id - 1 >= e->capture_count || !e->captures[id - 1].capture)
		return -ENOENT;
	entry = &e->captures[id - 1];
	capture_unwatch(e, entry);
	capture_end(entry->capture, captured, missed);
	*entry = (struct capture_entry){0};
	return 0;
}

void engine_capture_end_all(struct engine *e)
{
	for (uint32_t id = 1; id <= e->capture_count; id++)
		(void)engine_capture_stop(e, id, NULL, NULL);
}
