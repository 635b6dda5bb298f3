/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exclusives, load-acquire and store-release, LSE atomics. All of them must be aligned to their size
 * (FEAT_LSE2 is not offered). 128-bit pairs have no IR value: helpers move them between the registers and
 * memory.
 */
#include "hyp/lift/arm64/lift.h"

#include "hyp/sys/arm64/cpu.h"

/* The helpers' argument: mem of the IR and register numbers. */
#define PACK(mem, rs, rt, rt2) ((u64)(mem) | (u64)(rs) << 16 | (u64)(rt) << 24 | (u64)(rt2) << 32)
#define PACK_MEM(p) ((u32)((p)&0xffff))
#define PACK_RS(p) ((p) >> 16 & 31)
#define PACK_RT(p) ((p) >> 24 & 31)
#define PACK_RT2(p) ((p) >> 32 & 31)

static u16 access(struct lift *l, struct ir_insn insn, const struct a64_insn *i, u16 mem)
{
	insn.a = lift_get_sp(l, IR_I64, F(i, Rn));
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
	lift_set(l, t, F(i, Rt), access(l, insn, i, size_mem(i) | IR_MEM_ACQ));
	return true;
}

bool lift_ordered(struct lift *l, const struct a64_insn *i)
{
	if (F(i, L))
		return load_acquire(l, i);
	struct ir_insn insn = { .op = IR_ST, .b = lift_get(l, size_type(F(i, size)), F(i, Rt)) };
	access(l, insn, i, size_mem(i) | IR_MEM_REL);
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
		lift_set(l, t, F(i, Rt), access(l, insn, i, mem | IR_MEM_ACQ));
	} else {
		insn.op = IR_ST;
		insn.b = lift_get(l, t, F(i, Rt));
		access(l, insn, i, mem | IR_MEM_REL);
	}
	return true;
}

/* ---- exclusives ---- */

bool lift_ldxr(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = size_type(F(i, size));
	struct ir_insn insn = { .op = IR_LDX, .type = t };
	lift_set(l, t, F(i, Rt), access(l, insn, i, size_mem(i) | (F(i, o0) ? IR_MEM_ACQ : 0)));
	return true;
}

bool lift_stxr(struct lift *l, const struct a64_insn *i)
{
	struct ir_insn insn = { .op = IR_STX, .type = IR_I32, .b = lift_get(l, size_type(F(i, size)), F(i, Rt)) };
	lift_set(l, IR_I32, F(i, Rs), access(l, insn, i, size_mem(i) | (F(i, o0) ? IR_MEM_REL : 0)));
	return true;
}

static void set_x(struct hyp_cpu *cpu, unsigned n, u64 v)
{
	if (n != 31)
		cpu->s.x[n] = v;
}

static u64 get_x(struct hyp_cpu *cpu, unsigned n)
{
	return n == 31 ? 0 : cpu->s.x[n];
}

static u64 helper_ldxp(struct hyp_cpu *cpu, u64 addr, u64 pack, u64 unused)
{
	u64 val[2];

	if (!hyp_arm64_load_excl(cpu, addr, PACK_MEM(pack), val))
		return 0;
	set_x(cpu, PACK_RT(pack), val[0]);
	set_x(cpu, PACK_RT2(pack), val[1]);
	return 0;
}

static u64 helper_stxp(struct hyp_cpu *cpu, u64 addr, u64 pack, u64 unused)
{
	u64 val[2] = { get_x(cpu, PACK_RT(pack)), get_x(cpu, PACK_RT2(pack)) }, failed;

	if (hyp_arm64_store_excl(cpu, addr, PACK_MEM(pack), val, &failed))
		set_x(cpu, PACK_RS(pack), failed);
	return 0;
}

static u64 helper_casp(struct hyp_cpu *cpu, u64 addr, u64 pack, u64 unused)
{
	unsigned rs = PACK_RS(pack), rt = PACK_RT(pack);
	u64 expect[2] = { get_x(cpu, rs), get_x(cpu, rs + 1) }, old[2];
	u64 val[2] = { get_x(cpu, rt), get_x(cpu, rt + 1) };

	if (!hyp_arm64_cas(cpu, addr, PACK_MEM(pack), expect, val, old))
		return 0;
	set_x(cpu, rs, old[0]);
	set_x(cpu, rs + 1, old[1]);
	return 0;
}

static bool by_helper(struct lift *l, const struct a64_insn *i, ir_helper fn, u16 mem)
{
	u64 pack = PACK(mem | 4 | IR_MEM_ALIGN | IR_MEM_PAIR, F(i, Rs), F(i, Rt), F(i, Rt2));
	lift_callx(l, fn, lift_get_sp(l, IR_I64, F(i, Rn)), lift_const(l, IR_I64, pack), 0);
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

bool lift_ldxp(struct lift *l, const struct a64_insn *i)
{
	u16 order = F(i, o0) ? IR_MEM_ACQ : 0;

	if (F(i, Rt) == F(i, Rt2))
		return false; /* CONSTRAINED UNPREDICTABLE: UNDEFINED */
	if (F(i, sz))
		return by_helper(l, i, helper_ldxp, order);
	struct ir_insn insn = { .op = IR_LDX, .type = IR_I64 };
	split(l, access(l, insn, i, 3 | order | IR_MEM_PAIR), F(i, Rt), F(i, Rt2));
	return true;
}

bool lift_stxp(struct lift *l, const struct a64_insn *i)
{
	u16 order = F(i, o0) ? IR_MEM_REL : 0;

	if (F(i, sz))
		return by_helper(l, i, helper_stxp, order);
	struct ir_insn insn = { .op = IR_STX, .type = IR_I32, .b = join(l, F(i, Rt), F(i, Rt2)) };
	lift_set(l, IR_I32, F(i, Rs), access(l, insn, i, 3 | order | IR_MEM_PAIR));
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
	lift_set(l, t, F(i, Rs), access(l, insn, i, size_mem(i) | order | IR_MEM_NOISV));
	return true;
}

bool lift_casp(struct lift *l, const struct a64_insn *i)
{
	u16 order = (F(i, L) ? IR_MEM_ACQ : 0) | (F(i, o0) ? IR_MEM_REL : 0);

	if (F(i, Rs) & 1 || F(i, Rt) & 1)
		return false;
	if (F(i, sz))
		return by_helper(l, i, helper_casp, order);
	u16 expect = join(l, F(i, Rs), F(i, Rs) + 1), v = join(l, F(i, Rt), F(i, Rt) + 1);
	struct ir_insn insn = { .op = IR_CAS, .type = IR_I64, .b = expect, .c = v };
	split(l, access(l, insn, i, 3 | order | IR_MEM_PAIR), F(i, Rs), F(i, Rs) + 1);
	return true;
}

/* opt: add clr eor set smax smin umax umin; o0: SWP. */
bool lift_atomic(struct lift *l, const struct a64_insn *i)
{
	enum ir_type t = size_type(F(i, size));
	u16 order = (F(i, A) ? IR_MEM_ACQ : 0) | (F(i, R) ? IR_MEM_REL : 0);
	struct ir_insn insn = { .op = IR_ATOMIC, .type = t, .cc = (u8)(F(i, o0) ? 8 : F(i, opt)),
				.b = lift_get(l, t, F(i, Rs)) };

	lift_set(l, t, F(i, Rt), access(l, insn, i, size_mem(i) | order | IR_MEM_NOISV));
	return true;
}
