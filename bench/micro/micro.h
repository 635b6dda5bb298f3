/* SPDX-License-Identifier: Apache-2.0 */
/* bench/micro's parts: the guest (machine.c), the code that it runs (code.c), cold code (cold.c). */
#ifndef KUSE_BENCH_MICRO_H
#define KUSE_BENCH_MICRO_H

#include "hyp/cpu.h"

/* The guest's memory is where the host has it: one address serves both. */
#define MICRO_BASE 0x10000000ul
#define MICRO_CODE (MICRO_BASE + (1ul << 20))  /* the case's code */
#define MICRO_STACK (MICRO_BASE + (3ul << 20)) /* grows down */
#define MICRO_UNIT (MICRO_BASE + (4ul << 20))  /* bench_unit is linked there (meson.build) */
#define MICRO_DATA (MICRO_BASE + (16ul << 20))
#define MICRO_SIZE (64ul << 20)
#define MICRO_END (MICRO_BASE + MICRO_SIZE)

struct micro {
	struct hyp_as *as;
	struct hyp_cpu *cpu;
	struct x86_state *s;
	u64 exits; /* of code that leaves the guest on purpose */
};

void micro_create(struct micro *m);
void micro_cpu_create(struct micro *m);
void micro_cpu_destroy(struct micro *m);
/* Calls fn(a, b) in the guest, at CPL 3 or 0. */
u64 micro_call(struct micro *m, bool user, u64 fn, u64 a, u64 b);
/* The same on the host. */
u64 micro_call_native(u64 fn, u64 a, u64 b);

u64 micro_stat(struct micro *m, const char *name);
/* This thread's CPU time, ns. */
double micro_now(void);
/* Sorts. */
double micro_median(double *values, unsigned n);
_Noreturn void micro_fail(const char *what);

/* cold.c: what translating bench_unit costs. */
struct micro_cold {
	u64 insns, blocks, guest_bytes, host_bytes, host_insns, hot_insns;
	double cold, warm, native; /* ns for a whole run */
};
void micro_cold(struct micro *m, const char *unit, struct micro_cold *out);

/* code.c. Each symbol is a function of (count, buffer), position-independent, page-aligned. */
struct micro_code {
	const char *start, *end;
};
enum { CODE_LOOP, CODE_LOOP_DEC, CODE_BRANCH, CODE_PAGE, CODE_IJUMP, CODE_IJUMP_16, CODE_IJUMP_MISS, CODE_CALL, CODE_ICALL,
       CODE_LOAD, CODE_STORE, CODE_PUSH, CODE_SYSCALL, CODE_OUT, CODE_STOS, CODE_HANDLER, CODE_TARGET };
extern const struct micro_code micro_code[];

#endif
