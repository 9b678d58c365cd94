/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - what control says: one message is one command. netsim/lab/relay_messages.py.
 *
 * There is one connection; who comes later has taken over. Without one everything goes on as it
 * was, and a spare descriptor keeps its place, so that control comes in when there are no others.
 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX (1 << 20)
#define ANSWERS_MAX 2048 /* problems or nodes in an answer */

enum kind { BEGIN, NODE, DROP_NODE, SERVICE, DROP_SERVICE, END, COUNTS };

struct command {
	uint32_t kind;
	uint32_t id;
	uint32_t addr;       /* NODE */
	uint32_t affinity_s; /* SERVICE, and what follows */
	uint16_t port;
	uint16_t node_port;
	uint32_t proto;
	struct target targets[];
};
_Static_assert(sizeof(struct command) == 24, "as relay_messages.py packs it");

static struct watch listener = {.fd = -1}, connection = {.fd = -1};
static int spare = -1;
static union {
	struct command command;
	char bytes[MESSAGE_MAX];
} message;

/* A number and as many entries: an empty message would be the end of the connection. Who does not
 * read has no connection any more: nobody waits.
 */
static int answer(void *entries, size_t count, size_t size)
{
	uint64_t head = count;
	struct iovec parts[] = {{&head, sizeof(head)}, {entries, count * size}};
	const struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};

	return sendmsg(connection.fd, &m, MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int answer_problems(void)
{
	static struct problem problems[ANSWERS_MAX];

	tables_sweep();
	return answer(problems, tables_problems(problems, ANSWERS_MAX), sizeof(problems[0]));
}

static int answer_counts(void)
{
	static struct node_counts counts[ANSWERS_MAX];

	return answer(counts, tables_counts(counts, ANSWERS_MAX), sizeof(counts[0]));
}

static int set_service(const struct command *c, size_t len)
{
	struct service like = {.id = c->id,
			       .type = c->proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM,
			       .port = c->port,
			       .node_port = c->node_port,
			       .affinity_s = c->affinity_s,
			       .targets = (struct target *)c->targets,
			       .count = (len - sizeof(*c)) / sizeof(c->targets[0])};

	if (c->port == 0 || (c->proto != IPPROTO_TCP && c->proto != IPPROTO_UDP) ||
	    (len - sizeof(*c)) % sizeof(c->targets[0]))
		return -EINVAL;
	return service_set(&like);
}

/* Takes over @fd, which is -1 if none came along. */
static int obey(const struct command *c, size_t len, int fd)
{
	if (c->kind == NODE && fd >= 0)
		return node_set(c->id, c->addr, fd);
	if (fd >= 0)
		close(fd);
	switch (c->kind) {
	case BEGIN:
		tables_mark_stale();
		return 0;
	case DROP_NODE:
		node_drop(c->id);
		return 0;
	case SERVICE:
		return set_service(c, len);
	case DROP_SERVICE:
		service_drop(c->id);
		return 0;
	case END:
		return answer_problems();
	case COUNTS:
		return answer_counts();
	default:
		return -EINVAL;
	}
}

static int descriptor_in(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len >= CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void hang_up(void)
{
	loop_close(&connection);
	if (spare < 0)
		spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void hear(struct watch *w, uint32_t events)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} rights;
	struct iovec iov = {message.bytes, sizeof(message)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &rights,
			   .msg_controllen = CMSG_LEN(sizeof(int))}; /* no room for two */
	ssize_t n = recvmsg(w->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd = n < 0 ? -1 : descriptor_in(&m), error = -EMSGSIZE;

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n >= (ssize_t)sizeof(struct command) && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		error = obey(&message.command, (size_t)n, fd);
	else if (fd >= 0)
		close(fd);
	if (!error)
		return;
	if (n > 0) /* control begins again, with everything */
		(void)fprintf(stderr, "relay: command: %s\n", strerror(-error));
	hang_up();
}

static void take_over(struct watch *w, uint32_t events)
{
	int fd;

	(void)events;
	hang_up();
	if (spare >= 0)
		close(spare);
	spare = -1;
	fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
	connection = (struct watch){.ready = hear, .fd = fd < 0 ? -1 : fd};
	if (fd < 0 || loop_wait_for(&connection, EPOLLIN) < 0)
		hang_up();
}

int control_open(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path));
	(void)unlink(path);
	listener = (struct watch){.ready = take_over,
				  .fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
	if (listener.fd < 0 || bind(listener.fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(listener.fd, 4) < 0)
		return -errno;
	return loop_wait_for(&listener, EPOLLIN);
}
