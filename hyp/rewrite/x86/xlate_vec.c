/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathers and scatters: registers into cpu->vec, the helper (helpers_vec.c), and the result from there. What
 * the helper leaves to the interpreter does not come back to the code behind it (H_TAIL).
 */
#include "hyp/rewrite/x86/helpers.h"
#include "hyp/rewrite/x86/xlate.h"

/* vmovups, all of the register the encoding reaches: zmm0-31, or ymm0-15 on hosts that may not have more */
static void move_vec(struct xlate *x, bool evex, bool load, unsigned reg, unsigned slot)
{
	u8 rxb = (u8)((reg & 8 ? 0 : 0x80) | 0x61);

	e_1(&x->e, 0x65);
	if (evex) {
		e_1(&x->e, 0x62);
		e_1(&x->e, reg & 16 ? rxb : rxb | 0x10);
		e_bytes(&x->e, "\x7c\x48", 2);
	} else {
		e_1(&x->e, 0xc4);
		e_1(&x->e, rxb);
		e_1(&x->e, 0x7c);
	}
	e_1(&x->e, load ? 0x10 : 0x11);
	e_1(&x->e, (u8)((reg & 7) << 3 | 4));
	e_1(&x->e, 0x25);
	e_4(&x->e, OFF(vec) + slot * HYP_VEC_BYTES);
}

/* kmovw gs:[mask], k */
static void store_k(struct xlate *x, unsigned k)
{
	e_bytes(&x->e, "\x65\xc5\xf8\x91", 4);
	e_1(&x->e, (u8)(k << 3 | 4));
	e_1(&x->e, 0x25);
	e_4(&x->e, OFF(vec) + HYP_VEC_MASK * HYP_VEC_BYTES);
}

/* kxorw k, k, k */
static void clear_k(struct xlate *x, unsigned k)
{
	e_1(&x->e, 0xc5);
	e_1(&x->e, (u8)(0x84 | (~k & 15) << 3));
	e_1(&x->e, 0x47);
	e_1(&x->e, (u8)(0xc0 | k << 3 | k));
}

/* vpxor xmm, xmm, xmm: the rest becomes zero too */
static void clear_vec(struct xlate *x, unsigned reg)
{
	e_1(&x->e, 0xc4);
	e_1(&x->e, reg & 8 ? 0x41 : 0xe1);
	e_1(&x->e, (u8)(0x01 | (~reg & 15) << 3));
	e_1(&x->e, 0xef);
	e_1(&x->e, (u8)(0xc0 | (reg & 7) << 3 | (reg & 7)));
}

static unsigned number(const ZydisDecodedOperand *o)
{
	return (unsigned)ZydisRegisterGetId(o->reg.value);
}

void x_gather_scatter(struct xlate *x, const struct insn *in)
{
	bool evex = in->z.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX, gather = in->helper == HELPER_gather;
	unsigned data = number(&in->op[gather ? 0 : 2]), mask = number(&in->op[evex ? 1 : 2]);

	x_address(x, in);
	move_vec(x, evex, false, (unsigned)ZydisRegisterGetId(in->op[in->mem_idx].mem.index), HYP_VEC_INDEX);
	move_vec(x, evex, false, data, HYP_VEC_DATA);
	if (evex)
		store_k(x, mask);
	else
		move_vec(x, false, false, mask, HYP_VEC_MASK);
	x_helper_site(x, in);
	if (gather)
		move_vec(x, evex, true, data, HYP_VEC_DATA);
	if (evex)
		clear_k(x, mask);
	else
		clear_vec(x, mask);
}

/* ---- which ones ------------------------------------------------------------------------------- */

static unsigned width(ZydisRegister r)
{
	return ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, r) / 8;
}

bool insn_vsib(const struct insn *in, u8 *helper, u64 *operand)
{
	bool evex = in->z.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
	bool gather = in->z.opcode >= 0x90 && in->z.opcode <= 0x93;
	const ZydisDecodedOperand *m = &in->op[in->mem_idx], *data = &in->op[gather ? 0 : 2];
	unsigned elem = m->element_size / 8, ielem = in->z.opcode & 1 ? 8 : 4, n;

	if ((!gather && (!evex || in->z.opcode < 0xa0 || in->z.opcode > 0xa3)) || in->z.address_width != 64 ||
	    in->z.opcode_map != ZYDIS_OPCODE_MAP_0F38 || in->z.operand_count_visible != 3 ||
	    data->type != ZYDIS_OPERAND_TYPE_REGISTER || (elem != 4 && elem != 8))
		return false;
	if (evex &&
	    (in->op[1].type != ZYDIS_OPERAND_TYPE_REGISTER || in->op[1].reg.value == ZYDIS_REGISTER_K0))
		return false;
	/* registers that must differ: #UD is the interpreter's */
	if (gather && number(data) == (unsigned)ZydisRegisterGetId(m->mem.index))
		return false;
	if (!evex && (number(&in->op[2]) == number(data) ||
		      number(&in->op[2]) == (unsigned)ZydisRegisterGetId(m->mem.index)))
		return false;
	n = MIN(width(data->reg.value) / elem, width(m->mem.index) / ielem);
	*helper = gather ? HELPER_gather : HELPER_scatter;
	*operand = elem | (ielem == 8 ? H_VEC_QINDEX : 0) | (evex ? H_VEC_K : 0) |
		   (u64)__builtin_ctz(m->mem.scale ? m->mem.scale : 1u) << H_VEC_SCALE |
		   (u64)n << H_VEC_LANES;
	return true;
}
