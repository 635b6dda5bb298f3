/* SPDX-License-Identifier: Apache-2.0 */
/* Control transfers: near ones here, far ones by far.c, software interrupts through the IDT. */
#include "hyp/sys/x86/interp.h"

/* ---- near ------------------------------------------------------------------------------------ */

/* Jumps to target: truncated to the operand size, then checked (#GP(0)) before rip moves. */
static enum x86_ret check_target(struct hyp_cpu *cpu, unsigned opsize, u64 *target)
{
	if (cpu->code_size == 64) {
		if (opsize == 2)
			*target = (u16)*target;
		return x86_canonical(cpu, *target) ? X86_OK : x86_raise_err(cpu, X86_GP, 0);
	}
	*target = x86_trunc(*target, opsize);
	return *target > cpu->s.seg[X86_CS].limit ? x86_raise_err(cpu, X86_GP, 0) : X86_OK;
}

static enum x86_ret jump(struct hyp_cpu *cpu, unsigned opsize, u64 target)
{
	X86_TRY(check_target(cpu, opsize, &target));
	cpu->s.rip = target;
	return X86_OK;
}

/* 64-bit code: near branches are 64 bits wide whatever the prefixes say. */
static unsigned branch_size(const struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return cpu->code_size == 64 ? 8 : in->opsize;
}

static enum x86_ret jump_rel(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return jump(cpu, branch_size(cpu, in), cpu->s.rip + in->len + in->imm[0]);
}

static enum x86_ret jump_rel_if(struct hyp_cpu *cpu, const struct x86_insn *in, bool taken)
{
	if (taken)
		return jump_rel(cpu, in);
	cpu->s.rip = x86_next_rip(cpu, in);
	return X86_OK;
}

/* SDM vol. 1, appendix B: tttn */
static bool condition(u64 fl, unsigned cc)
{
	bool sf_of = !(fl & X86_FL_SF) != !(fl & X86_FL_OF);
	bool r = false;

	switch (cc >> 1) {
	case 0: r = fl & X86_FL_OF; break;
	case 1: r = fl & X86_FL_CF; break;
	case 2: r = fl & X86_FL_ZF; break;
	case 3: r = fl & (X86_FL_CF | X86_FL_ZF); break;
	case 4: r = fl & X86_FL_SF; break;
	case 5: r = fl & X86_FL_PF; break;
	case 6: r = sf_of; break;
	case 7: r = sf_of || fl & X86_FL_ZF; break;
	}
	return r ^ (cc & 1);
}

enum x86_ret x86_op_jcc(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return jump_rel_if(cpu, in, condition(cpu->s.rflags, in->opcode & 15));
}

enum x86_ret x86_op_jcxz(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return jump_rel_if(cpu, in, x86_get_a(cpu, in, X86_RCX) == 0);
}

/* LOOPNE E0, LOOPE E1, LOOP E2 */
enum x86_ret x86_op_loop(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 count = x86_trunc(cpu->s.gpr[X86_RCX] - 1, in->asize);
	bool zf = cpu->s.rflags & X86_FL_ZF;
	bool taken = count && (in->opcode == 0xe2 || zf == (in->opcode == 0xe1));

	X86_TRY(jump_rel_if(cpu, in, taken));
	x86_reg_set(cpu, X86_RCX, in->asize, count);
	return X86_OK;
}

static enum x86_ret far_pointer(struct hyp_cpu *cpu, const struct x86_insn *in, u16 *sel, u64 *off)
{
	u8 buf[10] = { 0 };
	gva_t gva;

	if (in->opnd[0].type == X86_OPND_PTR) {
		*off = in->imm[0];
		*sel = in->imm[1];
		return X86_OK;
	}
	X86_TRY(x86_ea(cpu, in, in->opsize + 2, X86_ACC_R, &gva));
	X86_TRY(x86_lin_read(cpu, gva, buf, in->opsize + 2));
	*off = 0;
	__builtin_memcpy(off, buf, 8);
	*off = x86_trunc(*off, in->opsize);
	*sel = buf[in->opsize] | buf[in->opsize + 1] << 8;
	return X86_OK;
}

enum x86_ret x86_op_jmp(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 target;
	u16 sel;

	if (in->flags & X86_IN_FAR) {
		X86_TRY(far_pointer(cpu, in, &sel, &target));
		return x86_far_jmp(cpu, sel, target, in->opsize);
	}
	if (in->opnd[0].type == X86_OPND_IMM)
		return jump_rel(cpu, in);
	X86_TRY(x86_opnd_get(cpu, in, 0, &target));
	return jump(cpu, branch_size(cpu, in), target);
}

enum x86_ret x86_op_call(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned size = branch_size(cpu, in);
	u64 next = x86_next_rip(cpu, in), target;
	u16 sel;

	if (in->flags & X86_IN_FAR) {
		X86_TRY(far_pointer(cpu, in, &sel, &target));
		return x86_far_call(cpu, sel, target, in->opsize, next);
	}
	if (in->opnd[0].type == X86_OPND_IMM)
		target = cpu->s.rip + in->len + in->imm[0];
	else
		X86_TRY(x86_opnd_get(cpu, in, 0, &target));
	X86_TRY(check_target(cpu, size, &target));
	X86_TRY(x86_opnd_push(cpu, next, size));
	cpu->s.rip = target;
	return X86_OK;
}

static void stack_release(struct hyp_cpu *cpu, u16 bytes)
{
	unsigned width = x86_stack_width(cpu);

	x86_reg_set(cpu, X86_RSP, width, cpu->s.gpr[X86_RSP] + bytes);
}

enum x86_ret x86_op_ret(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u16 imm = in->nopnd ? in->imm[0] : 0;
	u64 rsp = cpu->s.gpr[X86_RSP], target;
	unsigned size = branch_size(cpu, in);

	if (in->flags & X86_IN_FAR)
		return x86_far_ret(cpu, in->opsize, imm);
	X86_TRY(x86_opnd_pop(cpu, &target, size));
	if (jump(cpu, size, target) != X86_OK) {
		cpu->s.gpr[X86_RSP] = rsp;
		return X86_FAULT;
	}
	stack_release(cpu, imm);
	return X86_OK;
}

enum x86_ret x86_op_iret(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_iret(cpu, in->opsize);
}

/* ---- software interrupts --------------------------------------------------------------------- */

enum x86_ret x86_op_int(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_softint(cpu, in->imm[0], x86_next_rip(cpu, in));
}

enum x86_ret x86_op_int3(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_softint(cpu, X86_BP, x86_next_rip(cpu, in));
}

enum x86_ret x86_op_into(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (cpu->s.rflags & X86_FL_OF)
		return x86_softint(cpu, X86_OF, x86_next_rip(cpu, in));
	cpu->s.rip = x86_next_rip(cpu, in);
	return X86_OK;
}

/* INT1 is a #DB without the gate's privilege check */
enum x86_ret x86_op_int1(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	const struct x86_event ev = { .type = X86_EVENT_EXCEPTION, .vector = X86_DB };

	cpu->s.rip = x86_next_rip(cpu, in);
	return x86_deliver(cpu, &ev);
}

enum x86_ret x86_op_ud(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_raise(cpu, X86_UD);
}

/* BOUND r, m&m: signed bounds */
enum x86_ret x86_op_bound(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	unsigned size = in->opsize;
	s64 index = x86_sext(x86_reg_get(cpu, in->opnd[0].reg, size), size);
	u64 lo = 0, hi = 0;
	gva_t gva;

	X86_TRY(x86_ea(cpu, in, 2 * size, X86_ACC_R, &gva));
	X86_TRY(x86_lin_read(cpu, gva, &lo, size));
	X86_TRY(x86_lin_read(cpu, gva + size, &hi, size));
	if (index < x86_sext(lo, size) || index > x86_sext(hi, size))
		return x86_raise(cpu, X86_BR);
	return X86_OK;
}

/* ---- system calls ---------------------------------------------------------------------------- */

enum x86_ret x86_op_syscall(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_syscall(cpu, x86_next_rip(cpu, in));
}

enum x86_ret x86_op_sysret(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_sysret(cpu, in->opsize);
}

enum x86_ret x86_op_sysenter(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_sysenter(cpu);
}

enum x86_ret x86_op_sysexit(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_sysexit(cpu, in->opsize);
}
