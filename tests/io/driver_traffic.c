/* SPDX-License-Identifier: Apache-2.0 */
/* driver_traffic.c - each pod asks services on UDP port 80 and answers what arrives for port 8080.
 */
#include "driver_traffic.h"

#include <unistd.h>

#include "base.h"
#include "checksum.h"

struct pod pods[NODES];
atomic_bool enough;
_Atomic uint64_t asked, answered, orphaned, wrong;

be32 v4(unsigned a, unsigned b, unsigned c, unsigned d)
{
	return to_be32(a << 24 | b << 16 | c << 8 | d);
}

/* Completes the checksums, or leaves the UDP one partial. */
void datagram_finish(struct datagram *d, bool partial)
{
	uint16_t len = sizeof(d->udp) + sizeof(d->payload);
	uint64_t sum = checksum_pseudo_v4(d->ip.src, d->ip.dst, PROTO_UDP, len);

	d->vnet = (struct vnet_hdr){0};
	d->ip.version_ihl = 0x45;
	d->ip.total_len = to_be16((uint16_t)(sizeof(d->ip) + len));
	d->ip.proto = PROTO_UDP;
	d->ip.ttl = 64;
	d->ip.checksum = 0;
	d->ip.checksum = checksum_finish(checksum_partial(&d->ip, sizeof(d->ip), 0));
	d->udp.len = to_be16(len);
	d->udp.checksum = 0;
	if (partial) {
		d->vnet.flags = VNET_NEEDS_CSUM;
		d->vnet.csum_start = sizeof(d->ip);
		d->vnet.csum_offset = offsetof(struct udp_hdr, checksum);
		d->udp.checksum = checksum_fold(sum);
	} else {
		d->udp.checksum = checksum_finish(checksum_partial(&d->udp, len, sum));
	}
}

static void ask(const struct pod *from, uint64_t *random)
{
	uint64_t r = random_next(random);
	unsigned service = (unsigned)(r % SERVICES);
	/* no two services share a source port: a late answer to a forgotten flow would rightly be
	 * taken for the other's
	 */
	unsigned sport = 20000 + (unsigned)((r >> 8) % PORTS) * SERVICES + service;
	struct datagram d = {
	    .ip = {.src = from->addr, .dst = v4(10, 96, 0, 1 + service)},
	    .udp = {.sport = to_be16((uint16_t)sport), .dport = to_be16(80)},
	};

	memcpy(d.payload, &d.ip.dst, sizeof(d.ip.dst)); /* the answer must come from there */
	datagram_finish(&d, r >> 63);
	if (write(from->fd, &d, sizeof(d)) == sizeof(d))
		atomic_fetch_add(&asked, 1);
}

static void take(const struct pod *at)
{
	struct datagram d;
	ssize_t n;

	while ((n = read(at->fd, &d, sizeof(d))) > 0) {
		if ((size_t)n < sizeof(d) || d.ip.proto != PROTO_UDP)
			continue; /* an ICMP error */
		if (d.udp.dport == to_be16(8080)) {
			struct datagram back = d;

			back.ip.src = d.ip.dst;
			back.ip.dst = d.ip.src;
			back.ip.frag = 0;
			back.udp.sport = d.udp.dport;
			back.udp.dport = d.udp.sport;
			datagram_finish(&back, n & 1);
			(void)!write(at->fd, &back, sizeof(back));
		} else if (d.udp.sport == to_be16(8080)) {
			atomic_fetch_add(&orphaned, 1);
		} else if (memcmp(&d.ip.src, d.payload, sizeof(d.ip.src)) != 0 ||
			   d.udp.sport != to_be16(80)) {
			atomic_fetch_add(&wrong, 1);
		} else {
			atomic_fetch_add(&answered, 1);
		}
	}
}

void *traffic(void *context)
{
	unsigned mine = *(const unsigned *)context;
	uint64_t random = mine + 1;

	while (!atomic_load(&enough)) {
		for (unsigned n = mine; n < NODES; n += TRAFFIC) {
			ask(&pods[n], &random);
			take(&pods[n]);
		}
		usleep(500);
	}
	return NULL;
}
