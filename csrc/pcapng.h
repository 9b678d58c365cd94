/* SPDX-License-Identifier: Apache-2.0 */
/* pcapng.h - blocks of a capture file (draft-ietf-opsawg-pcapng), as bytes in a buffer. Rank 1.
 *
 * One section with one interface; little endian; time in nanoseconds. Each function returns the
 * bytes written, 0 if @room is too small.
 */
#ifndef NETSIM_PCAPNG_H
#define NETSIM_PCAPNG_H

#include "base.h"

enum {
	LINKTYPE_ETHERNET = 1,
	LINKTYPE_RAW = 101,   /* begins with the IP header */
	PCAPNG_OVERHEAD = 64, /* of one packet block, at most */
};

/**
 * pcapng_head() - Section header and interface description
 * @name:	of the interface
 * @description:	may be NULL
 * @snaplen:	bytes kept of each packet, 0: all
 */
size_t pcapng_head(uint8_t *to, size_t room, const char *name, const char *description,
		   uint16_t linktype, uint32_t snaplen);

struct pcapng_packet {
	uint64_t time_ns;
	uint32_t captured; /* bytes at data */
	uint32_t original; /* that the packet had */
	uint32_t flags;    /* epb_flags: 1 inbound, 2 outbound */
};

size_t pcapng_packet(uint8_t *to, size_t room, const struct pcapng_packet *packet,
		     const void *data);

struct pcapng_stats {
	uint64_t time_ns;
	uint64_t start_ns;
	uint64_t received; /* packets that should have been captured */
	uint64_t dropped;  /* of them, lost */
};

size_t pcapng_statistics(uint8_t *to, size_t room, const struct pcapng_stats *stats);

#endif
