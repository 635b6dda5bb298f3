/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector floating point, and the scalar forms that share its encodings. Half precision has rows of its own,
 * where bits 22:21 are 10 (three same) or bits 22:17 are 111100 (two registers); else size<0> is single or
 * double. Bit 23 (a) takes part in the operation.
 */
#include "hyp/lift/arm64/fp.h"
#include "hyp/lift/arm64/lift_vec.h"

#define W_A(w) ((w) >> 23 & 1)
#define W_SZ(w) ((w) >> 22 & 1)

/* d: what the destination was. */
typedef u64 (*fp_fn)(struct fp *c, u64 n, u64 m, u64 d);

struct fp_op {
	fp_fn fn;
	bool scalar, pairwise;
};

static bool lanes_allowed(u32 w, unsigned size, bool scalar)
{
	return W_SCALAR(w) ? scalar : size < 3 || W_Q(w);
}

/* The lifter of a class: size as the encoding has it. */
static bool call_sized(struct lift *l, const struct a64_insn *i, ir_helper fn, unsigned size)
{
	lift_call(l, fn, lift_const(l, IR_I64, i->raw), lift_const(l, IR_I64, size), 0);
	return true;
}

/* ---- three same ---- */

static u64 ones(bool set)
{
	return set ? ~0ull : 0;
}

static u64 op_add(struct fp *c, u64 n, u64 m, u64 d) { return fp_add(c, n, m); }
static u64 op_sub(struct fp *c, u64 n, u64 m, u64 d) { return fp_sub(c, n, m); }
static u64 op_mul(struct fp *c, u64 n, u64 m, u64 d) { return fp_mul(c, n, m); }
static u64 op_mulx(struct fp *c, u64 n, u64 m, u64 d) { return fp_mulx(c, n, m); }
static u64 op_div(struct fp *c, u64 n, u64 m, u64 d) { return fp_div(c, n, m); }
static u64 op_max(struct fp *c, u64 n, u64 m, u64 d) { return fp_max(c, n, m); }
static u64 op_min(struct fp *c, u64 n, u64 m, u64 d) { return fp_min(c, n, m); }
static u64 op_maxnm(struct fp *c, u64 n, u64 m, u64 d) { return fp_maxnum(c, n, m); }
static u64 op_minnm(struct fp *c, u64 n, u64 m, u64 d) { return fp_minnum(c, n, m); }
static u64 op_recps(struct fp *c, u64 n, u64 m, u64 d) { return fp_recps(c, n, m); }
static u64 op_rsqrts(struct fp *c, u64 n, u64 m, u64 d) { return fp_rsqrts(c, n, m); }
static u64 op_mla(struct fp *c, u64 n, u64 m, u64 d) { return fp_muladd(c, d, n, m); }
static u64 op_mls(struct fp *c, u64 n, u64 m, u64 d) { return fp_muladd(c, d, fp_neg(c, n), m); }
static u64 op_abd(struct fp *c, u64 n, u64 m, u64 d) { return fp_abs(c, fp_sub(c, n, m)); }
static u64 op_eq(struct fp *c, u64 n, u64 m, u64 d) { return ones(fp_eq(c, n, m)); }
static u64 op_ge(struct fp *c, u64 n, u64 m, u64 d) { return ones(fp_ge(c, n, m)); }
static u64 op_gt(struct fp *c, u64 n, u64 m, u64 d) { return ones(fp_gt(c, n, m)); }
static u64 op_acge(struct fp *c, u64 n, u64 m, u64 d) { return ones(fp_ge(c, fp_abs(c, n), fp_abs(c, m))); }
static u64 op_acgt(struct fp *c, u64 n, u64 m, u64 d) { return ones(fp_gt(c, fp_abs(c, n), fp_abs(c, m))); }

/* [U][a][opcode<2:0>] */
static const struct fp_op same[2][2][8] = {
	{ { { op_maxnm }, { op_mla }, { op_add }, { op_mulx, true }, { op_eq, true }, { 0 }, { op_max }, { op_recps, true } },
	  { { op_minnm }, { op_mls }, { op_sub }, { 0 }, { 0 }, { 0 }, { op_min }, { op_rsqrts, true } } },
	{ { { op_maxnm, false, true }, { 0 }, { op_add, false, true }, { op_mul }, { op_ge, true }, { op_acge, true },
	    { op_max, false, true }, { op_div } },
	  { { op_minnm, false, true }, { 0 }, { op_abd, true }, { 0 }, { op_gt, true }, { op_acgt, true },
	    { op_min, false, true }, { 0 } } },
};

static const struct fp_op *same_op(u32 w)
{
	return &same[W_U(w)][W_A(w)][w >> 11 & 7];
}

static u64 helper_same(struct hyp_cpu *cpu, u64 w, u64 size, u64 unused)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *m = &cpu->s.v[W_RM(w)], *d = &cpu->s.v[W_RD(w)];
	unsigned lanes = vec_lanes((u32)w, (unsigned)size), sz = (unsigned)size;
	const struct fp_op *op = same_op((u32)w);
	struct fp c = fp_begin(cpu, sz);
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < lanes; e++) {
		const struct arm64_v *from = e < lanes / 2 ? n : m;
		unsigned pair = lanes ? 2 * e % lanes : 0;
		u64 x = op->pairwise ? vec_get(from, sz, pair) : vec_get(n, sz, e);
		u64 y = op->pairwise ? vec_get(from, sz, pair + 1) : vec_get(m, sz, e);
		vec_set(&r, sz, e, op->fn(&c, x, y, vec_get(d, sz, e)));
	}
	cpu->s.v[W_RD(w)] = r;
	fp_end(cpu, &c);
	return 0;
}

static bool same_sized(struct lift *l, const struct a64_insn *i, unsigned size)
{
	if (!lanes_allowed(i->raw, size, same_op(i->raw)->scalar))
		return false;
	return lift_vfsame_ir(l, i->raw, size) || call_sized(l, i, helper_same, size);
}

bool lift_vfsame(struct lift *l, const struct a64_insn *i)
{
	return same_sized(l, i, 2 + W_SZ(i->raw));
}

bool lift_vfsame_half(struct lift *l, const struct a64_insn *i)
{
	return same_sized(l, i, 1);
}

/* Scalar pairwise: the two elements of Vn. opcode 01100 MAXNM, 01101 ADD, 01111 MAX; a: MIN. */
static u64 helper_pair(struct hyp_cpu *cpu, u64 w, u64 size, u64 unused)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	struct fp c = fp_begin(cpu, (unsigned)size);
	unsigned opcode = w >> 12 & 3;
	fp_fn fn = opcode == 1   ? op_add
		   : opcode == 0 ? (W_A(w) ? op_minnm : op_maxnm)
		   : W_A(w)      ? op_min
				 : op_max;
	struct arm64_v r = { 0 };

	vec_set(&r, c.size, 0, fn(&c, vec_get(n, c.size, 0), vec_get(n, c.size, 1), 0));
	cpu->s.v[W_RD(w)] = r;
	fp_end(cpu, &c);
	return 0;
}

bool lift_vfpair(struct lift *l, const struct a64_insn *i)
{
	return call_sized(l, i, helper_pair, 2 + W_SZ(i->raw));
}

bool lift_vfpair_half(struct lift *l, const struct a64_insn *i)
{
	return call_sized(l, i, helper_pair, 1);
}

/* ---- by element ---- */

static u64 helper_element(struct hyp_cpu *cpu, u64 w, u64 size, u64 unused)
{
	unsigned h = w >> 11 & 1, lo = w >> 21 & 1, m = w >> 20 & 1, sz = (unsigned)size,
		 opcode = w >> 12 & 15;
	unsigned rm = sz == 1 ? w >> 16 & 15 : W_RM(w);
	unsigned index = sz == 1 ? h << 2 | lo << 1 | m : sz == 2 ? h << 1 | lo : h;
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *d = &cpu->s.v[W_RD(w)];
	fp_fn fn = opcode == 1 ? op_mla : opcode == 5 ? op_mls : W_U(w) ? op_mulx : op_mul;
	struct fp c = fp_begin(cpu, sz);
	u64 y = vec_get(&cpu->s.v[rm], sz, index);
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < vec_lanes((u32)w, sz); e++)
		vec_set(&r, sz, e, fn(&c, vec_get(n, sz, e), y, vec_get(d, sz, e)));
	cpu->s.v[W_RD(w)] = r;
	fp_end(cpu, &c);
	return 0;
}

/* size 0: half, 2: single, 3: double (no L). */
bool lift_vfelement(struct lift *l, const struct a64_insn *i)
{
	unsigned size = F(i, size) == 0 ? 1 : F(i, size);

	if (F(i, size) == 1 || (size == 3 && F(i, L)) || !lanes_allowed(i->raw, size, true))
		return false;
	return lift_vfelement_ir(l, i->raw, size) || call_sized(l, i, helper_element, size);
}

/* ---- two registers ---- */

static enum fp_round mode_of(const struct fp *c, unsigned which)
{
	static const u8 modes[] = { FP_TIEEVEN, FP_POSINF, FP_NEGINF, FP_ZERO, FP_TIEAWAY };
	return which < 5 ? modes[which] : fp_mode(c);
}

/* FRINT by U, opcode<0>, a: N A, M X in the first half, P -, Z I in the second. */
static u64 frint(struct fp *c, u32 w, u64 x)
{
	static const u8 which[2][2][2] = { { { 0, 1 }, { 2, 3 } }, { { 4, 5 }, { 5, 5 } } }; /* [U][opcode<0>][a] */
	bool exact = W_U(w) && w >> 12 & 1 && !W_A(w);
	return fp_round_int(c, x, mode_of(c, which[W_U(w)][w >> 12 & 1][W_A(w)]), exact);
}

/* FCVTNS FCVTMS FCVTAS by opcode<2:0> 2 3 4, with a FCVTPS FCVTZS. */
static u64 fcvt_int(struct fp *c, u32 w, u64 x)
{
	unsigned opcode = w >> 12 & 7, which = opcode == 4 ? 4 : (opcode == 3) << 1 | W_A(w);
	return fp_to_fixed(c, x, 0, 8u << c->size, W_U(w), mode_of(c, which));
}

static u64 from_int(struct fp *c, u32 w, u64 x, unsigned fbits)
{
	return fp_from_fixed(c, W_U(w) ? x : (u64)lift_sext(x, 8u << c->size), fbits, W_U(w));
}

/* Compares with zero: FCMGT, FCMGE (U); FCMEQ, FCMLE; FCMLT. */
static u64 compare_zero(struct fp *c, u32 w, u64 x)
{
	switch ((w >> 12 & 3) << 1 | W_U(w)) {
	case 0: return ones(fp_gt(c, x, 0));
	case 1: return ones(fp_ge(c, x, 0));
	case 2: return ones(fp_eq(c, x, 0));
	case 3: return ones(fp_ge(c, 0, x));
	default: return ones(fp_gt(c, 0, x));
	}
}

static u64 misc(struct fp *c, u32 w, u64 x)
{
	switch (w >> 12 & 31) {
	case 12:
	case 13:
	case 14: return compare_zero(c, w, x);
	case 15: return W_U(w) ? fp_neg(c, x) : fp_abs(c, x);
	case 24:
	case 25: return frint(c, w, x);
	case 26:
	case 27: return fcvt_int(c, w, x);
	case 28: return fcvt_int(c, w, x);
	case 29:
		if (!W_A(w))
			return from_int(c, w, x, 0);
		return W_U(w) ? fp_rsqrte(c, x) : fp_recpe(c, x);
	default: return W_U(w) ? fp_sqrt(c, x) : fp_recpx(c, x); /* 31 */
	}
}

static u64 helper_misc(struct hyp_cpu *cpu, u64 w, u64 size, u64 unused)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	struct fp c = fp_begin(cpu, (unsigned)size);
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < vec_lanes((u32)w, c.size); e++)
		vec_set(&r, c.size, e, misc(&c, (u32)w, vec_get(n, c.size, e)));
	cpu->s.v[W_RD(w)] = r;
	fp_end(cpu, &c);
	return 0;
}

bool lift_vfmisc(struct lift *l, const struct a64_insn *i)
{
	unsigned size = 2 + W_SZ(i->raw);
	if (!lanes_allowed(i->raw, size, true))
		return false;
	if ((i->raw >> 12 & 31) == 15)
		return lift_vfsign_ir(l, i->raw, size);
	return call_sized(l, i, helper_misc, size);
}

bool lift_vfmisc_half(struct lift *l, const struct a64_insn *i)
{
	return call_sized(l, i, helper_misc, 1);
}

/* ---- estimates of unsigned fixed-point numbers ---- */

static u64 helper_urecpe(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < vec_lanes((u32)w, 2); e++) {
		u32 x = (u32)vec_get(n, 2, e), low = W_U(w) ? x >> 30 : x >> 31;
		u32 est = W_U(w) ? fp_rsqrt_estimate(x >> 23) : fp_recip_estimate(x >> 23);
		vec_set(&r, 2, e, low ? est << 23 : ~0u);
	}
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

bool lift_vurecpe(struct lift *l, const struct a64_insn *i)
{
	return vec_call(l, i, helper_urecpe);
}

/* ---- conversions between formats ---- */

/* FCVTN, FCVTXN (U, rounds to odd): to the format below, into the upper half with Q. */
static u64 helper_fcvtn(struct hyp_cpu *cpu, u64 w, u64 size, u64 unused)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	struct fp c = fp_begin(cpu, (unsigned)size);
	unsigned lanes = W_SCALAR(w) ? 1 : 16u >> c.size;
	bool upper = W_Q(w) && !W_SCALAR(w);
	struct arm64_v r = { 0 };

	if (upper)
		r.d[0] = cpu->s.v[W_RD(w)].d[0];
	for (unsigned e = 0; e < lanes; e++)
		vec_set(&r, c.size - 1u, e + (upper ? lanes : 0),
			fp_convert(&c, vec_get(n, c.size, e), c.size - 1u, W_U(w) ? FP_ODD : fp_mode(&c)));
	cpu->s.v[W_RD(w)] = r;
	fp_end(cpu, &c);
	return 0;
}

bool lift_vfcvtn(struct lift *l, const struct a64_insn *i)
{
	return call_sized(l, i, helper_fcvtn, 2 + W_SZ(i->raw));
}

static u64 helper_fcvtl(struct hyp_cpu *cpu, u64 w, u64 size, u64 unused)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	struct fp c = fp_begin(cpu, (unsigned)size);
	unsigned lanes = 8u >> c.size;
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < lanes; e++)
		vec_set(&r, c.size + 1u, e,
			fp_convert(&c, vec_get(n, c.size, e + (W_Q(w) ? lanes : 0)), c.size + 1u,
				   fp_mode(&c)));
	cpu->s.v[W_RD(w)] = r;
	fp_end(cpu, &c);
	return 0;
}

bool lift_vfcvtl(struct lift *l, const struct a64_insn *i)
{
	return call_sized(l, i, helper_fcvtl, 1 + W_SZ(i->raw));
}

/* ---- fixed point: the size and the fraction bits are in immh:immb ---- */

static u64 helper_fixed(struct hyp_cpu *cpu, u64 w, u64 size, u64 unused)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	struct fp c = fp_begin(cpu, (unsigned)size);
	unsigned fbits = (16u << size) - (w >> 16 & 127);
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < vec_lanes((u32)w, c.size); e++) {
		u64 x = vec_get(n, c.size, e);
		if ((w >> 11 & 31) == 31)
			x = fp_to_fixed(&c, x, fbits, 8u << size, W_U(w), FP_ZERO);
		else
			x = from_int(&c, (u32)w, x, fbits);
		vec_set(&r, c.size, e, x);
	}
	cpu->s.v[W_RD(w)] = r;
	fp_end(cpu, &c);
	return 0;
}

bool lift_vffixed(struct lift *l, const struct a64_insn *i)
{
	if (F(i, immh) < 2)
		return false;
	unsigned size = 31 - (unsigned)__builtin_clz(F(i, immh));
	return lanes_allowed(i->raw, size, true) && call_sized(l, i, helper_fixed, size);
}

/* ---- across lanes: halves of the vector against each other, as Reduce() does ---- */

static u64 reduce(struct fp *c, const struct arm64_v *n, fp_fn fn, unsigned from, unsigned count)
{
	if (count == 1)
		return vec_get(n, c->size, from);
	u64 lo = reduce(c, n, fn, from, count / 2), hi = reduce(c, n, fn, from + count / 2, count / 2);
	return fn(c, lo, hi, 0);
}

static u64 helper_across(struct hyp_cpu *cpu, u64 w, u64 size, u64 unused)
{
	struct fp c = fp_begin(cpu, (unsigned)size);
	bool num = (w >> 12 & 31) == 12;
	fp_fn fn = W_A(w) ? (num ? op_minnm : op_min) : num ? op_maxnm : op_max;
	struct arm64_v r = { 0 };

	vec_set(&r, c.size, 0, reduce(&c, &cpu->s.v[W_RN(w)], fn, 0, vec_lanes((u32)w, c.size)));
	cpu->s.v[W_RD(w)] = r;
	fp_end(cpu, &c);
	return 0;
}

bool lift_vfacross(struct lift *l, const struct a64_insn *i)
{
	return F(i, Q) && call_sized(l, i, helper_across, 2);
}

bool lift_vfacross_half(struct lift *l, const struct a64_insn *i)
{
	return call_sized(l, i, helper_across, 1);
}
