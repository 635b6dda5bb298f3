/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exclusives, load-acquire and store-release, LSE atomics. All of them must be aligned to their size
 * (FEAT_LSE2 is not offered). A pair of doublewords is a V128 on its way between the registers and memory.
 */
#include "hyp/lift/arm64/lift.h"

#include "hyp/sys/arm64/cpu.h"

static u16 ordered_access(struct lift *l, struct ir_insn insn, const struct a64_insn *i, u16 mem)
{
	insn.a = lift_base(l, F(i, Rn));
	insn.mem = mem | IR_MEM_ALIGN;
	return ir_add_insn(l->b, insn);
}

static enum ir_type size_type(unsigned size)
{
	return size == 3 ? IR_I64 : IR_I32;
}

static u16 size_mem(const struct a64_insn *i)
{
	return (u16)(F(i, size) | IR_MEM_RT(F(i, Rt)) | (F(i, size) == 3 ? IR_MEM_SF : 0));
}

/* ---- ordered ---- */

static bool load_acquire(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = size_type(F(i, size));
	struct ir_insn insn = { .op = IR_LD, .type = t };
	lift_set(l, t, F(i, Rt), ordered_access(l, insn, i, size_mem(i) | IR_MEM_ACQ));
	return true;
}

bool lift_ordered(struct lift *l, const struct a64_insn *i)
{
	if (F(i, L))
		return load_acquire(l, i);
	struct ir_insn insn = { .op = IR_ST, .b = lift_get(l, size_type(F(i, size)), F(i, Rt)) };
	ordered_access(l, insn, i, size_mem(i) | IR_MEM_REL);
	return true;
}

bool lift_ldapr(struct lift *l, const struct a64_insn *i)
{
	return load_acquire(l, i);
}

/* opc as for LDUR: STLUR, LDAPUR, LDAPURS to X, to W. */
bool lift_ldapur(struct lift *l, const struct a64_insn *i)
{
	unsigned size = F(i, size), opc = F(i, opc);

	if (opc >= 2 && size + (opc == 3) >= 3)
		return false;
	bool wide = opc == 2 || (opc < 2 && size == 3);
	enum ir_type t = wide ? IR_I64 : IR_I32;
	u16 mem = (u16)(size | IR_MEM_RT(F(i, Rt)) | (wide ? IR_MEM_SF : 0) | (opc >= 2 ? IR_MEM_SIGN : 0));
	struct ir_insn insn = { .imm = lift_sext(F(i, imm9), 9) };
	if (opc) {
		insn.op = IR_LD;
		insn.type = t;
		lift_set(l, t, F(i, Rt), ordered_access(l, insn, i, mem | IR_MEM_ACQ));
	} else {
		insn.op = IR_ST;
		insn.b = lift_get(l, t, F(i, Rt));
		ordered_access(l, insn, i, mem | IR_MEM_REL);
	}
	return true;
}

/* ---- exclusives ---- */

bool lift_ldxr(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = size_type(F(i, size));
	struct ir_insn insn = { .op = IR_LDX, .type = t };
	lift_set(l, t, F(i, Rt), ordered_access(l, insn, i, size_mem(i) | (F(i, o0) ? IR_MEM_ACQ : 0)));
	return true;
}

bool lift_stxr(struct lift *l, const struct a64_insn *i)
{
	struct ir_insn insn = { .op = IR_STX, .type = IR_I32, .b = lift_get(l, size_type(F(i, size)), F(i, Rt)) };
	lift_set(l, IR_I32, F(i, Rs), ordered_access(l, insn, i, size_mem(i) | (F(i, o0) ? IR_MEM_REL : 0)));
	return true;
}

/* Two words as the doubleword that is in memory, and back. */
static u16 join(struct lift *l, unsigned lo, unsigned hi)
{
	u16 v = ir1(l->b, IR_WIDEN, IR_I64, lift_get(l, IR_I32, lo));
	v = ir2(l->b, IR_DEPOSIT, IR_I64, v, lift_get(l, IR_I64, hi));
	IR_VALUE(l->b, v).imm = 32 | 32 << 8;
	return v;
}

static void split(struct lift *l, u16 v, unsigned lo, unsigned hi)
{
	lift_set(l, IR_I32, lo, ir1(l->b, IR_TRUNC, IR_I32, v));
	lift_set(l, IR_I64, hi, lift_shift(l, IR_I64, v, 1, 32));
}

/* The same of two doublewords. */
static u16 join_q(struct lift *l, unsigned lo, unsigned hi)
{
	u16 v = ir1(l->b, IR_VFROM, IR_V128, lift_get(l, IR_I64, lo));

	return ir_add_insn(l->b, (struct ir_insn){ .op = IR_VINS, .type = IR_V128, .cc = 3, .a = v,
						   .b = lift_get(l, IR_I64, hi), .imm = 1 });
}

static u16 half_of(struct lift *l, u16 q, unsigned n)
{
	return ir_add_insn(l->b, (struct ir_insn){ .op = IR_VTO, .type = IR_I64, .cc = 3, .a = q, .imm = n });
}

static void split_q(struct lift *l, u16 q, unsigned lo, unsigned hi)
{
	u16 v[2] = { half_of(l, q, 0), half_of(l, q, 1) };

	lift_set(l, IR_I64, lo, v[0]);
	lift_set(l, IR_I64, hi, v[1]);
}

bool lift_ldxp(struct lift *l, const struct a64_insn *i)
{
	u16 order = F(i, o0) ? IR_MEM_ACQ : 0;

	if (F(i, Rt) == F(i, Rt2))
		return false; /* CONSTRAINED UNPREDICTABLE: UNDEFINED */
	if (F(i, sz)) {
		struct ir_insn q = { .op = IR_LDXQ, .type = IR_V128 };

		split_q(l, ordered_access(l, q, i, 4 | order | IR_MEM_PAIR), F(i, Rt), F(i, Rt2));
	} else {
		struct ir_insn d = { .op = IR_LDX, .type = IR_I64 };

		split(l, ordered_access(l, d, i, 3 | order | IR_MEM_PAIR), F(i, Rt), F(i, Rt2));
	}
	return true;
}

bool lift_stxp(struct lift *l, const struct a64_insn *i)
{
	u16 order = F(i, o0) ? IR_MEM_REL : 0;

	struct ir_insn insn = { .op = F(i, sz) ? IR_STXQ : IR_STX, .type = IR_I32 };

	insn.b = F(i, sz) ? join_q(l, F(i, Rt), F(i, Rt2)) : join(l, F(i, Rt), F(i, Rt2));
	lift_set(l, IR_I32, F(i, Rs), ordered_access(l, insn, i, (F(i, sz) ? 4 : 3) | order | IR_MEM_PAIR));
	return true;
}

/* ---- LSE ---- */

bool lift_cas(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = size_type(F(i, size));
	u16 expect = lift_get(l, t, F(i, Rs)), v = lift_get(l, t, F(i, Rt));
	u16 order = (F(i, L) ? IR_MEM_ACQ : 0) | (F(i, o0) ? IR_MEM_REL : 0);

	if (F(i, size) < 2)
		expect = lift_imm_op(l, IR_ZEXT, t, expect, 8u << F(i, size));
	struct ir_insn insn = { .op = IR_CAS, .type = t, .b = expect, .c = v };
	lift_set(l, t, F(i, Rs), ordered_access(l, insn, i, size_mem(i) | order | IR_MEM_NOISV));
	return true;
}

bool lift_casp(struct lift *l, const struct a64_insn *i)
{
	u16 order = (F(i, L) ? IR_MEM_ACQ : 0) | (F(i, o0) ? IR_MEM_REL : 0);

	if (F(i, Rs) & 1 || F(i, Rt) & 1)
		return false;
	if (F(i, sz)) {
		struct ir_insn q = { .op = IR_CASQ, .type = IR_V128 };

		q.b = join_q(l, F(i, Rs), F(i, Rs) + 1);
		q.c = join_q(l, F(i, Rt), F(i, Rt) + 1);
		split_q(l, ordered_access(l, q, i, 4 | order | IR_MEM_PAIR), F(i, Rs), F(i, Rs) + 1);
		return true;
	}
	u16 expect = join(l, F(i, Rs), F(i, Rs) + 1), v = join(l, F(i, Rt), F(i, Rt) + 1);
	struct ir_insn insn = { .op = IR_CAS, .type = IR_I64, .b = expect, .c = v };
	split(l, ordered_access(l, insn, i, 3 | order | IR_MEM_PAIR), F(i, Rs), F(i, Rs) + 1);
	return true;
}

/* opt: add clr eor set smax smin umax umin; o0: SWP. */
bool lift_atomic(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = size_type(F(i, size));
	u16 order = (F(i, A) ? IR_MEM_ACQ : 0) | (F(i, R) ? IR_MEM_REL : 0);
	struct ir_insn insn = { .op = IR_ATOMIC, .type = t, .cc = (u8)(F(i, o0) ? 8 : F(i, opt)),
				.b = lift_get(l, t, F(i, Rs)) };

	lift_set(l, t, F(i, Rt), ordered_access(l, insn, i, size_mem(i) | order | IR_MEM_NOISV));
	return true;
}
