/* SPDX-License-Identifier: Apache-2.0 */
/* Runs blocks until something needs the run loop (engine.h). */
#include "hyp/emit/x86/emit.h"
#include "hyp/lift/block.h"

static const struct lift_block *next_block(struct hyp_cpu *cpu)
{
	const struct hyp_jc_entry *j = &cpu->jc[cpu->key & HYP_KEY_EL1][lift_jc_slot(cpu->s.pc)];
	const struct lift_block *b;

	lift_check_key(cpu);
	if (likely(j->pc == cpu->s.pc))
		return (const struct lift_block *)j->code;
	cpu->stats[HYP_STAT_jc_miss]++;
	b = lift_find_block(cpu, cpu->s.pc);
	if (b)
		lift_fill_jc(cpu, b);
	return b;
}

static void interp_run(struct hyp_cpu *cpu)
{
	const struct lift_block *b;

	do {
		b = next_block(cpu);
		if (!b)
			return;
		ir_interp(cpu, b->ir);
	} while (!__atomic_load_n(&cpu->attention, __ATOMIC_ACQUIRE) && !cpu->leave &&
		 !(cpu->key & HYP_KEY_DEBUG));
}

static u64 swap_gs(u64 base)
{
	u64 old;

	__asm__ volatile("rdgsbase %0" : "=r"(old));
	__asm__ volatile("wrgsbase %0" : : "r"(base));
	return old;
}

void lift_run(struct hyp_cpu *cpu)
{
	if (__atomic_load_n(&cpu->attention, __ATOMIC_ACQUIRE) || cpu->leave)
		return;
	arm64_fp_enter(cpu);
	cpu->host_gs = swap_gs((u64)cpu);
	cpu->engine->running = true;
	if (cpu->engine->interp_only)
		interp_run(cpu);
	else
		emit_run(cpu);
	lift_abandon(cpu);
}

void lift_abandon(struct hyp_cpu *cpu)
{
	if (!cpu->engine->running)
		return;
	cpu->engine->running = false;
	swap_gs(cpu->host_gs);
	arm64_fp_leave(cpu);
}

/* By the IR interpreter, whatever the engine: nobody steps for speed. */
bool lift_step(struct hyp_cpu *cpu)
{
	const struct lift_block *b = lift_find_block(cpu, cpu->s.pc);

	if (!b)
		return false;
	arm64_fp_enter(cpu);
	ir_interp(cpu, b->ir);
	arm64_fp_leave(cpu);
	return true;
}
