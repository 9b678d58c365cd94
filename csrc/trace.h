/* SPDX-License-Identifier: Apache-2.0 */
/* trace.h - decision records: what each stage did with a marked packet, and why. Rank 2.
 *
 * One ring per worker, overwriting the oldest; drained by the control thread through an engine
 * call. Unmarked packets cost one predictable branch per stage.
 */
#ifndef NETSIM_TRACE_H
#define NETSIM_TRACE_H

#include "packet.h"

enum trace_stage {
	TRACE_RECEIVE,
	TRACE_TUNNEL_OFF,
	TRACE_PARSE,
	TRACE_FLOW,
	TRACE_SERVICE,
	TRACE_ROUTE,
	TRACE_TRANSLATE,
	TRACE_REPLY,
	TRACE_TUNNEL_ON,
	TRACE_SEND,
	TRACE_STAGE_COUNT
};

/* What happened; object and detail depend on it (texts in trace.c). */
enum trace_event {
	TRACE_ACCEPTED,     /* nothing special */
	TRACE_DECAPSULATED, /* object: peer's node id */
	TRACE_FLOW_HIT,     /* object: service id of the flow; detail: state */
	TRACE_FLOW_NEW,
	TRACE_FLOW_STALE,       /* object: service id; the endpoint left, chosen anew */
	TRACE_FLOW_RELATED,     /* ICMP error of a known flow */
	TRACE_SERVICE_CHOSEN,   /* object: service id; detail: endpoint index << 16 | endpoints */
	TRACE_SERVICE_AFFINE,   /* the same, from the affinity table */
	TRACE_SERVICE_RELAYED,  /* object: service id; detail: the relay's port */
	TRACE_SERVICE_REJECTED, /* object: service id; no endpoints */
	TRACE_ROUTED,           /* object: route_kind; detail: row index */
	TRACE_TRANSLATED,
	TRACE_MASQUERADED,
	TRACE_REPLIED,      /* object: icmp type; detail: code */
	TRACE_ENCAPSULATED, /* object: peer's node id; detail: outer source port */
	TRACE_FORWARDED,    /* object: iface id */
	TRACE_DROPPED,      /* object: drop_reason */
	TRACE_EVENT_COUNT
};

struct trace_record {
	uint64_t time_ns;
	uint64_t revision; /* of the tables that decided */
	uint32_t trace_id; /* one per marked packet and node */
	uint32_t node;
	uint32_t iface; /* that the packet came in by */
	uint32_t object;
	uint32_t detail;
	uint8_t stage; /* enum trace_stage */
	uint8_t event; /* enum trace_event */
	uint16_t len;
	struct flow_key before;
	struct flow_key after;
};

struct trace;

int trace_new(struct trace **out, size_t records);
void trace_free(struct trace *t);
void trace_write(struct trace *t, const struct trace_record *r);

/**
 * trace_drain() - Move up to @max oldest records out
 * @missed:	set to the number overwritten before they were drained
 *
 * Return: records written to @out.
 */
size_t trace_drain(struct trace *t, struct trace_record *out, size_t max, uint64_t *missed);

const char *trace_stage_name(enum trace_stage s);
const char *trace_event_name(enum trace_event e);

#endif
