/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying an instruction with other registers: guest registers that live elsewhere are substituted,
 * the memory operand becomes one on the host (struct memref). Only prefixes, ModRM/SIB/disp and the
 * REX/VEX/EVEX register bits change; opcode and immediates are the guest's own bytes.
 */
#include "hyp/rewrite/x86/xlate.h"

/* Substituted fields of one instruction: host register numbers, NO_REG = as it was. */
struct subst {
	int reg, rm, vvvv, opc;
	const struct memref *mem; /* memory operand, NULL: none */
};

static void put_prefixes(struct xlate *x, const struct insn *in)
{
	for (unsigned i = 0; i < in->op_start; i++)
		switch (in->bytes[i]) {
		case 0x66:
		case 0xf0:
		case 0xf2:
		case 0xf3:
			if (!in->rex || i < in->op_start - 1u)
				e_1(&x->e, in->bytes[i]);
			break;
		}
}

static u8 new_modrm(const struct insn *in, const struct subst *s)
{
	u8 modrm = in->bytes[in->z.raw.modrm.offset];

	if (s->reg != NO_REG)
		modrm = (u8)((modrm & 0xc7) | (s->reg & 7) << 3);
	if (s->mem)
		modrm = (u8)((modrm & 0x38) | 4); /* SIB and displacement follow: put_mem */
	else if (s->rm != NO_REG)
		modrm = (u8)((modrm & 0xf8) | (s->rm & 7));
	return modrm;
}

/* ModRM, SIB and displacement of the memory operand. EVEX scales short displacements and gets long ones. */
static void put_mem(struct xlate *x, const struct insn *in, const struct subst *s)
{
	const struct memref *m = s->mem;
	bool evex = in->z.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
	u8 mod = !m->disp && (m->base & 7) != 5 ? 0 : m->disp >= -128 && m->disp < 128 && !evex ? 1 : 2;
	bool sib = m->index != NO_REG || (m->base & 7) == 4;
	u8 modrm = new_modrm(in, s);

	e_1(&x->e, (u8)(mod << 6 | (modrm & 0x38) | (sib ? 4 : m->base & 7)));
	if (sib)
		e_1(&x->e, (u8)((m->index == NO_REG ? 4 : m->index & 7) << 3 | (m->base & 7)));
	if (mod == 1)
		e_1(&x->e, (u8)m->disp);
	else if (mod == 2)
		e_4(&x->e, (u32)m->disp);
}

static void put_modrm_tail(struct xlate *x, const struct insn *in, const struct subst *s)
{
	if (s->mem)
		put_mem(x, in, s);
	else if (in->z.attributes & ZYDIS_ATTRIB_HAS_MODRM)
		e_1(&x->e, new_modrm(in, s));
	e_bytes(&x->e, in->bytes + in->tail, in->elen - in->tail);
}

static bool mem_x(const struct memref *m)
{
	return m->index != NO_REG && m->index & 8;
}

static void put_legacy(struct xlate *x, const struct insn *in, const struct subst *s)
{
	bool modrm = in->z.attributes & ZYDIS_ATTRIB_HAS_MODRM;
	unsigned end = modrm ? in->z.raw.modrm.offset : in->tail;
	bool r = in->rex & 4, xb = in->rex & 2, b = in->rex & 1;
	u8 rex;

	put_prefixes(x, in);
	if (s->reg != NO_REG)
		r = s->reg & 8;
	if (s->mem)
		b = s->mem->base & 8, xb = mem_x(s->mem);
	else if (s->rm != NO_REG)
		b = s->rm & 8;
	if (s->opc != NO_REG)
		b = s->opc & 8;
	rex = (u8)((in->rex & 8) | r << 2 | xb << 1 | b);
	if (in->rex || rex)
		e_1(&x->e, 0x40 | rex);
	e_bytes(&x->e, in->bytes + in->op_start, end - in->op_start);
	if (s->opc != NO_REG)
		x->e.p[-1] = (u8)((x->e.p[-1] & 0xf8) | (s->opc & 7));
	put_modrm_tail(x, in, s);
}

/* Bits R X B of the second byte, inverted as VEX and EVEX have them. */
static u8 vex_rxb(u8 old, const struct subst *s)
{
	if (s->reg != NO_REG)
		old = (u8)((old & 0x7f) | (s->reg & 8 ? 0 : 0x80));
	if (s->mem)
		old = (u8)((old & 0x9f) | (mem_x(s->mem) ? 0 : 0x40) | (s->mem->base & 8 ? 0 : 0x20));
	else if (s->rm != NO_REG)
		old = (u8)((old & 0xdf) | (s->rm & 8 ? 0 : 0x20));
	return old;
}

static u8 vex_vvvv(u8 old, const struct subst *s)
{
	return s->vvvv == NO_REG ? old : (u8)((old & 0x87) | (~s->vvvv & 15) << 3);
}

static void put_vex(struct xlate *x, const struct insn *in, const struct subst *s)
{
	const u8 *v = in->bytes + in->op_start;
	bool two = v[0] == 0xc5;
	u8 b1 = two ? (u8)((v[1] & 0x80) | 0x61) : v[1]; /* C5 implies X = B = 0, map 0F, W = 0 */
	u8 b2 = two ? v[1] & 0x7f : v[2];

	e_1(&x->e, 0xc4);
	e_1(&x->e, vex_rxb(b1, s));
	e_1(&x->e, vex_vvvv(b2, s));
	e_1(&x->e, two ? v[2] : v[3]);
	put_modrm_tail(x, in, s);
}

static void put_evex(struct xlate *x, const struct insn *in, const struct subst *s)
{
	const u8 *v = in->bytes + in->op_start;
	u8 b1 = vex_rxb(v[1], s);

	if (s->reg != NO_REG)
		b1 |= 0x10; /* R': a general register has no fifth bit */
	e_1(&x->e, 0x62);
	e_1(&x->e, b1);
	e_1(&x->e, vex_vvvv(v[2], s));
	e_1(&x->e, v[3]);
	e_1(&x->e, v[4]);
	put_modrm_tail(x, in, s);
}

static void put_insn(struct xlate *x, const struct insn *in, const struct subst *s)
{
	switch (in->z.encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_VEX:
		put_vex(x, in, s);
		break;
	case ZYDIS_INSTRUCTION_ENCODING_EVEX:
		put_evex(x, in, s);
		break;
	default:
		put_legacy(x, in, s);
	}
}

/* ---- substitutes for registers that live in memory -------------------------------------------- */

struct temp {
	u8 guest;
	int host;
	bool load, store;
	u32 spill; /* scratch offset the host register's owner is saved in, 0: none */
};

struct temps {
	struct temp t[4];
	unsigned n;
	u16 busy; /* host registers taken or used by the instruction */
	unsigned spills;
};

/* A host register whose guest owner the instruction does not use. */
static int spare_register(struct temps *ts)
{
	static const u8 candidates[] = {
		X86_RBX, X86_RSI, X86_RDI, X86_R8, X86_R9, X86_R10, X86_R11, X86_R12
	};

	for (unsigned i = 0; i < sizeof(candidates); i++)
		if (!(ts->busy >> candidates[i] & 1)) {
			ts->busy |= 1u << candidates[i];
			return candidates[i];
		}
	return NO_REG; /* four fields cannot use up eight candidates */
}

static void pick_host(struct temps *ts, struct temp *t)
{
	for (int r = S1; r >= S2; r--)
		if (!(ts->busy >> r & 1)) {
			ts->busy |= 1u << r;
			t->host = r;
			return;
		}
	t->host = spare_register(ts);
	t->spill = OFF(scratch[1]) + 8 * ts->spills++;
}

/* Host register for field (g, actions, size) of the instruction. */
static int temp_for(struct temps *ts, u8 g, u8 actions, u8 size)
{
	bool write = actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	bool load = actions & ZYDIS_OPERAND_ACTION_MASK_READ || actions & ZYDIS_OPERAND_ACTION_CONDWRITE ||
		    (write && size < 4);
	struct temp *t = NULL;

	if (g == GPR_NONE)
		return NO_REG;
	if (host_of(g) != NO_REG)
		return host_of(g);
	for (unsigned i = 0; i < ts->n; i++)
		if (ts->t[i].guest == g)
			t = &ts->t[i];
	if (!t) {
		t = &ts->t[ts->n++];
		*t = (struct temp){ .guest = g };
		pick_host(ts, t);
	}
	t->load |= load;
	t->store |= write;
	return t->host;
}

static void temps_begin(struct xlate *x, struct temps *ts)
{
	for (unsigned i = 0; i < ts->n; i++) {
		struct temp *t = &ts->t[i];

		if (t->spill) {
			e_store_gs(&x->e, t->spill, t->host);
			x->insn_state |= x->insn_state >> 12 ? 0 : INSN_MAP_SPILLED(t->host);
		}
		if (t->load)
			e_load_gs(&x->e, t->host, OFF_GPR(t->guest));
	}
}

static void temps_end(struct xlate *x, struct temps *ts)
{
	for (unsigned i = 0; i < ts->n; i++) {
		struct temp *t = &ts->t[i];

		if (t->store)
			e_store_gs(&x->e, OFF_GPR(t->guest), t->host);
		if (t->spill)
			e_load_gs(&x->e, t->host, t->spill);
	}
}

/* BSF and BSR leave the destination alone when the source is zero. */
static bool keeps_destination(const struct insn *in)
{
	return in->z.mnemonic == ZYDIS_MNEMONIC_BSF || in->z.mnemonic == ZYDIS_MNEMONIC_BSR;
}

static void substitute(struct temps *ts, const struct insn *in, struct subst *s)
{
	u8 extra = keeps_destination(in) ? ZYDIS_OPERAND_ACTION_READ : 0;

	ts->busy |= in->gpr_used & 0x1fffu;
	s->reg = temp_for(ts, in->g_reg, in->a_reg | extra, in->sz_reg);
	s->rm = temp_for(ts, in->g_rm, in->a_rm, in->sz_rm);
	s->vvvv = temp_for(ts, in->g_vvvv, in->a_vvvv, in->sz_vvvv);
	s->opc = temp_for(ts, in->g_opc, in->a_opc, in->sz_opc);
}

static u32 gprs_named(const struct insn *in)
{
	u32 mask = 0;

	for (unsigned i = 0; i < in->z.operand_count; i++) {
		u8 g = in->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER ? insn_gpr(in->op[i].reg.value, NULL)
								     : GPR_NONE;

		if (g != GPR_NONE)
			mask |= 1u << g;
	}
	return mask;
}

/* AH..BH exclude REX, and with it r14: the address goes through a low register. Base and index have
 * done their work, so that rbx, rsi or rdi is free. */
static void copy_high8(struct xlate *x, const struct insn *in, struct memref *m)
{
	struct temps ts = { .busy = gprs_named(in) };
	int r = spare_register(&ts);
	struct memref low = { r, NO_REG, 0 };
	struct subst s = { NO_REG, NO_REG, NO_REG, NO_REG, &low };

	x_to_s1(x, m);
	e_store_gs(&x->e, OFF(scratch[1]), r);
	x->insn_state |= INSN_MAP_SPILLED(r);
	e_mov_rr(&x->e, r, S1);
	put_insn(x, in, &s);
	e_load_gs(&x->e, r, OFF(scratch[1]));
}

static bool in_memory(u8 g)
{
	return g != GPR_NONE && host_of(g) == NO_REG;
}

static bool needs_temps(const struct insn *in)
{
	return in_memory(in->g_reg) || in_memory(in->g_rm) || in_memory(in->g_vvvv) || in_memory(in->g_opc);
}

void x_copy(struct xlate *x, const struct insn *in)
{
	struct subst s = { NO_REG, NO_REG, NO_REG, NO_REG, NULL };
	struct temps ts = { .n = 0 };
	struct memref m;

	if (x_self_loads(x, in)) {
		x_copy_loading(x, in);
		return;
	}
	if (in->has_mem) {
		m = x_operand(x, in, in->mem_size, in->mem_write);
		if (in->high8) {
			copy_high8(x, in, &m);
			return;
		}
		if (needs_temps(in))
			x_spare(x, &m);
		s.mem = &m;
		ts.busy |= 1u << m.base | (m.index != NO_REG ? 1u << m.index : 0);
	}
	substitute(&ts, in, &s);
	for (unsigned i = 0; i < ts.n; i++)
		if (ts.t[i].host == S2)
			x->s2_check = -1;
	temps_begin(x, &ts);
	put_insn(x, in, &s);
	temps_end(x, &ts);
}

void x_lea(struct xlate *x, const struct insn *in)
{
	u8 dst = insn_gpr(in->op[0].reg.value, NULL);
	struct insn plain = *in;

	plain.op[1].mem.segment = ZYDIS_REGISTER_DS; /* LEA ignores the segment */
	plain.mem_idx = 1;
	x_address(x, &plain);
	if (in->z.operand_width == 64 && host_of(dst) != NO_REG) {
		e_mov_rr(&x->e, host_of(dst), S1);
	} else if (in->z.operand_width == 64) {
		e_store_gs(&x->e, OFF_GPR(dst), S1);
	} else if (in->z.operand_width == 32) {
		e_rr(&x->e, false, 0x89, S1, host_of(dst) != NO_REG ? host_of(dst) : S1);
		if (host_of(dst) == NO_REG)
			e_store_gs(&x->e, OFF_GPR(dst), S1);
	} else if (host_of(dst) != NO_REG) {
		e_1(&x->e, 0x66);
		e_rr(&x->e, false, 0x89, S1, host_of(dst));
	} else {
		e_1(&x->e, 0x66);
		e_gs(&x->e, false, 0x89, S1, OFF_GPR(dst));
	}
}

/*
 * The bit offset is signed and reaches beyond the operand: the address moves by whole operands, and the
 * instruction runs with the offset modulo their size. Flags are computed with meanwhile, so they are kept
 * around it where the guest still wants those that BTx leaves alone.
 */
void x_bit_string(struct xlate *x, const struct insn *in)
{
	bool wide = in->z.operand_width == 64;
	u8 g = insn_gpr(in->op[1].reg.value, NULL);
	struct memref m = { S1, NO_REG, 0 };
	struct subst s = { S2, NO_REG, NO_REG, NO_REG, &m };

	x_address(x, in);
	if (in->live_in)
		x_save_flags(x);
	/* With the flags in RAX, the guest's RAX is in scratch[0]. */
	if (g == X86_RAX && in->live_in)
		e_load_gs(&x->e, S2, OFF(scratch[0]));
	else if (host_of(g) == NO_REG)
		e_load_gs(&x->e, S2, OFF_GPR(g));
	else
		e_mov_rr(&x->e, S2, host_of(g));
	if (!wide)
		e_rr(&x->e, true, 0x63, S2, S2); /* movsxd */
	e_bytes(&x->e, "\x49\xc1\xfd", 3);       /* sar s2, log2(bits) */
	e_1(&x->e, wide ? 6 : 5);
	e_lea(&x->e, x_is64(x), S1, S1, S2, wide ? 8 : 4, 0);
	if (in->live_in)
		x_restore_flags(x);
	x_check(x, wide ? 8 : 4, in->mem_write, in->live_in);
	if (host_of(g) == NO_REG)
		e_load_gs(&x->e, S2, OFF_GPR(g));
	else
		e_mov_rr(&x->e, S2, host_of(g));
	e_store_gs(&x->e, OFF(scratch[1]),
		   S1); /* bit offset modulo the size without flags: a 6- or 5-bit field */
	e_mov_ri(&x->e, S1, wide ? 63 : 31);
	e_bytes(&x->e, "\xc4\x42\x92\xf5\xee", 5); /* pext s2, s2, s1 */
	e_load_gs(&x->e, S1, OFF(scratch[1]));
	put_insn(x, in, &s);
}

/* vmovdqa xmm, xmm (what is above 128 bits becomes zero) or vpxor xmm, xmm, xmm, for eight registers. */
void x_vzero(struct xlate *x, const struct insn *in)
{
	bool all = in->z.mnemonic == ZYDIS_MNEMONIC_VZEROALL;

	for (u8 r = 0; r < 8; r++) {
		e_1(&x->e, 0xc5);
		e_1(&x->e, all ? (u8)(0x81 | (~r & 15) << 3) : 0xf9);
		e_1(&x->e, all ? 0xef : 0x6f);
		e_1(&x->e, (u8)(0xc0 | r << 3 | r));
	}
}
