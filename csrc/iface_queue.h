/* SPDX-License-Identifier: Apache-2.0 */
/* iface_queue.h - an iface in memory: tests and `explain` put packets in and take packets out.
 * Rank 6.
 *
 * Stands for any role: as a wire it carries tunnel payloads with their outer addresses beside them.
 * Bounded both ways; what does not fit is refused (inject) or dropped as IFACE_FULL (send).
 */
#ifndef NETSIM_IFACE_QUEUE_H
#define NETSIM_IFACE_QUEUE_H

#include "iface.h"

enum { IFACE_QUEUE_DEPTH = 4096 };

/* What lies beside the bytes of a packet. */
struct inject {
	uint8_t gso_type;
	uint8_t needs_csum;
	uint8_t mark; /* nonzero: decision records are written */
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t hdr_len;
	be32 outer_src; /* wire ifaces: as if from this peer */
	be32 outer_dst;
	be16 outer_sport;
	be16 outer_dport;
};

/**
 * iface_queue_new() - Make an iface; the caller fills in node, id, role, mtu, addr and name
 * @out:	the iface, on success: up, nothing queued
 *
 * Return: 0, -ENOMEM.
 */
int iface_queue_new(struct iface **out);

/**
 * iface_queue_inject() - Queue a packet as if it had arrived
 * @i:		iface made by iface_queue_new()
 * @bytes:	from the IPv4 header on, or from the tunnel header on for a wire
 * @how:	what lies beside them, NULL for nothing
 *
 * Return: 0, -ENOBUFS when the queue is full, -EMSGSIZE beyond PACKET_ROOM, -ENOMEM.
 */
int iface_queue_inject(struct iface *i, const void *bytes, size_t len, const struct inject *how);

/**
 * iface_queue_extract() - Take the oldest packet that was sent
 * @how:	filled in, may be NULL
 *
 * Return: its length, 0 if there is none, -EMSGSIZE if @room is too small (it stays queued).
 */
int64_t iface_queue_extract(struct iface *i, void *bytes, size_t room, struct inject *how);

/**
 * iface_queue_waiting() - Whether receive() would return something
 */
bool iface_queue_waiting(const struct iface *i);

#endif
