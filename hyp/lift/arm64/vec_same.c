/* SPDX-License-Identifier: Apache-2.0 */
/* Three registers of one shape: lane by lane, pairwise, logical; and the same with an element of Vm. */
#include "hyp/lift/arm64/lift_vec.h"
#include "hyp/lift/arm64/vec.h"

#define OPC(w) ((w) >> 11 & 31)

static const struct vec_op same[2][32] = {
	{ [0] = { lane_hadd, SZ_V012 }, { lane_qadd, SZ_V0123 | SZ_S0123 }, { lane_rhadd, SZ_V012 },
	  [4] = { lane_hsub, SZ_V012 }, { lane_qsub, SZ_V0123 | SZ_S0123 }, { lane_gt, SZ_V0123 | SZ_S3 },
	  { lane_ge, SZ_V0123 | SZ_S3 }, { lane_shl, SZ_V0123 | SZ_S3 }, { lane_qshl, SZ_V0123 | SZ_S0123 },
	  { lane_rshl, SZ_V0123 | SZ_S3 }, { lane_qrshl, SZ_V0123 | SZ_S0123 }, { lane_max, SZ_V012 },
	  { lane_min, SZ_V012 }, { lane_abd, SZ_V012 }, { lane_aba, SZ_V012 }, { lane_add, SZ_V0123 | SZ_S3 },
	  { lane_tst, SZ_V0123 | SZ_S3 }, { lane_mla, SZ_V012 }, { lane_mul, SZ_V012 },
	  [22] = { lane_qdmulh, 0x66 } },
	{ [0] = { lane_hadd, SZ_V012 }, { lane_qadd, SZ_V0123 | SZ_S0123 }, { lane_rhadd, SZ_V012 },
	  [4] = { lane_hsub, SZ_V012 }, { lane_qsub, SZ_V0123 | SZ_S0123 }, { lane_gt, SZ_V0123 | SZ_S3 },
	  { lane_ge, SZ_V0123 | SZ_S3 }, { lane_shl, SZ_V0123 | SZ_S3 }, { lane_qshl, SZ_V0123 | SZ_S0123 },
	  { lane_rshl, SZ_V0123 | SZ_S3 }, { lane_qrshl, SZ_V0123 | SZ_S0123 }, { lane_max, SZ_V012 },
	  { lane_min, SZ_V012 }, { lane_abd, SZ_V012 }, { lane_aba, SZ_V012 }, { lane_sub, SZ_V0123 | SZ_S3 },
	  { lane_eq, SZ_V0123 | SZ_S3 }, { lane_mls, SZ_V012 }, { lane_pmul, 0x01 }, [22] = { lane_qrdmulh, 0x66 } },
};

static void lanes3(struct hyp_cpu *cpu, u32 w, lane_fn fn)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *m = &cpu->s.v[W_RM(w)], *d = &cpu->s.v[W_RD(w)];
	unsigned size = W_SIZE(w), lanes = vec_lanes(w, size);
	struct lane l = { .bits = 8u << size, .u = W_U(w) };
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < lanes; e++) {
		l.x = vec_get_ext(n, size, e, l.u);
		l.y = vec_get_ext(m, size, e, l.u);
		l.d = vec_get_ext(d, size, e, l.u);
		vec_set(&r, size, e, fn(&l));
	}
	cpu->s.v[W_RD(w)] = r;
	vec_saturated(cpu, l.sat);
}

static u64 helper_same(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	lanes3(cpu, (u32)w, same[W_U(w)][OPC(w)].fn);
	return 0;
}

bool lift_vsame(struct lift *l, const struct a64_insn *i)
{
	if (!vec_allowed(&same[W_U(i->raw)][OPC(i->raw)], i->raw, F(i, size)))
		return false;
	return lift_vsame_ir(l, i->raw) || vec_call(l, i, helper_same);
}

/* SQRDMLAH, SQRDMLSH (three same, extra): size 1 and 2. */
static u64 helper_qrdml(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	lanes3(cpu, (u32)w, OPC(w) & 1 ? lane_qrdmlsh : lane_qrdmlah);
	return 0;
}

bool lift_vqrdml(struct lift *l, const struct a64_insn *i)
{
	return (F(i, size) == 1 || F(i, size) == 2) && vec_call(l, i, helper_qrdml);
}

/* ---- pairwise ---- */

bool lift_vpairwise(struct lift *l, const struct a64_insn *i)
{
	if (F(i, size) == 3 && (OPC(i->raw) != 23 || !W_Q(i->raw)))
		return false;
	return lift_vpairwise_ir(l, i->raw);
}

/* ADDP (scalar): the two doublewords of Vn. */
static u64 helper_addp_scalar(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	cpu->s.v[W_RD(w)] = (struct arm64_v){ { n->d[0] + n->d[1], 0 } };
	return 0;
}

bool lift_vaddp_scalar(struct lift *l, const struct a64_insn *i)
{
	return F(i, size) == 3 && vec_call(l, i, helper_addp_scalar);
}

/* ---- logical: U:size is the operation ---- */

bool lift_vlogical(struct lift *l, const struct a64_insn *i)
{
	lift_vlogical_ir(l, i->raw);
	return true;
}

/* ---- by element ---- */

#define EOPC(w) ((w) >> 12 & 15)

/* The element of Vm: H:L:Rm for halfwords, H:L and M:Rm for words. */
static u64 element(const struct hyp_cpu *cpu, u32 w)
{
	unsigned h = w >> 11 & 1, lo = w >> 21 & 1, m = w >> 20 & 1, rm = w >> 16 & 15;

	if (W_SIZE(w) == 1)
		return vec_get_s(&cpu->s.v[rm], 1, h << 2 | lo << 1 | m);
	return vec_get_s(&cpu->s.v[m << 4 | rm], 2, h << 1 | lo);
}

static const struct vec_op by_element[2][16] = {
	{ [8] = { lane_mul, 0x06 }, [12] = { lane_qdmulh, 0x66 }, [13] = { lane_qrdmulh, 0x66 } },
	{ [0] = { lane_mla, 0x06 }, [4] = { lane_mls, 0x06 }, [13] = { lane_qrdmlah, 0x66 },
	  [15] = { lane_qrdmlsh, 0x66 } },
};

static u64 helper_by_element(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *d = &cpu->s.v[W_RD(w)];
	unsigned size = W_SIZE(w), lanes = vec_lanes((u32)w, size);
	struct lane l = { .bits = 8u << size, .y = element(cpu, (u32)w) };
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < lanes; e++) {
		l.x = vec_get_s(n, size, e);
		l.d = vec_get_s(d, size, e);
		vec_set(&r, size, e, by_element[W_U(w)][EOPC(w)].fn(&l));
	}
	cpu->s.v[W_RD(w)] = r;
	vec_saturated(cpu, l.sat);
	return 0;
}

bool lift_vby_element(struct lift *l, const struct a64_insn *i)
{
	const struct vec_op *op = &by_element[W_U(i->raw)][EOPC(i->raw)];
	return vec_allowed(op, i->raw, F(i, size)) && vec_call(l, i, helper_by_element);
}

/* ---- dot products: four bytes into a word ---- */

static u64 dot(const struct arm64_v *n, const struct arm64_v *m, unsigned at_n, unsigned at_m, bool u)
{
	u64 sum = 0;
	for (unsigned k = 0; k < 4; k++)
		sum += vec_get_ext(n, 0, at_n * 4 + k, u) * vec_get_ext(m, 0, at_m * 4 + k, u);
	return sum;
}

static u64 helper_dot(struct hyp_cpu *cpu, u64 w, u64 by_elem, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *m = &cpu->s.v[W_RM(w)], *d = &cpu->s.v[W_RD(w)];
	unsigned index = (w >> 11 & 1) << 1 | (w >> 21 & 1);
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < vec_lanes((u32)w & ~(1u << 28), 2); e++)
		vec_set(&r, 2, e, vec_get(d, 2, e) + dot(n, m, e, by_elem ? index : e, W_U(w)));
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

bool lift_vdot(struct lift *l, const struct a64_insn *i)
{
	return F(i, size) == 2 && vec_call(l, i, helper_dot);
}

bool lift_vdot_element(struct lift *l, const struct a64_insn *i)
{
	if (F(i, size) != 2)
		return false;
	lift_call(l, helper_dot, lift_const(l, IR_I64, i->raw), lift_const(l, IR_I64, 1), 0);
	return true;
}
