/* SPDX-License-Identifier: Apache-2.0 */
/* gso_join_udp.c - UDP datagrams of one flow joined into a super-packet.
 *
 * Unlike a stream's, a datagram's boundaries are its meaning: all but the last have one size, so
 * that whoever cuts the super-packet again (gso_cut(), the kernel's __udp_gso_segment()) makes the
 * same datagrams of it. Joined are only those for which nothing else can tell: DF is set, so that
 * the identification means nothing (RFC 6864 4.1) and no router fragments; the TTL is far from
 * its end, so that no hop has to answer each one; the checksum is there and right.
 */
#include "gso.h"

#include "checksum.h"

enum {
	CSUM_OFFSET_UDP = 6,
	HEADERS = sizeof(struct ipv4_hdr) + sizeof(struct udp_hdr),
	DATAGRAMS_MAX = 64, /* UDP_MAX_SEGMENTS of older kernels */
	JOINED_MAX = 60000, /* stays below 64 KiB in any tunnel */
	TTL_MIN = 32,
	PAYLOAD_MIN = 8, /* what vnet_accept() takes for a segment */
};

struct datagram {
	const struct ipv4_hdr *ip;
	const struct udp_hdr *udp;
	uint32_t payload;
};

/* A whole datagram of @size bytes with a plain IPv4 header. Its checksum is not looked at. */
static bool datagram_find(const uint8_t *ip, size_t size, struct datagram *d)
{
	if (size < HEADERS + PAYLOAD_MIN || size > JOINED_MAX)
		return false;
	d->ip = (const void *)ip;
	d->udp = (const void *)(ip + sizeof(*d->ip));
	d->payload = (uint32_t)size - HEADERS;
	return d->ip->version_ihl == 0x45 && d->ip->proto == PROTO_UDP &&
	       from_be16(d->ip->total_len) == size && d->ip->frag == to_be16(IPV4_DF) &&
	       d->ip->ttl >= TTL_MIN && from_be16(d->udp->len) == size - sizeof(*d->ip) &&
	       checksum_finish(checksum_partial(d->ip, sizeof(*d->ip), 0)) == 0;
}

static bool same_flow(const struct datagram *a, const struct datagram *b)
{
	return a->ip->src == b->ip->src && a->ip->dst == b->ip->dst && a->ip->tos == b->ip->tos &&
	       a->ip->ttl == b->ip->ttl && a->udp->sport == b->udp->sport &&
	       a->udp->dport == b->udp->dport;
}

static be16 pseudo_header(const struct datagram *d)
{
	return checksum_fold(checksum_pseudo_v4(d->ip->src, d->ip->dst, PROTO_UDP,
						(uint16_t)(sizeof(*d->udp) + d->payload)));
}

/* Headers for @payload bytes in all, with the pseudo-header's sum for a checksum. */
static void headers_set(uint8_t *at, uint32_t payload)
{
	struct ipv4_hdr *ip = (void *)at;
	struct udp_hdr *udp = (void *)(at + sizeof(*ip));
	const struct datagram d = {.ip = ip, .udp = udp, .payload = payload};

	ip->total_len = to_be16((uint16_t)(HEADERS + payload));
	ip->checksum = 0;
	ip->checksum = checksum_finish(checksum_partial(ip, sizeof(*ip), 0));
	udp->len = to_be16((uint16_t)(sizeof(*udp) + payload));
	udp->checksum = pseudo_header(&d);
}

static void describe(struct packet *p, uint32_t size)
{
	p->flags |= PACKET_NEEDS_CSUM;
	p->csum_offset = CSUM_OFFSET_UDP;
	p->gso_type = VNET_GSO_UDP_L4;
	p->gso_size = (uint16_t)size;
	p->hdr_len = HEADERS;
}

/* A datagram as a kernel hands it over before its checksum is computed. */
static bool is_partial(const struct packet *p, struct datagram *d)
{
	return (p->flags & PACKET_NEEDS_CSUM) && p->csum_offset == CSUM_OFFSET_UDP &&
	       datagram_find(p->data, p->len, d) && d->udp->checksum == pseudo_header(d);
}

bool gso_join_datagram(struct packet *to, const struct packet *p)
{
	struct datagram first, next;
	uint32_t size;

	if (p->gso_type != VNET_GSO_NONE || !is_partial(p, &next) || !is_partial(to, &first) ||
	    !same_flow(&first, &next))
		return false;
	size = to->gso_type == VNET_GSO_NONE ? first.payload : to->gso_size;
	if ((to->gso_type != VNET_GSO_NONE && to->gso_type != VNET_GSO_UDP_L4) ||
	    first.payload % size != 0 || next.payload > size ||
	    first.payload / size >= DATAGRAMS_MAX || to->len + next.payload > JOINED_MAX)
		return false;
	memcpy(to->data + to->len, p->data + HEADERS, next.payload);
	to->len += next.payload;
	headers_set(to->data, first.payload + next.payload);
	describe(to, size);
	return true;
}

/* Copies a payload that is fit to be joined; false if its checksum is missing or wrong. */
static bool payload_copy(uint8_t *to, const struct datagram *d)
{
	uint64_t sum = checksum_pseudo_v4(d->ip->src, d->ip->dst, PROTO_UDP,
					  (uint16_t)(sizeof(*d->udp) + d->payload));

	sum = checksum_partial(d->udp, sizeof(*d->udp), sum);
	sum = checksum_partial_copy(to, d->udp + 1, d->payload, sum);
	return d->udp->checksum && checksum_finish(sum) == 0;
}

size_t gso_join_udp(struct packet *p, const uint8_t *data, size_t len, size_t tunnel,
		    uint16_t segment)
{
	size_t headers = tunnel + HEADERS, used = segment;
	struct datagram first, next;
	uint32_t payload;
	unsigned count = 1;

	if (len <= segment || segment < tunnel ||
	    !datagram_find(data + tunnel, segment - tunnel, &first) ||
	    !payload_copy(p->data + headers, &first))
		return 0;
	payload = first.payload;
	while (used < len && payload == count * first.payload && count < DATAGRAMS_MAX) {
		size_t size = len - used < segment ? len - used : segment;

		if (size < tunnel || memcmp(data, data + used, tunnel) != 0 ||
		    !datagram_find(data + used + tunnel, size - tunnel, &next) ||
		    !same_flow(&first, &next) || headers + payload + next.payload > JOINED_MAX ||
		    !payload_copy(p->data + headers + payload, &next))
			break;
		payload += next.payload;
		used += size;
		count++;
	}
	if (count == 1)
		return 0;
	memcpy(p->data, data, headers);
	p->len = (uint32_t)headers + payload;
	headers_set(p->data + tunnel, payload);
	describe(p, first.payload);
	return used;
}
