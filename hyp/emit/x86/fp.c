/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floating point on the host's unit: MXCSR has the guest's rounding mode and collects its flags. Numbers
 * come out as Arm has them; NaNs do not (which operand's, the sign of the default one), so a result that is
 * a NaN is computed again by ir_fp(), out of line, from the operands. Flags the host raised in that case are
 * raised there too.
 *
 * One difference is left: the host finds tininess after rounding. A result that rounds up to the least
 * normal number raises UFC on Arm and not here.
 */
#include "hyp/emit/x86/em.h"
#include "hyp/ir/interp.h"

enum { PP_NONE, PP_66, PP_F3, PP_F2 };

/* How an operation is told to slow_fp(), in one argument. */
struct slow {
	u8 op, cc, mem, imm, wide, from_i32;
	u8 regs; /* xmm registers of a and b, 4 bits each */
	u8 more; /* of c and of the result */
};
_Static_assert(sizeof(struct slow) == 8, "an argument");
_Static_assert(IR_NR_OPS < 256, "struct slow");

static u64 slow_fp(struct hyp_cpu *cpu, u64 arg, u64 integer, u64 unused)
{
	union ir_val *spill = (union ir_val *)cpu->spill + EM_SLOTS, r, in = { .x = { integer, 0 } };
	struct slow s;

	memcpy(&s, &arg, sizeof(s));
	struct ir_insn i = { .op = s.op, .cc = s.cc, .mem = s.mem, .imm = s.imm, .type = s.wide ? IR_I64 : IR_I32 };
	struct ir_fp_args args = { s.op == IR_VFFROM ? &in : &spill[s.regs & 15], &spill[s.regs >> 4],
				   &spill[s.more & 15], s.from_i32 };
	ir_fp(cpu, &i, &args, &r);
	spill[s.more >> 4] = r;
	return r.x[0];
}

/* The operands; c and d -1: none. */
struct fp_regs {
	int a, b, c, d;
};

static void leave_line(struct em *x, const struct fp_regs *r, u8 cc)
{
	struct em_cold *c = em_cold(x, COLD_FP);

	c->from = em_jcc(x, cc);
	c->v = (u16)x->v;
	c->xmm = em_live_xmm(x);
	c->base = (s8)r->a;
	c->reg[0] = (s8)r->b;
	c->reg[1] = (s8)r->c;
	c->disp = r->d;
}

static void come_back(struct em *x)
{
	x->cold[x->n_cold - 1].back = em_here(x);
}

void em_cold_fp(struct em *x, const struct em_cold *c)
{
	const struct ir_insn *i = em_insn(x, c->v);
	bool to_int = i->op == IR_VFTO;
	struct slow s = { (u8)i->op, i->cc, (u8)i->mem, (u8)i->imm, i->type == IR_I64, false,
			  (u8)(c->base | MAX(c->reg[0], 0) << 4), (u8)(MAX(c->reg[1], 0) | (to_int ? 15 : c->disp) << 4) };
	u64 arg;

	em_patch(x, c->from, em_here(x));
	for (int r = 0; r < EM_NR_XMM; r++)
		if (c->xmm >> r & 1)
			em_xmove(x, true, r, OFF_SLOT(EM_SLOTS + r));
	memcpy(&arg, &s, sizeof(arg));
	e_mov_ri(&x->e, RAX, arg);
	e_store_gs(&x->e, OFF_SCRATCH(EM_ARG), RAX);
	em_call_stub(x, STUB_CALL, (struct em_site){ .kind = SITE_CALL, .target = (u64)slow_fp });
	for (int r = 0; r < EM_NR_XMM; r++)
		if (c->xmm >> r & 1)
			em_xmove(x, false, r, OFF_SLOT(EM_SLOTS + r));
	if (to_int)
		e_rr(&x->e, true, 0x8b, c->disp, RAX);
	else
		em_xmove(x, false, c->disp, OFF_SLOT(EM_SLOTS + c->disp));
	em_patch(x, em_jmp(x), c->back);
}

/* ---- arithmetic ---- */

static const u8 opcodes[IR_NR_OPS] = {
	[IR_VFADD] = 0x58, [IR_VFMUL] = 0x59, [IR_VFSUB] = 0x5c, [IR_VFDIV] = 0x5e, [IR_VFSQRT] = 0x51,
};

static unsigned prefix(unsigned size, bool scalar)
{
	return scalar ? (size == 3 ? PP_F2 : PP_F3) : size == 3 ? PP_66 : PP_NONE;
}

/* Leaves the line where d holds a NaN. */
static void check_nan(struct em *x, const struct fp_regs *r, unsigned size, bool scalar)
{
	s8 d = (s8)r->d;

	if (scalar) {
		em_vex_rr(x, 1, size == 3 ? PP_66 : PP_NONE, false, 0x2e, (s8[3]){ d, 0, d }); /* vucomis */
		leave_line(x, r, CC_P);
		return;
	}
	em_vex_rr(x, 1, prefix(size, false), false, 0xc2, (s8[3]){ XTMP, d, d }); /* vcmpunord */
	e_1(&x->e, 3);
	em_vex_rr(x, 2, PP_66, false, 0x17, (s8[3]){ XTMP, 0, XTMP }); /* vptest */
	leave_line(x, r, CC_NE);
}

static void finish(struct em *x, const struct ir_insn *i, const struct fp_regs *r, unsigned size)
{
	bool scalar = i->mem & 1;

	check_nan(x, r, size, scalar);
	if (scalar)
		em_vlow(x, size, r->d, r->d);
	come_back(x);
}

bool em_op_fp(struct em *x, const struct ir_insn *i)
{
	struct fp_regs r = { em_xuse(x, i->a), i->b ? em_xuse(x, i->b) : -1, -1, 0 };

	em_clobber_flags(x);
	r.d = em_xdest(x, (u16)x->v, 0);
	int first = i->op == IR_VFSQRT && !(i->mem & 1) ? 0 : r.a; /* packed VSQRT has no first operand */
	em_vex_rr(x, 1, prefix(i->cc, i->mem & 1), false, opcodes[i->op],
		  (s8[3]){ (s8)r.d, (s8)first, (s8)(r.b < 0 ? r.a : r.b) });
	finish(x, i, &r, i->cc);
	return true;
}

bool em_op_fmla(struct em *x, const struct ir_insn *i)
{
	struct fp_regs r = { em_xuse(x, i->a), em_xuse(x, i->b), em_xuse(x, i->c), 0 };

	em_clobber_flags(x);
	r.d = em_xdest(x, (u16)x->v, 0);
	em_vex_rr(x, 1, PP_NONE, false, 0x28, (s8[3]){ (s8)r.d, 0, (s8)r.a }); /* vmovaps */
	em_vex_rr(x, 2, PP_66, i->cc == 3, i->mem & 1 ? 0xb9 : 0xb8, (s8[3]){ (s8)r.d, (s8)r.b, (s8)r.c });
	finish(x, i, &r, i->cc);
	return true;
}

bool em_op_fcvt(struct em *x, const struct ir_insn *i)
{
	struct fp_regs r = { em_xuse(x, i->a), -1, -1, 0 };

	em_clobber_flags(x);
	r.d = em_xdest(x, (u16)x->v, 0);
	em_vex_rr(x, 1, prefix(i->cc, true), false, 0x5a, (s8[3]){ (s8)r.d, (s8)r.a, (s8)r.a });
	check_nan(x, &r, i->cc == 3 ? 2 : 3, true);
	em_vlow(x, i->cc == 3 ? 2 : 3, r.d, r.d);
	come_back(x);
	return true;
}

/* ---- comparison: unordered 3, less 8, equal 6, greater 2 ---- */

static void cmov(struct em *x, u8 cc, int d, int s)
{
	em_0f(x, false, (u8)(0x40 | cc), d, em_reg(s));
}

bool em_op_fcmp(struct em *x, const struct ir_insn *i)
{
	int a = em_xuse(x, i->a), b = em_xuse(x, i->b), d;

	em_clobber_flags(x);
	d = em_dest(x, (u16)x->v, 0);
	em_vex_rr(x, 1, i->cc == 3 ? PP_66 : PP_NONE, false, i->imm ? 0x2f : 0x2e, (s8[3]){ (s8)a, 0, (s8)b });
	e_mov_ri(&x->e, d, 0x20000000);
	e_mov_ri(&x->e, RAX, 0x80000000);
	cmov(x, CC_B, d, RAX);
	e_mov_ri(&x->e, RAX, 0x60000000);
	cmov(x, CC_E, d, RAX);
	e_mov_ri(&x->e, RAX, 0x30000000);
	cmov(x, CC_P, d, RAX);
	return true;
}

/* ---- integers ---- */

bool em_op_ffrom(struct em *x, const struct ir_insn *i)
{
	int a = em_use(x, i->a), d = em_xdest(x, (u16)x->v, 0);

	em_vex_rr(x, 1, PP_66, false, 0xef, (s8[3]){ (s8)d, (s8)d, (s8)d }); /* the rest is zero */
	em_vex_rr(x, 1, prefix(i->cc, true), em_wide(x, i->a), 0x2a, (s8[3]){ (s8)d, (s8)d, (s8)a });
	return true;
}

/* The host's answer to what it cannot represent is the least integer: asked again. */
bool em_op_fto(struct em *x, const struct ir_insn *i)
{
	struct fp_regs r = { em_xuse(x, i->a), -1, -1, 0 };
	bool wide = i->type == IR_I64;

	em_clobber_flags(x);
	r.d = em_dest(x, (u16)x->v, 0);
	em_vex_rr(x, 1, prefix(i->cc, true), wide, 0x2c, (s8[3]){ (s8)r.d, 0, (s8)r.a });
	em_alu(x, wide, ALU_CMP, r.d, em_imm(1)); /* overflows for that one alone */
	leave_line(x, &r, CC_O);
	come_back(x);
	return true;
}
