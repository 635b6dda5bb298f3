/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions executed by a C function between two pieces of translated code (helpers.h). Guest-live. */
#include "hyp/mem/as.h"
#include "hyp/rewrite/x86/helpers.h"

static u64 next_rip(const struct hyp_cpu *cpu, unsigned len)
{
	u64 next = cpu->s.rip + len;

	return cpu->code_size == 64 ? next : (u32)next;
}

static enum x86_ret helper_syscall(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_syscall(cpu, next_rip(cpu, len));
}

static enum x86_ret helper_sysret(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_sysret(cpu, (unsigned)operand);
}

static enum x86_ret helper_sysenter(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_sysenter(cpu);
}

static enum x86_ret helper_sysexit(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_sysexit(cpu, (unsigned)operand);
}

static enum x86_ret helper_int(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_softint(cpu, (u8)operand, next_rip(cpu, len));
}

static enum x86_ret helper_iretd(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_iret(cpu, 4);
}

static enum x86_ret helper_iretq(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_iret(cpu, 8);
}

static enum x86_ret helper_popfd(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_popf(cpu, 4);
}

static enum x86_ret helper_popfq(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_popf(cpu, 8);
}

/* The shadow covers the next instruction, which translated code executes before it polls again. */
static enum x86_ret helper_sti(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	enum x86_ret ret = x86_sti(cpu);

	if (ret == X86_OK && !cpu->attention)
		cpu->s.shadow = 0;
	return ret;
}

static enum x86_ret tsc_to_edx_eax(struct hyp_cpu *cpu)
{
	u64 tsc;

	if (cpu->s.cr4 & X86_CR4_TSD && x86_cpl(&cpu->s))
		return x86_raise_err(cpu, X86_GP, 0);
	tsc = hyp_x86_tsc(cpu);
	cpu->s.gpr[X86_RAX] = (u32)tsc;
	cpu->s.gpr[X86_RDX] = tsc >> 32;
	return X86_OK;
}

static enum x86_ret helper_rdtsc(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return tsc_to_edx_eax(cpu);
}

static enum x86_ret helper_rdtscp(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	if (!cpu->s.has_rdtscp)
		return x86_raise(cpu, X86_UD);
	if (tsc_to_edx_eax(cpu) != X86_OK)
		return X86_FAULT;
	cpu->s.gpr[X86_RCX] = (u32)cpu->s.tsc_aux;
	return X86_OK;
}

static enum x86_ret helper_mov_to_cr(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	u64 val = cpu->s.gpr[operand >> 8];

	return x86_mov_to_cr(cpu, operand & 15, cpu->code_size == 64 ? val : (u32)val);
}

static enum x86_ret helper_mov_from_cr(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	u64 val;
	enum x86_ret ret = x86_mov_from_cr(cpu, operand & 15, &val);

	if (ret == X86_OK)
		cpu->s.gpr[operand >> 8] = cpu->code_size == 64 ? val : (u32)val;
	return ret;
}

static enum x86_ret helper_mov_to_seg(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_load_seg(cpu, operand & 15, (u16)cpu->s.gpr[operand >> 8]);
}

/* PUSH and POP of a segment register in 32-bit code. */
static enum x86_ret helper_push_seg(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_push(cpu, cpu->s.seg[operand].sel, 4);
}

static enum x86_ret helper_pop_seg(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	u64 rsp = cpu->s.gpr[X86_RSP], sel;
	enum x86_ret ret = x86_pop(cpu, &sel, 4);

	if (ret == X86_EXIT)
		return HYP_HELPER_INTERP; /* the stack is a device */
	if (ret == X86_OK)
		ret = x86_load_seg(cpu, (unsigned)operand, (u16)sel);
	if (ret != X86_OK)
		cpu->s.gpr[X86_RSP] = rsp;
	return ret;
}

static enum x86_ret helper_invlpg(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return x86_invlpg(cpu, cpu->scratch[4]);
}

const struct helper helpers[HELPER_NR] = {
#define HELPER(id, mnemonic, flags) [HELPER_##id] = { helper_##id, flags },
#include "hyp/rewrite/x86/helpers.inc"
#undef HELPER
};

u64 hyp_x86_tsc(struct hyp_cpu *cpu)
{
	u64 host = __builtin_ia32_rdtsc();

	if (cpu->s.tsc_ratio != 1ull << 48)
		host = (u64)((unsigned __int128)host * cpu->s.tsc_ratio >> 48);
	return host + cpu->s.tsc_offset;
}
