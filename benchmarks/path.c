/* SPDX-License-Identifier: Apache-2.0 */
/* path.c - the packet path in memory: ns per packet of pipeline_run(), no I/O, one core.
 *
 * What it costs to make the packets is measured apart and taken off.
 *
 * Usage: path FLOWS SERVICES BATCH PACKETS [WHAT]
 *	known	   (default) packets of flows that are known: parse to VXLAN written
 *	new	   every packet begins a flow
 *	arriving   packets of known flows come by the wire: VXLAN stripped to pod
 *	full	   as known, with batches between of other known flows, then of refused ones
 *	stages	   as known, stage by stage
 * Prints one JSON object. Under callgrind collect inside pipeline_run only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "path_lab.h"
#include "pipeline.h"

enum { REPEATS = 7, FLOWS_ROOM = 4 << 20, POD_PORTS = 60000 };

static unsigned batch;
static uint64_t packets; /* a multiple of batch */
static uint64_t time_ns = NS_PER_S;

static void run_batch(void)
{
	struct batch b;

	path_lab_fill(&b, batch);
	pipeline_run(lab.node, &b, time_ns);
}

/* ns to make @count packets in batches and give them back. */
static uint64_t make_only(uint64_t count)
{
	uint64_t start = thread_ns();
	struct batch b;

	for (uint64_t n = 0; n < count; n += batch) {
		path_lab_fill(&b, batch);
		path_lab_sink(lab.pool, b.pkt, b.count);
	}
	lab.sent -= count;
	return thread_ns() - start;
}

static uint64_t run(uint64_t count)
{
	uint64_t start = thread_ns();

	for (uint64_t n = 0; n < count; n += batch)
		run_batch();
	return thread_ns() - start;
}

static uint64_t whole_batches(uint64_t count)
{
	return (count + batch - 1) / batch * batch;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_figures(const char *key, double *each)
{
	qsort(each, REPEATS, sizeof(each[0]), compare);
	printf("\"%s\": %.2f, \"%s_min\": %.2f, \"%s_max\": %.2f", key, each[REPEATS / 2], key,
	       each[0], key, each[REPEATS - 1]);
}

static double per_packet(uint64_t all, uint64_t make)
{
	return ((double)all - (double)make) / (double)packets;
}

static void measure_known(void)
{
	double each[REPEATS];

	(void)run(whole_batches(lab.flows));
	for (unsigned n = 0; n < REPEATS; n++) {
		uint64_t make = make_only(packets);

		each[n] = per_packet(run(packets), make);
	}
	print_figures("ns", each);
}

static void measure_new(void)
{
	double each[REPEATS];

	for (unsigned n = 0; n < REPEATS; n++) {
		uint64_t make = make_only(packets);

		flow_table_expire(lab.node->flows, UINT64_MAX, SIZE_MAX);
		lab.serial = 0;
		each[n] = per_packet(run(packets), make);
	}
	print_figures("ns", each);
	if (lab.node->stats.flows_new < packets)
		must(-EPROTO);
}

/* ns that pipeline_run() takes for the batches of known flows; after each comes one of others. */
static double beside(uint32_t first, uint32_t flows)
{
	uint32_t known = lab.flows;
	uint64_t spent = 0;
	struct batch b;

	for (uint64_t n = 0; n < packets; n += batch, time_ns++) {
		uint64_t start;

		path_lab_fill(&b, batch);
		start = clock_ns();
		pipeline_run(lab.node, &b, time_ns);
		spent += clock_ns() - start;
		lab.first = first;
		lab.flows = flows;
		run_batch();
		lab.first = 0;
		lab.flows = known;
	}
	return (double)spent / (double)packets;
}

static void measure_full(void)
{
	uint32_t strangers = lab.services * (POD_PORTS - 1) - lab.flows;
	double known[REPEATS], refused[REPEATS];

	(void)run(whole_batches(lab.flows));
	lab.node->flows->max = lab.flows;
	for (unsigned n = 0; n < REPEATS; n++) {
		known[n] = beside(0, lab.flows);
		refused[n] = beside(lab.flows, strangers);
	}
	print_figures("beside_known", known);
	printf(", ");
	print_figures("beside_refused", refused);
	printf(", \"refused\": %llu", (unsigned long long)lab.node->stats.drops[DROP_FLOW_FULL]);
}

/* Adds what each stage took for one batch. */
static void run_stages(uint64_t *spent)
{
	struct stage_ctx ctx = pipeline_context(lab.node, time_ns);
	uint64_t start, clock;
	struct batch b;

	path_lab_fill(&b, batch);
	b.fresh = b.refused = 0;
	clock = clock_ns();
	start = clock_ns();
	clock = start - clock;
	for (unsigned s = 0; s < PIPELINE_STAGES; s++) {
		uint64_t end;

		pipeline_stages[s].run(&ctx, &b);
		end = clock_ns();
		spent[s] += end - start - (end - start > clock ? clock : 0);
		start = end;
	}
	path_lab_sink(lab.pool, b.pkt, b.count);
}

static void measure_stages(void)
{
	double each[PIPELINE_STAGES][REPEATS];

	(void)run(whole_batches(lab.flows));
	for (unsigned n = 0; n < REPEATS; n++) {
		uint64_t spent[PIPELINE_STAGES] = {0};

		for (uint64_t k = 0; k < packets; k += batch)
			run_stages(spent);
		for (unsigned s = 0; s < PIPELINE_STAGES; s++)
			each[s][n] = (double)spent[s] / (double)packets;
	}
	for (unsigned s = 0; s < PIPELINE_STAGES; s++) {
		qsort(each[s], REPEATS, sizeof(each[s][0]), compare);
		printf("%s\"%s\": %.2f", s ? ", " : "", trace_stage_name(pipeline_stages[s].name),
		       each[s][REPEATS / 2]);
	}
}

static const struct {
	const char *name;
	void (*measure)(void);
} modes[] = {
    {"known", measure_known}, {"new", measure_new},       {"arriving", measure_known},
    {"full", measure_full},   {"stages", measure_stages},
};

static void (*mode_named(const char *name))(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (!strcmp(modes[i].name, name))
			return modes[i].measure;
	return NULL;
}

int main(int argc, char **argv)
{
	const char *what = argc > 5 ? argv[5] : "known";
	void (*measure)(void) = mode_named(what);

	if (argc < 5 || !measure)
		return 2;
	lab.flows = (uint32_t)strtoul(argv[1], NULL, 10);
	lab.services = (uint32_t)strtoul(argv[2], NULL, 10);
	lab.arriving = !strcmp(what, "arriving");
	batch = (unsigned)strtoul(argv[3], NULL, 10);
	if (!lab.flows || !lab.services || !batch || batch > BATCH_MAX ||
	    lab.flows / lab.services >= POD_PORTS)
		return 2;
	packets = strtoull(argv[4], NULL, 10) / batch * batch;
	if (!packets || (measure == measure_new && packets > lab.flows))
		return 2;
	path_lab_make(FLOWS_ROOM);
	printf("{");
	measure();
	printf(", \"flows\": %zu, \"bytes_per_flow\": %.1f}\n", flow_table_count(lab.node->flows),
	       (double)flow_table_bytes(lab.node->flows) /
		   (double)flow_table_count(lab.node->flows));
	return 0;
}
