/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One check for several accesses. Accesses of a block through the same registers, near each other, get one
 * check of the whole range they touch: what it leaves in the cell serves all of them. Registers may move by
 * constants in between (PUSH, POP, ADD rsp). The check stands before the first of them, or earlier, where no
 * flags need saving.
 *
 * A range that cannot be had (it crosses a page, has no RAM, must be seen on write) says nothing about the
 * single accesses. Then the instruction the check stands before is interpreted, and the block is left; where
 * that happens again and again, the block is made anew without plans (hyp_cell_failed).
 *
 * What holds between a check and its accesses: no poll, no helper, no interpreted instruction, nothing that
 * flushes; a branch on the way leads out. An emptied cell would make the access fault.
 */
#include "hyp/rewrite/x86/cell.h"
#include "hyp/rewrite/x86/xlate.h"

#define CHECK_SPAN 256 /* bytes; what is longer crosses pages too often */
#define HOIST_MAX 10   /* instructions */

/* Does the instruction leave cells and S2's meaning to us? */
static bool is_passable(const struct insn *in)
{
	switch (in->cls) {
	case INSN_COPY:
	case INSN_VERBATIM:
	case INSN_LEA:
	case INSN_NOP:
	case INSN_PUSH:
	case INSN_POP:
		return true;
	default:
		return false;
	}
}

static bool writes(const struct insn *in, u8 g)
{
	return g != GPR_NONE && in->gpr_written >> g & 1;
}

/* The instruction adds a constant to 64-bit register g. */
static bool adds_constant(const struct insn *in, u8 g, s64 *n)
{
	const ZydisDecodedOperand *o = in->op;

	if (in->z.operand_width != 64 || o[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    insn_gpr(o[0].reg.value, NULL) != g)
		return false;
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
		*n = in->z.mnemonic == ZYDIS_MNEMONIC_ADD ? o[1].imm.value.s : -o[1].imm.value.s;
		return o[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
		*n = in->z.mnemonic == ZYDIS_MNEMONIC_INC ? 1 : -1;
		return true;
	case ZYDIS_MNEMONIC_LEA:
		*n = o[1].mem.disp.has_displacement ? o[1].mem.disp.value : 0;
		return in->z.address_width == 64 && insn_gpr(o[1].mem.base, NULL) == g &&
		       o[1].mem.index == ZYDIS_REGISTER_NONE;
	default:
		return false;
	}
}

/* By how much the instruction moves g; false: unknown. */
static bool moves_by(const struct insn *in, u8 g, s64 *n)
{
	*n = 0;
	if (!writes(in, g) && !(g == X86_RSP && (in->cls == INSN_PUSH || in->cls == INSN_POP)))
		return true;
	if (g == X86_RSP && in->cls == INSN_PUSH) {
		*n = -8;
		return true;
	}
	if (g == X86_RSP && in->cls == INSN_POP) {
		*n = 8;
		return insn_gpr(in->op[0].reg.value, NULL) != X86_RSP;
	}
	return (in->cls == INSN_COPY || in->cls == INSN_LEA) && adds_constant(in, g, n);
}

/* ---- which accesses there are ---------------------------------------------------------------- */

/* The place an access goes to: registers and a displacement. */
struct place {
	ZydisRegister seg, base_reg, index_reg;
	u8 base, index, scale;
	s64 lo, hi;
	bool write;
};

static bool operand_place(const struct insn *in, struct place *p)
{
	const ZydisDecodedOperandMem *m = &in->op[in->mem_idx].mem;
	s64 disp = m->disp.has_displacement ? m->disp.value : 0;
	unsigned size = in->cls == INSN_COPY ? in->mem_size : 8;

	if (!in->has_mem || in->z.address_width != 64 || size > 64)
		return false;
	*p = (struct place){ .base_reg = m->base, .index_reg = m->index, .scale = m->scale, .lo = disp,
			     .hi = disp + size, .write = in->cls == INSN_COPY && in->mem_write };
	p->base = insn_gpr(m->base, NULL);
	p->index = insn_gpr(m->index, NULL);
	if (x_has_segment_base(m->segment))
		p->seg = m->segment;
	if (m->base == ZYDIS_REGISTER_RIP) {
		p->base_reg = ZYDIS_REGISTER_NONE;
		p->lo += (s64)(in->pc + in->len);
		p->hi += (s64)(in->pc + in->len);
	}
	return true;
}

static bool stack_place(const struct insn *in, struct place *p)
{
	bool push = in->cls == INSN_PUSH || in->cls == INSN_CALL || in->cls == INSN_CALL_IND;

	if (!push && in->cls != INSN_POP && in->cls != INSN_RET)
		return false;
	*p = (struct place){ .base_reg = ZYDIS_REGISTER_RSP, .base = X86_RSP, .index = GPR_NONE,
			     .lo = push ? -8 : 0, .hi = push ? 0 : 8, .write = push };
	return true;
}

static bool uses_stack(const struct insn *in)
{
	struct place p;

	return stack_place(in, &p) || (operand_place(in, &p) && p.base == X86_RSP);
}

static bool has_operand_access(const struct insn *in)
{
	return in->cls == INSN_COPY || in->cls == INSN_PUSH || in->cls == INSN_JMP_IND ||
	       in->cls == INSN_CALL_IND;
}

/* ---- planning --------------------------------------------------------------------------------- */

static bool same_registers(const struct check *c, const struct place *p)
{
	return c->seg == p->seg && c->base == p->base && c->index == p->index &&
	       (c->index == GPR_NONE || c->scale == p->scale);
}

/* A displacement has 32 bits, a constant address 64. */
static bool encodable(const struct check *c, s64 disp)
{
	return disp == (s32)disp || (c->base == GPR_NONE && c->index == GPR_NONE);
}

/* The open check that `p` can join, widened to hold it. */
static int join(struct xlate *x, const struct place *p)
{
	for (unsigned i = 0; i < x->n_checks; i++) {
		struct check *c = &x->check[i];
		s64 lo = MIN(c->lo, p->lo + c->moved), hi = MAX(c->hi, p->hi + c->moved);

		if (!c->open || !same_registers(c, p))
			continue;
		if (hi - lo > CHECK_SPAN || !encodable(c, lo) || (p->write && !c->write && c->conditional)) {
			c->open = false;
			continue;
		}
		c->lo = lo;
		c->hi = hi;
		c->write |= p->write;
		c->n++;
		return (int)i;
	}
	return -1;
}

/* Moves a new check up from instruction i to where flags are dead, if there is such a place near. */
static void hoist(struct xlate *x, struct check *c, unsigned i)
{
	s64 total = 0, n;

	if (!x->insn[i].live_in)
		return;
	for (unsigned q = i; q-- > 0 && i - q <= HOIST_MAX;) {
		const struct insn *in = &x->insn[q];

		if (!is_passable(in) || (c->base == X86_RSP && uses_stack(in)) || writes(in, c->index) ||
		    (c->base != GPR_NONE && !moves_by(in, c->base, &n)))
			return;
		total += c->base == GPR_NONE ? 0 : n;
		if (!in->live_in && encodable(c, c->lo + total)) {
			c->at = (u8)q;
			c->moved = total;
			c->lo += total;
			c->hi += total;
			return;
		}
	}
}

static int open_check(struct xlate *x, const struct place *p, unsigned i)
{
	struct check *c = &x->check[x->n_checks];

	if (x->n_checks == XLATE_MAX_CHECKS) {
		for (unsigned k = 0; k < x->n_checks; k++)
			x->check[k].open = false; /* an access without a plan may use the stack's cell */
		return -1;
	}
	*c = (struct check){ .at = (u8)i, .first = (u8)i, .open = true, .write = p->write, .n = 1, .seg = p->seg,
			     .base_reg = p->base_reg, .index_reg = p->index_reg, .base = p->base,
			     .index = p->index, .scale = p->scale, .lo = p->lo, .hi = p->hi };
	hoist(x, c, i);
	return (int)x->n_checks++;
}

static s8 plan_access(struct xlate *x, const struct place *p, unsigned i)
{
	int id = join(x, p);

	return (s8)(id >= 0 ? id : open_check(x, p, i));
}

static void pass(struct xlate *x, const struct insn *in)
{
	bool closes = !is_passable(in) && in->cls != INSN_JCC;
	s64 n;

	for (unsigned i = 0; i < x->n_checks; i++) {
		struct check *c = &x->check[i];

		c->conditional |= in->cls == INSN_JCC;
		if (closes || writes(in, c->index) || (c->base != GPR_NONE && !moves_by(in, c->base, &n)))
			c->open = false;
		else if (c->base != GPR_NONE)
			c->moved += n;
	}
}

bool x_check_is_stack(const struct check *p)
{
	return p->base == X86_RSP && p->index == GPR_NONE && p->seg == ZYDIS_REGISTER_NONE;
}

/* A check for one access, in its place: the access makes it itself, as it would without a plan. (Without a
 * cell, keeping the addend costs what saving flags does.) */
static bool is_single(const struct xlate *x, const struct check *c)
{
	return c->n == 1 && (c->at == c->first || !(x_has_cells(x) || x_check_is_stack(c)));
}

static void drop_singles(struct xlate *x)
{
	for (unsigned i = 0; i < x->n; i++)
		for (unsigned k = 0; k < 2; k++) {
			s8 *id = &x->insn[i].check[k];

			if (*id >= 0 && is_single(x, &x->check[*id]))
				*id = -1;
		}
	for (unsigned i = 0; i < x->n_checks; i++)
		if (is_single(x, &x->check[i]))
			x->check[i].at = PLAN_NOWHERE;
}

/*
 * Accesses through RSP without a plan use the stack's cell. So may a planned check, if it is the only one
 * of the block: else two of them may stand before one instruction (PUSH [rsp + 0x140], its operand and its
 * slot far apart), or one moves up across it, and the later turns the page that the earlier's accesses need.
 */
static void choose_stack_cells(struct xlate *x)
{
	unsigned n = 0;

	for (unsigned i = 0; i < x->n_checks; i++)
		n += x_check_is_stack(&x->check[i]);
	for (unsigned i = 0; i < x->n_checks; i++)
		x->check[i].stack_cell = n == 1 && x_check_is_stack(&x->check[i]);
}

void x_plan(struct xlate *x)
{
	bool planned = x_is64(x) && !x->self && !hyp_cell_unplanned(x->eng, x->b->pc);
	struct place p;

	x->n_checks = 0;
	for (unsigned i = 0; i < x->n; i++) {
		struct insn *in = &x->insn[i];

		in->check[0] = in->check[1] = -1;
		if (!planned)
			continue;
		if (has_operand_access(in) && operand_place(in, &p))
			in->check[0] = plan_access(x, &p, i);
		if (stack_place(in, &p))
			in->check[1] = plan_access(x, &p, i);
		pass(x, in);
	}
	choose_stack_cells(x);
	drop_singles(x);
}
