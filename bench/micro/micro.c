/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine's parts cost: a bare hyp_cpu without KVM runs a few instructions over and over, in user
 * mode and in kernel mode, and the host runs the same bytes.
 *
 *	build/bench_micro [--json] [--unit build/bench_unit]
 *
 * Nanoseconds of this thread's CPU time for one operation, medians of ROUNDS; the loop around the operations
 * is in them. Loads depend on each other, so a load's figure is its latency: 1 page stays in what the place
 * in the code remembers, 64 pages are the soft TLB's, 4096 are more than it has. With --unit, the cost of
 * translation.
 */
#include <stdio.h>
#include <string.h>
#include "bench/micro/micro.h"

#define ROUNDS 11
#define LONG_ENOUGH 1e6 /* ns */
#define TARGETS (2 * HYP_JC_SIZE)
#define TARGET_SIZE 32

enum { NATIVE = 1, USER = 2, KERNEL = 4, ALL = 7 };

struct micro_case {
	const char *name;
	unsigned code;
	unsigned operations; /* of one turn */
	unsigned where;
	unsigned pages; /* loads: a ring of so many */
	u64 turns;      /* at least */
};

static const struct micro_case cases[] = {
	{ "loop: SUB, branch back", CODE_LOOP, 1, ALL },
	{ "loop: DEC, branch back", CODE_LOOP_DEC, 1, ALL },
	{ "direct branch, same page", CODE_BRANCH, 16, ALL },
	{ "direct branch, another page", CODE_PAGE, 2, ALL },
	{ "indirect jump, one target", CODE_IJUMP, 8, ALL },
	{ "indirect jump, 16 targets", CODE_IJUMP_16, 1, ALL },
	{ "indirect jump, cache miss", CODE_IJUMP_MISS, 1, ALL, .turns = 2 * TARGETS },
	{ "call, return", CODE_CALL, 8, ALL },
	{ "indirect call, return", CODE_ICALL, 8, ALL },
	{ "push, pop", CODE_PUSH, 8, ALL },
	{ "load, 1 page (cell)", CODE_LOAD, 16, ALL, 1 },
	{ "load, 64 pages (soft-TLB hit)", CODE_LOAD, 16, ALL, 64 },
	{ "load, 4096 pages (page walk)", CODE_LOAD, 16, ALL, 4096, 512 },
	{ "store", CODE_STORE, 16, ALL },
	{ "SYSCALL, SYSRET", CODE_SYSCALL, 1, NATIVE | USER },
	{ "REP STOSQ, 64 bytes", CODE_STOS, 8, ALL },
	{ "exit and entry (OUT)", CODE_OUT, 1, USER | KERNEL },
};

/* ---- one case ---- */

/* Each page's pointer is at another offset, so that the ring does not live in a few cache sets. */
static void make_ring(unsigned pages)
{
	u64 first = MICRO_DATA;

	for (unsigned i = 0; i < pages; i++) {
		unsigned to = (i + 1) % pages;
		u64 next = first + ((u64)to << 12) + (to * 64 & 0xfc0);

		memcpy((void *)(first + ((u64)i << 12) + (i * 64 & 0xfc0)), &next, sizeof(next));
	}
}

static void make_targets(void)
{
	const struct micro_code *t = &micro_code[CODE_TARGET];
	u64 mask = (TARGETS - 1) * TARGET_SIZE;

	memcpy((void *)MICRO_DATA, &mask, sizeof(mask));
	for (u64 i = 0; i < TARGETS; i++)
		memcpy((void *)(MICRO_DATA + 4096 + i * TARGET_SIZE), t->start, (size_t)(t->end - t->start));
}

static void prepare(struct micro *m, const struct micro_case *c)
{
	const struct micro_code *code = &micro_code[c->code];

	micro_cpu_destroy(m);
	memset((void *)MICRO_CODE, 0xcc, 3 << 12);
	memcpy((void *)MICRO_CODE, code->start, (size_t)(code->end - code->start));
	if (c->pages)
		make_ring(c->pages);
	if (c->code == CODE_IJUMP_MISS)
		make_targets();
	micro_cpu_create(m);
}

static double once(struct micro *m, unsigned where, u64 turns)
{
	double start = micro_now();

	if (where == NATIVE)
		micro_call_native(MICRO_CODE, turns, MICRO_DATA);
	else
		micro_call(m, where == USER, MICRO_CODE, turns, MICRO_DATA);
	return micro_now() - start;
}

/* ns for one operation */
static double measure(struct micro *m, const struct micro_case *c, unsigned where)
{
	u64 turns = c->turns ? c->turns : 64;
	double t[ROUNDS];

	prepare(m, c);
	once(m, where, turns);
	while (once(m, where, turns) < LONG_ENOUGH)
		turns *= 2;
	for (unsigned i = 0; i < ROUNDS; i++)
		t[i] = once(m, where, turns) / (double)(turns * c->operations);
	return micro_median(t, ROUNDS);
}

/* ---- output ---- */

static const struct {
	unsigned where;
	const char *name;
} columns[] = { { NATIVE, "native" }, { USER, "user" }, { KERNEL, "kernel" } };

static void print_case(const struct micro_case *c, const double *ns, bool json, bool first)
{
	bool more = false;

	printf(json ? "%s\"%s\": {" : "%s%-32s", json && !first ? ",\n  " : "", c->name);
	for (unsigned i = 0; i < ARRAY_SIZE(columns); i++) {
		if (json && c->where & columns[i].where)
			printf("%s\"%s\": %.3f", more ? ", " : "", columns[i].name, ns[i]);
		else if (!json && c->where & columns[i].where)
			printf("%10.2f", ns[i]);
		else if (!json)
			printf("%10s", "-");
		more |= c->where & columns[i].where;
	}
	printf(json ? "}" : "\n");
}

static void print_cold(const struct micro_cold *c, bool json)
{
	double translate = c->cold - c->warm, insns = (double)c->insns;
	const struct {
		const char *name;
		double value;
	} row[] = {
		{ "guest instructions translated", insns },
		{ "instructions per block", insns / (double)c->blocks },
		{ "million instructions per second", insns / translate * 1e3 },
		{ "ns per instruction", translate / insns },
		{ "host bytes per guest byte", (double)c->host_bytes / (double)c->guest_bytes },
		{ "host instructions per guest instruction, without slow paths", (double)c->hot_insns / insns },
		{ "first run / native", c->cold / c->native },
		{ "second run / native", c->warm / c->native },
	};

	printf(json ? ",\n \"translation\": {" : "\n");
	for (unsigned i = 0; i < ARRAY_SIZE(row); i++)
		printf(json ? "%s\"%s\": %.3f" : "%s%-62s%.2f\n", json && i ? ",\n  " : "", row[i].name,
		       row[i].value);
	if (json)
		printf("}");
}

int main(int argc, char **argv)
{
	const char *unit = NULL;
	struct micro_cold cold;
	struct micro m = { 0 };
	bool json = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--unit") && i + 1 < argc)
			unit = argv[++i];
		else
			micro_fail("usage: bench_micro [--json] [--unit FILE]");
	}
	micro_create(&m);
	printf(json ? "{\"cases\": {" : "%-32s%10s%10s%10s\n", "ns for one operation", "native", "user",
	       "kernel");
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		double ns[ARRAY_SIZE(columns)] = { 0 };

		for (unsigned k = 0; k < ARRAY_SIZE(columns); k++)
			if (cases[i].where & columns[k].where)
				ns[k] = measure(&m, &cases[i], columns[k].where);
		print_case(&cases[i], ns, json, i == 0);
	}
	if (json)
		printf("}");
	if (unit) {
		micro_cold(&m, unit, &cold);
		print_cold(&cold, json);
	}
	if (json)
		printf("}\n");
	return 0;
}
