/* SPDX-License-Identifier: Apache-2.0 */
/* iface_tun.c - one read or write per packet, the virtio header in the packet's headroom.
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

/* Reads one packet into @p. Returns its length, 0 when there is none now, -EBADMSG for one to drop,
 * another negative errno when the device is gone.
 */
static int tun_read(struct iface *i, struct packet *p)
{
	struct vnet_hdr h;
	ssize_t n;

	do
		n = read(i->fd, p->data - sizeof(h), sizeof(h) + READ_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	if (n == 0)
		return -ENODEV; /* the other end of a socket pair closed */
	if ((size_t)n <= sizeof(h))
		return -EBADMSG;
	memcpy(&h, p->data - sizeof(h), sizeof(h));
	p->len = (uint32_t)((size_t)n - sizeof(h));
	p->in = i;
	capture_seen(i, CAPTURE_OUTBOUND, p->data, p->len);
	return vnet_accept(&h, p) ? (int)p->len : -EBADMSG;
}

static unsigned tun_receive(struct iface *i, struct packet_pool *pool, struct batch *b)
{
	uint32_t bytes = 0;

	b->count = 0;
	for (unsigned reads = 0; b->count < BATCH_MAX && bytes < BATCH_BYTES && reads < BATCH_READS;
	     reads++) {
		struct packet *p = packet_take(pool);
		int n;

		if (!p)
			break;
		n = tun_read(i, p);
		if (n <= 0) {
			packet_give(pool, p);
			if (n == -EBADMSG) {
				node_count_drop(i->node, DROP_BAD_L4);
				continue;
			}
			i->up = n == 0;
			break;
		}
		iface_count_rx(i, p, 0);
		bytes += p->len;
		if (b->count && gso_join_datagram(b->pkt[b->count - 1], p))
			packet_give(pool, p);
		else
			b->pkt[b->count++] = p;
	}
	return b->count;
}

static int tun_write(struct iface *i, struct packet *p)
{
	struct vnet_hdr h = vnet_describe(p);
	uint8_t *start = p->data - sizeof(h);
	ssize_t n;

	memcpy(start, &h, sizeof(h));
	do
		n = write(i->fd, start, sizeof(h) + p->len);
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

static void tun_emit(struct iface *i, struct packet_pool *pool, struct packet *p)
{
	struct iface_tun *t = tun_of(i);
	bool uso = (p->gso_type & ~VNET_GSO_ECN) == VNET_GSO_UDP_L4;
	int error;

	if (uso && t->no_uso) {
		iface_cut(i, pool, p, 0, i->mtu, tun_emit);
		return;
	}
	error = tun_write(i, p);
	if (error == -EINVAL && uso) {
		t->no_uso = true;
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

static void tun_close(struct iface *i)
{
	close(i->fd);
	free(tun_of(i));
}

static const struct iface_ops tun_ops = {
    .name = "tun",
    .receive = tun_receive,
    .send = tun_send,
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
