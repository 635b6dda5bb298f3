/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ways to translate. Most code a guest runs, it runs a few times: a large program's cost is then what its
 * translations take in the host's caches. So code is compact first: no cells, no plans, and a soft-TLB check
 * is a call of a stub that all accesses of a kind share:
 *
 *	lea  s1, [base + disp]
 *	call check		; s1 = host address; returns behind the call, from the handler of SITE_STUB too
 *	op   [s1]
 *
 * 14 bytes and nothing out of line, where an access with a cell takes 80. What is hot is found by looking where the
 * guest is: whenever a loop answers the attention word (the guest's timer interrupt sees to that), and every
 * HYP_HEAT_TURNS backward branches of compact code. Heat is a page's; when a page has been met HOT times its
 * blocks are dropped, and what of it runs again is translated well.
 *
 * Guest-live.
 */
#include "hyp/mem/as.h"
#include "hyp/rewrite/x86/engine.h"

#define HOT 2

static u32 slot_of(gpa_t gpa)
{
	return (u32)((gpa >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 52) % TCACHE_HEAT;
}

bool hyp_is_hot(const struct hyp_engine *e, gpa_t gpa)
{
	return e->tier == TCACHE_BY_HEAT ? e->heat[slot_of(gpa)] >= HOT : e->tier == TCACHE_HOT;
}

void hyp_heat(struct hyp_cpu *cpu, gpa_t gpa)
{
	u8 *heat = &cpu->engine->heat[slot_of(gpa)];

	if (*heat >= HOT || ++*heat < HOT || cpu->engine->tier != TCACHE_BY_HEAT)
		return;
	cpu->stats[HYP_STAT_heated]++;
	hyp_engine_invalidate(cpu, gpa & PAGE_MASK, PAGE_SIZE);
}
