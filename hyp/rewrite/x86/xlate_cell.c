/* SPDX-License-Identifier: Apache-2.0 */
/* Emitting accesses that look into a page cell first (see cell.c), and those that do not. */
#include "hyp/rewrite/x86/cell.h"
#include "hyp/rewrite/x86/fast.h"
#include "hyp/rewrite/x86/xlate.h"

static u32 cell_offset(struct xlate *x, u16 cell)
{
	return OFF(cell) + x->part * (u32)sizeof(x->cpu->cell[0]) + cell * (u32)sizeof(struct hyp_cell);
}

/* Reused when all have been handed out: two places then share it. */
static u16 new_cell(struct xlate *x)
{
	u16 *n = &x->eng->n_cells[x->part];
	struct hyp_cell *c;

	*n = *n + 1 < HYP_CELLS ? *n + 1 : HYP_CELL_STACK + 1;
	c = &x->cpu->cell[x->part][*n];
	hyp_cell_empty(c);
	c->misses = HYP_CELL_MISSES;
	c->since = hyp_cell_now();
	return *n;
}

/* S1 = address */
static struct cold *look(struct xlate *x, u16 cell, unsigned size)
{
	struct cold *c;

	e_gs(&x->e, true, 0x2b, S1, cell_offset(x, cell) + (u32)offsetof(struct hyp_cell, tag));
	e_bytes(&x->e, "\x49\x81\xfe", 3); /* cmp s1, 4096 - size */
	e_4(&x->e, (u32)PAGE_SIZE - size);
	e_bytes(&x->e, "\x0f\x87\0\0\0\0", 6); /* ja */
	c = x_cold(x, SITE_MEM, x_here(x) - 4);
	c->resume_check = x_here(x);
	c->has_cell = true;
	c->cell = cell;
	return c;
}

/* The same, and the load of S2. */
static void check_cell(struct xlate *x, struct cold how, unsigned size, bool write, bool live)
{
	bool hold = x_begin_check(x, live);
	struct cold *c = look(x, how.cell, size);

	e_gs(&x->e, true, 0x8b, S2,
	     cell_offset(x, how.cell) +
		     (u32)(how.based ? offsetof(struct hyp_cell, addend) : offsetof(struct hyp_cell, host)));
	c->based = how.based;
	c->restore_flags = live;
	c->hold_again = hold;
	if (live && !hold)
		x_restore_flags(x);
	x_end_check(x, c, size, write);
}

/* lea s2, [rip + 5]; jmp stub; reference; the code for a miss follows */
void x_emit_cell_cold(struct xlate *x, struct cold *c)
{
	struct hyp_cell_ref ref = { .cell = c->cell, .limit = (u16)(PAGE_SIZE - c->site.size), .based = c->based };
	bool write = c->site.write || c->cell == HYP_CELL_STACK; /* whose page must be writable */
	u32 stub = x->eng->cell_stub[CELL_STUB(c->site.ac_part, write)];

	e_bytes(&x->e, "\x4c\x8d\x2d\x05\0\0\0", 7);
	e_1(&x->e, 0xe9);
	e_4(&x->e, stub - (x_here(x) + 4));
	ref.resume = (s32)(c->resume_check - x_here(x));
	e_bytes(&x->e, &ref, sizeof(ref));
}

/* May the operand be [its base + S2]? */
static bool is_based(const struct insn *in, const ZydisDecodedOperandMem *m)
{
	u8 base = insn_gpr(m->base, NULL);

	return base != GPR_NONE && host_of(base) != NO_REG && m->index == ZYDIS_REGISTER_NONE &&
	       in->z.address_width == 64 && !x_has_segment_base(m->segment);
}

static bool is_stack(const ZydisDecodedOperandMem *m)
{
	return (m->base == ZYDIS_REGISTER_RSP || m->base == ZYDIS_REGISTER_ESP) &&
	       m->index == ZYDIS_REGISTER_NONE && !x_has_segment_base(m->segment);
}

/* The stack's cell is a planned check's until its last access: accesses that plans do not see keep off it. */
static bool uses_stack_cell(const struct xlate *x, const struct insn *in)
{
	return is_stack(&in->op[in->mem_idx].mem) &&
	       (!x_is64(x) || (in->cls != INSN_POP && in->z.address_width == 64));
}

#define CELL_MAX_SIZE 64

bool x_has_cells(const struct xlate *x)
{
	return x->hot;
}

static bool has_cell(const struct xlate *x, const struct insn *in)
{
	return x_has_cells(x) && !hyp_has_no_cell(x->eng, in->pc);
}

/* ---- with a plan ------------------------------------------------------------------------------ */

/* In its cell: S1 = address. */
static struct cold *look_into_cell(struct xlate *x, struct check *p)
{
	p->cell = p->stack_cell ? HYP_CELL_STACK : new_cell(x);
	p->addend = cell_offset(x, p->cell) + (u32)offsetof(struct hyp_cell, addend);
	return look(x, p->cell, (unsigned)(p->hi - p->lo));
}

/* Without a cell: from S1 = host address to the addend, which is kept where accesses find it again. */
static void keep_addend(struct xlate *x, struct check *p)
{
	p->addend = OFF(addend) + 8 * (u32)(p - x->check);
	e_gs(&x->e, true, 0x2b, S1, OFF(scratch[6]));
	e_store_gs(&x->e, p->addend, S1);
	e_mov_rr(&x->e, S2, S1);
	x->s2_check = (int)(p - x->check);
}

static void planned_check(struct xlate *x, struct check *p)
{
	struct address a = { p->base_reg, p->index_reg, p->scale, true, p->lo };
	bool live = x->cur->live_in, cell = x_check_is_stack(p) || has_cell(x, x->cur), hold;
	struct cold *c;

	x_address_of(x, &a);
	x_segment_base(x, p->seg);
	if (!cell)
		e_store_gs(&x->e, OFF(scratch[6]), S1);
	hold = x_begin_check(x, live);
	c = cell ? look_into_cell(x, p) : x_look_up(x, (unsigned)(p->hi - p->lo), p->write);
	x_end_check(x, c, (unsigned)(p->hi - p->lo), p->write);
	c->kind = c->site.kind = SITE_CHECK;
	c->restore_flags = c->hold_again = live; /* what follows needs them in RAX */
	if (!cell)
		keep_addend(x, p);
	if (live && !hold)
		x_restore_flags(x);
}

void x_planned_checks(struct xlate *x, unsigned i)
{
	for (unsigned k = 0; k < x->n_checks; k++)
		if (x->check[k].at == i)
			planned_check(x, &x->check[k]);
}

static void load_addend(struct xlate *x, int id)
{
	x->insn_state |= x->flags_held ? INSN_MAP_HELD : 0;
	if (x->s2_check == id)
		return;
	e_load_gs(&x->e, S2, x->check[id].addend);
	x->s2_check = id;
}

static struct memref planned_operand(struct xlate *x, const struct insn *in, int id)
{
	const ZydisDecodedOperandMem *m = &in->op[in->mem_idx].mem;

	if (!is_based(in, m))
		x_address(x, in);
	load_addend(x, id);
	return is_based(in, m) ? (struct memref){ host_of(insn_gpr(m->base, NULL)), S2,
						  m->disp.has_displacement ? (s32)m->disp.value : 0 }
			       : (struct memref){ S1, S2, 0 };
}

/* ---- accesses ----------------------------------------------------------------------------------- */

struct memref x_operand(struct xlate *x, const struct insn *in, unsigned size, bool write)
{
	const ZydisDecodedOperandMem *m = &in->op[in->mem_idx].mem;
	struct cold how = { .based = is_based(in, m) };

	if (in->check[0] >= 0)
		return planned_operand(x, in, in->check[0]);
	x_address(x, in);
	if ((!has_cell(x, in) && !uses_stack_cell(x, in)) || size > CELL_MAX_SIZE) {
		x_check(x, size, write, in->live_in);
		return (struct memref){ S1, NO_REG, 0 };
	}
	how.cell = uses_stack_cell(x, in) ? HYP_CELL_STACK : new_cell(x);
	check_cell(x, how, size, write, in->live_in);
	if (!how.based)
		return (struct memref){ S1, S2, 0 };
	return (struct memref){ host_of(insn_gpr(m->base, NULL)), S2,
				m->disp.has_displacement ? (s32)m->disp.value : 0 };
}

struct memref x_stack(struct xlate *x, s32 disp, bool write, bool live)
{
	bool wide = x_is64(x); /* 32-bit addresses wrap: only S1 is sure to be right */

	if (x->cur->check[1] >= 0) {
		load_addend(x, x->cur->check[1]);
		return (struct memref){ HRSP, S2, disp };
	}
	if (disp)
		e_lea(&x->e, wide, S1, HRSP, NO_REG, 1, disp);
	else
		x_mov(x, S1, HRSP);
	check_cell(x, (struct cold){ .based = wide, .cell = HYP_CELL_STACK }, x_word(x), write, live);
	return wide ? (struct memref){ HRSP, S2, disp } : (struct memref){ S1, S2, 0 };
}

void x_to_s1(struct xlate *x, struct memref *m)
{
	if (m->index != NO_REG)
		e_lea(&x->e, true, S1, m->base, m->index, 1, m->disp);
	*m = (struct memref){ S1, NO_REG, 0 };
}

int x_spare(struct xlate *x, struct memref *m)
{
	if (m->base == S1 && m->index == S2)
		x_to_s1(x, m);
	if (m->base != S1)
		return S1;
	x->s2_check = -1;
	return S2;
}

/* jmp [rip]; address */
static u32 way_to(struct hyp_engine *eng, struct emit *e, const char *to)
{
	u32 at = (u32)(e->p - eng->rw);

	e_bytes(e, "\xff\x25\0\0\0\0", 6);
	e_8(e, (u64)to);
	return at;
}

void xlate_stubs(struct hyp_engine *eng)
{
	struct emit e = { eng->rw + eng->base };

	for (unsigned i = 0; i < ARRAY_SIZE(hyp_cell_stubs); i++)
		eng->cell_stub[i] = way_to(eng, &e, hyp_cell_stubs[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(hyp_fast_stubs); i++)
		eng->fast_stub[i] = way_to(eng, &e, hyp_fast_stubs[i]);
	for (unsigned i = 0; i < HYP_FAST_STRS; i++)
		eng->str_stub[i] = way_to(eng, &e, hyp_fast_str_stubs[i]);
	eng->base = ALIGN_UP((u32)(e.p - eng->rw), 64u);
}
