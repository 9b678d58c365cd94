/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.h - bytes from p->key to p->to. Rank 3. */
#ifndef NETSIM_REWRITE_H
#define NETSIM_REWRITE_H

#include "checksum.h"
#include "packet.h"

/**
 * rewrite_packet() - Make the bytes carry p->to, and take one off the TTL if PACKET_ROUTED
 * @p:		parsed packet, key and to differ; TTL at least 2 if PACKET_ROUTED
 *
 * Checksums are updated, not computed anew (RFC 1624): a wrong one stays wrong. A UDP checksum of
 * zero (none) stays zero; a PACKET_NEEDS_CSUM field holds only the pseudo-header's sum.
 *
 * Return: false if that is not possible: an SCTP fragment whose ports change (the CRC covers bytes
 *         that are not here). The packet is unchanged.
 */
bool rewrite_packet(struct packet *p);

/* RFC 1624 eqn. 3. @change: sum of a few folded changes. */
static inline be16 rewrite_updated(be16 check, uint32_t change)
{
	return (be16)~checksum_fold32((uint16_t)~check + change);
}

/* What a TTL that goes down by one changes: it is the low byte of its word in wire order. */
enum { REWRITE_TTL_CHANGE = 0xfffe };

/* Take one off the TTL of an IPv4 header and update its checksum. */
static inline void rewrite_ttl(struct ipv4_hdr *ip)
{
	ip->ttl--;
	ip->checksum = rewrite_updated(ip->checksum, REWRITE_TTL_CHANGE);
}

/* Both addresses, which are eight bytes in a row; returns what the IPv4 header's sum changes by. */
static inline uint32_t rewrite_addresses(struct packet *p)
{
	uint64_t before, after = p->to.src.w[1] >> 32 | (p->to.dst.w[1] >> 32) << 32;
	uint8_t *at = p->data + offsetof(struct ipv4_hdr, src);

	memcpy(&before, at, sizeof(before));
	memcpy(at, &after, sizeof(after));
	return checksum_fold(checksum_change(before, after));
}

/* Both ports at once: they are one word of the header. */
static inline uint32_t rewrite_ports(uint8_t *l4, const struct flow_key *to)
{
	uint32_t before, after = to->sport | (uint32_t)to->dport << 16;

	memcpy(&before, l4, sizeof(before));
	memcpy(l4, &after, sizeof(after));
	return checksum_fold32(checksum_change32(before, after));
}

/* The checksum of TCP or UDP. @flags: the packet's; @addrs, @ports: what sums change by */
static inline be16 rewrite_l4_checksum(uint16_t flags, be16 check, uint32_t addrs, uint32_t ports)
{
	return flags & PACKET_NEEDS_CSUM ? checksum_fold32(check + addrs)
					 : rewrite_updated(check, addrs + ports);
}

/**
 * rewrite_plain() - rewrite_packet() for whole packets that are no ICMP errors
 * @proto:	PROTO_TCP or PROTO_UDP
 */
static inline void rewrite_plain(struct packet *p, uint8_t proto)
{
	struct ipv4_hdr *ip = packet_ipv4(p);
	uint8_t *l4 = packet_l4(p);
	uint16_t flags = p->flags;
	uint32_t addrs = rewrite_addresses(p), ports = rewrite_ports(l4, &p->to);

	if (proto == PROTO_TCP) {
		struct tcp_hdr *tcp = (void *)l4;

		tcp->checksum = rewrite_l4_checksum(flags, tcp->checksum, addrs, ports);
	} else {
		struct udp_hdr *udp = (void *)l4;
		be16 check = udp->checksum;

		if (check != 0 || (flags & PACKET_NEEDS_CSUM)) {
			check = rewrite_l4_checksum(flags, check, addrs, ports);
			/* RFC 768: a computed zero is sent as all ones */
			udp->checksum = check ? check : 0xffff;
		}
	}
	if (LIKELY(flags & PACKET_ROUTED)) {
		ip->ttl--;
		addrs += REWRITE_TTL_CHANGE;
	}
	ip->checksum = rewrite_updated(ip->checksum, addrs);
}

#endif
