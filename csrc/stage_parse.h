/* SPDX-License-Identifier: Apache-2.0 */
/* stage_parse.h - what the two ways through stage_parse share. Part of stage.
 *
 * stage_parse.c accepts plain packets in a straight line; stage_parse_any.c knows all packets and
 * why some are dropped. What the first accepts, the second would accept alike.
 */
#ifndef NETSIM_STAGE_PARSE_H
#define NETSIM_STAGE_PARSE_H

#include "stage.h"

/* The first 20 bytes of an IPv4 header in registers: what is stored in the packet meanwhile can not
 * be what was read.
 */
struct head {
	uint64_t first;  /* version_ihl to frag */
	uint64_t second; /* ttl to src */
	be32 dst;
};

static inline struct head head_load(const struct packet *p)
{
	struct head h;

	memcpy(&h.first, p->data, sizeof(h.first));
	memcpy(&h.second, p->data + 8, sizeof(h.second));
	memcpy(&h.dst, p->data + 16, sizeof(h.dst));
	return h;
}

static inline be32 head_src(const struct head *h)
{
	return (be32)(h->second >> 32);
}

static inline uint8_t head_proto(const struct head *h)
{
	return (uint8_t)(h->second >> 8);
}

static inline uint32_t head_total(const struct head *h)
{
	return from_be16((be16)(h->first >> 16));
}

static inline bool head_is_fragment(const struct head *h)
{
	return (h->first >> 48 & to_be16(IPV4_MF | IPV4_OFFSET)) != 0;
}

/* A ones' complement sum of all ones is a multiple of 65535; of 2^64 - 1 it may be taken first. */
static inline bool head_sums_up(const struct head *h)
{
	uint64_t rest = (uint64_t)head_src(h) + h->dst + (uint32_t)h->second;
	uint64_t sum = h->first + rest;

	sum += sum < rest;
	return sum % UINT16_MAX == 0;
}

/* 0/8, 127/8 and 224/3 (multicast, reserved, broadcast): never forwarded (RFC 1812 5.3.7). */
static inline bool never_forwarded(be32 addr)
{
	static const bool never[256] = {[0] = true, [127] = true, [224 ... 255] = true};

	return never[(uint8_t)addr];
}

/* Both ports as the first word of TCP, UDP and SCTP has them; the low half is the source port. */
static inline uint32_t ports_of(const uint8_t *l4)
{
	uint32_t ports;

	memcpy(&ports, l4, sizeof(ports));
	return ports;
}

/* As much of the key as is known, also of packets that are dropped: decision records show it. */
static inline void set_key(struct packet *p, const struct head *h, uint32_t ports, uint64_t seed)
{
	struct addr src = addr_from_v4(head_src(h)), dst = addr_from_v4(h->dst);
	struct flow_words words = {
	    {src.w[0], src.w[1], dst.w[0], dst.w[1], ports | (uint64_t)head_proto(h) << 32}};

	p->key = flow_key_from_words(words);
	p->hash = flow_words_hash(&words, seed);
}

/**
 * stage_parse_any() - Parse a packet of any kind, or drop it with the reason
 * @p:		verdict VERDICT_CONTINUE
 */
void stage_parse_any(const struct stage_ctx *ctx, struct packet *p);

#endif
