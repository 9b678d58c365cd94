/* SPDX-License-Identifier: Apache-2.0 */
/* stage_parse.c - every length checked once: plain packets here, all others by stage_parse_any.c.
 */
#include "stage_parse.h"

static inline bool plain_addresses(const struct packet *p, const struct head *h)
{
	be32 src = head_src(h);

	if (LIKELY(p->in->role == IFACE_POD)) {
		if (UNLIKELY(src != addr_to_v4(p->in->addr))) /* never one that is not forwarded */
			return false;
	} else if (UNLIKELY(never_forwarded(src))) {
		return false;
	}
	return LIKELY(!never_forwarded(h->dst)) && LIKELY(src != h->dst);
}

/* What a vnet header says about the checksum, field @at of the L4 header, is true, or there is
 * none.
 */
static inline bool plain_offload(const struct packet *p, uint16_t at)
{
	return !(p->flags & PACKET_NEEDS_CSUM) ||
	       (LIKELY(p->csum_offset == at) &&
		(LIKELY(p->l4_off == sizeof(struct ipv4_hdr)) || p->in->role == IFACE_WIRE));
}

/* Bytes of the L4 header of TCP or UDP, 0 if anything is wrong with it or it is of another
 * protocol.
 * @more: bytes of the packet behind a header of UDP
 */
static inline uint32_t plain_l4(const struct packet *p, const uint8_t *l4, uint8_t proto,
				uint32_t more)
{
	const uint32_t udp = sizeof(struct udp_hdr), tcp = sizeof(struct tcp_hdr);
	uint32_t len;

	if (proto == PROTO_UDP) {
		len = from_be16(((const struct udp_hdr *)(const void *)l4)->len);
		if (UNLIKELY(len - udp > more) ||
		    UNLIKELY(!plain_offload(p, offsetof(struct udp_hdr, checksum))))
			return 0;
		return udp;
	}
	if (UNLIKELY(proto != PROTO_TCP) || UNLIKELY(more < tcp - udp))
		return 0;
	len = ((const struct tcp_hdr *)(const void *)l4)->data_off >> 2 & 0x3c;
	if (UNLIKELY(len - tcp > more - (tcp - udp)) ||
	    UNLIKELY(!plain_offload(p, offsetof(struct tcp_hdr, checksum))))
		return 0;
	return len;
}

/* A whole TCP or UDP packet that is no super-packet, without IPv4 options, with nothing wrong: what
 * stage_parse_any() makes of it, in a straight line. False, and nothing is done, for all others.
 * A length is compared once, by what it has beyond the least: what is less has very much then.
 */
static inline bool parse_plain(struct packet *p, uint64_t seed)
{
	const uint32_t ihl = sizeof(struct ipv4_hdr), least = ihl + sizeof(struct udp_hdr);
	const uint64_t frag = (uint64_t)to_be16(IPV4_MF | IPV4_OFFSET) << 48;
	const uint8_t *l4 = p->data + ihl;
	uint32_t header;

	if (UNLIKELY(p->len < least))
		return false;
	struct head h = head_load(p);
	uint32_t total = head_total(&h);

	if (UNLIKELY((h.first & (frag | 0xff)) != 0x45) ||
	    UNLIKELY(total - least > p->len - least) || UNLIKELY(!head_sums_up(&h)) ||
	    UNLIKELY(!plain_addresses(p, &h)))
		return false;
	header = plain_l4(p, l4, head_proto(&h), total - least);
	if (UNLIKELY(!header))
		return false;
	p->len = total;
	p->l4_off = (uint16_t)ihl;
	p->hdr_len = (uint16_t)(ihl + header);
	set_key(p, &h, ports_of(l4), seed);
	return true;
}

void stage_parse(const struct stage_ctx *ctx, struct batch *b)
{
	const struct flow_table *flows = ctx->node->flows;
	uint64_t seed = ctx->node->hash_seed;
	unsigned count = b->count;

	for (unsigned i = 0; i < count; i++) {
		struct packet *p = b->pkt[i];

		if (UNLIKELY(packet_is_odd_or_super(p)) || UNLIKELY(!parse_plain(p, seed))) {
			if (p->verdict == VERDICT_CONTINUE)
				stage_parse_any(ctx, p);
		}
		flow_table_prefetch_index(flows, p->hash);
	}
}
