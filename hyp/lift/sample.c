/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is this CPU doing, and which blocks has it (hyp.h)? For profiles and perf maps. Of the C code that
 * lifted code calls nothing is told apart: it counts as dispatching, or as the interpreter where that runs
 * everything.
 *
 * Asked from a signal handler on the CPU's thread, which may be in the midst of changing the tables: they
 * are read only where lifted code was interrupted.
 */
#include <ucontext.h>

#include "hyp/lift/block.h"
#include "hyp/sys/arm64/cpu.h"

/* Blocks lie in the code area in the order of their numbers. Those that are interpreted are not in it. */
static const struct lift_block *block_at(const struct lift_engine *e, u32 off)
{
	u32 lo = 0, hi = e->n_blocks;

	while (hi - lo > 1) {
		u32 mid = (lo + hi) / 2, at = mid;

		while (at > lo && !e->blocks[at].code)
			at--;
		if (e->blocks[at].code <= off)
			lo = mid;
		else
			hi = at;
	}
	return e->n_blocks && e->blocks[lo].code && e->blocks[lo].code <= off ? &e->blocks[lo] : NULL;
}

void hyp_cpu_sample(struct hyp_cpu *cpu, const void *ctx, struct hyp_sample *s)
{
	u64 host = (u64)((const ucontext_t *)ctx)->uc_mcontext.gregs[REG_RIP];
	const struct lift_engine *e = cpu->engine;
	const struct lift_block *b;

	*s = (struct hyp_sample){ HYP_OUTSIDE, !ARM64_PSR_GET_EL(cpu->s.pstate), cpu->s.pc,
				  cpu->s.sr[ARM64_SR_TTBR0_EL1] & 0xfffffffffffeull };
	if (!cpu->in_run)
		return;
	s->doing = e->interp_only ? HYP_INTERPRETS : HYP_DISPATCHES;
	if (host - (u64)e->rx >= e->next)
		return;
	s->doing = HYP_IN_CODE;
	b = block_at(e, (u32)(host - (u64)e->rx));
	if (b)
		s->pc = b->pc;
}

/* *seen: how many blocks have been told of, and above them 1 + generation of the cache that they were in. */
size_t hyp_cpu_blocks(struct hyp_cpu *cpu, u64 *seen, struct hyp_block_info *info, size_t max)
{
	const struct lift_engine *e = cpu->engine;
	u32 from = *seen >> 32 == e->generation + 1ull ? (u32)*seen : 0;
	size_t n = 0;

	if (!*seen && max && e->base)
		info[n++] = (struct hyp_block_info){ .host = (u64)e->rx, .host_len = e->base };
	for (; n < max && from < e->n_blocks; from++) {
		const struct lift_block *b = &e->blocks[from];

		if (b->code)
			info[n++] = (struct hyp_block_info){ (u64)e->rx + b->code, b->end - b->code,
							     b->guest_len, b->pc, !(b->key & HYP_KEY_EL1) };
	}
	*seen = (e->generation + 1ull) << 32 | from;
	return n;
}
