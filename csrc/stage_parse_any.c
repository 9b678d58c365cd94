/* SPDX-License-Identifier: Apache-2.0 */
/* stage_parse_any.c - every length checked once, so that the stages behind may just read.
 *
 * What a router must check of IPv4 (RFC 1812 5.2.2), what conntrack must know of L4, and what a
 * hostile vnet header could lie about. A packet that passes has: version 4, a good header checksum,
 * no source route, addresses that may be forwarded, L4 header inside len, len == total length.
 */
#include "checksum.h"
#include "icmp_quote.h"
#include "stage_parse.h"

enum {
	IPV4_BYTES_MAX = 65535,
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_LSRR = 131, /* RFC 791 3.1 */
	OPTION_SSRR = 137,
};

static bool options_good(const uint8_t *at, size_t len)
{
	size_t i = 0;

	while (i < len && at[i] != OPTION_END) {
		if (at[i] == OPTION_NOP) {
			i++;
			continue;
		}
		if (at[i] == OPTION_LSRR || at[i] == OPTION_SSRR)
			return false;
		if (i + 1 >= len || at[i + 1] < 2 || at[i + 1] > len - i)
			return false;
		i += at[i + 1];
	}
	return true;
}

/* A header with options, or one that is none. */
static enum drop_reason check_odd_header(const struct packet *p, size_t ihl)
{
	const struct ipv4_hdr *ip = packet_ipv4(p);

	if (ip->version_ihl >> 4 != 4)
		return DROP_BAD_VERSION;
	if (ihl < sizeof(*ip) || from_be16(ip->total_len) < ihl)
		return DROP_BAD_HEADER;
	if (from_be16(ip->total_len) > p->len)
		return DROP_TRUNCATED;
	if (checksum_fold(checksum_partial(ip, ihl, 0)) != 0xffff)
		return DROP_BAD_CHECKSUM;
	return options_good(p->data + sizeof(*ip), ihl - sizeof(*ip)) ? DROP_NONE
								      : DROP_BAD_OPTIONS;
}

static enum drop_reason check_plain_header(const struct packet *p, const struct head *h)
{
	if (UNLIKELY(head_total(h) < sizeof(struct ipv4_hdr)))
		return DROP_BAD_HEADER;
	if (UNLIKELY(head_total(h) > p->len))
		return DROP_TRUNCATED;
	return LIKELY(head_sums_up(h)) ? DROP_NONE : DROP_BAD_CHECKSUM;
}

/* Lengths and checksum of the IPv4 header; cuts off what follows the packet (Ethernet padding). */
static enum drop_reason check_header(struct packet *p, const struct head *h)
{
	size_t ihl = (size_t)(h->first & 15) * 4;
	enum drop_reason why =
	    LIKELY((uint8_t)h->first == 0x45) ? check_plain_header(p, h) : check_odd_header(p, ihl);

	if (UNLIKELY(why != DROP_NONE))
		return why;
	if ((p->flags & PACKET_NEEDS_CSUM) && p->l4_off != ihl && p->in->role != IFACE_WIRE)
		return DROP_BAD_L4; /* csum_start points elsewhere */
	p->len = head_total(h);
	p->l4_off = (uint16_t)ihl;
	return DROP_NONE;
}

/* mDNS, IGMP and their like from programs that talk to everybody. */
static bool is_multicast(be32 addr)
{
	return ((uint8_t)addr & 0xf0) == 224 || addr == UINT32_MAX;
}

/* What a node's own kernel may say, and nobody else: from an address to itself, and from loopback,
 * to a Service.
 */
static bool to_itself(const struct packet *p, be32 src, be32 dst)
{
	if (p->in->role != IFACE_STACK)
		return false;
	return never_forwarded(src) ? addr_is_loopback(addr_from_v4(src)) &&
					  node_is_local(p->in->node, addr_from_v4(dst))
				    : src == dst;
}

static enum drop_reason check_addresses(const struct packet *p, const struct head *h)
{
	be32 src = head_src(h);

	if (UNLIKELY(to_itself(p, src, h->dst)))
		return DROP_NONE;
	if (UNLIKELY(never_forwarded(src) || src == h->dst))
		return DROP_BAD_ADDRESS;
	if (UNLIKELY(never_forwarded(h->dst)))
		return is_multicast(h->dst) ? DROP_MULTICAST : DROP_BAD_ADDRESS;
	if (UNLIKELY(p->in->role == IFACE_POD && src != addr_to_v4(p->in->addr)))
		return DROP_SPOOFED;
	return DROP_NONE;
}

static enum drop_reason check_fragment(struct packet *p)
{
	const struct ipv4_hdr *ip = packet_ipv4(p);
	uint32_t frag = from_be16(ip->frag);
	uint32_t offset = (frag & IPV4_OFFSET) * 8;
	uint32_t payload = p->len - p->l4_off;

	if (payload == 0 || ((frag & IPV4_MF) && payload % 8 != 0) ||
	    p->l4_off + offset + payload > IPV4_BYTES_MAX)
		return DROP_BAD_HEADER;
	if ((p->flags & PACKET_NEEDS_CSUM) || p->gso_type != VNET_GSO_NONE)
		return DROP_BAD_L4;
	if (offset == 8 && ip->proto == PROTO_TCP)
		return DROP_BAD_L4; /* would overwrite the flags: RFC 3128 */
	p->flags |= PACKET_FRAGMENT;
	if (offset)
		p->flags |= PACKET_FRAGMENT_LATER;
	return DROP_NONE;
}

/* What the sender of the vnet header says about segmentation and checksum against what is here. */
static bool offloads_good(const struct packet *p, uint8_t gso_type, uint16_t csum_offset)
{
	uint8_t gso = p->gso_type & (uint8_t)~VNET_GSO_ECN;

	if (p->flags & PACKET_NEEDS_CSUM) {
		if (p->csum_offset != csum_offset)
			return false;
	} else if (p->gso_type != VNET_GSO_NONE) {
		return false; /* segments need checksums of their own */
	}
	return LIKELY(p->gso_type == VNET_GSO_NONE) || (gso == gso_type && p->gso_size != 0);
}

static enum drop_reason parse_tcp(struct packet *p, const uint8_t *l4, size_t len, uint32_t *ports)
{
	const struct tcp_hdr *tcp = (const void *)l4;

	if (UNLIKELY(len < sizeof(*tcp)))
		return DROP_BAD_L4;
	size_t header = (size_t)(tcp->data_off >> 4) * 4;

	if (UNLIKELY(header < sizeof(*tcp) || header > len ||
		     !offloads_good(p, VNET_GSO_TCPV4, offsetof(struct tcp_hdr, checksum))))
		return DROP_BAD_L4;
	*ports = ports_of(l4);
	p->hdr_len = (uint16_t)(p->l4_off + header);
	return DROP_NONE;
}

static enum drop_reason parse_udp(struct packet *p, const uint8_t *l4, size_t len, uint32_t *ports)
{
	if (UNLIKELY(len < sizeof(struct udp_hdr)))
		return DROP_BAD_L4;
	size_t claimed = from_be16(((const struct udp_hdr *)(const void *)l4)->len);

	if (UNLIKELY(claimed < sizeof(struct udp_hdr) ||
		     (claimed > len && !(p->flags & PACKET_FRAGMENT)) ||
		     !offloads_good(p, VNET_GSO_UDP_L4, offsetof(struct udp_hdr, checksum))))
		return DROP_BAD_L4;
	*ports = ports_of(l4);
	p->hdr_len = (uint16_t)(p->l4_off + sizeof(struct udp_hdr));
	return DROP_NONE;
}

static enum drop_reason parse_sctp(struct packet *p, size_t len, uint32_t *ports)
{
	if (len < sizeof(struct sctp_hdr) || p->gso_type != VNET_GSO_NONE ||
	    !offloads_good(p, VNET_GSO_NONE, offsetof(struct sctp_hdr, checksum)))
		return DROP_BAD_L4;
	*ports = ports_of(packet_l4(p));
	return DROP_NONE;
}

/* Requests have their identifier as source port, answers as destination port. */
static enum drop_reason parse_icmp(struct packet *p, size_t len, uint32_t *ports)
{
	const struct icmp_hdr *icmp = (const void *)packet_l4(p);

	if (len < sizeof(*icmp) || (p->flags & PACKET_NEEDS_CSUM) || p->gso_type != VNET_GSO_NONE)
		return DROP_BAD_L4;
	switch (icmp_class(icmp->type)) {
	case ICMP_CLASS_REQUEST:
		*ports = icmp->echo.id;
		return DROP_NONE;
	case ICMP_CLASS_ANSWER:
		*ports = (uint32_t)icmp->echo.id << 16;
		return DROP_NONE;
	case ICMP_CLASS_ERROR:
		if (p->flags & PACKET_FRAGMENT)
			return DROP_ICMP_UNRELATED; /* never so long; its checksum is not all here
						     */
		p->flags |= PACKET_ICMP_ERROR;
		return DROP_NONE;
	default:
		return DROP_ICMP_UNRELATED;
	}
}

static enum drop_reason parse_other(struct packet *p, uint8_t proto, size_t len, uint32_t *ports)
{
	switch (proto) {
	case PROTO_SCTP:
		return parse_sctp(p, len, ports);
	case PROTO_ICMP:
		return parse_icmp(p, len, ports);
	default: /* tracked by its addresses */
		return (p->flags & PACKET_NEEDS_CSUM) || p->gso_type ? DROP_BAD_L4 : DROP_NONE;
	}
}

static enum drop_reason parse_l4(struct packet *p, uint8_t proto, uint32_t *ports)
{
	const uint8_t *l4 = packet_l4(p);
	size_t len = p->len - p->l4_off;

	if (proto == PROTO_TCP)
		return parse_tcp(p, l4, len, ports);
	if (proto == PROTO_UDP)
		return parse_udp(p, l4, len, ports);
	return parse_other(p, proto, len, ports);
}

/* The first fragment leaves its ports for the later ones. */
static enum drop_reason follow_fragment(const struct stage_ctx *ctx, struct packet *p,
					uint32_t *ports)
{
	const struct ipv4_hdr *ip = packet_ipv4(p);
	struct fragment_key k = {.src = addr_from_v4(ip->src),
				 .dst = addr_from_v4(ip->dst),
				 .id = ip->id,
				 .proto = ip->proto};
	be16 sport, dport;

	if (p->flags & PACKET_FRAGMENT_LATER) {
		if (!fragment_find(ctx->node->fragments, &k, ctx->now_ns, &sport, &dport))
			return DROP_FRAGMENT_ORPHAN;
		*ports = sport | (uint32_t)dport << 16;
		return DROP_NONE;
	}
	enum drop_reason why = parse_l4(p, ip->proto, ports);

	if (why != DROP_NONE)
		return why;
	fragment_remember(ctx->node->fragments, &k, (be16)*ports, (be16)(*ports >> 16),
			  ctx->now_ns);
	return DROP_NONE;
}

/* Fragments and ICMP errors: their keys are not in their own bytes. */
static enum drop_reason parse_odd(const struct stage_ctx *ctx, struct packet *p,
				  const struct head *h)
{
	enum drop_reason why = head_is_fragment(h) ? check_fragment(p) : DROP_NONE;
	uint32_t ports = 0;

	if (why == DROP_NONE)
		why = p->flags & PACKET_FRAGMENT ? follow_fragment(ctx, p, &ports)
						 : parse_l4(p, head_proto(h), &ports);
	set_key(p, h, ports, ctx->node->hash_seed);
	if ((p->flags & PACKET_ICMP_ERROR) && why == DROP_NONE) {
		why = icmp_quote_parse(p);
		p->hash = flow_key_hash(&p->key, ctx->node->hash_seed);
	}
	return why;
}

static enum drop_reason parse(const struct stage_ctx *ctx, struct packet *p)
{
	enum drop_reason why;
	uint32_t ports = 0;

	if (p->len < sizeof(struct ipv4_hdr))
		return DROP_TRUNCATED;
	struct head h = head_load(p);

	why = check_header(p, &h);
	if (why != DROP_NONE)
		return why;
	why = check_addresses(p, &h);
	if (why == DROP_NONE) {
		if (head_is_fragment(&h) || head_proto(&h) == PROTO_ICMP)
			return parse_odd(ctx, p, &h);
		why = parse_l4(p, head_proto(&h), &ports);
	}
	set_key(p, &h, ports, ctx->node->hash_seed);
	return why;
}

void stage_parse_any(const struct stage_ctx *ctx, struct packet *p)
{
	enum drop_reason why = parse(ctx, p);

	if (why != DROP_NONE)
		packet_drop(p, why);
	else
		stage_trace(ctx, p, TRACE_PARSE, TRACE_ACCEPTED, p->key.proto, p->len);
}
