/* SPDX-License-Identifier: Apache-2.0 */
/* packet.h - a packet, the batch it travels in, the pool it comes from, and why it died. Rank 1.
 *
 * A packet is contiguous bytes with headroom in front and, beside them, what the stages have
 * learned. Ownership: exactly one of pool, batch or iface ring holds a packet; a packet never
 * leaves its worker's pool.
 *
 * What a stage may read:
 *   after stage_tunnel (off)  data/len are the inner IPv4 packet
 *   after stage_parse         l4_off, key, hash, and the fragment fields are valid; every header
 *                             up to and including L4 lies inside len
 *   after stage_flow          of a tracked connection: reply, and to as its first packet decided
 *   after stage_service       to is the key that the packet will carry when it leaves
 *   after stage_route         out (and peer, for a wire) are set; the TTL is still unchanged
 *   after stage_translate     the bytes carry `to`; TTL decremented; flow remembered
 * A stage leaves packets alone whose verdict is no longer VERDICT_CONTINUE (except the ones that
 * its header says it takes).
 */
#ifndef NETSIM_PACKET_H
#define NETSIM_PACKET_H

#include "wire.h"

struct endpoint;
struct iface;
struct peer_row;
struct service;

enum {
	BATCH_MAX = 64,
	PACKET_HEADROOM = 224,     /* vnet header + outer IPv4 + UDP + VXLAN + Ethernet and more */
	PACKET_ROOM = 65536 + 128, /* a super-packet and a bit */
};

/* The one list of drop reasons: enum, names, texts and counters all come from here. */
#define DROP_REASONS(X)                                                                            \
	X(NONE, "none", "not dropped")                                                             \
	X(TRUNCATED, "truncated", "packet shorter than its headers claim")                         \
	X(BAD_VERSION, "bad-version", "IP version is not 4")                                       \
	X(BAD_HEADER, "bad-header", "IPv4 header length or total length is impossible")            \
	X(BAD_CHECKSUM, "bad-checksum", "IPv4 header checksum is wrong")                           \
	X(BAD_OPTIONS, "bad-options", "IPv4 options are malformed or source-route the packet")     \
	X(BAD_L4, "bad-l4", "transport header is malformed or longer than the packet")             \
	X(BAD_ADDRESS, "bad-address", "source or destination address can not be forwarded")        \
	X(MULTICAST, "multicast", "multicast or broadcast, which no backend carries")              \
	X(SPOOFED, "spoofed", "source address does not belong to the pod")                         \
	X(FRAGMENT_ORPHAN, "fragment-orphan",                                                      \
	  "fragment came without or before its first fragment")                                    \
	X(TUNNEL_SHORT, "tunnel-short", "tunnel packet shorter than its headers")                  \
	X(TUNNEL_BAD, "tunnel-bad", "tunnel header flags or inner Ethernet type not understood")   \
	X(TUNNEL_VNI, "tunnel-vni", "tunnel packet for another VNI")                               \
	X(TUNNEL_STRANGER, "tunnel-stranger", "tunnel packet from an address that is not a node")  \
	X(TUNNEL_MAC, "tunnel-mac", "inner Ethernet frame is not addressed to this node")          \
	X(TUNNEL_TTL, "tunnel-ttl", "TTL reached zero inside the flannel udp proxy")               \
	X(NO_ENDPOINT, "no-endpoint", "service has no endpoints and the sender can not be told")   \
	X(NO_LOCAL_ENDPOINT, "no-local-endpoint",                                                  \
	  "service has endpoints but none on this node, and its traffic policy is Local")          \
	X(SOURCE_RANGE, "source-range", "source is not in the service's loadBalancerSourceRanges") \
	X(NO_SERVICE_PORT, "no-service-port",                                                      \
	  "address in the service range, but no service listens on this port")                     \
	X(LEAK, "leak-to-gateway",                                                                 \
	  "no service has this address: it would leave by the node's default route")               \
	X(NO_ROUTE, "no-route", "no route to the destination and the sender can not be told")      \
	X(NO_POD, "no-pod", "no pod has this address and the sender can not be told")              \
	X(TTL_EXCEEDED, "ttl-exceeded", "TTL reached zero and the sender can not be told")         \
	X(TOO_BIG, "too-big",                                                                      \
	  "bigger than the MTU, may not be fragmented, sender can not be told")                    \
	X(ICMP_UNRELATED, "icmp-unrelated", "ICMP error about no connection that is known here")   \
	X(FLOW_FULL, "flow-full", "connection table is full")                                      \
	X(FLOW_INVALID, "flow-invalid", "packet does not fit the state of its connection")         \
	X(INSERT_FAILED, "insert-failed",                                                          \
	  "another packet was first to begin a connection with one of its keys")                   \
	X(NO_SOURCE_PORT, "no-source-port", "no free source port left to masquerade with")         \
	X(LOOP, "loop", "packet would leave through the iface that it came from")                  \
	X(IFACE_DOWN, "iface-down", "the iface to leave through is gone or down")                  \
	X(IFACE_FULL, "iface-full", "the receiver's queue is full")                                \
	X(IFACE_ERROR, "iface-error", "the operating system refused the packet")                   \
	X(WIRE_OVERFLOW, "wire-overflow",                                                          \
	  "the kernel's buffer of the tunnel socket was full before it was read")                  \
	X(RING_FULL, "ring-full", "the ring to another worker is full")                            \
	X(POOL_EMPTY, "pool-empty", "no free packet buffer")

enum drop_reason {
#define X(id, name, text) DROP_##id,
	DROP_REASONS(X) DROP_REASON_COUNT
#undef X
};

/**
 * drop_reason_name() - Stable machine name of a drop reason, for counters and JSON
 * @reason:	any value below DROP_REASON_COUNT
 */
const char *drop_reason_name(enum drop_reason reason);

/**
 * drop_reason_text() - The sentence that users read
 * @reason:	any value below DROP_REASON_COUNT
 */
const char *drop_reason_text(enum drop_reason reason);

enum verdict {
	VERDICT_CONTINUE, /* the next stage looks at it */
	VERDICT_REPLY, /* answer with the ICMP error in reply_type/code/mtu; stage_reply makes it */
	VERDICT_FORWARD, /* leaves through out */
	VERDICT_DROP,    /* dies for drop */
};

enum packet_flags {
	PACKET_NEEDS_CSUM = 1 << 0,     /* L4 checksum holds the pseudo-header sum only */
	PACKET_FRAGMENT = 1 << 1,       /* any fragment */
	PACKET_FRAGMENT_LATER = 1 << 2, /* not the first: no L4 header in the bytes */
	PACKET_MAY_FRAGMENT = 1 << 3,   /* bigger than the MTU, DF clear: the iface cuts it */
	PACKET_MARKED = 1 << 4,         /* stages write decision records */
	PACKET_ICMP_ERROR = 1 << 5,     /* key is that of the quoted packet, reversed */
	PACKET_NEW_FLOW = 1 << 6,       /* stage_translate must remember it */
	PACKET_ROUTED = 1 << 7,         /* crosses a router: TTL goes down by one */
	PACKET_TRANSLATED = 1 << 8,     /* of a known flow: to differs from key */
};

/* In three cache lines: what most stages touch, the key as it came, the key as it goes. */
struct packet {
	uint8_t *data;    /* first byte now: tunnel header or IPv4 header */
	uint32_t len;     /* bytes from data */
	uint16_t flags;   /* enum packet_flags */
	uint8_t verdict;  /* enum verdict; with flags in one word: see packet_word() */
	uint8_t gso_type; /* VNET_GSO_* */

	/* segmentation, as virtio means it. An iface that is not a wire puts the vnet header's
	 * csum_start into l4_off; stage_parse drops the packet if that is not where L4 begins
	 */
	uint16_t l4_off; /* from data */
	uint16_t gso_size;
	uint16_t hdr_len;     /* IP + L4 header bytes of a super-packet; stage_parse finds it */
	uint16_t csum_offset; /* of the checksum field from csum_start */

	uint32_t hash; /* of key, with the node's seed: endpoint choice, outer source port */
	uint8_t drop;  /* enum drop_reason */
	uint8_t reply_type;
	uint8_t reply_code;
	bool reply; /* travels in the flow's reply direction */
	struct iface *in;
	struct iface *out;
	const struct peer_row *peer; /* far end when out is a wire */

	/* outer addressing of a tunnel packet: filled by the wire iface on receipt, by stage_tunnel
	 * on the way out
	 */
	be32 outer_src;
	be32 outer_dst;
	be16 outer_sport;
	be16 outer_dport;

	uint16_t reply_mtu;
	uint16_t masquerade; /* nonzero: the node's address becomes the source */
	struct flow_key key; /* as it arrived */
	uint8_t trace_count; /* records written so far for a marked packet */
	uint32_t trace_id;
	struct packet *next; /* pool's free list; unused elsewhere */

	struct flow_key to;              /* as it leaves */
	const struct service *service;   /* stage_service's decision for a new flow */
	const struct endpoint *endpoint; /* with service */

	uint8_t buffer[]; /* PACKET_HEADROOM + PACKET_ROOM bytes */
};
static_assert(offsetof(struct packet, buffer) <= (size_t)3 * CACHE_LINE, "what the stages learn");
static_assert((offsetof(struct packet, buffer) + PACKET_HEADROOM) % CACHE_LINE == 24,
	      "22 bytes of VXLAN and Ethernet before it, IPv4 and L4 headers share a line");

/* Filled by ifaces: count and pkt. The bits, one per packet, are the pipeline's own: they save the
 * stages that few packets need a look at all.
 */
struct batch {
	unsigned count;
	struct packet *pkt[BATCH_MAX];
	uint64_t fresh;   /* PACKET_NEW_FLOW is set */
	uint64_t refused; /* VERDICT_REPLY */
};
static_assert(BATCH_MAX <= 64, "one bit per packet");

/* A worker's own packets, made once. */
struct packet_pool;

/**
 * packet_pool_new() - Make a pool of packets in one allocation
 * @out:	the pool, on success
 * @count:	packets in it
 *
 * Return: 0, -ENOMEM.
 */
int packet_pool_new(struct packet_pool **out, unsigned count);

/**
 * packet_pool_free() - Free the pool; every packet must be back in it
 * @pool:	pool or NULL
 */
void packet_pool_free(struct packet_pool *pool);

/**
 * packet_pool_touch() - Have the memory of all packets now rather than on the packet path
 * @pool:	the calling worker's pool
 */
void packet_pool_touch(struct packet_pool *pool);

/**
 * packet_take() - Take a packet: metadata zeroed, data at the end of the headroom, len 0
 * @pool:	the calling worker's pool
 *
 * Return: the packet, NULL if the pool is empty.
 */
struct packet *packet_take(struct packet_pool *pool);

/**
 * packet_give() - Put a packet back
 * @pool:	the pool it came from
 * @p:		packet; not to be used afterwards
 */
void packet_give(struct packet_pool *pool, struct packet *p);

/**
 * packet_pool_left() - How many packets can still be taken
 * @pool:	the calling worker's pool
 */
unsigned packet_pool_left(const struct packet_pool *pool);

static inline uint8_t *packet_l4(const struct packet *p)
{
	return p->data + p->l4_off;
}

static inline struct ipv4_hdr *packet_ipv4(const struct packet *p)
{
	return (struct ipv4_hdr *)(void *)p->data;
}

static inline size_t packet_headroom(const struct packet *p)
{
	return (size_t)(p->data - p->buffer);
}

/* flags, verdict and gso_type as one word, so that many of them are one test. */
static inline uint32_t packet_word(const struct packet *p)
{
	uint32_t word;

	static_assert(offsetof(struct packet, verdict) == offsetof(struct packet, flags) + 2 &&
			  offsetof(struct packet, gso_type) == offsetof(struct packet, flags) + 3,
		      "in a row");
	memcpy(&word, (const char *)p + offsetof(struct packet, flags), sizeof(word));
	return word;
}

enum {
	PACKET_WORD_ODD = PACKET_FRAGMENT | PACKET_FRAGMENT_LATER | PACKET_MARKED |
			  PACKET_ICMP_ERROR | 0xff << 16,
};
#define PACKET_WORD_GSO UINT32_C(0xff000000)

/* What hardly any packet is: decided upon, a fragment, marked, or an ICMP error. One test, so that
 * a stage's common case need not look at each.
 */
static inline bool packet_is_odd(const struct packet *p)
{
	return (packet_word(p) & PACKET_WORD_ODD) != 0;
}

/* Odd or a super-packet. */
static inline bool packet_is_odd_or_super(const struct packet *p)
{
	return (packet_word(p) & (PACKET_WORD_ODD | PACKET_WORD_GSO)) != 0;
}

static inline void packet_drop(struct packet *p, enum drop_reason why)
{
	p->verdict = VERDICT_DROP;
	p->drop = (uint8_t)why;
}

static inline void packet_reply(struct packet *p, uint8_t type, uint8_t code, enum drop_reason why)
{
	p->verdict = VERDICT_REPLY;
	p->reply_type = type;
	p->reply_code = code;
	p->drop = (uint8_t)why; /* counted if no answer may be sent */
}

#endif
