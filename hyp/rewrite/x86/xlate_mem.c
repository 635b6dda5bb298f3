/* SPDX-License-Identifier: Apache-2.0 */
/* Memory operands: address, soft-TLB check, and the cold code behind a miss (see engine.h). */
#include "hyp/rewrite/x86/xlate.h"

_Static_assert(sizeof(struct hyp_tlb_entry) == 1 << HYP_TLB_SLOT_SHIFT, "emitted index arithmetic");
_Static_assert(sizeof(struct hyp_site) == 8, "layout read back by the run loop");

void x_save_flags(struct xlate *x)
{
	e_store_gs(&x->e, OFF(scratch[0]), X86_RAX);
	e_flags_to_ax(&x->e);
}

void x_restore_flags(struct xlate *x)
{
	e_flags_from_ax(&x->e);
	e_load_gs(&x->e, X86_RAX, OFF(scratch[0]));
}

bool x_can_hold_flags(const struct insn *in)
{
	if (!in->live_in || in->fl_read || in->fl_write || in->gpr_used & (1u << X86_RAX))
		return false;
	switch (in->cls) {
	case INSN_PUSH:
	case INSN_POP:
	case INSN_LEA:
	case INSN_NOP:
	case INSN_RET:
	case INSN_CALL:
	case INSN_JMP:
		return true;
	case INSN_COPY:
		switch (in->z.mnemonic) {
		case ZYDIS_MNEMONIC_MOV:
		case ZYDIS_MNEMONIC_MOVZX:
		case ZYDIS_MNEMONIC_MOVSX:
		case ZYDIS_MNEMONIC_MOVSXD:
			return true;
		default:
			return false;
		}
	default:
		return false;
	}
}

void x_release_flags(struct xlate *x)
{
	if (x->flags_held)
		x_restore_flags(x);
	x->flags_held = false;
}

/* Host register holding guest register g: its own, or `tmp` loaded from memory. */
static int load_gpr(struct xlate *x, ZydisRegister r, int tmp)
{
	u8 g = insn_gpr(r, NULL);

	if (g == GPR_NONE)
		return NO_REG;
	if (host_of(g) != NO_REG)
		return host_of(g);
	e_load_gs(&x->e, tmp, OFF_GPR(g));
	return tmp;
}

void x_address_of(struct xlate *x, const struct address *a)
{
	int base = load_gpr(x, a->base, S1), index = load_gpr(x, a->index, S2);

	if (index == S2)
		x->s2_check = -1;
	if (base == NO_REG && index == NO_REG)
		e_mov_ri(&x->e, S1, a->wide ? (u64)a->disp : (u32)a->disp);
	else if (index == NO_REG && !a->disp && a->wide && base != S1)
		e_mov_rr(&x->e, S1, base);
	else if (base != S1 || index != NO_REG || a->disp || !a->wide)
		e_lea(&x->e, a->wide, S1, base, index, a->scale, (s32)a->disp);
}

void x_address(struct xlate *x, const struct insn *in)
{
	const ZydisDecodedOperandMem *m = &in->op[in->mem_idx].mem;
	struct address a = { m->base, m->index, m->scale, in->z.address_width == 64,
			     m->disp.has_displacement ? m->disp.value : 0 };

	if (m->base == ZYDIS_REGISTER_RIP) {
		a.base = ZYDIS_REGISTER_NONE;
		a.disp += (s64)(in->pc + in->len);
	}
	x_address_of(x, &a);
	x_segment(x, in);
}

struct cold *x_cold(struct xlate *x, u8 kind, u32 from)
{
	struct cold *c = &x->cold[x->n_cold++];

	*c = (struct cold){ .kind = kind, .from = from };
	return c;
}

struct hyp_site x_site(struct xlate *x, u8 kind, const struct insn *in)
{
	return (struct hyp_site){ .block = x->block_idx,
				  .kind = kind,
				  .ac_part = x->part,
				  .guest_off = (u32)(in->pc - x->b->pc) & 0x7ff };
}

static u32 jcc_rel32(struct xlate *x, u8 cc)
{
	e_1(&x->e, 0x0f);
	e_1(&x->e, (u8)(0x80 | cc));
	e_4(&x->e, 0);
	return x_here(x) - 4;
}

/*
 *	rorx s2, s1, BITS	; see hyp_tlb_slot
 *	xor  s2d, s1d
 *	shr  s2d, 7
 *	and  s2d, (N-1) * 32
 *	sub  s1, gs:[s2 + tag]	; offset in the page, if the tag is right
 *	cmp  s1, 4096 - size	; page crossing misses too
 *	(ja miss)
 */
static void emit_lookup(struct emit *e, u32 part, bool write, unsigned size)
{
	u32 tag = write ? offsetof(struct hyp_tlb_entry, write_tag)
			: offsetof(struct hyp_tlb_entry, read_tag);

	e_bytes(e, "\xc4\x43\xfb\xf0\xee", 5);
	e_1(e, HYP_TLB_BITS);
	e_rr(e, false, 0x31, S1, S2);
	e_bytes(e, "\x41\xc1\xed", 3);
	e_1(e, PAGE_SHIFT - HYP_TLB_SLOT_SHIFT);
	e_bytes(e, "\x41\x81\xe5", 3);
	e_4(e, (HYP_TLB_SIZE - 1) << HYP_TLB_SLOT_SHIFT);
	e_gs_base(e, true, 0x2b, S1, S2, part + tag);
	e_bytes(e, "\x49\x81\xfe", 3);
	e_4(e, (u32)PAGE_SIZE - size);
}

u32 x_part_offset(unsigned part)
{
	return OFF(tlb) + part * (u32)sizeof(((struct hyp_cpu *)0)->tlb[0]);
}

bool x_begin_check(struct xlate *x, bool live)
{
	bool hold = live && x_can_hold_flags(x->cur);

	if (live && !x->flags_held)
		x_save_flags(x);
	x->flags_held = hold;
	x->insn_state |= hold ? INSN_MAP_HELD : 0;
	return hold;
}

void x_end_check(struct xlate *x, struct cold *c, unsigned size, bool write)
{
	c->resume = x_here(x);
	c->kind = insn_is_masked(x->cur) ? SITE_MASKED : SITE_MEM;
	c->site = x_site(x, c->kind, x->cur);
	c->site.write = write;
	c->site.size = size & 0x7ff;
	c->site.plain = c->has_cell;
	x->s2_check = -1;
}

struct cold *x_look_up(struct xlate *x, unsigned size, bool write)
{
	u32 part = x_part_offset(x->part);
	struct cold *c;

	emit_lookup(&x->e, part, write, size);
	c = x_cold(x, SITE_MEM, jcc_rel32(x, 7));
	e_gs_base(&x->e, true, 0x03, S1, S2, part + (u32)offsetof(struct hyp_tlb_entry, host));
	return c;
}

void x_check(struct xlate *x, unsigned size, bool write, bool live)
{
	bool hold = x_begin_check(x, live);
	struct cold *c = x_look_up(x, size, write);

	if (live && !hold)
		x_restore_flags(x);
	c->restore_flags = live;
	c->hold_again = hold;
	x_end_check(x, c, size, write);
}

static void call_leave(struct xlate *x)
{
	e_1(&x->e, 0xe8);
	e_4(&x->e, x->eng->stub_leave - (x_here(x) + 4));
}

void x_leave(struct xlate *x, u8 kind, const struct insn *in)
{
	struct hyp_site site = x_site(x, kind, in);

	site.size = in->len;
	site.write = in->cls == INSN_INTERP_END; /* SITE_INTERP: nothing follows */
	call_leave(x);
	e_bytes(&x->e, &site, sizeof(site));
}

static void emit_one_cold(struct xlate *x, struct cold *c)
{
	u32 rel = x_here(x) - (c->from + 4), rel2 = x_here(x) - (c->from2 + 4);

	memcpy(x->eng->rw + c->from, &rel, 4);
	if (c->from2)
		memcpy(x->eng->rw + c->from2, &rel2, 4);
	x_note_tail(x, c->site.guest_off);
	if (c->has_cell)
		x_emit_cell_cold(x, c);
	if (c->restore_flags)
		x_restore_flags(x);
	if (c->kind == SITE_JC_MISS) {
		e_1(&x->e, 0xe9);
		e_4(&x->e, x->eng->stub_jc_miss - (x_here(x) + 4));
		return;
	}
	call_leave(x);
	e_bytes(&x->e, &c->site, sizeof(c->site));
	if (c->kind == SITE_CHANGED)
		return;
	if (c->kind == SITE_MEM || c->kind == SITE_MASKED || c->kind == SITE_CHECK) {
		if (c->hold_again)
			x_save_flags(x);
		e_1(&x->e, 0xe9);
		e_4(&x->e, c->resume - (x_here(x) + 4));
		return;
	}
	e_8(&x->e, c->target);
	e_4(&x->e, c->patch);
	if (c->kind == SITE_HELPER) {
		e_1(&x->e, 0xe9);
		e_4(&x->e, c->resume - (x_here(x) + 4));
	}
}

void x_emit_cold(struct xlate *x)
{
	struct insn *last = &x->insn[x->n - 1];

	for (unsigned i = 0; i < x->n_cold; i++)
		emit_one_cold(x, &x->cold[i]);
	x_leave(x, SITE_DEAD, last);
}
