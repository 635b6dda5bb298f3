/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to struct x86_insn: Zydis decodes, this file keeps the 200 bytes of its answer that
 * execution needs, and names the function that will execute it.
 */
#include <string.h>

#include <Zydis/Zydis.h>

#include "hyp/sys/x86/interp.h"

static const struct {
	ZydisMachineMode mode;
	ZydisStackWidth stack;
} decode_modes[X86_DM_NR] = {
	[X86_DM_64] = { ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	[X86_DM_C32] = { ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32 },
	[X86_DM_C16] = { ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16 },
	[X86_DM_32] = { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
	[X86_DM_16] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
	[X86_DM_REAL] = { ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
};

static ZydisDecoder decoders[X86_DM_NR];

/* MPX is not offered: its instructions are the NOPs they were before it. */
static __attribute__((constructor)) void decoders_init(void)
{
	for (unsigned i = 0; i < X86_DM_NR; i++) {
		ZydisDecoderInit(&decoders[i], decode_modes[i].mode, decode_modes[i].stack);
		ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	}
}

enum x86_dmode x86_decode_mode(const struct hyp_cpu *cpu)
{
	bool lma = cpu->s.efer & X86_EFER_LMA;

	if (cpu->code_size == 64)
		return X86_DM_64;
	if (!(cpu->s.cr0 & X86_CR0_PE) || (cpu->s.rflags & X86_FL_VM))
		return cpu->code_size == 32 ? X86_DM_32 : X86_DM_REAL;
	if (cpu->code_size == 32)
		return lma ? X86_DM_C32 : X86_DM_32;
	return lma ? X86_DM_C16 : X86_DM_16;
}

/* ---- registers ------------------------------------------------------------------------------- */

static u8 gpr_index(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return r - ZYDIS_REGISTER_AL;
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return X86_REG_HIGH + (r - ZYDIS_REGISTER_AH);
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return 4 + (r - ZYDIS_REGISTER_SPL);
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return r - ZYDIS_REGISTER_AX;
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return r - ZYDIS_REGISTER_EAX;
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return r - ZYDIS_REGISTER_RAX;
	return X86_REG_NONE;
}

static bool is_vector_class(ZydisRegisterClass c)
{
	return c == ZYDIS_REGCLASS_X87 || (c >= ZYDIS_REGCLASS_MMX && c <= ZYDIS_REGCLASS_ZMM) ||
	       c == ZYDIS_REGCLASS_MASK;
}

static u8 seg_index(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_ES && r <= ZYDIS_REGISTER_GS ? r - ZYDIS_REGISTER_ES : X86_DS;
}

/* ---- operands -------------------------------------------------------------------------------- */

static void reg_operand(struct x86_insn *in, const ZydisDecodedOperand *zo, struct x86_opnd *o)
{
	ZydisRegister r = zo->reg.value;
	ZydisRegisterClass c = ZydisRegisterGetClass(r);

	o->reg = gpr_index(r);
	if (o->reg != X86_REG_NONE)
		o->type = X86_OPND_GPR;
	else if (c == ZYDIS_REGCLASS_SEGMENT)
		o->type = X86_OPND_SEG, o->reg = seg_index(r);
	else if (c == ZYDIS_REGCLASS_CONTROL)
		o->type = X86_OPND_CR, o->reg = r - ZYDIS_REGISTER_CR0;
	else if (c == ZYDIS_REGCLASS_DEBUG)
		o->type = X86_OPND_DR, o->reg = r - ZYDIS_REGISTER_DR0;
	else if (c == ZYDIS_REGCLASS_MASK)
		o->type = X86_OPND_MASK, o->reg = r - ZYDIS_REGISTER_K0;
	else if (is_vector_class(c))
		o->type = X86_OPND_VEC, o->reg = ZydisRegisterGetId(r);
	else
		o->type = X86_OPND_OTHER;
}

static void mem_operand(struct x86_insn *in, const ZydisDecodedOperand *zo)
{
	const ZydisDecodedOperandMem *zm = &zo->mem;
	struct x86_mem *m = &in->mem;

	m->seg = seg_index(zm->segment);
	m->rip_relative = zm->base == ZYDIS_REGISTER_RIP || zm->base == ZYDIS_REGISTER_EIP;
	m->base = m->rip_relative ? X86_REG_NONE : gpr_index(zm->base);
	m->index = gpr_index(zm->index);
	m->scale = zm->scale;
	m->disp = zm->disp.value;
	m->size = zo->size / 8;
	m->elem = zo->element_size / 8;
	m->agen = zm->type == ZYDIS_MEMOP_TYPE_AGEN;
	if (zo->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		m->acc |= X86_ACC_R;
	if (zo->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		m->acc |= X86_ACC_W;
	if (zm->type == ZYDIS_MEMOP_TYPE_VSIB) {
		m->vsib = ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, zm->index) / 8;
		m->index = ZydisRegisterGetId(zm->index);
	}
}

static void explicit_operand(struct x86_insn *in, const ZydisDecodedOperand *zo, struct x86_opnd *o,
			     unsigned *nimm)
{
	o->size = zo->size / 8;
	switch (zo->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		reg_operand(in, zo, o);
		break;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		o->type = X86_OPND_MEM;
		mem_operand(in, zo);
		break;
	case ZYDIS_OPERAND_TYPE_POINTER:
		o->type = X86_OPND_PTR;
		in->imm[0] = zo->ptr.offset;
		in->imm[1] = zo->ptr.segment;
		break;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		o->type = X86_OPND_IMM;
		o->reg = *nimm & 1;
		in->imm[(*nimm)++ & 1] = zo->imm.value.u;
		break;
	default:
		break;
	}
}

static u8 segment_prefix(const ZydisDecodedInstruction *zi)
{
	static const u8 prefix[6] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	u8 seg = X86_DS;

	for (unsigned i = 0; i < zi->raw.prefix_count; i++)
		for (unsigned s = 0; s < 6; s++)
			if (zi->raw.prefixes[i].value == prefix[s])
				seg = s;
	return zi->machine_mode == ZYDIS_MACHINE_MODE_LONG_64 && seg < X86_FS ? X86_DS : seg;
}

static void operands(struct x86_insn *in, const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *zo)
{
	unsigned nimm = 0;

	in->mem.base = in->mem.index = X86_REG_NONE;
	for (unsigned i = 0; i < zi->operand_count; i++) {
		if (zo[i].type == ZYDIS_OPERAND_TYPE_REGISTER) {
			u8 r = gpr_index(zo[i].reg.value);

			if (r != X86_REG_NONE)
				in->gpr_used |= 1u << (r >= X86_REG_HIGH ? r - X86_REG_HIGH : r);
			if (is_vector_class(ZydisRegisterGetClass(zo[i].reg.value)))
				in->flags |= X86_IN_VEC;
		}
		if (zo[i].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			continue;
		/* the write-mask is an operand only to Zydis */
		if (zo[i].encoding == ZYDIS_OPERAND_ENCODING_MASK) {
			in->mask_reg = zo[i].reg.value - ZYDIS_REGISTER_K0;
			continue;
		}
		if (in->nopnd < ARRAY_SIZE(in->opnd))
			explicit_operand(in, &zo[i], &in->opnd[in->nopnd++], &nimm);
	}
	/* implicit operands that hold the segment of a string source or of XLAT, MASKMOV */
	in->mem.seg = in->mem.size ? in->mem.seg : segment_prefix(zi);
	for (unsigned i = 0; i < zi->operand_count && !in->mem.size; i++)
		if (zo[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    zo[i].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
		    zo[i].mem.segment != ZYDIS_REGISTER_ES)
			in->mem.seg = seg_index(zo[i].mem.segment);
}

/* ---- state the instruction needs ------------------------------------------------------------- */

static const u8 gate_of_ext[ZYDIS_ISA_EXT_MAX_VALUE + 1] = {
	[ZYDIS_ISA_EXT_X87] = X86_GATE_X87,
	[ZYDIS_ISA_EXT_MMX] = X86_GATE_MMX,
	[ZYDIS_ISA_EXT_AMD3DNOW] = X86_GATE_MMX,
	[ZYDIS_ISA_EXT_SSE] = X86_GATE_SSE,
	[ZYDIS_ISA_EXT_SSE2] = X86_GATE_SSE,
	[ZYDIS_ISA_EXT_SSE3] = X86_GATE_SSE,
	[ZYDIS_ISA_EXT_SSSE3] = X86_GATE_SSE,
	[ZYDIS_ISA_EXT_SSE4] = X86_GATE_SSE,
	[ZYDIS_ISA_EXT_SSE4A] = X86_GATE_SSE,
	[ZYDIS_ISA_EXT_AES] = X86_GATE_SSE,
	[ZYDIS_ISA_EXT_PCLMULQDQ] = X86_GATE_SSE,
	[ZYDIS_ISA_EXT_SHA] = X86_GATE_SSE,
	[ZYDIS_ISA_EXT_GFNI] = X86_GATE_SSE,
	[ZYDIS_ISA_EXT_XSAVE] = X86_GATE_XSAVE,
	[ZYDIS_ISA_EXT_XSAVEC] = X86_GATE_XSAVE,
	[ZYDIS_ISA_EXT_XSAVEOPT] = X86_GATE_XSAVE,
	[ZYDIS_ISA_EXT_XSAVES] = X86_GATE_XSAVE,
};

/* SSE instructions that touch no SSE state: SDM vol. 2, tables 2-16 on */
static bool sse_without_state(const ZydisDecodedInstruction *zi)
{
	switch (zi->mnemonic) {
	case ZYDIS_MNEMONIC_POPCNT:
	case ZYDIS_MNEMONIC_CRC32:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
		return true;
	default:
		return false;
	}
}

static u8 gate_of(const ZydisDecodedInstruction *zi)
{
	bool gpr_only = zi->meta.isa_ext == ZYDIS_ISA_EXT_BMI1 || zi->meta.isa_ext == ZYDIS_ISA_EXT_BMI2 ||
			zi->meta.isa_ext == ZYDIS_ISA_EXT_TBM;

	switch (zi->mnemonic) {
	case ZYDIS_MNEMONIC_FWAIT: return X86_GATE_FWAIT;
	case ZYDIS_MNEMONIC_FISTTP: return X86_GATE_X87; /* SSE3 by name only */
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64: return X86_GATE_FXSR;
	case ZYDIS_MNEMONIC_XGETBV:
	case ZYDIS_MNEMONIC_XSETBV: return X86_GATE_NONE;
	default: break;
	}
	if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX || zi->meta.isa_ext == ZYDIS_ISA_EXT_AVX512VEX)
		return X86_GATE_AVX512;
	if ((zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ||
	     zi->encoding == ZYDIS_INSTRUCTION_ENCODING_XOP) &&
	    !gpr_only)
		return X86_GATE_AVX;
	if (sse_without_state(zi))
		return X86_GATE_NONE;
	/* SSE instructions on MMX registers are SSE to these rules but those without XMM operands */
	return gate_of_ext[zi->meta.isa_ext];
}

static bool is_string(const ZydisDecodedInstruction *zi)
{
	return zi->meta.category == ZYDIS_CATEGORY_STRINGOP || zi->meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

/* EVEX exception classes with fault suppression: SDM vol. 2, 2.8 */
static bool suppresses_faults(ZydisExceptionClass c)
{
	switch (c) {
	case ZYDIS_EXCEPTION_CLASS_E1:
	case ZYDIS_EXCEPTION_CLASS_E2:
	case ZYDIS_EXCEPTION_CLASS_E3:
	case ZYDIS_EXCEPTION_CLASS_E4:
	case ZYDIS_EXCEPTION_CLASS_E5:
	case ZYDIS_EXCEPTION_CLASS_E6:
	case ZYDIS_EXCEPTION_CLASS_E10:
	case ZYDIS_EXCEPTION_CLASS_E11:
		return true;
	default:
		return false;
	}
}

/* Class E4NF by the manual, whatever the decoder says: each result element depends on several sources. */
static bool sees_all_elements(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_VDBPSADBW || m == ZYDIS_MNEMONIC_VCVTNE2PS2BF16 ||
	       m == ZYDIS_MNEMONIC_VGF2P8AFFINEQB || m == ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB;
}

/* VEXTRACTF32X4 and its like move a tuple, but are masked by its elements. */
static unsigned tuple_element(const ZydisDecodedInstruction *zi, unsigned elem)
{
	const char *name = zi->avx.mask.mode ? ZydisMnemonicGetString(zi->mnemonic) : "";

	return strstr(name, "32x") ? 4 : strstr(name, "64x") ? 8 : elem;
}

static void set_flags(struct x86_insn *in, const ZydisDecodedInstruction *zi)
{
	if (zi->attributes & ZYDIS_ATTRIB_HAS_LOCK)
		in->flags |= X86_IN_LOCK;
	if (is_string(zi) && (zi->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE)))
		in->flags |= X86_IN_REP;
	if (is_string(zi) && (zi->attributes & ZYDIS_ATTRIB_HAS_REPNE))
		in->flags |= X86_IN_REPNE;
	if (zi->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		in->flags |= X86_IN_FAR;
	if (zi->avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID)
		in->flags |= X86_IN_BCAST;
	in->gate = gate_of(zi);
	if (in->gate != X86_GATE_NONE)
		in->flags |= X86_IN_VEC;
	in->vl = zi->avx.vector_length / 8;
	in->mem.elem = tuple_element(zi, in->mem.elem);
	in->packed = zi->meta.category == ZYDIS_CATEGORY_COMPRESS ||
		     zi->meta.category == ZYDIS_CATEGORY_EXPAND;
	in->suppress_class = suppresses_faults(zi->meta.exception_class) && !sees_all_elements(zi->mnemonic);
	in->suppress = in->suppress_class;
	/* a masked store writes nothing else in any class */
	in->suppress |= in->mem.acc & X86_ACC_W && in->mask_reg;
}

static bool hidden_memory(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *zo)
{
	for (unsigned i = 0; i < zi->operand_count; i++)
		if (zo[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    zo[i].encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM)
			return true;
	return false;
}

bool x86_decode_full(enum x86_dmode mode, const u8 *bytes, unsigned n, struct ZydisDecodedInstruction_ *zi,
		     struct ZydisDecodedOperand_ *ops)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[mode], bytes, n, zi, ops));
}

static bool has_rep_prefix(const ZydisDecodedInstruction *zi)
{
	for (unsigned i = 0; i < zi->raw.prefix_count; i++) {
		u8 p = zi->raw.prefixes[i].value;

		if (p == 0xf2 || p == 0xf3)
			return true;
	}
	return false;
}

/* Opcode bytes 0F 1A and 0F 1B that are no MPX instruction are NOPs with a ModRM, as 0F 1F is. */
static int decode_wide_nop(enum x86_dmode mode, const u8 *bytes, unsigned n, struct x86_insn *in)
{
	u8 nop[15];
	int err;

	for (unsigned i = 0; i + 1 < n; i++) {
		if (bytes[i] != 0x0f)
			continue;
		if ((bytes[i + 1] | 1) != 0x1b)
			break;
		memcpy(nop, bytes, n);
		nop[i + 1] = 0x1f;
		err = x86_decode(mode, nop, n, in);
		memcpy(in->bytes, bytes, in->len);
		return err;
	}
	return X86_UD;
}

static int undecodable(ZyanStatus status, enum x86_dmode mode, const u8 *bytes, unsigned n,
		       struct x86_insn *in)
{
	if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
		return X86_GP;
	if (status == ZYDIS_STATUS_NO_MORE_DATA)
		return n >= 15 ? X86_GP : -1;
	return decode_wide_nop(mode, bytes, n, in);
}

/*
 * The guest's bytes are read once: another CPU may change them at any moment, and what is decoded here must
 * be what runs natively later.
 */
int x86_decode(enum x86_dmode mode, const u8 *code, unsigned n, struct x86_insn *in)
{
	u8 bytes[15];
	ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction zi;
	const struct x86_op *op;
	ZyanStatus status;

	n = MIN(n, (unsigned)sizeof(bytes));
	memcpy(bytes, code, n);
	status = ZydisDecoderDecodeFull(&decoders[mode], bytes, n, &zi, zo);
	if (!ZYAN_SUCCESS(status))
		return undecodable(status, mode, bytes, n, in);
	memset(in, 0, sizeof(*in));
	memcpy(in->bytes, bytes, zi.length);
	in->len = zi.length;
	in->dmode = mode;
	in->mnemonic = zi.mnemonic;
	in->opcode = zi.opcode;
	in->opsize = zi.operand_width / 8;
	in->asize = zi.address_width / 8;
	in->modrm_off = zi.raw.modrm.offset;
	operands(in, &zi, zo);
	set_flags(in, &zi);
	/* SIB without a base: the decoder takes REX.B for one */
	if (zi.raw.modrm.mod == 0 && zi.attributes & ZYDIS_ATTRIB_HAS_SIB && zi.raw.sib.base == 5 &&
	    !in->mem.rip_relative)
		in->mem.base = X86_REG_NONE, in->mem.disp = zi.raw.disp.value;
	if (zi.mnemonic == ZYDIS_MNEMONIC_CLZERO && has_rep_prefix(&zi))
		return X86_UD;
	op = is_string(&zi) ? x86_op_string(in->mnemonic) : &x86_op_table[in->mnemonic];
	in->fn = op->fn ? op->fn : x86_native;
	if (zi.mnemonic == ZYDIS_MNEMONIC_PAUSE && zi.attributes & ZYDIS_ATTRIB_HAS_REX && zi.raw.rex.B)
		in->fn = x86_native; /* F3 REX.B 90 is XCHG R8, RAX */
	if (zi.meta.isa_ext == ZYDIS_ISA_EXT_AMD3DNOW && zi.encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW)
		in->fn = x86_op_ud; /* no host of ours has it */
	if (!op->fn && in->mem.vsib)
		in->fn = x86_op_ud; /* the prefetching gathers of AVX512PF */
	else if (!op->fn && hidden_memory(&zi, zo))
		in->fn = x86_op_emulation; /* the stub would follow a guest pointer */
	in->op_flags = op->flags;
	return 0;
}
