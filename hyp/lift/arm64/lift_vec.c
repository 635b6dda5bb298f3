/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector and FP instructions that the IR has operations for: what user space uses most. Each function emits
 * the instruction and returns true, or does nothing and returns false: then the class's helper is called.
 */
#include "hyp/lift/arm64/lift_vec.h"

#include "hyp/lift/arm64/fp.h"

#define NO_FZ(l) (!((l)->key & HYP_KEY_RMODE(4)))

u16 lift_getv(struct lift *l, unsigned n)
{
	return lift_imm_op(l, IR_GETV, IR_V128, 0, n);
}

void lift_setv(struct lift *l, unsigned n, u16 v)
{
	lift_imm_op(l, IR_SETV, IR_VOID, v, n);
}

u16 lift_vop(struct lift *l, enum ir_op op, unsigned size, u16 a, u16 b)
{
	return ir_add_insn(l->b, (struct ir_insn){ .op = op, .type = IR_V128, .cc = (u8)size, .a = a, .b = b });
}

static u16 splat(struct lift *l, u64 v)
{
	return lift_imm_op(l, IR_VCONST, IR_V128, 0, v);
}

static u16 invert(struct lift *l, u16 v)
{
	return lift_vop(l, IR_VXOR, 3, v, splat(l, ~0ull));
}

/* The result of a vector instruction: its low half where Q is 0. */
static bool finish(struct lift *l, u32 w, u16 v)
{
	lift_setv(l, W_RD(w), W_Q(w) ? v : lift_vop(l, IR_VLOW, 3, v, 0));
	return true;
}

/* ---- three same ---- */

/* [U][opcode]: the operation, and the sizes it has in the IR. */
static const struct {
	u8 op, sizes;
} same[2][32] = {
	{ [6] = { IR_VGT, 15 }, [12] = { IR_VSMAX, 7 }, [13] = { IR_VSMIN, 7 }, [16] = { IR_VADD, 15 },
	  [19] = { IR_VMUL, 6 } },
	{ [12] = { IR_VUMAX, 7 }, [13] = { IR_VUMIN, 7 }, [16] = { IR_VSUB, 15 }, [17] = { IR_VEQ, 15 } },
};

/* SABD, UABD: size 0 to 2, as the class allows. */
static u16 absolute_difference(struct lift *l, u32 w, u16 n, u16 m)
{
	unsigned size = W_SIZE(w);
	u16 max = lift_vop(l, W_U(w) ? IR_VUMAX : IR_VSMAX, size, n, m);
	return lift_vop(l, IR_VSUB, size, max, lift_vop(l, W_U(w) ? IR_VUMIN : IR_VSMIN, size, n, m));
}

/* Those of several operations; 0: none. */
static u16 same_by_several(struct lift *l, u32 w, u16 n, u16 m)
{
	unsigned size = W_SIZE(w);

	switch (W_U(w) << 5 | (w >> 11 & 31)) {
	case 14:
	case 32 + 14: return absolute_difference(l, w, n, m);
	case 15:
	case 32 + 15: {
		u16 v = absolute_difference(l, w, n, m);
		return lift_vop(l, IR_VADD, size, lift_getv(l, W_RD(w)), v);
	}
	case 7: return invert(l, lift_vop(l, IR_VGT, size, m, n)); /* CMGE */
	case 17: return invert(l, lift_vop(l, IR_VEQ, size, lift_vop(l, IR_VAND, 3, n, m), splat(l, 0)));
	case 18:
	case 32 + 18: {
		u16 d = lift_getv(l, W_RD(w)), p;
		if (size != 1 && size != 2)
			return 0;
		p = lift_vop(l, IR_VMUL, size, n, m);
		return lift_vop(l, W_U(w) ? IR_VSUB : IR_VADD, size, d, p);
	}
	case 32 + 6: /* CMHI: not m >= n */
		return size == 3 ? 0
				 : invert(l, lift_vop(l, IR_VEQ, size, lift_vop(l, IR_VUMAX, size, m, n), m));
	case 32 + 7: /* CMHS */
		return size == 3 ? 0 : lift_vop(l, IR_VEQ, size, lift_vop(l, IR_VUMAX, size, n, m), n);
	default: return 0;
	}
}

bool lift_vsame_ir(struct lift *l, u32 w)
{
	unsigned opcode = w >> 11 & 31, size = W_SIZE(w), op = same[W_U(w)][opcode].op;

	if (W_SCALAR(w))
		return false;
	u16 n = lift_getv(l, W_RN(w)), m = lift_getv(l, W_RM(w));
	if (op && same[W_U(w)][opcode].sizes >> size & 1)
		return finish(l, w, lift_vop(l, op, size, n, m));
	u16 v = same_by_several(l, w, n, m);
	return v && finish(l, w, v);
}

void lift_vlogical_ir(struct lift *l, u32 w)
{
	u16 n = lift_getv(l, W_RN(w)), m = lift_getv(l, W_RM(w)), d = lift_getv(l, W_RD(w)), v;

	switch (W_U(w) << 2 | W_SIZE(w)) {
	case 0: v = lift_vop(l, IR_VAND, 3, n, m); break;
	case 1: v = lift_vop(l, IR_VBIC, 3, n, m); break;
	case 2: v = W_RN(w) == W_RM(w) ? n : lift_vop(l, IR_VOR, 3, n, m); break;
	case 3: v = lift_vop(l, IR_VOR, 3, n, invert(l, m)); break;
	case 4: v = lift_vop(l, IR_VXOR, 3, n, m); break;
	case 5: v = lift_vop(l, IR_VOR, 3, lift_vop(l, IR_VAND, 3, n, d), lift_vop(l, IR_VBIC, 3, m, d)); break;
	case 6: v = lift_vop(l, IR_VOR, 3, lift_vop(l, IR_VAND, 3, n, m), lift_vop(l, IR_VBIC, 3, d, m)); break;
	default: v = lift_vop(l, IR_VOR, 3, lift_vop(l, IR_VBIC, 3, n, m), lift_vop(l, IR_VAND, 3, d, m)); break;
	}
	finish(l, w, v);
}

/* ---- two registers: CMxx with zero, NEG, NOT ---- */

static u16 shifted_masked(struct lift *l, u16 v, unsigned by, u64 mask)
{
	v = lift_vop(l, IR_VSHR, 3, v, 0);
	IR_VALUE(l->b, v).imm = by;
	return lift_vop(l, IR_VAND, 3, v, splat(l, mask));
}

/* CNT: sums of pairs, of fours, of eights. */
static u16 count_bits(struct lift *l, u16 v)
{
	v = lift_vop(l, IR_VSUB, 0, v, shifted_masked(l, v, 1, 0x5555555555555555));
	u16 low = lift_vop(l, IR_VAND, 3, v, splat(l, 0x3333333333333333));
	v = lift_vop(l, IR_VADD, 0, low, shifted_masked(l, v, 2, 0x3333333333333333));
	low = lift_vop(l, IR_VAND, 3, v, splat(l, 0x0f0f0f0f0f0f0f0f));
	return lift_vop(l, IR_VADD, 0, low, shifted_masked(l, v, 4, 0x0f0f0f0f0f0f0f0f));
}

bool lift_vmisc_ir(struct lift *l, u32 w)
{
	unsigned size = W_SIZE(w);

	if (W_SCALAR(w))
		return false;
	u16 n = lift_getv(l, W_RN(w)), zero = splat(l, 0);
	switch (W_U(w) << 5 | (w >> 12 & 31)) {
	case 8: return finish(l, w, lift_vop(l, IR_VGT, size, n, zero));
	case 9: return finish(l, w, lift_vop(l, IR_VEQ, size, n, zero));
	case 10: return finish(l, w, lift_vop(l, IR_VGT, size, zero, n));
	case 32 + 8: return finish(l, w, invert(l, lift_vop(l, IR_VGT, size, zero, n)));
	case 32 + 9: return finish(l, w, invert(l, lift_vop(l, IR_VGT, size, n, zero)));
	case 32 + 11: return finish(l, w, lift_vop(l, IR_VSUB, size, zero, n));
	case 5: return finish(l, w, count_bits(l, n));
	case 11: /* ABS */
		if (size == 3)
			return false;
		return finish(l, w, lift_vop(l, IR_VSMAX, size, n, lift_vop(l, IR_VSUB, size, zero, n)));
	default: return false;
	}
}

bool lift_vnot_ir(struct lift *l, u32 w)
{
	return !W_SIZE(w) && finish(l, w, invert(l, lift_getv(l, W_RN(w))));
}

/* REV: bytes, by index. The container's log2 of bytes. */
bool lift_vrev_ir(struct lift *l, u32 w, unsigned container)
{
	unsigned size = W_SIZE(w), flip = (1u << container) - (1u << size);
	u64 index[2] = { 0, 0 };

	for (unsigned e = 0; e < 16; e++)
		index[e / 8] |= (u64)(e ^ flip) << 8 * (e % 8);
	u16 to = ir2(l->b, IR_VINS, IR_V128, splat(l, index[0]), lift_const(l, IR_I64, index[1]));
	IR_VALUE(l->b, to).cc = 3;
	IR_VALUE(l->b, to).imm = 1;
	return finish(l, w, lift_vop(l, IR_VTBL, 0, lift_getv(l, W_RN(w)), to));
}

/* ---- pairs: even lanes against odd ones ---- */

static u16 unzip(struct lift *l, unsigned size, u16 a, u16 b, bool odd)
{
	u16 v = lift_vop(l, IR_VUZP, size, a, b);
	IR_VALUE(l->b, v).imm = odd;
	return v;
}

/* Vn:Vm, or their low halves beside each other. */
static void both(struct lift *l, u32 w, u16 out[2])
{
	out[0] = lift_getv(l, W_RN(w));
	out[1] = lift_getv(l, W_RM(w));
	if (!W_Q(w))
		out[0] = out[1] = lift_vop(l, IR_VZIPL, 3, out[0], out[1]);
}

/* ADD, MAX, MIN, by how the class has them: 0, 1, 2. */
static enum ir_op reducer(u32 w, unsigned which)
{
	static const u8 ops[2][3] = { { IR_VADD, IR_VSMAX, IR_VSMIN }, { IR_VADD, IR_VUMAX, IR_VUMIN } };
	return ops[W_U(w)][which];
}

/* ADDP, UMAXP, ... */
bool lift_vpairwise_ir(struct lift *l, u32 w)
{
	unsigned opcode = w >> 11 & 31, size = W_SIZE(w);
	enum ir_op op = reducer(w, opcode == 23 ? 0 : opcode == 20 ? 1 : 2);
	u16 in[2];

	both(l, w, in);
	u16 even = unzip(l, size, in[0], in[1], false), odd = unzip(l, size, in[0], in[1], true);
	return finish(l, w, lift_vop(l, op, size, even, odd));
}

/* ADDV, UMAXV, ...: the vector against itself, turned by half, a quarter, ... */
bool lift_vacross_ir(struct lift *l, u32 w)
{
	unsigned opcode = w >> 12 & 31, size = W_SIZE(w);
	enum ir_op op = reducer(w, opcode == 27 ? 0 : opcode == 10 ? 1 : 2);
	u16 v = lift_getv(l, W_RN(w));

	if (opcode == 3)
		return false;
	if (!W_Q(w))
		v = lift_vop(l, IR_VZIPL, 3, v, v);
	for (unsigned by = W_Q(w) ? 8 : 4; by >= 1u << size; by /= 2) {
		u16 turned = lift_vop(l, IR_VEXT, 0, v, v);
		IR_VALUE(l->b, turned).imm = by;
		v = lift_vop(l, op, size, v, turned);
	}
	u16 x = ir_add_insn(l->b, (struct ir_insn){ .op = IR_VTO, .type = IR_I32, .a = v, .cc = (u8)size });
	lift_setv(l, W_RD(w), ir1(l->b, IR_VFROM, IR_V128, x));
	return true;
}

/* XTN, SHRN: the low halves of lanes, after a shift; into the upper half with Q. */
bool lift_vnarrow_ir(struct lift *l, u32 w, unsigned size, int shift)
{
	u16 v = lift_getv(l, W_RN(w));

	if (shift) {
		v = lift_vop(l, IR_VSHR, size + 1, v, 0);
		IR_VALUE(l->b, v).imm = shift;
	}
	v = unzip(l, size, v, splat(l, 0), false);
	if (W_Q(w))
		v = lift_vop(l, IR_VZIPL, 3, lift_getv(l, W_RD(w)), v);
	lift_setv(l, W_RD(w), v);
	return true;
}

/* MOVI's ORR and BIC. */
void lift_vorr_imm(struct lift *l, u32 w, bool clear, u64 imm)
{
	finish(l, w, lift_vop(l, clear ? IR_VBIC : IR_VOR, 3, lift_getv(l, W_RD(w)), splat(l, imm)));
}

/* TBL of one register. */
bool lift_vtbl_ir(struct lift *l, u32 w)
{
	if (w >> 12 & 7) /* len, TBX */
		return false;
	return finish(l, w, lift_vop(l, IR_VTBL, 0, lift_getv(l, W_RN(w)), lift_getv(l, W_RM(w))));
}

/* FABS, FNEG of vectors. */
bool lift_vfsign_ir(struct lift *l, u32 w, unsigned size)
{
	u64 sign = size == 1 ? 0x8000800080008000ull : size == 2 ? 0x8000000080000000ull : 1ull << 63;
	return finish(l, w,
		      lift_vop(l, W_U(w) ? IR_VXOR : IR_VBIC, 3, lift_getv(l, W_RN(w)), splat(l, sign)));
}

/* ---- shifts by immediate ---- */

bool lift_vshift_ir(struct lift *l, u32 w, unsigned size, int shift)
{
	unsigned opc = w >> 11 & 31;
	enum ir_op op = opc == 10 ? IR_VSHL : W_U(w) ? IR_VSHR : IR_VSAR;

	if (W_SCALAR(w) || !size || shift >= (8 << size) || (opc == 10 && W_U(w)) ||
	    (opc != 0 && opc != 2 && opc != 10))
		return false;
	if (op == IR_VSAR && size == 3)
		return false;
	u16 v = lift_vop(l, op, size, lift_getv(l, W_RN(w)), 0);
	IR_VALUE(l->b, v).imm = shift;
	if (opc == 2) /* USRA, SSRA */
		v = lift_vop(l, IR_VADD, size, lift_getv(l, W_RD(w)), v);
	return finish(l, w, v);
}

/* USHLL, SSHLL: each element beside zeros, or twice and shifted back down. */
bool lift_vshll_ir(struct lift *l, u32 w, unsigned size, int shift)
{
	u16 n = lift_getv(l, W_RN(w)), v;

	if (!W_U(w) && size == 2)
		return false;
	v = lift_vop(l, W_Q(w) ? IR_VZIPH : IR_VZIPL, size, W_U(w) ? n : splat(l, 0),
		     W_U(w) ? splat(l, 0) : n);
	if (!W_U(w)) {
		v = lift_vop(l, IR_VSAR, size + 1, v, 0);
		IR_VALUE(l->b, v).imm = 8 << size;
	}
	if (shift) {
		v = lift_vop(l, IR_VSHL, size + 1, v, 0);
		IR_VALUE(l->b, v).imm = shift;
	}
	lift_setv(l, W_RD(w), v);
	return true;
}

/* ---- long and wide: operands widened, then lanes of twice the size ---- */

static u16 shifted(struct lift *l, enum ir_op op, unsigned size, u16 v, unsigned by)
{
	v = lift_vop(l, op, size, v, 0);
	IR_VALUE(l->b, v).imm = by;
	return v;
}

/* The low or high half of v, each lane in one of twice the size. Signed words have no such shift. */
static u16 widened(struct lift *l, u16 v, unsigned size, bool u, bool high)
{
	u16 zero = splat(l, 0);

	v = lift_vop(l, high ? IR_VZIPH : IR_VZIPL, size, u ? v : zero, u ? zero : v);
	return u ? v : shifted(l, IR_VSAR, size + 1, v, 8u << size);
}

/* opcode: 0 ADDL 1 ADDW 2 SUBL 3 SUBW 8 MLAL 10 MLSL 12 MULL */
bool lift_vlong_ir(struct lift *l, u32 w)
{
	unsigned opcode = w >> 12 & 15, size = W_SIZE(w);
	bool u = W_U(w), wide = opcode == 1 || opcode == 3, product = opcode >= 8, high = W_Q(w);

	if (W_SCALAR(w) || (opcode & 1 && !wide) || opcode > 12 || opcode == 4 || opcode == 6)
		return false;
	if (size == 2 && (!u || product))
		return false;
	u16 n = lift_getv(l, W_RN(w)), m = widened(l, lift_getv(l, W_RM(w)), size, u, high), v;
	n = wide ? n : widened(l, n, size, u, high);
	if (!product) {
		v = lift_vop(l, opcode & 2 ? IR_VSUB : IR_VADD, size + 1, n, m);
	} else {
		v = lift_vop(l, IR_VMUL, size + 1, n, m);
		if (opcode != 12)
			v = lift_vop(l, opcode == 8 ? IR_VADD : IR_VSUB, size + 1, lift_getv(l, W_RD(w)), v);
	}
	lift_setv(l, W_RD(w), v);
	return true;
}

/* SADDLP, UADDLP, and with the accumulator (opcode 6). */
bool lift_vaddlp_ir(struct lift *l, u32 w)
{
	unsigned size = W_SIZE(w), bits = 8u << size;
	enum ir_op down = W_U(w) ? IR_VSHR : IR_VSAR;

	if (size == 2 && !W_U(w))
		return false;
	u16 n = lift_getv(l, W_RN(w)), odd = shifted(l, down, size + 1, n, bits);
	u16 even = shifted(l, down, size + 1, shifted(l, IR_VSHL, size + 1, n, bits), bits);
	u16 v = lift_vop(l, IR_VADD, size + 1, even, odd);
	if ((w >> 12 & 31) == 6)
		v = lift_vop(l, IR_VADD, size + 1, lift_getv(l, W_RD(w)), v);
	return finish(l, w, v);
}

/* ---- permutations: ZIP, EXT of whole registers ---- */

bool lift_vzip_ir(struct lift *l, u32 w)
{
	unsigned opcode = w >> 12 & 7;

	if ((opcode & 3) == 1) {
		u16 in[2];
		both(l, w, in);
		return finish(l, w, unzip(l, W_SIZE(w), in[0], in[1], opcode == 5));
	}
	if (opcode != 3 && (opcode != 7 || !W_Q(w)))
		return false;
	u16 n = lift_getv(l, W_RN(w)), m = lift_getv(l, W_RM(w));
	return finish(l, w, lift_vop(l, opcode == 3 ? IR_VZIPL : IR_VZIPH, W_SIZE(w), n, m));
}

bool lift_vext_ir(struct lift *l, u32 w)
{
	if (!W_Q(w))
		return false;
	u16 v = lift_vop(l, IR_VEXT, 0, lift_getv(l, W_RN(w)), lift_getv(l, W_RM(w)));
	IR_VALUE(l->b, v).imm = w >> 11 & 15;
	lift_setv(l, W_RD(w), v);
	return true;
}

/* ---- scalar floating point ---- */

static u16 fp_op(struct lift *l, enum ir_op op, unsigned size, const u16 arg[3], bool scalar)
{
	return ir_add_insn(l->b, (struct ir_insn){ .op = op, .type = IR_V128, .cc = (u8)size, .mem = scalar,
						   .a = arg[0], .b = arg[1], .c = arg[2] });
}

static u64 sign_bits(unsigned size)
{
	return size == 3 ? 1ull << 63 : 0x8000000080000000ull;
}

/* The sign turned, of lane 0 or all. */
static u16 negated(struct lift *l, unsigned size, u16 v, bool scalar)
{
	u16 mask = splat(l, scalar && size == 2 ? 0x80000000 : sign_bits(size));
	IR_VALUE(l->b, mask).cc = scalar;
	return lift_vop(l, IR_VXOR, 3, v, mask);
}

/* opcode: FMUL FDIV FADD FSUB, 8 FNMUL */
bool lift_f2_ir(struct lift *l, u32 w, unsigned size)
{
	static const u8 ops[] = { IR_VFMUL, IR_VFDIV, IR_VFADD, IR_VFSUB };
	unsigned opcode = w >> 12 & 15;

	if (size < 2 || !NO_FZ(l) || (opcode > 3 && opcode != 8))
		return false;
	u16 arg[3] = { lift_getv(l, W_RN(w)), lift_getv(l, W_RM(w)), 0 };
	u16 v = fp_op(l, ops[opcode & 3], size, arg, true);
	lift_setv(l, W_RD(w), opcode == 8 ? negated(l, size, v, true) : v);
	return true;
}

bool lift_fsqrt_ir(struct lift *l, u32 w, unsigned size)
{
	if (size < 2 || !NO_FZ(l))
		return false;
	lift_setv(l, W_RD(w), fp_op(l, IR_VFSQRT, size, (u16[3]){ lift_getv(l, W_RN(w)), 0, 0 }, true));
	return true;
}

bool lift_f3_ir(struct lift *l, u32 w, unsigned size)
{
	bool o1 = w >> 21 & 1, o0 = w >> 15 & 1;

	if (size < 2 || !NO_FZ(l))
		return false;
	u16 a = lift_getv(l, w >> 10 & 31), n = lift_getv(l, W_RN(w)), m = lift_getv(l, W_RM(w));
	if (o1)
		a = negated(l, size, a, true);
	if (o1 != o0)
		n = negated(l, size, n, true);
	lift_setv(l, W_RD(w), fp_op(l, IR_VFMLA, size, (u16[3]){ a, n, m }, true));
	return true;
}

bool lift_fcvt_ir(struct lift *l, u32 w, unsigned from, unsigned to)
{
	if (from < 2 || to < 2 || !NO_FZ(l))
		return false;
	lift_setv(l, W_RD(w), fp_op(l, IR_VFCVT, from, (u16[3]){ lift_getv(l, W_RN(w)), 0, 0 }, false));
	return true;
}

bool lift_fcmp_ir(struct lift *l, u32 w, unsigned size)
{
	if (size < 2 || !NO_FZ(l))
		return false;
	u16 n = lift_getv(l, W_RN(w)), m = w >> 3 & 1 ? splat(l, 0) : lift_getv(l, W_RM(w));
	u16 v = ir_add_insn(l->b, (struct ir_insn){ .op = IR_VFCMP, .type = IR_I32, .cc = (u8)size, .a = n, .b = m,
						    .imm = w >> 4 & 1 });
	lift_setf(l, ir1(l->b, IR_FFROM, IR_FLAGS, v));
	return true;
}

/* FCVTZS of integers: rmode 11, opcode 000, bit 21. */
bool lift_fcvtzs_ir(struct lift *l, u32 w, unsigned size)
{
	enum ir_type t = w >> 31 ? IR_I64 : IR_I32;

	if (size < 2 || !NO_FZ(l) || (w >> 16 & 0x3f) != 0x38)
		return false;
	u16 v = ir_add_insn(l->b, (struct ir_insn){ .op = IR_VFTO, .type = t, .cc = (u8)size,
						    .a = lift_getv(l, W_RN(w)) });
	lift_set(l, t, W_RD(w), v);
	return true;
}

/* SCVTF, and UCVTF of words, of integers. */
bool lift_cvtf_ir(struct lift *l, u32 w, unsigned size)
{
	bool u = w >> 16 & 1, wide = w >> 31;

	if (size < 2 || !NO_FZ(l) || !(w >> 21 & 1) || (u && wide))
		return false;
	u16 x = lift_get(l, wide ? IR_I64 : IR_I32, W_RN(w));
	if (u)
		x = ir1(l->b, IR_WIDEN, IR_I64, x);
	u16 v = ir_add_insn(l->b, (struct ir_insn){ .op = IR_VFFROM, .type = IR_V128, .cc = (u8)size, .a = x });
	lift_setv(l, W_RD(w), v);
	return true;
}

/* ---- vector floating point ---- */

static u16 operand(struct lift *l, u32 w, unsigned n)
{
	u16 v = lift_getv(l, n);
	return W_Q(w) ? v : lift_vop(l, IR_VLOW, 3, v, 0);
}

/* FADD FSUB FMUL FDIV FMLA FMLS by U, a, opcode<2:0>. Lanes beyond the vector compute with zeros, which
 * FDIV must not. */
bool lift_vfsame_ir(struct lift *l, u32 w, unsigned size)
{
	unsigned key = W_U(w) << 4 | (w >> 23 & 1) << 3 | (w >> 11 & 7);
	enum ir_op op = key == 2               ? IR_VFADD
			: key == 10            ? IR_VFSUB
			: key == 16 + 3        ? IR_VFMUL
			: key == 16 + 7        ? IR_VFDIV
			: key == 1 || key == 9 ? IR_VFMLA
					       : IR_NONE;

	if (op == IR_NONE || W_SCALAR(w) || size < 2 || !NO_FZ(l) || (op == IR_VFDIV && !W_Q(w)))
		return false;
	u16 n = operand(l, w, W_RN(w)), m = operand(l, w, W_RM(w));
	if (op == IR_VFMLA) {
		u16 d = operand(l, w, W_RD(w));
		n = key == 9 ? negated(l, size, n, false) : n;
		return finish(l, w, fp_op(l, op, size, (u16[3]){ d, n, m }, false));
	}
	return finish(l, w, fp_op(l, op, size, (u16[3]){ n, m, 0 }, false));
}

/* FMLA, FMLS, FMUL by element: opcode 1, 5, 9. */
bool lift_vfelement_ir(struct lift *l, u32 w, unsigned size)
{
	unsigned opcode = w >> 12 & 15, h = w >> 11 & 1, index = size == 3 ? h : h << 1 | (w >> 21 & 1);

	if (size < 2 || !NO_FZ(l) || W_U(w))
		return false;
	bool scalar = W_SCALAR(w);
	u16 x = ir_add_insn(l->b, (struct ir_insn){ .op = IR_VTO, .type = size == 3 ? IR_I64 : IR_I32,
						    .a = lift_getv(l, W_RM(w)), .cc = (u8)size, .imm = index });
	u16 m = scalar ? ir1(l->b, IR_VFROM, IR_V128, x) : lift_cc_op(l, IR_VDUP, IR_V128, (u8)size, x);
	u16 n = scalar ? lift_getv(l, W_RN(w)) : operand(l, w, W_RN(w)), v;
	if (opcode == 9) {
		v = fp_op(l, IR_VFMUL, size, (u16[3]){ n, scalar || W_Q(w) ? m : lift_vop(l, IR_VLOW, 3, m, 0), 0 }, scalar);
	} else {
		u16 d = scalar ? lift_getv(l, W_RD(w)) : operand(l, w, W_RD(w));
		n = opcode == 5 ? negated(l, size, n, scalar) : n;
		m = scalar || W_Q(w) ? m : lift_vop(l, IR_VLOW, 3, m, 0);
		v = fp_op(l, IR_VFMLA, size, (u16[3]){ d, n, m }, scalar);
	}
	return scalar ? lift_setv(l, W_RD(w), v), true : finish(l, w, v);
}
