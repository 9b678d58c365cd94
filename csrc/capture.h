/* SPDX-License-Identifier: Apache-2.0 */
/* capture.h - what crosses an iface, as pcapng, without holding up the packet path. Rank 5.
 *
 * The iface's worker copies packets into a ring; a thread per capture writes them to a descriptor.
 * A full ring loses packets and counts them. Packets are written as they are, partial checksums and
 * super-packets included, as tcpdump does. The capture of a packet socket has no producer: its
 * thread reads the socket. Several captures of one iface form a chain.
 */
#ifndef NETSIM_CAPTURE_H
#define NETSIM_CAPTURE_H

#include "iface.h"

enum capture_direction {
	CAPTURE_INBOUND = 1, /* seen from the pod or node whose iface this is */
	CAPTURE_OUTBOUND = 2,
};

struct capture_config {
	int fd; /* taken over, on failure too */
	const char *name;
	const char *description;
	uint32_t snaplen;      /* 0: everything */
	const uint64_t *clock; /* stepped time to stamp with; NULL: wall clock */
};

struct capture;

/**
 * capture_new() - Begin to write; the caller then has the iface's worker attach it
 * @out:	the capture, on success
 * @config:	copied
 *
 * Return: 0, -ENOMEM, or what pthread_create() says.
 */
int capture_new(struct capture **out, const struct capture_config *config);

/**
 * capture_new_socket() - Capture from a bound AF_PACKET SOCK_RAW socket (Ethernet frames)
 * @packet_fd:	taken over, on failure too; its own drop counter is read for the file
 */
int capture_new_socket(struct capture **out, const struct capture_config *config, int packet_fd);

/**
 * capture_end() - Write what is left and the statistics, end the thread, free
 * @c:		no producer may use it any more
 * @captured:	packets written; may be NULL
 * @missed:	packets lost; may be NULL
 *
 * Waits for a reader that is stuck for two seconds at most.
 */
void capture_end(struct capture *c, uint64_t *captured, uint64_t *missed);

/**
 * capture_attach() / capture_detach() - Begin and end to show it packets (the iface's worker)
 */
void capture_attach(struct iface *i, struct capture *c);
void capture_detach(struct iface *i, struct capture *c);

/**
 * capture_packet() - Copy a packet into the rings of a chain (the iface's worker)
 */
void capture_packet(struct capture *c, enum capture_direction direction, const void *data,
		    uint32_t len);

static inline void capture_seen(const struct iface *i, enum capture_direction direction,
				const void *data, uint32_t len)
{
	if (UNLIKELY(i->capture != NULL))
		capture_packet(i->capture, direction, data, len);
}

#endif
