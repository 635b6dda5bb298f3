/* SPDX-License-Identifier: Apache-2.0 */
/* Scalar floating point. What is no arithmetic (sign, select) is IR; the rest calls softfp with the
 * instruction word. */
#include "hyp/lift/arm64/fp.h"
#include "hyp/lift/arm64/lift_vec.h"

#define W_TYPE(w) ((w) >> 22 & 3)

static u64 get(const struct hyp_cpu *cpu, unsigned n, unsigned size)
{
	return vec_get(&cpu->s.v[n], size, 0);
}

static void set(struct hyp_cpu *cpu, unsigned n, unsigned size, u64 v)
{
	cpu->s.v[n] = (struct arm64_v){ 0 };
	vec_set(&cpu->s.v[n], size, 0, v);
}

static bool call_typed(struct lift *l, const struct a64_insn *i, ir_helper fn)
{
	return fp_type_size(F(i, type)) && vec_call(l, i, fn);
}

/* ---- in IR: sign and selection ---- */

static u16 get_lane(struct lift *l, unsigned n, unsigned size)
{
	u16 v = lift_imm_op(l, IR_GETV, IR_V128, 0, n);
	return ir_add_insn(l->b, (struct ir_insn){ .op = IR_VTO, .type = size == 3 ? IR_I64 : IR_I32, .a = v,
						   .cc = (u8)size });
}

static void set_lane(struct lift *l, unsigned n, u16 x)
{
	lift_imm_op(l, IR_SETV, IR_VOID, ir1(l->b, IR_VFROM, IR_V128, x), n);
}

static bool sign_op(struct lift *l, const struct a64_insn *i, enum ir_op op, bool keep_others)
{
	unsigned size = fp_type_size(F(i, type));
	u64 sign = 1ull << ((8u << size) - 1);
	enum ir_type t = size == 3 ? IR_I64 : IR_I32;

	if (!size)
		return false;
	u16 mask = lift_const(l, t, keep_others ? sign - 1 : sign);
	set_lane(l, F(i, Rd), ir2(l->b, op, t, get_lane(l, F(i, Rn), size), mask));
	return true;
}

bool lift_fabs(struct lift *l, const struct a64_insn *i)
{
	return sign_op(l, i, IR_AND, true);
}

bool lift_fneg(struct lift *l, const struct a64_insn *i)
{
	return sign_op(l, i, IR_XOR, false);
}

bool lift_fcsel(struct lift *l, const struct a64_insn *i)
{
	unsigned size = fp_type_size(F(i, type));

	if (!size)
		return false;
	u16 n = get_lane(l, F(i, Rn), size), m = get_lane(l, F(i, Rm), size);
	u16 v = ir3(l->b, IR_CSEL, size == 3 ? IR_I64 : IR_I32, n, m, lift_getf(l));
	IR_VALUE(l->b, v).cc = (u8)F(i, cond);
	set_lane(l, F(i, Rd), v);
	return true;
}

/* ---- one, two, three operands ---- */

static u64 helper_fsqrt(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct fp fp = fp_begin(cpu, fp_type_size(W_TYPE(w)));

	set(cpu, W_RD(w), fp.size, fp_sqrt(&fp, get(cpu, W_RN(w), fp.size)));
	fp_end(cpu, &fp);
	return 0;
}

bool lift_fsqrt(struct lift *l, const struct a64_insn *i)
{
	return lift_fsqrt_ir(l, i->raw, fp_type_size(F(i, type))) || call_typed(l, i, helper_fsqrt);
}

/* opcode<2:0>: N P M Z A - X I */
static u64 helper_frint(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	static const u8 modes[] = { FP_TIEEVEN, FP_POSINF, FP_NEGINF, FP_ZERO, FP_TIEAWAY };
	struct fp fp = fp_begin(cpu, fp_type_size(W_TYPE(w)));
	unsigned op = w >> 15 & 7;
	enum fp_round mode = op < 5 ? modes[op] : fp_mode(&fp);

	set(cpu, W_RD(w), fp.size, fp_round_int(&fp, get(cpu, W_RN(w), fp.size), mode, op == 6));
	fp_end(cpu, &fp);
	return 0;
}

bool lift_frint(struct lift *l, const struct a64_insn *i)
{
	return call_typed(l, i, helper_frint);
}

/* opc (bits 16:15): the format to convert to, as type. */
static u64 helper_fcvt(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct fp fp = fp_begin(cpu, fp_type_size(W_TYPE(w)));
	unsigned to = fp_type_size(w >> 15 & 3);

	set(cpu, W_RD(w), to, fp_convert(&fp, get(cpu, W_RN(w), fp.size), to, fp_mode(&fp)));
	fp_end(cpu, &fp);
	return 0;
}

bool lift_fcvt(struct lift *l, const struct a64_insn *i)
{
	if (F(i, opc) == F(i, type) || !fp_type_size(F(i, opc)))
		return false;
	if (lift_fcvt_ir(l, i->raw, fp_type_size(F(i, type)), fp_type_size(F(i, opc))))
		return true;
	return call_typed(l, i, helper_fcvt);
}

static u64 mul_negated(struct fp *c, u64 a, u64 b)
{
	return fp_neg(c, fp_mul(c, a, b));
}

static u64 helper_f2(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	static u64 (*const op[])(struct fp *, u64, u64) = { fp_mul, fp_div, fp_add, fp_sub, fp_max, fp_min,
							     fp_maxnum, fp_minnum, mul_negated };
	struct fp fp = fp_begin(cpu, fp_type_size(W_TYPE(w)));
	u64 n = get(cpu, W_RN(w), fp.size), m = get(cpu, W_RM(w), fp.size);

	set(cpu, W_RD(w), fp.size, op[w >> 12 & 15](&fp, n, m));
	fp_end(cpu, &fp);
	return 0;
}

bool lift_f2(struct lift *l, const struct a64_insn *i)
{
	return lift_f2_ir(l, i->raw, fp_type_size(F(i, type))) || call_typed(l, i, helper_f2);
}

/* o1 negates the addend, o1 ^ o0 the product. */
static u64 helper_f3(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct fp fp = fp_begin(cpu, fp_type_size(W_TYPE(w)));
	bool o1 = w >> 21 & 1, o0 = w >> 15 & 1;
	u64 n = get(cpu, W_RN(w), fp.size), m = get(cpu, W_RM(w), fp.size),
	    a = get(cpu, w >> 10 & 31, fp.size);

	a = o1 ? fp_neg(&fp, a) : a;
	n = o1 != o0 ? fp_neg(&fp, n) : n;
	set(cpu, W_RD(w), fp.size, fp_muladd(&fp, a, n, m));
	fp_end(cpu, &fp);
	return 0;
}

bool lift_f3(struct lift *l, const struct a64_insn *i)
{
	return lift_f3_ir(l, i->raw, fp_type_size(F(i, type))) || call_typed(l, i, helper_f3);
}

/* ---- comparison ---- */

static u64 compare(struct hyp_cpu *cpu, u32 w, bool with_zero, bool signal)
{
	struct fp fp = fp_begin(cpu, fp_type_size(W_TYPE(w)));
	u64 m = with_zero ? 0 : get(cpu, W_RM(w), fp.size);
	u64 nzcv = fp_compare(&fp, get(cpu, W_RN(w), fp.size), m, signal);

	fp_end(cpu, &fp);
	return nzcv << 28;
}

static u64 helper_fcmp(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	return compare(cpu, (u32)w, w >> 3 & 1, w >> 4 & 1);
}

/* Not even flags are raised where the condition fails. */
static u64 helper_fccmp(struct hyp_cpu *cpu, u64 w, u64 nzcv, u64 c)
{
	if (!ir_cond_holds(w >> 12 & 15, (u32)nzcv))
		return (w & 15) << 28;
	return compare(cpu, (u32)w, false, w >> 4 & 1);
}

static void set_nzcv(struct lift *l, u16 nzcv)
{
	lift_setf(l, ir1(l->b, IR_FFROM, IR_FLAGS, ir1(l->b, IR_TRUNC, IR_I32, nzcv)));
}

bool lift_fcmp(struct lift *l, const struct a64_insn *i)
{
	if (!fp_type_size(F(i, type)))
		return false;
	if (lift_fcmp_ir(l, i->raw, fp_type_size(F(i, type))))
		return true;
	set_nzcv(l, lift_call(l, helper_fcmp, lift_const(l, IR_I64, i->raw), 0, 0));
	return true;
}

bool lift_fccmp(struct lift *l, const struct a64_insn *i)
{
	if (!fp_type_size(F(i, type)))
		return false;
	u16 old = ir1(l->b, IR_WIDEN, IR_I64, ir1(l->b, IR_FTO, IR_I32, lift_getf(l)));
	set_nzcv(l, lift_call(l, helper_fccmp, lift_const(l, IR_I64, i->raw), old, 0));
	return true;
}

/* ---- integers and fixed point ---- */

/* Bit 21 clear: fixed point with 64 - scale bits of fraction. */
static unsigned fraction(u64 w)
{
	return w >> 21 & 1 ? 0 : 64 - (w >> 10 & 63);
}

static u64 helper_fcvt_to_int(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	static const u8 modes[] = { FP_TIEEVEN, FP_POSINF, FP_NEGINF, FP_ZERO };
	struct fp fp = fp_begin(cpu, fp_type_size(W_TYPE(w)));
	enum fp_round mode = w >> 18 & 1 ? FP_TIEAWAY : modes[w >> 19 & 3]; /* opcode 10x: A */
	u64 v = fp_to_fixed(&fp, get(cpu, W_RN(w), fp.size), fraction(w), w >> 31 ? 64 : 32, w >> 16 & 1,
			    mode);

	fp_end(cpu, &fp);
	return v;
}

static bool fixed_allowed(const struct a64_insn *i)
{
	return fp_type_size(F(i, type)) && (i->raw >> 21 & 1 || F(i, sf) || F(i, scale) & 32);
}

bool lift_fcvt_to_int(struct lift *l, const struct a64_insn *i)
{
	if (!fixed_allowed(i))
		return false;
	if (lift_fcvtzs_ir(l, i->raw, fp_type_size(F(i, type))))
		return true;
	u16 v = lift_call(l, helper_fcvt_to_int, lift_const(l, IR_I64, i->raw), 0, 0);
	if (!F(i, sf))
		v = ir1(l->b, IR_TRUNC, IR_I32, v);
	lift_set(l, lift_type(i), F(i, Rd), v);
	return true;
}

static u64 helper_fcvt_from_int(struct hyp_cpu *cpu, u64 w, u64 x, u64 c)
{
	struct fp fp = fp_begin(cpu, fp_type_size(W_TYPE(w)));
	bool u = w >> 16 & 1;

	if (!(w >> 31))
		x = u ? (u32)x : (u64)(s32)x;
	set(cpu, W_RD(w), fp.size, fp_from_fixed(&fp, x, fraction(w), u));
	fp_end(cpu, &fp);
	return 0;
}

bool lift_fcvt_from_int(struct lift *l, const struct a64_insn *i)
{
	if (!fixed_allowed(i))
		return false;
	if (lift_cvtf_ir(l, i->raw, fp_type_size(F(i, type))))
		return true;
	lift_call(l, helper_fcvt_from_int, lift_const(l, IR_I64, i->raw), lift_get(l, IR_I64, F(i, Rn)), 0);
	return true;
}

/* FJCVTZS: as JavaScript does, modulo 2^32; Z: exact. */
static u64 helper_fjcvtzs(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	struct fp fp = fp_begin(cpu, 3);
	u64 v = get(cpu, W_RN(w), 3), frac = (v & ((1ull << 52) - 1)) | 1ull << 52, out = 0;
	int exp = (int)(v >> 52 & 0x7ff) - 1075;

	fp_to_fixed(&fp, v, 0, 32, false, FP_ZERO);
	if (exp > -64 && exp < 64 && (v >> 52 & 0x7ff) != 0x7ff)
		out = exp >= 0 ? frac << exp : frac >> -exp;
	if (v >> 63)
		out = -out;
	cpu->s.fpsr |= fp.flags;
	bool minus_zero = v >> 63 && (v << 1 == 0 || fp.flags & FPSR_IDC);
	bool exact = !(fp.flags & (FPSR_IOC | FPSR_IXC)) && !minus_zero;
	return (u32)out | (exact ? 1ull << 62 : 0);
}

bool lift_fjcvtzs(struct lift *l, const struct a64_insn *i)
{
	u16 v = lift_call(l, helper_fjcvtzs, lift_const(l, IR_I64, i->raw), 0, 0);
	u16 nzcv = lift_shift(l, IR_I64, v, 1, 32);

	lift_set(l, IR_I32, F(i, Rd), ir1(l->b, IR_TRUNC, IR_I32, v));
	set_nzcv(l, nzcv);
	return true;
}
