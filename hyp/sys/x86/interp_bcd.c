/* SPDX-License-Identifier: Apache-2.0 */
/* What 64-bit mode lacks, and so the host cannot run: decimal adjustments and SALC. SDM vol. 2. */
#include "hyp/sys/x86/interp.h"

static void set_result_flags(struct hyp_cpu *cpu, u8 al, u32 cf_af)
{
	u64 fl = cpu->s.rflags & ~(u64)X86_FL_ARITH;

	fl |= cf_af;
	if (!al)
		fl |= X86_FL_ZF;
	if (al & 0x80)
		fl |= X86_FL_SF;
	if (!__builtin_parity(al))
		fl |= X86_FL_PF;
	cpu->s.rflags = fl;
}

static enum x86_ret decimal_adjust(struct hyp_cpu *cpu, bool sub)
{
	u8 old = cpu->s.gpr[X86_RAX], al = old;
	u64 fl = cpu->s.rflags;
	u32 out = 0;

	if ((old & 15) > 9 || fl & X86_FL_AF) {
		al = sub ? al - 6 : al + 6;
		out |= X86_FL_AF;
		if (sub ? old < 6 : old > 0xf9)
			out |= X86_FL_CF;
	}
	if (old > 0x99 || fl & X86_FL_CF) {
		al = sub ? al - 0x60 : al + 0x60;
		out |= X86_FL_CF;
	}
	if (!(old > 0x99 || fl & X86_FL_CF) && !sub)
		out &= ~X86_FL_CF;
	x86_reg_set(cpu, X86_RAX, 1, al);
	set_result_flags(cpu, al, out);
	return X86_OK;
}

enum x86_ret x86_op_daa(struct hyp_cpu *cpu, const struct x86_insn *in) { return decimal_adjust(cpu, false); }
enum x86_ret x86_op_das(struct hyp_cpu *cpu, const struct x86_insn *in) { return decimal_adjust(cpu, true); }

static enum x86_ret ascii_adjust(struct hyp_cpu *cpu, bool sub)
{
	u16 ax = cpu->s.gpr[X86_RAX];
	u32 out = 0;

	if ((ax & 15) > 9 || cpu->s.rflags & X86_FL_AF) {
		ax = sub ? ax - 0x106 : ax + 0x106;
		out = X86_FL_AF | X86_FL_CF;
	}
	ax &= 0xff0f;
	x86_reg_set(cpu, X86_RAX, 2, ax);
	set_result_flags(cpu, ax, out);
	return X86_OK;
}

enum x86_ret x86_op_aaa(struct hyp_cpu *cpu, const struct x86_insn *in) { return ascii_adjust(cpu, false); }
enum x86_ret x86_op_aas(struct hyp_cpu *cpu, const struct x86_insn *in) { return ascii_adjust(cpu, true); }

enum x86_ret x86_op_aam(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u8 al = cpu->s.gpr[X86_RAX], base = in->imm[0];

	if (!base)
		return x86_raise(cpu, X86_DE);
	x86_reg_set(cpu, X86_RAX, 2, (al / base) << 8 | al % base);
	set_result_flags(cpu, al % base, 0);
	return X86_OK;
}

enum x86_ret x86_op_aad(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u16 ax = cpu->s.gpr[X86_RAX];
	u8 al = (u8)ax + (ax >> 8) * (u8)in->imm[0];

	x86_reg_set(cpu, X86_RAX, 2, al);
	set_result_flags(cpu, al, 0);
	return X86_OK;
}

enum x86_ret x86_op_salc(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	x86_reg_set(cpu, X86_RAX, 1, cpu->s.rflags & X86_FL_CF ? 0xff : 0);
	return X86_OK;
}
