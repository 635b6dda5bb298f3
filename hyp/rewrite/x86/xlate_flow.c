/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control flow and the stack.
 *
 * A block has two entries. The direct one is jumped to by linked edges from blocks in the same page.
 * The checked one is reached through the jump cache, by indirect branches and by direct branches to
 * other pages, with the target address in S1: it compares S1 with its own pc, so whoever jumps needs no
 * comparison. The guest's flags survive: the block knows whether it reads them itself, but not whether the
 * block does that was meant.
 *
 * Where loops are interrupted: the checked entry and every backward edge poll the attention word.
 */
#include "hyp/rewrite/x86/xlate.h"

static u32 rel32(struct xlate *x)
{
	e_4(&x->e, 0);
	return x_here(x) - 4;
}

static void patch_here(struct xlate *x, u32 at)
{
	u32 rel = x_here(x) - (at + 4);

	memcpy(x->eng->rw + at, &rel, 4);
}

static u32 jcc(struct xlate *x, u8 cc)
{
	e_1(&x->e, 0x0f);
	e_1(&x->e, (u8)(0x80 | cc));
	return rel32(x);
}

static u32 jmp(struct xlate *x)
{
	e_1(&x->e, 0xe9);
	return rel32(x);
}

/* rcx is 0: skip the `n` bytes that follow */
static void jrcxz(struct xlate *x, u8 n)
{
	e_1(&x->e, 0xe3);
	e_1(&x->e, n);
}

#define ENTRY_MISS_LEN 8 /* mov rcx, s2; jmp rel32 */

static struct cold *poll_cold(struct xlate *x, u32 from, u64 target, bool restore_flags)
{
	struct cold *c = x_cold(x, SITE_POLL, from);

	c->site = x_site(x, SITE_POLL, x->cur);
	c->target = target;
	c->restore_flags = restore_flags;
	return c;
}

/* User code without cells counts its turns: it may have to get some. */
static bool counts_turns(const struct xlate *x)
{
	return x->part == HYP_TLB_USER && !x->hot;
}

/* cmp dword gs:[attention], 0; jne cold(POLL target); sub dword gs:[turns], 1; js cold(POLL target) */
static void poll(struct xlate *x, u64 target, bool live)
{
	struct cold *c;

	e_bytes(&x->e, "\x65\x83\x3c\x25", 4);
	e_4(&x->e, OFF(attention));
	e_1(&x->e, 0);
	c = poll_cold(x, jcc(x, 5), target, live);
	if (!counts_turns(x))
		return;
	e_bytes(&x->e, "\x65\x83\x2c\x25", 4);
	e_4(&x->e, OFF(turns));
	e_1(&x->e, 1);
	c->from2 = jcc(x, 8);
}

/* mov s2, rcx; mov ecx, gs:[attention]; jrcxz on; mov rcx, s2; jmp cold(POLL target); on: mov rcx, s2 */
static void poll_beside_flags(struct xlate *x, u64 target)
{
	e_mov_rr(&x->e, S2, X86_RCX);
	e_gs(&x->e, false, 0x8b, X86_RCX, OFF(attention));
	jrcxz(x, ENTRY_MISS_LEN);
	e_mov_rr(&x->e, X86_RCX, S2);
	poll_cold(x, jmp(x), target, false);
	e_mov_rr(&x->e, X86_RCX, S2);
}

/* mov rcx, s2; jmp cold: the way out of x_entry */
static void entry_miss(struct xlate *x)
{
	e_mov_rr(&x->e, X86_RCX, S2);
	x_cold(x, SITE_JC_MISS, jmp(x));
}

static void jmp_back(struct xlate *x, u32 to)
{
	e_1(&x->e, 0xeb);
	e_1(&x->e, (u8)(to - (x_here(x) + 1)));
}

/*
 * The checked entry, flags untouched: s2 = rcx; rcx = (s1 - pc) + attention, 0 where the address is ours and
 * nobody wants us. Where pc is no 32-bit constant, one after the other. Both ways out are the same: what
 * looks the address up answers attention first.
 */
void x_entry(struct xlate *x)
{
	struct hyp_block *b = x->b;
	u32 miss = 0;

	b->ind = x_here(x);
	e_mov_rr(&x->e, S2, X86_RCX);
	if ((u64)(s64)(s32)-b->pc == -b->pc) {
		e_gs(&x->e, false, 0x8b, X86_RCX, OFF(attention));
		e_lea(&x->e, true, X86_RCX, X86_RCX, S1, 1, (s32)-b->pc);
	} else {
		e_mov_ri(&x->e, X86_RCX, -b->pc);
		e_lea(&x->e, true, X86_RCX, X86_RCX, S1, 1, 0);
		jrcxz(x, ENTRY_MISS_LEN);
		miss = x_here(x);
		entry_miss(x);
		e_gs(&x->e, false, 0x8b, X86_RCX, OFF(attention));
	}
	jrcxz(x, miss ? 2 : ENTRY_MISS_LEN);
	if (miss)
		jmp_back(x, miss);
	else
		entry_miss(x);
	e_mov_rr(&x->e, X86_RCX, S2);
	b->direct = x_here(x);
	if (x->self)
		x_check_self(x);
}

/* ---- which flags a target needs --------------------------------------------------------------- */

static bool in_page(struct xlate *x, u64 pc)
{
	return (pc & PAGE_MASK) == x->page;
}

u8 x_live_at(struct xlate *x, u64 target)
{
	u8 live = FLAGS_ALL, need = 0;

	for (unsigned i = 0; i < 6 && live && !x->self; i++) {
		struct insn *l = &x->look;
		unsigned off = (unsigned)(target & ~PAGE_MASK);

		if (!in_page(x, target) ||
		    !insn_decode(l, x->page_host + off, (unsigned)PAGE_SIZE - off, target, x->code_size))
			break;
		insn_classify(l, x->key);
		tcache_note_look(x->b, off, l->len);
		need |= l->fl_read & live;
		live &= (u8)~l->fl_write;
		if (l->cls == INSN_JMP)
			target = x_target(x, l);
		else if (l->cls >= INSN_JMP)
			break;
		else
			target = x_next(x, l);
	}
	return need | live;
}

/* ---- edges ----------------------------------------------------------------------------------- */

static void edge_cold(struct xlate *x, u32 at, u64 target)
{
	struct cold *c = x_cold(x, SITE_EDGE, at);

	c->site = x_site(x, SITE_EDGE, x->cur);
	c->target = target;
	c->patch = at;
}

/* Can the branch instruction itself be the patched jump? */
static bool edge_is_plain(struct xlate *x, u64 target)
{
	return in_page(x, target) && x->b->gpa2 == TCACHE_NO_GPA && target > x->cur->pc;
}

void x_edge(struct xlate *x, u64 target)
{
	x_release_flags(x);
	if (!in_page(x, target) || x->b->gpa2 != TCACHE_NO_GPA) {
		e_mov_ri(&x->e, S1, target);
		e_jmp_gs(&x->e, jc_offset(key_class(x->key), target));
		return;
	}
	if (target <= x->cur->pc) {
		bool live = x_live_at(x, target), save = live && counts_turns(x);

		if (save)
			x_save_flags(x);
		if (live && !save)
			poll_beside_flags(x, target);
		else
			poll(x, target, save);
		if (save)
			x_restore_flags(x);
	}
	edge_cold(x, jmp(x), target);
}

/* S1 = target: s2 = jc_index(s1) without touching flags; jmp gs:[jc + s2*8] */
static void indirect(struct xlate *x)
{
	x_release_flags(x);
	e_bytes(&x->e, "\xc4\x43\xfb\xf0\xee", 5); /* rorx s2, s1, imm8 */
	e_1(&x->e, JC_HASH_SHIFT);
	e_lea(&x->e, true, S2, S2, S1, 1, 0);
	e_bytes(&x->e, "\x65\xc4\x62\x92\xf5\x2c\x25", 7); /* pext s2, s2, gs:[...] */
	e_4(&x->e, OFF(jc_mask));
	e_bytes(&x->e, "\x65\x42\xff\x24\xed", 5);
	e_4(&x->e, OFF(jc) + key_class(x->key) * (u32)sizeof(x->cpu->jc[0]));
}

/* ---- stack ------------------------------------------------------------------------------------- */

void x_push_done(struct xlate *x)
{
	e_lea(&x->e, x_is64(x), HRSP, HRSP, NO_REG, 1, -(s32)x_word(x));
}

static struct memref push_slot(struct xlate *x, bool live)
{
	return x_stack(x, -(s32)x_word(x), true, live);
}

static void push_imm(struct xlate *x, u64 v, bool live)
{
	struct memref m = push_slot(x, live);
	bool wide = x_is64(x);
	int h;

	if (!wide || (u64)(s64)(s32)v == v) {
		e_mem(&x->e, wide, 0xc7, 0, &m);
		e_4(&x->e, (u32)v);
	} else {
		h = x_spare(x, &m);
		e_mov_ri(&x->e, h, v);
		e_mem(&x->e, true, 0x89, h, &m);
	}
	x_push_done(x);
}

/* Pushes what is in memory at gs:[off]. */
static void push_saved(struct xlate *x, u32 off, bool live)
{
	struct memref m = push_slot(x, live);
	int h = x_spare(x, &m);

	e_load_gs(&x->e, h, off);
	e_mem(&x->e, x_is64(x), 0x89, h, &m);
	x_push_done(x);
}

static void push_from_memory(struct xlate *x, const struct insn *in)
{
	struct memref m = x_operand(x, in, x_word(x), false);

	e_mem(&x->e, x_is64(x), 0x8b, S1, &m);
	e_store_gs(&x->e, OFF(scratch[1]), S1);
	push_saved(x, OFF(scratch[1]), in->live_in);
}

void x_push(struct xlate *x, const struct insn *in)
{
	const ZydisDecodedOperand *o = &in->op[0];
	struct memref m;
	u8 g;

	if (in->has_mem) {
		push_from_memory(x, in);
		return;
	}
	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		push_imm(x, o->imm.value.u, in->live_in);
		return;
	}
	g = insn_gpr(o->reg.value, NULL);
	if (host_of(g) == NO_REG) {
		push_saved(x, OFF_GPR(g), in->live_in);
		return;
	}
	m = push_slot(x, in->live_in);
	e_mem(&x->e, x_is64(x), 0x89, host_of(g), &m);
	x_push_done(x);
}

/* An address with RSP in it is computed with the incremented one; RSP moves when both accesses are done. */
static void pop_to_memory(struct xlate *x, const struct insn *in)
{
	struct memref m = x_stack(x, 0, false, in->live_in);
	struct insn to = *in;
	ZydisDecodedOperandMem *mem = &to.op[0].mem;
	int h;

	e_mem(&x->e, x_is64(x), 0x8b, S1, &m);
	e_store_gs(&x->e, OFF(scratch[1]), S1);
	if (insn_gpr(mem->base, NULL) == X86_RSP) {
		mem->disp.value = mem->disp.has_displacement ? mem->disp.value + x_word(x) : x_word(x);
		mem->disp.has_displacement = true;
	}
	m = x_operand(x, &to, x_word(x), true);
	h = x_spare(x, &m);
	e_load_gs(&x->e, h, OFF(scratch[1]));
	e_mem(&x->e, x_is64(x), 0x89, h, &m);
	e_lea(&x->e, x_is64(x), HRSP, HRSP, NO_REG, 1, (s32)x_word(x));
}

void x_pop(struct xlate *x, const struct insn *in)
{
	u8 g = in->has_mem ? GPR_NONE : insn_gpr(in->op[0].reg.value, NULL);
	int h = host_of(g) == NO_REG ? S1 : host_of(g);
	struct memref m;

	if (in->has_mem) {
		pop_to_memory(x, in);
		return;
	}
	m = x_stack(x, 0, false, in->live_in);
	e_mem(&x->e, x_is64(x), 0x8b, h, &m);
	if (g == X86_RSP)
		return;
	if (h == S1)
		e_store_gs(&x->e, OFF_GPR(g), S1);
	e_lea(&x->e, x_is64(x), HRSP, HRSP, NO_REG, 1, (s32)x_word(x));
}

void x_leave_insn(struct xlate *x, const struct insn *in)
{
	bool wide = x_is64(x);

	x_mov(x, S1, X86_RBP);
	x_check(x, x_word(x), false, in->live_in);
	e_lea(&x->e, wide, HRSP, X86_RBP, NO_REG, 1, (s32)x_word(x));
	e_rm(&x->e, wide, 0x8b, X86_RBP, S1, 0);
}

/* ---- branches ------------------------------------------------------------------------------------ */

static void flow_jcc(struct xlate *x, struct insn *in)
{
	u64 target = x_target(x, in);
	u32 at = jcc(x, in->z.opcode & 15);

	if (edge_is_plain(x, target))
		edge_cold(x, at, target);
	else
		x->side[x->n_side++] = (struct side_edge){ at, target, in };
}

void x_side_edges(struct xlate *x)
{
	for (unsigned i = 0; i < x->n_side; i++) {
		x->cur = x->side[i].in;
		patch_here(x, x->side[i].from);
		x_note_tail(x, (u16)(x->cur->pc - x->b->pc));
		x_edge(x, x->side[i].target);
	}
}

/* jrcxz +5 (jecxz); jmp not_zero */
static void flow_rcx(struct xlate *x, const struct insn *in)
{
	u64 target = x_target(x, in), next = x_next(x, in);
	bool loop = in->cls == INSN_LOOP;
	u32 at;

	if (loop)
		e_lea(&x->e, x_is64(x), X86_RCX, X86_RCX, NO_REG, 1, -1);
	if (!x_is64(x))
		e_1(&x->e, 0x67);
	e_bytes(&x->e, "\xe3\x05", 2);
	at = jmp(x);
	x_edge(x, loop ? next : target);
	patch_here(x, at);
	x_edge(x, loop ? target : next);
}

static void flow_call(struct xlate *x, const struct insn *in)
{
	push_imm(x, x_next(x, in), in->live_in);
	x_edge(x, x_target(x, in));
}

static void flow_ret(struct xlate *x, const struct insn *in)
{
	s32 extra = in->z.operand_count_visible && in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE
			    ? (s32)in->op[0].imm.value.u
			    : 0;
	struct memref m = x_stack(x, 0, false, in->live_in);

	e_mem(&x->e, x_is64(x), 0x8b, S1, &m);
	e_lea(&x->e, x_is64(x), HRSP, HRSP, NO_REG, 1, (s32)x_word(x) + extra);
	indirect(x);
}

static void load_target(struct xlate *x, const struct insn *in)
{
	struct memref m;
	u8 g;

	if (x_self_loads(x, in)) {
		x_load_target(x, in);
		return;
	}
	if (in->has_mem) {
		m = x_operand(x, in, x_word(x), false);
		e_mem(&x->e, x_is64(x), 0x8b, S1, &m);
		return;
	}
	g = insn_gpr(in->op[0].reg.value, NULL);
	if (host_of(g) == NO_REG)
		e_load_gs(&x->e, S1, OFF_GPR(g));
	else
		x_mov(x, S1, host_of(g));
}

static void flow_call_ind(struct xlate *x, const struct insn *in)
{
	load_target(x, in);
	e_store_gs(&x->e, OFF(scratch[1]), S1);
	push_imm(x, x_next(x, in), in->live_in);
	e_load_gs(&x->e, S1, OFF(scratch[1]));
	indirect(x);
}

/* A direct branch whose displacement is loaded is an indirect one. */
static u8 flow_class(const struct xlate *x, const struct insn *in)
{
	if (!x_self_loads(x, in))
		return in->cls;
	return in->cls == INSN_CALL ? INSN_CALL_IND : INSN_JMP_IND;
}

bool x_flow(struct xlate *x, const struct insn *in)
{
	switch (flow_class(x, in)) {
	case INSN_JMP:
		x_edge(x, x_target(x, in));
		return true;
	case INSN_JCC:
		flow_jcc(x, x->cur);
		return true;
	case INSN_JRCXZ:
	case INSN_LOOP:
		flow_rcx(x, in);
		return true;
	case INSN_CALL:
		flow_call(x, in);
		return true;
	case INSN_JMP_IND:
		load_target(x, in);
		indirect(x);
		return true;
	case INSN_CALL_IND:
		flow_call_ind(x, in);
		return true;
	case INSN_RET:
		flow_ret(x, in);
		return true;
	case INSN_HELPER_END:
		x_helper(x, in);
		return true;
	case INSN_INTERP_END:
		x_leave(x, SITE_INTERP, in);
		return true;
	default:
		return false;
	}
}
