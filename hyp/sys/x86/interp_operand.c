/* SPDX-License-Identifier: Apache-2.0 */
/* Registers, effective addresses and memory operands of the interpreter. */
#include <string.h>

#include "hyp/sys/x86/interp.h"

static const u64 size_mask[9] = { 0, 0xff, 0xffff, 0, 0xffffffff, 0, 0, 0, ~0ull };

u64 x86_trunc(u64 v, unsigned size)
{
	return size < 8 ? v & size_mask[size] : v;
}

s64 x86_sext(u64 v, unsigned size)
{
	unsigned shift = 64 - 8 * size;

	return (s64)(v << shift) >> shift;
}

u64 x86_reg_get(const struct hyp_cpu *cpu, unsigned reg, unsigned size)
{
	if (reg >= X86_REG_HIGH)
		return (u8)(cpu->s.gpr[reg - X86_REG_HIGH] >> 8);
	return x86_trunc(cpu->s.gpr[reg], size);
}

void x86_reg_set(struct hyp_cpu *cpu, unsigned reg, unsigned size, u64 val)
{
	u64 *r;

	if (reg >= X86_REG_HIGH) {
		r = &cpu->s.gpr[reg - X86_REG_HIGH];
		*r = (*r & ~0xff00ull) | (u64)(u8)val << 8;
		return;
	}
	r = &cpu->s.gpr[reg];
	if (size >= 4)
		*r = x86_trunc(val, size);
	else
		*r = (*r & ~size_mask[size]) | (val & size_mask[size]);
}

/* 16-bit code runs on beyond 64 KiB where the limit lets it (SMM): only branches cut EIP to their operand
 * size. */
u64 x86_next_rip(const struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 rip = cpu->s.rip + in->len;

	return cpu->code_size == 64 ? rip : (u32)rip;
}

unsigned x86_stack_width(const struct hyp_cpu *cpu)
{
	if (cpu->code_size == 64)
		return 8;
	return cpu->s.seg[X86_SS].ar & X86_AR_DB ? 4 : 2;
}

/* ---- effective addresses --------------------------------------------------------------------- */

u64 x86_ea_offset(const struct hyp_cpu *cpu, const struct x86_insn *in)
{
	const struct x86_mem *m = &in->mem;
	u64 ea = m->disp;

	if (m->rip_relative)
		ea += x86_next_rip(cpu, in);
	if (m->base != X86_REG_NONE)
		ea += cpu->s.gpr[m->base];
	if (m->index != X86_REG_NONE && !m->vsib)
		ea += cpu->s.gpr[m->index] * m->scale;
	return x86_trunc(ea, in->asize);
}

/* BTx with a register: the bit address reaches beyond the operand (SDM vol. 2, 3.1.1.9). */
static u64 bit_string_offset(const struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned size = in->opnd[1].size;
	s64 bit = x86_sext(x86_reg_get(cpu, in->opnd[1].reg, size), size);

	return (bit >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * (s64)size;
}

enum x86_ret x86_ea(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned size, unsigned acc, gva_t *gva)
{
	u64 off = x86_ea_offset(cpu, in);

	if (in->op_flags & X86_OP_BITSTRING && in->opnd[1].type == X86_OPND_GPR)
		off = x86_trunc(off + bit_string_offset(cpu, in), in->asize);
	return x86_linear(cpu, in->mem.seg, off, size, acc, gva);
}

/* ---- memory ---------------------------------------------------------------------------------- */

enum x86_ret x86_lin_read(struct hyp_cpu *cpu, gva_t gva, void *buf, unsigned size)
{
	x86_note_access(cpu, gva, size, false);
	return x86_mem_read(cpu, gva, buf, size, X86_ACC_R);
}

enum x86_ret x86_lin_write(struct hyp_cpu *cpu, gva_t gva, const void *buf, unsigned size)
{
	x86_note_access(cpu, gva, size, true);
	return x86_mem_write(cpu, gva, buf, size, X86_ACC_W);
}

enum x86_ret x86_seg_read(struct hyp_cpu *cpu, unsigned seg, u64 off, void *buf, unsigned size)
{
	gva_t gva;

	X86_TRY(x86_linear(cpu, seg, off, size, X86_ACC_R, &gva));
	return x86_lin_read(cpu, gva, buf, size);
}

enum x86_ret x86_seg_write(struct hyp_cpu *cpu, unsigned seg, u64 off, const void *buf, unsigned size)
{
	gva_t gva;

	X86_TRY(x86_linear(cpu, seg, off, size, X86_ACC_W, &gva));
	return x86_lin_write(cpu, gva, buf, size);
}

/* ---- the stack ---------------------------------------------------------------------------------- */

static void note_stack(struct hyp_cpu *cpu, u64 rsp, unsigned size, bool write)
{
	u64 base = cpu->code_size == 64 ? 0 : cpu->s.seg[X86_SS].base;

	x86_note_access(cpu, base + x86_trunc(rsp, x86_stack_width(cpu)), size, write);
}

enum x86_ret x86_opnd_push(struct hyp_cpu *cpu, u64 val, unsigned size)
{
	X86_TRY(x86_push(cpu, val, size));
	note_stack(cpu, cpu->s.gpr[X86_RSP], size, true);
	return X86_OK;
}

enum x86_ret x86_opnd_pop(struct hyp_cpu *cpu, u64 *val, unsigned size)
{
	note_stack(cpu, cpu->s.gpr[X86_RSP], size, false);
	return x86_pop(cpu, val, size);
}

/* ---- explicit operands ----------------------------------------------------------------------- */

enum x86_ret x86_opnd_get(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned i, u64 *val)
{
	const struct x86_opnd *o = &in->opnd[i];
	gva_t gva;

	switch (o->type) {
	case X86_OPND_GPR:
		*val = x86_reg_get(cpu, o->reg, o->size);
		return X86_OK;
	case X86_OPND_IMM:
		*val = in->imm[o->reg];
		return X86_OK;
	case X86_OPND_SEG:
		*val = cpu->s.seg[o->reg].sel;
		return X86_OK;
	case X86_OPND_MEM:
		*val = 0;
		X86_TRY(x86_ea(cpu, in, o->size, X86_ACC_R, &gva));
		return x86_lin_read(cpu, gva, val, MIN(o->size, 8));
	default:
		return x86_raise(cpu, X86_UD);
	}
}

enum x86_ret x86_opnd_set(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned i, u64 val)
{
	const struct x86_opnd *o = &in->opnd[i];
	gva_t gva;

	if (o->type == X86_OPND_GPR) {
		x86_reg_set(cpu, o->reg, o->size, val);
		return X86_OK;
	}
	X86_TRY(x86_ea(cpu, in, o->size, X86_ACC_W, &gva));
	return x86_lin_write(cpu, gva, &val, MIN(o->size, 8));
}
