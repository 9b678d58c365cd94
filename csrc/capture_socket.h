/* SPDX-License-Identifier: Apache-2.0 */
/* capture_socket.h - Ethernet frames from a packet socket, for a capture's thread. Rank 5. */
#ifndef NETSIM_CAPTURE_SOCKET_H
#define NETSIM_CAPTURE_SOCKET_H

#include "pcapng.h"

struct capture_socket;

/**
 * capture_socket_new() - Take over a bound AF_PACKET SOCK_RAW socket
 * @fd:		closed by capture_socket_free(), or here on failure
 *
 * Return: 0, -ENOMEM, or what setsockopt() says.
 */
int capture_socket_new(struct capture_socket **out, int fd);
void capture_socket_free(struct capture_socket *s); /* NULL is fine */

int capture_socket_fd(const struct capture_socket *s);

/**
 * capture_socket_read() - The next frame, with the kernel's timestamp and direction
 * @snaplen:	bytes to keep
 * @packet:	filled in
 *
 * Return: the frame, valid until the next call; NULL when there is none now.
 */
const void *capture_socket_read(struct capture_socket *s, uint32_t snaplen,
				struct pcapng_packet *packet);

/**
 * capture_socket_missed() - Frames that the socket's buffer had no room for, so far
 */
uint64_t capture_socket_missed(struct capture_socket *s);

#endif
