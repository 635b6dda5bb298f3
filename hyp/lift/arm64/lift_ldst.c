/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads and stores of general and vector registers in every addressing mode. A mode is an address (value and
 * constant offset) and perhaps a new base; the transfer is the same for all. The base is written after the
 * access, which may fault.
 */
#include "hyp/lift/arm64/lift.h"

#include "hyp/sys/arm64/cpu.h"

struct access {
	u16 mem;   /* IR_MEM_* */
	u8 bits;   /* of the register: 32, 64; 128: vector */
	bool load;
	u16 addr;
	s64 offset;
};

/* Where the base register gets a new value: addr + by. */
struct writeback {
	bool yes;
	s64 by;
};

/* ---- general registers ---- */

/* size, opc of the load/store classes: 00 store, 01 load, 10 load signed to X, 11 load signed to W. */
static bool decode_access(struct lift *l, const struct a64_insn *i, struct access *a)
{
	unsigned size = F(i, size), opc = F(i, opc);

	if (opc >= 2 && size + (opc == 3) >= 3)
		return false; /* size 3: PRFM where allowed, see prefetch() */
	a->load = opc != 0;
	a->bits = opc == 2 || (opc < 2 && size == 3) ? 64 : 32;
	a->mem = (u16)(size | (opc >= 2 ? IR_MEM_SIGN : 0) | IR_MEM_RT(F(i, Rt)) |
		       (a->bits == 64 ? IR_MEM_SF : 0));
	return true;
}

static u16 load(struct lift *l, const struct access *a, s64 more)
{
	enum ir_type t = a->bits == 128 ? IR_V128 : a->bits == 64 ? IR_I64 : IR_I32;
	return ir_add_insn(l->b, (struct ir_insn){ .op = a->bits == 128 ? IR_LDV : IR_LD, .type = t, .a = a->addr,
						   .mem = a->mem, .imm = a->offset + more });
}

static void store(struct lift *l, const struct access *a, u16 v, s64 more)
{
	ir_add_insn(l->b, (struct ir_insn){ .op = a->bits == 128 ? IR_STV : IR_ST, .a = a->addr, .b = v,
					    .mem = a->mem, .imm = a->offset + more });
}

static u16 get_rt(struct lift *l, const struct access *a, unsigned rt)
{
	if (a->bits == 128)
		return lift_imm_op(l, IR_GETV, IR_V128, 0, rt);
	return lift_get(l, a->bits == 64 ? IR_I64 : IR_I32, rt);
}

static void set_rt(struct lift *l, const struct access *a, unsigned rt, u16 v)
{
	if (a->bits == 128)
		lift_imm_op(l, IR_SETV, IR_VOID, v, rt);
	else
		lift_set(l, a->bits == 64 ? IR_I64 : IR_I32, rt, v);
}

static void write_base(struct lift *l, const struct a64_insn *i, const struct access *a, struct writeback wb)
{
	if (!wb.yes)
		return;
	u16 v = ir2(l->b, IR_ADD, IR_I64, a->addr, lift_const(l, IR_I64, (u64)wb.by));
	lift_set_sp(l, IR_I64, F(i, Rn), v);
}

static bool transfer(struct lift *l, const struct a64_insn *i, struct access *a, struct writeback wb)
{
	if (wb.yes)
		a->mem |= IR_MEM_NOISV;
	if (a->load) {
		u16 v = load(l, a, 0);
		write_base(l, i, a, wb);
		set_rt(l, a, F(i, Rt), v);
	} else {
		store(l, a, get_rt(l, a, F(i, Rt)), 0);
		write_base(l, i, a, wb);
	}
	return true;
}

static void base(struct lift *l, const struct a64_insn *i, struct access *a, s64 offset)
{
	a->addr = lift_base(l, F(i, Rn));
	a->offset = offset;
}

static s64 imm9(const struct a64_insn *i)
{
	return lift_sext(F(i, imm9), 9);
}

static bool prefetch(const struct a64_insn *i)
{
	return F(i, size) == 3 && F(i, opc) == 2;
}

bool lift_ldr_uimm(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (prefetch(i))
		return true;
	if (!decode_access(l, i, &a))
		return false;
	base(l, i, &a, (s64)F(i, imm12) << F(i, size));
	return transfer(l, i, &a, (struct writeback){ 0 });
}

bool lift_ldur(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (prefetch(i))
		return true;
	if (!decode_access(l, i, &a))
		return false;
	base(l, i, &a, imm9(i));
	return transfer(l, i, &a, (struct writeback){ 0 });
}

bool lift_ldr_post(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (!decode_access(l, i, &a))
		return false;
	base(l, i, &a, 0);
	return transfer(l, i, &a, (struct writeback){ true, imm9(i) });
}

bool lift_ldr_pre(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (!decode_access(l, i, &a))
		return false;
	base(l, i, &a, imm9(i));
	return transfer(l, i, &a, (struct writeback){ true, imm9(i) });
}

/* As EL0 does, where this is EL1 without PSTATE.UAO. */
bool lift_ldtr(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (!decode_access(l, i, &a))
		return false;
	if ((l->key & (HYP_KEY_EL1 | HYP_KEY_UAO)) == HYP_KEY_EL1)
		a.mem |= IR_MEM_USER;
	base(l, i, &a, imm9(i));
	return transfer(l, i, &a, (struct writeback){ 0 });
}

/* Rn + Rm, extended and shifted by the access size where S says so. */
static void base_reg(struct lift *l, const struct a64_insn *i, struct access *a, unsigned scale)
{
	u16 m = lift_extend(l, IR_I64, F(i, Rm), F(i, option), F(i, S) ? scale : 0);
	a->addr = ir2(l->b, IR_ADD, IR_I64, lift_base(l, F(i, Rn)), m);
}

bool lift_ldr_reg(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (!(F(i, option) & 2))
		return false;
	if (prefetch(i))
		return true;
	if (!decode_access(l, i, &a))
		return false;
	base_reg(l, i, &a, F(i, size));
	return transfer(l, i, &a, (struct writeback){ 0 });
}

static void base_literal(struct lift *l, const struct a64_insn *i, struct access *a)
{
	a->addr = lift_const(l, IR_I64, l->pc + (u64)(lift_sext(F(i, imm19), 19) * 4));
}

/* opc: LDR W, LDR X, LDRSW, PRFM */
bool lift_ldr_lit(struct lift *l, const struct a64_insn *i)
{
	unsigned opc = F(i, opc);
	struct access a = { .load = true, .bits = opc ? 64 : 32 };

	if (opc == 3)
		return true;
	a.mem = (u16)((opc == 1 ? 3 : 2) | (opc == 2 ? IR_MEM_SIGN : 0) | IR_MEM_RT(F(i, Rt)) |
		      (opc ? IR_MEM_SF : 0));
	base_literal(l, i, &a);
	return transfer(l, i, &a, (struct writeback){ 0 });
}

/* ---- pairs ---- */

enum pair_mode { PAIR_OFFSET, PAIR_POST, PAIR_PRE };

static bool transfer_pair(struct lift *l, const struct a64_insn *i, struct access *a, enum pair_mode mode)
{
	s64 size = IR_MEM_SIZE(a->mem), imm = lift_sext(F(i, imm7), 7) * size;

	a->mem |= IR_MEM_PAIR;
	base(l, i, a, mode == PAIR_POST ? 0 : imm);
	struct writeback wb = { mode != PAIR_OFFSET, imm };
	if (a->load) {
		u16 first = load(l, a, 0), second = load(l, a, size);
		write_base(l, i, a, wb);
		set_rt(l, a, F(i, Rt), first);
		set_rt(l, a, F(i, Rt2), second);
	} else {
		u16 first = get_rt(l, a, F(i, Rt)), second = get_rt(l, a, F(i, Rt2));
		store(l, a, first, 0);
		store(l, a, second, size);
		write_base(l, i, a, wb);
	}
	return true;
}

/* opc: W, LDPSW (loads only), X. */
static bool pair(struct lift *l, const struct a64_insn *i, enum pair_mode mode)
{
	unsigned opc = F(i, opc);
	struct access a = { .load = F(i, L), .bits = opc ? 64 : 32 };

	if (opc == 3 || (opc == 1 && !a.load))
		return false;
	a.mem = (u16)((opc == 2 ? 3 : 2) | (opc == 1 ? IR_MEM_SIGN : 0));
	return transfer_pair(l, i, &a, mode);
}

bool lift_ldp_np(struct lift *l, const struct a64_insn *i)
{
	return F(i, opc) != 1 && pair(l, i, PAIR_OFFSET);
}

bool lift_ldp_off(struct lift *l, const struct a64_insn *i)
{
	return pair(l, i, PAIR_OFFSET);
}

bool lift_ldp_post(struct lift *l, const struct a64_insn *i)
{
	return pair(l, i, PAIR_POST);
}

bool lift_ldp_pre(struct lift *l, const struct a64_insn *i)
{
	return pair(l, i, PAIR_PRE);
}

/* ---- vector registers ---- */

/* opc<1>:size is the access size, 0 to 4. */
static bool decode_vector(const struct a64_insn *i, struct access *a)
{
	unsigned size = F(i, size) | (F(i, opc) & 2) << 1;

	a->load = F(i, opc) & 1;
	a->bits = 128;
	a->mem = (u16)(size | IR_MEM_NOISV);
	return size <= 4;
}

bool lift_ldrv_uimm(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (!decode_vector(i, &a))
		return false;
	base(l, i, &a, (s64)F(i, imm12) << (a.mem & 7));
	return transfer(l, i, &a, (struct writeback){ 0 });
}

bool lift_ldurv(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (!decode_vector(i, &a))
		return false;
	base(l, i, &a, imm9(i));
	return transfer(l, i, &a, (struct writeback){ 0 });
}

bool lift_ldrv_post(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (!decode_vector(i, &a))
		return false;
	base(l, i, &a, 0);
	return transfer(l, i, &a, (struct writeback){ true, imm9(i) });
}

bool lift_ldrv_pre(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (!decode_vector(i, &a))
		return false;
	base(l, i, &a, imm9(i));
	return transfer(l, i, &a, (struct writeback){ true, imm9(i) });
}

bool lift_ldrv_reg(struct lift *l, const struct a64_insn *i)
{
	struct access a = { 0 };

	if (!(F(i, option) & 2) || !decode_vector(i, &a))
		return false;
	base_reg(l, i, &a, a.mem & 7);
	return transfer(l, i, &a, (struct writeback){ 0 });
}

bool lift_ldrv_lit(struct lift *l, const struct a64_insn *i)
{
	struct access a = { .load = true, .bits = 128, .mem = (u16)((F(i, opc) + 2) | IR_MEM_NOISV) };

	if (F(i, opc) == 3)
		return false;
	base_literal(l, i, &a);
	return transfer(l, i, &a, (struct writeback){ 0 });
}

static bool pair_vector(struct lift *l, const struct a64_insn *i, enum pair_mode mode)
{
	struct access a = { .load = F(i, L), .bits = 128, .mem = (u16)(F(i, opc) + 2) };

	return F(i, opc) != 3 && transfer_pair(l, i, &a, mode);
}

bool lift_ldpv_off(struct lift *l, const struct a64_insn *i)
{
	return pair_vector(l, i, PAIR_OFFSET);
}

bool lift_ldpv_post(struct lift *l, const struct a64_insn *i)
{
	return pair_vector(l, i, PAIR_POST);
}

bool lift_ldpv_pre(struct lift *l, const struct a64_insn *i)
{
	return pair_vector(l, i, PAIR_PRE);
}
