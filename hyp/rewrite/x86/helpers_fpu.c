/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XSAVE, XSAVEOPT and XRSTOR of 64-bit code with REX.W, as kernels use them at every context switch and
 * signal: the state stays in the host's registers. What is unusual is the interpreter's. Guest-live.
 */
#include "hyp/rewrite/x86/engine.h"
#include "hyp/rewrite/x86/helpers.h"
#include "hyp/sys/x86/xsave.h"

/* The area's address is in S1. */
static bool usual(struct hyp_cpu *cpu, struct x86_xarea *xa)
{
	const struct x86_state *s = &cpu->s;

	*xa = (struct x86_xarea){ .gva = cpu->scratch[4], .rfbm = x86_xsave_requested(cpu) };
	return s->cr4 & X86_CR4_OSXSAVE && !(s->cr0 & X86_CR0_TS) && !(xa->gva & 63) &&
	       x86_canonical(cpu, xa->gva) && x86_canonical(cpu, xa->gva + X86_XSAVE_MAX);
}

static enum x86_ret save(struct hyp_cpu *cpu, bool opt)
{
	struct x86_xarea xa;
	enum x86_ret ret;
	u64 bv;
	u32 mxcsr;

	if (unlikely(!usual(cpu, &xa)))
		return HYP_HELPER_INTERP;
	hyp_fpu_peek(cpu);
	__builtin_memcpy(&bv, cpu->s.xsave + XSAVE_HEADER, 8);
	__builtin_memcpy(&mxcsr, cpu->s.xsave + 24, 4);
	if (mxcsr != MXCSR_INIT)
		bv |= BIT(XC_SSE);
	ret = x86_xsave_out(cpu, &xa, opt ? xa.rfbm & bv : xa.rfbm, bv, cpu->s.xsave);
	if (likely(ret != X86_EXIT))
		return ret;
	x86_mmio_drop(cpu);
	return HYP_HELPER_INTERP;
}

enum x86_ret helper_xsave(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return save(cpu, false);
}

enum x86_ret helper_xsaveopt(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	return save(cpu, true);
}

enum x86_ret helper_xrstor(struct hyp_cpu *cpu, u64 operand, unsigned len)
{
	struct x86_xarea xa;
	enum x86_ret ret;
	u64 header[8];

	if (unlikely(!usual(cpu, &xa)))
		return HYP_HELPER_INTERP;
	ret = x86_xrstor_header(cpu, &xa, header);
	if (unlikely(ret == X86_OK && xa.layout))
		return HYP_HELPER_INTERP;
	if (likely(ret == X86_OK))
		ret = x86_xrstor_in(cpu, &xa, header[0], cpu->s.xsave);
	if (unlikely(ret != X86_OK))
		return ret == X86_EXIT ? HYP_HELPER_INTERP : ret;
	header[0] &= xa.rfbm;
	__builtin_memcpy(cpu->s.xsave + XSAVE_HEADER, header, 8);
	hyp_fpu_poke(cpu, xa.rfbm);
	return X86_OK;
}
