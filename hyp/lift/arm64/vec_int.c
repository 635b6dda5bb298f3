/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes of the integer vector instructions: each function is one operation of the manual on one element. */
#include "hyp/lift/arm64/vec.h"

bool vec_call(struct lift *l, const struct a64_insn *i, ir_helper fn)
{
	lift_call(l, fn, lift_const(l, IR_I64, i->raw), 0, 0);
	return true;
}

bool vec_allowed(const struct vec_op *op, u32 w, unsigned size)
{
	if (W_SCALAR(w))
		return op->fn && op->sizes >> 4 & 1u << size;
	return op->fn && op->sizes & 1u << size && (size < 3 || W_Q(w));
}

void vec_saturated(struct hyp_cpu *cpu, bool sat)
{
	if (sat)
		cpu->s.fpsr |= A64_FPSR_QC;
}

/* ---- operands with their sign, and saturation ---- */

static i128 wide(const struct lane *l, u64 v)
{
	return l->u ? (i128)v : (i128)(s64)v;
}

u64 vec_sat(struct lane *l, i128 v, unsigned bits, bool u)
{
	i128 max = ((i128)1 << (u ? bits : bits - 1)) - 1, min = u ? 0 : -max - 1;

	if (v > max || v < min)
		l->sat = true;
	return (u64)(v > max ? max : v < min ? min : v);
}

static u64 sat(struct lane *l, i128 v)
{
	return vec_sat(l, v, l->bits, l->u);
}

static u64 ones(bool set)
{
	return set ? ~0ull : 0;
}

/* x shifted left by shift, or right where it is negative; rounded, saturated on request. */
u64 vec_shift(struct lane *l, int shift, bool round, bool saturate)
{
	i128 x = wide(l, l->x);

	if (shift < 0) {
		int right = MIN(-shift, 100);
		x = (x + (round ? (i128)1 << (right - 1) : 0)) >> right;
	} else if (shift < (int)l->bits) {
		x = (i128)((unsigned __int128)x << shift);
	} else if (!saturate) {
		x = 0;
	} else if (x) {
		l->sat = true;
		return vec_sat(l, x > 0 ? (i128)1 << 100 : -((i128)1 << 100), l->bits, l->u);
	}
	return saturate ? sat(l, x) : (u64)x;
}

/* Carry-less product of the low 32 bits (8-bit operands use the low 16 bits of it). */
u64 vec_pmul(u64 x, u64 y)
{
	u64 r = 0;

	for (unsigned n = 0; n < 32; n++)
		if (y >> n & 1)
			r ^= x << n;
	return r;
}

/* ---- add, subtract, compare ---- */

u64 lane_add(struct lane *l) { return l->x + l->y; }
u64 lane_sub(struct lane *l) { return l->x - l->y; }
u64 lane_hadd(struct lane *l) { return (u64)((wide(l, l->x) + wide(l, l->y)) >> 1); }
u64 lane_rhadd(struct lane *l) { return (u64)((wide(l, l->x) + wide(l, l->y) + 1) >> 1); }
u64 lane_hsub(struct lane *l) { return (u64)((wide(l, l->x) - wide(l, l->y)) >> 1); }
u64 lane_qadd(struct lane *l) { return sat(l, wide(l, l->x) + wide(l, l->y)); }
u64 lane_qsub(struct lane *l) { return sat(l, wide(l, l->x) - wide(l, l->y)); }
u64 lane_gt(struct lane *l) { return ones(wide(l, l->x) > wide(l, l->y)); }
u64 lane_ge(struct lane *l) { return ones(wide(l, l->x) >= wide(l, l->y)); }
u64 lane_eq(struct lane *l) { return ones(l->x == l->y); }
u64 lane_tst(struct lane *l) { return ones((l->x & l->y) != 0); }
u64 lane_max(struct lane *l) { return wide(l, l->x) > wide(l, l->y) ? l->x : l->y; }
u64 lane_min(struct lane *l) { return wide(l, l->x) < wide(l, l->y) ? l->x : l->y; }

u64 lane_abd(struct lane *l)
{
	i128 v = wide(l, l->x) - wide(l, l->y);
	return (u64)(v < 0 ? -v : v);
}

u64 lane_aba(struct lane *l) { return l->d + lane_abd(l); }

/* ---- shifts by register: the low byte of Vm's lane, signed ---- */

u64 lane_shl(struct lane *l) { return vec_shift(l, (s8)l->y, false, false); }
u64 lane_qshl(struct lane *l) { return vec_shift(l, (s8)l->y, false, true); }
u64 lane_rshl(struct lane *l) { return vec_shift(l, (s8)l->y, true, false); }
u64 lane_qrshl(struct lane *l) { return vec_shift(l, (s8)l->y, true, true); }

/* ---- products ---- */

u64 lane_mul(struct lane *l) { return l->x * l->y; }
u64 lane_mla(struct lane *l) { return l->d + l->x * l->y; }
u64 lane_mls(struct lane *l) { return l->d - l->x * l->y; }
u64 lane_pmul(struct lane *l) { return vec_pmul(l->x & 0xff, l->y & 0xff); }

/* The high half of 2 * x * y, with an accumulator in front of it; always signed. */
static u64 high_double(struct lane *l, i128 product, bool round)
{
	i128 v = (i128)(s64)l->d * ((i128)1 << l->bits) + 2 * product;
	return vec_sat(l, (v + (round ? (i128)1 << (l->bits - 1) : 0)) >> l->bits, l->bits, false);
}

static i128 product(const struct lane *l)
{
	return (i128)lift_sext(l->x, l->bits) * lift_sext(l->y, l->bits);
}

u64 lane_qdmulh(struct lane *l)
{
	l->d = 0;
	return high_double(l, product(l), false);
}

u64 lane_qrdmulh(struct lane *l)
{
	l->d = 0;
	return high_double(l, product(l), true);
}

u64 lane_qrdmlah(struct lane *l)
{
	l->d = (u64)lift_sext(l->d, l->bits);
	return high_double(l, product(l), true);
}

u64 lane_qrdmlsh(struct lane *l)
{
	l->d = (u64)lift_sext(l->d, l->bits);
	return high_double(l, -product(l), true);
}

/* ---- one operand ---- */

/* SUQADD: unsigned Vn into a signed accumulator; USQADD: the other way. */
u64 lane_suqadd(struct lane *l)
{
	u64 mask = l->bits == 64 ? ~0ull : (1ull << l->bits) - 1;
	return vec_sat(l, (i128)(l->x & mask) + lift_sext(l->d, l->bits), l->bits, false);
}

u64 lane_usqadd(struct lane *l)
{
	u64 mask = l->bits == 64 ? ~0ull : (1ull << l->bits) - 1;
	return vec_sat(l, (i128)lift_sext(l->x, l->bits) + (l->d & mask), l->bits, true);
}

u64 lane_clz(struct lane *l)
{
	return l->x ? (u64)__builtin_clzll(l->x) - (64 - l->bits) : l->bits;
}

u64 lane_cls(struct lane *l)
{
	u64 v = l->x ^ (u64)((s64)l->x >> 1); /* sign extended: bits above repeat the sign */
	return v ? (u64)__builtin_clzll(v) - (64 - l->bits) - 1 : l->bits - 1;
}

u64 lane_cnt(struct lane *l) { return (u64)__builtin_popcountll(l->x & 0xff); }
u64 lane_not(struct lane *l) { return ~l->x; }

u64 lane_rbit(struct lane *l)
{
	u64 r = 0;
	for (unsigned n = 0; n < 8; n++)
		r |= (l->x >> n & 1) << (7 - n);
	return r;
}

static u64 sat_signed(struct lane *l, i128 v)
{
	return vec_sat(l, v, l->bits, false);
}

static s64 sx(const struct lane *l)
{
	return lift_sext(l->x, l->bits);
}

u64 lane_qabs(struct lane *l) { return sat_signed(l, sx(l) < 0 ? -(i128)sx(l) : sx(l)); }
u64 lane_qneg(struct lane *l) { return sat_signed(l, -(i128)sx(l)); }
u64 lane_abs(struct lane *l) { return sx(l) < 0 ? -l->x : l->x; }
u64 lane_neg(struct lane *l) { return -l->x; }
u64 lane_gt0(struct lane *l) { return ones(sx(l) > 0); }
u64 lane_ge0(struct lane *l) { return ones(sx(l) >= 0); }
u64 lane_eq0(struct lane *l) { return ones(sx(l) == 0); }
u64 lane_le0(struct lane *l) { return ones(sx(l) <= 0); }
u64 lane_lt0(struct lane *l) { return ones(sx(l) < 0); }
