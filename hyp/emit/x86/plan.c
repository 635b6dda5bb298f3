/* SPDX-License-Identifier: Apache-2.0 */
/* Before emission: which values are the same, how long they live, which are best computed in a pinned
 * register. */
#include "hyp/emit/x86/em.h"

static unsigned operands(const struct em *x, const struct ir_insn *i, u16 out[3])
{
	const u16 args[3] = { i->a, i->b, i->c };
	unsigned n = 0;

	for (unsigned k = 0; k < 3; k++)
		if (args[k])
			out[n++] = em_root(x, args[k]);
	return n;
}

/* What is no code of its own. */
static u16 root_of(const struct em *x, u32 v)
{
	const struct ir_insn *i = em_insn(x, v);

	if (i->op == IR_TRUNC)
		return em_root(x, i->a);
	if (i->op == IR_WIDEN && em_insn(x, em_root(x, i->a))->type == IR_I32)
		return em_root(x, i->a);
	return (u16)v;
}

bool em_same_value(const struct em *x, u16 a, u16 b)
{
	return em_root(x, a) == em_root(x, b) && em_insn(x, a)->type == em_insn(x, b)->type;
}

/* FADD or FSUB shortly behind ADD or SUB of the same operands, with nothing in between that destroys
 * EFLAGS. */
static void fuse(struct em *x, u32 f)
{
	const struct ir_insn *i = em_insn(x, f), *def;
	u16 want = i->op == IR_FADD ? IR_ADD : IR_SUB;

	for (u32 v = f - 1; v && v + 5 > f; v--) {
		def = em_insn(x, v);
		if (def->op == want && em_same_value(x, def->a, i->a) && em_same_value(x, def->b, i->b)) {
			x->val[f].fused = x->val[v].fuse = true;
			return;
		}
		if (def->op != IR_SET && def->op != IR_WIDEN && def->op != IR_GET && def->op != IR_NONE &&
		    def->op != IR_CONST && def->op != IR_TRUNC)
			return;
	}
}

static void find_uses(struct em *x)
{
	for (u32 v = 1; v < x->b->n; v++) {
		const struct ir_insn *i = em_insn(x, v);
		struct em_val *val = &x->val[v];
		u16 op[3];

		*val = (struct em_val){ .hreg = -1, .greg = -1, .xreg = -1, .vreg = -1, .slot = -1, .hint = -1 };
		val->root = root_of(x, v);
		if (val->root != v)
			continue;
		if (i->op == IR_FADD || i->op == IR_FSUB)
			fuse(x, v);
		for (unsigned k = 0, n = val->fused ? 0 : operands(x, i, op); k < n; k++) {
			x->val[op[k]].last = (u16)v;
			x->val[op[k]].uses++;
		}
		if (i->op == IR_GET)
			val->gmask |= 1u << i->imm;
		else if (i->op == IR_SET)
			x->val[em_root(x, i->a)].gmask |= 1u << i->imm;
	}
}

static void defer(struct em *x, u16 v, u32 user)
{
	const struct ir_insn *i = em_insn(x, v);
	u16 op[3];

	x->val[v].deferred = true;
	for (unsigned k = 0, n = operands(x, i, op); k < n; k++)
		if (x->val[op[k]].last < user)
			x->val[op[k]].last = (u16)user;
}

bool em_bit_test(const struct em *x, u16 v, unsigned *bit)
{
	const struct ir_insn *i = em_insn(x, v);

	if (i->op == IR_EXTRACT && i->imm >> 8 == 1) {
		*bit = (unsigned)i->imm & 63;
		return true;
	}
	if (i->op != IR_AND || !em_is_const(x, i->b) || em_is_const(x, i->a))
		return false;
	*bit = (unsigned)__builtin_ctzll(em_const(x, i->b) | 1ull << 63);
	return em_const(x, i->b) == 1ull << *bit;
}

/* Of a comparison that is emitted on one of two ways: nothing may be spilled there, as a constant would
 * ask for. */
static bool operands_stay(const struct em *x, const struct ir_insn *i)
{
	return !em_is_const(x, i->a) &&
	       (!em_is_const(x, i->b) || em_fits(em_const(x, i->b)) || !em_wide(x, i->b));
}

static void find_deferred(struct em *x)
{
	unsigned bit;

	for (u32 v = 1; v < x->b->n; v++) {
		const struct ir_insn *i = em_insn(x, v);

		if (i->op == IR_FCCMP && em_insn(x, i->b)->op >= IR_FADD && em_insn(x, i->b)->op <= IR_FSUB &&
		    x->val[i->b].uses == 1 && !x->val[i->b].fused && operands_stay(x, em_insn(x, i->b)))
			defer(x, i->b, v);
		if ((i->op == IR_BNZ || i->op == IR_BZ) && x->val[em_root(x, i->a)].uses == 1 &&
		    em_bit_test(x, em_root(x, i->a), &bit))
			defer(x, em_root(x, i->a), v);
	}
}

/* May guest register g be written at d, though SET comes at s? */
static bool nothing_between(const struct em *x, u32 d, u32 s, unsigned g)
{
	for (u32 k = d + 1; k < s; k++) {
		const struct ir_insn *i = em_insn(x, k);
		u16 op[3];

		if (k == d + 1 && em_is_pair(x, d))
			continue; /* faults with d or not at all */
		if (ir_op_desc((enum ir_op)i->op)->flags & (IR_F_FAULT | IR_F_STATE | IR_F_END))
			return false;
		if (i->op == IR_BCC || i->op == IR_BNZ || i->op == IR_BZ || i->op == IR_CALL)
			return false;
		if ((i->op == IR_GET || i->op == IR_SET) && i->imm == g)
			return false;
		if (x->val[k].fused)
			continue;
		for (unsigned n = operands(x, i, op); n--;)
			if (op[n] != d && (x->val[op[n]].gmask >> g & 1 || x->val[op[n]].deferred))
				return false;
	}
	return true;
}

static void find_hints(struct em *x)
{
	for (u32 s = 1; s < x->b->n; s++) {
		const struct ir_insn *i = em_insn(x, s), *def;
		u16 d;

		if (i->op != IR_SET || em_pin[i->imm] < 0)
			continue;
		d = em_root(x, i->a);
		def = em_insn(x, d);
		if (def->op == IR_GET || def->op == IR_CONST || x->val[d].hint >= 0 || x->val[d].deferred)
			continue;
		if (nothing_between(x, d, s, (unsigned)i->imm))
			x->val[d].hint = (s8)i->imm;
	}
}

void em_plan(struct em *x)
{
	x->val[0] = (struct em_val){ .hreg = -1, .greg = -1, .xreg = -1, .vreg = -1, .slot = -1, .hint = -1 };
	find_uses(x);
	find_deferred(x);
	find_hints(x);
}
