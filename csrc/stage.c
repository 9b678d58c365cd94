/* SPDX-License-Identifier: Apache-2.0 */
/* stage.c - decision records of marked packets: what a stage knew when it decided; and what becomes
 * of packets that fit no connection.
 */
#include "stage.h"

enum { RECORDS_MAX = 64 }; /* of one packet: nothing writes so many, and a bug must not flood */

void stage_trace_marked(const struct stage_ctx *ctx, struct packet *p, enum trace_stage stage,
			enum trace_event event, uint32_t object, uint32_t detail)
{
	if (p->trace_count >= RECORDS_MAX || !ctx->node->trace)
		return;
	p->trace_count++;
	trace_write(ctx->node->trace,
		    &(struct trace_record){
			.time_ns = ctx->now_ns,
			.revision = ctx->revision,
			.trace_id = p->trace_id,
			.node = ctx->node->id,
			.iface = p->in ? p->in->id : 0,
			.object = object,
			.detail = detail,
			.stage = (uint8_t)stage,
			.event = (uint8_t)event,
			.len = (uint16_t)(p->len < UINT16_MAX ? p->len : UINT16_MAX),
			.before = p->key,
			.after = p->to,
		    });
}

void stage_invalid(const struct stage_ctx *ctx, struct packet *p)
{
	p->to = p->key;
	p->masquerade = 0;
	if (!ctx->node->config.tracking.invalid_passes)
		packet_drop(p, DROP_FLOW_INVALID);
}
