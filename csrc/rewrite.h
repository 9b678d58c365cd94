/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.h - bytes from p->key to p->to. Rank 3. */
#ifndef NETSIM_REWRITE_H
#define NETSIM_REWRITE_H

#include "packet.h"

/**
 * rewrite_packet() - Make the bytes carry p->to, and take one off the TTL if PACKET_ROUTED
 * @p:		parsed packet; TTL at least 2 if PACKET_ROUTED
 *
 * Checksums are updated, not computed anew (RFC 1624): a wrong one stays wrong. A UDP checksum of
 * zero (none) stays zero; a PACKET_NEEDS_CSUM field holds only the pseudo-header's sum.
 *
 * Return: false if that is not possible: an SCTP fragment whose ports change (the CRC covers bytes
 *         that are not here). The packet is unchanged.
 */
bool rewrite_packet(struct packet *p);

/**
 * rewrite_ttl() - Take one off the TTL of the IPv4 header at @ip and update its checksum
 */
void rewrite_ttl(struct ipv4_hdr *ip);

#endif
