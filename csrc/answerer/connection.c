/* SPDX-License-Identifier: Apache-2.0 */
/* connection.c - requests are answered from one shared buffer; leftovers are copied aside.
 *
 * While replies wait for the client to read, nothing more is read from it, so a connection holds
 * one request head and the replies to one buffer of requests at most.
 */
#include "connection.h"

#include "http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS 16 /* reads in a row before others get their turn */

struct connection *connection_new(int fd, const struct asker *asker)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	c->fd = fd;
	c->asker = *asker;
	return c;
}

void connection_close(struct connection *c)
{
	close(c->fd);
	free(c->in);
	free(c->out);
	c->fd = -1;
	c->in = c->out = NULL;
}

bool connection_is_idle(const struct connection *c)
{
	return !c->in && !c->out && c->skip == 0;
}

/* Send, and keep aside what the socket does not take. False: the connection is broken. */
static bool emit(struct connection *c, const char *data, size_t len)
{
	ssize_t sent = 0;
	char *more;

	if (!c->out) {
		sent = send(c->fd, data, len, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (sent < 0)
			sent = 0;
		if ((size_t)sent == len)
			return true;
	}
	more = realloc(c->out, c->out_len + len - (size_t)sent);
	if (!more)
		return false;
	memcpy(more + c->out_len, data + sent, len - (size_t)sent);
	c->out = more;
	c->out_len += len - (size_t)sent;
	return true;
}

/* Send what was kept aside. False: the connection is broken. */
static bool flush(struct connection *c)
{
	ssize_t sent = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);

	if (sent < 0)
		return errno == EAGAIN || errno == EINTR;
	c->out_len -= (size_t)sent;
	if (c->out_len > 0) {
		memmove(c->out, c->out + sent, c->out_len);
		return true;
	}
	free(c->out);
	c->out = NULL;
	return true;
}

static bool reply(struct connection *c, const struct http_request *r, bool keep_alive)
{
	static char message[HTTP_REPLY_MAX + ANSWER_MAX];
	static char body[ANSWER_MAX];
	size_t body_len = 0;
	int status = r->status;
	size_t len;

	if (status == 0)
		status = answer_path(&c->asker, r->target, r->target_len, body, &body_len);
	c->closing = r->status != 0 || !r->keep_alive || !keep_alive;
	len = http_reply(message, status, body_len, !c->closing);
	if (!r->is_head) {
		memcpy(message + len, body, body_len);
		len += body_len;
	}
	return emit(c, message, len);
}

/* Answer the complete requests in @data; how many bytes they took, or -1 if broken. */
static ssize_t answer_all(struct connection *c, const char *data, size_t len, bool keep_alive)
{
	size_t used = 0;

	while (used < len) {
		size_t skipped = c->skip < len - used ? c->skip : len - used;
		struct http_request r;

		c->skip -= skipped;
		used += skipped;
		if (used == len || c->closing || !http_parse(data + used, len - used, &r))
			break;
		used += r.head_len;
		c->skip = r.status ? 0 : r.body_len;
		if (!reply(c, &r, keep_alive))
			return -1;
	}
	return (ssize_t)used;
}

/* Keep an incomplete request for later, or nothing. False: no memory. */
static bool keep(struct connection *c, const char *data, size_t len)
{
	free(c->in);
	c->in = NULL;
	c->in_len = len;
	if (len == 0 || c->closing)
		return true;
	c->in = malloc(len);
	if (!c->in)
		return false;
	memcpy(c->in, data, len);
	return true;
}

/*
 * Read once and answer. 1: there may be more, 0: no more for now, -1: it ends. At most a head less
 * one byte was kept aside, so there is always room to read.
 */
static int read_once(struct connection *c, bool keep_alive)
{
	static char data[2 * HTTP_HEAD_MAX];
	size_t len = c->in_len;
	ssize_t got, used;

	if (len > 0)
		memcpy(data, c->in, len);
	got = recv(c->fd, data + len, sizeof(data) - len, 0);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (got == 0)
		return -1;
	len += (size_t)got;
	used = answer_all(c, data, len, keep_alive);
	if (used < 0 || !keep(c, data + used, len - (size_t)used))
		return -1;
	return 1;
}

/* Closing before a request's body is in would reset the connection, and with it the reply. */
static bool is_finished(const struct connection *c)
{
	return c->closing && c->skip == 0;
}

enum connection_state connection_work(struct connection *c, bool keep_alive)
{
	if (c->out && !flush(c))
		return CONNECTION_ENDS;
	for (int round = 0; round < ROUNDS && !c->out && !is_finished(c); round++) {
		int more = read_once(c, keep_alive);

		if (more < 0)
			return CONNECTION_ENDS;
		if (more == 0)
			return CONNECTION_READS;
	}
	if (c->out)
		return CONNECTION_WRITES;
	return is_finished(c) ? CONNECTION_ENDS : CONNECTION_READS;
}
