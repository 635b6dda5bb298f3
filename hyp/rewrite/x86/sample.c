/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is this CPU doing? Asked by a profiler's signal handler, so nothing here costs an unprofiled run more
 * than a store around what is slow anyway (cpu->doing). All else is found out from what is there: the host
 * PC says whether translated code was interrupted and at which guest instruction; C code was called for a
 * site (engine.h), which cpu->resume still points at, and whose kind says what for.
 *
 * The interrupted thread is this one, so the tables stand still; but it may be in the midst of changing them.
 * They are read only where translated code or the code next to it was interrupted, which changes none.
 */
#include <ucontext.h>

#include "hyp/rewrite/x86/cell.h"
#include "hyp/rewrite/x86/fast.h"
#include "hyp/sys/x86/sys.h"

static const u8 site_doing[SITE_NR] = {
	[SITE_MEM] = HYP_FILLS_TLB,   [SITE_MASKED] = HYP_FILLS_TLB,   [SITE_CHECK] = HYP_FILLS_TLB,
	[SITE_INTERP] = HYP_INTERPRETS,
	[SITE_EDGE] = HYP_DISPATCHES, [SITE_POLL] = HYP_DISPATCHES,    [SITE_JC_MISS] = HYP_DISPATCHES,
	[SITE_DEAD] = HYP_DISPATCHES, [SITE_CHANGED] = HYP_DISPATCHES, [SITE_HELPER] = HYP_HELPS,
};

static bool in_area(const struct hyp_engine *e, u64 pc)
{
	return pc - (u64)e->rx < e->next;
}

static bool between(u64 pc, const char *from, const char *to)
{
	return pc >= (u64)from && pc < (u64)to;
}

static enum hyp_doing site_of(const struct hyp_cpu *cpu)
{
	const struct hyp_site *site = (const struct hyp_site *)cpu->resume;

	if (cpu->doing)
		return cpu->doing;
	return in_area(cpu->engine, cpu->resume) && site->kind < SITE_NR ? site_doing[site->kind]
									 : HYP_DISPATCHES;
}

/* A block's checked entry has no instruction yet; the stubs in front of all blocks belong to none. */
static u64 guest_pc(struct hyp_cpu *cpu, u64 host)
{
	const struct hyp_block *b = tcache_find_host(cpu->engine, host);
	u64 pc = b ? tcache_guest_pc(cpu->engine, host) : 0;

	return pc ?: b ? b->pc : cpu->s.rip;
}

void hyp_cpu_sample(struct hyp_cpu *cpu, const void *ctx, struct hyp_sample *s)
{
	u64 host = (u64)((const ucontext_t *)ctx)->uc_mcontext.gregs[REG_RIP];

	*s = (struct hyp_sample){ HYP_OUTSIDE, x86_cpl(&cpu->s) == 3, cpu->s.rip, cpu->s.cr3 & PAGE_MASK };
	if (!cpu->in_run)
		return;
	if (in_area(cpu->engine, host)) {
		s->doing = HYP_IN_CODE;
		s->pc = guest_pc(cpu, host);
	} else if (between(host, hyp_cell_stubs[0], hyp_cell_stubs_end)) {
		s->doing = HYP_FILLS_TLB;
		s->pc = guest_pc(cpu, cpu->scratch[3]);
	} else if (between(host, hyp_fast_begin, hyp_fast_end) ||
		   between(host, hyp_fast_str_begin, hyp_fast_str_end)) {
		s->doing = HYP_IN_CODE;
		s->pc = guest_pc(cpu, cpu->scratch[2]);
	} else if (between(host, (const char *)hyp_enter, hyp_leave_end)) {
		s->doing = HYP_DISPATCHES;
		s->pc = guest_pc(cpu, cpu->resume);
	} else {
		s->doing = site_of(cpu);
	}
}

static struct hyp_block_info block_info(const struct hyp_engine *e, const struct hyp_block *b)
{
	return (struct hyp_block_info){ .host = (u64)e->rx + b->ind, .host_len = b->end - b->ind, .pc = b->pc,
					.guest_len = b->guest_len, .user = !(b->key & KEY_CPL0) };
}

/* *seen: how many blocks have been told of, and above them 1 + generation of the cache that they were in. */
size_t hyp_cpu_blocks(struct hyp_cpu *cpu, u64 *seen, struct hyp_block_info *info, size_t max)
{
	const struct hyp_engine *e = cpu->engine;
	u32 from = *seen >> 32 == e->generation + 1 ? (u32)*seen : 0;
	size_t n = 0;

	if (!*seen && max)
		info[n++] = (struct hyp_block_info){ .host = (u64)e->rx, .host_len = e->base };
	while (n < max && from < e->n_blocks)
		info[n++] = block_info(e, &e->blocks[from++]);
	*seen = (e->generation + 1ull) << 32 | from;
	return n;
}
