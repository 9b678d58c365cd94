/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.h - the ordered list of stages, and what happens to verdicts. Rank 5. */
#ifndef NETSIM_PIPELINE_H
#define NETSIM_PIPELINE_H

#include "stage.h"

/* The packet path, top to bottom: what pipeline_run() does, for who measures it stage by stage. */
struct pipeline_stage {
	stage_fn *run;
	enum trace_stage name;
};

enum { PIPELINE_STAGES = 8 };
extern const struct pipeline_stage pipeline_stages[PIPELINE_STAGES];

/**
 * pipeline_context() - What a batch of @n is processed against now
 */
struct stage_ctx pipeline_context(struct node *n, uint64_t now_ns);

/**
 * pipeline_run() - Take a batch through all stages and hand each packet to its iface
 * @n:		the node that received it; the calling worker's
 * @b:		packets received by ifaces of @n; empty afterwards
 * @now_ns:	time of the poll cycle
 *
 * The caller is between tables_enter() and tables_leave(). Packets to one iface keep their order.
 * Dropped packets are counted by reason and go back to the pool.
 */
void pipeline_run(struct node *n, struct batch *b, uint64_t now_ns);

#endif
