/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c - a ring of decision records that overwrites the oldest, and the names in them.
 *
 * Written and drained by the worker that owns it (the control thread drains through an engine
 * call), so there is nothing to synchronize. Positions count from the beginning of time; the slot
 * of a position is its remainder by the size, a power of two.
 */
#include "trace.h"

#include <errno.h>
#include <stdlib.h>

struct trace {
	uint64_t written;
	uint64_t drained;
	size_t mask;
	struct trace_record records[];
};

static const char *const stage_names[TRACE_STAGE_COUNT] = {
    [TRACE_RECEIVE] = "receive",     [TRACE_TUNNEL_OFF] = "tunnel-off",
    [TRACE_PARSE] = "parse",         [TRACE_FLOW] = "flow",
    [TRACE_SERVICE] = "service",     [TRACE_ROUTE] = "route",
    [TRACE_TRANSLATE] = "translate", [TRACE_REPLY] = "reply",
    [TRACE_TUNNEL_ON] = "tunnel-on", [TRACE_SEND] = "send",
};

static const char *const event_names[TRACE_EVENT_COUNT] = {
    [TRACE_ACCEPTED] = "accepted",
    [TRACE_DECAPSULATED] = "decapsulated",
    [TRACE_FLOW_HIT] = "flow-hit",
    [TRACE_FLOW_NEW] = "flow-new",
    [TRACE_FLOW_STALE] = "flow-stale",
    [TRACE_FLOW_RELATED] = "flow-related",
    [TRACE_SERVICE_CHOSEN] = "service-chosen",
    [TRACE_SERVICE_AFFINE] = "service-affine",
    [TRACE_SERVICE_RELAYED] = "service-relayed",
    [TRACE_SERVICE_REJECTED] = "service-rejected",
    [TRACE_ROUTED] = "routed",
    [TRACE_TRANSLATED] = "translated",
    [TRACE_MASQUERADED] = "masqueraded",
    [TRACE_REPLIED] = "replied",
    [TRACE_ENCAPSULATED] = "encapsulated",
    [TRACE_FORWARDED] = "forwarded",
    [TRACE_DROPPED] = "dropped",
};

int trace_new(struct trace **out, size_t records)
{
	size_t size = 1;

	while (size < records)
		size *= 2;
	struct trace *t = calloc(1, sizeof(*t) + size * sizeof(t->records[0]));

	if (!t)
		return -ENOMEM;
	t->mask = size - 1;
	*out = t;
	return 0;
}

void trace_free(struct trace *t)
{
	free(t);
}

void trace_write(struct trace *t, const struct trace_record *r)
{
	t->records[t->written++ & t->mask] = *r;
}

size_t trace_drain(struct trace *t, struct trace_record *out, size_t max, uint64_t *missed)
{
	size_t count = 0;

	*missed = 0;
	if (t->written - t->drained > t->mask + 1) {
		uint64_t oldest = t->written - (t->mask + 1);

		*missed = oldest - t->drained;
		t->drained = oldest;
	}
	while (count < max && t->drained != t->written)
		out[count++] = t->records[t->drained++ & t->mask];
	return count;
}

const char *trace_stage_name(enum trace_stage s)
{
	return stage_names[s];
}

const char *trace_event_name(enum trace_event e)
{
	return event_names[e];
}
