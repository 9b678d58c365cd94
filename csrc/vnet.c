/* SPDX-License-Identifier: Apache-2.0 */
/* vnet.c - virtio headers: what a kernel says about a packet, checked, and what we say.
 *
 * A pod's own programs can put any header in front of a packet (PACKET_VNET_HDR), so nothing in it
 * is believed that the bytes do not confirm.
 */
#include "iface_tun.h"

#include "checksum.h"

enum {
	CSUM_OFFSET_TCP = 16,
	CSUM_OFFSET_UDP = 6,
	GSO_SIZE_MIN = 8, /* the kernel's TCP_MIN_GSO_SIZE: no packet stands for more than 8191 */
};

/* The checksum offset of the packet's own L4 protocol, 0 if it has none to be partial. */
static uint16_t csum_offset_of(uint8_t proto)
{
	if (proto == PROTO_TCP)
		return CSUM_OFFSET_TCP;
	return proto == PROTO_UDP ? CSUM_OFFSET_UDP : 0;
}

static bool is_own_csum(const struct vnet_hdr *h, const struct packet *p)
{
	const struct ipv4_hdr *ip = packet_ipv4(p);

	return p->len >= sizeof(*ip) && (ip->version_ihl & 0x0f) * 4 == h->csum_start &&
	       csum_offset_of(ip->proto) == h->csum_offset && h->csum_offset &&
	       !(from_be16(ip->frag) & (IPV4_MF | IPV4_OFFSET));
}

/* Something tunnelled by the pod itself: nobody on the way looks at it, so finish it here. */
static void complete_foreign_csum(const struct vnet_hdr *h, struct packet *p)
{
	be16 check =
	    checksum_finish(checksum_partial(p->data + h->csum_start, p->len - h->csum_start, 0));

	if (check == 0)
		check = 0xffff; /* equal in ones' complement, and not UDP's "none" */
	memcpy(p->data + h->csum_start + h->csum_offset, &check, sizeof(check));
}

static bool accept_gso(const struct vnet_hdr *h, struct packet *p)
{
	uint8_t type = (uint8_t)(h->gso_type & ~VNET_GSO_ECN);
	const struct ipv4_hdr *ip = packet_ipv4(p);
	uint32_t headers;

	if (!(p->flags & PACKET_NEEDS_CSUM) || h->gso_size < GSO_SIZE_MIN)
		return false;
	if (type == VNET_GSO_TCPV4 && ip->proto == PROTO_TCP) {
		const struct tcp_hdr *t = (const void *)(p->data + h->csum_start);

		if (t->data_off >> 4 < 5)
			return false;
		headers = h->csum_start + (uint32_t)(t->data_off >> 4) * 4;
	} else if (h->gso_type == VNET_GSO_UDP_L4 && ip->proto == PROTO_UDP) {
		headers = h->csum_start + (uint32_t)sizeof(struct udp_hdr);
	} else {
		return false;
	}
	if (headers >= p->len || headers + h->gso_size > UINT16_MAX)
		return false;
	if (p->len - headers <= h->gso_size)
		return true; /* one segment: not a super-packet */
	p->gso_type = h->gso_type;
	p->gso_size = h->gso_size;
	p->hdr_len = (uint16_t)headers;
	return true;
}

bool vnet_accept(const struct vnet_hdr *h, struct packet *p)
{
	if (h->flags & VNET_NEEDS_CSUM) {
		if ((uint32_t)h->csum_start + h->csum_offset + sizeof(be16) > p->len)
			return false;
		if (is_own_csum(h, p)) {
			p->flags |= PACKET_NEEDS_CSUM;
			p->csum_offset = h->csum_offset;
			p->l4_off = h->csum_start; /* stage_parse expects it there */
		} else {
			complete_foreign_csum(h, p);
		}
	}
	return h->gso_type == VNET_GSO_NONE || accept_gso(h, p);
}

struct vnet_hdr vnet_describe(const struct packet *p)
{
	struct vnet_hdr h = {0};
	const struct ipv4_hdr *ip = packet_ipv4(p);

	if (p->flags & PACKET_NEEDS_CSUM) {
		h.flags = VNET_NEEDS_CSUM;
		h.csum_start = (uint16_t)((ip->version_ihl & 0x0f) * 4);
		h.csum_offset = csum_offset_of(ip->proto);
	}
	if (p->gso_type != VNET_GSO_NONE) {
		h.gso_type = p->gso_type;
		h.gso_size = p->gso_size;
		h.hdr_len = p->hdr_len;
	}
	return h;
}
