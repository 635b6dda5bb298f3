/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzzer and the program that runs under qemu-aarch64 tell each other: a batch of cases to the
 * program, as many results back. A case is a few instructions in a slot of the code area, followed by BRK;
 * it ends with a signal.
 */
#ifndef KUSE_TESTS_A64_CASE_H
#define KUSE_TESTS_A64_CASE_H

#include <stdint.h>

#define A64_INSNS 6
#define A64_SLOT 96 /* bytes: instructions, BRK, then constants for literal loads */
#define A64_LITERALS 48
#define A64_BATCH 1024
#define A64_CODE 0x600000000ull
#define A64_MEM 0x700000000ull /* one page; nothing is mapped beside it */
#define A64_MEM_SIZE 4096
#define A64_END 0xd4207f40u /* brk #0x3fa */

struct case_state {
	uint64_t x[31], sp, nzcv;
	uint32_t fpcr, fpsr;
	uint64_t v[64];
};

struct a64_case {
	struct case_state s;
	uint32_t insn[A64_INSNS];
	uint32_t n, mem_seed;
};

struct a64_result {
	struct case_state s;
	uint64_t pc, mem_hash;
	uint32_t signal, pad;
};

static inline void case_fill_mem(uint64_t *mem, uint32_t seed)
{
	uint64_t r = seed * 0x9e3779b97f4a7c15ull | 1;

	for (unsigned i = 0; i < A64_MEM_SIZE / 8; i++) {
		r ^= r << 13;
		r ^= r >> 7;
		r ^= r << 17;
		mem[i] = r;
	}
}

static inline uint64_t case_hash_mem(const uint64_t *mem)
{
	uint64_t h = 0;

	for (unsigned i = 0; i < A64_MEM_SIZE / 8; i++)
		h = (h ^ mem[i]) * 0x100000001b3ull;
	return h;
}

static inline void case_fill_slot(uint32_t *slot, const struct a64_case *c)
{
	unsigned i;

	for (i = 0; i < c->n; i++)
		slot[i] = c->insn[i];
	for (; i < A64_LITERALS / 4; i++)
		slot[i] = A64_END;
	for (; i < A64_SLOT / 4; i++)
		slot[i] = c->mem_seed * (i + 0x9e3779b9u);
}

#endif
