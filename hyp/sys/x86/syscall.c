/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS (SDM vol. 2; APM vol. 3). They load fixed flat segments and
 * read no descriptor, which is why they are fast.
 *
 * Where vendors differ (s.is_amd): AMD has SYSCALL/SYSRET in legacy and compatibility mode and no
 * SYSENTER/SYSEXIT in long mode; Intel the reverse. SYSRET to a non-canonical RIP is #GP on Intel, and
 * on AMD loads RIP, which faults at the fetch in user mode.
 */
#include "hyp/sys/x86/desc.h"

#define DPL3 (3u << X86_AR_DPL_SHIFT)

static enum x86_ret gp0(struct hyp_cpu *cpu)
{
	return x86_raise_err(cpu, X86_GP, 0);
}

static void load_flat(struct hyp_cpu *cpu, u16 cs, u16 ss, u32 cs_ar, u32 dpl)
{
	x86_seg_flat(&cpu->s.seg[X86_CS], cs, cs_ar | dpl);
	x86_seg_flat(&cpu->s.seg[X86_SS], ss, X86_AR_FLAT_DATA | dpl);
}

/* AMD, protected mode without EFER.LMA: the target is in STAR itself. */
static enum x86_ret syscall_legacy(struct hyp_cpu *cpu, u64 next_rip)
{
	struct x86_state *s = &cpu->s;
	u16 cs = (s->star >> 32) & 0xfffc;

	s->gpr[X86_RCX] = (u32)next_rip;
	s->rip = (u32)s->star;
	s->rflags &= ~(u64)(X86_FL_IF | X86_FL_VM | X86_FL_RF);
	load_flat(cpu, cs, cs + 8, X86_AR_FLAT_CODE32, 0);
	hyp_mode_update(cpu);
	return X86_OK;
}

enum x86_ret x86_syscall(struct hyp_cpu *cpu, u64 next_rip)
{
	struct x86_state *s = &cpu->s;
	u16 cs = (s->star >> 32) & 0xfffc;
	u64 flags;

	if (unlikely(!(s->efer & X86_EFER_SCE)))
		return x86_raise(cpu, X86_UD);
	if (unlikely(cpu->code_size != 64)) {
		if (!s->is_amd || !x86_protected(s))
			return x86_raise(cpu, X86_UD);
		if (!x86_long_active(s))
			return syscall_legacy(cpu, next_rip);
	}
	cpu->kernel_entries++;
	flags = x86_rflags(cpu) & ~(u64)X86_FL_RF;
	s->gpr[X86_RCX] = next_rip;
	s->gpr[X86_R11] = flags;
	s->rip = likely(cpu->code_size == 64) ? s->lstar : s->cstar;
	load_flat(cpu, cs, cs + 8, X86_AR_FLAT_CODE64, 0);
	x86_put_rflags(cpu, flags & ~s->sfmask);
	hyp_mode_update(cpu);
	return X86_OK;
}

static enum x86_ret sysret_legacy(struct hyp_cpu *cpu)
{
	struct x86_state *s = &cpu->s;
	u16 cs = s->star >> 48;

	s->rip = (u32)s->gpr[X86_RCX];
	load_flat(cpu, cs | 3, (cs + 8) | 3, X86_AR_FLAT_CODE32, DPL3);
	x86_put_rflags(cpu, x86_rflags(cpu) | X86_FL_IF);
	hyp_mode_update(cpu);
	return X86_OK;
}

enum x86_ret x86_sysret(struct hyp_cpu *cpu, unsigned opsize)
{
	struct x86_state *s = &cpu->s;
	u16 base = s->star >> 48;
	u64 rip = s->gpr[X86_RCX];

	if (unlikely(!(s->efer & X86_EFER_SCE) || (cpu->code_size != 64 && !s->is_amd)))
		return x86_raise(cpu, X86_UD);
	if (unlikely(!x86_protected(s) || x86_cpl(s)))
		return gp0(cpu);
	if (unlikely(!x86_long_active(s)))
		return sysret_legacy(cpu);
	if (likely(opsize == 8)) {
		if (unlikely(!s->is_amd && !x86_is_canonical(&cpu->s, rip)))
			return gp0(cpu);
		load_flat(cpu, (base + 16) | 3, (base + 8) | 3, X86_AR_FLAT_CODE64, DPL3);
	} else {
		rip = (u32)rip;
		load_flat(cpu, base | 3, (base + 8) | 3, X86_AR_FLAT_CODE32, DPL3);
	}
	s->rip = rip;
	x86_put_rflags(cpu, s->gpr[X86_R11] & 0x3c7fd7);
	hyp_mode_update(cpu);
	return X86_OK;
}

enum x86_ret x86_sysenter(struct hyp_cpu *cpu)
{
	struct x86_state *s = &cpu->s;
	u16 cs = s->sysenter_cs & 0xfffc;
	bool lm = x86_long_active(s);

	if (lm && s->is_amd)
		return x86_raise(cpu, X86_UD);
	if (!(s->cr0 & X86_CR0_PE) || !cs)
		return gp0(cpu);
	s->rip = lm ? s->sysenter_eip : (u32)s->sysenter_eip;
	s->gpr[X86_RSP] = lm ? s->sysenter_esp : (u32)s->sysenter_esp;
	s->rflags &= ~(u64)(X86_FL_IF | X86_FL_VM | X86_FL_RF);
	load_flat(cpu, cs, cs + 8, lm ? X86_AR_FLAT_CODE64 : X86_AR_FLAT_CODE32, 0);
	hyp_mode_update(cpu);
	return X86_OK;
}

enum x86_ret x86_sysexit(struct hyp_cpu *cpu, unsigned opsize)
{
	struct x86_state *s = &cpu->s;
	u16 cs = s->sysenter_cs & 0xfffc;
	u64 rip = s->gpr[X86_RDX], rsp = s->gpr[X86_RCX];

	if (x86_long_active(s) && s->is_amd)
		return x86_raise(cpu, X86_UD);
	if (!x86_protected(s) || !cs || x86_cpl(s))
		return gp0(cpu);
	if (opsize == 8) {
		if (!x86_is_canonical(&cpu->s, rip) || !x86_is_canonical(&cpu->s, rsp))
			return gp0(cpu);
		load_flat(cpu, (cs + 32) | 3, (cs + 40) | 3, X86_AR_FLAT_CODE64, DPL3);
	} else {
		rip = (u32)rip;
		rsp = (u32)rsp;
		load_flat(cpu, (cs + 16) | 3, (cs + 24) | 3, X86_AR_FLAT_CODE32, DPL3);
	}
	s->rip = rip;
	s->gpr[X86_RSP] = rsp;
	hyp_mode_update(cpu);
	return X86_OK;
}

enum x86_ret x86_swapgs(struct hyp_cpu *cpu)
{
	struct x86_state *s = &cpu->s;
	u64 base = s->seg[X86_GS].base;

	if (unlikely(cpu->code_size != 64))
		return x86_raise(cpu, X86_UD);
	if (unlikely(x86_cpl(s)))
		return gp0(cpu);
	s->seg[X86_GS].base = s->kernel_gs_base;
	s->kernel_gs_base = base;
	return X86_OK;
}
