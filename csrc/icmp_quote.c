/* SPDX-License-Identifier: Apache-2.0 */
/* icmp_quote.c - ICMP errors and the packet that they quote.
 *
 * RFC 792 promises the IPv4 header and eight bytes of what follows; more is common. The quoted
 * L4 checksum is kept consistent where it lies inside the quote, so that translation there and
 * back is the identity; nobody verifies it.
 */
#include "icmp_quote.h"

#include "checksum.h"

enum { QUOTED_L4_MIN = 8 };

static const uint8_t classes[] = {
    [ICMP_ECHO_REPLY] = ICMP_CLASS_ANSWER,
    [ICMP_UNREACHABLE] = ICMP_CLASS_ERROR,
    [ICMP_SOURCE_QUENCH] = ICMP_CLASS_ERROR,
    [ICMP_REDIRECT] =
	ICMP_CLASS_OTHER, /* a router's advice ends at the next hop: never forwarded */
    [ICMP_ECHO] = ICMP_CLASS_REQUEST,
    [ICMP_TIME_EXCEEDED] = ICMP_CLASS_ERROR,
    [ICMP_PARAMETER] = ICMP_CLASS_ERROR,
    [13] = ICMP_CLASS_REQUEST, /* timestamp, information, address mask */
    [14] = ICMP_CLASS_ANSWER,
    [15] = ICMP_CLASS_REQUEST,
    [16] = ICMP_CLASS_ANSWER,
    [17] = ICMP_CLASS_REQUEST,
    [18] = ICMP_CLASS_ANSWER,
};

/* Where the checksum lies in a quoted transport header, and whether it covers the addresses. */
struct quoted_l4 {
	uint8_t check_off;
	bool pseudo;
	bool zero_is_none;
};

static const struct quoted_l4 tcp_layout = {.check_off = 16, .pseudo = true};
static const struct quoted_l4 udp_layout = {.check_off = 6, .pseudo = true, .zero_is_none = true};

enum icmp_class icmp_class(uint8_t type)
{
	return type < ARRAY_SIZE(classes) ? (enum icmp_class)classes[type] : ICMP_CLASS_OTHER;
}

static struct ipv4_hdr *quoted_ipv4(const struct packet *p)
{
	return (struct ipv4_hdr *)(void *)(packet_l4(p) + sizeof(struct icmp_hdr));
}

static size_t quoted_ihl(const struct ipv4_hdr *q)
{
	return (size_t)(q->version_ihl & 15) * 4;
}

/* Ports of the quoted packet as it travelled; false if it can not be part of a connection. */
static bool quoted_ports(const struct ipv4_hdr *q, be16 *sport, be16 *dport)
{
	const uint8_t *l4 = (const uint8_t *)q + quoted_ihl(q);

	*sport = 0;
	*dport = 0;
	if (q->proto == PROTO_TCP || q->proto == PROTO_UDP || q->proto == PROTO_SCTP) {
		memcpy(sport, l4, 2);
		memcpy(dport, l4 + 2, 2);
		return true;
	}
	if (q->proto != PROTO_ICMP)
		return true;
	enum icmp_class c = icmp_class(l4[0]);

	memcpy(c == ICMP_CLASS_REQUEST ? sport : dport, l4 + 4, 2);
	return c == ICMP_CLASS_REQUEST || c == ICMP_CLASS_ANSWER;
}

enum drop_reason icmp_quote_parse(struct packet *p)
{
	const struct ipv4_hdr *q = quoted_ipv4(p);
	size_t len = p->len - p->l4_off;
	size_t need = sizeof(struct icmp_hdr) + sizeof(*q) + QUOTED_L4_MIN;
	be16 sport, dport;

	if (len < need || q->version_ihl >> 4 != 4 || quoted_ihl(q) < sizeof(*q) ||
	    len < need - sizeof(*q) + quoted_ihl(q))
		return DROP_BAD_L4;
	if (checksum_fold(checksum_partial(packet_l4(p), len, 0)) != 0xffff)
		return DROP_BAD_L4;
	if ((from_be16(q->frag) & IPV4_OFFSET) != 0 || !quoted_ports(q, &sport, &dport))
		return DROP_ICMP_UNRELATED;
	p->key = (struct flow_key){.src = addr_from_v4(q->dst),
				   .dst = addr_from_v4(q->src),
				   .sport = dport,
				   .dport = sport,
				   .proto = q->proto};
	return DROP_NONE;
}

static uint64_t replace(uint8_t *at, size_t len, const void *with)
{
	uint16_t from, to;
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i += 2) {
		memcpy(&from, at + i, 2);
		memcpy(&to, (const uint8_t *)with + i, 2);
		memcpy(at + i, &to, 2);
		sum += (uint64_t)(uint16_t)~from + to;
	}
	return sum;
}

static void quoted_checksum(uint8_t *at, const struct quoted_l4 *l, uint64_t addrs, uint64_t ports)
{
	be16 check;

	memcpy(&check, at, 2);
	if (l->zero_is_none && check == 0)
		return;
	check = checksum_finish((uint16_t)~check + (l->pseudo ? addrs : 0) + ports);
	if (l->zero_is_none && check == 0)
		check = 0xffff;
	memcpy(at, &check, 2);
}

/* SCTP's CRC covers the whole packet: kept if all of it is quoted (linear: see rewrite.c). */
static void rewrite_quoted_sctp(const struct packet *p, const struct ipv4_hdr *q, uint8_t *l4,
				size_t room)
{
	struct sctp_hdr *sctp = (void *)l4;
	size_t len = from_be16(q->total_len);
	bool whole = !(q->frag & to_be16(IPV4_MF)) && len >= quoted_ihl(q) + sizeof(*sctp) &&
		     len - quoted_ihl(q) <= room;
	uint32_t before;

	len = whole ? len - quoted_ihl(q) : 0;
	before = crc32c(l4, len, 0);
	(void)replace(l4, 2, &p->to.dport);
	(void)replace(l4 + 2, 2, &p->to.sport);
	if (whole)
		sctp->checksum ^= before ^ crc32c(l4, len, 0);
}

static void rewrite_quoted_l4(struct packet *p, struct ipv4_hdr *q, uint64_t addrs)
{
	static const struct quoted_l4 icmp_layout = {.check_off = 2};
	uint8_t *l4 = (uint8_t *)q + quoted_ihl(q);
	size_t room = (size_t)(p->data + p->len - l4);
	const struct quoted_l4 *l = NULL;
	uint64_t ports = 0;

	if (q->proto == PROTO_ICMP) {
		bool request = icmp_class(l4[0]) == ICMP_CLASS_REQUEST;

		ports = replace(l4 + 4, 2, request ? &p->to.dport : &p->to.sport);
		l = &icmp_layout;
	} else if (q->proto == PROTO_SCTP) {
		rewrite_quoted_sctp(p, q, l4, room);
	} else if (q->proto == PROTO_TCP || q->proto == PROTO_UDP) {
		ports = replace(l4, 2, &p->to.dport);
		ports += replace(l4 + 2, 2, &p->to.sport);
		l = q->proto == PROTO_TCP ? &tcp_layout : &udp_layout;
	}
	if (l && room >= (size_t)l->check_off + 2)
		quoted_checksum(l4 + l->check_off, l, addrs, ports);
}

void icmp_quote_rewrite(struct packet *p)
{
	struct icmp_hdr *icmp = (void *)packet_l4(p);
	struct ipv4_hdr *q = quoted_ipv4(p);
	be32 src = addr_to_v4(p->to.dst), dst = addr_to_v4(p->to.src);
	uint64_t addrs = replace((uint8_t *)&q->src, 4, &src);

	addrs += replace((uint8_t *)&q->dst, 4, &dst);
	q->checksum = checksum_finish((uint16_t)~q->checksum + addrs);
	rewrite_quoted_l4(p, q, addrs);
	icmp->checksum = 0;
	icmp->checksum = checksum_finish(checksum_partial(icmp, p->len - p->l4_off, 0));
}
