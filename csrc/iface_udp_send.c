/* SPDX-License-Identifier: Apache-2.0 */
/* iface_udp_send.c - tunnel packets into UDP sockets, as few system calls as their sizes allow.
 *
 * A super-packet is cut into a buffer, each segment with its own tunnel header, and sent by one
 * sendmsg() with UDP_SEGMENT. A run of packets of one size to one peer by one socket goes the same
 * way, gathered from where they lie. Where the kernel will not cut (no checksum offload on the
 * route, segments beyond its MTU) the same bytes go by sendmmsg().
 */
#include "iface_udp_private.h"

#include <errno.h>

#include "gso.h"
#include "iface_cut.h"
#include "iface_ring.h"

enum {
	RUN_MAX = 64, /* UDP_MAX_SEGMENTS of older kernels */
	SEGMENT_PAUSE = 1024,
};

/* Datagrams of one size (the last may be shorter) to one peer. */
struct run {
	struct iovec iov[RUN_MAX];
	unsigned iov_count;
	uint32_t bytes;
	uint16_t segment;
	unsigned count;
	struct sockaddr_in to;
	int fd;
};

static void run_address(const struct iface_udp *u, const struct packet *p, struct run *r)
{
	r->to = (struct sockaddr_in){
	    .sin_family = AF_INET,
	    .sin_port = p->outer_dport,
	    .sin_addr.s_addr = p->outer_dst,
	};
	r->fd = u->senders[from_be16(p->outer_sport) % u->sender_count];
}

static enum drop_reason reason_of(int error)
{
	switch (error) {
	case EMSGSIZE:
		return DROP_TOO_BIG;
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return DROP_IFACE_FULL;
	case ENETDOWN:
	case ENODEV:
	case ENETUNREACH:
	case EHOSTUNREACH:
		return DROP_IFACE_DOWN;
	default:
		return DROP_IFACE_ERROR;
	}
}

static int send_segmented(const struct run *r)
{
	union {
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr m = {
	    .msg_name = (void *)&r->to,
	    .msg_namelen = sizeof(r->to),
	    .msg_iov = (void *)r->iov,
	    .msg_iovlen = r->iov_count,
	};

	if (r->count > 1) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.align.cmsg_level = SOL_UDP;
		control.align.cmsg_type = UDP_SEGMENT;
		control.align.cmsg_len = CMSG_LEN(sizeof(uint16_t));
		memcpy(CMSG_DATA(&control.align), &r->segment, sizeof(r->segment));
	}
	while (sendmsg(r->fd, &m, MSG_DONTWAIT) < 0)
		if (errno != EINTR)
			return errno;
	return 0;
}

/* One datagram per iovec entry, or per r->segment bytes of the only one. */
static unsigned split(const struct run *r, struct iovec *iov)
{
	uint8_t *base = r->iov[0].iov_base;
	unsigned n = 0;

	if (r->iov_count > 1) {
		memcpy(iov, r->iov, r->iov_count * sizeof(*iov));
		return r->iov_count;
	}
	for (uint32_t at = 0; at < r->bytes; at += r->segment) {
		uint32_t left = r->bytes - at;

		iov[n++] = (struct iovec){base + at, left < r->segment ? left : r->segment};
	}
	return n;
}

static unsigned send_separately(struct iface_udp *u, const struct run *r)
{
	struct mmsghdr msg[RUN_MAX] = {0};
	struct iovec iov[RUN_MAX];
	unsigned count = split(r, iov), done = 0, sent = 0;

	for (unsigned n = 0; n < count; n++)
		msg[n].msg_hdr = (struct msghdr){
		    .msg_name = (void *)&r->to,
		    .msg_namelen = sizeof(r->to),
		    .msg_iov = &iov[n],
		    .msg_iovlen = 1,
		};
	while (done < count) {
		int n = sendmmsg(r->fd, msg + done, count - done, MSG_DONTWAIT);

		if (n > 0) {
			done += (unsigned)n;
			sent += (unsigned)n;
		} else if (errno != EINTR) {
			node_count_drop(u->base.node, reason_of(errno));
			u->base.stats.tx_drops++;
			done++;
		}
	}
	return sent;
}

/* Returns how many of the run's datagrams went out; the others are counted as dropped. */
static unsigned run_send(struct iface_udp *u, const struct run *r)
{
	int error;

	if (r->count > 1 && (u->no_segment || u->segment_pause)) {
		if (u->segment_pause)
			u->segment_pause--;
		return send_separately(u, r);
	}
	error = send_segmented(r);
	if (!error)
		return r->count;
	if (r->count > 1) {
		u->no_segment = error == EIO || error == ENOPROTOOPT || error == EOPNOTSUPP;
		if (error == EINVAL || error == EMSGSIZE)
			u->segment_pause = SEGMENT_PAUSE;
		if (u->no_segment || u->segment_pause)
			return send_separately(u, r);
	}
	node_count_drop(u->base.node, reason_of(error));
	u->base.node->stats.drops[reason_of(error)] += r->count - 1;
	u->base.stats.tx_drops += r->count;
	return 0;
}

static void send_super(struct iface_udp *u, struct packet_pool *pool, struct packet *p)
{
	struct packet *buffer = iface_take(&u->base, pool);
	struct gso_out out = {.room = PACKET_ROOM};
	uint32_t from = 0, sent = 0;
	struct run r;
	bool left;

	if (!buffer) {
		iface_drop(&u->base, pool, p, DROP_POOL_EMPTY);
		return;
	}
	out.data = buffer->data;
	run_address(u, p, &r);
	do {
		left = gso_cut(p, u->tunnel, &from, &out);
		if (!out.count)
			break;
		r.iov[0] = (struct iovec){out.data, out.len};
		r.iov_count = 1;
		r.bytes = out.len;
		r.segment = out.segment;
		r.count = out.count;
		sent += run_send(u, &r);
	} while (left);
	packet_give(pool, buffer);
	if (!from) {
		iface_drop(&u->base, pool, p, DROP_IFACE_ERROR);
		return;
	}
	if (sent) {
		u->base.stats.tx_packets++;
		u->base.stats.tx_bytes += p->len;
		u->base.stats.tx_segments += sent;
	}
	packet_give(pool, p);
}

static bool is_plain(const struct packet *p)
{
	return p->gso_type == VNET_GSO_NONE && !(p->flags & PACKET_MAY_FRAGMENT);
}

static bool run_takes(const struct iface_udp *u, const struct run *r, const struct packet *first,
		      const struct packet *p)
{
	return is_plain(p) && r->count < RUN_MAX && p->len <= r->segment &&
	       r->bytes == r->count * r->segment && r->bytes + p->len <= GSO_BYTES_MAX &&
	       p->outer_dst == first->outer_dst && p->outer_dport == first->outer_dport &&
	       u->senders[from_be16(p->outer_sport) % u->sender_count] == r->fd;
}

/* Sends the longest run that pkt[0] begins; returns its length. */
static unsigned send_plain(struct iface_udp *u, struct packet_pool *pool, struct packet *const *pkt,
			   unsigned count)
{
	struct run r = {.iov_count = 0};
	unsigned n = 0, sent;

	run_address(u, pkt[0], &r);
	r.segment = (uint16_t)pkt[0]->len;
	do {
		gso_complete_checksum(pkt[n], u->tunnel);
		r.iov[r.iov_count++] = (struct iovec){pkt[n]->data, pkt[n]->len};
		r.bytes += pkt[n]->len;
		r.count++;
		n++;
	} while (n < count && run_takes(u, &r, pkt[0], pkt[n]));
	sent = run_send(u, &r);
	for (unsigned k = 0; k < sent;
	     k++) /* which of them is not told; all but the last are alike */
		iface_count_tx(&u->base, pkt[k], u->tunnel);
	for (unsigned k = 0; k < n; k++)
		packet_give(pool, pkt[k]);
	return n;
}

static void emit_piece(struct iface *i, struct packet_pool *pool, struct packet *p)
{
	p->flags &= (uint16_t)~PACKET_MAY_FRAGMENT;
	send_plain(udp_of(i), pool, &p, 1);
}

void iface_udp_send(struct iface *i, struct packet_pool *pool, struct packet *const *pkt,
		    unsigned count)
{
	struct iface_udp *u = udp_of(i);
	unsigned n = 0;

	while (n < count) {
		struct packet *p = pkt[n];

		if (LIKELY(is_plain(p))) {
			n += send_plain(u, pool, pkt + n, count - n);
			continue;
		}
		n++;
		if (p->flags & PACKET_MAY_FRAGMENT)
			iface_cut(i, pool, p, u->tunnel, i->node->config.mtu, emit_piece);
		else
			send_super(u, pool, p);
	}
}
