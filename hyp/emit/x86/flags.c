/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NZCV in EFLAGS (em.h). An operation that defines flags leaves them there; what destroys EFLAGS saves them
 * first if somebody needs them later. FSUB behind the SUB of the same operands, and FAND behind an AND, cost
 * nothing (x->done).
 */
#include "hyp/emit/x86/em.h"

/* Host condition for A64's, CF inverted. */
static const u8 host_cc[16] = { CC_E, CC_NE, CC_AE, CC_B, CC_S, CC_NS, CC_O, CC_NO, CC_A, CC_BE, CC_GE, CC_L, CC_G, CC_LE };

#define NZCV_BITS 0xc101u /* N Z C V in AH:AL of LAHF, SETO AL */
#define CARRY_BIT 0x100u

static void cmc(struct em *x)
{
	e_1(&x->e, 0xf5);
	x->fl_kind = x->fl_kind == FL_DIRECT ? FL_INVERTED : FL_DIRECT;
	x->done.op = 0;
}

/* lahf; seto al */
static void flags_to_ax(struct em *x)
{
	if (x->fl_kind == FL_DIRECT)
		cmc(x);
	e_bytes(&x->e, "\x9f\x0f\x90\xc0", 4);
}

/* add al, 0x7f; sahf */
static void flags_from_ax(struct em *x)
{
	e_bytes(&x->e, "\x04\x7f\x9e", 3);
}

/* mov gs:[off], ax */
static void store_ax(struct em *x, u32 off)
{
	e_bytes(&x->e, "\x65\x66\x89\x04\x25", 5);
	e_4(&x->e, off);
}

/* movzx eax, word gs:[off] */
static void load_ax(struct em *x, u32 off)
{
	if (!off)
		x->failed = true;
	em_0f(x, false, 0xb7, RAX, em_mem(off));
}

static u32 saved_at(const struct em *x, u16 f)
{
	if (x->hfl == f)
		return OFF_HFLAGS;
	return x->val[f].slot >= 0 ? OFF_SLOT(x->val[f].slot) : 0;
}

static void save(struct em *x, u16 f)
{
	flags_to_ax(x);
	x->val[f].slot = (s8)em_slot(x);
	store_ax(x, OFF_SLOT(x->val[f].slot));
}

void em_clobber_flags(struct em *x)
{
	if (x->fl && x->val[x->fl].last > x->v && !saved_at(x, x->fl))
		save(x, x->fl);
	x->fl = 0;
	x->done.op = 0;
}

static void load_flags(struct em *x, u16 f)
{
	u32 at = saved_at(x, f);

	if (x->fl == f)
		return;
	em_clobber_flags(x);
	load_ax(x, at);
	flags_from_ax(x);
	x->fl = f;
	x->fl_kind = FL_INVERTED;
}

u8 em_condition(struct em *x, u16 f, unsigned cc)
{
	load_flags(x, em_root(x, f));
	if (x->fl_kind == FL_DIRECT && (cc >> 1) == 4)
		cmc(x);
	if (x->fl_kind == FL_DIRECT && (cc >> 1) == 1)
		return cc & 1 ? CC_AE : CC_B;
	return host_cc[cc];
}

void em_carry(struct em *x, u16 f, bool inverted)
{
	load_flags(x, em_root(x, f));
	if ((x->fl_kind == FL_INVERTED) != inverted)
		cmc(x);
}

/* EFLAGS hold what flags operation `op` on these operands would define. */
void em_flags_done(struct em *x, u16 op, u16 a, u16 b)
{
	x->done.op = op;
	x->done.a = a;
	x->done.b = b;
}

static void now(struct em *x, u16 f, u8 kind)
{
	x->fl = f;
	x->fl_kind = kind;
}

/* Operands of a comparison or addition done for its flags alone. */
struct compared {
	int a;
	struct em_src b;
};

static struct compared operands(struct em *x, const struct ir_insn *i)
{
	struct compared c = { .b = { SRC_IMM, 0 } };

	if (i->op != IR_FAND)
		c.b = em_source(x, i->b);
	c.a = em_use(x, i->a);
	return c;
}

/* The kind of carry it leaves. Nothing but the comparison is emitted: it may stand behind a branch. */
static u8 compare(struct em *x, const struct ir_insn *i, struct compared c)
{
	bool w = i->cc == IR_I64;

	if (i->op == IR_FADD) {
		e_rr(&x->e, w, 0x8b, RAX, c.a);
		em_alu(x, w, ALU_ADD, RAX, c.b);
		return FL_DIRECT;
	}
	if (i->op == IR_FSUB && (c.b.kind != SRC_IMM || c.b.x))
		em_alu(x, w, ALU_CMP, c.a, c.b);
	else /* TEST clears CF: no borrow, as CMP with 0 does */
		e_rr(&x->e, w, 0x85, c.a, c.a);
	return i->op == IR_FSUB ? FL_INVERTED : FL_DIRECT;
}

static void with_carry(struct em *x, const struct ir_insn *i)
{
	bool w = i->cc == IR_I64, sub = i->op == IR_FSBC;
	struct em_src b = em_source(x, i->b);

	em_use(x, i->a);
	em_carry(x, i->c, sub);
	if (x->val[x->fl].last > x->v && !saved_at(x, x->fl)) {
		save(x, x->fl);
		em_carry(x, i->c, sub);
	}
	em_load(x, RAX, i->a);
	em_alu(x, w, sub ? ALU_SBB : ALU_ADC, RAX, b);
	x->done.op = 0;
	now(x, (u16)x->v, sub ? FL_INVERTED : FL_DIRECT);
}

/* a's condition holds: b, else imm. */
static void conditional_compare(struct em *x, const struct ir_insn *i)
{
	const struct ir_insn *cmp = em_insn(x, em_root(x, i->b));
	bool deferred = x->val[em_root(x, i->b)].deferred;
	u32 nzcv = (u32)i->imm & 15, ax = (nzcv & 8) << 12 | (nzcv & 4) << 12 | (~nzcv & 2) << 7 | (nzcv & 1);
	struct compared c = { .a = RAX };
	u8 *otherwise, *end, cc;

	if (!deferred && x->fl == em_root(x, i->b) && !saved_at(x, x->fl))
		save(x, x->fl);
	if (deferred)
		c = operands(x, cmp);
	if (i->cc >= IR_AL)
		load_flags(x, em_root(x, i->a));
	cc = em_condition(x, i->a, i->cc);
	if (x->val[x->fl].last > x->v && !saved_at(x, x->fl)) {
		save(x, x->fl);
		cc = em_condition(x, i->a, i->cc);
	}
	x->fl = 0;
	otherwise = i->cc >= IR_AL ? NULL : em_jcc8(x, cc ^ 1);
	if (deferred) {
		x->fl_kind = compare(x, cmp, c);
		if (x->fl_kind == FL_DIRECT)
			cmc(x);
	} else {
		load_ax(x, saved_at(x, em_root(x, i->b)));
		flags_from_ax(x);
	}
	if (otherwise) {
		end = em_jmp8(x);
		em_land(x, otherwise);
		e_mov_ri(&x->e, RAX, ax);
		flags_from_ax(x);
		em_land(x, end);
	}
	x->done.op = 0;
	now(x, (u16)x->v, FL_INVERTED);
}

/* bits 31:28 of a word */
static void from_word(struct em *x, const struct ir_insn *i)
{
	em_clobber_flags(x);
	em_load(x, RCX, i->a);
	em_shift(x, false, 5, RCX, 28);
	e_mov_ri(&x->e, RAX, NZCV_BITS);
	em_vex_rr(x, 2, 3, false, 0xf5, (s8[3]){ RAX, RCX, RAX }); /* pdep eax, ecx, eax */
	em_alu(x, false, ALU_XOR, RAX, em_imm(CARRY_BIT));
	flags_from_ax(x);
	now(x, (u16)x->v, FL_INVERTED);
}

static void to_word(struct em *x, const struct ir_insn *i)
{
	u16 f = em_root(x, i->a);

	if (x->fl == f && !saved_at(x, f))
		save(x, f);
	em_clobber_flags(x);
	load_ax(x, saved_at(x, f));
	em_alu(x, false, ALU_XOR, RAX, em_imm(CARRY_BIT));
	e_mov_ri(&x->e, RCX, NZCV_BITS);
	em_vex_rr(x, 2, 2, false, 0xf5, (s8[3]){ RAX, RAX, RCX }); /* pext eax, eax, ecx */
	em_shift(x, false, 4, RAX, 28);
	em_result(x, (u16)x->v, RAX, false);
}

static void immediate(struct em *x, const struct ir_insn *i)
{
	u32 nzcv = (u32)i->imm & 15;

	em_clobber_flags(x);
	e_mov_ri(&x->e, RAX, (nzcv & 8) << 12 | (nzcv & 4) << 12 | (~nzcv & 2) << 7 | (nzcv & 1));
	flags_from_ax(x);
	now(x, (u16)x->v, FL_INVERTED);
}

/* cpu->hflags is about to hold f: whose only place it is moves. */
static void leave_hflags(struct em *x, u16 f)
{
	u16 old = x->hfl;

	if (!old || old == f || x->val[old].last <= x->v || x->val[old].slot >= 0)
		return;
	if (x->fl == old) { /* saved when EFLAGS go */
		x->hfl = 0;
		return;
	}
	load_ax(x, OFF_HFLAGS);
	x->val[old].slot = (s8)em_slot(x);
	store_ax(x, OFF_SLOT(x->val[old].slot));
}

static void set_flags(struct em *x, const struct ir_insn *i)
{
	u16 f = em_root(x, i->a);

	if (x->hfl == f)
		return;
	leave_hflags(x, f);
	if (x->fl == f)
		flags_to_ax(x);
	else if (saved_at(x, f))
		load_ax(x, saved_at(x, f));
	else
		x->failed = true;
	store_ax(x, OFF_HFLAGS);
	x->hfl = f;
}

void em_flags_leave_memory(struct em *x)
{
	leave_hflags(x, 0);
	x->hfl = 0;
}

/* GETF: where they are. Two of them are two values in one place, of which x->hfl knows one. */
static void get_flags(struct em *x)
{
	u16 v = (u16)x->v;

	if (x->hfl && x->val[x->hfl].last > x->v && x->val[x->hfl].slot < 0) {
		load_ax(x, OFF_HFLAGS);
		x->val[v].slot = (s8)em_slot(x);
		store_ax(x, OFF_SLOT(x->val[v].slot));
	} else {
		x->hfl = v;
	}
}

void em_op_flags(struct em *x, const struct ir_insn *i)
{
	u16 f = (u16)x->v;
	struct compared c;
	bool done = x->done.op == i->op && em_same_value(x, i->a, x->done.a) &&
		    (i->op == IR_FAND || em_same_value(x, i->b, x->done.b));

	switch (i->op) {
	case IR_GETF: get_flags(x); break;
	case IR_SETF: set_flags(x, i); break;
	case IR_FADD:
	case IR_FSUB:
	case IR_FAND:
		if (done) {
			now(x, f, i->op == IR_FSUB ? FL_INVERTED : FL_DIRECT);
			break;
		}
		if (x->val[f].fused)
			x->failed = true; /* operands may be gone */
		c = operands(x, i);
		em_clobber_flags(x);
		now(x, f, compare(x, i, c));
		x->done.op = 0;
		break;
	case IR_FADC:
	case IR_FSBC: with_carry(x, i); break;
	case IR_FCCMP: conditional_compare(x, i); break;
	case IR_FIMM: immediate(x, i); break;
	case IR_FFROM: from_word(x, i); break;
	default: to_word(x, i); break;
	}
}
