/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single-step and hardware breakpoints (SDM vol. 3, ch. 18), for the guest (DR0-7, RFLAGS.TF) and for
 * the client (guest_debug). Code breakpoints are faults, found before the instruction; data and I/O
 * breakpoints and single-step are traps, reported after it.
 */
#include "hyp/sys/x86/interp.h"

#define DR6_BS (1u << 14)
#define DR7_ENABLED 0xffu

enum { BP_EXEC, BP_WRITE, BP_IO, BP_RW };

static const u64 *dr_effective(const struct x86_state *s)
{
	return s->guest_debug & X86_GDBG_HW_BP ? s->gdbg_dr : s->dr;
}

/* DR6 bits of the enabled breakpoints of a kind in kinds that [addr, addr+size) touches. */
static unsigned bp_match(const struct x86_state *s, u64 addr, unsigned size, unsigned kinds)
{
	static const u8 len_of[4] = { 1, 2, 8, 4 };
	const u64 *dr = dr_effective(s);
	u64 dr7 = x86_dr7(s);
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
	cpu->interp->bp_armed = x86_dr7(&cpu->s) & DR7_ENABLED;
	cpu->interp->bp_hits = 0;
}

void x86_note_access(struct hyp_cpu *cpu, gva_t gva, unsigned size, bool write)
{
	if (likely(!cpu->interp->bp_armed))
		return;
	cpu->interp->bp_hits |= bp_match(&cpu->s, gva, size,
					 write ? 1u << BP_WRITE | 1u << BP_RW : 1u << BP_RW);
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

/* ---- reporting ------------------------------------------------------------------------------- */

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
	return x86_raise_db(cpu, hits);
}

/* The exit goes first; the trap waits in cpu->fault for the next entry. */
static void queue_db(struct hyp_cpu *cpu, u64 dr6)
{
	x86_raise_db(cpu, dr6);
}

/* After a finished instruction: its traps, all in one #DB. MOV SS holds them back by one instruction. */
enum x86_ret x86_debug_retire(struct hyp_cpu *cpu, bool tf, enum x86_ret ret)
{
	struct x86_state *s = &cpu->s;
	u64 dr6 = cpu->interp->bp_hits;
	bool step = s->guest_debug & X86_GDBG_SINGLESTEP;

	if (ret != X86_OK && !(ret == X86_EXIT && cpu->interp->retired))
		return ret;
	x86_mmio_retire(cpu);
	if (likely(!tf && !dr6 && !step))
		return ret;
	if (s->shadow & X86_SHADOW_MOV_SS && !step)
		return ret;
	if (tf || step)
		dr6 |= DR6_BS;
	if (ret == X86_OK)
		return x86_raise_db(cpu, dr6);
	queue_db(cpu, dr6);
	return ret;
}
