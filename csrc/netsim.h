/* SPDX-License-Identifier: Apache-2.0 */
/* netsim.h - the face of the data plane: all that Cython sees.
 *
 * One engine per process. All functions are called by one control thread; packets never leave C.
 * They return 0 or a negative errno unless they say otherwise. An engine made with workers == 0 is
 * stepped by its caller (tests): time stands still between calls of engine_step().
 */
#ifndef NETSIM_H
#define NETSIM_H

#include "iface_queue.h"
#include "node.h"
#include "poller.h"

struct engine;

/* What a worker does when there is nothing to do. */
enum polling {
	POLLING_SLEEP,
	POLLING_SPIN, /* where packets come one by one it looks for a little while, then sleeps */
	POLLING_BUSY, /* it never sleeps, but yields */
};

struct engine_config {
	unsigned workers; /* 0: stepped */
	uint64_t seed;
	int arena_fd;          /* memfd for flows, -1: private memory */
	uint64_t arena_bytes;  /* upper bound; 0: 1 GiB */
	unsigned pool_packets; /* per worker; 0: 512 */
	uint8_t io;            /* enum io_method; -EOPNOTSUPP or why IO_URING can not be had */
	uint8_t polling;       /* enum polling */
};

/* What IO_AUTO comes to here: IO_URING or IO_EPOLL; @error: why it is not io_uring, 0 if it is */
enum io_method engine_io(int *error);

int engine_new(struct engine **out, const struct engine_config *config);
void engine_free(struct engine *e); /* stops first; closes every iface */
int engine_start(struct engine *e); /* -EINVAL if stepped */
void engine_stop(struct engine *e);

/* nodes */
int engine_node_add(struct engine *e, const struct node_config *config, uint32_t *id);
int engine_node_remove(struct engine *e, uint32_t id);
/* flows, ifaces and packets under way go with it; -EINVAL: no such worker */
int engine_node_move(struct engine *e, uint32_t node, unsigned worker);
/* to be called now and then: takes a node from an overloaded worker, or joins workers that have
 * little to do; returns nodes moved
 */
int engine_balance(struct engine *e);
/* name: nothing; rows: pods of this node (ROUTE_POD, index iface id) and addresses of its stack */
int engine_node_routes(struct engine *e, uint32_t node, const struct route_row *rows, size_t count);
/* returns flows adopted; call once the tables are in place */
int engine_adopt_flows(struct engine *e, uint64_t now_ns);

/* ifaces: each takes over fd (closed by the engine, on failure too) and returns the iface's id */
struct iface_config {
	uint32_t node;
	uint8_t role; /* enum iface_role */
	uint16_t mtu;
	struct addr addr; /* pods */
	char name[32];
};
int engine_iface_queue(struct engine *e, const struct iface_config *c, uint32_t *id);
int engine_iface_tun(struct engine *e, const struct iface_config *c, int fd, uint32_t *id);
/* fds[0] receives and, for the udp backend, sends; for vxlan fds[1..] send, chosen by flow hash */
int engine_iface_udp(struct engine *e, const struct iface_config *c, const int *fds, size_t count,
		     uint32_t *id);
int engine_iface_link(struct engine *e, const struct iface_config *c, uint32_t *id);
int engine_iface_remove(struct engine *e, uint32_t id);

/* tables; effective for the next batch of every worker */
int engine_service_set(struct engine *e, const struct service_spec *spec);
int engine_service_remove(struct engine *e, const struct service_key *key);
/* what is set and removed between the two takes effect together, at the end */
void engine_services_begin(struct engine *e);
void engine_services_end(struct engine *e);
int engine_routes(struct engine *e, const struct route_row *rows, size_t count);
int engine_peers(struct engine *e, const struct peer_row *rows, size_t count);
int engine_publish(struct engine *e, uint64_t revision);

/* reading back */
int engine_node_stats(struct engine *e, uint32_t node, struct node_stats *out);
/* the revision that the node's last batch ran with, or could only have run with (idle worker) */
int engine_node_revision(struct engine *e, uint32_t node, uint64_t *revision);
int engine_iface_stats(struct engine *e, uint32_t iface, struct iface_stats *out);
/* Which flows to read; what is zero in a key matches anything. */
struct flow_filter {
	struct flow_key original;
	struct flow_key reply;
	uint8_t state; /* FLOW_STATE_COUNT: any */
};
/* a piece of a node's flows, so that no worker stands still for a large table: looks at max records
 * from *cursor on (first 0, and 0 after the last) and copies those that match; returns how many, or
 * negative errno
 */
int64_t engine_flows(struct engine *e, uint32_t node, const struct flow_filter *filter,
		     uint32_t *cursor, struct flow *out, uint32_t max);
int engine_flows_clear(struct engine *e, uint32_t node);

struct engine_info {
	uint64_t tables_bytes;
	uint64_t flows_bytes;
	uint64_t retired_waiting;
	uint64_t services;
	unsigned workers;
	enum io_method io; /* IO_URING or IO_EPOLL */
	int io_error;      /* why IO_AUTO is not io_uring, negative errno; 0: it is, or as asked */
};
int engine_info(struct engine *e, struct engine_info *out);

/* decision records */
int engine_trace(struct engine *e, uint32_t node, const struct trace_filter *filter);
int64_t engine_trace_drain(struct engine *e, struct trace_record *out, size_t max,
			   uint64_t *missed);

/* pcapng of an iface, written to fd (taken over) by a thread of its own until stopped or the reader
 * goes; packets that the ring had no room for are counted in the file's interface statistics
 */
int engine_capture_start(struct engine *e, uint32_t iface, int fd, uint32_t snaplen, uint32_t *id);
/* the same of a bound AF_PACKET SOCK_RAW socket (a node's eth0 when the wire is udp): Ethernet
 * frames with the kernel's timestamps; both descriptors are taken over
 */
int engine_capture_socket(struct engine *e, int packet_fd, int fd, const char *ifname,
			  uint32_t snaplen, uint32_t *id);
int engine_capture_stop(struct engine *e, uint32_t id, uint64_t *captured, uint64_t *missed);

/* in-memory ifaces (tests and explain); struct inject is in iface_queue.h */
/* into the node, as if received; -ENOBUFS when the queue is full */
int engine_inject(struct engine *e, uint32_t iface, const void *bytes, size_t len,
		  const struct inject *how);
/* out of the node; returns length, 0 if there is none, -EMSGSIZE if room is too small */
int64_t engine_extract(struct engine *e, uint32_t iface, void *bytes, size_t room,
		       struct inject *how);

/* stepped engines: process everything that is queued, at this time, nodes in order; links between
 * nodes included; returns packets processed
 */
int64_t engine_step(struct engine *e, uint64_t now_ns);
/* stepped engines: run flow expiry to completion at this time; returns flows forgotten */
int64_t engine_expire(struct engine *e, uint64_t now_ns);

#endif
