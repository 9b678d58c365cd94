/* SPDX-License-Identifier: Apache-2.0 */
/* driver_traffic.h - the engine driver's pods: they ask services and answer each other. */
#ifndef NETSIM_DRIVER_TRAFFIC_H
#define NETSIM_DRIVER_TRAFFIC_H

#include <stdatomic.h>

#include "wire.h"

enum { NODES = 6, SERVICES = 8, TRAFFIC = 2, PORTS = 250, PAYLOAD = 64 };

struct pod {
	int fd; /* the pod's own end */
	be32 addr;
	uint32_t iface;
};

struct datagram {
	struct vnet_hdr vnet;
	struct ipv4_hdr ip;
	struct udp_hdr udp;
	uint8_t payload[PAYLOAD];
} __attribute__((packed));

extern struct pod pods[NODES];
extern atomic_bool enough; /* ends the traffic */
extern _Atomic uint64_t asked, answered, orphaned, wrong;

be32 v4(unsigned a, unsigned b, unsigned c, unsigned d);

/* Completes the checksums, or leaves the UDP one partial. */
void datagram_finish(struct datagram *d, bool partial);

/* A thread for every TRAFFICth pod from *(unsigned *)context on. */
void *traffic(void *context);

#endif
