/* SPDX-License-Identifier: Apache-2.0 */
/* Branches and exception generation. */
#include "hyp/lift/arm64/lift.h"

#include "hyp/sys/arm64/cpu.h"

/* The kinds of GOTO and GOTOX. */
enum { JUMP, CALL, RETURN };

static void link(struct lift *l)
{
	lift_set(l, IR_I64, 30, lift_const(l, IR_I64, l->pc + 4));
}

/* A conditional exit of the block; the other way the block ends too. */
static void branch_if(struct lift *l, enum ir_op op, u8 cc, u16 a, s64 offset)
{
	ir_add_insn(l->b, (struct ir_insn){ .op = op, .cc = cc, .a = a, .imm = (s64)l->pc + offset });
	lift_goto(l, l->pc + 4, JUMP);
}

bool lift_b(struct lift *l, const struct a64_insn *i)
{
	if (F(i, op))
		link(l);
	lift_goto(l, l->pc + (u64)(lift_sext(F(i, imm26), 26) * 4), F(i, op) ? CALL : JUMP);
	return true;
}

bool lift_b_cond(struct lift *l, const struct a64_insn *i)
{
	s64 offset = lift_sext(F(i, imm19), 19) * 4;

	if (F(i, cond) >= IR_AL)
		lift_goto(l, l->pc + (u64)offset, JUMP);
	else
		branch_if(l, IR_BCC, (u8)F(i, cond), lift_getf(l), offset);
	return true;
}

bool lift_cbz(struct lift *l, const struct a64_insn *i)
{
	u16 t = lift_get(l, lift_type(i), F(i, Rt));
	branch_if(l, F(i, op) ? IR_BNZ : IR_BZ, 0, t, lift_sext(F(i, imm19), 19) * 4);
	return true;
}

bool lift_tbz(struct lift *l, const struct a64_insn *i)
{
	u16 t = lift_get(l, IR_I64, F(i, Rt));
	u64 bit = 1ull << (F(i, b5) << 5 | F(i, b40));

	t = ir2(l->b, IR_AND, IR_I64, t, lift_const(l, IR_I64, bit));
	branch_if(l, F(i, op) ? IR_BNZ : IR_BZ, 0, t, lift_sext(F(i, imm14), 14) * 4);
	return true;
}

bool lift_br(struct lift *l, const struct a64_insn *i)
{
	lift_gotox(l, lift_get(l, IR_I64, F(i, Rn)), JUMP);
	return true;
}

bool lift_blr(struct lift *l, const struct a64_insn *i)
{
	u16 target = lift_get(l, IR_I64, F(i, Rn));
	link(l);
	lift_gotox(l, target, CALL);
	return true;
}

bool lift_ret(struct lift *l, const struct a64_insn *i)
{
	lift_gotox(l, lift_get(l, IR_I64, F(i, Rn)), RETURN);
	return true;
}

/* ---- exceptions ---- */

bool lift_udf(struct lift *l, const struct a64_insn *i)
{
	return false;
}

bool lift_svc(struct lift *l, const struct a64_insn *i)
{
	lift_raise(l, A64_ESR(A64_EC_SVC, F(i, imm16)));
	return true;
}

bool lift_brk(struct lift *l, const struct a64_insn *i)
{
	lift_raise(l, A64_ESR(A64_EC_BRK, F(i, imm16)));
	return true;
}

/* A helper that ends the block and says itself where pc is. */
static bool leave_by(struct lift *l, ir_helper fn, u16 arg)
{
	if (!(l->key & HYP_KEY_EL1))
		return false;
	lift_callx(l, fn, arg, 0, 0);
	ir1(l->b, IR_LEAVEX, IR_VOID, 0);
	l->end = true;
	return true;
}

bool lift_hvc(struct lift *l, const struct a64_insn *i)
{
	return leave_by(l, a64_helper_hvc, lift_const(l, IR_I64, F(i, imm16)));
}

bool lift_smc(struct lift *l, const struct a64_insn *i)
{
	return leave_by(l, a64_helper_smc, lift_const(l, IR_I64, F(i, imm16)));
}

bool lift_eret(struct lift *l, const struct a64_insn *i)
{
	return leave_by(l, a64_helper_eret, 0);
}
