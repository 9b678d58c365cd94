/* SPDX-License-Identifier: Apache-2.0 */
/* shim.c - flat functions over gso*.c and vnet.c, for ctypes. Built by conftest.py. */
#include <stdlib.h>

#include "gso.h"
#include "iface_tun.h"

struct shim_meta {
	uint32_t len;
	uint16_t flags;
	uint16_t gso_size;
	uint16_t hdr_len;
	uint16_t csum_offset;
	uint8_t gso_type;
};

static struct packet *make(const uint8_t *bytes, uint32_t len)
{
	struct packet *p = calloc(1, sizeof(*p) + PACKET_HEADROOM + PACKET_ROOM);

	if (!p)
		abort();
	p->data = p->buffer + PACKET_HEADROOM;
	p->len = len;
	memcpy(p->data, bytes, len);
	return p;
}

static void describe(const struct packet *p, uint8_t *out, struct shim_meta *meta)
{
	memcpy(out, p->data, p->len);
	*meta = (struct shim_meta){p->len,     p->flags,       p->gso_size,
				   p->hdr_len, p->csum_offset, p->gso_type};
}

/* Calls gso_cut() with a buffer of @room until nothing is left. sizes[] gets the segments' lengths.
 * Returns their number.
 */
int shim_cut(const uint8_t *bytes, uint32_t len, size_t tunnel, uint16_t gso_size, size_t room,
	     uint8_t *out, uint16_t *sizes)
{
	struct packet *p = make(bytes, len);
	uint8_t *buffer = malloc(room);
	struct gso_out cut = {.data = buffer, .room = room};
	uint32_t from = 0;
	int count = 0;
	bool left;

	p->gso_size = gso_size;
	do {
		left = gso_cut(p, tunnel, &from, &cut);
		memcpy(out, buffer, cut.len);
		out += cut.len;
		for (uint32_t at = 0; at < cut.len; at += cut.segment) {
			uint32_t rest = cut.len - at;

			sizes[count++] = (uint16_t)(rest < cut.segment ? rest : cut.segment);
		}
	} while (left);
	free(buffer);
	free(p);
	return count;
}

int shim_fragment(const uint8_t *bytes, uint32_t len, size_t tunnel, uint16_t mtu, uint8_t *out,
		  uint16_t *sizes)
{
	struct packet *p = make(bytes, len);
	uint32_t from = 0;
	int count = 0;
	bool left = true;

	while (left) {
		struct gso_out piece = {.data = out, .room = PACKET_ROOM};

		left = gso_fragment(p, tunnel, mtu, &from, &piece);
		if (!piece.count)
			break;
		out += piece.len;
		sizes[count++] = (uint16_t)piece.len;
	}
	free(p);
	return count;
}

/* @data is copied to an exact-size block, so that a read past it shows under ASan. */
size_t shim_join(const uint8_t *data, size_t len, size_t tunnel, uint16_t segment, uint8_t *out,
		 struct shim_meta *meta)
{
	struct packet *p = make(data, 0);
	uint8_t *exact = malloc(len);
	size_t used;

	memcpy(exact, data, len);
	used = gso_join(p, exact, len, tunnel, segment);
	describe(p, out, meta);
	free(exact);
	free(p);
	return used;
}

static struct packet *make_datagram(const uint8_t *data, uint16_t size, int partial)
{
	struct packet *p = make(data, size);

	p->flags = partial ? PACKET_NEEDS_CSUM : 0;
	p->csum_offset = partial ? 6 : 0;
	return p;
}

/* Joins packets of @sizes bytes, one after the other at @data, each as tun_receive() does. @out and
 * @meta get what came of them. Returns how many that are.
 */
int shim_join_datagrams(const uint8_t *data, const uint16_t *sizes, int count, int partial,
			uint8_t *out, struct shim_meta *meta)
{
	struct packet *last = NULL;
	int made = 0;

	for (int n = 0; n <= count; n++) {
		struct packet *p = n < count ? make_datagram(data, sizes[n], partial) : NULL;

		data += p ? sizes[n] : 0;
		if (p && last && gso_join_datagram(last, p)) {
			free(p);
			continue;
		}
		if (last) {
			describe(last, out, &meta[made++]);
			out += last->len;
			free(last);
		}
		last = p;
	}
	return made;
}

void shim_complete(const uint8_t *bytes, uint32_t len, size_t tunnel, uint8_t *out,
		   struct shim_meta *meta)
{
	struct packet *p = make(bytes, len);

	p->flags = PACKET_NEEDS_CSUM;
	gso_complete_checksum(p, tunnel);
	describe(p, out, meta);
	free(p);
}

/* Returns whether the header was accepted. */
int shim_accept(const uint8_t *vnet, const uint8_t *bytes, uint32_t len, uint8_t *out,
		struct shim_meta *meta)
{
	struct packet *p = make(bytes, len);
	struct vnet_hdr h;
	bool good;

	memcpy(&h, vnet, sizeof(h));
	good = vnet_accept(&h, p);
	describe(p, out, meta);
	free(p);
	return good;
}

void shim_describe(const uint8_t *bytes, uint32_t len, const struct shim_meta *meta, uint8_t *vnet)
{
	struct packet *p = make(bytes, len);
	struct vnet_hdr h;

	p->flags = meta->flags;
	p->gso_type = meta->gso_type;
	p->gso_size = meta->gso_size;
	p->hdr_len = meta->hdr_len;
	h = vnet_describe(p);
	memcpy(vnet, &h, sizeof(h));
	free(p);
}
