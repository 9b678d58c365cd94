/* SPDX-License-Identifier: Apache-2.0 */
/* gso.h - super-packets cut into MTU-sized ones and joined again, below a tunnel. Rank 2.
 *
 * Pure functions on bytes: no clock, allocation or system call. Used by the ifaces whose medium
 * can not carry a super-packet (UDP tunnel socket), and where IPv4 packets without DF exceed the
 * MTU.
 */
#ifndef NETSIM_GSO_H
#define NETSIM_GSO_H

#include "packet.h"

enum { GSO_BYTES_MAX = 65535 - 28 }; /* one UDP_SEGMENT send: below one IPv4/UDP datagram's limit */

struct gso_out {
	uint8_t *data;    /* segments one after the other */
	size_t room;      /* bytes at data */
	uint32_t len;     /* bytes used */
	uint16_t segment; /* size of every segment but the last */
	uint16_t count;
	uint16_t max; /* segments at most; 0: 64 */
};

/**
 * gso_cut() - Cut a TCP or UDP super-packet under its tunnel header
 * @p:		packet with @tunnel bytes of tunnel header before its IPv4 header
 * @tunnel:	bytes repeated in front of each segment (VXLAN + Ethernet: 22; flannel udp: 0)
 * @from:	payload offset to begin at, 0 at first; updated
 * @out:	segments; stops when @out's room or max, or GSO_BYTES_MAX is reached
 *
 * Each segment gets its own IPv4 length, id and checksum, TCP sequence and flags (FIN, PSH only on
 * the last, CWR only on the first; RFC 3168), and a complete L4 checksum.
 *
 * Return: true while payload is left.
 */
bool gso_cut(const struct packet *p, size_t tunnel, uint32_t *from, struct gso_out *out);

/**
 * gso_complete_checksum() - Finish the L4 checksum of a packet with PACKET_NEEDS_CSUM
 * @p:		packet; the flag is cleared
 * @tunnel:	bytes before its IPv4 header
 */
void gso_complete_checksum(struct packet *p, size_t tunnel);

/**
 * gso_fragment() - Cut an IPv4 packet without DF into fragments (RFC 791 2.3)
 * @p:		packet with @tunnel bytes of tunnel header; complete checksum, not a super-packet
 * @tunnel:	bytes repeated in front of each fragment
 * @mtu:	of the inner packet
 * @from:	payload offset to begin at, 0 at first; updated
 * @out:	receives exactly one fragment
 *
 * Return: true while payload is left.
 */
bool gso_fragment(const struct packet *p, size_t tunnel, uint16_t mtu, uint32_t *from,
		  struct gso_out *out);

/**
 * gso_join() - Join equal-sized tunnel packets, as UDP_GRO delivers them, into a super-packet
 * @p:		empty packet that receives the result (data/len, tunnel header included)
 * @data:	datagrams of @segment bytes one after the other, the last may be shorter
 * @len:	bytes at @data, 1..PACKET_ROOM
 * @tunnel:	bytes of tunnel header in front of each
 * @segment:	size of each datagram, not 0
 *
 * Copies the longest prefix of datagrams that are one TCP stream in order (same headers but for
 * length, id, checksum, sequence, PSH/FIN; checksums verified) or UDP datagrams that
 * gso_join_udp() takes. Hostile bytes are safe: whatever
 * does not fit is left; a first datagram that can not be joined is copied alone, unjudged.
 *
 * Return: bytes consumed from @data, at least one datagram. gso_* and PACKET_NEEDS_CSUM are set if
 *         more than one went in.
 */
size_t gso_join(struct packet *p, const uint8_t *data, size_t len, size_t tunnel, uint16_t segment);

/**
 * gso_join_udp() - gso_join() for UDP: whole datagrams of one flow and size, the last may be
 * shorter
 *
 * Return: bytes consumed, 0 (and @p's room spoilt) if no two can be joined.
 */
size_t gso_join_udp(struct packet *p, const uint8_t *data, size_t len, size_t tunnel,
		    uint16_t segment);

/**
 * gso_join_datagram() - Append a UDP datagram to the packet that came before it
 * @to:		IPv4 at data; one datagram, or several already; room behind it up to PACKET_ROOM
 * @p:		what came next by the same way; unchanged
 *
 * Joins what a kernel hands over with partial checksums (PACKET_NEEDS_CSUM, right so far), DF, one
 * flow and one size (the last may be shorter). What gso_cut() makes of the result is what went in,
 * but for the IPv4 identification.
 *
 * Return: whether @p's payload is now in @to.
 */
bool gso_join_datagram(struct packet *to, const struct packet *p);

#endif
