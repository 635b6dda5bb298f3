/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A number is taken apart into class, sign, exponent and a 128-bit mantissa whose top bit is set (value =
 * mant * 2^(exp - 127)), computed with, and rounded once. What is shifted out at the bottom stays as a
 * sticky bit: formats have at most 53 bits, so that it never reaches the rounding position.
 */
#include "hyp/lift/arm64/softfp.h"

typedef unsigned __int128 u128;

enum kind { ZERO, NUMBER, INF, QNAN, SNAN };

/* How a result is rounded into a format, besides the mode. */
enum { FLUSH = 1, /* below the normal range it becomes zero */
       ALT = 2 }; /* alternative half precision: no infinities, no NaNs */

struct num {
	enum kind kind;
	bool sign;
	int exp;
	u128 mant;
};

static const struct format {
	u8 bits, ebits, fbits;
} formats[] = { [1] = { 16, 5, 10 }, [2] = { 32, 8, 23 }, [3] = { 64, 11, 52 } };

#define TOP ((u128)1 << 127)

static const struct format *fmt(const struct fp *c)
{
	return &formats[c->size];
}

/* ---- bit patterns ---- */

static u64 pack(const struct format *f, bool sign, u64 exp, u64 frac)
{
	return (u64)sign << (f->bits - 1) | exp << f->fbits | frac;
}

static u64 zero(const struct format *f, bool sign)
{
	return pack(f, sign, 0, 0);
}

static u64 inf(const struct format *f, bool sign)
{
	return pack(f, sign, (1ull << f->ebits) - 1, 0);
}

static u64 default_nan(const struct format *f)
{
	return pack(f, false, (1ull << f->ebits) - 1, 1ull << (f->fbits - 1));
}

static u64 max_normal(const struct format *f, bool sign)
{
	return pack(f, sign, (1ull << f->ebits) - 2, (1ull << f->fbits) - 1);
}

u64 fp_neg(const struct fp *c, u64 a)
{
	return a ^ 1ull << (fmt(c)->bits - 1);
}

u64 fp_abs(const struct fp *c, u64 a)
{
	return a & ~(1ull << (fmt(c)->bits - 1));
}

static unsigned clz128(u128 v)
{
	u64 hi = (u64)(v >> 64);
	return hi ? (unsigned)__builtin_clzll(hi) : 64 + (unsigned)__builtin_clzll((u64)v);
}

static void normalize(struct num *n)
{
	unsigned up = clz128(n->mant);
	n->mant <<= up;
	n->exp -= (int)up;
}

static u128 shift_right_sticky(u128 v, unsigned by)
{
	if (!by)
		return v;
	if (by > 127)
		return v != 0;
	return v >> by | (v << (128 - by) != 0);
}

static bool flushes(const struct fp *c, unsigned size)
{
	return c->fpcr & (size == 1 ? FPCR_FZ16 : FPCR_FZ);
}

/* FPUnpack(). alt: the alternative half-precision format, where there are no infinities and NaNs. */
static struct num unpack_as(struct fp *c, u64 a, bool alt)
{
	const struct format *f = fmt(c);
	u64 frac = a & ((1ull << f->fbits) - 1), exp = a >> f->fbits & ((1ull << f->ebits) - 1);
	struct num n = { .sign = a >> (f->bits - 1) & 1 };
	int bias = (1 << (f->ebits - 1)) - 1;

	if (exp == (1ull << f->ebits) - 1 && !alt) {
		n.kind = !frac ? INF : frac >> (f->fbits - 1) ? QNAN : SNAN;
		return n;
	}
	if (exp == 0 && frac && flushes(c, c->size)) {
		if (c->size != 1)
			c->flags |= FPSR_IDC;
		frac = 0;
	}
	if (exp == 0 && !frac)
		return n;
	n.kind = NUMBER;
	n.mant = (u128)(exp ? frac | 1ull << f->fbits : frac) << (127 - f->fbits);
	n.exp = (exp ? (int)exp : 1) - bias;
	normalize(&n);
	return n;
}

static struct num unpack(struct fp *c, u64 a)
{
	return unpack_as(c, a, false);
}

/* ---- rounding ---- */

/* lsb: of the kept part; half, rest: what was cut off. */
static bool rounds_up(enum fp_round mode, bool sign, bool lsb, bool half, bool rest)
{
	switch (mode) {
	case FP_TIEEVEN: return half && (rest || lsb);
	case FP_POSINF: return (half || rest) && !sign;
	case FP_NEGINF: return (half || rest) && sign;
	case FP_TIEAWAY: return half;
	default: return false;
	}
}

static u64 overflow(struct fp *c, const struct format *f, bool sign, enum fp_round mode)
{
	bool to_inf = mode == FP_TIEEVEN || mode == FP_TIEAWAY || (mode == FP_POSINF && !sign) ||
		      (mode == FP_NEGINF && sign);

	c->flags |= FPSR_OFC | FPSR_IXC;
	return to_inf ? inf(f, sign) : max_normal(f, sign);
}

/* FPRound() into a format. */
static u64 round_into(struct fp *c, const struct num *n, const struct format *f, enum fp_round mode,
		      unsigned how)
{
	int min_exp = 2 - (1 << (f->ebits - 1)), biased = n->exp - min_exp + 1;
	u128 mant = n->mant;

	if (how & FLUSH && biased <= 0) {
		c->flags |= FPSR_UFC;
		return zero(f, n->sign);
	}
	if (biased <= 0) {
		mant = shift_right_sticky(mant, (unsigned)MIN(1 - biased, 200));
		biased = 0;
	}
	unsigned cut = 127 - f->fbits;
	u64 kept = (u64)(mant >> cut);
	bool half = mant >> (cut - 1) & 1, rest = (mant & (((u128)1 << (cut - 1)) - 1)) != 0;
	bool inexact = half || rest;
	if (!biased && inexact)
		c->flags |= FPSR_UFC;
	if (mode == FP_ODD)
		kept |= inexact;
	else if (rounds_up(mode, n->sign, kept & 1, half, rest))
		kept++;
	if (!biased && kept >> f->fbits)
		biased = 1;
	if (kept >> (f->fbits + 1)) {
		kept >>= 1;
		biased++;
	}
	if (biased >= (1 << f->ebits) - !(how & ALT)) {
		if (!(how & ALT))
			return overflow(c, f, n->sign, mode);
		c->flags |= FPSR_IOC;
		return pack(f, n->sign, (1ull << f->ebits) - 1, (1ull << f->fbits) - 1);
	}
	c->flags |= inexact ? FPSR_IXC : 0;
	return pack(f, n->sign, (u64)biased, kept & ((1ull << f->fbits) - 1));
}

static u64 round_to(struct fp *c, const struct num *n, enum fp_round mode)
{
	return round_into(c, n, fmt(c), mode, flushes(c, c->size) ? FLUSH : 0);
}

static u64 result(struct fp *c, struct num *n)
{
	if (!n->mant)
		return zero(fmt(c), n->sign);
	normalize(n);
	return round_to(c, n, fp_mode(c));
}

/* ---- NaNs ---- */

static u64 invalid(struct fp *c)
{
	c->flags |= FPSR_IOC;
	return default_nan(fmt(c));
}

static u64 quiet(struct fp *c, u64 a, enum kind kind)
{
	if (kind == SNAN)
		c->flags |= FPSR_IOC;
	return c->fpcr & FPCR_DN ? default_nan(fmt(c)) : a | 1ull << (fmt(c)->fbits - 1);
}

/* FPProcessNaNs() for up to three operands in order: the first signalling one, else the first quiet one. */
static bool nans(struct fp *c, const u64 *a, const struct num *n, unsigned count, u64 *out)
{
	for (enum kind kind = SNAN; kind >= QNAN; kind--) {
		for (unsigned i = 0; i < count; i++) {
			if (n[i].kind != kind)
				continue;
			*out = quiet(c, a[i], kind);
			return true;
		}
	}
	return false;
}

/* ---- arithmetic ---- */

/* x + y of non-zero numbers; an exact zero has the sign that the rounding mode says. */
static struct num sum(const struct fp *c, struct num x, struct num y)
{
	if (x.exp < y.exp) {
		struct num t = x;
		x = y;
		y = t;
	}
	/* One bit of room for the carry. */
	x.mant = shift_right_sticky(x.mant, 1);
	y.mant = shift_right_sticky(y.mant, (unsigned)MIN(x.exp - y.exp + 1, 200));
	x.exp++;
	if (x.sign == y.sign) {
		x.mant += y.mant;
	} else if (x.mant >= y.mant) {
		x.mant -= y.mant;
	} else {
		x.mant = y.mant - x.mant;
		x.sign = y.sign;
	}
	if (!x.mant)
		x.sign = fp_mode(c) == FP_NEGINF;
	return x;
}

static u64 add_numbers(struct fp *c, struct num x, struct num y)
{
	if (x.kind == INF && y.kind == INF && x.sign != y.sign)
		return invalid(c);
	if (x.kind == INF || y.kind == INF)
		return inf(fmt(c), x.kind == INF ? x.sign : y.sign);
	if (x.kind == ZERO && y.kind == ZERO)
		return zero(fmt(c), x.sign == y.sign ? x.sign : fp_mode(c) == FP_NEGINF);
	if (x.kind == ZERO || y.kind == ZERO)
		return result(c, x.kind == ZERO ? &y : &x);
	x = sum(c, x, y);
	return result(c, &x);
}

u64 fp_add(struct fp *c, u64 a, u64 b)
{
	u64 op[2] = { a, b }, r;
	struct num n[2] = { unpack(c, a), unpack(c, b) };

	return nans(c, op, n, 2, &r) ? r : add_numbers(c, n[0], n[1]);
}

u64 fp_sub(struct fp *c, u64 a, u64 b)
{
	u64 op[2] = { a, b }, r;
	struct num n[2] = { unpack(c, a), unpack(c, b) };

	if (nans(c, op, n, 2, &r))
		return r;
	n[1].sign = !n[1].sign;
	return add_numbers(c, n[0], n[1]);
}

/* Exact: formats have at most 53 bits, the product 106. */
static struct num product(struct num x, struct num y)
{
	struct num p = { NUMBER, x.sign != y.sign, x.exp + y.exp + 1, 0 };

	p.mant = (u128)(u64)(x.mant >> 64) * (u64)(y.mant >> 64);
	normalize(&p);
	return p;
}

static u64 mul_numbers(struct fp *c, struct num x, struct num y)
{
	bool sign = x.sign != y.sign;

	if (x.kind == INF || y.kind == INF)
		return inf(fmt(c), sign);
	if (x.kind == ZERO || y.kind == ZERO)
		return zero(fmt(c), sign);
	struct num p = product(x, y);
	return result(c, &p);
}

static bool inf_times_zero(const struct num *x, const struct num *y)
{
	return (x->kind == INF && y->kind == ZERO) || (x->kind == ZERO && y->kind == INF);
}

u64 fp_mul(struct fp *c, u64 a, u64 b)
{
	u64 op[2] = { a, b }, r;
	struct num n[2] = { unpack(c, a), unpack(c, b) };

	if (nans(c, op, n, 2, &r))
		return r;
	return inf_times_zero(&n[0], &n[1]) ? invalid(c) : mul_numbers(c, n[0], n[1]);
}

/* 1.0 * 2^by with a sign. */
static u64 power(const struct fp *c, bool sign, int by, u64 frac_top)
{
	const struct format *f = fmt(c);
	return pack(f, sign, (u64)((1 << (f->ebits - 1)) - 1 + by), frac_top << (f->fbits - 1));
}

u64 fp_mulx(struct fp *c, u64 a, u64 b)
{
	u64 op[2] = { a, b }, r;
	struct num n[2] = { unpack(c, a), unpack(c, b) };

	if (nans(c, op, n, 2, &r))
		return r;
	if (inf_times_zero(&n[0], &n[1]))
		return power(c, n[0].sign != n[1].sign, 1, 0);
	return mul_numbers(c, n[0], n[1]);
}

u64 fp_div(struct fp *c, u64 a, u64 b)
{
	u64 op[2] = { a, b }, r;
	struct num n[2] = { unpack(c, a), unpack(c, b) };
	bool sign = n[0].sign != n[1].sign;

	if (nans(c, op, n, 2, &r))
		return r;
	if (n[0].kind == n[1].kind && n[0].kind != NUMBER)
		return invalid(c); /* inf / inf, 0 / 0 */
	if (n[0].kind == INF || n[1].kind == ZERO) {
		if (n[0].kind != INF)
			c->flags |= FPSR_DZC;
		return inf(fmt(c), sign);
	}
	if (n[0].kind == ZERO || n[1].kind == INF)
		return zero(fmt(c), sign);
	u64 x = (u64)(n[0].mant >> 64), y = (u64)(n[1].mant >> 64);
	u128 q = ((u128)x << 63) / y, rest = ((u128)x << 63) % y;
	struct num out = { NUMBER, sign, n[0].exp - n[1].exp, q << 64 | (rest != 0) };
	return result(c, &out);
}

/* The root of v (top two bits not both 0), 64 bits of it, and a sticky bit. */
static u128 root(u128 v)
{
	u128 r = 0, rest = 0;

	for (unsigned k = 0; k < 64; k++) {
		rest = rest << 2 | (u128)(v >> 126);
		v <<= 2;
		u128 trial = r << 2 | 1;
		r <<= 1;
		if (rest >= trial) {
			rest -= trial;
			r |= 1;
		}
	}
	return r << 64 | (rest != 0);
}

u64 fp_sqrt(struct fp *c, u64 a)
{
	struct num n = unpack(c, a);
	u64 r;

	if (nans(c, &a, &n, 1, &r))
		return r;
	if (n.kind == ZERO)
		return zero(fmt(c), n.sign);
	if (n.sign)
		return invalid(c);
	if (n.kind == INF)
		return inf(fmt(c), false);
	/* An even exponent of mant * 2^-126, so that the root is in [1, 2) * 2^63. */
	if (!(n.exp & 1))
		n.mant >>= 1;
	n.exp = (n.exp - (n.exp & 1)) / 2;
	n.mant = root(n.mant);
	return result(c, &n);
}

static u64 fused(struct fp *c, const struct num *n)
{
	bool sign = n[1].sign != n[2].sign;

	if (n[1].kind == INF || n[2].kind == INF) {
		if (inf_times_zero(&n[1], &n[2]) || (n[0].kind == INF && n[0].sign != sign))
			return invalid(c);
		return inf(fmt(c), sign);
	}
	if (n[0].kind == INF)
		return inf(fmt(c), n[0].sign);
	struct num p = { ZERO, sign, 0, 0 };
	if (n[1].kind != ZERO && n[2].kind != ZERO)
		p = product(n[1], n[2]);
	return add_numbers(c, n[0], p);
}

u64 fp_muladd(struct fp *c, u64 addend, u64 a, u64 b)
{
	u64 op[3] = { addend, a, b }, r;
	struct num n[3] = { unpack(c, addend), unpack(c, a), unpack(c, b) };
	bool done = nans(c, op, n, 3, &r);

	if (n[0].kind == QNAN && inf_times_zero(&n[1], &n[2]))
		return invalid(c);
	return done ? r : fused(c, n);
}

/* ---- comparison ---- */

/* -1, 0, 1; no NaNs. */
static int order(const struct num *x, const struct num *y)
{
	int sx = x->kind == ZERO ? 0 : x->sign ? -1 : 1, sy = y->kind == ZERO ? 0 : y->sign ? -1 : 1;

	if (sx != sy)
		return sx < sy ? -1 : 1;
	if (!sx || (x->kind == INF && y->kind == INF))
		return 0;
	if (x->kind == INF || y->kind == INF)
		return x->kind == INF ? sx : -sx;
	if (x->exp != y->exp)
		return x->exp < y->exp ? -sx : sx;
	return x->mant == y->mant ? 0 : x->mant < y->mant ? -sx : sx;
}

unsigned fp_compare(struct fp *c, u64 a, u64 b, bool signal)
{
	struct num x = unpack(c, a), y = unpack(c, b);

	if (x.kind >= QNAN || y.kind >= QNAN) {
		if (signal || x.kind == SNAN || y.kind == SNAN)
			c->flags |= FPSR_IOC;
		return 3;
	}
	int o = order(&x, &y);
	return o == 0 ? 6 : o < 0 ? 8 : 2;
}

bool fp_eq(struct fp *c, u64 a, u64 b) { return fp_compare(c, a, b, false) == 6; }
bool fp_gt(struct fp *c, u64 a, u64 b) { return fp_compare(c, a, b, true) == 2; }

bool fp_ge(struct fp *c, u64 a, u64 b)
{
	unsigned nzcv = fp_compare(c, a, b, true);
	return nzcv == 6 || nzcv == 2;
}

static u64 min_max(struct fp *c, u64 a, u64 b, int wanted)
{
	u64 op[2] = { a, b }, r;
	struct num n[2] = { unpack(c, a), unpack(c, b) };

	if (nans(c, op, n, 2, &r))
		return r;
	int o = order(&n[0], &n[1]);
	struct num *pick = o == wanted ? &n[0] : &n[1];
	if (pick->kind == ZERO)
		return zero(fmt(c), wanted > 0 ? n[0].sign && n[1].sign : n[0].sign || n[1].sign);
	return pick == &n[0] ? a : b;
}

u64 fp_max(struct fp *c, u64 a, u64 b) { return min_max(c, a, b, 1); }
u64 fp_min(struct fp *c, u64 a, u64 b) { return min_max(c, a, b, -1); }

/* A quiet NaN beside something else counts as the infinity that loses. */
static u64 min_max_num(struct fp *c, u64 a, u64 b, int wanted)
{
	bool qa = unpack(c, a).kind == QNAN, qb = unpack(c, b).kind == QNAN;

	if (qa && !qb)
		a = inf(fmt(c), wanted > 0);
	else if (qb && !qa)
		b = inf(fmt(c), wanted > 0);
	return min_max(c, a, b, wanted);
}

u64 fp_maxnum(struct fp *c, u64 a, u64 b) { return min_max_num(c, a, b, 1); }
u64 fp_minnum(struct fp *c, u64 a, u64 b) { return min_max_num(c, a, b, -1); }

/* ---- conversions ---- */

/* The magnitude with fbits of fraction, as an integer, rounded. Beyond 2^126: left so. */
static u128 to_integer(const struct num *n, unsigned fbits, enum fp_round mode, bool *inexact)
{
	int exp = n->exp + (int)fbits;

	*inexact = false;
	if (n->kind == ZERO)
		return 0;
	if (exp > 125)
		return (u128)1 << 126;
	/* One place below the point is `half`, all below that `rest`. */
	u128 v = shift_right_sticky(n->mant, (unsigned)MIN(125 - exp, 250)), kept = v >> 2;
	bool half = v >> 1 & 1, rest = v & 1;
	*inexact = half || rest;
	return kept + rounds_up(mode, n->sign, kept & 1, half, rest);
}

u64 fp_round_int(struct fp *c, u64 a, enum fp_round mode, bool exact)
{
	struct num n = unpack(c, a);
	bool inexact;
	u64 r;

	if (nans(c, &a, &n, 1, &r))
		return r;
	if (n.kind == INF || (n.kind == NUMBER && n.exp >= fmt(c)->fbits))
		return a;
	n.mant = to_integer(&n, 0, mode, &inexact);
	n.exp = 127;
	if (exact && inexact)
		c->flags |= FPSR_IXC;
	if (!n.mant)
		return zero(fmt(c), n.sign);
	normalize(&n);
	return round_to(c, &n, FP_ZERO);
}

u64 fp_to_fixed(struct fp *c, u64 a, unsigned fbits, unsigned bits, bool u, enum fp_round mode)
{
	struct num n = unpack(c, a);
	bool inexact = false;
	u128 max = ((u128)1 << (u ? bits : bits - 1)) - 1, v;

	if (n.kind >= QNAN) {
		c->flags |= FPSR_IOC;
		return 0;
	}
	v = n.kind == INF ? (u128)1 << 126 : to_integer(&n, fbits, mode, &inexact);
	if (n.sign)
		max = u ? 0 : (u128)1 << (bits - 1);
	if (v > max) {
		c->flags |= FPSR_IOC;
		v = max;
	} else if (inexact) {
		c->flags |= FPSR_IXC;
	}
	return n.sign ? -(u64)v : (u64)v;
}

u64 fp_from_fixed(struct fp *c, u64 v, unsigned fbits, bool u)
{
	struct num n = { NUMBER, !u && (s64)v < 0, 127 - (int)fbits, 0 };

	n.mant = n.sign ? (u128)-v : v;
	return result(c, &n);
}

/* A NaN's payload is kept at the top of the fraction. */
static u64 convert_nan(const struct fp *c, u64 a, const struct format *to)
{
	const struct format *from = fmt(c);
	u64 frac = a & ((1ull << from->fbits) - 1);
	bool sign = a >> (from->bits - 1) & 1;

	frac = to->fbits >= from->fbits ? frac << (to->fbits - from->fbits)
					: frac >> (from->fbits - to->fbits);
	return pack(to, sign, (1ull << to->ebits) - 1, frac | 1ull << (to->fbits - 1));
}

u64 fp_convert(struct fp *c, u64 a, unsigned to, enum fp_round mode)
{
	const struct format *f = &formats[to];
	u32 fpcr = c->fpcr;
	bool alt_out = to == 1 && fpcr & FPCR_AHP;

	c->fpcr &= ~FPCR_FZ16; /* conversions do not flush halves */
	struct num n = unpack_as(c, a, c->size == 1 && fpcr & FPCR_AHP);
	c->fpcr = fpcr;
	switch (n.kind) {
	case QNAN:
	case SNAN:
		if (n.kind == SNAN || alt_out)
			c->flags |= FPSR_IOC;
		if (alt_out)
			return zero(f, n.sign);
		return fpcr & FPCR_DN ? default_nan(f) : convert_nan(c, a, f);
	case INF:
		if (!alt_out)
			return inf(f, n.sign);
		c->flags |= FPSR_IOC;
		return pack(f, n.sign, 0x1f, 0x3ff);
	case ZERO: return zero(f, n.sign);
	default: return round_into(c, &n, f, mode, (to != 1 && fpcr & FPCR_FZ ? FLUSH : 0) | (alt_out ? ALT : 0));
	}
}

/* ---- estimates and steps ---- */

unsigned fp_recip_estimate(unsigned a)
{
	return ((1u << 19) / (a * 2 + 1) + 1) / 2;
}

unsigned fp_rsqrt_estimate(unsigned a)
{
	unsigned b = 512;

	a = a < 256 ? a * 2 + 1 : ((a >> 1 << 1) + 1) * 2;
	while (a * (b + 1) * (b + 1) < 1u << 28)
		b++;
	return (b + 1) / 2;
}

u64 fp_recpe(struct fp *c, u64 a)
{
	const struct format *f = fmt(c);
	struct num n = unpack(c, a);
	int bias = (1 << (f->ebits - 1)) - 1;
	u64 r;

	if (nans(c, &a, &n, 1, &r))
		return r;
	if (n.kind == INF)
		return zero(f, n.sign);
	if (n.kind == ZERO) {
		c->flags |= FPSR_DZC;
		return inf(f, n.sign);
	}
	if (n.exp < -bias - 1) /* |a| < 2^-(bias + 1): overflows */
		return overflow(c, f, n.sign, fp_mode(c));
	if (flushes(c, c->size) && n.exp >= bias - 1) {
		c->flags |= FPSR_UFC;
		return zero(f, n.sign);
	}
	u64 frac = (u64)fp_recip_estimate((unsigned)(n.mant >> 119)) << (f->fbits - 8) &
		   ((1ull << f->fbits) - 1);
	int exp = bias - 1 - n.exp; /* biased */
	if (exp <= 0) {
		frac = (frac | 1ull << f->fbits) >> (1 - exp);
		exp = 0;
	}
	return pack(f, n.sign, (u64)exp, frac);
}

u64 fp_rsqrte(struct fp *c, u64 a)
{
	const struct format *f = fmt(c);
	struct num n = unpack(c, a);
	int bias = (1 << (f->ebits - 1)) - 1;
	u64 r;

	if (nans(c, &a, &n, 1, &r))
		return r;
	if (n.kind == ZERO) {
		c->flags |= FPSR_DZC;
		return inf(f, n.sign);
	}
	if (n.sign)
		return invalid(c);
	if (n.kind == INF)
		return zero(f, false);
	/* 0.25 <= scaled < 1: 9 bits for an odd biased exponent's half, else 8 below it */
	bool odd = n.exp & 1;
	unsigned scaled = (unsigned)(n.mant >> (odd ? 119 : 120));
	int exp = bias - 1 - (n.exp - odd) / 2;
	u64 frac = (u64)fp_rsqrt_estimate(scaled) << (f->fbits - 8) & ((1ull << f->fbits) - 1);
	return pack(f, false, (u64)exp, frac);
}

u64 fp_recpx(struct fp *c, u64 a)
{
	const struct format *f = fmt(c);
	struct num n = unpack(c, a);
	u64 exp = a >> f->fbits & ((1ull << f->ebits) - 1), max = (1ull << f->ebits) - 2, r;

	if (nans(c, &a, &n, 1, &r))
		return r;
	return pack(f, n.sign, exp ? exp ^ (max | 1) : max, 0);
}

/* (k - a * b) / 2^halve in one rounding, k = 2 or 3; without NaNs. */
static u64 step(struct fp *c, const struct num *n, u64 k, bool halve)
{
	struct num two = { NUMBER, false, 1, k == 2 ? TOP : TOP | TOP >> 1 }, r = two;

	if (n[0].kind == INF || n[1].kind == INF)
		return inf(fmt(c), n[0].sign == n[1].sign);
	if (n[0].kind != ZERO && n[1].kind != ZERO) {
		struct num p = product(n[0], n[1]);
		p.sign = !p.sign;
		r = sum(c, two, p);
	}
	r.exp -= halve;
	return result(c, &r);
}

static u64 step_op(struct fp *c, u64 a, u64 b, bool rsqrt)
{
	u64 op[2] = { fp_neg(c, a), b }, r;
	struct num n[2] = { unpack(c, a), unpack(c, b) };

	if (nans(c, op, n, 2, &r))
		return r;
	if (inf_times_zero(&n[0], &n[1]))
		return rsqrt ? power(c, false, 0, 1) : power(c, false, 1, 0);
	return step(c, n, rsqrt ? 3 : 2, rsqrt);
}

u64 fp_recps(struct fp *c, u64 a, u64 b) { return step_op(c, a, b, false); }
u64 fp_rsqrts(struct fp *c, u64 a, u64 b) { return step_op(c, a, b, true); }
