/* SPDX-License-Identifier: Apache-2.0 */
/* Stack instructions, LEAVE and ENTER, and the moves that are cheaper in C than in a stub. */
#include "hyp/sys/x86/interp.h"

static u64 rsp_of(const struct hyp_cpu *cpu)
{
	return cpu->s.gpr[X86_RSP];
}

/* ---- PUSH, POP ------------------------------------------------------------------------------- */

/* A selector is pushed as a word into a slot of the operand size (the rest is written as zero). */
enum x86_ret x86_op_push(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 val;

	X86_TRY(x86_opnd_get(cpu, in, 0, &val));
	return x86_opnd_push(cpu, x86_trunc(val, in->opsize), in->opsize);
}

static enum x86_ret pop_seg(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 rsp = rsp_of(cpu), sel;
	unsigned seg = in->opnd[0].reg;
	enum x86_ret ret;

	X86_TRY(x86_opnd_pop(cpu, &sel, in->opsize));
	ret = x86_load_seg(cpu, seg, sel);
	if (ret != X86_OK) {
		cpu->s.gpr[X86_RSP] = rsp;
		return ret;
	}
	if (seg == X86_SS)
		cpu->s.shadow |= X86_SHADOW_MOV_SS;
	return X86_OK;
}

/* The address of a memory destination is computed with the incremented RSP. */
enum x86_ret x86_op_pop(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 rsp = rsp_of(cpu), val;
	enum x86_ret ret;

	if (in->opnd[0].type == X86_OPND_SEG)
		return pop_seg(cpu, in);
	X86_TRY(x86_opnd_pop(cpu, &val, in->opsize));
	ret = x86_opnd_set(cpu, in, 0, val);
	if (ret != X86_OK)
		cpu->s.gpr[X86_RSP] = rsp;
	return ret;
}

enum x86_ret x86_op_pusha(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 rsp = rsp_of(cpu);

	for (unsigned r = X86_RAX; r <= X86_RDI; r++) {
		u64 val = r == X86_RSP ? rsp : cpu->s.gpr[r];
		enum x86_ret ret = x86_opnd_push(cpu, x86_trunc(val, in->opsize), in->opsize);

		if (ret != X86_OK) {
			cpu->s.gpr[X86_RSP] = rsp;
			return ret;
		}
	}
	return X86_OK;
}

enum x86_ret x86_op_popa(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 rsp = rsp_of(cpu), val[8];

	for (int r = X86_RDI; r >= X86_RAX; r--) {
		enum x86_ret ret = x86_opnd_pop(cpu, &val[r], in->opsize);

		if (ret != X86_OK) {
			cpu->s.gpr[X86_RSP] = rsp;
			return ret;
		}
	}
	for (unsigned r = X86_RAX; r <= X86_RDI; r++)
		if (r != X86_RSP)
			x86_reg_set(cpu, r, in->opsize, val[r]);
	return X86_OK;
}

enum x86_ret x86_op_pushf(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_pushf(cpu, in->opsize);
}

enum x86_ret x86_op_popf(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_popf(cpu, in->opsize);
}

/* ---- frames ---------------------------------------------------------------------------------- */

enum x86_ret x86_op_leave(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 rsp = rsp_of(cpu), rbp;
	enum x86_ret ret;

	x86_reg_set(cpu, X86_RSP, x86_stack_width(cpu), cpu->s.gpr[X86_RBP]);
	ret = x86_opnd_pop(cpu, &rbp, in->opsize);
	if (ret != X86_OK) {
		cpu->s.gpr[X86_RSP] = rsp;
		return ret;
	}
	x86_reg_set(cpu, X86_RBP, in->opsize, rbp);
	return X86_OK;
}

/* Pushes the enclosing frames' pointers: SDM vol. 2, ENTER. */
static enum x86_ret enter_levels(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned level, u64 frame)
{
	unsigned width = x86_stack_width(cpu);
	u64 bp = x86_trunc(cpu->s.gpr[X86_RBP], width);

	for (unsigned i = 1; i < level; i++) {
		u64 val = 0;

		bp = x86_trunc(bp - in->opsize, width);
		X86_TRY(x86_seg_read(cpu, X86_SS, bp, &val, in->opsize));
		X86_TRY(x86_opnd_push(cpu, val, in->opsize));
	}
	return x86_opnd_push(cpu, frame, in->opsize);
}

/* A write at the final stack pointer would have to succeed. */
static enum x86_ret enter_probe(struct hyp_cpu *cpu, u64 sp)
{
	enum x86_ret ret = X86_OK;
	gva_t gva;
	gpa_t gpa;

	X86_TRY(x86_linear(cpu, X86_SS, sp, 1, X86_ACC_W, &gva));
	return !hyp_mem_ptr(cpu, gva, X86_ACC_W, &gpa, &ret) && ret == X86_FAULT ? ret : X86_OK;
}

enum x86_ret x86_op_enter(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned level = in->imm[1] & 31, width = x86_stack_width(cpu);
	u64 rsp = rsp_of(cpu), frame;
	enum x86_ret ret = x86_opnd_push(cpu, x86_trunc(cpu->s.gpr[X86_RBP], in->opsize), in->opsize);

	frame = rsp_of(cpu);
	if (ret == X86_OK && level)
		ret = enter_levels(cpu, in, level, x86_trunc(frame, in->opsize));
	if (ret == X86_OK)
		ret = enter_probe(cpu, x86_trunc(rsp_of(cpu) - (u16)in->imm[0], width));
	if (ret != X86_OK) {
		cpu->s.gpr[X86_RSP] = rsp;
		return ret;
	}
	x86_reg_set(cpu, X86_RSP, width, rsp_of(cpu) - (u16)in->imm[0]);
	x86_reg_set(cpu, X86_RBP, in->opsize, frame);
	return X86_OK;
}

/* ---- moves ----------------------------------------------------------------------------------- */

static enum x86_ret mov_to_seg(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned seg = in->opnd[0].reg;
	u64 sel;

	if (seg == X86_CS)
		return x86_raise(cpu, X86_UD);
	X86_TRY(x86_opnd_get(cpu, in, 1, &sel));
	X86_TRY(x86_load_seg(cpu, seg, sel));
	if (seg == X86_SS)
		cpu->s.shadow |= X86_SHADOW_MOV_SS;
	return X86_OK;
}

/* To a register the whole operand size is written, to memory always a word. */
static enum x86_ret mov_from_seg(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 sel = cpu->s.seg[in->opnd[1].reg].sel;

	if (in->opnd[0].type == X86_OPND_GPR) {
		x86_reg_set(cpu, in->opnd[0].reg, in->opsize, sel);
		return X86_OK;
	}
	return x86_opnd_set(cpu, in, 0, sel);
}

/* The local APIC lives on KVM's side: it learns of a new TPR by an exit after the MOV. */
static enum x86_ret mov_to_cr(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 val = x86_reg_get(cpu, in->opnd[1].reg, in->opnd[1].size), next = x86_next_rip(cpu, in);
	enum x86_ret ret = x86_mov_to_cr(cpu, in->opnd[0].reg, val);

	if (ret == X86_EXIT) {
		cpu->s.rip = next;
		cpu->interp->retired = true;
	}
	return ret;
}

static enum x86_ret mov_special(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 val;

	if (in->opnd[0].type == X86_OPND_CR)
		return mov_to_cr(cpu, in);
	if (in->opnd[0].type == X86_OPND_DR)
		return x86_mov_to_dr(cpu, in->opnd[0].reg,
				     x86_reg_get(cpu, in->opnd[1].reg, in->opnd[1].size));
	if (in->opnd[1].type == X86_OPND_CR)
		X86_TRY(x86_mov_from_cr(cpu, in->opnd[1].reg, &val));
	else
		X86_TRY(x86_mov_from_dr(cpu, in->opnd[1].reg, &val));
	x86_reg_set(cpu, in->opnd[0].reg, in->opnd[0].size, val);
	return X86_OK;
}

enum x86_ret x86_op_mov(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned dst = in->opnd[0].type, src = in->opnd[1].type;
	u64 val;

	if (dst == X86_OPND_SEG)
		return mov_to_seg(cpu, in);
	if (src == X86_OPND_SEG)
		return mov_from_seg(cpu, in);
	if (dst == X86_OPND_CR || dst == X86_OPND_DR || src == X86_OPND_CR || src == X86_OPND_DR)
		return mov_special(cpu, in);
	X86_TRY(x86_opnd_get(cpu, in, 1, &val));
	return x86_opnd_set(cpu, in, 0, val);
}

enum x86_ret x86_op_movzx(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_op_mov(cpu, in);
}

enum x86_ret x86_op_movsx(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 val;

	X86_TRY(x86_opnd_get(cpu, in, 1, &val));
	return x86_opnd_set(cpu, in, 0, x86_sext(val, in->opnd[1].size));
}

enum x86_ret x86_op_lea(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	x86_reg_set(cpu, in->opnd[0].reg, in->opnd[0].size, x86_ea_offset(cpu, in));
	return X86_OK;
}

/* LDS LES LSS LFS LGS: the offset goes to the register only when the selector loads. */
static enum x86_ret load_far(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned seg)
{
	u8 buf[16] = { 0 };
	u64 off;
	gva_t gva;

	X86_TRY(x86_ea(cpu, in, in->opsize + 2, X86_ACC_R, &gva));
	X86_TRY(x86_lin_read(cpu, gva, buf, in->opsize + 2));
	__builtin_memcpy(&off, buf, 8);
	X86_TRY(x86_load_seg(cpu, seg, buf[in->opsize] | buf[in->opsize + 1] << 8));
	x86_reg_set(cpu, in->opnd[0].reg, in->opsize, off);
	return X86_OK;
}

enum x86_ret x86_op_lds(struct hyp_cpu *cpu, const struct x86_insn *in) { return load_far(cpu, in, X86_DS); }
enum x86_ret x86_op_les(struct hyp_cpu *cpu, const struct x86_insn *in) { return load_far(cpu, in, X86_ES); }
enum x86_ret x86_op_lss(struct hyp_cpu *cpu, const struct x86_insn *in) { return load_far(cpu, in, X86_SS); }
enum x86_ret x86_op_lfs(struct hyp_cpu *cpu, const struct x86_insn *in) { return load_far(cpu, in, X86_FS); }
enum x86_ret x86_op_lgs(struct hyp_cpu *cpu, const struct x86_insn *in) { return load_far(cpu, in, X86_GS); }

enum x86_ret x86_op_xlat(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 off = x86_trunc(cpu->s.gpr[X86_RBX] + (u8)cpu->s.gpr[X86_RAX], in->asize);
	u8 val;

	X86_TRY(x86_seg_read(cpu, in->mem.seg, off, &val, 1));
	x86_reg_set(cpu, X86_RAX, 1, val);
	return X86_OK;
}

/* 0F 0D (prefetches) with a register is a NOP on some CPUs and #UD on others: ask the host. */
enum x86_ret x86_op_nop(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (in->opcode == 0x0d && in->nopnd && in->opnd[0].type == X86_OPND_GPR)
		return x86_native_at(cpu, (struct x86_insn *)in, NULL);
	return X86_OK;
}
