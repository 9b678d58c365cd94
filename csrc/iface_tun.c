/* SPDX-License-Identifier: Apache-2.0 */
/* iface_tun.c - one read or write per packet, the virtio header in the packet's headroom.
 *
 * With a ring (iface_ring.h) the kernel has read packets when receive() is called, and writes go
 * out together at the end of the worker's cycle; without, each is a system call here and now.
 *
 * A receive stops after BATCH_BYTES: sixty-four super-packets would push each other out of the
 * cache before the pipeline sees them. Datagrams that come in a row are joined (gso_join_udp.c):
 * one goes through the pipeline, and one write takes it into the next pod.
 */
#include "iface_tun.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "capture.h"
#include "gso.h"
#include "iface_cut.h"
#include "iface_ring.h"
#include "node.h"

enum {
	BATCH_BYTES = 256 * 1024,
	BATCH_READS = 2 * BATCH_MAX,
	READ_BYTES = 65535,
};

struct iface_tun {
	struct iface base;
	bool no_uso; /* the device refused a UDP super-packet */
};

static struct iface_tun *tun_of(struct iface *i)
{
	return (struct iface_tun *)(void *)i;
}

/* Reads one packet into @p. Returns bytes, the virtio header's included, 0 when there is none now,
 * negative errno when the device is gone.
 */
static int tun_read(const struct iface *i, struct packet *p)
{
	ssize_t n;

	do
		n = read(i->fd, p->data - sizeof(struct vnet_hdr),
			 sizeof(struct vnet_hdr) + READ_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	return n ? (int)n : -ENODEV; /* the other end of a socket pair closed */
}

/* The next packet, its len being that of what was read; NULL when there is none now. */
static struct packet *tun_next(struct iface *i, struct packet_pool *pool)
{
	struct packet *p = packet_list_pop(&i->arrived);
	int n;

	if (p || i->ring)
		return p;
	p = packet_take(pool);
	if (!p)
		return NULL;
	n = tun_read(i, p);
	if (n <= 0) {
		packet_give(pool, p);
		i->up = n == 0;
		return NULL;
	}
	p->len = (uint32_t)n;
	return p;
}

/* Makes a packet of what was read; false if its virtio header contradicts it. */
static bool tun_accept(struct iface *i, struct packet *p)
{
	struct vnet_hdr h;

	if (p->len <= sizeof(h))
		return false;
	memcpy(&h, p->data - sizeof(h), sizeof(h));
	p->len -= (uint32_t)sizeof(h);
	p->in = i;
	capture_seen(i, CAPTURE_OUTBOUND, p->data, p->len);
	return vnet_accept(&h, p);
}

static unsigned tun_receive(struct iface *i, struct packet_pool *pool, struct batch *b)
{
	uint32_t bytes = 0;

	b->count = 0;
	for (unsigned reads = 0; b->count < BATCH_MAX && bytes < BATCH_BYTES && reads < BATCH_READS;
	     reads++) {
		struct packet *p = tun_next(i, pool);

		if (!p)
			break;
		if (!tun_accept(i, p)) {
			node_count_drop(i->node, DROP_BAD_L4);
			packet_give(pool, p);
			continue;
		}
		iface_count_rx(i, p, 0);
		bytes += p->len;
		if (b->count && gso_join_datagram(b->pkt[b->count - 1], p))
			packet_give(pool, p);
		else
			b->pkt[b->count++] = p;
	}
	i->more = i->arrived.first != NULL;
	return b->count;
}

static int tun_write(const struct iface *i, const uint8_t *start, size_t len)
{
	ssize_t n;

	do
		n = write(i->fd, start, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static enum drop_reason reason_of(int error)
{
	switch (error) {
	case -EAGAIN:
	case -ENOBUFS:
	case -ENOMEM:
		return DROP_IFACE_FULL;
	case -EBADFD:
	case -EIO:
	case -ENODEV:
	case -EPIPE:
	case -ECONNRESET:
	case -ECONNREFUSED:
	case -ENOTCONN:
		return DROP_IFACE_DOWN;
	default:
		return DROP_IFACE_ERROR;
	}
}

static bool is_uso(const struct packet *p)
{
	return (p->gso_type & ~VNET_GSO_ECN) == VNET_GSO_UDP_L4;
}

static void tun_emit(struct iface *i, struct packet_pool *pool, struct packet *p);

/* The end of a write. */
static void tun_sent(struct iface *i, struct packet_pool *pool, struct packet *p, int error)
{
	if (error == -EINVAL && is_uso(p)) {
		tun_of(i)->no_uso = true;
		iface_cut(i, pool, p, 0, i->mtu, tun_emit);
		return;
	}
	if (error) {
		iface_drop(i, pool, p, reason_of(error));
		return;
	}
	iface_count_tx(i, p, 0);
	capture_seen(i, CAPTURE_INBOUND, p->data, p->len);
	packet_give(pool, p);
}

static void tun_emit(struct iface *i, struct packet_pool *pool, struct packet *p)
{
	struct vnet_hdr h;
	uint8_t *start = p->data - sizeof(h);
	uint32_t len = (uint32_t)sizeof(h) + p->len;

	if (tun_of(i)->no_uso && is_uso(p)) {
		iface_cut(i, pool, p, 0, i->mtu, tun_emit);
		return;
	}
	h = vnet_describe(p);
	memcpy(start, &h, sizeof(h));
	if (i->ring)
		iface_ring_write(i->ring, i, p, start, len);
	else
		tun_sent(i, pool, p, tun_write(i, start, len));
}

static void tun_send(struct iface *i, struct packet_pool *pool, struct packet *const *pkt,
		     unsigned count)
{
	for (unsigned n = 0; n < count; n++) {
		if (UNLIKELY(pkt[n]->flags & PACKET_MAY_FRAGMENT))
			iface_cut(i, pool, pkt[n], 0, i->mtu, tun_emit);
		else
			tun_emit(i, pool, pkt[n]);
	}
}

static void tun_arm(struct iface *i)
{
	iface_ring_read(i->ring, i);
}

static void tun_close(struct iface *i)
{
	iface_give_arrived(i);
	close(i->fd);
	free(tun_of(i));
}

static const struct iface_ops tun_ops = {
    .name = "tun",
    .receive = tun_receive,
    .send = tun_send,
    .sent = tun_sent,
    .arm = tun_arm,
    .feed = FEED_TUN,
    .close = tun_close,
};

int iface_tun_new(struct iface **out, int fd)
{
	struct iface_tun *t;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->base.ops = &tun_ops;
	t->base.fd = fd;
	t->base.up = true;
	*out = &t->base;
	return 0;
}
