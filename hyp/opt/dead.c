/* SPDX-License-Identifier: Apache-2.0 */
/* One pass from the block's end: values nobody uses, registers and flags that are written again before
 * anybody sees them. */
#include "hyp/opt/opt.h"

#include "hyp/sys/arm64/cpu.h"

struct dead {
	struct ir_block *b;
	const u8 *page;
	u8 uses[IR_MAX_INSNS]; /* saturates */
	u32 x, v;   /* guest registers that are overwritten further on, before anything may leave */
	bool flags; /* flags are */
};

static void use(struct dead *d, u16 v)
{
	if (v && d->uses[v] < 255)
		d->uses[v]++;
}

static bool leaves(const struct ir_insn *i)
{
	return ir_op_desc((enum ir_op)i->op)->flags & (IR_F_FAULT | IR_F_STATE | IR_F_END) ||
	       i->op == IR_BCC || i->op == IR_BNZ || i->op == IR_BZ;
}

static bool target_kills_flags(struct dead *d, u64 target)
{
	return d->page && !(d->b->key & HYP_KEY_DEBUG) && opt_flags_dead_at(d->b, d->page, target);
}

/* What reads the flags without a GETF: whoever goes on elsewhere. */
static void flags_at(struct dead *d, const struct ir_insn *i)
{
	switch (i->op) {
	case IR_BCC:
	case IR_BNZ:
	case IR_BZ: d->flags = d->flags && target_kills_flags(d, (u64)i->imm); break;
	case IR_GOTO: d->flags = target_kills_flags(d, (u64)i->imm); break;
	case IR_GETF:
	case IR_CALLX:
	case IR_LDSTATE:
	case IR_STSTATE:
	case IR_GOTOX:
	case IR_LEAVE:
	case IR_LEAVEX:
	case IR_RAISE: d->flags = false; break;
	default: break;
	}
}

/* Is the write to state without effect? */
static bool overwritten(struct dead *d, const struct ir_insn *i)
{
	u32 bit = 1u << (i->imm & 31), *mask = i->op == IR_SET ? &d->x : &d->v;
	bool dead;

	if (i->op == IR_SETF) {
		dead = d->flags;
		d->flags = true;
		return dead;
	}
	if (i->op != IR_SET && i->op != IR_SETV)
		return false;
	dead = *mask & bit;
	*mask |= bit;
	return dead;
}

static void state_at(struct dead *d, const struct ir_insn *i)
{
	if (leaves(i))
		d->x = d->v = 0;
	else if (i->op == IR_CALL)
		d->v = 0;
	else if (i->op == IR_GET)
		d->x &= ~(1u << i->imm);
	else if (i->op == IR_GETV)
		d->v &= ~(1u << i->imm);
}

void opt_dead(struct ir_block *b, const u8 *page)
{
	struct dead d = { .b = b, .page = page };

	for (u32 v = b->n - 1; v; v--) {
		struct ir_insn *i = &b->ir[v];
		bool effect = ir_op_desc((enum ir_op)i->op)->flags & IR_F_EFFECT;

		if (overwritten(&d, i) || (!effect && !d.uses[v])) {
			*i = (struct ir_insn){ .op = IR_NONE };
			continue;
		}
		state_at(&d, i);
		flags_at(&d, i);
		use(&d, i->a);
		use(&d, i->b);
		use(&d, i->c);
	}
}
