/* SPDX-License-Identifier: Apache-2.0 */
/* connection.h - an HTTP connection: read requests, answer them in order, keep what does not fit.
 *
 * An idle connection costs its struct only; buffers exist while a request or a reply is incomplete.
 */
#ifndef ANSWERER_CONNECTION_H
#define ANSWERER_CONNECTION_H

#include "answers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct connection - one client
 * @older, @newer:	neighbours in the order of last use; for the owner of the list
 * @fd:		its socket, non-blocking
 * @asker:	who asks whom
 * @in, @in_len:	an incomplete request, NULL if there is none
 * @out, @out_len:	what is left of replies that the socket did not take, NULL if nothing
 * @skip:	bytes of a request's body still to come
 * @closing:	ends when @out has been sent
 */
struct connection {
	struct connection *older, *newer;
	int fd;
	struct asker asker;
	char *in;
	size_t in_len;
	char *out;
	size_t out_len;
	size_t skip;
	bool closing;
};

/* What to do with a connection after some work on it. */
enum connection_state {
	CONNECTION_READS,  /* wait until its socket is readable */
	CONNECTION_WRITES, /* wait until its socket is writable */
	CONNECTION_ENDS,   /* close it */
};

/**
 * connection_new() - Take over an accepted socket
 * @fd:		the socket, non-blocking; closed on failure too
 * @asker:	who asks whom; copied
 *
 * Return: the connection, or NULL without memory.
 */
struct connection *connection_new(int fd, const struct asker *asker);

/**
 * connection_work() - Read, answer and write as far as possible without waiting
 * @c:		the connection
 * @keep_alive:	connections may stay open after a reply
 *
 * Return: what it waits for now.
 */
enum connection_state connection_work(struct connection *c, bool keep_alive);

/**
 * connection_is_idle() - Whether no request and no reply is under way
 * @c:		the connection
 *
 * Return: true if closing it loses nothing.
 */
bool connection_is_idle(const struct connection *c);

/**
 * connection_close() - Close the socket (@c->fd is -1 then) and drop the buffers
 * @c:		the connection; the caller frees it once nobody can mention it any more
 */
void connection_close(struct connection *c);

#endif
