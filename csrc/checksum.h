/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.h - Internet checksum (RFC 1071), its updates (RFC 1624), CRC32c (RFC 9260). Rank 0. */
#ifndef NETSIM_CHECKSUM_H
#define NETSIM_CHECKSUM_H

#include "base.h"

/**
 * checksum_partial() - Ones' complement sum of bytes, not folded, not inverted
 * @data:	any alignment
 * @len:	bytes; an odd last byte counts as if followed by zero
 * @sum:	to add to
 *
 * Sums may be chained only over even lengths.
 */
uint64_t checksum_partial(const void *data, size_t len, uint64_t sum);

/**
 * checksum_partial_copy() - The same while copying @src to @dst
 */
uint64_t checksum_partial_copy(void *dst, const void *src, size_t len, uint64_t sum);

/* A half plus the other, and the carry of the lower halves, in the upper half. */
static inline be16 checksum_fold32(uint32_t sum)
{
	return (be16)((sum + (sum << 16 | sum >> 16)) >> 16);
}

/* Fold to 16 bits, not inverted: what a PACKET_NEEDS_CSUM field holds of the pseudo-header. */
static inline be16 checksum_fold(uint64_t sum)
{
	return checksum_fold32((uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32));
}

/* What a sum changes by when eight bytes that it covers do: a difference modulo 2^64 - 1. */
static inline uint64_t checksum_change(uint64_t from, uint64_t to)
{
	return to - from - (to < from);
}

/* The same of four bytes, modulo 2^32 - 1. */
static inline uint32_t checksum_change32(uint32_t from, uint32_t to)
{
	return to - from - (to < from);
}

static inline be16 checksum_finish(uint64_t sum)
{
	return (be16)~checksum_fold(sum);
}

/* Pseudo-header of RFC 9293 3.1 / RFC 768, unfolded. @len: of the L4 header and payload. */
static inline uint64_t checksum_pseudo_v4(be32 src, be32 dst, uint8_t proto, uint16_t len)
{
	return (uint64_t)src + dst + to_be16(proto) + to_be16(len);
}

/* RFC 1624 eqn. 3 on a 16-bit field that covers the word. */
static inline be16 checksum_update16(be16 check, be16 from, be16 to)
{
	uint32_t sum = (uint32_t)(uint16_t)~check + (uint16_t)~from + to;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (be16)~sum;
}

static inline be16 checksum_update32(be16 check, be32 from, be32 to)
{
	check = checksum_update16(check, (be16)from, (be16)to);
	return checksum_update16(check, (be16)(from >> 16), (be16)(to >> 16));
}

/**
 * crc32c() - CRC32c (Castagnoli) of bytes, as SCTP carries it (store little endian)
 * @data:	bytes
 * @len:	count
 * @crc:	0 to begin, or the result of the preceding piece
 */
uint32_t crc32c(const void *data, size_t len, uint32_t crc);

#endif
