/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.c - Internet checksum and CRC32c.
 *
 * Theory: a ones' complement sum of 16-bit words may be taken over wider words and folded at the
 * end (RFC 1071 2). Each 64-bit word is added as two 32-bit halves to 64-bit accumulators, which
 * can not overflow below 16 GiB, so no carry is ever looked at, and the compiler's vector types
 * make it 64 bytes per turn on any target. CRC32c uses the processor's instruction where there is
 * one, else a table of 256 words.
 */
#include "checksum.h"

typedef uint64_t vec __attribute__((vector_size(16)));

enum { BLOCK = 4 * sizeof(vec) };

static const vec low_half = {UINT32_MAX, UINT32_MAX};

static inline vec load(const uint8_t *p)
{
	vec v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline vec halves(vec v)
{
	return (v & low_half) + (v >> 32);
}

/* What is left of fewer than BLOCK bytes. */
static inline uint64_t sum_tail(const uint8_t *p, size_t len, uint64_t sum)
{
	uint64_t w8;
	uint32_t w4;
	uint16_t w2;

	for (; len >= sizeof(w8); p += sizeof(w8), len -= sizeof(w8)) {
		memcpy(&w8, p, sizeof(w8));
		sum += (uint32_t)w8;
		sum += w8 >> 32;
	}
	if (len & 4) {
		memcpy(&w4, p, sizeof(w4));
		sum += w4;
		p += sizeof(w4);
	}
	if (len & 2) {
		memcpy(&w2, p, sizeof(w2));
		sum += w2;
		p += sizeof(w2);
	}
	if (len & 1)
		sum += *p;
	return sum;
}

uint64_t checksum_partial(const void *data, size_t len, uint64_t sum)
{
	const uint8_t *p = data;

	if (len >= BLOCK) {
		vec a = {0}, b = {0}, c = {0}, d = {0};

		for (; len >= BLOCK; p += BLOCK, len -= BLOCK) {
			a += halves(load(p));
			b += halves(load(p + 16));
			c += halves(load(p + 32));
			d += halves(load(p + 48));
		}
		a += b + c + d;
		sum += a[0] + a[1];
	}
	return sum_tail(p, len, sum);
}

uint64_t checksum_partial_copy(void *dst, const void *src, size_t len, uint64_t sum)
{
	const uint8_t *p = src;
	uint8_t *to = dst;

	if (len >= BLOCK) {
		vec a = {0}, b = {0};

		for (; len >= BLOCK; p += BLOCK, to += BLOCK, len -= BLOCK) {
			vec v[4] = {load(p), load(p + 16), load(p + 32), load(p + 48)};

			memcpy(to, v, sizeof(v));
			a += halves(v[0]) + halves(v[1]);
			b += halves(v[2]) + halves(v[3]);
		}
		a += b;
		sum += a[0] + a[1];
	}
	memcpy(to, p, len);
	return sum_tail(p, len, sum);
}

enum { CRC32C_POLYNOMIAL = 0x82f63b78 }; /* RFC 9260 appendix A, bits reversed */

static uint32_t crc_table[256];

__attribute__((constructor)) static void crc_table_fill(void)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(crc_table); i++) {
		uint32_t c = i;

		for (unsigned bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ (uint32_t)CRC32C_POLYNOMIAL : c >> 1;
		crc_table[i] = c;
	}
}

static uint32_t crc_by_table(const uint8_t *p, size_t len, uint32_t crc)
{
	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ crc_table[(uint8_t)crc ^ p[i]];
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(const uint8_t *p, size_t len,
								     uint32_t crc)
{
	uint64_t c = crc, w;

	for (; len >= sizeof(w); p += sizeof(w), len -= sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		c = __builtin_ia32_crc32di(c, w);
	}
	crc = (uint32_t)c;
	for (; len; p++, len--)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return crc;
}

static uint32_t crc_update(const uint8_t *p, size_t len, uint32_t crc)
{
	if (__builtin_cpu_supports("sse4.2"))
		return crc_by_instruction(p, len, crc);
	return crc_by_table(p, len, crc);
}
#else
static uint32_t crc_update(const uint8_t *p, size_t len, uint32_t crc)
{
	return crc_by_table(p, len, crc);
}
#endif

uint32_t crc32c(const void *data, size_t len, uint32_t crc)
{
	return ~crc_update(data, len, ~crc);
}
