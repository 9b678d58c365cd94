/* SPDX-License-Identifier: Apache-2.0 */
/* port.c - sockets by name; UDP with IP_PKTINFO, so that nodes with many addresses answer right. */
#include "port.h"

#include "answers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG        4096
#define DATAGRAM_MAX   65536
#define DATAGRAMS_TURN 64 /* from one socket before others get their turn */

int port_parse(const char *text, struct port *port)
{
	const char *colon = strchr(text, ':');
	char *end;
	unsigned long number;

	if (!colon || colon[1] < '0' || colon[1] > '9')
		return -1;
	number = strtoul(colon + 1, &end, 10);
	if (*end != '\0' || number < 1 || number > UINT16_MAX)
		return -1;
	port->number = (uint16_t)number;
	if (strncmp(text, "tcp:", 4) == 0)
		port->type = SOCK_STREAM;
	else if (strncmp(text, "udp:", 4) == 0)
		port->type = SOCK_DGRAM;
	else
		return strncmp(text, "sctp:", 5) == 0 ? 0 : -1;
	return 1;
}

int port_open(struct port *port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port->number)};
	const int on = 1;
	int error;

	port->fd = socket(AF_INET, port->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (port->fd < 0)
		return -errno;
	if (port->type == SOCK_STREAM)
		setsockopt(port->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	else
		setsockopt(port->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	if (bind(port->fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		goto fail;
	if (port->type == SOCK_STREAM && listen(port->fd, BACKLOG) < 0)
		goto fail;
	return 0;
fail:
	error = -errno;
	close(port->fd);
	return error;
}

/* Answer one datagram. False: there is none. */
static bool answer_one(int fd, const char *hostname)
{
	static char text[DATAGRAM_MAX], answer[DATAGRAM_MAX];
	struct asker asker = {.hostname = hostname};
	union {
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {text, sizeof(text)};
	struct msghdr message = {
	    .msg_name = &asker.from,
	    .msg_namelen = sizeof(asker.from),
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control),
	};
	ssize_t len = recvmsg(fd, &message, 0);
	struct cmsghdr *c;

	if (len < 0)
		return errno == EINTR || errno == ECONNREFUSED;
	len = answer_datagram(&asker, text, (size_t)len, answer, sizeof(answer));
	if (len < 0)
		return true;
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo info;

		memcpy(&info, CMSG_DATA(c), sizeof(info));
		info.ipi_ifindex = 0; /* routing decides, as for any reply */
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
	iov = (struct iovec){answer, (size_t)len};
	(void)sendmsg(fd, &message, 0); /* what cannot be sent is lost, as UDP is */
	return true;
}

void port_answer_datagrams(const struct port *port, const char *hostname)
{
	for (int i = 0; i < DATAGRAMS_TURN; i++) {
		if (!answer_one(port->fd, hostname))
			return;
	}
}
