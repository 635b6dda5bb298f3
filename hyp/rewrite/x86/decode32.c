/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 32-bit code (compatibility mode, protected mode) as 64-bit code.
 *
 * Most instructions are the same bytes in both: they are copied as 64-bit code is. That is not assumed but
 * looked at: one is copied only where its bytes, decoded as 64-bit code, are the same instruction on the same
 * operands, memory addressing aside (insn32_is_same). Two encodings that every 32-bit program has are others
 * there and are replaced when they are decoded; the rest of the translator sees 64-bit forms:
 *
 *	40..4f        inc, dec r    ->  ff /0, ff /1         (REX prefixes in 64-bit code)
 *	a0..a3 moffs  mov al/eax    ->  67 8a/8b/88/89 /r    with a SIB byte that names no register
 *
 * What has another width (the stack, branches, counters) is emitted with the block's width, and what exists
 * in 32-bit code only is a helper or the interpreter's.
 *
 * The segments CS, DS, ES and SS are flat (cpu->flat; otherwise the interpreter runs); FS and GS have a base
 * and an end (xlate_seg.c).
 */
#include <string.h>

#include "hyp/rewrite/x86/decode.h"
#include "hyp/rewrite/x86/engine.h"
#include "hyp/rewrite/x86/helpers.h"

/* ---- encodings that are something else in 64-bit code ---------------------------------------------- */

/* Of several segment prefixes the last one counts here, but 64-bit code looks at FS and GS only. */
static bool prefix_is_dropped(const ZydisDecodedInstruction *z, u8 prefix)
{
	switch (prefix) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		return true;
	case 0x64:
		return !(z->attributes & ZYDIS_ATTRIB_HAS_SEGMENT_FS);
	case 0x65:
		return !(z->attributes & ZYDIS_ATTRIB_HAS_SEGMENT_GS);
	default:
		return false;
	}
}

static unsigned put_prefixes(const ZydisDecodedInstruction *z, u8 *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < z->raw.prefix_count; i++)
		if (!prefix_is_dropped(z, z->raw.prefixes[i].value))
			out[n++] = z->raw.prefixes[i].value;
	return n;
}

static unsigned rewrite_inc_dec(const ZydisDecodedInstruction *z, u8 *out)
{
	unsigned n = put_prefixes(z, out);

	out[n++] = 0xff;
	out[n++] = 0xc0 | (z->opcode & 15);
	return n;
}

static unsigned rewrite_moffs(const ZydisDecodedInstruction *z, const u8 *bytes, u8 *out)
{
	unsigned n = put_prefixes(z, out);

	out[n++] = 0x67;
	out[n++] = (z->opcode & 1) | (z->opcode & 2 ? 0x88 : 0x8a);
	out[n++] = 0x04; /* reg AL or EAX, SIB */
	out[n++] = 0x25; /* no base, no index, disp32 */
	memcpy(out + n, bytes + z->length - 4, 4);
	return n + 4;
}

unsigned insn32_rewrite(const ZydisDecodedInstruction *z, const u8 *bytes, u8 *out)
{
	if (z->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT || z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    z->attributes & ZYDIS_ATTRIB_HAS_LOCK || z->raw.prefix_count > 4)
		return 0;
	if ((z->opcode & 0xf0) == 0x40)
		return rewrite_inc_dec(z, out);
	if ((z->opcode & 0xfc) == 0xa0 && z->address_width == 32 &&
	    !(z->opcode & 2 && z->attributes & ZYDIS_ATTRIB_HAS_SEGMENT_CS)) /* code is not writable */
		return rewrite_moffs(z, bytes, out);
	return 0;
}

/* ---- is it the same instruction in 64-bit code? ------------------------------------------------------ */

static bool same_operand(const ZydisDecodedOperand *a, const ZydisDecodedOperand *b)
{
	if (a->type != b->type || a->size != b->size || a->encoding != b->encoding ||
	    a->actions != b->actions)
		return false;
	if (a->type == ZYDIS_OPERAND_TYPE_REGISTER)
		return a->reg.value == b->reg.value;
	if (a->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return a->imm.value.u == b->imm.value.u;
	return a->type == ZYDIS_OPERAND_TYPE_MEMORY;
}

bool insn32_is_same(const struct insn *in)
{
	struct insn wide;

	if (in->elen != in->len)
		return true; /* it is 64-bit code already */
	if (!insn_decode(&wide, in->bytes, in->len, in->pc, 64) || wide.len != in->len)
		return false;
	if (wide.z.mnemonic != in->z.mnemonic || wide.z.operand_width != in->z.operand_width ||
	    wide.z.operand_count_visible != in->z.operand_count_visible || wide.rex)
		return false;
	for (unsigned i = 0; i < in->z.operand_count_visible; i++)
		if (!same_operand(&in->op[i], &wide.op[i]))
			return false;
	return true;
}

/* ---- classes ------------------------------------------------------------------------------------- */

static bool is_segment(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_SEGMENT;
}

/* SS is the interpreter's: it blocks interrupts for one instruction. */
static u8 class_of_stack(struct insn *in)
{
	bool push = in->z.mnemonic == ZYDIS_MNEMONIC_PUSH;

	if (in->z.operand_width != 32)
		return INSN_INTERP;
	if (!is_segment(&in->op[0]))
		return push ? INSN_PUSH : INSN_POP;
	if (!push && in->op[0].reg.value == ZYDIS_REGISTER_SS)
		return INSN_INTERP;
	return insn_use_helper(in, push ? HELPER_push_seg : HELPER_pop_seg,
			       (u64)ZydisRegisterGetId(in->op[0].reg.value));
}

/* A memory operand that is not "flat segment, 32-bit address". */
static bool mem_is_strange(const struct insn *in)
{
	return in->has_mem && (in->z.address_width == 16 ||
			       (in->mem_write && in->op[in->mem_idx].mem.segment == ZYDIS_REGISTER_CS));
}

u8 insn32_class(struct insn *in, u32 key, u8 cls)
{
	bool narrow = in->z.address_width == 16 || in->z.operand_width == 16;

	if (mem_is_strange(in))
		return cls == INSN_COPY ? INSN_INTERP : INSN_INTERP_END;
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_JECXZ:
		return narrow ? INSN_INTERP_END : INSN_JRCXZ;
	case ZYDIS_MNEMONIC_LOOP:
		return narrow ? INSN_INTERP_END : INSN_LOOP;
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
		return class_of_stack(in);
	case ZYDIS_MNEMONIC_LEAVE:
		return in->z.operand_width == 32 ? INSN_LEAVE : INSN_INTERP;
	case ZYDIS_MNEMONIC_PUSHFD:
		return INSN_PUSHF;
	case ZYDIS_MNEMONIC_VZEROALL: /* eight registers here, all of them in 64-bit code */
	case ZYDIS_MNEMONIC_VZEROUPPER:
		return key & KEY_AVX ? INSN_VZERO : INSN_INTERP;
	default:
		return INSN_COPY;
	}
}
