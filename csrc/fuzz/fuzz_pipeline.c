/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_pipeline.c - libFuzzer target: any bytes into any iface end in exactly one verdict.
 *
 * Input: one byte that chooses the backend, then packets, each behind a struct record. Each packet
 * lies at the end of a heap block of its exact size, so that a read past it is seen; packet.c is
 * not linked. What leaves must be well-formed IPv4, in a well-formed tunnel if it leaves by a wire.
 */
#include "../checksum.h"
#include "../stage_parse.h"
#include "fixture.h"

#include <stdlib.h>

enum record_flags {
	RECORD_OFFLOADS = 1 << 0, /* struct offloads follows the record */
	RECORD_STRANGER = 1 << 1, /* outer source is no peer */
	RECORD_FIX_IPV4 = 1 << 2, /* checksums are hard to guess: make them right */
	RECORD_FIX_ICMP = 1 << 3,
	RECORD_SAME_BATCH = 1 << 4, /* as the packet before it */
	RECORD_MARK = 1 << 5,
	RECORD_LATER = 1 << 6, /* a minute later */
};

struct record {
	uint8_t iface; /* enum fixture_iface, modulo */
	uint8_t flags; /* enum record_flags */
	be16 len;      /* of the packet; clipped to what is there */
} __attribute__((packed));

struct offloads {
	uint8_t needs_csum;
	uint8_t gso_type;
	be16 gso_size;
	be16 csum_start;
	be16 csum_offset;
} __attribute__((packed));

#define RESET_NS (NS_PER_S * 3600 * 24 * 10)

static struct fixture *fixtures[FIXTURES];
static uint64_t now_ns = NS_PER_S;
static uint64_t sent, received;

/* The pool of this program: exact blocks. packet_take() is only called by ifaces. */
void packet_give(struct packet_pool *pool, struct packet *p)
{
	(void)pool;
	free(p);
}

static void expect(bool good)
{
	if (!good)
		abort();
}

static void check_sent(const struct iface *i, const struct packet *p)
{
	const uint8_t *at = p->data;
	size_t len = p->len;

	expect(p->verdict == VERDICT_FORWARD && p->out == i);
	if (i->role == IFACE_WIRE && i->node->config.backend == BACKEND_VXLAN) {
		expect(len >= 22 + sizeof(struct ipv4_hdr) && at[0] == VXLAN_FLAG_VNI);
		at += 22;
		len -= 22;
	}
	const struct ipv4_hdr *ip = (const struct ipv4_hdr *)(const void *)at;
	size_t ihl = (size_t)(ip->version_ihl & 15) * 4;

	expect(len >= sizeof(*ip) && ip->version_ihl >> 4 == 4 && ihl >= sizeof(*ip) && ihl <= len);
	expect(from_be16(ip->total_len) == len);
	expect(checksum_fold(checksum_partial(at, ihl, 0)) == 0xffff);
	expect(i->role != IFACE_POD || ip->ttl != 0 || p->in->role != IFACE_WIRE);
	expect(i->role != IFACE_WIRE || p->peer != NULL);
}

static void send(struct iface *i, struct packet_pool *pool, struct packet *const *pkt,
		 unsigned count)
{
	for (unsigned k = 0; k < count; k++) {
		check_sent(i, pkt[k]);
		sent++;
		packet_give(pool, pkt[k]);
	}
}

static void fix_checksums(struct packet *p, uint8_t flags, uint8_t backend)
{
	uint32_t tunnel = p->in->role == IFACE_WIRE && backend == BACKEND_VXLAN ? 22 : 0;

	if (p->len < tunnel + sizeof(struct ipv4_hdr))
		return;
	uint8_t *at = p->data + tunnel;
	uint32_t len = p->len - tunnel;
	struct ipv4_hdr *ip = (struct ipv4_hdr *)(void *)at;
	uint32_t ihl = (uint32_t)(ip->version_ihl & 15) * 4;

	if (ihl < sizeof(*ip) || ihl > len)
		return;
	if (flags & RECORD_FIX_IPV4) {
		ip->checksum = 0;
		ip->checksum = checksum_finish(checksum_partial(ip, ihl, 0));
	}
	uint32_t total = from_be16(ip->total_len);

	if ((flags & RECORD_FIX_ICMP) && ip->proto == PROTO_ICMP && total <= len &&
	    total >= ihl + 8) {
		struct icmp_hdr *icmp = (struct icmp_hdr *)(void *)(at + ihl);

		icmp->checksum = 0;
		icmp->checksum = checksum_finish(checksum_partial(icmp, total - ihl, 0));
	}
}

/* Reads one record; NULL at the end of the input. */
static struct packet *next_packet(struct fixture *f, const uint8_t **at, const uint8_t *end,
				  struct record *r)
{
	struct offloads o = {0};
	struct packet *p;

	if ((size_t)(end - *at) < sizeof(*r))
		return NULL;
	memcpy(r, *at, sizeof(*r));
	*at += sizeof(*r);
	if (r->flags & RECORD_OFFLOADS) {
		if ((size_t)(end - *at) < sizeof(o))
			return NULL;
		memcpy(&o, *at, sizeof(o));
		*at += sizeof(o);
	}
	size_t len = from_be16(r->len);

	if (len > (size_t)(end - *at))
		len = (size_t)(end - *at);
	p = malloc(sizeof(*p) + PACKET_HEADROOM + len);
	expect(p != NULL);
	memset(p, 0, sizeof(*p));
	p->data = p->buffer + PACKET_HEADROOM;
	memcpy(p->data, *at, len);
	*at += len;
	p->len = (uint32_t)len;
	p->in = &f->ifaces[r->iface % FIXTURE_IFACES];
	p->flags = (uint16_t)((o.needs_csum & 1 ? PACKET_NEEDS_CSUM : 0) |
			      (r->flags & RECORD_MARK ? PACKET_MARKED : 0));
	p->gso_type = o.gso_type;
	p->gso_size = from_be16(o.gso_size);
	p->l4_off = from_be16(o.csum_start);
	p->csum_offset = from_be16(o.csum_offset);
	p->outer_src =
	    addr_to_v4(f->node->config.address) + (r->flags & RECORD_STRANGER ? 0 : to_be32(1));
	fix_checksums(p, r->flags, f->node->config.backend);
	return p;
}

/* A copy of a packet that was just made, in a block of its own. */
static struct packet *copy_of(const struct packet *p)
{
	size_t bytes = sizeof(*p) + PACKET_HEADROOM + p->len;
	struct packet *q = malloc(bytes);

	expect(q != NULL);
	memcpy(q, p, bytes);
	q->data = q->buffer + PACKET_HEADROOM;
	return q;
}

/* The straight line through stage_parse makes of a packet what the general way makes of it. */
static void expect_one_parse(struct fixture *f, const struct packet *p)
{
	struct stage_ctx ctx = pipeline_context(f->node, now_ns);
	struct packet *a = copy_of(p), *b = copy_of(p);
	struct batch one = {.count = 1, .pkt = {a}};

	a->flags &= (uint16_t)~PACKET_MARKED;
	b->flags &= (uint16_t)~PACKET_MARKED;
	stage_parse(&ctx, &one);
	stage_parse_any(&ctx, b);
	expect(a->verdict == b->verdict && a->drop == b->drop && a->flags == b->flags);
	expect(flow_key_equal(&a->key, &b->key) && a->hash == b->hash);
	expect(a->len == b->len && a->l4_off == b->l4_off && a->hdr_len == b->hdr_len);
	free(a);
	free(b);
}

static void run(struct fixture *f, struct batch *b)
{
	if (!b->count)
		return;
	for (unsigned i = 0; i < b->count; i++)
		if (b->pkt[i]->in->role != IFACE_WIRE)
			expect_one_parse(f, b->pkt[i]);
	(void)tables_enter(f->tables, 0);
	pipeline_run(f->node, b, now_ns);
	tables_leave(f->tables, 0);
	expect(b->count == 0);
}

/* As if freshly made, so that inputs are reproducible one by one: everything remembered is too old.
 * Long before the clock ends, everything is made anew.
 */
static struct fixture *fresh(unsigned setup)
{
	struct fixture **f = &fixtures[setup];

	now_ns += RESET_NS;
	if (now_ns > UINT64_MAX / 2) {
		for (size_t i = 0; i < ARRAY_SIZE(fixtures); i++) {
			fixture_free(fixtures[i]);
			fixtures[i] = NULL;
		}
		now_ns = NS_PER_S;
	}
	if (!*f)
		*f = fixture_new(setup, send);
	while (flow_table_count((*f)->node->flows))
		(void)flow_table_expire((*f)->node->flows, now_ns, 4096);
	expect(!(*f)->node->load || load_table_count((*f)->node->load) == 0);
	(*f)->node->random = 1;
	(*f)->node->stats = (struct node_stats){0};
	sent = 0;
	received = 0;
	return *f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data + 1, *end = data + size;
	struct batch b = {0};
	struct record r;
	struct packet *p;
	uint64_t drops = 0;

	if (size < 1)
		return 0;
	struct fixture *f = fresh(data[0] % ARRAY_SIZE(fixtures));

	while ((p = next_packet(f, &at, end, &r)) != NULL) {
		if (!(r.flags & RECORD_SAME_BATCH) || b.count == BATCH_MAX)
			run(f, &b);
		if (r.flags & RECORD_LATER)
			now_ns += 60 * NS_PER_S;
		received++;
		b.pkt[b.count++] = p;
	}
	run(f, &b);
	for (size_t i = 0; i < DROP_REASON_COUNT; i++)
		drops += f->node->stats.drops[i];
	expect(received == sent + drops);
	return 0;
}
