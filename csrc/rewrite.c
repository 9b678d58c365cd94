/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.c - bytes from p->key to p->to.
 *
 * Everything is one ones' complement sum of differences: the addresses count in the IPv4 header
 * and, by the pseudo-header, in TCP and UDP; the ports only in the latter. Folding happens once
 * per checksum.
 */
#include "rewrite.h"

#include "checksum.h"
#include "icmp_quote.h"

static uint64_t change32(be32 from, be32 to)
{
	return (uint64_t)(uint32_t)~from + to;
}

static be16 updated(be16 check, uint64_t change)
{
	return checksum_finish((uint16_t)~check + change);
}

void rewrite_ttl(struct ipv4_hdr *ip)
{
	uint32_t before = ip->ttl;

	ip->ttl--;
	/* TTL is the first byte of its word: the low one in wire order */
	ip->checksum = updated(ip->checksum, (uint16_t)~before + (uint64_t)ip->ttl);
}

/* Both ports at once: they are one word of the header. */
static uint64_t replace_ports(uint8_t *l4, const struct flow_key *to)
{
	uint32_t before, after = (uint32_t)to->sport | (uint32_t)to->dport << 16;

	memcpy(&before, l4, 4);
	memcpy(l4, &after, 4);
	return change32(before, after);
}

static void rewrite_checksum(const struct packet *p, uint8_t *field, uint64_t addrs, uint64_t ports)
{
	be16 check;

	memcpy(&check, field, 2);
	if (p->flags & PACKET_NEEDS_CSUM)
		check = checksum_fold(check + addrs);
	else
		check = updated(check, addrs + ports);
	memcpy(field, &check, 2);
}

static void rewrite_tcp(struct packet *p, uint64_t addrs)
{
	uint8_t *l4 = packet_l4(p);
	uint64_t ports = replace_ports(l4, &p->to);

	rewrite_checksum(p, l4 + offsetof(struct tcp_hdr, checksum), addrs, ports);
}

static void rewrite_udp(struct packet *p, uint64_t addrs)
{
	uint8_t *l4 = packet_l4(p);
	struct udp_hdr *udp = (void *)l4;
	uint64_t ports = replace_ports(l4, &p->to);

	if (udp->checksum == 0 && !(p->flags & PACKET_NEEDS_CSUM))
		return; /* sent without a checksum */
	rewrite_checksum(p, l4 + offsetof(struct udp_hdr, checksum), addrs, ports);
	if (udp->checksum == 0)
		udp->checksum = 0xffff; /* RFC 768: a computed zero is sent as all ones */
}

/* CRC32c is linear: the field changes by the CRC of the difference, whatever it holds. */
static void rewrite_sctp(struct packet *p)
{
	struct sctp_hdr *sctp = (void *)packet_l4(p);
	size_t len = p->len - p->l4_off;
	bool partial = p->flags & PACKET_NEEDS_CSUM;
	uint32_t before = partial ? 0 : crc32c(sctp, len, 0);

	replace_ports((uint8_t *)sctp, &p->to);
	if (!partial)
		sctp->checksum ^= before ^ crc32c(sctp, len, 0);
}

/* Identifier of requests and answers; ICMP has no pseudo-header. */
static void rewrite_icmp(struct packet *p)
{
	struct icmp_hdr *icmp = (void *)packet_l4(p);
	be16 id = icmp_class(icmp->type) == ICMP_CLASS_REQUEST ? p->to.sport : p->to.dport;

	icmp->checksum = updated(icmp->checksum, (uint16_t)~icmp->echo.id + (uint64_t)id);
	icmp->echo.id = id;
}

static bool rewrite_l4(struct packet *p, uint64_t addrs)
{
	bool ports = p->key.sport != p->to.sport || p->key.dport != p->to.dport;

	switch (p->key.proto) {
	case PROTO_TCP:
		rewrite_tcp(p, addrs);
		break;
	case PROTO_UDP:
		rewrite_udp(p, addrs);
		break;
	case PROTO_SCTP:
		if (ports && (p->flags & PACKET_FRAGMENT))
			return false;
		if (ports)
			rewrite_sctp(p);
		break;
	case PROTO_ICMP:
		if (ports)
			rewrite_icmp(p);
		break;
	default:
		break;
	}
	return true;
}

bool rewrite_packet(struct packet *p)
{
	struct ipv4_hdr *ip = packet_ipv4(p);

	if (!flow_key_equal(&p->key, &p->to)) {
		/* the outer source of an ICMP error may be a hop's: it changes as the kernel
		 * changes it, to the address that the translation hides the far end behind
		 */
		be32 src = addr_equal(p->key.src, p->to.src) ? ip->src : addr_to_v4(p->to.src);
		be32 dst = addr_to_v4(p->to.dst);
		uint64_t addrs = change32(ip->src, src) + change32(ip->dst, dst);

		if (p->flags & PACKET_ICMP_ERROR)
			icmp_quote_rewrite(p);
		else if (!(p->flags & PACKET_FRAGMENT_LATER) && !rewrite_l4(p, addrs))
			return false;
		ip->src = src;
		ip->dst = dst;
		ip->checksum = updated(ip->checksum, addrs);
	}
	if (p->flags & PACKET_ROUTED)
		rewrite_ttl(ip);
	return true;
}
