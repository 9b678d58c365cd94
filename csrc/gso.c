/* SPDX-License-Identifier: Apache-2.0 */
/* gso.c - super-packets cut into MTU-sized ones, and IPv4 packets into fragments.
 *
 * What the kernel's inet_gso_segment(), tcp_gso_segment() and ip_do_fragment() do, on plain bytes.
 * Header positions are read from the bytes below the tunnel header and checked here again: these
 * functions depend on no stage having been right.
 */
#include "gso.h"

#include "checksum.h"

enum { SEGMENTS_MAX = 64, TCP_CHECKSUM_OFFSET = 16, UDP_CHECKSUM_OFFSET = 6 };

/* Where things are, from the first byte of the IPv4 header. */
struct layout {
	uint16_t l4;
	uint16_t headers; /* IPv4 + L4 header bytes */
	uint8_t proto;
};

static uint16_t ipv4_header_len(const uint8_t *ip)
{
	return (uint16_t)((ip[0] & 0x0f) * 4);
}

/* TCP and UDP only. False if the headers do not fit into @len bytes. */
static bool layout_find(const uint8_t *ip, size_t len, struct layout *out)
{
	const struct ipv4_hdr *h = (const void *)ip;

	if (len < sizeof(*h) || h->version_ihl >> 4 != 4)
		return false;
	out->l4 = ipv4_header_len(ip);
	out->proto = h->proto;
	if (out->l4 < sizeof(*h))
		return false;
	if (h->proto == PROTO_UDP) {
		out->headers = (uint16_t)(out->l4 + sizeof(struct udp_hdr));
	} else if (h->proto == PROTO_TCP && len >= out->l4 + sizeof(struct tcp_hdr)) {
		const struct tcp_hdr *t = (const void *)(ip + out->l4);

		if (t->data_off >> 4 < 5)
			return false;
		out->headers = (uint16_t)(out->l4 + (t->data_off >> 4) * 4);
	} else {
		return false;
	}
	return len >= out->headers;
}

static void ipv4_checksum_set(struct ipv4_hdr *h, size_t header_len)
{
	h->checksum = 0;
	h->checksum = checksum_finish(checksum_partial(h, header_len, 0));
}

static uint64_t pseudo_sum(const struct ipv4_hdr *h, size_t l4_len)
{
	return checksum_pseudo_v4(h->src, h->dst, h->proto, (uint16_t)l4_len);
}

/* The last step for a segment whose headers are in place and whose payload sums to @sum. */
static void tcp_finish(uint8_t *ip, const struct layout *at, uint32_t from, bool first, bool last,
		       uint64_t sum)
{
	struct tcp_hdr *t = (void *)(ip + at->l4);

	t->seq = to_be32(from_be32(t->seq) + from);
	if (!last)
		t->flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
	if (!first)
		t->flags &= (uint8_t)~TCP_CWR;
	t->checksum = 0;
	t->checksum = checksum_finish(checksum_partial(t, (size_t)(at->headers - at->l4), sum));
}

static void udp_finish(uint8_t *ip, const struct layout *at, uint32_t payload, uint64_t sum)
{
	struct udp_hdr *u = (void *)(ip + at->l4);

	u->len = to_be16((uint16_t)(sizeof(*u) + payload));
	u->checksum = 0;
	u->checksum = checksum_finish(checksum_partial(u, sizeof(*u), sum));
	if (u->checksum == 0)
		u->checksum = 0xffff; /* RFC 768: zero says that there is none */
}

static void cut_one(const struct packet *p, size_t tunnel, const struct layout *at, uint32_t from,
		    uint32_t size, uint8_t *to)
{
	const uint8_t *payload = p->data + tunnel + at->headers;
	uint32_t total = p->len - (uint32_t)tunnel - at->headers;
	struct ipv4_hdr *h = (void *)(to + tunnel);
	uint64_t sum;

	memcpy(to, p->data, tunnel + at->headers);
	h->total_len = to_be16((uint16_t)(at->headers + size));
	h->id = to_be16((uint16_t)(from_be16(h->id) + from / p->gso_size));
	ipv4_checksum_set(h, at->l4);
	sum = pseudo_sum(h, at->headers - at->l4 + size);
	sum = checksum_partial_copy(to + tunnel + at->headers, payload + from, size, sum);
	if (at->proto == PROTO_TCP)
		tcp_finish(to + tunnel, at, from, from == 0, from + size == total, sum);
	else
		udp_finish(to + tunnel, at, size, sum);
}

bool gso_cut(const struct packet *p, size_t tunnel, uint32_t *from, struct gso_out *out)
{
	size_t limit = out->room < GSO_BYTES_MAX ? out->room : GSO_BYTES_MAX;
	uint16_t max = out->max ? out->max : SEGMENTS_MAX;
	struct layout at;
	uint32_t payload;

	out->len = 0;
	out->count = 0;
	out->segment = 0;
	if (p->len < tunnel || !p->gso_size ||
	    !layout_find(p->data + tunnel, p->len - tunnel, &at) ||
	    tunnel + at.headers + p->gso_size > GSO_BYTES_MAX)
		return false;
	payload = p->len - (uint32_t)tunnel - at.headers;
	out->segment = (uint16_t)(tunnel + at.headers + p->gso_size);
	while (*from < payload && out->count < max) {
		uint32_t left = payload - *from;
		uint32_t size = left < p->gso_size ? left : p->gso_size;
		uint32_t whole = (uint32_t)tunnel + at.headers + size;

		if (out->len + whole > limit)
			break;
		cut_one(p, tunnel, &at, *from, size, out->data + out->len);
		out->len += whole;
		out->count++;
		*from += size;
	}
	return out->count && *from < payload;
}

void gso_complete_checksum(struct packet *p, size_t tunnel)
{
	struct layout at;
	uint8_t *field;
	uint64_t sum;
	be16 check;

	if (!(p->flags & PACKET_NEEDS_CSUM))
		return;
	p->flags &= (uint16_t)~PACKET_NEEDS_CSUM;
	if (p->len < tunnel || !layout_find(p->data + tunnel, p->len - tunnel, &at))
		return;
	field = p->data + tunnel + at.l4;
	field += at.proto == PROTO_TCP ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET;
	sum = checksum_partial(p->data + tunnel + at.l4, p->len - tunnel - at.l4, 0);
	check = checksum_finish(sum);
	if (check == 0 && at.proto == PROTO_UDP)
		check = 0xffff;
	memcpy(field, &check, sizeof(check));
}

/* Later fragments carry only options whose copied bit is set (RFC 791 3.1); the others become
 * no-operations, as in the kernel's ip_options_fragment(), which keeps the header length.
 */
static void options_of_later_fragment(uint8_t *option, const uint8_t *end)
{
	enum { END = 0, NO_OPERATION = 1, COPIED = 0x80 };

	while (option < end && *option != END) {
		size_t len = 1;

		if (*option != NO_OPERATION) {
			if (end - option < 2 || option[1] < 2 || option[1] > end - option)
				return;
			len = option[1];
			if (!(*option & COPIED))
				memset(option, NO_OPERATION, len);
		}
		option += len;
	}
}

bool gso_fragment(const struct packet *p, size_t tunnel, uint16_t mtu, uint32_t *from,
		  struct gso_out *out)
{
	const uint8_t *ip = p->data + tunnel;
	struct ipv4_hdr *h = (void *)(out->data + tunnel);
	uint32_t header, payload, size;
	uint16_t frag;
	bool last;

	out->len = 0;
	out->count = 0;
	if (p->len < tunnel + sizeof(*h))
		return false;
	header = ipv4_header_len(ip);
	if (header < sizeof(*h) || p->len < tunnel + header || mtu < header + 8)
		return false;
	payload = p->len - (uint32_t)tunnel - header;
	size = (mtu - header) & ~7U;
	last = payload - *from <= mtu - header;
	if (last)
		size = payload - *from;
	if (*from > payload || tunnel + header + size > out->room)
		return false;
	memcpy(out->data, p->data, tunnel + header);
	memcpy(out->data + tunnel + header, ip + header + *from, size);
	frag = from_be16(h->frag);
	frag = (uint16_t)((frag & (uint16_t)~IPV4_OFFSET) | ((frag & IPV4_OFFSET) + *from / 8));
	if (!last)
		frag |= IPV4_MF;
	h->frag = to_be16(frag);
	h->total_len = to_be16((uint16_t)(header + size));
	if (*from)
		options_of_later_fragment(out->data + tunnel + sizeof(*h),
					  out->data + tunnel + header);
	ipv4_checksum_set(h, header);
	out->len = (uint32_t)(tunnel + header + size);
	out->segment = (uint16_t)out->len;
	out->count = 1;
	*from += size;
	return !last;
}
