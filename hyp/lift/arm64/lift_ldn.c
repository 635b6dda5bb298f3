/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LD1-4, ST1-4. An element at a time, in memory order, but for LD1/ST1 of whole registers. Loads collect all
 * elements before the first register is written: any of them may fault.
 */
#include "hyp/lift/arm64/lift.h"

#define MAX_REGS 4

struct group {
	unsigned regs;   /* registers of a structure list */
	unsigned repeat; /* LD1 with several registers: structures of one element each */
	unsigned size;   /* log2 of an element */
	u16 addr;
};

static u16 load(struct lift *l, const struct group *g, unsigned size, unsigned at)
{
	enum ir_type t = size == 4 ? IR_V128 : size == 3 ? IR_I64 : IR_I32;
	return ir_add_insn(l->b, (struct ir_insn){ .op = size == 4 ? IR_LDV : IR_LD, .type = t, .a = g->addr,
						   .mem = (u16)(size | IR_MEM_NOISV), .imm = at });
}

static void store(struct lift *l, const struct group *g, unsigned size, unsigned at, u16 v)
{
	ir_add_insn(l->b, (struct ir_insn){ .op = size == 4 ? IR_STV : IR_ST, .a = g->addr, .b = v,
					    .mem = (u16)(size | IR_MEM_NOISV), .imm = at });
}

static u16 lane_get(struct lift *l, u16 v, unsigned size, unsigned lane)
{
	return ir_add_insn(l->b, (struct ir_insn){ .op = IR_VTO, .type = size == 3 ? IR_I64 : IR_I32, .a = v,
						   .cc = (u8)size, .imm = lane });
}

static u16 lane_set(struct lift *l, u16 v, unsigned size, unsigned lane, u16 x)
{
	return ir_add_insn(l->b, (struct ir_insn){ .op = IR_VINS, .type = IR_V128, .a = v, .b = x, .cc = (u8)size,
						   .imm = lane });
}

static unsigned reg(const struct a64_insn *i, unsigned n)
{
	return (F(i, Rt) + n) % 32;
}

static u16 getv(struct lift *l, unsigned n)
{
	return lift_imm_op(l, IR_GETV, IR_V128, 0, n);
}

static void setv(struct lift *l, unsigned n, u16 v)
{
	lift_imm_op(l, IR_SETV, IR_VOID, v, n);
}

/* Post-index: Rm 31 means the number of bytes transferred. */
static void write_base(struct lift *l, const struct a64_insn *i, const struct group *g, unsigned bytes)
{
	u16 by = F(i, Rm) == 31 ? lift_const(l, IR_I64, bytes) : lift_get(l, IR_I64, F(i, Rm));
	lift_set_sp(l, IR_I64, F(i, Rn), ir2(l->b, IR_ADD, IR_I64, g->addr, by));
}

/* ---- whole registers ---- */

static void whole(struct lift *l, const struct a64_insn *i, const struct group *g)
{
	unsigned size = 3 + F(i, Q);
	u16 v[MAX_REGS];

	for (unsigned r = 0; r < g->repeat; r++) {
		if (!F(i, L)) {
			u16 q = getv(l, reg(i, r));
			store(l, g, size, r << size, size == 4 ? q : lane_get(l, q, 3, 0));
			continue;
		}
		v[r] = load(l, g, size, r << size);
	}
	for (unsigned r = 0; F(i, L) && r < g->repeat; r++)
		setv(l, reg(i, r), size == 4 ? v[r] : ir1(l->b, IR_VFROM, IR_V128, v[r]));
}

/* Elements interleaved over g->regs registers. */
static void interleaved(struct lift *l, const struct a64_insn *i, const struct group *g)
{
	unsigned lanes = (8u << F(i, Q)) >> g->size;
	u16 v[MAX_REGS];

	for (unsigned r = 0; r < g->regs; r++)
		v[r] = F(i, L) ? lift_imm_op(l, IR_VCONST, IR_V128, 0, 0) : getv(l, reg(i, r));
	for (unsigned e = 0; e < lanes; e++) {
		for (unsigned r = 0; r < g->regs; r++) {
			unsigned at = (e * g->regs + r) << g->size;
			if (F(i, L))
				v[r] = lane_set(l, v[r], g->size, e, load(l, g, g->size, at));
			else
				store(l, g, g->size, at, lane_get(l, v[r], g->size, e));
		}
	}
	for (unsigned r = 0; F(i, L) && r < g->regs; r++)
		setv(l, reg(i, r), v[r]);
}

static bool multi(struct lift *l, const struct a64_insn *i, bool post)
{
	/* opcode: registers of a structure, and repetitions */
	static const struct {
		u8 regs, repeat;
	} kinds[16] = { [0] = { 4, 1 }, [2] = { 1, 4 }, [4] = { 3, 1 }, [6] = { 1, 3 },
			[7] = { 1, 1 }, [8] = { 2, 1 }, [10] = { 1, 2 } };
	struct group g = { kinds[F(i, opcode)].regs, kinds[F(i, opcode)].repeat, F(i, size), 0 };

	if (!g.regs || (g.regs > 1 && g.size == 3 && !F(i, Q)))
		return false;
	g.addr = lift_base(l, F(i, Rn));
	if (g.regs == 1)
		whole(l, i, &g);
	else
		interleaved(l, i, &g);
	if (post)
		write_base(l, i, &g, g.regs * g.repeat * (8u << F(i, Q)));
	return true;
}

bool lift_ldn_multi(struct lift *l, const struct a64_insn *i)
{
	return multi(l, i, false);
}

bool lift_ldn_multi_post(struct lift *l, const struct a64_insn *i)
{
	return multi(l, i, true);
}

/* ---- single structures ---- */

static void replicate(struct lift *l, const struct a64_insn *i, const struct group *g)
{
	u16 v[MAX_REGS];

	for (unsigned r = 0; r < g->regs; r++) {
		v[r] = load(l, g, g->size, r << g->size);
		v[r] = lift_cc_op(l, IR_VDUP, IR_V128, (u8)g->size, v[r]);
		if (!F(i, Q)) {
			u16 low = lane_get(l, v[r], 3, 0);
			v[r] = ir1(l->b, IR_VFROM, IR_V128, low);
		}
	}
	for (unsigned r = 0; r < g->regs; r++)
		setv(l, reg(i, r), v[r]);
}

static void lane(struct lift *l, const struct a64_insn *i, const struct group *g, unsigned index)
{
	u16 v[MAX_REGS];

	for (unsigned r = 0; r < g->regs; r++) {
		u16 old = getv(l, reg(i, r));
		unsigned at = r << g->size;
		if (F(i, L))
			v[r] = lane_set(l, old, g->size, index, load(l, g, g->size, at));
		else
			store(l, g, g->size, at, lane_get(l, old, g->size, index));
	}
	for (unsigned r = 0; F(i, L) && r < g->regs; r++)
		setv(l, reg(i, r), v[r]);
}

/* opcode<2:1>: element size or replicate, opcode<0>:R: registers less one; Q:S:size<..>: the lane. */
static bool single(struct lift *l, const struct a64_insn *i, bool post)
{
	unsigned kind = F(i, opcode) >> 1, size = F(i, size), index = F(i, Q) << 3 | F(i, S) << 2 | size;
	struct group g = { ((F(i, opcode) & 1) << 1 | F(i, R)) + 1, 1, kind, 0 };

	if (kind == 3) {
		if (!F(i, L) || F(i, S))
			return false;
		g.size = size;
	} else if (kind == 1) {
		if (size & 1)
			return false;
		index >>= 1;
	} else if (kind == 2) {
		if (size > 1 || (size == 1 && F(i, S)))
			return false;
		g.size = 2 + size;
		index = size ? F(i, Q) : index >> 2;
	}
	g.addr = lift_base(l, F(i, Rn));
	if (kind == 3)
		replicate(l, i, &g);
	else
		lane(l, i, &g, index);
	if (post)
		write_base(l, i, &g, g.regs << g.size);
	return true;
}

bool lift_ldn_single(struct lift *l, const struct a64_insn *i)
{
	return single(l, i, false);
}

bool lift_ldn_single_post(struct lift *l, const struct a64_insn *i)
{
	return single(l, i, true);
}
