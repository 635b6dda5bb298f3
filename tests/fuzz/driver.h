/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzzers share: random numbers, options, and a parent that watches. Cases run in a child process,
 * one after the other; a case is a function of seed and number. When the child dies or stands still, the
 * parent says in which case and operation, and how to repeat it.
 *
 * Options of every fuzzer: [--seed N] [--case N | --cases N] [--seconds N] [--ops N] [--threads N] [--here]
 * [-v]. --here runs without a child, for a debugger.
 */
#ifndef KUSE_TESTS_FUZZ_DRIVER_H
#define KUSE_TESTS_FUZZ_DRIVER_H

#include "lib/types.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct fuzz_rng {
	u64 s;
};
u64 fuzz_u64(struct fuzz_rng *r);
u64 fuzz_below(struct fuzz_rng *r, u64 n);
bool fuzz_chance(struct fuzz_rng *r, unsigned percent);
u64 fuzz_value(struct fuzz_rng *r); /* edge cases more often than not */

struct fuzz_options {
	u64 seed, first, cases;
	unsigned seconds, ops, threads;
	bool verbose, here;
};
extern struct fuzz_options fuzz_opt;

/* The operation that is under way, for the report; counted. */
void fuzz_note(const char *op);
/* Ends the child: something is wrong. */
void __attribute__((noreturn, format(printf, 1, 2))) fuzz_wrong(const char *fmt, ...);
/* The same for what could be chance (a number that happens to look like an address): the parent repeats the
 * case in fresh processes, whose addresses are others. Found again: wrong. Else it is said, and the run goes
 * on. */
void __attribute__((noreturn, format(printf, 1, 2))) fuzz_suspect(const char *fmt, ...);
/* Before kuse_init: a fault that nobody else handles says what lies around its address. fault.c */
void fuzz_explain_faults(void);
/* Number of the case under way. */
u64 fuzz_case(void);

struct fuzz_program {
	const char *name;
	unsigned ops; /* default of --ops */
	int (*start)(void); /* in the child, before the first case; 0, or the exit status */
	void (*run_case)(struct fuzz_rng *r);
	void (*finish)(void); /* may be NULL */
};
int fuzz_main(const struct fuzz_program *p, int argc, char **argv);

#endif
