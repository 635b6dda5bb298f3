/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Re-encodes one instruction of any mode as 64-bit code: the same opcode and immediate, with
 *  - the memory operand as [ptr_reg], one of the eight low registers, so that no REX bit is needed and
 *    AH..BH stay encodable;
 *  - RSP as an operand replaced by rsp_reg, for the same reason a low register;
 *  - segment overrides and the address-size prefix dropped;
 *  - the operand-size prefix present exactly where the operands are 16 bits wide (in 16-bit code that
 *    is where it was absent), unless it is part of the opcode.
 *
 *	16-bit code: 01 48 04 (add [bx+si+4], cx)   ->   66 01 0e (add [rsi], cx)
 */
#include <string.h>

#include <Zydis/Zydis.h>

#include "hyp/sys/x86/interp.h"

struct enc {
	ZydisDecodedInstruction zi;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	struct x86_insn *in;
	u8 *out;
	unsigned n;
	bool mem;
	bool legacy; /* from 16- or 32-bit code */
};

static void emit(struct enc *e, u8 b)
{
	e->out[e->n++] = b;
}

/* ---- free registers -------------------------------------------------------------------------- */

/* Low three bits 4 and 5 mean other addressing forms. */
static u8 pick_reg(u16 *used)
{
	static const u8 order[] = { X86_RSI, X86_RDI, X86_RBX, X86_RCX, X86_RDX, X86_RAX };

	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		if (*used & 1u << order[i])
			continue;
		*used |= 1u << order[i];
		return order[i];
	}
	return X86_REG_NONE;
}

static bool is_rsp(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       (o->reg.value == ZYDIS_REGISTER_RSP || o->reg.value == ZYDIS_REGISTER_ESP ||
		o->reg.value == ZYDIS_REGISTER_SP || o->reg.value == ZYDIS_REGISTER_SPL);
}

/* The first operand encoded as `encoding` is RSP. */
static bool rsp_in(const struct enc *e, ZydisOperandEncoding encoding)
{
	for (unsigned i = 0; i < e->zi.operand_count; i++)
		if (e->op[i].encoding == encoding && is_rsp(&e->op[i]))
			return true;
	return false;
}

static bool pick_registers(struct enc *e)
{
	u16 used = e->in->gpr_used;

	e->in->ptr_reg = e->in->rsp_reg = X86_REG_NONE;
	if (e->mem && (e->in->ptr_reg = pick_reg(&used)) == X86_REG_NONE)
		return false;
	if (e->in->gpr_used & 1u << X86_RSP && (e->in->rsp_reg = pick_reg(&used)) == X86_REG_NONE)
		return false;
	return true;
}

/* ---- the parts after the prefixes ------------------------------------------------------------ */

static u8 modrm(const struct enc *e)
{
	u8 b = e->in->bytes[e->zi.raw.modrm.offset];

	if (e->mem)
		b = (b & 0x38) | e->in->ptr_reg;
	if (rsp_in(e, ZYDIS_OPERAND_ENCODING_MODRM_REG))
		b = (b & ~0x38) | e->in->rsp_reg << 3;
	if (rsp_in(e, ZYDIS_OPERAND_ENCODING_MODRM_RM))
		b = (b & ~7) | e->in->rsp_reg;
	return b;
}

/* Offset of the first byte after ModRM, SIB and displacement. */
static unsigned tail_offset(const struct enc *e)
{
	unsigned t = e->zi.raw.modrm.offset + 1;

	if (e->zi.attributes & ZYDIS_ATTRIB_HAS_SIB)
		t = e->zi.raw.sib.offset + 1;
	if (e->zi.raw.disp.size)
		t = e->zi.raw.disp.offset + e->zi.raw.disp.size / 8;
	return t;
}

/* Opcode bytes from `from`, ModRM, immediate. */
static void emit_body(struct enc *e, unsigned from)
{
	bool has_modrm = e->zi.attributes & ZYDIS_ATTRIB_HAS_MODRM;
	unsigned end = has_modrm ? e->zi.raw.modrm.offset : e->in->len,
		 tail = has_modrm ? tail_offset(e) : e->in->len;

	for (unsigned i = from; i < end; i++) {
		u8 b = e->in->bytes[i];
		bool last = has_modrm               ? i + 1 == end
			    : e->zi.raw.imm[0].size ? i + 1 == e->zi.raw.imm[0].offset
						    : i + 1 == end;

		if (last && rsp_in(e, ZYDIS_OPERAND_ENCODING_OPCODE))
			b = (b & ~7) | e->in->rsp_reg;
		emit(e, b);
	}
	if (has_modrm)
		emit(e, modrm(e));
	for (unsigned i = tail; i < e->in->len; i++)
		emit(e, e->in->bytes[i]);
}

/* ---- legacy encoding ------------------------------------------------------------------------- */

static bool mandatory_66(const ZydisDecodedInstruction *zi)
{
	for (unsigned i = 0; i < zi->raw.prefix_count; i++)
		if (zi->raw.prefixes[i].value == 0x66 &&
		    zi->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
			return true;
	return false;
}

/* Integer and x87 environment instructions take their size from 66; these do not. */
static bool size_fixed(const struct enc *e)
{
	switch (e->zi.mnemonic) {
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_ADOX:
	case ZYDIS_MNEMONIC_ADCX:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_MOVDIRI:
		return true;
	default:
		return e->in->flags & X86_IN_VEC && e->zi.meta.isa_ext != ZYDIS_ISA_EXT_X87;
	}
}

static void emit_legacy_prefixes(struct enc *e)
{
	if (mandatory_66(&e->zi) || (e->zi.operand_width == 16 && !size_fixed(e)))
		emit(e, 0x66);
	for (unsigned i = 0; i < e->zi.raw.prefix_count; i++) {
		u8 p = e->zi.raw.prefixes[i].value;

		if (p == 0xf0 ||
		    ((p == 0xf2 || p == 0xf3) && e->zi.raw.prefixes[i].type != ZYDIS_PREFIX_TYPE_IGNORED))
			emit(e, p);
	}
	if (e->zi.attributes & ZYDIS_ATTRIB_HAS_REX) {
		u8 rex = e->in->bytes[e->zi.raw.rex.offset];

		emit(e, e->mem ? rex & 0x4c : rex);
	}
}

static unsigned encode_legacy(struct enc *e)
{
	unsigned from = e->zi.raw.prefix_count;
	u8 opcode = e->in->bytes[from];

	emit_legacy_prefixes(e);
	if (e->legacy && (opcode & 0xf0) == 0x40 && e->zi.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) {
		/* one-byte INC and DEC are REX prefixes in 64-bit code */
		u8 reg = opcode & 7;

		emit(e, 0xff);
		emit(e, 0xc0 | (opcode & 8) | (reg == X86_RSP ? e->in->rsp_reg : reg));
		return e->n;
	}
	emit_body(e, from);
	if (e->legacy && opcode == 0x82 && e->zi.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
		for (unsigned i = 0; i < e->n; i++)
			if (e->out[i] == 0x82) {
				e->out[i] = 0x80;
				break;
			}
	return e->n;
}

/* ---- VEX, EVEX ------------------------------------------------------------------------------- */

static bool has_gpr(const struct enc *e)
{
	for (unsigned i = 0; i < e->in->nopnd; i++)
		if (e->in->opnd[i].type == X86_OPND_GPR)
			return true;
	return false;
}

/* Outside 64-bit mode W is ignored where it would select a 64-bit general-purpose operand. */
static bool w_ignored(const struct enc *e)
{
	switch (e->zi.mnemonic) {
	case ZYDIS_MNEMONIC_VCVTSI2SD:
	case ZYDIS_MNEMONIC_VCVTSI2SS:
	case ZYDIS_MNEMONIC_VCVTSI2SH:
	case ZYDIS_MNEMONIC_VCVTUSI2SD:
	case ZYDIS_MNEMONIC_VCVTUSI2SS:
	case ZYDIS_MNEMONIC_VCVTUSI2SH:
	case ZYDIS_MNEMONIC_VMOVD:
	case ZYDIS_MNEMONIC_VPEXTRD:
	case ZYDIS_MNEMONIC_VPINSRD:
	case ZYDIS_MNEMONIC_VPCMPESTRI: /* lengths in EAX and EDX */
	case ZYDIS_MNEMONIC_VPCMPESTRM:
		return true;
	default:
		return has_gpr(e);
	}
}

/* ... but for these with VEX, where it is #UD. */
static bool w_invalid(const struct enc *e)
{
	return e->legacy && e->zi.raw.vex.W &&
	       (e->zi.mnemonic == ZYDIS_MNEMONIC_VPEXTRD || e->zi.mnemonic == ZYDIS_MNEMONIC_VPINSRD);
}

/* Bit 7 of a register in an immediate is ignored outside 64-bit mode. */
static void fix_is4(struct enc *e)
{
	for (unsigned i = 0; e->legacy && i < e->zi.operand_count; i++)
		if (e->op[i].encoding == ZYDIS_OPERAND_ENCODING_IS4)
			e->out[e->n - 1] &= 0x7f;
}

static unsigned encode_vex(struct enc *e)
{
	const u8 *p = e->in->bytes + e->zi.raw.vex.offset;
	bool three = p[0] == 0xc4;
	u8 last = p[three ? 2 : 1];

	if (e->legacy)
		last |= 0x40;
	if (w_invalid(e))
		return 0;
	if (e->legacy && three && w_ignored(e))
		last &= 0x7f;
	if (rsp_in(e, ZYDIS_OPERAND_ENCODING_NDSNDD))
		last = (last & ~0x78) | (~e->in->rsp_reg & 0xf) << 3;
	emit(e, p[0]);
	if (three)
		emit(e, p[1] | (e->mem ? 0x60 : 0) | (e->legacy ? 0xe0 : 0));
	emit(e, last);
	emit_body(e, e->zi.raw.vex.offset + e->zi.raw.vex.size);
	fix_is4(e);
	return e->n;
}

static unsigned encode_evex(struct enc *e)
{
	const u8 *p = e->in->bytes + e->zi.raw.evex.offset;

	u8 p1 = e->legacy ? p[2] | 0x40 : p[2];

	if (e->legacy && w_ignored(e))
		p1 &= 0x7f;
	emit(e, 0x62);
	emit(e, p[1] | (e->mem ? 0x60 : 0) | (e->legacy ? 0xf0 : 0));
	emit(e, p1);
	emit(e, e->legacy ? p[3] | 0x08 : p[3]);
	emit_body(e, e->zi.raw.evex.offset + 4);
	return e->n;
}

unsigned x86_native_encode(struct x86_insn *in, u8 *out)
{
	struct enc e = { .in = in, .out = out, .mem = in->mem.acc != 0, .legacy = in->dmode != X86_DM_64 };

	if (!x86_decode_full(in->dmode, in->bytes, in->len, &e.zi, e.op) || !pick_registers(&e))
		return 0;
	switch (e.zi.encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_LEGACY:
	case ZYDIS_INSTRUCTION_ENCODING_3DNOW:
		return encode_legacy(&e);
	case ZYDIS_INSTRUCTION_ENCODING_VEX:
		return encode_vex(&e);
	case ZYDIS_INSTRUCTION_ENCODING_EVEX:
		return encode_evex(&e);
	default:
		return 0; /* XOP, MVEX: not on any host of ours */
	}
}
