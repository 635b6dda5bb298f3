/* SPDX-License-Identifier: Apache-2.0 */
/* Where values are (em.h), and how an operation finds its operands and a place for its result. */
#include "hyp/emit/x86/em.h"

/*
 * x0-x5 are arguments, results and the compilers' first temporaries, x19 and x20 what lives across calls, SP
 * the base of most accesses. Callee-saved host registers first: calls into C leave those alone.
 */
const s8 em_pin[32] = {
	[0] = RBX, [1] = RBP, [2] = R12, [3] = R13, [4] = R9, [5] = R10,
	[6 ... 18] = NO_REG, [19] = R14, [20] = R15, [21 ... 30] = NO_REG, [31] = R11,
};
const s8 em_alloc_regs[EM_NR_ALLOC] = { RDX, RSI, RDI, R8 };

/* ---- places ---- */

int em_slot(struct em *x)
{
	for (int n = 0; n < EM_SLOTS; n++)
		if (!(x->slots >> n & 1)) {
			x->slots |= 1ull << n;
			return n;
		}
	x->failed = true;
	return 0;
}

static void forget_reg(struct em *x, int r)
{
	if (x->in_reg[r])
		x->val[x->in_reg[r]].hreg = -1;
	x->in_reg[r] = 0;
}

static void put_in_reg(struct em *x, u16 root, int r)
{
	x->in_reg[r] = root;
	x->val[root].hreg = (s8)r;
	x->locked |= 1u << r;
}

static void unlink_greg(struct em *x, u16 root)
{
	struct em_val *val = &x->val[root];

	if (val->greg < 0)
		return;
	for (u16 *p = &x->ghead[val->greg]; *p; p = &x->val[*p].gnext)
		if (*p == root) {
			*p = val->gnext;
			break;
		}
	val->greg = -1;
}

static void link_greg(struct em *x, u16 root, unsigned g)
{
	unlink_greg(x, root);
	x->val[root].greg = (s8)g;
	x->val[root].gnext = x->ghead[g];
	x->ghead[g] = root;
}

static void spill(struct em *x, int r)
{
	struct em_val *val = &x->val[x->in_reg[r]];

	if (val->greg < 0 && val->slot < 0 && val->last >= x->v) {
		val->slot = (s8)em_slot(x);
		e_store_gs(&x->e, OFF_SLOT(val->slot), r);
	}
	forget_reg(x, r);
}

/* A free allocatable register, locked. */
int em_temp(struct em *x)
{
	int best = -1;

	for (unsigned k = 0; k < EM_NR_ALLOC; k++) {
		int r = em_alloc_regs[k];

		if (x->locked >> r & 1)
			continue;
		if (!x->in_reg[r]) {
			x->locked |= 1u << r;
			return r;
		}
		if (best < 0 || x->val[x->in_reg[r]].last > x->val[x->in_reg[best]].last)
			best = r;
	}
	if (best < 0) {
		x->failed = true;
		return RDX;
	}
	spill(x, best);
	x->locked |= 1u << best;
	return best;
}

void em_claim(struct em *x, int r)
{
	u16 root = x->in_reg[r];

	if (root && x->val[root].last >= x->v) {
		int to;

		x->locked |= 1u << r;
		to = em_temp(x);
		e_mov_rr(&x->e, to, r);
		forget_reg(x, r);
		put_in_reg(x, root, to);
		x->locked &= ~(1u << to);
	}
	forget_reg(x, r);
	x->locked |= 1u << r;
}

/* Memory that holds the value, or false. */
static bool in_memory(const struct em *x, u16 root, u32 *off)
{
	const struct em_val *val = &x->val[root];

	if (val->greg >= 0 && em_pin[val->greg] < 0)
		*off = OFF_X(val->greg);
	else if (val->slot >= 0)
		*off = OFF_SLOT(val->slot);
	else
		return false;
	return true;
}

/* Register that holds it already, or NO_REG. */
static int in_register(const struct em *x, u16 root)
{
	const struct em_val *val = &x->val[root];

	if (val->hreg >= 0)
		return val->hreg;
	return val->greg >= 0 ? em_pin[val->greg] : NO_REG;
}

void em_load(struct em *x, int r, u16 v)
{
	u16 root = em_root(x, v);
	int have = in_register(x, root);
	u32 off;

	if (em_is_const(x, v))
		e_mov_ri(&x->e, r, em_const(x, v));
	else if (have >= 0)
		e_rr(&x->e, em_wide(x, v), 0x8b, r, have);
	else if (in_memory(x, root, &off))
		e_gs(&x->e, em_wide(x, v), 0x8b, r, off);
	else
		x->failed = true;
}

int em_use(struct em *x, u16 v)
{
	u16 root = em_root(x, v);
	int r = em_is_const(x, v) ? NO_REG : in_register(x, root);
	u32 off;

	if (r >= 0) {
		x->locked |= 1u << r;
		return r;
	}
	r = em_temp(x);
	if (em_is_const(x, v)) {
		e_mov_ri(&x->e, r, em_const(x, v));
		return r;
	}
	if (in_memory(x, root, &off))
		e_load_gs(&x->e, r, off);
	else
		x->failed = true;
	put_in_reg(x, root, r);
	return r;
}

struct em_src em_source(struct em *x, u16 v)
{
	u16 root = em_root(x, v);
	u32 off;

	if (em_is_const(x, v)) {
		u64 c = em_const(x, v);

		if (!em_wide(x, v))
			return em_imm((s32)c);
		if (em_fits(c))
			return em_imm((s32)c);
	} else if (in_register(x, root) < 0 && x->val[root].last == x->v && in_memory(x, root, &off)) {
		return em_mem(off);
	}
	return em_reg(em_use(x, v));
}

int em_dest(struct em *x, u16 v, u16 a)
{
	struct em_val *val = &x->val[v];
	u16 root = a ? em_root(x, a) : 0;
	int r;

	if (val->hint >= 0) {
		em_clobber_greg(x, (unsigned)val->hint);
		link_greg(x, v, (unsigned)val->hint);
		return em_pin[val->hint];
	}
	if (root && x->val[root].hreg >= 0 && x->val[root].last == x->v) {
		r = x->val[root].hreg;
		forget_reg(x, r);
	} else {
		r = em_temp(x);
	}
	put_in_reg(x, v, r);
	return r;
}

void em_result(struct em *x, u16 v, int r, bool wide)
{
	int d;

	if (x->val[v].last <= x->v)
		return;
	d = em_dest(x, v, 0);
	e_rr(&x->e, wide, 0x8b, d, r);
}

/* ---- guest registers ---- */

void em_clobber_greg(struct em *x, unsigned g)
{
	while (x->ghead[g]) {
		u16 root = x->ghead[g];
		struct em_val *val = &x->val[root];

		if (val->last > x->v && val->hreg < 0 && val->slot < 0) {
			int r = em_temp(x);

			if (em_pin[g] >= 0)
				e_mov_rr(&x->e, r, em_pin[g]);
			else
				e_load_gs(&x->e, r, OFF_X(g));
			unlink_greg(x, root);
			put_in_reg(x, root, r);
			x->locked &= ~(1u << r);
		} else {
			unlink_greg(x, root);
		}
	}
}

/* SET */
void em_set_greg(struct em *x, u16 v, unsigned g)
{
	u16 root = em_root(x, v);
	int r;

	if (!em_is_const(x, v) && x->val[root].greg == (s8)g)
		return;
	r = em_is_const(x, v) ? NO_REG : em_use(x, v);
	em_clobber_greg(x, g);
	if (em_pin[g] >= 0) {
		if (r >= 0)
			e_mov_rr(&x->e, em_pin[g], r);
		else
			e_mov_ri(&x->e, em_pin[g], em_const(x, v));
	} else if (r < 0 && em_fits(em_const(x, v))) {
		e_gs(&x->e, true, 0xc7, 0, OFF_X(g));
		e_4(&x->e, (u32)em_const(x, v));
	} else {
		if (r < 0)
			e_mov_ri(&x->e, r = RAX, em_const(x, v));
		e_store_gs(&x->e, OFF_X(g), r);
	}
	if (!em_is_const(x, v) && x->val[root].greg < 0)
		link_greg(x, root, g);
}

/* ---- vectors ---- */

void em_xmove(struct em *x, bool store, int xmm, u32 off)
{
	e_1(&x->e, 0x65);
	e_rex(&x->e, false, xmm, 0, 0);
	e_1(&x->e, 0x0f);
	e_1(&x->e, store ? 0x11 : 0x10); /* movups */
	e_1(&x->e, (u8)((xmm & 7) << 3 | 4));
	e_1(&x->e, 0x25);
	e_4(&x->e, off);
}

static void forget_xmm(struct em *x, int r)
{
	if (x->in_xmm[r])
		x->val[x->in_xmm[r]].xreg = -1;
	x->in_xmm[r] = 0;
}

static void put_in_xmm(struct em *x, u16 v, int r)
{
	x->in_xmm[r] = v;
	x->val[v].xreg = (s8)r;
	x->xlocked |= 1u << r;
}

static void spill_one_xmm(struct em *x, int r)
{
	struct em_val *val = &x->val[x->in_xmm[r]];

	if (val->vreg < 0 && val->slot < 0 && val->last >= x->v) {
		val->slot = (s8)em_slot(x);
		em_xmove(x, true, r, OFF_SLOT(val->slot));
	}
	forget_xmm(x, r);
}

void em_spill_xmm(struct em *x)
{
	for (int r = 0; r < EM_NR_XMM; r++)
		if (x->in_xmm[r])
			spill_one_xmm(x, r);
}

u32 em_live_xmm(struct em *x)
{
	u32 live = 0;

	for (int r = 0; r < EM_NR_XMM; r++)
		if (x->in_xmm[r] && x->val[x->in_xmm[r]].last >= x->v)
			live |= 1u << r;
	return live;
}

static int find_xmm(struct em *x)
{
	int best = -1;

	for (int r = 0; r < EM_NR_XMM; r++) {
		if (x->xlocked >> r & 1)
			continue;
		if (!x->in_xmm[r]) {
			x->xlocked |= 1u << r;
			return r;
		}
		if (best < 0 || x->val[x->in_xmm[r]].last > x->val[x->in_xmm[best]].last)
			best = r;
	}
	if (best < 0) {
		x->failed = true;
		return 0;
	}
	spill_one_xmm(x, best);
	x->xlocked |= 1u << best;
	return best;
}

int em_xuse(struct em *x, u16 v)
{
	struct em_val *val = &x->val[v];
	int r;

	if (val->xreg >= 0) {
		x->xlocked |= 1u << val->xreg;
		return val->xreg;
	}
	r = find_xmm(x);
	if (val->vreg >= 0)
		em_xmove(x, false, r, OFF_V(val->vreg));
	else if (val->slot >= 0)
		em_xmove(x, false, r, OFF_SLOT(val->slot));
	else
		x->failed = true;
	put_in_xmm(x, v, r);
	return r;
}

int em_xdest(struct em *x, u16 v, u16 a)
{
	int r;

	if (a && x->val[a].xreg >= 0 && x->val[a].last == x->v) {
		r = x->val[a].xreg;
		forget_xmm(x, r);
	} else {
		r = find_xmm(x);
	}
	put_in_xmm(x, v, r);
	return r;
}

/* v[g] is about to change. */
void em_clobber_vreg(struct em *x, unsigned g)
{
	for (u32 v = 1; v < x->v; v++) {
		struct em_val *val = &x->val[v];

		if (val->vreg != (s8)g)
			continue;
		if (val->last > x->v && val->xreg < 0 && val->slot < 0)
			em_xuse(x, (u16)v);
		val->vreg = -1;
	}
}

/* ---- the end of an operation ---- */

static void release(struct em *x, u16 root)
{
	struct em_val *val = &x->val[root];

	if (!root || val->last > x->v)
		return;
	if (val->hreg >= 0)
		forget_reg(x, val->hreg);
	if (val->xreg >= 0)
		forget_xmm(x, val->xreg);
	if (val->slot >= 0)
		x->slots &= ~(1ull << val->slot);
	val->slot = -1;
	unlink_greg(x, root);
	val->vreg = -1;
}

static void release_operand(struct em *x, u16 v)
{
	u16 root = em_root(x, v);

	if (x->val[root].deferred) { /* it has been emitted now */
		release(x, em_root(x, em_insn(x, root)->a));
		release(x, em_root(x, em_insn(x, root)->b));
	}
	release(x, root);
}

void em_end_op(struct em *x)
{
	const struct ir_insn *i = em_insn(x, x->v);

	x->locked = x->xlocked = 0;
	if (x->val[x->v].root != x->v || x->val[x->v].deferred)
		return;
	release(x, (u16)x->v);
	release_operand(x, i->a);
	release_operand(x, i->b);
	release_operand(x, i->c);
}
