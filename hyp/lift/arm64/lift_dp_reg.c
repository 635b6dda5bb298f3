/* SPDX-License-Identifier: Apache-2.0 */
/* Data processing, register. */
#include "hyp/lift/arm64/lift.h"

/* Rd = a op b, and NZCV where the instruction sets them. */
static void addsub(struct lift *l, const struct a64_insn *i, u16 a, u16 b)
{
	enum ir_type t = lift_type(i);
	u16 v = ir2(l->b, F(i, op) ? IR_SUB : IR_ADD, t, a, b);
	u16 f = F(i, S) ? ir2(l->b, F(i, op) ? IR_FSUB : IR_FADD, IR_FLAGS, a, b) : 0;

	lift_set(l, t, F(i, Rd), v);
	if (F(i, S))
		lift_setf(l, f);
}

bool lift_addsub_shift(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = lift_type(i);

	if (F(i, shift) == 3 || (!F(i, sf) && F(i, imm6) > 31))
		return false;
	u16 n = lift_get(l, t, F(i, Rn));
	addsub(l, i, n, lift_shift(l, t, lift_get(l, t, F(i, Rm)), F(i, shift), F(i, imm6)));
	return true;
}

bool lift_addsub_ext(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = lift_type(i);

	if (F(i, imm3) > 4)
		return false;
	u16 n = lift_get_sp(l, t, F(i, Rn)), m = lift_extend(l, t, F(i, Rm), F(i, option), F(i, imm3));
	if (F(i, S))
		addsub(l, i, n, m);
	else
		lift_set_sp(l, t, F(i, Rd), ir2(l->b, F(i, op) ? IR_SUB : IR_ADD, t, n, m));
	return true;
}

bool lift_logical_reg(struct lift *l, const struct a64_insn *i)
{
	static const u8 op[] = { IR_AND, IR_OR, IR_XOR, IR_AND };
	enum ir_type t = lift_type(i);

	if (!F(i, sf) && F(i, imm6) > 31)
		return false;
	u16 m = lift_shift(l, t, lift_get(l, t, F(i, Rm)), F(i, shift), F(i, imm6));
	if (F(i, N))
		m = ir1(l->b, IR_NOT, t, m);
	bool mov = F(i, opc) == 1 && F(i, Rn) == 31;
	u16 v = mov ? m : ir2(l->b, op[F(i, opc)], t, lift_get(l, t, F(i, Rn)), m);
	lift_set(l, t, F(i, Rd), v);
	if (F(i, opc) == 3)
		lift_setf(l, ir1(l->b, IR_FAND, IR_FLAGS, v));
	return true;
}

bool lift_adc(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = lift_type(i);
	u16 n = lift_get(l, t, F(i, Rn)), m = lift_get(l, t, F(i, Rm)), c = lift_getf(l);
	u16 v = ir3(l->b, F(i, op) ? IR_SBC : IR_ADC, t, n, m, c);
	u16 f = F(i, S) ? ir3(l->b, F(i, op) ? IR_FSBC : IR_FADC, IR_FLAGS, n, m, c) : 0;

	lift_set(l, t, F(i, Rd), v);
	if (F(i, S))
		lift_setf(l, f);
	return true;
}

static void ccmp(struct lift *l, const struct a64_insn *i, u16 b)
{
	u16 a = lift_get(l, lift_type(i), F(i, Rn));
	u16 cmp = ir2(l->b, F(i, op) ? IR_FSUB : IR_FADD, IR_FLAGS, a, b);
	u16 f = ir2(l->b, IR_FCCMP, IR_FLAGS, lift_getf(l), cmp);

	IR_VALUE(l->b, f).cc = (u8)F(i, cond);
	IR_VALUE(l->b, f).imm = F(i, nzcv);
	lift_setf(l, f);
}

bool lift_ccmp_reg(struct lift *l, const struct a64_insn *i)
{
	ccmp(l, i, lift_get(l, lift_type(i), F(i, Rm)));
	return true;
}

bool lift_ccmp_imm(struct lift *l, const struct a64_insn *i)
{
	ccmp(l, i, lift_const(l, lift_type(i), F(i, imm5)));
	return true;
}

bool lift_csel(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = lift_type(i);
	u16 m = lift_get(l, t, F(i, Rm)), v;

	if (F(i, op) == 0 && F(i, o0) == 1 && F(i, Rn) == 31 && F(i, Rm) == 31) { /* CSET */
		bool always = F(i, cond) >= 14;
		v = always ? lift_const(l, t, 0) : lift_cc_op(l, IR_CSET, t, F(i, cond) ^ 1, lift_getf(l));
		lift_set(l, t, F(i, Rd), v);
		return true;
	}
	if (F(i, op))
		m = ir1(l->b, F(i, o0) ? IR_NEG : IR_NOT, t, m);
	else if (F(i, o0))
		m = ir2(l->b, IR_ADD, t, m, lift_const(l, t, 1));
	v = ir3(l->b, IR_CSEL, t, lift_get(l, t, F(i, Rn)), m, lift_getf(l));
	IR_VALUE(l->b, v).cc = (u8)F(i, cond);
	lift_set(l, t, F(i, Rd), v);
	return true;
}

bool lift_madd(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = lift_type(i);
	u16 v = ir2(l->b, IR_MUL, t, lift_get(l, t, F(i, Rn)), lift_get(l, t, F(i, Rm)));

	if (F(i, Ra) != 31)
		v = ir2(l->b, F(i, o0) ? IR_SUB : IR_ADD, t, lift_get(l, t, F(i, Ra)), v);
	else if (F(i, o0))
		v = ir1(l->b, IR_NEG, t, v);
	lift_set(l, t, F(i, Rd), v);
	return true;
}

bool lift_maddl(struct lift *l, const struct a64_insn *i)
{
	enum ir_op widen = F(i, U) ? IR_WIDEN : IR_WIDENS;
	u16 n = ir1(l->b, widen, IR_I64, lift_get(l, IR_I32, F(i, Rn)));
	u16 m = ir1(l->b, widen, IR_I64, lift_get(l, IR_I32, F(i, Rm)));
	u16 v = ir2(l->b, IR_MUL, IR_I64, n, m);

	if (F(i, Ra) != 31)
		v = ir2(l->b, F(i, o0) ? IR_SUB : IR_ADD, IR_I64, lift_get(l, IR_I64, F(i, Ra)), v);
	else if (F(i, o0))
		v = ir1(l->b, IR_NEG, IR_I64, v);
	lift_set(l, IR_I64, F(i, Rd), v);
	return true;
}

bool lift_mulh(struct lift *l, const struct a64_insn *i)
{
	u16 v = ir2(l->b, F(i, U) ? IR_UMULH : IR_SMULH, IR_I64, lift_get(l, IR_I64, F(i, Rn)),
		    lift_get(l, IR_I64, F(i, Rm)));
	lift_set(l, IR_I64, F(i, Rd), v);
	return true;
}

/* Rd = Rn op Rm */
static bool two_source(struct lift *l, const struct a64_insn *i, enum ir_op op)
{
	enum ir_type t = lift_type(i);
	lift_set(l, t, F(i, Rd), ir2(l->b, op, t, lift_get(l, t, F(i, Rn)), lift_get(l, t, F(i, Rm))));
	return true;
}

bool lift_div(struct lift *l, const struct a64_insn *i)
{
	return two_source(l, i, F(i, op) ? IR_SDIV : IR_UDIV);
}

bool lift_shiftv(struct lift *l, const struct a64_insn *i)
{
	static const u8 op[] = { IR_SHL, IR_SHR, IR_SAR, IR_ROR };
	return two_source(l, i, op[F(i, op2)]);
}

bool lift_crc32(struct lift *l, const struct a64_insn *i)
{
	if (F(i, sf) != (F(i, sz) == 3))
		return false;
	u16 m = lift_get(l, lift_type(i), F(i, Rm));
	u16 v = ir2(l->b, IR_CRC32, IR_I32, lift_get(l, IR_I32, F(i, Rn)), m);
	IR_VALUE(l->b, v).cc = (u8)(1u << F(i, sz));
	IR_VALUE(l->b, v).imm = F(i, op);
	lift_set(l, IR_I32, F(i, Rd), v);
	return true;
}

/* Rd = op(Rn) */
static bool one_source(struct lift *l, const struct a64_insn *i, enum ir_op op, unsigned cc)
{
	enum ir_type t = lift_type(i);
	lift_set(l, t, F(i, Rd), lift_cc_op(l, op, t, (u8)cc, lift_get(l, t, F(i, Rn))));
	return true;
}

bool lift_rbit(struct lift *l, const struct a64_insn *i)
{
	return one_source(l, i, IR_RBIT, 0);
}

bool lift_rev(struct lift *l, const struct a64_insn *i)
{
	return one_source(l, i, IR_REV, 1u << F(i, opc));
}

bool lift_clz(struct lift *l, const struct a64_insn *i)
{
	return one_source(l, i, IR_CLZ, 0);
}

/* CLS(x) = CLZ((x ^ x >> 1 arithmetic) without its top bit) = CLZ(.. << 1 | 1) */
bool lift_cls(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = lift_type(i);
	u16 n = lift_get(l, t, F(i, Rn)), one = lift_const(l, t, 1);
	u16 v = ir2(l->b, IR_XOR, t, n, ir2(l->b, IR_SAR, t, n, one));

	v = ir2(l->b, IR_OR, t, ir2(l->b, IR_SHL, t, v, one), one);
	lift_set(l, t, F(i, Rd), ir1(l->b, IR_CLZ, t, v));
	return true;
}

/* ---- FlagM ---- */

/* NZCV bits of mask from v (bits 3:0), the others as they were. */
static void merge_flags(struct lift *l, u16 v, u32 mask)
{
	u16 old = ir1(l->b, IR_FTO, IR_I32, lift_getf(l));
	u16 bits = lift_shift(l, IR_I32, v, 0, 28);

	old = ir2(l->b, IR_AND, IR_I32, old, lift_const(l, IR_I32, ~(mask << 28)));
	bits = ir2(l->b, IR_AND, IR_I32, bits, lift_const(l, IR_I32, mask << 28));
	lift_setf(l, ir1(l->b, IR_FFROM, IR_FLAGS, ir2(l->b, IR_OR, IR_I32, old, bits)));
}

bool lift_rmif(struct lift *l, const struct a64_insn *i)
{
	u16 v = lift_shift(l, IR_I64, lift_get(l, IR_I64, F(i, Rn)), 3, F(i, imm6));
	merge_flags(l, ir1(l->b, IR_TRUNC, IR_I32, v), F(i, mask));
	return true;
}

/* N, Z of the low bits; V: the bit above differs from the sign; C stays. */
bool lift_setf8(struct lift *l, const struct a64_insn *i)
{
	unsigned up = F(i, sz) ? 16 : 24;
	u16 n = lift_get(l, IR_I32, F(i, Rn)), v = lift_shift(l, IR_I32, n, 0, up);
	u16 nz = lift_shift(l, IR_I32, ir1(l->b, IR_FTO, IR_I32, ir1(l->b, IR_FAND, IR_FLAGS, v)), 1, 28);
	u16 over = ir2(l->b, IR_XOR, IR_I32, n, lift_shift(l, IR_I32, n, 1, 1));

	over = lift_imm_op(l, IR_EXTRACT, IR_I32, over, (31 - up) | 1 << 8);
	merge_flags(l, ir2(l->b, IR_OR, IR_I32, nz, over), 0xd);
	return true;
}

bool lift_cfinv(struct lift *l, const struct a64_insn *i)
{
	u16 f = ir1(l->b, IR_FTO, IR_I32, lift_getf(l));
	f = ir2(l->b, IR_XOR, IR_I32, f, lift_const(l, IR_I32, 1u << 29));
	lift_setf(l, ir1(l->b, IR_FFROM, IR_FLAGS, f));
	return true;
}

/* Condition cc as a bit at `at`. */
static u16 flag_bit(struct lift *l, u16 f, enum ir_cc cc, unsigned at)
{
	return lift_shift(l, IR_I32, lift_cc_op(l, IR_CSET, IR_I32, (u8)cc, f), 0, at);
}

static void set_flag_bits(struct lift *l, const u16 bit[4])
{
	u16 lo = ir2(l->b, IR_OR, IR_I32, bit[0], bit[1]), hi = ir2(l->b, IR_OR, IR_I32, bit[2], bit[3]);
	lift_setf(l, ir1(l->b, IR_FFROM, IR_FLAGS, ir2(l->b, IR_OR, IR_I32, lo, hi)));
}

/* N = !C & !Z, Z = Z & C, C = C | Z, V = !C & Z */
bool lift_xaflag(struct lift *l, const struct a64_insn *i)
{
	u16 f = lift_getf(l), z = flag_bit(l, f, IR_EQ, 0), c = flag_bit(l, f, IR_CS, 0);
	u16 one = lift_const(l, IR_I32, 1), nc = ir2(l->b, IR_XOR, IR_I32, c, one);
	u16 nz = ir2(l->b, IR_XOR, IR_I32, z, one);

	set_flag_bits(l, (u16[]){ lift_shift(l, IR_I32, ir2(l->b, IR_AND, IR_I32, nc, nz), 0, 31),
				  lift_shift(l, IR_I32, ir2(l->b, IR_AND, IR_I32, z, c), 0, 30),
				  lift_shift(l, IR_I32, ir2(l->b, IR_OR, IR_I32, z, c), 0, 29),
				  lift_shift(l, IR_I32, ir2(l->b, IR_AND, IR_I32, nc, z), 0, 28) });
	return true;
}

/* N = 0, Z = Z | V, C = C & !V, V = 0 */
bool lift_axflag(struct lift *l, const struct a64_insn *i)
{
	u16 f = lift_getf(l), zero = lift_const(l, IR_I32, 0);
	u16 c = flag_bit(l, f, IR_CS, 29), nv = flag_bit(l, f, IR_VC, 29);

	set_flag_bits(l, (u16[]){ zero, flag_bit(l, f, IR_EQ, 30), flag_bit(l, f, IR_VS, 30),
				  ir2(l->b, IR_AND, IR_I32, c, nv) });
	return true;
}
