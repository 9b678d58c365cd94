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

/* A whole TCP or UDP packet that is no super-packet, without IPv4 options, with nothing wrong: what
 * stage_parse_any() makes of it, in a straight line. False, and nothing is done, for everything
 * else.
 */
static inline bool parse_plain(struct packet *p, uint64_t seed)
{
	const size_t ihl = sizeof(struct ipv4_hdr);
	const uint64_t frag = (uint64_t)to_be16(IPV4_MF | IPV4_OFFSET) << 48;
	const uint8_t *l4 = p->data + ihl;

	if (UNLIKELY(p->len < ihl + sizeof(struct udp_hdr)) || UNLIKELY(p->gso_type))
		return false;
	struct head h = head_load(p);
	uint32_t total = head_total(&h), l4_len = total - (uint32_t)ihl;
	uint16_t header, csum;

	if (UNLIKELY((h.first & (frag | 0xff)) != 0x45) || UNLIKELY(total > p->len) ||
	    UNLIKELY(total < ihl + sizeof(struct udp_hdr)) || UNLIKELY(!head_sums_up(&h)) ||
	    UNLIKELY(!plain_addresses(p, &h)))
		return false;
	if (head_proto(&h) == PROTO_UDP) {
		uint16_t claimed = from_be16(((const struct udp_hdr *)(const void *)l4)->len);

		header = sizeof(struct udp_hdr);
		csum = offsetof(struct udp_hdr, checksum);
		if (UNLIKELY(claimed < header) || UNLIKELY(claimed > l4_len))
			return false;
	} else {
		csum = offsetof(struct tcp_hdr, checksum);
		if (UNLIKELY(head_proto(&h) != PROTO_TCP) || l4_len < sizeof(struct tcp_hdr))
			return false;
		header =
		    (uint16_t)((((const struct tcp_hdr *)(const void *)l4)->data_off >> 4) * 4);
		if (UNLIKELY(header < sizeof(struct tcp_hdr)) || UNLIKELY(header > l4_len))
			return false;
	}
	if ((p->flags & PACKET_NEEDS_CSUM) &&
	    (UNLIKELY(p->csum_offset != csum) ||
	     (UNLIKELY(p->l4_off != ihl) && p->in->role != IFACE_WIRE)))
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

		if (UNLIKELY(packet_is_odd(p)) || UNLIKELY(!parse_plain(p, seed))) {
			if (p->verdict == VERDICT_CONTINUE)
				stage_parse_any(ctx, p);
		}
		flow_table_prefetch_index(flows, p->hash);
	}
}
