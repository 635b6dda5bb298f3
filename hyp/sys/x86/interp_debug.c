/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single-step and hardware breakpoints (SDM vol. 3, ch. 18), for the guest (DR0-7, RFLAGS.TF) and for
 * the client (guest_debug). Code breakpoints are faults, found before the instruction; data and I/O
 * breakpoints and single-step are traps, reported after it.
 */
#include "hyp/sys/x86/interp.h"

#define DR6_BS (1u << 14)
#define DR7_GD (1u << 13)
#define DR7_ENABLED 0xffu

enum { BP_EXEC, BP_WRITE, BP_IO, BP_RW };

static u64 dr7_effective(const struct x86_state *s)
{
	return s->guest_debug & X86_GDBG_HW_BP ? s->gdbg_dr7 : s->dr7;
}

static const u64 *dr_effective(const struct x86_state *s)
{
	return s->guest_debug & X86_GDBG_HW_BP ? s->gdbg_dr : s->dr;
}

/* DR6 bits of the enabled breakpoints of a kind in kinds that [addr, addr+size) touches. */
static unsigned bp_match(const struct x86_state *s, u64 addr, unsigned size, unsigned kinds)
{
	static const u8 len_of[4] = { 1, 2, 8, 4 };
	const u64 *dr = dr_effective(s);
	u64 dr7 = dr7_effective(s);
	unsigned hits = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned kind = dr7 >> (16 + 4 * i) & 3, len = len_of[dr7 >> (18 + 4 * i) & 3];
		u64 at = dr[i] & ~(u64)(len - 1);

		if (!(dr7 >> (2 * i) & 3) || !(kinds & 1u << kind))
			continue;
		if (addr < at + len && at < addr + size)
			hits |= 1u << i;
	}
	return hits;
}

void x86_debug_arm(struct hyp_cpu *cpu)
{
	cpu->interp->bp_armed = dr7_effective(&cpu->s) & DR7_ENABLED;
	cpu->interp->bp_hits = 0;
}

void x86_note_access(struct hyp_cpu *cpu, gva_t gva, unsigned size, bool write)
{
	if (likely(!cpu->interp->bp_armed))
		return;
	cpu->interp->bp_hits |= bp_match(&cpu->s, gva, size, write ? 1u << BP_WRITE | 1u << BP_RW : 1u << BP_RW);
}

bool x86_debug_io(struct hyp_cpu *cpu, u16 port, unsigned size)
{
	unsigned hits;

	if (!cpu->interp->bp_armed || !(cpu->s.cr4 & X86_CR4_DE))
		return false;
	hits = bp_match(&cpu->s, port, size, 1u << BP_IO);
	cpu->interp->bp_hits |= hits;
	return hits;
}

/* ---- reporting ----------------------------------------------------------------------------------- */

static enum x86_ret exit_debug(struct hyp_cpu *cpu, u64 dr6)
{
	struct x86_state *s = &cpu->s;
	u64 base = cpu->code_size == 64 ? 0 : s->seg[X86_CS].base;

	s->exit.reason = HYP_EXIT_DEBUG;
	s->exit.insn_len = 0;
	s->exit.debug.dr6 = 0xffff0ff0u | dr6;
	s->exit.debug.dr7 = dr7_effective(s);
	s->exit.debug.pc = base + s->rip;
	s->exit.debug.vector = X86_DB;
	return X86_EXIT;
}

static enum x86_ret raise_db(struct hyp_cpu *cpu, u64 dr6)
{
	/* B0-B3 report this exception only; the rest is sticky */
	cpu->s.dr6 = (cpu->s.dr6 & ~15ull) | dr6;
	cpu->s.dr7 &= ~(u64)DR7_GD;
	return x86_raise(cpu, X86_DB);
}

enum x86_ret x86_debug_fetch(struct hyp_cpu *cpu, gva_t lin)
{
	unsigned hits;

	if (likely(!cpu->interp->bp_armed))
		return X86_OK;
	if (cpu->s.rflags & X86_FL_RF || cpu->s.shadow & X86_SHADOW_MOV_SS)
		return X86_OK;
	hits = bp_match(&cpu->s, lin, 1, 1u << BP_EXEC);
	if (!hits)
		return X86_OK;
	return cpu->s.guest_debug & X86_GDBG_HW_BP ? exit_debug(cpu, hits) : raise_db(cpu, hits);
}

/* The exit goes first; the trap waits for the next entry. */
static void queue_db(struct hyp_cpu *cpu, u64 dr6)
{
	cpu->s.dr6 = (cpu->s.dr6 & ~15ull) | dr6;
	hyp_x86_queue_exception(cpu, X86_DB, false, 0);
}

/* The instruction is done: forget its answered accesses, then the traps in the order of SDM table 6-2. */
enum x86_ret x86_debug_retire(struct hyp_cpu *cpu, bool tf, enum x86_ret ret)
{
	struct x86_state *s = &cpu->s;
	unsigned hits = cpu->interp->bp_hits;
	bool hw = s->guest_debug & X86_GDBG_HW_BP;

	if (ret == X86_EXIT && cpu->interp->retired) {
		cpu->mmio.n = 0;
		if (tf)
			queue_db(cpu, hits | DR6_BS);
		return ret;
	}
	if (ret != X86_OK)
		return ret;
	cpu->mmio.n = 0;
	if (likely(!tf && !hits && !(s->guest_debug & X86_GDBG_SINGLESTEP)))
		return X86_OK;
	if (s->shadow & X86_SHADOW_MOV_SS && !(s->guest_debug & X86_GDBG_SINGLESTEP))
		return X86_OK;
	if (s->guest_debug & X86_GDBG_SINGLESTEP)
		return exit_debug(cpu, DR6_BS | hits);
	if (hits && hw)
		return exit_debug(cpu, hits);
	return raise_db(cpu, hits | (tf ? DR6_BS : 0));
}
