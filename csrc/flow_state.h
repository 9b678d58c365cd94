/* SPDX-License-Identifier: Apache-2.0 */
/* flow_state.h - one tracked connection: its record, its states, their timeouts. Part of
 * flow_table.
 *
 * Rank 1. States and timeouts are those of Linux nf_conntrack
 * (net/netfilter/nf_conntrack_proto_*.c) with the two values that kube-proxy sets (P-85): TCP
 * established 24 h, CLOSE_WAIT 1 h.
 */
#ifndef NETSIM_FLOW_STATE_H
#define NETSIM_FLOW_STATE_H

#include "wire.h"

enum flow_state {
	FLOW_NEW,      /* UDP, ICMP, other: no answer seen */
	FLOW_REPLIED,  /* UDP and others: answer seen */
	FLOW_SYN_SENT, /* TCP, as nf_conntrack names them */
	FLOW_SYN_RECV,
	FLOW_ESTABLISHED, /* SCTP too */
	FLOW_FIN_WAIT,
	FLOW_CLOSE_WAIT,
	FLOW_LAST_ACK,
	FLOW_TIME_WAIT,
	FLOW_CLOSE,
	FLOW_SYN_SENT2,
	FLOW_STATE_COUNT
};

enum flow_flags {
	FLOW_TRANSLATED = 1 << 0,  /* destination was rewritten (service) */
	FLOW_MASQUERADED = 1 << 1, /* source was rewritten */
	FLOW_SEEN_REPLY = 1 << 2,
	FLOW_ASSURED = 1 << 3,
};

enum { FLOW_NO_SLOT = UINT32_MAX };

/* Between the keys lies what both directions need, so that either touches 64 bytes in a row. A
 * change of this layout changes FLOW_ARENA_VERSION.
 */
struct flow {
	struct flow_key original;
	uint64_t expires_ns;
	uint32_t service;       /* service.id of a translated flow */
	uint32_t endpoint_slot; /* FLOW_NO_SLOT if not translated */
	uint32_t endpoint_generation;
	uint8_t commit; /* written last; flow_table.c's own */
	uint8_t born;   /* UDP: when it began, in quarters of a second */
	uint8_t state;  /* enum flow_state */
	uint8_t flags;  /* enum flow_flags */
	struct flow_key reply;
};
static_assert(sizeof(struct flow) == 104, "with its share of the index, a flow fits in 128 bytes");

enum { FLOW_COMMIT = 0xf1 }; /* flow.commit of a whole record */

/* Time in quarters of a second, modulo 64 s. */
static inline uint8_t flow_quarters(uint64_t now_ns)
{
	return (uint8_t)(now_ns / (NS_PER_S / 4));
}

/**
 * flow_first_state() - State that a connection's first packet puts it in
 * @proto:	PROTO_*
 * @tcp_flags:	TCP only
 * @state:	the state
 *
 * Return: false if such a packet can not begin a connection (TCP SYN+ACK, RST, SYN+FIN...). A bare
 *         ACK begins one in ESTABLISHED, as with nf_conntrack_tcp_loose.
 */
bool flow_first_state(uint8_t proto, uint8_t tcp_flags, enum flow_state *state);

/**
 * flow_advance() - Move a flow's state by one packet and renew its timeout
 * @f:		flow
 * @reply:	direction of the packet
 * @tcp_flags:	TCP only
 * @now_ns:	time
 *
 * Return: false if the packet is invalid in this state: it must be dropped, the flow is unchanged.
 */
bool flow_advance(struct flow *f, bool reply, uint8_t tcp_flags, uint64_t now_ns);

/* The timeouts of connections that go on as they did. */
enum {
	FLOW_TCP_ESTABLISHED_S = 86400, /* kube-proxy; the kernel alone: 5 days */
	FLOW_UDP_S = 30,
	FLOW_UDP_STREAM_S = 120,
};

/* What flow_tcp_goes_on() asks for, as the four bytes from commit on. */
#define FLOW_STEADY_MASK UINT32_C(0x08ff00ff)
#define FLOW_STEADY      UINT32_C(0x080400f1)
static_assert(FLOW_STEADY ==
		  (FLOW_COMMIT | (uint32_t)FLOW_ESTABLISHED << 16 | (uint32_t)FLOW_ASSURED << 24),
	      "whole, assured and ESTABLISHED");
static_assert(offsetof(struct flow, state) == offsetof(struct flow, commit) + 2 &&
		  offsetof(struct flow, flags) == offsetof(struct flow, commit) + 3,
	      "in a row");

/**
 * flow_tcp_goes_on() - flow_advance() for an ACK of an assured TCP connection, that is not over
 *
 * It changes nothing but the time. Return: false, and nothing is done, for all others.
 */
static inline bool flow_tcp_goes_on(struct flow *f, uint8_t tcp_flags, uint64_t now_ns)
{
	uint32_t word;

	memcpy(&word, (const char *)f + offsetof(struct flow, commit), sizeof(word));
	if (UNLIKELY((word & FLOW_STEADY_MASK) != FLOW_STEADY) ||
	    UNLIKELY((tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG)) != TCP_ACK))
		return false;
	f->expires_ns = now_ns + FLOW_TCP_ESTABLISHED_S * NS_PER_S;
	return true;
}

/**
 * flow_udp_goes_on() - The same for a datagram of an assured stream or of one without an answer
 */
static inline bool flow_udp_goes_on(struct flow *f, bool reply, uint64_t now_ns)
{
	uint8_t assured = f->flags & FLOW_ASSURED;

	if (UNLIKELY(!assured && (reply || f->flags & FLOW_SEEN_REPLY)))
		return false;
	f->expires_ns = now_ns + (assured ? FLOW_UDP_STREAM_S : FLOW_UDP_S) * NS_PER_S;
	return true;
}

/**
 * flow_reopens() - Whether a SYN starts the connection anew
 *
 * True in TIME_WAIT and, in the original direction, CLOSE, as nf_conntrack: the caller removes the
 * flow and begins a new one with the packet as its first.
 */
bool flow_reopens(const struct flow *f, bool reply, uint8_t tcp_flags);

/**
 * flow_timeout_s() - Timeout of a state, for tests and `get conntrack`
 * @proto:	PROTO_*
 * @state:	enum flow_state
 * @flags:	enum flow_flags (UDP: 30 s, 120 s once assured: a stream)
 */
uint32_t flow_timeout_s(uint8_t proto, enum flow_state state, uint8_t flags);

const char *flow_state_name(uint8_t proto, enum flow_state state);

#endif
