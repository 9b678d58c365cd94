/* SPDX-License-Identifier: Apache-2.0 */
/* base.h - types, byte order, addresses and hashing that everything else is built on.
 *
 * Rank 0. Includes nothing of ours. be16/be32 hold wire order; plain integers hold host order.
 */
#ifndef NETSIM_BASE_H
#define NETSIM_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t be16;
typedef uint32_t be32;

#define LIKELY(x)     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)   __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CACHE_LINE    64

/* What only prefetches has no effect to GCC (12), which drops calls of it unless they are inlined
 * before it looks.
 */
#define PREFETCHING static inline __attribute__((always_inline))

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

static inline be16 to_be16(uint16_t v)
{
	return __builtin_bswap16(v);
}

static inline be32 to_be32(uint32_t v)
{
	return __builtin_bswap32(v);
}

static inline uint16_t from_be16(be16 v)
{
	return __builtin_bswap16(v);
}

static inline uint32_t from_be32(be32 v)
{
	return __builtin_bswap32(v);
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte order helpers assume little endian");

/* An address of either family: 16 bytes in wire order, IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2).
 */
struct addr {
	uint64_t w[2];
};

#define ADDR_V4_PREFIX UINT64_C(0x00000000ffff0000) /* low half of w[1], little endian */

static inline struct addr addr_from_v4(be32 v4)
{
	return (struct addr){{0, ((uint64_t)v4 << 32) | ADDR_V4_PREFIX}};
}

static inline be32 addr_to_v4(struct addr a)
{
	return (be32)(a.w[1] >> 32);
}

static inline bool addr_is_v4(struct addr a)
{
	return a.w[0] == 0 && (uint32_t)a.w[1] == (uint32_t)ADDR_V4_PREFIX;
}

static inline bool addr_equal(struct addr a, struct addr b)
{
	return ((a.w[0] ^ b.w[0]) | (a.w[1] ^ b.w[1])) == 0;
}

/* 127.0.0.0/8 (RFC 1122 3.2.1.3). */
static inline bool addr_is_loopback(struct addr a)
{
	return addr_is_v4(a) && (uint8_t)addr_to_v4(a) == 127;
}

static inline struct addr addr_and(struct addr a, struct addr mask)
{
	return (struct addr){{a.w[0] & mask.w[0], a.w[1] & mask.w[1]}};
}

/* What names a flow in one direction. Ports are L4 ports; for ICMP echo both hold the identifier
 * (request: sport = id, dport = 0; reply: sport = 0, dport = id), for other protocols zero.
 */
struct flow_key {
	struct addr src;
	struct addr dst;
	be16 sport;
	be16 dport;
	uint8_t proto;
	uint8_t pad[3]; /* always zero: keys are compared and hashed as 40 bytes */
};
static_assert(sizeof(struct flow_key) == 40, "flow keys are hashed as five words");

/* A key as five words, so that it is made, compared and hashed in registers: a load of a word whose
 * halves were just stored one by one waits for the stores (measured: a quarter of the packet path).
 */
struct flow_words {
	uint64_t w[5];
};

static inline struct flow_words flow_key_words(const struct flow_key *k)
{
	struct flow_words out;

	memcpy(&out, k, sizeof(out));
	return out;
}

static inline struct flow_key flow_key_from_words(struct flow_words words)
{
	struct flow_key out;

	memcpy(&out, &words, sizeof(out));
	return out;
}

static inline uint64_t flow_key_word(const struct flow_key *k, unsigned i)
{
	uint64_t w;

	memcpy(&w, (const char *)k + i * sizeof(w), sizeof(w));
	return w;
}

/* From memory to memory, by what a processor moves at once. */
static inline void flow_key_reverse(struct flow_key *out, const struct flow_key *in)
{
	uint64_t word = flow_key_word(in, 4);
	uint32_t ports = (uint32_t)word;
	struct addr src = in->dst, dst = in->src;

	word = (word >> 32) << 32 | (ports << 16 | ports >> 16);
	memcpy(&out->src, &src, sizeof(src));
	memcpy(&out->dst, &dst, sizeof(dst));
	memcpy((char *)out + offsetof(struct flow_key, sport), &word, sizeof(word));
}

static inline struct flow_key flow_key_reversed(const struct flow_key *k)
{
	struct flow_key out;

	flow_key_reverse(&out, k);
	return out;
}

static inline bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
	uint64_t differ = flow_key_word(a, 0) ^ flow_key_word(b, 0);

	for (unsigned i = 1; i < sizeof(*a) / sizeof(uint64_t); i++)
		differ |= flow_key_word(a, i) ^ flow_key_word(b, i);
	return differ == 0;
}

/* Finalizer of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit. */
static inline uint64_t mix64(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* A name as a number, of any length; 64 bits, so that no two names of a cluster have one. */
static inline uint64_t name_number(const char *name, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ len; /* FNV-1a, then mixed */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
	return mix64(hash);
}

/* Both halves of a 128-bit product: every bit of one factor reaches most bits of the result. */
static inline uint64_t mix_product(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Seeded so that a stranger cannot choose tuples that share a bucket. Three products, as wyhash
 * folds its input; the first is of what is zero in IPv4 addresses, so that a loop over such keys
 * has it once.
 */
static inline uint32_t flow_words_hash(const struct flow_words *k, uint64_t seed)
{
	uint64_t high = mix_product(k->w[0] ^ seed, k->w[2] ^ UINT64_C(0x9e3779b97f4a7c15) ^ seed);
	uint64_t low = mix_product(k->w[1] ^ UINT64_C(0xc2b2ae3d27d4eb4f) ^ seed, k->w[3] ^ ~seed);

	return (uint32_t)mix_product(low ^ (high << 1 | high >> 63) ^ seed,
				     k->w[4] ^ UINT64_C(0x165667b19e3779f9));
}

static inline uint32_t flow_key_hash(const struct flow_key *k, uint64_t seed)
{
	struct flow_words words = flow_key_words(k);

	return flow_words_hash(&words, seed);
}

/* One step of splitmix64: the sequence for seed state @s. */
static inline uint64_t random_next(uint64_t *s)
{
	*s += UINT64_C(0x9e3779b97f4a7c15);
	return mix64(*s);
}

#endif
