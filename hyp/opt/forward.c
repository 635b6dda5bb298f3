/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass from the block's beginning: what guest registers and flags hold is known from GETs and SETs
 * before, operations on constants are done, those that change nothing are copies.
 */
#include <string.h>

#include "hyp/opt/opt.h"

struct forward {
	struct ir_block *b;
	u16 same[IR_MAX_INSNS]; /* value that stands for each */
	u16 x[32], v[32], flags; /* known contents, 0: not */
};

static bool is_const(const struct forward *f, u16 v)
{
	return f->b->ir[v].op == IR_CONST;
}

static bool is_value(const struct forward *f, u16 v, u64 value)
{
	return is_const(f, v) && (u64)f->b->ir[v].imm == (value & ir_mask(f->b->ir[v].type));
}

/* The operation goes, `to` stands for it. */
static void replace(struct forward *f, u16 v, u16 to)
{
	f->same[v] = to;
	f->b->ir[v] = (struct ir_insn){ .op = IR_NONE };
}

/* ---- state
 * ---------------------------------------------------------------------------------------------- */

static bool get(struct forward *f, u16 v, u16 *known)
{
	if (*known)
		replace(f, v, *known);
	else
		*known = v;
	return true;
}

static bool set(struct forward *f, u16 v, u16 *known)
{
	u16 a = f->b->ir[v].a;

	if (*known == a)
		f->b->ir[v] = (struct ir_insn){ .op = IR_NONE };
	*known = a;
	return true;
}

static bool state(struct forward *f, u16 v)
{
	const struct ir_insn *i = &f->b->ir[v];

	switch (i->op) {
	case IR_GET: return get(f, v, &f->x[i->imm]);
	case IR_SET: return set(f, v, &f->x[i->imm]);
	case IR_GETV: return get(f, v, &f->v[i->imm]);
	case IR_SETV: return set(f, v, &f->v[i->imm]);
	case IR_GETF: return get(f, v, &f->flags);
	case IR_SETF: return set(f, v, &f->flags);
	case IR_CALLX:
		memset(f->x, 0, sizeof(f->x));
		f->flags = 0;
		/* fall through */
	case IR_CALL: memset(f->v, 0, sizeof(f->v)); return true;
	default: return false;
	}
}

/* ---- constants
 * ------------------------------------------------------------------------------------------------ */

static bool known(const struct forward *f, u16 v, u64 *value)
{
	const struct ir_insn *i = &f->b->ir[v];

	*value = i->op == IR_FIMM ? (u64)(i->imm & 15) << 28 : (u64)i->imm;
	return !v || i->op == IR_CONST || i->op == IR_FIMM;
}

static bool fold(struct forward *f, u16 v)
{
	struct ir_insn *i = &f->b->ir[v];
	u64 a, b, c, r;

	if (!ir_can_eval((enum ir_op)i->op) || i->op == IR_FIMM || !known(f, i->a, &a) ||
	    !known(f, i->b, &b) || !known(f, i->c, &c))
		return false;
	r = ir_eval(i, a, b, c);
	if (i->type == IR_FLAGS)
		*i = (struct ir_insn){ .op = IR_FIMM, .type = IR_FLAGS, .imm = (s64)(r >> 28) };
	else
		*i = (struct ir_insn){ .op = IR_CONST, .type = i->type, .imm = (s64)r };
	return true;
}

/* ---- copies
 * ------------------------------------------------------------------------------------------------------ */

static bool commutes(u16 op)
{
	return op == IR_ADD || op == IR_AND || op == IR_OR || op == IR_XOR || op == IR_MUL;
}

/* The operand that the result equals, or 0. */
static u16 copy_of(const struct forward *f, const struct ir_insn *i)
{
	const struct ir_insn *a = &f->b->ir[i->a];

	switch (i->op) {
	case IR_ADD:
	case IR_SUB:
	case IR_OR:
	case IR_XOR:
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
	case IR_ROR: return is_value(f, i->b, 0) || (i->op == IR_OR && i->a == i->b) ? i->a : 0;
	case IR_AND: return is_value(f, i->b, ~0ull) || i->a == i->b ? i->a : 0;
	case IR_MUL: return is_value(f, i->b, 1) ? i->a : 0;
	case IR_CSEL: return i->a == i->b ? i->a : 0;
	case IR_TRUNC: return a->op == IR_WIDEN || a->op == IR_WIDENS ? a->a : 0;
	case IR_NOT:
	case IR_NEG: return a->op == i->op ? a->a : 0;
	default: return 0;
	}
}

/* MixColumns behind SubBytes: one step of the host. */
static void join_aes(const struct forward *f, struct ir_insn *i)
{
	const struct ir_insn *a = &f->b->ir[i->a];
	unsigned inverse = i->cc & IR_AES_INVERSE;

	if (i->op == IR_VAES && i->cc == (IR_AES_MIX | inverse) && a->op == IR_VAES &&
	    a->cc == (IR_AES_SUB | inverse)) {
		i->cc |= IR_AES_SUB;
		i->a = a->a;
	}
}

static void simplify(struct forward *f, u16 v)
{
	struct ir_insn *i = &f->b->ir[v];
	u16 to;

	if (commutes(i->op) && is_const(f, i->a) && !is_const(f, i->b)) {
		to = i->a;
		i->a = i->b;
		i->b = to;
	}
	join_aes(f, i);
	to = copy_of(f, i);
	if (to)
		replace(f, v, to);
}

void opt_forward(struct ir_block *b)
{
	struct forward f = { .b = b };
	u16 n = (u16)b->n;

	for (u16 v = 1; v < n; v++) {
		struct ir_insn *i = &b->ir[v];

		f.same[v] = v;
		i->a = f.same[i->a];
		i->b = f.same[i->b];
		i->c = f.same[i->c];
		if (!state(&f, v) && !fold(&f, v))
			simplify(&f, v);
	}
}
