/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May the instruction touch x87, MMX, SSE, AVX state now? SDM vol. 3, 2.5 (CR0.EM, MP, TS), 13.1
 * (CR4.OSFXSR), vol. 1, 13.2-13.3 (CR4.OSXSAVE, XCR0) and the exception tables of vol. 2, 2.4-2.8.
 */
#include "hyp/sys/x86/interp.h"

#define XCR0_AVX 0x6u
#define XCR0_AVX512 0xe6u

static bool cr0(const struct hyp_cpu *cpu, u64 bits)
{
	return cpu->s.cr0 & bits;
}

static int gate_none(const struct hyp_cpu *cpu)
{
	return -1;
}

static int gate_x87(const struct hyp_cpu *cpu)
{
	return cr0(cpu, X86_CR0_EM | X86_CR0_TS) ? X86_NM : -1;
}

static int gate_fwait(const struct hyp_cpu *cpu)
{
	return cr0(cpu, X86_CR0_MP) && cr0(cpu, X86_CR0_TS) ? X86_NM : -1;
}

static int gate_mmx(const struct hyp_cpu *cpu)
{
	return cr0(cpu, X86_CR0_EM) ? X86_UD : cr0(cpu, X86_CR0_TS) ? X86_NM : -1;
}

static int gate_sse(const struct hyp_cpu *cpu)
{
	return cpu->s.cr4 & X86_CR4_OSFXSR ? gate_mmx(cpu) : X86_UD;
}

static int gate_xcr0(const struct hyp_cpu *cpu, u64 need)
{
	if (!(cpu->s.cr4 & X86_CR4_OSXSAVE) || (cpu->s.xcr0 & need) != need)
		return X86_UD;
	return cr0(cpu, X86_CR0_TS) ? X86_NM : -1;
}

static int gate_avx(const struct hyp_cpu *cpu)
{
	return gate_xcr0(cpu, XCR0_AVX);
}

static int gate_avx512(const struct hyp_cpu *cpu)
{
	return gate_xcr0(cpu, XCR0_AVX512);
}

static int gate_xsave(const struct hyp_cpu *cpu)
{
	return gate_xcr0(cpu, 0);
}

static int (*const gates[X86_GATE_NR])(const struct hyp_cpu *cpu) = {
	[X86_GATE_NONE] = gate_none,
	[X86_GATE_X87] = gate_x87,
	[X86_GATE_FWAIT] = gate_fwait,
	[X86_GATE_MMX] = gate_mmx,
	[X86_GATE_SSE] = gate_sse,
	[X86_GATE_AVX] = gate_avx,
	[X86_GATE_AVX512] = gate_avx512,
	[X86_GATE_FXSR] = gate_x87,
	[X86_GATE_XSAVE] = gate_xsave,
};

enum x86_ret x86_gate_check(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	int vector = gates[in->gate](cpu);

	return vector < 0 ? X86_OK : x86_raise(cpu, vector);
}
