/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hyp_cpu_run: events, attention, and the choice between translated code and the interpreter.
 * Guest-live (see hyp/cpu.h).
 *
 * Order of one turn of the loop: deliver what KVM injected, answer other threads, leave if KVM asked for
 * a window that is open now, then execute. Instructions fault by returning X86_FAULT with cpu->fault,
 * which is delivered here and nowhere else.
 */
#include "hyp/direct/x86/direct.h"
#include "hyp/mem/guard.h"
#include "hyp/mem/reuse.h"
#include "hyp/rewrite/x86/run.h"

u32 hyp_block_key(struct hyp_cpu *cpu)
{
	const struct x86_state *s = &cpu->s;
	u32 key = cpu->tlb_part | (cpu->view ? KEY_VIEW : 0);

	if (cpu->code_size != 64)
		key |= KEY_CODE32;
	else if (s->cr4 & X86_CR4_FSGSBASE)
		key |= KEY_FSGSBASE;
	if (!(s->cr0 & (X86_CR0_EM | X86_CR0_TS))) {
		key |= KEY_X87;
		if (s->cr4 & X86_CR4_OSFXSR)
			key |= KEY_SSE;
		if (s->cr4 & X86_CR4_OSXSAVE && (s->xcr0 & 6) == 6)
			key |= (s->xcr0 & 0xe0) == 0xe0 ? KEY_AVX | KEY_AVX512 : KEY_AVX;
	}
	if (x86_cpl(s) == 0) {
		key |= KEY_CPL0;
		if (s->cr4 & X86_CR4_SMAP)
			key |= KEY_SMAP;
	}
	if (s->tsc_ratio == 1ull << 48 && (!(s->cr4 & X86_CR4_TSD) || key & KEY_CPL0))
		key |= s->has_rdtscp ? KEY_TSC | KEY_RDTSCP : KEY_TSC;
	if (s->want_pause_exit)
		key |= KEY_PAUSE_EXIT;
	return key;
}

bool hyp_must_interpret(struct hyp_cpu *cpu)
{
	const struct x86_state *s = &cpu->s;

	return !cpu->flat || (cpu->code_size == 32 && s->rip >> 32) || s->shadow || s->rflags & X86_FL_TF ||
	       s->guest_debug || s->dr7 & 0xff || x86_alignment_checked(s) || cpu->engine->interp_only ||
	       cpu->mmio.n || cpu->mmio.io_ready;
}

/* True: leave with HYP_EXIT_INTR. */
static bool answer_attention(struct hyp_cpu *cpu)
{
	u32 a = __atomic_fetch_and(&cpu->attention, HYP_ATTN_SYNC, __ATOMIC_SEQ_CST);

	hyp_cpu_answer_sync(cpu);
	if (a & HYP_ATTN_INVAL) {
		hyp_stores_over(cpu);
		hyp_cpu_drop_queued(cpu);
	}
	if (a & HYP_ATTN_FLUSH)
		hyp_tlb_flush_nonglobal(cpu);
	return a & HYP_ATTN_KICK;
}

static enum x86_ret interpret(struct hyp_cpu *cpu)
{
	enum x86_ret ret;

	cpu->stats[HYP_STAT_interpreted]++;
	cpu->doing = HYP_INTERPRETS;
	hyp_fpu_put(cpu);
	ret = x86_interp_one(cpu);
	cpu->doing = 0;
	return ret;
}

static enum x86_ret deliver(struct hyp_cpu *cpu, struct x86_event *ev)
{
	enum x86_ret ret;

	cpu->stats[HYP_STAT_events]++;
	cpu->kernel_entries++;
	cpu->doing = HYP_DISPATCHES;
	ret = x86_deliver(cpu, ev);
	cpu->doing = 0;
	return ret;
}

static enum x86_ret run_directly(struct hyp_cpu *cpu)
{
	enum hyp_direct_end d;

	cpu->doing = HYP_IN_DIRECT;
	hyp_fpu_put(cpu);
	d = hyp_direct_run(cpu);
	cpu->doing = 0;
	if (d == HYP_DIRECT_INTERPRET)
		return interpret(cpu);
	return d == HYP_DIRECT_FAULT ? X86_FAULT : X86_OK;
}

static enum x86_ret execute(struct hyp_cpu *cpu)
{
	bool interp = hyp_must_interpret(cpu);
	enum x86_ret ret = interp                ? interpret(cpu)
			   : hyp_direct_due(cpu) ? run_directly(cpu)
						 : hyp_run_translated(cpu);

	if (ret != X86_FAULT) {
		if (!interp) /* the interpreter may leave a trap behind its exit: OUT with TF */
			cpu->fault.type = X86_EVENT_NONE; /* of an access that was only tried */
		return ret;
	}
	return deliver(cpu, &cpu->fault);
}

static enum x86_ret deliver_injected(struct hyp_cpu *cpu)
{
	struct x86_event ev = cpu->s.inject;

	cpu->s.inject.type = X86_EVENT_NONE;
	return deliver(cpu, &ev);
}

static enum hyp_exit run_loop(struct hyp_cpu *cpu)
{
	struct x86_state *s = &cpu->s;

	if (cpu->fault.type &&
	    x86_deliver(cpu, &cpu->fault) == X86_EXIT) /* left by hyp_x86_skip, _complete_io */
		return s->exit.reason;
	for (;;) {
		if (s->inject.type && deliver_injected(cpu) == X86_EXIT)
			return s->exit.reason;
		if (__atomic_load_n(&cpu->attention, __ATOMIC_ACQUIRE) && answer_attention(cpu))
			return HYP_EXIT_INTR;
		if (cpu->mmio.wn && x86_mmio_flush(cpu) == X86_EXIT)
			return s->exit.reason;
		if (s->want_smi_window && hyp_x86_smi_allowed(cpu))
			return HYP_EXIT_SMI_WINDOW;
		if (s->want_nmi_window && hyp_x86_nmi_allowed(cpu))
			return HYP_EXIT_NMI_WINDOW;
		if (s->want_irq_window && hyp_x86_irq_allowed(cpu))
			return HYP_EXIT_IRQ_WINDOW;
		if (execute(cpu) == X86_EXIT)
			return s->exit.reason;
	}
}

/* The loop, left early where C code of ours met guest RAM that the host does not let it have. */
static __attribute__((noinline)) enum hyp_exit guarded_loop(struct hyp_cpu *cpu)
{
	struct hyp_guard g;
	enum hyp_exit reason;

	if (HYP_GUARD(&g, cpu->as)) {
		if (!g.hva)
			return HYP_EXIT_MEMORY_FAULT;
		cpu->s.exit.host_fault.hva = g.hva;
		return HYP_EXIT_HOST_FAULT;
	}
	reason = run_loop(cpu);
	hyp_guard_end(&g);
	return reason;
}

static u64 swap_gs(u64 base)
{
	u64 old;

	__asm__ volatile("rdgsbase %0" : "=r"(old));
	__asm__ volatile("wrgsbase %0" : : "r"(base));
	return old;
}

enum hyp_exit hyp_cpu_run(struct hyp_cpu *cpu)
{
	struct hyp_cpu *outer = hyp_current;
	enum hyp_exit reason;

	__atomic_store_n(&cpu->in_run, true, __ATOMIC_SEQ_CST);
	cpu->map = __atomic_load_n(&cpu->as->map[cpu->view], __ATOMIC_SEQ_CST);
	hyp_cpu_answer_sync(cpu);
	cpu->host_gs = swap_gs((u64)cpu);
	hyp_current = cpu;
	cpu->doing = 0; /* the last run may have ended in a guard */
	cpu->stats[HYP_STAT_runs]++;
	hyp_keys_changed(cpu); /* KVM may have written anything */
	if (unlikely(cpu->n_checked))
		hyp_reuse_calm(cpu);
	if (unlikely(cpu->engine->n_watched))
		tcache_compare_watched(cpu);
	cpu->df = cpu->s.rflags & X86_FL_DF; /* lives there while we run */
	reason = guarded_loop(cpu);
	cpu->s.rflags = (cpu->s.rflags & ~(u64)X86_FL_DF) | cpu->df;
	hyp_fpu_put(cpu);
	hyp_current = outer;
	swap_gs(cpu->host_gs);
	cpu->map = NULL;
	if (cpu->direct) /* a guard may have ended hyp_direct_run */
		__atomic_store_n(&cpu->direct->busy, false, __ATOMIC_RELEASE);
	__atomic_store_n(&cpu->in_run, false, __ATOMIC_SEQ_CST);
	cpu->s.exit.reason = reason;
	return reason;
}

void hyp_cpu_kick(struct hyp_cpu *cpu)
{
	hyp_attend(cpu, HYP_ATTN_KICK);
}

void hyp_cpu_set_view(struct hyp_cpu *cpu, unsigned view)
{
	cpu->view = view;
	hyp_tlb_flush_all(cpu);
}

void hyp_x86_request_flush_tlb(struct hyp_cpu *cpu)
{
	hyp_attend(cpu, HYP_ATTN_FLUSH);
}

void hyp_x86_flush_tlb(struct hyp_cpu *cpu)
{
	hyp_tlb_flush_nonglobal(cpu);
}

void hyp_x86_state_changed(struct hyp_cpu *cpu)
{
	hyp_mode_update(cpu);
	hyp_tlb_flush_all(cpu);
}
