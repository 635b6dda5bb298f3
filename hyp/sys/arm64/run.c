/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hyp_cpu_run for arm64 guests. One turn of the loop: answer other threads, take what is pending and may
 * be taken, run translated code, take what it raised. All exits end here.
 */
#include "hyp/lift/engine.h"
#include "hyp/mem/guard.h"
#include "hyp/mem/signal.h"
#include "hyp/sys/arm64/sys.h"

/* True: leave with HYP_EXIT_INTR. */
static bool answer_attention(struct hyp_cpu *cpu)
{
	u32 a = __atomic_fetch_and(&cpu->attention, HYP_ATTN_SYNC, __ATOMIC_SEQ_CST);

	hyp_cpu_answer_sync(cpu);
	if (a & HYP_ATTN_TLBI)
		arm64_tlbi_answer(cpu);
	if (a & HYP_ATTN_INVAL)
		hyp_cpu_drop_queued(cpu);
	if (a & HYP_ATTN_FLUSH)
		hyp_tlb_flush_all(cpu);
	return a & HYP_ATTN_KICK;
}

static void execute(struct hyp_cpu *cpu)
{
	if (likely(!(cpu->key & HYP_KEY_DEBUG)))
		lift_run(cpu);
	else if (lift_step(cpu) && !cpu->leave)
		cpu->s.pstate &= ~ARM64_PSR_SS;
	if (cpu->leave == ARM64_RAISED)
		arm64_take_raised(cpu);
}

static enum hyp_exit run_loop(struct hyp_cpu *cpu)
{
	for (;;) {
		if (__atomic_load_n(&cpu->attention, __ATOMIC_ACQUIRE) && answer_attention(cpu))
			return HYP_EXIT_INTR;
		if (!arm64_take_pending(cpu))
			execute(cpu);
		if (cpu->leave == ARM64_EXIT)
			return cpu->s.exit.reason;
		cpu->leave = ARM64_GO_ON;
	}
}

/* The loop, left early where C code of ours met guest RAM that the host does not let it have. */
static __attribute__((noinline)) enum hyp_exit guarded_loop(struct hyp_cpu *cpu)
{
	struct hyp_guard g;
	enum hyp_exit reason;

	if (HYP_GUARD(&g, cpu->as)) {
		lift_abandon(cpu);
		arm64_host_refused(cpu, g.hva);
		return cpu->s.exit.reason;
	}
	reason = run_loop(cpu);
	hyp_guard_end(&g);
	return reason;
}

enum hyp_exit hyp_cpu_run(struct hyp_cpu *cpu)
{
	struct hyp_cpu *outer = hyp_current;
	enum hyp_exit reason;

	__atomic_store_n(&cpu->in_run, true, __ATOMIC_SEQ_CST);
	cpu->map = __atomic_load_n(&cpu->as->map[cpu->view], __ATOMIC_SEQ_CST);
	hyp_cpu_answer_sync(cpu);
	arm64_tlbi_answer(cpu);
	hyp_current = cpu;
	cpu->leave = ARM64_GO_ON;
	if (unlikely(cpu->s.pmu.on))
		arm64_pmu_enter(cpu);
	reason = guarded_loop(cpu);
	if (unlikely(cpu->s.pmu.on))
		arm64_pmu_leave(cpu);
	hyp_current = outer;
	cpu->map = NULL;
	__atomic_store_n(&cpu->in_run, false, __ATOMIC_SEQ_CST);
	cpu->stats[HYP_STAT_exits]++;
	cpu->s.exit.reason = reason;
	return reason;
}

void hyp_cpu_kick(struct hyp_cpu *cpu)
{
	__atomic_fetch_or(&cpu->attention, HYP_ATTN_KICK, __ATOMIC_SEQ_CST);
}

void hyp_cpu_set_view(struct hyp_cpu *cpu, unsigned view)
{
	cpu->view = view;
	hyp_tlb_flush_all(cpu);
}
