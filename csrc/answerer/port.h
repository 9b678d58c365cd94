/* SPDX-License-Identifier: Apache-2.0 */
/* port.h - the ports that we answer on: their names, their sockets, and datagrams on them. */
#ifndef ANSWERER_PORT_H
#define ANSWERER_PORT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct port - one port
 * @fd:		its socket, non-blocking
 * @type:	SOCK_STREAM or SOCK_DGRAM
 * @number:	the port number
 */
struct port {
	int fd;
	int type;
	uint16_t number;
};

/**
 * port_parse() - Read "tcp:80" or "udp:53"
 * @text:	the port's name
 * @port:	type and number, on success
 *
 * Return: 1, 0 for SCTP, which is not answered, -1 for what is no port.
 */
int port_parse(const char *text, struct port *port);

/**
 * port_open() - Bind a parsed port on every address, and listen
 * @port:	the port; @port->fd is set
 *
 * Return: 0 or negative errno.
 */
int port_open(struct port *port);

/**
 * port_answer_datagrams() - Answer some of the datagrams that wait at a UDP port
 * @port:	the port
 * @hostname:	our name
 *
 * Each is answered from the address that it was sent to.
 */
void port_answer_datagrams(const struct port *port, const char *hostname);

#endif
