/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shifts by an immediate. The highest set bit of immh is the element size; immh:immb less that size is the
 * shift to the left, twice the size less immh:immb the one to the right.
 */
#include "hyp/lift/arm64/lift_vec.h"
#include "hyp/lift/arm64/vec.h"

#define OPC(w) ((w) >> 11 & 31)
#define IMM(w) ((w) >> 16 & 127)

static unsigned shift_size(u32 w)
{
	return 28 - (unsigned)__builtin_clz(IMM(w));
}

static int shift_right(u32 w)
{
	return (int)(16u << shift_size(w)) - (int)IMM(w);
}

static int shift_left(u32 w)
{
	return (int)IMM(w) - (int)(8u << shift_size(w));
}

/* ---- one size ---- */

static u64 lane_shr(struct lane *l) { return vec_shift(l, -l->shift, false, false); }
static u64 lane_rshr(struct lane *l) { return vec_shift(l, -l->shift, true, false); }
static u64 lane_sra(struct lane *l) { return l->d + lane_shr(l); }
static u64 lane_rsra(struct lane *l) { return l->d + lane_rshr(l); }
static u64 lane_shl_imm(struct lane *l) { return l->x << l->shift; }
static u64 lane_qshl_imm(struct lane *l) { return vec_shift(l, l->shift, false, true); }

static u64 lane_sli(struct lane *l)
{
	u64 keep = (1ull << l->shift) - 1;
	return (l->x << l->shift) | (l->d & keep);
}

static u64 lane_sri(struct lane *l)
{
	u64 mask = l->shift == (int)l->bits ? 0 : (~0ull >> (64 - l->bits)) >> l->shift;
	return (mask ? l->x >> l->shift : 0) | (l->d & ~mask);
}

/* Signed in, unsigned out. */
static u64 lane_qshlu(struct lane *l)
{
	i128 x = (i128)lift_sext(l->x, l->bits);
	return vec_sat(l, x * ((i128)1 << l->shift), l->bits, true);
}

static const struct {
	lane_fn fn;
	bool left;
	u8 scalar; /* sizes, bits 3:0 */
} shifts[2][32] = {
	{ [0] = { lane_shr, false, 8 }, [2] = { lane_sra, false, 8 }, [4] = { lane_rshr, false, 8 },
	  [6] = { lane_rsra, false, 8 }, [10] = { lane_shl_imm, true, 8 }, [14] = { lane_qshl_imm, true, 15 } },
	{ [0] = { lane_shr, false, 8 }, [2] = { lane_sra, false, 8 }, [4] = { lane_rshr, false, 8 },
	  [6] = { lane_rsra, false, 8 }, [8] = { lane_sri, false, 8 }, [10] = { lane_sli, true, 8 },
	  [12] = { lane_qshlu, true, 15 }, [14] = { lane_qshl_imm, true, 15 } },
};

static u64 helper_shift(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *d = &cpu->s.v[W_RD(w)];
	unsigned size = shift_size((u32)w), u = W_U(w), opc = OPC(w);
	struct lane l = { .bits = 8u << size, .u = u };
	struct arm64_v r = { 0 };

	l.shift = shifts[u][opc].left ? shift_left((u32)w) : shift_right((u32)w);
	for (unsigned e = 0; e < vec_lanes((u32)w, size); e++) {
		l.x = vec_get_ext(n, size, e, u);
		l.d = vec_get(d, size, e);
		vec_set(&r, size, e, shifts[u][opc].fn(&l));
	}
	cpu->s.v[W_RD(w)] = r;
	vec_saturated(cpu, l.sat);
	return 0;
}

bool lift_vshift(struct lift *l, const struct a64_insn *i)
{
	if (!F(i, immh) || !shifts[W_U(i->raw)][OPC(i->raw)].fn)
		return false;
	unsigned size = shift_size(i->raw);
	if (W_SCALAR(i->raw) ? !(shifts[W_U(i->raw)][OPC(i->raw)].scalar >> size & 1)
			     : size == 3 && !W_Q(i->raw))
		return false;
	int shift = shifts[W_U(i->raw)][OPC(i->raw)].left ? shift_left(i->raw) : shift_right(i->raw);
	return lift_vshift_ir(l, i->raw, size, shift) || vec_call(l, i, helper_shift);
}

/* ---- narrowing: SHRN, RSHRN, SQSHRUN, SQRSHRUN, SQSHRN, UQSHRN and rounded ---- */

static u64 narrow(struct lane *l, u32 w)
{
	bool round = OPC(w) & 1, plain = OPC(w) < 18 && !W_U(w);
	i128 x = OPC(w) >= 18 && W_U(w) ? (i128)l->x : (i128)(s64)l->x;

	x = (x + (round ? (i128)1 << (l->shift - 1) : 0)) >> l->shift;
	return plain ? (u64)x : vec_sat(l, x, l->bits, W_U(w));
}

static u64 helper_shrn(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	unsigned size = shift_size((u32)w), lanes = W_SCALAR(w) ? 1 : 8u >> size;
	bool upper = W_Q(w) && !W_SCALAR(w), u = OPC(w) >= 18 && W_U(w);
	struct lane l = { .bits = 8u << size, .shift = shift_right((u32)w) };
	struct arm64_v r = { 0 };

	if (upper)
		r.d[0] = cpu->s.v[W_RD(w)].d[0];
	for (unsigned e = 0; e < lanes; e++) {
		l.x = vec_get_ext(n, size + 1, e, u);
		vec_set(&r, size, e + (upper ? lanes : 0), narrow(&l, (u32)w));
	}
	cpu->s.v[W_RD(w)] = r;
	vec_saturated(cpu, l.sat);
	return 0;
}

bool lift_vshrn(struct lift *l, const struct a64_insn *i)
{
	if (!F(i, immh) || F(i, immh) >= 8)
		return false;
	if (OPC(i->raw) == 16 && !W_U(i->raw))
		return lift_vnarrow_ir(l, i->raw, shift_size(i->raw), shift_right(i->raw));
	return vec_call(l, i, helper_shrn);
}

/* ---- SSHLL, USHLL ---- */

static u64 helper_shll_imm(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	unsigned size = shift_size((u32)w), lanes = 8u >> size;
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < lanes; e++)
		vec_set(&r, size + 1, e,
			vec_get_ext(n, size, e + (W_Q(w) ? lanes : 0), W_U(w)) << shift_left((u32)w));
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

bool lift_vshll_imm(struct lift *l, const struct a64_insn *i)
{
	if (!F(i, immh) || F(i, immh) >= 8)
		return false;
	return lift_vshll_ir(l, i->raw, shift_size(i->raw), shift_left(i->raw)) ||
	       vec_call(l, i, helper_shll_imm);
}
