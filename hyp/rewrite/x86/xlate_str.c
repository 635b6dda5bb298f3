/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String instructions without a repeat prefix: one or two accesses, then RSI and RDI move by the element's
 * size in the direction of DF. Repeated ones are helpers (helpers.c).
 */
#include "hyp/rewrite/x86/xlate.h"

static void address_of(struct xlate *x, int reg)
{
	x_mov(x, S1, reg);
}

/* op reg, [S1]; `op` is the opcode for bytes, the next one is for the other sizes */
static void op_mem(struct xlate *x, u8 op, int reg, unsigned size)
{
	if (size == 2)
		e_1(&x->e, 0x66);
	e_rm(&x->e, size == 8, size == 1 ? op : op | 1, reg, S1, 0);
}

/* reg += DF ? -size : size, flags kept. s2 = -1 or -3: reg + size * s2 + 2 * size */
static void step(struct xlate *x, int reg, unsigned size)
{
	e_lea(&x->e, x_is64(x), reg, reg, S2, size, 2 * (s32)size);
}

static void load_direction(struct xlate *x)
{
	e_gs(&x->e, false, 0x8b, S2, OFF(df));
	e_bytes(&x->e, "\xc4\x43\x7b\xf0\xed\x09", 6); /* rorx s2d, s2d, 9: 0 or 2 */
	e_bytes(&x->e, "\x49\xf7\xd5", 3);             /* not s2 */
}

/* [RSI] to a scratch slot, for the access to [RDI] that follows. */
static void load_source(struct xlate *x, const struct insn *in, unsigned size)
{
	address_of(x, X86_RSI);
	x_check(x, size, false, in->live_in);
	op_mem(x, 0x8a, S2, size);
	e_store_gs(&x->e, OFF(scratch[1]), S2);
}

static void check_destination(struct xlate *x, const struct insn *in, unsigned size, bool write)
{
	address_of(x, X86_RDI);
	x_check(x, size, write, in->live_in);
}

void x_string(struct xlate *x, const struct insn *in)
{
	unsigned size = in->z.opcode & 1 ? in->z.operand_width / 8 : 1;
	bool source = true, destination = true;

	switch (in->z.opcode & 0xfe) {
	case 0xa4: /* MOVS */
		load_source(x, in, size);
		check_destination(x, in, size, true);
		e_load_gs(&x->e, S2, OFF(scratch[1]));
		op_mem(x, 0x88, S2, size);
		break;
	case 0xa6: /* CMPS */
		load_source(x, in, size);
		check_destination(x, in, size, false);
		e_load_gs(&x->e, S2, OFF(scratch[1]));
		op_mem(x, 0x3a, S2, size);
		break;
	case 0xaa: /* STOS */
		check_destination(x, in, size, true);
		op_mem(x, 0x88, X86_RAX, size);
		source = false;
		break;
	case 0xac: /* LODS */
		address_of(x, X86_RSI);
		x_check(x, size, false, in->live_in);
		op_mem(x, 0x8a, X86_RAX, size);
		destination = false;
		break;
	default: /* SCAS */
		check_destination(x, in, size, false);
		op_mem(x, 0x3a, X86_RAX, size);
		source = false;
	}
	load_direction(x);
	if (source)
		step(x, X86_RSI, size);
	if (destination)
		step(x, X86_RDI, size);
}
