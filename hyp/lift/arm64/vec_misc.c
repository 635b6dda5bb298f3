/* SPDX-License-Identifier: Apache-2.0 */
/* Two registers (miscellaneous), and across lanes. */
#include "hyp/lift/arm64/lift_vec.h"
#include "hyp/lift/arm64/vec.h"

#define OPC(w) ((w) >> 12 & 31)

static const struct vec_op misc[2][32] = {
	{ [3] = { lane_suqadd, SZ_V0123 | SZ_S0123 }, [4] = { lane_cls, SZ_V012 }, [5] = { lane_cnt, 0x01 },
	  [7] = { lane_qabs, SZ_V0123 | SZ_S0123 }, [8] = { lane_gt0, SZ_V0123 | SZ_S3 },
	  [9] = { lane_eq0, SZ_V0123 | SZ_S3 }, [10] = { lane_lt0, SZ_V0123 | SZ_S3 },
	  [11] = { lane_abs, SZ_V0123 | SZ_S3 } },
	{ [3] = { lane_usqadd, SZ_V0123 | SZ_S0123 }, [4] = { lane_clz, SZ_V012 },
	  [7] = { lane_qneg, SZ_V0123 | SZ_S0123 }, [8] = { lane_ge0, SZ_V0123 | SZ_S3 },
	  [9] = { lane_le0, SZ_V0123 | SZ_S3 }, [11] = { lane_neg, SZ_V0123 | SZ_S3 } },
};

static void lanes2(struct hyp_cpu *cpu, u32 w, unsigned size, lane_fn fn)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *d = &cpu->s.v[W_RD(w)];
	struct lane l = { .bits = 8u << size, .u = W_U(w) };
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < vec_lanes(w, size); e++) {
		l.x = vec_get_ext(n, size, e, l.u);
		l.d = vec_get_ext(d, size, e, l.u);
		vec_set(&r, size, e, fn(&l));
	}
	cpu->s.v[W_RD(w)] = r;
	vec_saturated(cpu, l.sat);
}

static u64 helper_misc(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	lanes2(cpu, (u32)w, W_SIZE(w), misc[W_U(w)][OPC(w)].fn);
	return 0;
}

bool lift_vmisc(struct lift *l, const struct a64_insn *i)
{
	if (!vec_allowed(&misc[W_U(i->raw)][OPC(i->raw)], i->raw, F(i, size)))
		return false;
	return lift_vmisc_ir(l, i->raw) || vec_call(l, i, helper_misc);
}

/* NOT and RBIT are told apart by size; the lanes are bytes. */
static u64 helper_rbit(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	lanes2(cpu, (u32)w, 0, lane_rbit);
	return 0;
}

bool lift_vnot(struct lift *l, const struct a64_insn *i)
{
	return lift_vnot_ir(l, i->raw) || vec_call(l, i, helper_rbit);
}

/* ---- REV: elements of size reversed in containers: REV64, REV32 (U), REV16 (opcode 1) ---- */

static unsigned rev_container(u32 w)
{
	return OPC(w) ? 1 : W_U(w) ? 2 : 3;
}

bool lift_vrev(struct lift *l, const struct a64_insn *i)
{
	unsigned container = rev_container(i->raw);
	return F(i, size) < container && lift_vrev_ir(l, i->raw, container);
}

/* ---- pairs added into lanes of twice the size: SADDLP, SADALP ---- */

static u64 helper_addlp(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)], *d = &cpu->s.v[W_RD(w)];
	unsigned size = W_SIZE(w);
	struct arm64_v r = { 0 };

	for (unsigned e = 0; e < vec_lanes((u32)w, size) / 2; e++) {
		u64 sum = vec_get_ext(n, size, 2 * e, W_U(w)) + vec_get_ext(n, size, 2 * e + 1, W_U(w));
		vec_set(&r, size + 1, e, sum + (OPC(w) == 6 ? vec_get(d, size + 1, e) : 0));
	}
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

bool lift_vaddlp(struct lift *l, const struct a64_insn *i)
{
	return F(i, size) != 3 && (lift_vaddlp_ir(l, i->raw) || vec_call(l, i, helper_addlp));
}

/* ---- narrowing: XTN, SQXTUN, SQXTN, UQXTN; into the upper half with Q ---- */

static u64 narrow(struct lane *l, u32 w, unsigned bits)
{
	if (OPC(w) == 18)
		return W_U(w) ? vec_sat(l, (s64)l->x, bits, true) : l->x;
	return W_U(w) ? vec_sat(l, (i128)l->x, bits, true) : vec_sat(l, (s64)l->x, bits, false);
}

static u64 helper_xtn(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	unsigned size = W_SIZE(w), lanes = W_SCALAR(w) ? 1 : 8u >> size;
	bool upper = W_Q(w) && !W_SCALAR(w), u = OPC(w) == 20 && W_U(w);
	struct arm64_v r = { 0 };
	struct lane l = { 0 };

	if (upper)
		r.d[0] = cpu->s.v[W_RD(w)].d[0];
	for (unsigned e = 0; e < lanes; e++) {
		l.x = vec_get_ext(n, size + 1, e, u);
		vec_set(&r, size, e + (upper ? lanes : 0), narrow(&l, (u32)w, 8u << size));
	}
	cpu->s.v[W_RD(w)] = r;
	vec_saturated(cpu, l.sat);
	return 0;
}

bool lift_vxtn(struct lift *l, const struct a64_insn *i)
{
	if (F(i, size) == 3)
		return false;
	if (OPC(i->raw) == 18 && !W_U(i->raw))
		return lift_vnarrow_ir(l, i->raw, F(i, size), 0);
	return vec_call(l, i, helper_xtn);
}

static u64 helper_shll(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	unsigned size = W_SIZE(w), lanes = 8u >> size;
	struct arm64_v r = { 0 };

	for (unsigned e = 0; size < 3 && e < lanes; e++) /* the lifter lets no other size through */
		vec_set(&r, size + 1, e, vec_get(n, size, e + (W_Q(w) ? lanes : 0)) << (8u << size));
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

bool lift_vshll(struct lift *l, const struct a64_insn *i)
{
	return F(i, size) != 3 && vec_call(l, i, helper_shll);
}

/* ---- across lanes ---- */

static u64 helper_across(struct hyp_cpu *cpu, u64 w, u64 b, u64 c)
{
	const struct arm64_v *n = &cpu->s.v[W_RN(w)];
	unsigned size = W_SIZE(w), wide = OPC(w) == 3 ? size + 1 : size;
	lane_fn fn = OPC(w) == 10 ? lane_max : OPC(w) == 26 ? lane_min : lane_add;
	struct lane l = { .bits = 8u << size, .u = W_U(w), .x = vec_get_ext(n, size, 0, W_U(w)) };
	struct arm64_v r = { 0 };

	for (unsigned e = 1; e < vec_lanes((u32)w, size); e++) {
		l.y = vec_get_ext(n, size, e, l.u);
		l.x = fn(&l);
	}
	vec_set(&r, wide, 0, l.x);
	cpu->s.v[W_RD(w)] = r;
	return 0;
}

bool lift_vacross(struct lift *l, const struct a64_insn *i)
{
	if (F(i, size) == 3 || (F(i, size) == 2 && !F(i, Q)))
		return false;
	return lift_vacross_ir(l, i->raw) || vec_call(l, i, helper_across);
}
