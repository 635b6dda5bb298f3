/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses to guest memory. In line:
 *
 *	lea  rcx, [base + disp]
 *	rorx rax, rcx, HYP_TLB_BITS
 *	xor  eax, ecx
 *	rorx eax, eax, 7
 *	and  eax, (HYP_TLB_SIZE - 1) * 32
 *	sub  rcx, gs:[rax + tlb + tag]	; offset in the page, if the tag is right
 *	cmp  rcx, 4096 - size		; page crossing misses too
 *	ja   slow
 *	mov  rax, gs:[rax + tlb + addend]
 *	mov  dst, [base + rax + disp]
 *
 * Out of line the operands go to cpu->scratch and STUB_MEM calls emit_slow_mem(), which comes back with the
 * result there, or not at all. A host fault of the last instruction is found by the block's map
 * (lift/signal.c).
 */
#include "hyp/emit/x86/em.h"

_Static_assert(sizeof(struct hyp_tlb_entry) == 1 << HYP_TLB_SLOT_SHIFT, "emitted index arithmetic");

static bool is_write(u16 op)
{
	return op != IR_LD && op != IR_LDV && op != IR_LDX && op != IR_LDXQ;
}

bool em_is_pair(const struct em *x, u32 v)
{
	const struct ir_insn *a = em_insn(x, v), *b = em_insn(x, v + 1);

	if (v + 1 >= x->b->n || a->op != b->op || !(a->mem & IR_MEM_PAIR) || a->mem != b->mem ||
	    a->type != b->type)
		return false;
	if (a->op != IR_LD && a->op != IR_ST)
		return false;
	return em_root(x, a->a) == em_root(x, b->a) && b->imm == a->imm + (s64)IR_MEM_SIZE(a->mem) &&
	       em_fits((u64)b->imm) && !em_is_const(x, a->a);
}

static unsigned partition(const struct em *x, u32 mem)
{
	u32 key = x->b->key;

	if (!(key & HYP_KEY_EL1) || (mem & IR_MEM_USER && !(key & HYP_KEY_UAO)))
		return HYP_TLB_EL0;
	return key & HYP_KEY_PAN ? HYP_TLB_EL1_PAN : HYP_TLB_EL1;
}

void em_address(struct em *x, const struct ir_insn *i, struct em_access *a)
{
	a->i = i;
	a->disp = (s32)i->imm;
	a->size = IR_MEM_SIZE(i->mem);
	a->write = is_write(i->op);
	if (!em_is_const(x, i->a) && em_fits((u64)i->imm)) {
		a->base = em_use(x, i->a);
		return;
	}
	em_clobber_flags(x);
	em_load(x, RCX, i->a);
	if (i->imm) {
		e_mov_ri(&x->e, RAX, (u64)i->imm);
		em_alu(x, true, ALU_ADD, RCX, em_reg(RAX));
	}
	a->disp = 0;
	a->base = em_temp(x);
	em_mov(x, true, a->base, em_reg(RCX));
}

struct em_cold *em_check(struct em *x, const struct em_access *a)
{
	struct em_cold *c = em_cold(x, COLD_MEM);
	u32 tlb = OFF(tlb) + partition(x, a->i->mem) * (u32)sizeof(((struct hyp_cpu *)0)->tlb[0]);
	u32 tag = tlb + (a->write ? (u32)offsetof(struct hyp_tlb_entry, write_tag)
				  : (u32)offsetof(struct hyp_tlb_entry, read_tag));
	unsigned each = IR_MEM_SIZE(a->i->mem);

	em_clobber_flags(x);
	if (a->disp)
		e_lea(&x->e, true, RCX, a->base, NO_REG, 1, a->disp);
	else
		em_mov(x, true, RCX, em_reg(a->base));
	em_rorx(x, true, RAX, RCX, HYP_TLB_BITS);
	em_alu(x, false, ALU_XOR, RAX, em_reg(RCX));
	em_rorx(x, false, RAX, RAX, PAGE_SHIFT - HYP_TLB_SLOT_SHIFT);
	em_alu(x, false, ALU_AND, RAX, em_imm((HYP_TLB_SIZE - 1) << HYP_TLB_SLOT_SHIFT));
	if (each > 1 && (a->i->mem & IR_MEM_ALIGN || x->b->key & HYP_KEY_ALIGN)) {
		e_bytes(&x->e, "\xf6\xc1", 2); /* test cl, n */
		e_1(&x->e, (u8)(each - 1));
		c->more[0] = em_jcc(x, CC_NE);
	}
	e_gs_base(&x->e, true, 0x2b, RCX, RAX, tag);
	em_alu(x, true, ALU_CMP, RCX, em_imm((s32)(PAGE_SIZE - a->size)));
	c->from = em_jcc(x, CC_A);
	e_gs_base(&x->e, true, 0x8b, RAX, RAX, tlb + (u32)offsetof(struct hyp_tlb_entry, addend));
	c->v = (u16)x->v;
	c->guest = x->guest;
	c->xmm = em_live_xmm(x);
	c->base = (s8)a->base;
	c->disp = a->disp;
	c->pair = a->pair;
	return c;
}

void em_note_access(struct em *x, bool x0_saved)
{
	struct lift_engine *eng = x->eng;

	if (eng->n_maps >= eng->max_maps) {
		x->full = true;
		return;
	}
	eng->maps[eng->n_maps++] = (struct lift_insn_map){ em_here(x), (u16)x->guest, x0_saved };
}

static struct memref place(const struct em_access *a, s32 more)
{
	return (struct memref){ a->base, RAX, a->disp + more };
}

/* 0F op reg, memory, behind an optional prefix */
static void mem_0f(struct em *x, u8 prefix, bool w, u8 op, int reg, const struct memref *m)
{
	struct memref t = *m;
	u8 mod = t.disp >= -128 && t.disp < 128 ? 1 : 2;

	if (prefix)
		e_1(&x->e, prefix);
	e_rex(&x->e, w, reg, t.index, t.base);
	e_1(&x->e, 0x0f);
	e_1(&x->e, op);
	e_1(&x->e, (u8)(mod << 6 | (reg & 7) << 3 | 4));
	e_1(&x->e, (u8)((t.index & 7) << 3 | (t.base & 7)));
	if (mod == 1)
		e_1(&x->e, (u8)t.disp);
	else
		e_4(&x->e, (u32)t.disp);
}

static void load_reg(struct em *x, const struct ir_insn *i, int d, struct memref m)
{
	bool sign = i->mem & IR_MEM_SIGN, w = sign && i->type == IR_I64;

	em_note_access(x, false);
	switch (IR_MEM_SIZE(i->mem)) {
	case 1: mem_0f(x, 0, w, sign ? 0xbe : 0xb6, d, &m); break;
	case 2: mem_0f(x, 0, w, sign ? 0xbf : 0xb7, d, &m); break;
	case 4: e_mem(&x->e, w, w ? 0x63 : 0x8b, d, &m); break;
	default: e_mem(&x->e, true, 0x8b, d, &m); break;
	}
}

static void store_imm(struct em *x, unsigned size, s32 imm, const struct memref *m)
{
	if (size == 2)
		e_1(&x->e, 0x66);
	e_mem(&x->e, size == 8, size == 1 ? 0xc6 : 0xc7, 0, m);
	if (size == 1)
		e_1(&x->e, (u8)imm);
	else if (size == 2)
		e_bytes(&x->e, &imm, 2);
	else
		e_4(&x->e, (u32)imm);
}

static void store_reg(struct em *x, unsigned size, struct em_src s, struct memref m)
{
	em_note_access(x, false);
	if (s.kind == SRC_IMM) {
		store_imm(x, size, s.x, &m);
		return;
	}
	if (size == 1) { /* any register's low byte */
		e_1(&x->e, (u8)(0x40 | (s.x >> 3 & 1) << 2 | (m.index >> 3 & 1) << 1 | (m.base >> 3 & 1)));
		e_1(&x->e, 0x88);
		e_1(&x->e, (u8)(0x80 | (s.x & 7) << 3 | 4));
		e_1(&x->e, (u8)((m.index & 7) << 3 | (m.base & 7)));
		e_4(&x->e, (u32)m.disp);
		return;
	}
	if (size == 2)
		e_1(&x->e, 0x66);
	e_mem(&x->e, size == 8, 0x89, s.x, &m);
}

/* Constants that fit stay constants; everything else in a register. */
static struct em_src stored(struct em *x, u16 v)
{
	if (em_is_const(x, v) && (!em_wide(x, v) || em_fits(em_const(x, v))))
		return em_imm((s32)em_const(x, v));
	return em_reg(em_use(x, v));
}

static void op_load(struct em *x, const struct ir_insn *i)
{
	struct em_access a = { .pair = false };
	struct em_cold *c;
	int d;

	em_address(x, i, &a);
	d = em_dest(x, (u16)x->v, i->a); /* before the check: the slow path comes back behind the load */
	c = em_check(x, &a);
	load_reg(x, i, d, place(&a, 0));
	c->dst[0] = (s8)d;
	c->back = em_here(x);
}

static void op_load_pair(struct em *x, const struct ir_insn *i)
{
	struct em_access a = { .pair = true };
	struct em_cold *c;
	int d[2];

	d[0] = em_dest(x, (u16)x->v, 0);
	em_address(x, i, &a); /* no longer in d[0], perhaps in d[1] */
	x->v++;
	d[1] = em_dest(x, (u16)x->v, 0);
	a.size *= 2;
	c = em_check(x, &a);
	load_reg(x, i, d[0], place(&a, 0));
	load_reg(x, i + 1, d[1], place(&a, (s32)IR_MEM_SIZE(i->mem)));
	c->v--;
	c->dst[0] = (s8)d[0];
	c->dst[1] = (s8)d[1];
	c->back = em_here(x);
}

static void note_stored(struct em_cold *c, struct em_src s)
{
	c->konst[c->n_reg] = (u64)(s64)s.x;
	c->reg[c->n_reg++] = s.kind == SRC_REG ? (s8)s.x : NO_REG;
}

static void fence(struct em *x)
{
	em_clobber_flags(x);
	e_bytes(&x->e, "\xf0\x83\x0c\x24\x00", 5); /* lock or dword [rsp], 0 */
}

static void op_store(struct em *x, const struct ir_insn *i)
{
	struct em_access a = { .pair = em_is_pair(x, x->v) };
	unsigned size = IR_MEM_SIZE(i->mem);
	struct em_src s[2];
	struct em_cold *c;

	if (a.pair)
		x->v++;
	s[0] = stored(x, i->b);
	if (a.pair)
		s[1] = stored(x, i[1].b);
	em_address(x, i, &a);
	a.size *= a.pair ? 2 : 1;
	c = em_check(x, &a);
	store_reg(x, size, s[0], place(&a, 0));
	note_stored(c, s[0]);
	if (a.pair) {
		c->v--;
		store_reg(x, size, s[1], place(&a, (s32)size));
		note_stored(c, s[1]);
	}
	c->back = em_here(x);
	if (i->mem & IR_MEM_REL)
		fence(x);
}

static void op_load_vec(struct em *x, const struct ir_insn *i)
{
	struct em_access a = { .pair = false };
	struct memref m;
	struct em_cold *c;
	int d;

	em_address(x, i, &a);
	d = em_xdest(x, (u16)x->v, 0);
	c = em_check(x, &a);
	c->xmm &= ~(1u << d);
	m = place(&a, 0);
	em_note_access(x, false);
	switch (a.size) {
	case 16: mem_0f(x, 0, false, 0x10, d, &m); break;
	case 8: mem_0f(x, 0xf3, false, 0x7e, d, &m); break;
	case 4: mem_0f(x, 0x66, false, 0x6e, d, &m); break;
	default:
		mem_0f(x, 0, false, a.size == 2 ? 0xb7 : 0xb6, RCX, &m);
		e_1(&x->e, 0x66);
		em_0f(x, false, 0x6e, d, em_reg(RCX));
	}
	c->dst[0] = (s8)d;
	c->back = em_here(x);
}

static void op_store_vec(struct em *x, const struct ir_insn *i)
{
	struct em_access a = { .pair = false };
	int s = em_xuse(x, i->b);
	struct memref m;
	struct em_cold *c;

	em_address(x, i, &a);
	c = em_check(x, &a);
	m = place(&a, 0);
	if (a.size < 4) {
		e_1(&x->e, 0x66);
		em_0f(x, false, 0x7e, s, em_reg(RCX)); /* movd ecx, xmm */
		store_reg(x, a.size, em_reg(RCX), m);
	} else {
		em_note_access(x, false);
		if (a.size == 16)
			mem_0f(x, 0, false, 0x11, s, &m);
		else
			mem_0f(x, 0x66, false, a.size == 8 ? 0xd6 : 0x7e, s, &m);
	}
	c->reg[c->n_reg++] = (s8)s;
	c->back = em_here(x);
}

/* ---- out of line ---- */

static void to_scratch(struct em *x, unsigned n, int r)
{
	e_store_gs(&x->e, OFF_SCRATCH(n), r);
}

static void call_slow(struct em *x, const struct ir_insn *i, bool pair, u32 guest)
{
	struct em_site site = { .kind = SITE_MEM, .patch = guest };

	site.target = i->mem | (u64)i->op << 16 | (u64)i->cc << 32 | (u64)pair << 40 |
		      (u64)(i->type == IR_I32) << 41;
	em_call_stub(x, STUB_MEM, site);
}

/* What an operation has in c->reg and c->dst: words, or vectors. */
static bool reads_vec(u16 op)
{
	return op == IR_STV || op == IR_STXQ || op == IR_CASQ;
}

static bool gives_vec(u16 op)
{
	return op == IR_LDV || op == IR_LDXQ || op == IR_CASQ;
}

/* The second of a compare-and-swap is behind a first of two words. */
static unsigned operand_slot(const struct ir_insn *i, unsigned k)
{
	return EM_ARG + k * (i->op == IR_CAS || i->op == IR_CASQ ? 2 : 1);
}

static void give_operands(struct em *x, const struct ir_insn *i, const struct em_cold *c)
{
	for (unsigned k = 0; k < c->n_reg; k++) {
		unsigned slot = operand_slot(i, k);
		int r = c->reg[k];

		if (reads_vec(i->op)) {
			em_xmove(x, true, r, OFF_SCRATCH(slot));
			continue;
		}
		if (r < 0)
			e_mov_ri(&x->e, r = RAX, c->konst[k]);
		to_scratch(x, slot, r);
	}
}

static void take_results(struct em *x, const struct ir_insn *i, const struct em_cold *c)
{
	for (unsigned k = 0; k < 2; k++) {
		if (c->dst[k] == NO_REG)
			continue;
		if (gives_vec(i->op))
			em_xmove(x, false, c->dst[k], OFF_SCRATCH(EM_RESULT));
		else
			e_load_gs(&x->e, c->dst[k], OFF_SCRATCH(EM_RESULT + k));
	}
}

void em_keep_xmm(struct em *x, bool store, u32 live)
{
	for (int r = 0; r < EM_NR_XMM; r++)
		if (live >> r & 1)
			em_xmove(x, store, r, OFF_SLOT(EM_SLOTS + r));
}

void em_cold_mem(struct em *x, const struct em_cold *c)
{
	const struct ir_insn *i = em_insn(x, c->v);

	em_patch(x, c->from, em_here(x));
	for (unsigned k = 0; k < ARRAY_SIZE(c->more); k++)
		if (c->more[k])
			em_patch(x, c->more[k], em_here(x));
	e_lea(&x->e, true, RCX, c->base, NO_REG, 1, c->disp);
	to_scratch(x, EM_GVA, RCX);
	give_operands(x, i, c);
	em_keep_xmm(x, true, c->xmm);
	call_slow(x, i, c->pair, c->guest);
	em_keep_xmm(x, false, c->xmm);
	take_results(x, i, c);
	em_patch(x, em_jmp(x), c->back);
}

void em_op_mem(struct em *x, const struct ir_insn *i)
{
	u32 v = x->v;

	switch (i->op) {
	case IR_LD:
		if (em_is_pair(x, v))
			op_load_pair(x, i);
		else
			op_load(x, i);
		break;
	case IR_ST: op_store(x, i); break;
	case IR_LDV: op_load_vec(x, i); break;
	case IR_STV: op_store_vec(x, i); break;
	case IR_FENCE:
		if (i->imm == 3)
			fence(x);
		break;
	default: em_op_atomic(x, i); break;
	}
	if (x->v != v) { /* a pair: the first half ends with the second */
		u32 second = x->v;

		x->v = v;
		em_end_op(x);
		x->v = second;
	}
}
