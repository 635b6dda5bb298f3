/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workloads of bench/: one static program, run on the host and inside guests.
 *
 * A workload does a fixed amount of work, `rounds` times, and returns a checksum that depends on
 * every result; it never depends on time, addresses or the machine. work.c measures it.
 */
#ifndef KUSE_BENCH_WORK_H
#define KUSE_BENCH_WORK_H

#include <stdint.h>
#include <stddef.h>

struct workload {
	const char *name;
	const char *what;
	uint64_t (*run)(unsigned rounds);
	unsigned rounds; /* at scale 100 */
};

/* Each file's table, ended by a NULL name. arch_workloads is x86/'s or arm64/'s. */
extern const struct workload cpu_workloads[], mem_workloads[], fp_workloads[], arch_workloads[];
extern const struct workload kern_workloads[], net_workloads[], smp_workloads[], disk_workloads[];

/* int.c */
uint64_t work_int(unsigned rounds), work_calls(unsigned rounds);

/* smp.c: the calling thread goes to the n-th CPU that the program may use (modulo their number). */
void work_pin(unsigned n);

/* Of the architecture (x86/, arm64/). In a spinning loop; writes code for `n + imm`, of 16 bytes at most. */
void work_relax(void);
void work_adder(void *code, uint32_t imm);

/* Ends the program: a workload that could not do its work has no time. */
void work_fail(const char *what) __attribute__((noreturn));

/* xorshift64*: reproducible numbers. */
static inline uint64_t work_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

/* FNV-1a, one word at a time. */
static inline uint64_t work_mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x100000001b3ull;
}

static inline uint64_t work_bits(double d)
{
	uint64_t u;

	__builtin_memcpy(&u, &d, sizeof(u));
	return u;
}

#define WORK_SEED 88172645463325252ull
#define WORK_SUM 0xcbf29ce484222325ull

#endif
