/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A case: a straight line of random instructions, or a shape around some of them: a forward branch,
 * a counted loop, a call, an indirect jump, a POPF, code that patches code. Shapes are lists of
 * items with symbolic targets, so that the minimizer can drop any item and link again.
 *
 * Flags an instruction leaves undefined may be whatever the engine's and the silicon's liveness makes
 * of them: nothing generated reads them (flags_undef follows the joins), nothing compares them.
 */
#include <stdio.h>
#include <string.h>

#include "tests/diff/diff.h"

#define ARITH 0x8d5u

/* ---- shapes ------------------------------------------------------------------------------------ */

static void some_insns(struct rng *r, struct dt_case *c, unsigned most)
{
	unsigned k = rng_below(r, most + 1);

	while (k-- && gen_insn(r, c))
		;
}

static unsigned branch(struct dt_case *c, const void *opcode, unsigned len, unsigned size)
{
	struct dt_item *it = item_add(c, opcode, len + size);

	it->fix = DT_FIX_REL;
	it->fix_off = len;
	it->fix_size = size;
	return c->n - 1;
}

static void land(struct dt_case *c, unsigned from)
{
	c->item[from].target = c->n;
	c->flags_undef |= c->item[from].flags_undef;
}

/* Condition codes read flags: any undefined one rules the condition out. */
static const u32 cc_reads[8] = { 0x800, 0x1, 0x40, 0x41, 0x80, 0x4, 0x880, 0x8c0 };

static void shape_forward(struct rng *r, struct dt_case *c)
{
	u8 cc = rng_below(r, 16), near[2] = { 0x0f, 0x80 | cc }, shrt = 0x70 | cc, jmp[2] = { 0xe9, 0xeb };
	bool wide = rng_pct(r, 50);
	unsigned from;

	if (cc_reads[cc >> 1] & c->flags_undef || rng_pct(r, 15))
		from = branch(c, &jmp[!wide], 1, wide ? 4 : 1);
	else if (wide)
		from = branch(c, near, 2, 4);
	else
		from = branch(c, &shrt, 1, 1);
	some_insns(r, c, 2);
	land(c, from);
}

/* JRCXZ and LOOPcc forward */
static void shape_counter_branch(struct rng *r, struct dt_case *c)
{
	u8 op = 0xe0 + rng_below(r, 4);
	unsigned from;

	if ((op < 0xe2 && c->flags_undef & 0x40) || (c->ptr_regs & 2))
		return;
	if (rng_pct(r, 50))
		emit_mov_imm(c, 1, rng_below(r, 2));
	from = branch(c, &op, 1, 1);
	some_insns(r, c, 2);
	land(c, from);
}

static void shape_loop(struct rng *r, struct dt_case *c)
{
	u8 loop = 0xe2, dec[2] = { 0xff, 0xc9 }, jnz = 0x75;
	bool by_loop = rng_pct(r, 50);
	unsigned top, b;

	if (c->ptr_regs & 2 || c->locked & 2)
		return;
	emit_mov_imm(c, 1, 1 + rng_below(r, rng_pct(r, 10) ? 300 : 5));
	c->locked |= 2;
	c->flags_undef = ARITH;
	top = c->n;
	some_insns(r, c, 3);
	c->locked &= ~2u;
	if (by_loop) {
		b = branch(c, &loop, 1, 1);
	} else {
		item_add(c, dec, 2);
		c->flags_undef &= 1;
		b = branch(c, &jnz, 1, 1);
	}
	c->item[b].target = top;
}

/* call f; ...; jmp over; f: ...; ret n; over: */
static void shape_call(struct rng *r, struct dt_case *c)
{
	u8 call = 0xe8, jmp = 0xe9, ret = 0xc3, retn[3] = { 0xc2, 8 * rng_below(r, 3), 0 };
	unsigned f = branch(c, &call, 1, 4), over;

	c->flags_undef = ARITH; /* back here after the body */
	some_insns(r, c, 1);
	over = branch(c, &jmp, 1, 4);
	c->flags_undef = 0;
	land(c, f);
	some_insns(r, c, 2);
	if (rng_pct(r, 30))
		item_add(c, retn, 3);
	else
		item_add(c, &ret, 1);
	c->flags_undef = ARITH;
	land(c, over);
}

/* mov reg, target; jmp reg / call reg / push reg; ret */
static void shape_indirect(struct rng *r, struct dt_case *c)
{
	int reg = rng_below(r, dt_is64(c->mode) ? 16 : 8), how = rng_below(r, 3);
	u8 b[3] = { 0x41, 0xff, (how == 0 ? 0xe0 : 0xd0) | (reg & 7) }, push[2] = { 0x41, 0x50 | (reg & 7) };
	u8 ret = 0xc3, skip = reg < 8;
	unsigned mov;

	if (reg == 4 || (c->ptr_regs | c->locked) >> reg & 1)
		return;
	emit_mov_imm(c, reg, 0);
	mov = c->n - 1;
	c->item[mov].fix = DT_FIX_ABS;
	c->item[mov].fix_off = c->item[mov].len - 4;
	c->item[mov].fix_size = 4;
	some_insns(r, c, 0);
	if (how < 2) {
		item_add(c, b + skip, 3 - skip);
	} else {
		item_add(c, push + skip, 2 - skip);
		item_add(c, &ret, 1);
	}
	if (rng_pct(r, 50))
		some_insns(r, c, 1);
	land(c, mov);
}

static void shape_popf(struct rng *r, struct dt_case *c)
{
	u32 imm = (rng_u64(r) & ARITH) | 0x202 | (rng_pct(r, 20) ? 0x400 : 0);
	u8 push[5] = { 0x68 }, popf = 0x9d;

	if (dt_is_kernel(c->mode) && rng_pct(r, 50))
		imm &= ~0x200u; /* IF is not compared there */
	memcpy(push + 1, &imm, 4);
	item_add(c, push, 5);
	item_add(c, &popf, 1);
	c->flags_undef = 0;
}

/* The immediate of a MOV is patched: by a store in front of it, or each time round a loop. */
static void shape_smc(struct rng *r, struct dt_case *c)
{
	u8 add[2] = { 0x81, 0x05 }, store[2] = { 0xc7, 0x05 }, patch[10] = { 0 }, loop = 0xe2;
	bool looped = rng_pct(r, 50);
	unsigned p, top, b;

	if ((c->ptr_regs | c->locked | c->idx_regs) & 3)
		return;
	if (looped)
		emit_mov_imm(c, 1, 2 + rng_below(r, 3));
	top = c->n;
	memcpy(patch, looped ? add : store, 2);
	patch[6] = rng_u64(r);
	patch[9] = rng_u64(r);
	item_add(c, patch, 10);
	p = c->n - 1;
	c->item[p].fix = dt_is64(c->mode) ? DT_FIX_RIPREF : DT_FIX_ABS;
	c->item[p].fix_off = 2;
	c->item[p].fix_size = 4;
	c->item[p].addr = 1;
	if (looped)
		c->flags_undef = 0;
	else
		some_insns(r, c, 1);
	c->item[p].target = c->n;
	emit_mov_imm(c, 0, 0x11223344);
	if (looped) {
		b = branch(c, &loop, 1, 1);
		c->item[b].target = top;
	}
}

/* opcode /reg [addr] */
static void emit_at(struct dt_case *c, const u8 *op, unsigned len, unsigned reg, u32 addr)
{
	u8 b[15];
	unsigned n = len;

	memcpy(b, op, len);
	b[n++] = reg << 3 | (dt_is64(c->mode) ? 4 : 5);
	if (dt_is64(c->mode))
		b[n++] = 0x25;
	memcpy(b + n, &addr, 4);
	item_add(c, b, n + 4);
}

static void emit_zero(struct dt_case *c, u32 addr)
{
	static const u8 op = 0xc7;
	struct dt_item *it;

	emit_at(c, &op, 1, 0, addr);
	it = &c->item[c->n - 1];
	it->len += 4; /* imm32 0: item_add clears */
}

/* State is saved, changed, and loaded again. FOP, FIP and FDP say where the engine runs the code:
 * they are wiped from the image. */
static void shape_save(struct rng *r, struct dt_case *c)
{
	static const struct { u8 op[3], len, save, load, load_op, first, words; } how[] = {
		{ { 0xd9 }, 1, 6, 4, 0xd9, 12, 4 },       /* FNSTENV, FLDENV */
		{ { 0xdd }, 1, 6, 4, 0xdd, 12, 4 },       /* FNSAVE, FRSTOR */
		{ { 0x0f, 0xae }, 2, 0, 1, 0xae, 8, 4 },  /* FXSAVE, FXRSTOR */
		{ { 0x0f, 0xae }, 2, 4, 5, 0xae, 8, 4 },  /* XSAVE, XRSTOR */
		{ { 0x0f, 0xc7 }, 2, 4, 5, 0xae, 8, 4 },  /* XSAVEC, XRSTOR */
		{ { 0x48, 0x0f, 0xae }, 3, 4, 5, 0xae, 8, 4 }, /* XSAVE64, XRSTOR64 */
	};
	unsigned i = rng_below(r, ARRAY_SIZE(how) - !dt_is64(c->mode));
	u32 at = DT_DATA + 0x400 + 64 * rng_below(r, 48) + (rng_pct(r, 8) ? 8 : 0);
	u8 load[3] = { 0x48, 0x0f, 0xae };

	if ((c->ptr_regs | c->locked) & 5)
		return;
	if (i >= 3) {
		emit_mov_imm(c, 0, rng_pct(r, 50) ? 0xe7 : rng_below(r, 256));
		emit_mov_imm(c, 2, 0);
	}
	emit_at(c, how[i].op, how[i].len, how[i].save, at);
	for (unsigned w = 0; w < how[i].words; w++)
		emit_zero(c, at + how[i].first + 4 * w);
	if (i >= 2) { /* FOP */
		emit_mov_imm(c, 0, 0);
		emit_at(c, (const u8 *)"\x66\x89", 2, 0, at + 6);
	}
	some_insns(r, c, 2);
	if (rng_pct(r, 60)) {
		emit_mov_imm(c, 0, rng_pct(r, 50) ? 0xe7 : rng_below(r, 256));
		emit_mov_imm(c, 2, 0);
		load[2] = how[i].load_op;
		emit_at(c, load + 3 - how[i].len, how[i].len, how[i].load, at);
	}
}

static void one_step(struct rng *r, struct dt_case *c)
{
	static void (*const shape[])(struct rng *, struct dt_case *) = {
		shape_forward, shape_forward, shape_forward, shape_counter_branch, shape_loop, shape_loop,
		shape_call, shape_indirect, shape_popf, shape_smc, shape_save,
	};

	if (c->n < DT_ITEMS - 24 && rng_pct(r, 14))
		shape[rng_below(r, ARRAY_SIZE(shape))](r, c);
	else
		gen_insn(r, c);
}

/* ---- linking ------------------------------------------------------------------------------------- */

static void layout(struct dt_case *c)
{
	u32 at = c->start;

	for (unsigned i = 0; i <= c->n; i++) {
		c->item[i].at = at;
		if (!c->item[i].dead)
			at += c->item[i].len;
	}
}

/* False: a short branch does not reach. */
static bool fix_item(struct dt_case *c, struct dt_item *it)
{
	s64 end = it->at + it->len, to = c->item[it->target].at, v;

	switch (it->fix) {
	case DT_FIX_REL:
		v = to - end;
		break;
	case DT_FIX_RIP:
		v = (s64)it->addr - end;
		break;
	case DT_FIX_ABS:
		v = to + it->addr;
		break;
	case DT_FIX_RIPREF:
		v = to + it->addr - end;
		break;
	default:
		return true;
	}
	if (it->fix_size == 1 && v != (s8)v)
		return false;
	memcpy(it->b + it->fix_off, &v, it->fix_size);
	return true;
}

void case_link(struct dt_case *c)
{
	bool again;

	do {
		again = false;
		layout(c);
		for (unsigned i = 0; i < c->n; i++) {
			if (!c->item[i].dead && !fix_item(c, &c->item[i])) {
				c->item[i].dead = true;
				again = true;
			}
		}
	} while (again);
	memset(c->mem.code, 0xcc, sizeof(c->mem.code));
	for (unsigned i = 0; i <= c->n; i++)
		if (!c->item[i].dead)
			memcpy(c->mem.code + (c->item[i].at - DT_CODE), c->item[i].b, c->item[i].len);
	c->init.rip = c->start;
}

static unsigned roll_length(struct rng *r)
{
	unsigned p = rng_below(r, 100);

	return p < 40 ? 1 : p < 75 ? 2 + rng_below(r, 4) : 6 + rng_below(r, 15);
}

void case_generate(struct dt_case *c, u64 seed, enum dt_mode mode)
{
	struct rng r = { seed * DT_MODES + mode };
	static const u8 ud2[2] = { 0x0f, 0x0b };
	unsigned steps;

	c->seed = seed;
	c->mode = mode;
	c->n = 0;
	c->flags_undef = 0;
	c->locked = 0;
	c->user_only = false;
	state_random(&r, c);
	c->start = DT_CODE + (rng_pct(&r, 25) ? PAGE_SIZE - rng_below(&r, 40) : rng_below(&r, 0xf00));
	for (steps = roll_length(&r); steps--;)
		one_step(&r, c);
	item_add(c, ud2, 2);
	c->n--;
	case_link(c);
}

void case_print(const struct dt_case *c)
{
	ZydisFormatter f;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	char text[128];

	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
	for (unsigned i = 0; i <= c->n; i++) {
		const struct dt_item *it = &c->item[i];

		if (it->dead)
			continue;
		printf("  %08x  ", it->at);
		for (unsigned k = 0; k < it->len; k++)
			printf("%02x", it->b[k]);
		printf("%*s", 32 - 2 * it->len, "");
		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(c->mode), it->b, it->len, &in, op))) {
			ZydisFormatterFormatInstruction(&f, &in, op, in.operand_count_visible, text,
							sizeof(text), it->at, NULL);
			printf("%s", text);
		}
		printf("\n");
	}
}
