/* SPDX-License-Identifier: Apache-2.0 */
/* Data processing, immediate. */
#include "hyp/lift/arm64/lift.h"

bool lift_adr(struct lift *l, const struct a64_insn *i)
{
	s64 imm = lift_sext(F(i, immhi) << 2 | F(i, immlo), 21);
	u64 v = F(i, op) ? (l->pc & ~0xfffull) + ((u64)imm << 12) : l->pc + (u64)imm;
	lift_set(l, IR_I64, F(i, Rd), lift_const(l, IR_I64, v));
	return true;
}

bool lift_addsub_imm(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = lift_type(i);
	u16 n = lift_get_sp(l, t, F(i, Rn)), imm = lift_const(l, t, (u64)F(i, imm12) << (F(i, sh) ? 12 : 0));
	u16 v = ir2(l->b, F(i, op) ? IR_SUB : IR_ADD, t, n, imm);

	if (!F(i, S)) {
		lift_set_sp(l, t, F(i, Rd), v);
		return true;
	}
	u16 f = ir2(l->b, F(i, op) ? IR_FSUB : IR_FADD, IR_FLAGS, n, imm);
	lift_set(l, t, F(i, Rd), v);
	lift_setf(l, f);
	return true;
}

bool lift_logical_imm(struct lift *l, const struct a64_insn *i)
{
	static const u8 op[] = { IR_AND, IR_OR, IR_XOR, IR_AND };
	enum ir_type t = lift_type(i);
	u64 imm;

	if (!lift_bitmask(F(i, N), F(i, imms), F(i, immr), F(i, sf), &imm))
		return false;
	u16 v = ir2(l->b, op[F(i, opc)], t, lift_get(l, t, F(i, Rn)), lift_const(l, t, imm));
	if (F(i, opc) != 3) {
		lift_set_sp(l, t, F(i, Rd), v);
		return true;
	}
	lift_set(l, t, F(i, Rd), v);
	lift_setf(l, ir1(l->b, IR_FAND, IR_FLAGS, v));
	return true;
}

bool lift_mov_wide(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = lift_type(i);
	unsigned at = F(i, hw) * 16;
	u64 imm = (u64)F(i, imm16) << at;

	if (!F(i, sf) && F(i, hw) > 1)
		return false;
	if (F(i, opc) != 3) {
		lift_set(l, t, F(i, Rd), lift_const(l, t, F(i, opc) == 0 ? ~imm : imm));
		return true;
	}
	u16 v = ir2(l->b, IR_DEPOSIT, t, lift_get(l, t, F(i, Rd)), lift_const(l, t, F(i, imm16)));
	IR_VALUE(l->b, v).imm = at | 16 << 8;
	lift_set(l, t, F(i, Rd), v);
	return true;
}

static u16 deposit(struct lift *l, enum ir_type t, u16 into, u16 v, unsigned lsb, unsigned width)
{
	u16 r = ir2(l->b, IR_DEPOSIT, t, into, v);
	IR_VALUE(l->b, r).imm = lsb | width << 8;
	return r;
}

/* SBFM, UBFM with imms >= immr: a field of n moved to bit 0. */
static u16 extract(struct lift *l, enum ir_type t, u16 n, bool sign, unsigned lsb, unsigned width)
{
	unsigned bits = t == IR_I64 ? 64 : 32;

	if (lsb + width == bits)
		return lift_shift(l, t, n, sign ? 2 : 1, lsb);
	if (!lsb)
		return lift_imm_op(l, sign ? IR_SEXT : IR_ZEXT, t, n, width);
	return lift_imm_op(l, sign ? IR_SEXTRACT : IR_EXTRACT, t, n, lsb | width << 8);
}

/* The other way: the low imms + 1 bits of n moved up to bit `to`. */
static u16 insert(struct lift *l, enum ir_type t, u16 n, bool sign, unsigned to, unsigned width)
{
	unsigned bits = t == IR_I64 ? 64 : 32;

	if (to + width == bits)
		return lift_shift(l, t, n, 0, to);
	return lift_shift(l, t, lift_imm_op(l, sign ? IR_SEXT : IR_ZEXT, t, n, width), 0, to);
}

bool lift_bitfield(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = lift_type(i);
	unsigned bits = F(i, sf) ? 64 : 32, r = F(i, immr), s = F(i, imms);

	if (F(i, N) != F(i, sf) || r >= bits || s >= bits)
		return false;
	u16 n = lift_get(l, t, F(i, Rn)), v;
	bool up = s < r;
	unsigned to = bits - r;
	if (F(i, opc) != 1)
		v = up ? insert(l, t, n, F(i, opc) == 0, to, s + 1)
		       : extract(l, t, n, F(i, opc) == 0, r, s - r + 1);
	else if (up)
		v = deposit(l, t, lift_get(l, t, F(i, Rd)), n, to, s + 1);
	else if (s - r + 1 == bits)
		v = n;
	else
		v = deposit(l, t, lift_get(l, t, F(i, Rd)), lift_shift(l, t, n, 1, r), 0, s - r + 1);
	lift_set(l, t, F(i, Rd), v);
	return true;
}

bool lift_extr(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = lift_type(i);

	if (F(i, N) != F(i, sf) || (!F(i, sf) && F(i, imms) > 31))
		return false;
	u16 n = lift_get(l, t, F(i, Rn)), m = lift_get(l, t, F(i, Rm)), v;
	if (F(i, Rn) == F(i, Rm)) {
		v = lift_shift(l, t, n, 3, F(i, imms));
	} else {
		v = ir2(l->b, IR_EXTR, t, n, m);
		IR_VALUE(l->b, v).imm = F(i, imms);
	}
	lift_set(l, t, F(i, Rd), v);
	return true;
}
