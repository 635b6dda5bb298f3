/* SPDX-License-Identifier: Apache-2.0 */
/* Code that is written to a page, and what stores to one cost: reuse.c, smp_reuse.c. */
#ifndef KUSE_TESTS_GUESTS_REUSE_H
#define KUSE_TESTS_GUESTS_REUSE_H

#include "guest/lib/guest.h"

/* mov eax, imm32; ret. The immediate is aligned if p + 1 is. */
static inline void write_code(volatile u8 *p, u32 imm)
{
	p[0] = 0xb8;
	*(volatile u32 *)(p + 1) = imm;
	p[5] = 0xc3;
}

/* Cycles of `words` stores, the least of many. */
static inline u64 cost_of(volatile u64 *p, u32 words)
{
	u64 best = ~0ull;

	for (u32 n = 0; n < 100; n++) {
		u64 t = rdtsc();

		for (u32 i = 0; i < words; i++)
			p[i] = n ^ i;
		t = rdtsc() - t;
		best = t < best ? t : best;
	}
	return best;
}

#endif
