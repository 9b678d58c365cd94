/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - header layouts as the RFCs fix them. Rank 0.
 *
 * Accessors are total once the owner has checked the length: check once (stage_parse), then read.
 * All structures are packed, so that they may lie at any offset of a packet.
 */
#ifndef NETSIM_WIRE_H
#define NETSIM_WIRE_H

#include "base.h"

enum {
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_SCTP = 132,
};

enum {
	ETHERTYPE_IPV4 = 0x0800,
	IPV4_DF = 0x4000,
	IPV4_MF = 0x2000,
	IPV4_OFFSET = 0x1fff,
	TTL_DEFAULT = 64,
};

/* RFC 791 3.1 */
struct ipv4_hdr {
	uint8_t version_ihl;
	uint8_t tos;
	be16 total_len;
	be16 id;
	be16 frag;
	uint8_t ttl;
	uint8_t proto;
	be16 checksum;
	be32 src;
	be32 dst;
} __attribute__((packed));
static_assert(sizeof(struct ipv4_hdr) == 20, "RFC 791");

/* RFC 9293 3.1 */
struct tcp_hdr {
	be16 sport;
	be16 dport;
	be32 seq;
	be32 ack;
	uint8_t data_off; /* header length in 32-bit words, high nibble */
	uint8_t flags;
	be16 window;
	be16 checksum;
	be16 urgent;
} __attribute__((packed));
static_assert(sizeof(struct tcp_hdr) == 20, "RFC 9293");

enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
	TCP_ECE = 0x40,
	TCP_CWR = 0x80,
};

/* RFC 768 */
struct udp_hdr {
	be16 sport;
	be16 dport;
	be16 len;
	be16 checksum;
} __attribute__((packed));
static_assert(sizeof(struct udp_hdr) == 8, "RFC 768");

/* RFC 9260 3.1; the checksum is CRC32c of the whole packet, ports included */
struct sctp_hdr {
	be16 sport;
	be16 dport;
	be32 vtag;
	uint32_t checksum; /* little endian on the wire (RFC 9260 appendix A) */
} __attribute__((packed));
static_assert(sizeof(struct sctp_hdr) == 12, "RFC 9260");

/* RFC 792 */
struct icmp_hdr {
	uint8_t type;
	uint8_t code;
	be16 checksum;
	union {
		struct {
			be16 id;
			be16 seq;
		} echo;
		struct {
			be16 unused;
			be16 mtu; /* RFC 1191: next-hop MTU of type 3 code 4 */
		} unreach;
		be32 rest;
	};
} __attribute__((packed));
static_assert(sizeof(struct icmp_hdr) == 8, "RFC 792");

enum {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_REDIRECT = 5,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER = 12,

	ICMP_NET_UNREACHABLE = 0,
	ICMP_HOST_UNREACHABLE = 1,
	ICMP_PORT_UNREACHABLE = 3,
	ICMP_FRAG_NEEDED = 4,
	ICMP_TTL_EXCEEDED = 0,
};

struct eth_hdr {
	uint8_t dst[6];
	uint8_t src[6];
	be16 type;
} __attribute__((packed));
static_assert(sizeof(struct eth_hdr) == 14, "IEEE 802.3");

/* RFC 7348 5 */
struct vxlan_hdr {
	uint8_t flags; /* 0x08: the VNI is valid */
	uint8_t reserved[3];
	uint8_t vni[3];
	uint8_t reserved2;
} __attribute__((packed));
static_assert(sizeof(struct vxlan_hdr) == 8, "RFC 7348");

enum { VXLAN_FLAG_VNI = 0x08 };

/* virtio 1.2 5.1.6: what a TUN device opened with IFF_VNET_HDR puts before each packet */
struct vnet_hdr {
	uint8_t flags; /* VNET_NEEDS_CSUM, VNET_DATA_VALID */
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
} __attribute__((packed));
static_assert(sizeof(struct vnet_hdr) == 10, "virtio_net_hdr");

enum {
	VNET_NEEDS_CSUM = 1,
	VNET_DATA_VALID = 2,
	VNET_GSO_NONE = 0,
	VNET_GSO_TCPV4 = 1,
	VNET_GSO_UDP_L4 = 5,
	VNET_GSO_ECN = 0x80,
};

#endif
