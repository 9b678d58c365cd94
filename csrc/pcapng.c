/* SPDX-License-Identifier: Apache-2.0 */
/* pcapng.c - blocks: type, length, body, options, length again; everything padded to 32 bits. */
#include "pcapng.h"

#include <stdio.h>
#include <sys/utsname.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,

	OPTION_END = 0,
	SHB_HARDWARE = 2,
	SHB_OS = 3,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_TSRESOL = 9,
	EPB_FLAGS = 2,
	ISB_STARTTIME = 2,
	ISB_ENDTIME = 3,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
};

/* A block being written. Once something did not fit, nothing more is written. */
struct block {
	uint8_t *at;
	size_t room;
	size_t len;
	bool full;
};

static void put(struct block *b, const void *bytes, size_t len)
{
	static const uint8_t zeros[4];
	size_t pad = (4 - len % 4) % 4;

	if (b->full || b->room - b->len < len + pad) {
		b->full = true;
		return;
	}
	memcpy(b->at + b->len, bytes, len);
	memcpy(b->at + b->len + len, zeros, pad);
	b->len += len + pad;
}

static void put32(struct block *b, uint32_t v)
{
	put(b, &v, sizeof(v));
}

static void put_time(struct block *b, uint64_t ns)
{
	put32(b, (uint32_t)(ns >> 32));
	put32(b, (uint32_t)ns);
}

static void put_option(struct block *b, uint16_t code, const void *value, size_t len)
{
	put32(b, (uint32_t)(code | len << 16));
	put(b, value, len);
}

static void put_text(struct block *b, uint16_t code, const char *text)
{
	if (text && *text)
		put_option(b, code, text, strlen(text));
}

static struct block block_begin(uint8_t *to, size_t room, uint32_t type)
{
	struct block b = {.at = to, .room = room};

	put32(&b, type);
	put32(&b, 0);
	return b;
}

static size_t block_end(struct block *b)
{
	uint32_t total = (uint32_t)b->len + 4;

	put32(b, total);
	if (b->full)
		return 0;
	memcpy(b->at + 4, &total, sizeof(total));
	return b->len;
}

static size_t section(uint8_t *to, size_t room)
{
	struct block b = block_begin(to, room, BLOCK_SECTION);
	struct utsname system;
	char os[sizeof(system.sysname) + sizeof(system.release) + 1];
	uint64_t unknown_length = UINT64_MAX;

	put32(&b, BYTE_ORDER_MAGIC);
	put32(&b, 1); /* version 1.0 */
	put(&b, &unknown_length, sizeof(unknown_length));
	if (uname(&system) == 0) {
		put_text(&b, SHB_HARDWARE, system.machine);
		(void)snprintf(os, sizeof(os), "%s %s", system.sysname, system.release);
		put_text(&b, SHB_OS, os);
	}
	put_text(&b, SHB_USERAPPL, "netsim");
	put32(&b, OPTION_END);
	return block_end(&b);
}

size_t pcapng_head(uint8_t *to, size_t room, const char *name, const char *description,
		   uint16_t linktype, uint32_t snaplen)
{
	static const uint8_t nanoseconds = 9;
	size_t first = section(to, room);
	struct block b = block_begin(to + first, room - first, BLOCK_INTERFACE);
	size_t second;

	put32(&b, linktype);
	put32(&b, snaplen);
	put_text(&b, IF_NAME, name);
	put_text(&b, IF_DESCRIPTION, description);
	put_option(&b, IF_TSRESOL, &nanoseconds, sizeof(nanoseconds));
	put32(&b, OPTION_END);
	second = block_end(&b);
	return first && second ? first + second : 0;
}

size_t pcapng_packet(uint8_t *to, size_t room, const struct pcapng_packet *packet, const void *data)
{
	struct block b = block_begin(to, room, BLOCK_PACKET);

	put32(&b, 0); /* the only interface */
	put_time(&b, packet->time_ns);
	put32(&b, packet->captured);
	put32(&b, packet->original);
	put(&b, data, packet->captured);
	put_option(&b, EPB_FLAGS, &packet->flags, sizeof(packet->flags));
	put32(&b, OPTION_END);
	return block_end(&b);
}

static void put_time_option(struct block *b, uint16_t code, uint64_t ns)
{
	uint32_t halves[2] = {(uint32_t)(ns >> 32), (uint32_t)ns};

	put_option(b, code, halves, sizeof(halves));
}

size_t pcapng_statistics(uint8_t *to, size_t room, const struct pcapng_stats *stats)
{
	struct block b = block_begin(to, room, BLOCK_STATISTICS);

	put32(&b, 0);
	put_time(&b, stats->time_ns);
	put_time_option(&b, ISB_STARTTIME, stats->start_ns);
	put_time_option(&b, ISB_ENDTIME, stats->time_ns);
	put_option(&b, ISB_IFRECV, &stats->received, sizeof(stats->received));
	put_option(&b, ISB_IFDROP, &stats->dropped, sizeof(stats->dropped));
	put32(&b, OPTION_END);
	return block_end(&b);
}
