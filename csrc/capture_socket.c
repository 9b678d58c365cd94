/* SPDX-License-Identifier: Apache-2.0 */
/* capture_socket.c - recvmsg() on a packet socket with kernel timestamps. */
#include "capture_socket.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_MAX = 65536 + 64, RECEIVE_BUFFER_BYTES = 8 << 20, CONTROL_BYTES = 64 };

struct capture_socket {
	int fd;
	uint64_t missed;
	uint8_t frame[FRAME_MAX];
};

int capture_socket_new(struct capture_socket **out, int fd)
{
	struct capture_socket *s = malloc(sizeof(*s));
	int bytes = RECEIVE_BUFFER_BYTES, on = 1, error = -ENOMEM;

	if (!s)
		goto fail;
	s->fd = fd;
	s->missed = 0;
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on))) {
		error = -errno;
		goto fail;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	*out = s;
	return 0;
fail:
	free(s);
	close(fd);
	return error;
}

void capture_socket_free(struct capture_socket *s)
{
	if (!s)
		return;
	close(s->fd);
	free(s);
}

int capture_socket_fd(const struct capture_socket *s)
{
	return s->fd;
}

static uint64_t time_of(struct msghdr *m)
{
	struct timespec t = {0};

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS)
			memcpy(&t, CMSG_DATA(c), sizeof(t));
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

const void *capture_socket_read(struct capture_socket *s, uint32_t snaplen,
				struct pcapng_packet *packet)
{
	enum { INBOUND = 1, OUTBOUND = 2 };
	union {
		uint8_t bytes[CONTROL_BYTES];
		struct cmsghdr align;
	} control;
	struct sockaddr_ll from = {0};
	struct iovec iov = {s->frame, sizeof(s->frame)};
	struct msghdr m = {
	    .msg_name = &from,
	    .msg_namelen = sizeof(from),
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control),
	};
	ssize_t n;

	do
		n = recvmsg(s->fd, &m, MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return NULL;
	packet->original = (uint32_t)n;
	packet->captured =
	    (uint32_t)n < sizeof(s->frame) ? (uint32_t)n : (uint32_t)sizeof(s->frame);
	if (packet->captured > snaplen)
		packet->captured = snaplen;
	packet->flags = from.sll_pkttype == PACKET_OUTGOING ? OUTBOUND : INBOUND;
	packet->time_ns = time_of(&m);
	return s->frame;
}

uint64_t capture_socket_missed(struct capture_socket *s)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);

	if (getsockopt(s->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
		s->missed += stats.tp_drops; /* the kernel's counter restarts at each reading */
	return s->missed;
}
