/* SPDX-License-Identifier: Apache-2.0 */
/* iface_udp.c - tunnel packets from UDP sockets, and the wire's setting up.
 *
 * Receiving: recvmmsg() straight into pool packets. A datagram that is one tunnel packet is passed
 * on as it is; what UDP_GRO has put together stays in its packet, held by the iface, while
 * gso_join() copies it out into as few packets as the batch has room for. How many messages to ask
 * for follows how many came the last time. Sending is in iface_udp_send.c.
 */
#include "iface_udp_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <unistd.h>

#include "gso.h"
#include "iface_cut.h"
#include "iface_ring.h"

enum { SOCKET_BUFFER_BYTES = 8 << 20, CONTROL_BYTES = 64 };

union control {
	uint8_t bytes[CONTROL_BYTES];
	struct cmsghdr align;
};

/* What recvmmsg() fills in; on the stack of one receive. */
struct intake {
	struct mmsghdr msg[HELD_MAX];
	struct iovec iov[HELD_MAX];
	struct sockaddr_in from[HELD_MAX];
	union control control[HELD_MAX];
};

static void held_drop_first(struct iface_udp *u, struct packet_pool *pool)
{
	packet_give(pool, u->held[u->held_first].packet);
	u->held_first++;
}

/* Datagrams lost because the socket's buffer was full, or damaged: nobody else would count them.
 * Those that came while no data plane ran are among them.
 */
static void udp_count(struct iface *i)
{
	struct iface_udp *u = udp_of(i);
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(i->fd, SOL_SOCKET, SO_MEMINFO, info, &len) || len < sizeof(info))
		return;
	i->node->stats.drops[DROP_WIRE_OVERFLOW] += info[SK_MEMINFO_DROPS] - u->overflow_seen;
	u->overflow_seen = info[SK_MEMINFO_DROPS];
}

static uint16_t read_control(struct msghdr *m)
{
	int segment = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
	return segment > 0 && segment <= UINT16_MAX ? (uint16_t)segment : 0;
}

/* Fills the empty held list with what the ring has received. */
static void held_take(struct iface_udp *u, struct packet_pool *pool)
{
	struct packet *p;

	u->held_first = 0;
	u->held_count = 0;
	while (u->held_count < HELD_MAX && (p = packet_list_pop(&u->base.arrived)) != NULL) {
		struct recv_head *head = (void *)(p->data - sizeof(*head));
		struct msghdr m = {.msg_control = head->control,
				   .msg_controllen = head->control_len};

		if (p->len < sizeof(*head) || head->control_len > sizeof(head->control)) {
			node_count_drop(u->base.node, DROP_TUNNEL_SHORT);
			packet_give(pool, p);
			continue;
		}
		p->len -= (uint32_t)sizeof(*head);
		u->held[u->held_count++] = (struct held){
		    .packet = p,
		    .segment = read_control(&m),
		    .src = head->from.addr,
		    .sport = head->from.port,
		};
	}
}

static unsigned intake_prepare(struct iface_udp *u, struct packet_pool *pool, struct intake *in)
{
	unsigned n;

	for (n = 0; n < u->appetite; n++) {
		struct packet *p = packet_take(pool);

		if (!p)
			break;
		u->held[n] = (struct held){.packet = p};
		in->iov[n] = (struct iovec){.iov_base = p->data, .iov_len = PACKET_ROOM};
		in->msg[n].msg_hdr = (struct msghdr){
		    .msg_name = &in->from[n],
		    .msg_namelen = sizeof(in->from[n]),
		    .msg_iov = &in->iov[n],
		    .msg_iovlen = 1,
		    .msg_control = &in->control[n],
		    .msg_controllen = sizeof(in->control[n]),
		};
	}
	return n;
}

/* Fills the empty held list from the socket. False if there is nothing. */
static bool held_receive(struct iface_udp *u, struct packet_pool *pool)
{
	struct intake in;
	unsigned asked = intake_prepare(u, pool, &in);
	int got;

	u->held_first = 0;
	do
		got = recvmmsg(u->base.fd, in.msg, asked, MSG_DONTWAIT, NULL);
	while (got < 0 && errno == EINTR);
	u->held_count = got > 0 ? (unsigned)got : 0;
	for (unsigned n = u->held_count; n < asked; n++)
		packet_give(pool, u->held[n].packet);
	for (unsigned n = 0; n < u->held_count; n++) {
		struct held *h = &u->held[n];

		h->packet->len = in.msg[n].msg_len;
		h->segment = read_control(&in.msg[n].msg_hdr);
		h->src = in.from[n].sin_addr.s_addr;
		h->sport = in.from[n].sin_port;
	}
	if (u->held_count == asked)
		u->appetite = asked * 2 < HELD_MAX ? asked * 2 : HELD_MAX;
	else
		u->appetite = u->held_count + 1;
	if (u->appetite == 0)
		u->appetite = 1; /* the pool was empty */
	return u->held_count > 0;
}

static bool held_refill(struct iface_udp *u, struct packet_pool *pool)
{
	held_take(u, pool);
	return u->held_count || (!u->base.ring && held_receive(u, pool));
}

/* The next packet out of what is held, which is not empty. NULL when the pool is empty: what
 * `waits` for packets of the batch to come back stays, otherwise the datagram is given up, for
 * packets that hold datagrams may be the ones that are missing.
 */
static struct packet *held_next(struct iface_udp *u, struct packet_pool *pool, bool waits)
{
	struct held *h = &u->held[u->held_first];
	uint32_t left = h->packet->len - h->used;
	struct packet *p;

	if (h->used == 0 && (h->segment == 0 || h->segment >= left)) {
		p = h->packet; /* one tunnel packet: passed on without a copy */
		u->held_first++;
	} else {
		p = iface_take(&u->base, pool);
		if (!p && waits)
			return NULL;
		if (!p) {
			assert(h->segment != 0); /* else it was passed on as it is, above */
			u->base.node->stats.drops[DROP_POOL_EMPTY] +=
			    (left + h->segment - 1) / h->segment;
			held_drop_first(u, pool);
			return NULL;
		}
		h->used +=
		    (uint32_t)gso_join(p, h->packet->data + h->used, left, u->tunnel, h->segment);
	}
	p->in = &u->base;
	p->outer_src = h->src;
	p->outer_sport = h->sport;
	p->outer_dst = addr_to_v4(u->base.node->config.address);
	p->outer_dport = u->base.node->config.port;
	if (p != h->packet && h->used == h->packet->len)
		held_drop_first(u, pool);
	return p;
}

static unsigned udp_receive(struct iface *i, struct packet_pool *pool, struct batch *b)
{
	struct iface_udp *u = udp_of(i);
	uint32_t bytes = 0;

	b->count = 0;
	while (b->count < BATCH_MAX && bytes < RECEIVE_BYTES) {
		struct packet *p;

		if (u->held_first == u->held_count && !held_refill(u, pool))
			break;
		p = held_next(u, pool, b->count > 0);
		if (!p)
			break;
		iface_count_rx(i, p, u->tunnel);
		bytes += p->len;
		b->pkt[b->count++] = p;
	}
	i->more = u->held_first < u->held_count || i->arrived.first;
	return b->count;
}

static void udp_arm(struct iface *i)
{
	static const struct msghdr m = {
	    .msg_namelen = sizeof(struct sockaddr_in),
	    .msg_controllen = RECV_CONTROL_BYTES,
	};

	iface_ring_recvmsg(i->ring, i, &m);
}

static void udp_close(struct iface *i)
{
	struct iface_udp *u = udp_of(i);

	while (u->held_first < u->held_count)
		held_drop_first(u, i->node->pool);
	iface_give_arrived(i);
	for (unsigned n = 0; n < u->sender_count; n++)
		if (u->senders[n] != i->fd)
			close(u->senders[n]);
	close(i->fd);
	free(u);
}

static const struct iface_ops udp_ops = {
    .name = "udp",
    .receive = udp_receive,
    .send = iface_udp_send,
    .arm = udp_arm,
    .feed = FEED_UDP,
    .count = udp_count,
    .close = udp_close,
};

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

/* What speeds up is optional, what shapes the packets is not. */
static int socket_prepare(int fd, bool receives, bool df)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES))
		(void)set_int(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER_BYTES);
	if (receives) {
		if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES))
			(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER_BYTES);
		(void)set_int(fd, SOL_UDP, UDP_GRO, 1);
	}
	return set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, df ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT);
}

int iface_udp_new(struct iface **out, const int *fds, size_t count, size_t tunnel, bool df)
{
	struct iface_udp *u;
	int error;

	if (count < 1 || count > 1 + UDP_SENDERS_MAX)
		return -EINVAL;
	for (size_t n = 0; n < count; n++) {
		error = socket_prepare(fds[n], n == 0, df);
		if (error)
			return error;
	}
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->base.ops = &udp_ops;
	u->base.fd = fds[0];
	u->base.up = true;
	u->tunnel = tunnel;
	u->appetite = 1;
	if (count == 1)
		u->senders[u->sender_count++] = fds[0];
	for (size_t n = 1; n < count; n++)
		u->senders[u->sender_count++] = fds[n];
	*out = &u->base;
	return 0;
}
