/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.c - bytes from p->key to p->to.
 *
 * Everything is one ones' complement sum of differences: the addresses count in the IPv4 header
 * and, by the pseudo-header, in TCP and UDP; the ports only in the latter. Folding happens once
 * per checksum.
 */
#include "rewrite.h"

#include "icmp_quote.h"

/* CRC32c is linear: the field changes by the CRC of the difference, whatever it holds. */
static void rewrite_sctp(struct packet *p)
{
	struct sctp_hdr *sctp = (void *)packet_l4(p);
	size_t len = p->len - p->l4_off;
	bool partial = p->flags & PACKET_NEEDS_CSUM;
	uint32_t before = partial ? 0 : crc32c(sctp, len, 0);

	(void)rewrite_ports((uint8_t *)sctp, &p->to);
	if (!partial)
		sctp->checksum ^= before ^ crc32c(sctp, len, 0);
}

/* Identifier of requests and answers; ICMP has no pseudo-header. */
static void rewrite_icmp(struct packet *p)
{
	struct icmp_hdr *icmp = (void *)packet_l4(p);
	be16 id = icmp_class(icmp->type) == ICMP_CLASS_REQUEST ? p->to.sport : p->to.dport;

	icmp->checksum = rewrite_updated(icmp->checksum, (uint32_t)(uint16_t)~icmp->echo.id + id);
	icmp->echo.id = id;
}

/* What rewrite_plain() does not know; false if it can not be done. */
static bool rewrite_odd_l4(struct packet *p)
{
	if (p->key.sport == p->to.sport && p->key.dport == p->to.dport)
		return true;
	if (p->key.proto == PROTO_SCTP) {
		if (p->flags & PACKET_FRAGMENT)
			return false;
		rewrite_sctp(p);
	} else if (p->key.proto == PROTO_ICMP) {
		rewrite_icmp(p);
	}
	return true;
}

bool rewrite_packet(struct packet *p)
{
	struct ipv4_hdr *ip = packet_ipv4(p);
	uint32_t change;

	if (p->flags & PACKET_ICMP_ERROR) {
		icmp_quote_rewrite(p);
		/* the outer source may be a hop's: it changes as the kernel changes it, to the
		 * address that the translation hides the far end behind
		 */
		if (addr_equal(p->key.src, p->to.src))
			p->to.src = addr_from_v4(ip->src);
	} else if (!(p->flags & PACKET_FRAGMENT_LATER)) {
		if (p->key.proto == PROTO_TCP || p->key.proto == PROTO_UDP) {
			rewrite_plain(p, p->key.proto);
			return true;
		}
		if (!rewrite_odd_l4(p))
			return false;
	}
	change = rewrite_addresses(p);
	if (p->flags & PACKET_ROUTED) {
		ip->ttl--;
		change += REWRITE_TTL_CHANGE;
	}
	ip->checksum = rewrite_updated(ip->checksum, change);
	return true;
}
