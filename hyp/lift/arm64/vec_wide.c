/* SPDX-License-Identifier: Apache-2.0 */
/* Three registers of different shapes (long, wide, narrow), and the long products by element. */
#include "hyp/lift/arm64/lift_vec.h"
#include "hyp/lift/arm64/vec.h"

#define OPC(w) ((w) >> 12 & 15)

/* ---- long and wide: the result has twice the size ---- */

static u64 dmull(struct lane *l)
{
	return vec_sat(l, 2 * (i128)(s64)l->x * (s64)l->y, 2 * l->bits, false);
}

static u64 dmlal(struct lane *l, bool subtract)
{
	s64 p = (s64)dmull(l), d = lift_sext(l->d, 2 * l->bits);
	return vec_sat(l, (i128)d + (subtract ? -(i128)p : p), 2 * l->bits, false);
}

static u64 long_op(struct lane *l, unsigned opcode)
{
	switch (opcode) {
	case 0: /* SADDL, SADDW */
	case 1: return l->x + l->y;
	case 2: /* SSUBL, SSUBW */
	case 3: return l->x - l->y;
	case 5: return l->d + lane_abd(l);
	case 7: return lane_abd(l);
	case 8: return l->d + l->x * l->y;
	case 9: return dmlal(l, false);
	case 10: return l->d - l->x * l->y;
	case 11: return dmlal(l, true);
	case 12: return l->x * l->y;
	default: return dmull(l); /* 13 */
	}
}

static u64 helper_long(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *m = &cpu->s.v[W_RM(w)], *d = &cpu->s.v[W_RD(w)];
	unsigned size = W_SIZE(w), lanes = W_SCALAR(w) ? 1 : 8u >> size, opcode = OPC(w);
	unsigned part = W_Q(w) && !W_SCALAR(w) ? lanes : 0;
	struct lane l = { .bits = 8u << size, .u = W_U(w) };
	bool wide = opcode == 1 || opcode == 3;
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < lanes; e++) {
		l.x = wide ? vec_get(n, size + 1, e) : vec_get_ext(n, size, e + part, l.u);
		l.y = vec_get_ext(m, size, e + part, l.u);
		l.d = vec_get(d, size + 1, e);
		vec_set(&r, size + 1, e, long_op(&l, opcode));
	}
	cpu->s.v[W_RD(w)] = r;
	vec_saturated(cpu, l.sat);
	return 0;
}

bool lift_vlong(struct lift *l, const struct a64_insn *i)
{
	return F(i, size) != 3 && (lift_vlong_ir(l, i->raw) || vec_call(l, i, helper_long));
}

/* SQDMLAL, SQDMLSL, SQDMULL: no bytes. */
bool lift_vlong_q(struct lift *l, const struct a64_insn *i)
{
	return F(i, size) != 3 && F(i, size) != 0 && vec_call(l, i, helper_long);
}

/* ---- narrow: the high half of a sum: ADDHN, SUBHN (opcode 6), rounded with U ---- */

static u64 helper_hn(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *m = &cpu->s.v[W_RM(w)];
	unsigned size = W_SIZE(w), lanes = 8u >> size, bits = 8u << size;
	struct arm64_v r = { 0 };

	if (W_Q(w))
		r.d[0] = cpu->s.v[W_RD(w)].d[0];
	for (unsigned e = 0; e < lanes; e++) {
		u64 x = vec_get(n, size + 1, e), y = vec_get(m, size + 1, e);
		u64 v = (OPC(w) == 6 ? x - y : x + y) + (W_U(w) ? 1ull << (bits - 1) : 0);
		vec_set(&r, size, e + (W_Q(w) ? lanes : 0), v >> bits);
	}
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

bool lift_vhn(struct lift *l, const struct a64_insn *i)
{
	return F(i, size) != 3 && vec_call(l, i, helper_hn);
}

/* ---- PMULL ---- */

static u64 helper_pmull8(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *m = &cpu->s.v[W_RM(w)];
	struct arm64_v r = { 0 };

	for (unsigned e = 0, part = W_Q(w) ? 8 : 0; e < 8; e++)
		vec_set(&r, 1, e, vec_pmul(vec_get(n, 0, e + part), vec_get(m, 0, e + part)));
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

static u64 helper_pmull64(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	u64 x = cpu->s.v[W_RN(w)].d[W_Q(w)], y = cpu->s.v[W_RM(w)].d[W_Q(w)];
	unsigned __int128 r = 0;

	for (unsigned k = 0; k < 64; k++)
		if (y >> k & 1)
			r ^= (unsigned __int128)x << k;
	cpu->s.v[W_RD(w)] = (struct arm64_v){ { (u64)r, (u64)(r >> 64) } };
	return 0;
}

bool lift_vpmull(struct lift *l, const struct a64_insn *i)
{
	if (F(i, size) == 1 || F(i, size) == 2)
		return false;
	if (!F(i, size) || !__builtin_cpu_supports("pclmul"))
		return vec_call(l, i, F(i, size) ? helper_pmull64 : helper_pmull8);
	u16 v = lift_vop(l, IR_VCLMUL, 0, lift_getv(l, F(i, Rn)), lift_getv(l, F(i, Rm)));
	IR_VALUE(l->b, v).imm = F(i, Q);
	lift_setv(l, F(i, Rd), v);
	return true;
}

/* ---- by element ---- */

/* Opcode of the by-element class -> of long_op(). */
static const u8 element_op[16] = { [2] = 8, [3] = 9, [6] = 10, [7] = 11, [10] = 12, [11] = 13 };

static u64 helper_long_element(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *d = &cpu->s.v[W_RD(w)];
	unsigned size = W_SIZE(w), lanes = W_SCALAR(w) ? 1 : 8u >> size;
	unsigned part = W_Q(w) && !W_SCALAR(w) ? lanes : 0, h = w >> 11 & 1, lo = w >> 21 & 1,
		 m = w >> 20 & 1;
	unsigned rm = size == 1 ? w >> 16 & 15 : W_RM(w),
		 index = size == 1 ? h << 2 | lo << 1 | m : h << 1 | lo;
	struct lane l = { .bits = 8u << size, .u = W_U(w) };
	struct arm64_v r = { 0 };

	l.y = vec_get_ext(&cpu->s.v[rm], size, index, l.u);
	for (unsigned e = 0; e < lanes; e++) {
		l.x = vec_get_ext(n, size, e + part, l.u);
		l.d = vec_get(d, size + 1, e);
		vec_set(&r, size + 1, e, long_op(&l, element_op[OPC(w)]));
	}
	cpu->s.v[W_RD(w)] = r;
	vec_saturated(cpu, l.sat);
	return 0;
}

bool lift_vlong_element(struct lift *l, const struct a64_insn *i)
{
	return (F(i, size) == 1 || F(i, size) == 2) && vec_call(l, i, helper_long_element);
}
