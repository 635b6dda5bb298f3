/* SPDX-License-Identifier: Apache-2.0 */
/* Elements moved about: copies, immediates, permutations, tables, and moves between the register files. */
#include "hyp/lift/arm64/lift_vec.h"
#include "hyp/lift/arm64/vec.h"

static u16 lane_get(struct lift *l, u16 v, enum ir_type t, unsigned size, unsigned lane)
{
	return ir_add_insn(l->b, (struct ir_insn){ .op = IR_VTO, .type = t, .a = v, .cc = (u8)size, .imm = lane });
}

/* The low half of v only where Q is 0. */
static u16 by_q(struct lift *l, const struct a64_insn *i, u16 v)
{
	return F(i, Q) ? v : ir1(l->b, IR_VFROM, IR_V128, lane_get(l, v, IR_I64, 3, 0));
}

/* ---- copy: imm5 is size (its lowest set bit) and index ---- */

static bool copy_size(const struct a64_insn *i, unsigned *size, unsigned *index)
{
	if (!(F(i, imm5) & 15))
		return false;
	*size = (unsigned)__builtin_ctz(F(i, imm5));
	*index = F(i, imm5) >> (*size + 1);
	return true;
}

static enum ir_type lane_type(unsigned size)
{
	return size == 3 ? IR_I64 : IR_I32;
}

bool lift_dup_element(struct lift *l, const struct a64_insn *i)
{
	unsigned size, index;

	if (!copy_size(i, &size, &index) || (size == 3 && !F(i, Q)))
		return false;
	u16 x = lane_get(l, lift_getv(l, F(i, Rn)), lane_type(size), size, index);
	lift_setv(l, F(i, Rd), by_q(l, i, lift_cc_op(l, IR_VDUP, IR_V128, (u8)size, x)));
	return true;
}

bool lift_dup_general(struct lift *l, const struct a64_insn *i)
{
	unsigned size, index;

	if (!copy_size(i, &size, &index) || (size == 3 && !F(i, Q)))
		return false;
	u16 x = lift_get(l, lane_type(size), F(i, Rn));
	lift_setv(l, F(i, Rd), by_q(l, i, lift_cc_op(l, IR_VDUP, IR_V128, (u8)size, x)));
	return true;
}

bool lift_dup_scalar(struct lift *l, const struct a64_insn *i)
{
	unsigned size, index;

	if (!copy_size(i, &size, &index))
		return false;
	u16 x = lane_get(l, lift_getv(l, F(i, Rn)), lane_type(size), size, index);
	lift_setv(l, F(i, Rd), ir1(l->b, IR_VFROM, IR_V128, x));
	return true;
}

static void insert(struct lift *l, const struct a64_insn *i, unsigned size, unsigned index, u16 x)
{
	u16 v = ir2(l->b, IR_VINS, IR_V128, lift_getv(l, F(i, Rd)), x);
	IR_VALUE(l->b, v).cc = (u8)size;
	IR_VALUE(l->b, v).imm = index;
	lift_setv(l, F(i, Rd), v);
}

bool lift_ins_general(struct lift *l, const struct a64_insn *i)
{
	unsigned size, index;

	if (!copy_size(i, &size, &index))
		return false;
	insert(l, i, size, index, lift_get(l, lane_type(size), F(i, Rn)));
	return true;
}

bool lift_ins_element(struct lift *l, const struct a64_insn *i)
{
	unsigned size, index;

	if (!copy_size(i, &size, &index))
		return false;
	u16 x = lane_get(l, lift_getv(l, F(i, Rn)), lane_type(size), size, F(i, imm4) >> size);
	insert(l, i, size, index, x);
	return true;
}

bool lift_umov(struct lift *l, const struct a64_insn *i)
{
	unsigned size, index;

	if (!copy_size(i, &size, &index) || (size == 3) != F(i, Q))
		return false;
	enum ir_type t = lane_type(size);
	lift_set(l, t, F(i, Rd), lane_get(l, lift_getv(l, F(i, Rn)), t, size, index));
	return true;
}

bool lift_smov(struct lift *l, const struct a64_insn *i)
{
	unsigned size, index;

	if (!copy_size(i, &size, &index) || size > (F(i, Q) ? 2 : 1))
		return false;
	enum ir_type t = F(i, Q) ? IR_I64 : IR_I32;
	u16 v = lane_get(l, lift_getv(l, F(i, Rn)), t, size, index);
	IR_VALUE(l->b, v).mem = 1;
	lift_set(l, t, F(i, Rd), v);
	return true;
}

/* ---- modified immediates ---- */

static u64 replicate(u64 v, unsigned bits)
{
	for (; bits < 64; bits *= 2)
		v |= v << bits;
	return v;
}

/* VFPExpandImm() as the bits of a half, single or double. */
u64 a64_fp_imm(unsigned imm8, unsigned bits)
{
	unsigned e = bits == 16 ? 5 : bits == 32 ? 8 : 11, f = bits - e - 1;
	u64 sign = imm8 >> 7, b6 = imm8 >> 6 & 1, exp = (b6 ^ 1) << (e - 1);

	if (b6)
		exp |= ((1ull << (e - 3)) - 1) << 2;
	exp |= imm8 >> 4 & 3;
	return sign << (bits - 1) | exp << f | (u64)(imm8 & 15) << (f - 4);
}

static u64 bytes_of_bits(unsigned imm8)
{
	u64 v = 0;
	for (unsigned n = 0; n < 8; n++)
		v |= imm8 >> n & 1 ? 0xffull << (8 * n) : 0;
	return v;
}

/* AdvSIMDExpandImm() */
static u64 expand_imm(unsigned op, unsigned cmode, unsigned imm8)
{
	switch (cmode >> 1) {
	case 0:
	case 1:
	case 2:
	case 3: return replicate((u64)imm8 << (8 * (cmode >> 1)), 32);
	case 4:
	case 5: return replicate((u64)imm8 << (8 * (cmode >> 1 & 1)), 16);
	case 6: return replicate(cmode & 1 ? (u64)imm8 << 16 | 0xffff : (u64)imm8 << 8 | 0xff, 32);
	default: break;
	}
	if (!(cmode & 1))
		return op ? bytes_of_bits(imm8) : replicate(imm8, 8);
	return op ? a64_fp_imm(imm8, 64) : replicate(a64_fp_imm(imm8, 32), 32);
}

static void set_imm(struct lift *l, const struct a64_insn *i, u64 imm)
{
	u16 v = lift_imm_op(l, IR_VCONST, IR_V128, 0, imm);
	IR_VALUE(l->b, v).cc = !F(i, Q);
	lift_setv(l, F(i, Rd), v);
}

bool lift_movi(struct lift *l, const struct a64_insn *i)
{
	unsigned op = F(i, op), cmode = F(i, cmode), imm8 = F(i, abc) << 5 | F(i, defgh);

	if (cmode == 15 && op && !F(i, Q))
		return false;
	u64 imm = expand_imm(op, cmode, imm8);
	if (cmode < 12 && cmode & 1) {
		lift_vorr_imm(l, i->raw, op, imm);
	} else {
		set_imm(l, i, op && cmode < 14 ? ~imm : imm); /* MVNI */
	}
	return true;
}

/* FMOV (vector, immediate), half precision. */
bool lift_fmov_half_imm(struct lift *l, const struct a64_insn *i)
{
	set_imm(l, i, replicate(a64_fp_imm(F(i, abc) << 5 | F(i, defgh), 16), 16));
	return true;
}

/* ---- permutations ---- */

/* Where element e of the result is in Vn:Vm. opcode: 1 UZP1, 2 TRN1, 3 ZIP1, +4: the second ones. */
static unsigned permuted(unsigned opcode, unsigned e, unsigned lanes)
{
	unsigned second = opcode >> 2;

	switch (opcode & 3) {
	case 1: return 2 * e + second;
	case 2: return (e & ~1u) + second + (e & 1 ? lanes : 0);
	default: return e / 2 + second * (lanes / 2) + (e & 1 ? lanes : 0);
	}
}

static u64 helper_permute(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *m = &cpu->s.v[W_RM(w)];
	unsigned size = W_SIZE(w), lanes = (8u << W_Q(w)) >> size, opcode = w >> 12 & 7;
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < lanes; e++) {
		unsigned from = permuted(opcode, e, lanes);
		vec_set(&r, size, e, from < lanes ? vec_get(n, size, from) : vec_get(m, size, from - lanes));
	}
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

bool lift_vpermute(struct lift *l, const struct a64_insn *i)
{
	if (F(i, size) == 3 && !F(i, Q))
		return false;
	return lift_vzip_ir(l, i->raw) || vec_call(l, i, helper_permute);
}

static u64 helper_ext(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *m = &cpu->s.v[W_RM(w)];
	unsigned bytes = 8u << W_Q(w), at = w >> 11 & 15;
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < bytes; e++, at++)
		vec_set(&r, 0, e, at < bytes ? vec_get(n, 0, at) : vec_get(m, 0, at - bytes));
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

bool lift_vext(struct lift *l, const struct a64_insn *i)
{
	if (!F(i, Q) && F(i, imm4) >= 8)
		return false;
	return lift_vext_ir(l, i->raw) || vec_call(l, i, helper_ext);
}

/* TBL; TBX (op) leaves bytes whose index is beyond the table. */
static u64 helper_tbl(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *m = &cpu->s.v[W_RM(w)], *d = &cpu->s.v[W_RD(w)];
	unsigned size = 16 * ((w >> 13 & 3) + 1);
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < 8u << W_Q(w); e++) {
		unsigned at = (unsigned)vec_get(m, 0, e);
		if (at < size)
			vec_set(&r, 0, e, vec_get(&cpu->s.v[(W_RN(w) + at / 16) & 31], 0, at % 16));
		else if (w >> 12 & 1)
			vec_set(&r, 0, e, vec_get(d, 0, e));
	}
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

bool lift_vtbl(struct lift *l, const struct a64_insn *i)
{
	return lift_vtbl_ir(l, i->raw) || vec_call(l, i, helper_tbl);
}

/* ---- FMOV: type 0 S, 1 D, 3 H ---- */

static int fp_size(const struct a64_insn *i)
{
	static const s8 size[] = { 2, 3, -1, 1 };
	return size[F(i, type)];
}

bool lift_fmov_reg(struct lift *l, const struct a64_insn *i)
{
	int size = fp_size(i);

	if (size < 0)
		return false;
	u16 x = lane_get(l, lift_getv(l, F(i, Rn)), lane_type((unsigned)size), (unsigned)size, 0);
	lift_setv(l, F(i, Rd), ir1(l->b, IR_VFROM, IR_V128, x));
	return true;
}

bool lift_fmov_imm(struct lift *l, const struct a64_insn *i)
{
	int size = fp_size(i);

	if (size < 0)
		return false;
	u16 v = lift_imm_op(l, IR_VCONST, IR_V128, 0, a64_fp_imm(F(i, imm8), 8u << size));
	IR_VALUE(l->b, v).cc = 1;
	lift_setv(l, F(i, Rd), v);
	return true;
}

/* Between the files: W and S, X and D, W or X and H. */
static bool fmov_sizes(const struct a64_insn *i, unsigned *size)
{
	int fp = fp_size(i);

	*size = (unsigned)fp;
	return fp == 1 || fp == (F(i, sf) ? 3 : 2);
}

bool lift_fmov_to_general(struct lift *l, const struct a64_insn *i)
{
	unsigned size;

	if (!fmov_sizes(i, &size))
		return false;
	enum ir_type t = lift_type(i);
	lift_set(l, t, F(i, Rd), lane_get(l, lift_getv(l, F(i, Rn)), t, size, 0));
	return true;
}

bool lift_fmov_from_general(struct lift *l, const struct a64_insn *i)
{
	unsigned size;

	if (!fmov_sizes(i, &size))
		return false;
	u16 x = lift_get(l, lift_type(i), F(i, Rn));
	if (size == 1)
		x = lift_imm_op(l, IR_ZEXT, lift_type(i), x, 16);
	lift_setv(l, F(i, Rd), ir1(l->b, IR_VFROM, IR_V128, x));
	return true;
}

bool lift_fmov_high_to(struct lift *l, const struct a64_insn *i)
{
	lift_set(l, IR_I64, F(i, Rd), lane_get(l, lift_getv(l, F(i, Rn)), IR_I64, 3, 1));
	return true;
}

bool lift_fmov_high_from(struct lift *l, const struct a64_insn *i)
{
	insert(l, i, 3, 1, lift_get(l, IR_I64, F(i, Rn)));
	return true;
}
