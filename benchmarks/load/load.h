/* SPDX-License-Identifier: Apache-2.0 */
/* load.h - the programs under which both sides are measured: a server, and clients that ask it.
 *
 * One server process listens on four ports in a row; a client prints one JSON object. TCP is cubic
 * on both ends, whatever the machine's default.
 */
#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offsets from the base port. */
enum { PORT_ECHO, PORT_SINK, PORT_UDP, PORT_ASK, PORTS };

/* What a UDP sink answers to a datagram of one byte, which also sets it to zero. */
struct udp_count {
	uint64_t received;
	uint64_t bytes;
	uint64_t span_ns; /* from the first to the last */
};

#define NS_PER_S UINT64_C(1000000000)

uint64_t now_ns(void);
_Noreturn void die(const char *what);

/**
 * load_socket() - A TCP or UDP socket with cubic, no delay and large buffers
 * @type:	SOCK_STREAM or SOCK_DGRAM, with SOCK_NONBLOCK if wanted
 */
int load_socket(int type);
struct sockaddr_in load_address(const char *host, unsigned port);

/* The subcommands; arguments are checked by main(). */
int serve(unsigned port);
int client_bulk(const char *host, unsigned port, double seconds, unsigned streams);
int client_echo(const char *host, unsigned port, double seconds);
int client_connect(const char *host, unsigned port, double seconds, unsigned in_flight);
int client_udp(const char *host, unsigned port, double seconds, unsigned size, double rate);
int client_udp_trials(const char *host, unsigned port, double seconds, unsigned size);
int client_flows(const char *host, unsigned port, unsigned count);

#endif
