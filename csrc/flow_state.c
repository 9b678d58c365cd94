/* SPDX-License-Identifier: Apache-2.0 */
/* flow_state.c - how packets move a connection's state, and how long a silent one is kept.
 *
 * Source of the rules: Linux net/netfilter/nf_conntrack_proto_tcp.c (states, loose pick-up, flags
 * that may go together), nf_conntrack_proto_{udp,icmp,sctp,generic}.c (timeouts). Sequence numbers
 * are not followed, as with nf_conntrack_tcp_be_liberal.
 *
 * Theory: a TCP packet is one of six kinds by its flags. A table row per (direction, kind) says for
 * each state what comes next: a state, KEEP (let it pass, change nothing: it may be a stray copy
 * that the far end will answer) or BAD (it fits no connection in this state).
 */
#include "flow_state.h"

enum tcp_kind { KIND_NONE, KIND_SYN, KIND_SYN_ACK, KIND_FIN, KIND_ACK, KIND_RST, KIND_COUNT };

enum { KEEP = 0x40, BAD = 0x80, TCP_KIND_FLAGS = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG };

/* What may go together; everything else is a scan or damage: KIND_NONE.
 * PSH, ECE and CWR do not matter. */
static const uint8_t tcp_kinds[TCP_KIND_FLAGS + 1] = {
    [TCP_SYN] = KIND_SYN,
    [TCP_SYN | TCP_URG] = KIND_SYN,
    [TCP_SYN | TCP_ACK] = KIND_SYN_ACK,
    [TCP_FIN | TCP_ACK] = KIND_FIN,
    [TCP_FIN | TCP_ACK | TCP_URG] = KIND_FIN,
    [TCP_ACK] = KIND_ACK,
    [TCP_ACK | TCP_URG] = KIND_ACK,
    [TCP_RST] = KIND_RST,
    [TCP_RST | TCP_ACK] = KIND_RST,
};

#define SS FLOW_SYN_SENT
#define SR FLOW_SYN_RECV
#define ES FLOW_ESTABLISHED
#define FW FLOW_FIN_WAIT
#define CW FLOW_CLOSE_WAIT
#define LA FLOW_LAST_ACK
#define TW FLOW_TIME_WAIT
#define CL FLOW_CLOSE
#define S2 FLOW_SYN_SENT2

enum { TCP_STATES = FLOW_STATE_COUNT - FLOW_SYN_SENT };

/* clang-format off */
static const uint8_t tcp_next[2][KIND_COUNT][TCP_STATES] = {
    {
	/*		    SS    SR    ES    FW    CW    LA    TW    CL    S2 */
	[KIND_SYN] =	 {  SS, KEEP, KEEP, KEEP, KEEP, KEEP,   SS,   SS,   S2},
	[KIND_SYN_ACK] = { BAD,   SR,  BAD,  BAD,  BAD,  BAD,  BAD,  BAD,   SR},
	[KIND_FIN] =	 { BAD,   FW,   FW,   LA,   LA,   LA,   TW,   CL,  BAD},
	[KIND_ACK] =	 { BAD,   ES,   ES,   CW,   CW,   TW,   TW,   CL,  BAD},
	[KIND_RST] =	 {  CL,   CL,   CL,   CL,   CL,   CL,   CL,   CL,   CL},
	[KIND_NONE] =	 { BAD,  BAD,  BAD,  BAD,  BAD,  BAD,  BAD,  BAD,  BAD},
    },
    {
	/* replies:	    SS    SR    ES    FW    CW    LA    TW    CL    S2 */
	[KIND_SYN] =	 {  S2,  BAD,  BAD,  BAD,  BAD,  BAD,   SS,  BAD,   S2},
	[KIND_SYN_ACK] = {  SR, KEEP, KEEP, KEEP, KEEP, KEEP, KEEP, KEEP,   SR},
	[KIND_FIN] =	 { BAD,   FW,   FW,   LA,   LA,   LA,   TW,   CL,  BAD},
	[KIND_ACK] =	 {KEEP,   SR,   ES,   CW,   CW,   TW,   TW,   CL, KEEP},
	[KIND_RST] =	 {  CL,   CL,   CL,   CL,   CL,   CL,   CL,   CL,   CL},
	[KIND_NONE] =	 { BAD,  BAD,  BAD,  BAD,  BAD,  BAD,  BAD,  BAD,  BAD},
    },
};

static const uint32_t tcp_timeouts_s[FLOW_STATE_COUNT] = {
    [FLOW_SYN_SENT] = 120,
    [FLOW_SYN_RECV] = 60,
    [FLOW_ESTABLISHED] = FLOW_TCP_ESTABLISHED_S,
    [FLOW_FIN_WAIT] = 120,
    [FLOW_CLOSE_WAIT] = 3600, /* kube-proxy; the kernel alone: 60 s */
    [FLOW_LAST_ACK] = 30,
    [FLOW_TIME_WAIT] = 120,
    [FLOW_CLOSE] = 10,
    [FLOW_SYN_SENT2] = 120,
};
/* clang-format on */

enum {
	TCP_UNANSWERED_S = 300,  /* picked up in mid-connection, no answer seen yet */
	UDP_STREAM_QUARTERS = 8, /* answered and still active after two seconds */
};

/* Protocols without states of their own: before and after an answer. */
struct plain_timeouts {
	uint32_t unanswered_s;
	uint32_t answered_s;
};

static const struct plain_timeouts plain_timeouts[] = {
    [0] = {600, 600}, /* all others: generic */
    [PROTO_ICMP] = {30, 30},
    [PROTO_UDP] = {FLOW_UDP_S, FLOW_UDP_STREAM_S},
    [PROTO_SCTP] = {30, 210}, /* chunks are not looked at: heartbeat, established */
};

static const char *const state_names[FLOW_STATE_COUNT] = {
    [FLOW_NEW] = "NEW",
    [FLOW_REPLIED] = "REPLIED",
    [FLOW_SYN_SENT] = "SYN_SENT",
    [FLOW_SYN_RECV] = "SYN_RECV",
    [FLOW_ESTABLISHED] = "ESTABLISHED",
    [FLOW_FIN_WAIT] = "FIN_WAIT",
    [FLOW_CLOSE_WAIT] = "CLOSE_WAIT",
    [FLOW_LAST_ACK] = "LAST_ACK",
    [FLOW_TIME_WAIT] = "TIME_WAIT",
    [FLOW_CLOSE] = "CLOSE",
    [FLOW_SYN_SENT2] = "SYN_SENT2",
};

static inline enum tcp_kind tcp_kind(uint8_t flags)
{
	return tcp_kinds[flags & TCP_KIND_FLAGS];
}

static inline uint8_t tcp_step(const struct flow *f, bool reply, uint8_t tcp_flags)
{
	if (UNLIKELY(f->state < FLOW_SYN_SENT || f->state >= FLOW_STATE_COUNT))
		return BAD;
	return tcp_next[reply][tcp_kind(tcp_flags)][f->state - FLOW_SYN_SENT];
}

bool flow_first_state(uint8_t proto, uint8_t tcp_flags, enum flow_state *state)
{
	static const uint8_t first[KIND_COUNT] = {[KIND_SYN] = SS, [KIND_ACK] = ES};

	*state = proto == PROTO_TCP ? first[tcp_kind(tcp_flags)] : FLOW_NEW;
	return proto != PROTO_TCP || *state != FLOW_NEW;
}

uint32_t flow_timeout_s(uint8_t proto, enum flow_state state, uint8_t flags)
{
	const struct plain_timeouts *plain = &plain_timeouts[0];

	if (proto == PROTO_TCP) {
		if (state == FLOW_ESTABLISHED && !(flags & FLOW_SEEN_REPLY))
			return TCP_UNANSWERED_S;
		return tcp_timeouts_s[state];
	}
	if (proto < ARRAY_SIZE(plain_timeouts) && plain_timeouts[proto].unanswered_s)
		plain = &plain_timeouts[proto];
	uint8_t answered = proto == PROTO_UDP ? FLOW_ASSURED : FLOW_SEEN_REPLY;

	return flags & answered ? plain->answered_s : plain->unanswered_s;
}

static inline void flow_renew(struct flow *f, uint64_t now_ns)
{
	f->expires_ns = now_ns + flow_timeout_s(f->original.proto, f->state, f->flags) * NS_PER_S;
}

static bool tcp_advance(struct flow *f, bool reply, uint8_t tcp_flags, uint64_t now_ns)
{
	uint8_t next = tcp_step(f, reply, tcp_flags);

	if (next == BAD)
		return false;
	/* a SYN said again renews nothing: a dead endpoint is given up in time */
	if (next == FLOW_SYN_SENT && f->state == FLOW_SYN_SENT && !(f->flags & FLOW_SEEN_REPLY))
		next = KEEP;
	if (reply)
		f->flags |= FLOW_SEEN_REPLY;
	if (next == KEEP)
		return true;
	/* a connection is sure once an ACK has met an answer */
	if (next == FLOW_ESTABLISHED && f->flags & FLOW_SEEN_REPLY)
		f->flags |= FLOW_ASSURED;
	f->state = next;
	flow_renew(f, now_ns);
	return true;
}

static bool udp_goes_on(const struct flow *f, uint64_t now_ns)
{
	return (uint8_t)(flow_quarters(now_ns) - f->born) >= UDP_STREAM_QUARTERS;
}

static void other_advance(struct flow *f, bool reply, uint64_t now_ns)
{
	if (f->flags & FLOW_SEEN_REPLY) {
		if (f->original.proto != PROTO_UDP || udp_goes_on(f, now_ns))
			f->flags |= FLOW_ASSURED;
	} else if (reply) {
		f->flags |= FLOW_SEEN_REPLY;
		f->state = f->original.proto == PROTO_SCTP ? FLOW_ESTABLISHED : FLOW_REPLIED;
	}
	flow_renew(f, now_ns);
}

bool flow_advance(struct flow *f, bool reply, uint8_t tcp_flags, uint64_t now_ns)
{
	if (f->original.proto == PROTO_TCP)
		return tcp_advance(f, reply, tcp_flags, now_ns);
	other_advance(f, reply, now_ns);
	return true;
}

bool flow_reopens(const struct flow *f, bool reply, uint8_t tcp_flags)
{
	return f->original.proto == PROTO_TCP && f->state != FLOW_SYN_SENT &&
	       tcp_step(f, reply, tcp_flags) == FLOW_SYN_SENT;
}

const char *flow_state_name(uint8_t proto, enum flow_state state)
{
	(void)proto; /* names are the same for all */
	return state_names[state];
}
