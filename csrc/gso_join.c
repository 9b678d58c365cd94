/* SPDX-License-Identifier: Apache-2.0 */
/* gso_join.c - tunnel packets of one TCP stream joined into a super-packet.
 *
 * The conditions are those of the kernel's tcp_gro_receive() and inet_gro_receive(), so that what
 * is cut again later is what was sent. The payload is summed while it is copied; a segment whose
 * checksum is wrong ends the run and is later delivered alone, for its receiver to judge.
 */
#include "gso.h"

#include "checksum.h"

enum { CSUM_OFFSET_TCP = 16, IPV4_TOTAL_MAX = 65535 };

struct join {
	const struct ipv4_hdr *ip; /* of the first segment, in the source bytes */
	const struct tcp_hdr *tcp;
	size_t tcp_len;
	size_t headers; /* tunnel + IPv4 + TCP */
	uint32_t mss;
	uint32_t payload; /* joined so far */
	uint16_t count;
};

static bool ipv4_is_sound(const struct ipv4_hdr *h, size_t len)
{
	return h->version_ihl == 0x45 && from_be16(h->total_len) == len &&
	       checksum_finish(checksum_partial(h, sizeof(*h), 0)) == 0;
}

/* Can this datagram begin a run? Its headers are checked, its payload is not yet. */
static bool join_begin(struct join *j, const uint8_t *data, size_t size, size_t tunnel)
{
	enum { REFUSED = TCP_SYN | TCP_RST | TCP_URG | TCP_FIN | TCP_PSH };

	if (size < tunnel + sizeof(*j->ip) + sizeof(*j->tcp))
		return false;
	j->ip = (const void *)(data + tunnel);
	j->tcp = (const void *)(data + tunnel + sizeof(*j->ip));
	j->tcp_len = (size_t)(j->tcp->data_off >> 4) * 4;
	j->headers = tunnel + sizeof(*j->ip) + j->tcp_len;
	if (j->ip->proto != PROTO_TCP || j->tcp_len < sizeof(*j->tcp) || size <= j->headers)
		return false;
	if (from_be16(j->ip->frag) & (IPV4_MF | IPV4_OFFSET))
		return false;
	j->mss = (uint32_t)(size - j->headers);
	return !(j->tcp->flags & REFUSED) && j->tcp->flags & TCP_ACK &&
	       ipv4_is_sound(j->ip, size - tunnel);
}

static bool ipv4_continues(const struct join *j, const struct ipv4_hdr *h)
{
	const struct ipv4_hdr *first = j->ip;
	uint16_t id = (uint16_t)(from_be16(first->id) + j->count);
	bool fixed_id = from_be16(first->frag) & IPV4_DF && h->id == first->id;

	return h->tos == first->tos && h->frag == first->frag && h->ttl == first->ttl &&
	       h->proto == first->proto && h->src == first->src && h->dst == first->dst &&
	       (fixed_id || from_be16(h->id) == id);
}

/* Everything but sequence, checksum, PSH and FIN is equal; CWR may be set on the first only. */
static bool tcp_continues(const struct join *j, const struct tcp_hdr *t)
{
	const struct tcp_hdr *first = j->tcp;
	uint8_t flags = (uint8_t)(first->flags & ~TCP_CWR);

	return t->sport == first->sport && t->dport == first->dport && t->ack == first->ack &&
	       from_be32(t->seq) == from_be32(first->seq) + j->payload &&
	       t->data_off == first->data_off && t->window == first->window &&
	       t->urgent == first->urgent && (t->flags & ~(TCP_PSH | TCP_FIN)) == flags &&
	       memcmp(t + 1, first + 1, j->tcp_len - sizeof(*t)) == 0;
}

static bool join_continues(const struct join *j, const uint8_t *first, const uint8_t *next,
			   size_t size, size_t tunnel)
{
	const struct ipv4_hdr *h = (const void *)(next + tunnel);

	return size > j->headers && size - j->headers <= j->mss &&
	       memcmp(next, first, tunnel) == 0 && ipv4_is_sound(h, size - tunnel) &&
	       ipv4_continues(j, h) && tcp_continues(j, (const void *)(h + 1)) &&
	       j->headers - tunnel + j->payload + (size - j->headers) <= IPV4_TOTAL_MAX;
}

/* Copies the payload behind what is joined already; false if the checksum is wrong. */
static bool join_copy(const struct join *j, uint8_t *to, const uint8_t *data, size_t size)
{
	const uint8_t *tcp = data + j->headers - j->tcp_len;
	size_t payload = size - j->headers;
	uint64_t sum =
	    checksum_pseudo_v4(j->ip->src, j->ip->dst, PROTO_TCP, (uint16_t)(j->tcp_len + payload));

	sum = checksum_partial(tcp, j->tcp_len, sum);
	sum = checksum_partial_copy(to + j->headers + j->payload, data + j->headers, payload, sum);
	return checksum_finish(sum) == 0;
}

static void join_finish(const struct join *j, struct packet *p, size_t tunnel, uint8_t last_flags)
{
	struct ipv4_hdr *h = (void *)(p->data + tunnel);
	struct tcp_hdr *t = (void *)(h + 1);
	uint16_t tcp_total = (uint16_t)(j->tcp_len + j->payload);

	h->total_len = to_be16((uint16_t)(sizeof(*h) + tcp_total));
	h->checksum = 0;
	h->checksum = checksum_finish(checksum_partial(h, sizeof(*h), 0));
	t->flags |= last_flags & (TCP_PSH | TCP_FIN);
	t->checksum = checksum_fold(checksum_pseudo_v4(h->src, h->dst, PROTO_TCP, tcp_total));
	p->flags |= PACKET_NEEDS_CSUM;
	p->csum_offset = CSUM_OFFSET_TCP;
	p->gso_type = VNET_GSO_TCPV4;
	if (t->flags & TCP_CWR)
		p->gso_type |= VNET_GSO_ECN;
	p->gso_size = (uint16_t)j->mss;
	p->hdr_len = (uint16_t)(sizeof(*h) + j->tcp_len);
}

static size_t copy_alone(struct packet *p, const uint8_t *data, size_t size)
{
	memcpy(p->data, data, size);
	p->len = (uint32_t)size;
	return size;
}

size_t gso_join(struct packet *p, const uint8_t *data, size_t len, size_t tunnel, uint16_t segment)
{
	size_t used = len < segment ? len : segment;
	struct join j = {0};
	uint8_t flags = 0;

	if (used == len || !join_begin(&j, data, used, tunnel) ||
	    !join_copy(&j, p->data, data, used)) {
		size_t datagrams = gso_join_udp(p, data, len, tunnel, segment);

		return datagrams ? datagrams : copy_alone(p, data, used);
	}
	memcpy(p->data, data, j.headers);
	j.payload = j.mss;
	j.count = 1;
	while (used < len && !(flags & (TCP_PSH | TCP_FIN)) && j.payload == j.count * j.mss) {
		const uint8_t *next = data + used;
		size_t size = len - used < segment ? len - used : segment;
		const struct tcp_hdr *tcp;

		if (!join_continues(&j, data, next, size, tunnel) ||
		    !join_copy(&j, p->data, next, size))
			break;
		tcp = (const void *)(next + tunnel + sizeof(struct ipv4_hdr));
		flags = tcp->flags;
		j.payload += (uint32_t)(size - j.headers);
		j.count++;
		used += size;
	}
	p->len = (uint32_t)(j.headers + j.payload);
	if (j.count > 1)
		join_finish(&j, p, tunnel, flags);
	return used;
}
