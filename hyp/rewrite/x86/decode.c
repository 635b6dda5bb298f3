/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding and classification (see decode.h). */
#include <string.h>

#include "hyp/rewrite/x86/decode.h"
#include "hyp/rewrite/x86/engine.h"
#include "hyp/rewrite/x86/helpers.h"

u8 insn_gpr(ZydisRegister r, bool *high)
{
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return (u8)(r - ZYDIS_REGISTER_RAX);
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return (u8)(r - ZYDIS_REGISTER_EAX);
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return (u8)(r - ZYDIS_REGISTER_AX);
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return (u8)(r - ZYDIS_REGISTER_AL);
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) {
		if (high)
			*high = true;
		return (u8)(r - ZYDIS_REGISTER_AH);
	}
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return (u8)(r - ZYDIS_REGISTER_SPL + 4);
	return GPR_NONE;
}

static bool is_legacy_prefix(u8 b)
{
	switch (b) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	}
	return false;
}

static void find_positions(struct insn *in, unsigned code_size)
{
	const ZydisDecodedInstruction *z = &in->z;
	unsigned i = 0, t;

	while (i < in->elen && is_legacy_prefix(in->bytes[i]))
		i++;
	in->rex = 0;
	if (code_size == 64 && i < in->elen && (in->bytes[i] & 0xf0) == 0x40)
		in->rex = in->bytes[i++];
	in->op_start = (u8)i;
	if (z->attributes & ZYDIS_ATTRIB_HAS_MODRM) {
		t = z->raw.modrm.offset + 1u + (z->attributes & ZYDIS_ATTRIB_HAS_SIB ? 1 : 0) +
		    z->raw.disp.size / 8;
	} else {
		t = in->elen;
		if (z->raw.imm[0].size)
			t = z->raw.imm[0].offset;
		else if (z->raw.disp.size)
			t = z->raw.disp.offset;
	}
	in->tail = (u8)t;
}

/* Shifts and rotates by a count that may be zero leave the flags alone then. */
static bool flags_write_certain(const struct insn *in)
{
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
	case ZYDIS_MNEMONIC_ROL:
	case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_RCL:
	case ZYDIS_MNEMONIC_RCR:
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD: {
		const ZydisDecodedOperand *cnt = &in->op[in->z.operand_count_visible - 1];

		return cnt->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && (cnt->imm.value.u & 31);
	}
	default:
		return in->z.meta.category != ZYDIS_CATEGORY_STRINGOP;
	}
}

static void find_flags(struct insn *in)
{
	const ZydisAccessedFlags *f = in->z.cpu_flags;

	in->fl_read = in->fl_write = 0;
	if (!f)
		return;
	in->fl_read = flags_pack(f->tested);
	if (flags_write_certain(in))
		in->fl_write = flags_pack(f->modified | f->set_0 | f->set_1 | f->undefined);
}

/* SIB without a base: with 32-bit addresses the decoder takes REX.B for one. */
static void fix_absent_base(struct insn *in)
{
	if (in->z.raw.modrm.mod || !(in->z.attributes & ZYDIS_ATTRIB_HAS_SIB) || in->z.raw.sib.base != 5)
		return;
	for (unsigned i = 0; i < in->z.operand_count_visible; i++) {
		if (in->op[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		in->op[i].mem.base = ZYDIS_REGISTER_NONE;
		in->op[i].mem.disp.has_displacement = true;
		in->op[i].mem.disp.value = in->z.raw.disp.value;
	}
}

static bool zydis_decode(struct insn *in, const u8 *bytes, unsigned avail, unsigned code_size)
{
	static ZydisDecoder dec64, dec32;
	static bool ready;

	if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
		ZydisDecoderInit(&dec64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		ZydisDecoderInit(&dec32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
		__atomic_store_n(&ready, true, __ATOMIC_RELEASE);
	}
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(code_size == 64 ? &dec64 : &dec32, bytes, MIN(avail, 15u),
						   &in->z, in->op));
}

/* The guest's bytes are read once: another CPU may change them at any moment, and what is decoded here must
 * be what is copied later. */
bool insn_decode(struct insn *in, const u8 *code, unsigned avail, u64 pc, unsigned code_size)
{
	u8 bytes[15];

	avail = MIN(avail, (unsigned)sizeof(bytes));
	memcpy(bytes, code, avail);
	if (!zydis_decode(in, bytes, avail, code_size))
		return false;
	in->pc = pc;
	in->len = in->elen = in->z.length;
	memcpy(in->bytes, bytes, in->len);
	if (code_size == 32) {
		u8 form[16];
		unsigned n = insn32_rewrite(&in->z, bytes, form);

		if (n && zydis_decode(in, form, n, 64)) {
			memcpy(in->bytes, form, n);
			in->elen = (u8)n;
			code_size = 64;
		}
	}
	fix_absent_base(in);
	find_positions(in, code_size);
	find_flags(in);
	return true;
}

/* ---- classification ------------------------------------------------------------------------- */

static void note_reg_operand(struct insn *in, const ZydisDecodedOperand *o)
{
	bool high = false;
	u8 g = insn_gpr(o->reg.value, &high);
	u8 size = (u8)(o->size / 8);

	if (g == GPR_NONE)
		return;
	in->gpr_used |= 1u << g;
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		in->gpr_written |= 1u << g;
	if (o->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
		return;
	in->high8 |= high;
	if (high)
		return; /* RAX..RBX never move */
	switch (o->encoding) {
	case ZYDIS_OPERAND_ENCODING_MODRM_REG:
		in->g_reg = g, in->a_reg |= o->actions, in->sz_reg = size;
		break;
	case ZYDIS_OPERAND_ENCODING_MODRM_RM:
		in->g_rm = g, in->a_rm |= o->actions, in->sz_rm = size;
		break;
	case ZYDIS_OPERAND_ENCODING_NDSNDD:
		in->g_vvvv = g, in->a_vvvv |= o->actions, in->sz_vvvv = size;
		break;
	case ZYDIS_OPERAND_ENCODING_OPCODE:
		in->g_opc = g, in->a_opc |= o->actions, in->sz_opc = size;
		break;
	default:
		break; /* fixed registers (RAX, CL, ...): never those that move */
	}
}

/* False: a memory operand the translator does not handle. */
static bool note_mem_operand(struct insn *in, unsigned idx)
{
	const ZydisDecodedOperand *o = &in->op[idx];
	u8 g;

	if ((g = insn_gpr(o->mem.base, NULL)) != GPR_NONE)
		in->gpr_used |= 1u << g;
	if ((g = insn_gpr(o->mem.index, NULL)) != GPR_NONE)
		in->gpr_used |= 1u << g;
	if (o->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT || in->has_mem)
		return false;
	in->mem_idx = (u8)idx;
	if (o->mem.type != ZYDIS_MEMOP_TYPE_MEM && o->mem.type != ZYDIS_MEMOP_TYPE_AGEN)
		return false;
	in->has_mem = true;
	in->mem_read = o->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	in->mem_write = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	in->mem_size = o->size / 8;
	return true;
}

static bool note_operands(struct insn *in)
{
	bool ok = true;

	in->g_reg = in->g_rm = in->g_vvvv = in->g_opc = GPR_NONE;
	in->a_reg = in->a_rm = in->a_vvvv = in->a_opc = 0;
	in->high8 = in->has_mem = in->mem_read = in->mem_write = false;
	in->gpr_used = in->gpr_written = in->mem_size = 0;
	for (unsigned i = 0; i < in->z.operand_count; i++) {
		if (in->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
			note_reg_operand(in, &in->op[i]);
		else if (in->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			ok &= note_mem_operand(in, i);
	}
	return ok;
}

/* What may be executed as itself: categories (Zydis') whose every member only computes on the operands
 * it names. Everything else is the interpreter's unless class_by_mnemonic knows better. */
static bool category_is_plain(ZydisInstructionCategory c)
{
	switch (c) {
	case ZYDIS_CATEGORY_ADOX_ADCX:
	case ZYDIS_CATEGORY_AES:
	case ZYDIS_CATEGORY_AVX:
	case ZYDIS_CATEGORY_AVX2:
	case ZYDIS_CATEGORY_AVX512:
	case ZYDIS_CATEGORY_AVX512_BITALG:
	case ZYDIS_CATEGORY_AVX512_VBMI:
	case ZYDIS_CATEGORY_AVX512_VP2INTERSECT:
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_BITBYTE:
	case ZYDIS_CATEGORY_BLEND:
	case ZYDIS_CATEGORY_BMI1:
	case ZYDIS_CATEGORY_BMI2:
	case ZYDIS_CATEGORY_BROADCAST:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_COMPRESS:
	case ZYDIS_CATEGORY_CONFLICT:
	case ZYDIS_CATEGORY_CONVERT:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_EXPAND:
	case ZYDIS_CATEGORY_FCMOV:
	case ZYDIS_CATEGORY_FLAGOP:
	case ZYDIS_CATEGORY_GFNI:
	case ZYDIS_CATEGORY_IFMA:
	case ZYDIS_CATEGORY_KMASK:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_LOGICAL_FP:
	case ZYDIS_CATEGORY_LZCNT:
	case ZYDIS_CATEGORY_MMX:
	case ZYDIS_CATEGORY_PCLMULQDQ:
	case ZYDIS_CATEGORY_RDRAND:
	case ZYDIS_CATEGORY_RDSEED:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_SEMAPHORE:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_SHA:
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_SSE:
	case ZYDIS_CATEGORY_STTNI:
	case ZYDIS_CATEGORY_VAES:
	case ZYDIS_CATEGORY_VBMI2:
	case ZYDIS_CATEGORY_VEX:
	case ZYDIS_CATEGORY_VFMA:
	case ZYDIS_CATEGORY_VPCLMULQDQ:
	case ZYDIS_CATEGORY_X87_ALU:
	case ZYDIS_CATEGORY_KNCSCALAR /* LZCNT, POPCNT, TZCNT */:
		return true;
	default:
		return false;
	}
}

static u8 class_of_flow(const struct insn *in)
{
	bool far = in->z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
	bool imm = in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;

	switch (in->z.meta.category) {
	case ZYDIS_CATEGORY_UNCOND_BR:
		if (in->z.mnemonic != ZYDIS_MNEMONIC_JMP || far || in->z.operand_width == 16)
			return INSN_INTERP_END;
		return imm ? INSN_JMP : INSN_JMP_IND;
	case ZYDIS_CATEGORY_CALL:
		if (in->z.mnemonic != ZYDIS_MNEMONIC_CALL || far || in->z.operand_width == 16)
			return INSN_INTERP_END;
		return imm ? INSN_CALL : INSN_CALL_IND;
	case ZYDIS_CATEGORY_RET:
		return in->z.mnemonic == ZYDIS_MNEMONIC_RET && !far && in->z.operand_width != 16
			       ? INSN_RET
			       : INSN_INTERP_END;
	case ZYDIS_CATEGORY_COND_BR:
		if (in->z.operand_width == 16)
			return INSN_INTERP_END;
		if (in->z.mnemonic == ZYDIS_MNEMONIC_JRCXZ && in->z.address_width == 64)
			return INSN_JRCXZ;
		if (in->z.mnemonic == ZYDIS_MNEMONIC_LOOP && in->z.address_width == 64)
			return INSN_LOOP;
		switch (in->z.mnemonic) {
		case ZYDIS_MNEMONIC_JCXZ:
		case ZYDIS_MNEMONIC_JECXZ:
		case ZYDIS_MNEMONIC_JRCXZ:
		case ZYDIS_MNEMONIC_LOOP:
		case ZYDIS_MNEMONIC_LOOPE:
		case ZYDIS_MNEMONIC_LOOPNE:
		case ZYDIS_MNEMONIC_JKZD:
		case ZYDIS_MNEMONIC_JKNZD:
		case ZYDIS_MNEMONIC_XBEGIN:
			return INSN_INTERP_END;
		default:
			return INSN_JCC;
		}
	default:
		return INSN_COPY;
	}
}

/* Interpreted instructions after which execution may go on elsewhere or in another mode. */
static bool interp_ends_block(const struct insn *in)
{
	switch (in->z.meta.category) {
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_COND_BR:
		return true;
	default:
		break;
	}
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_STAC:
	case ZYDIS_MNEMONIC_CLAC:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_LMSW:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_CLTS:
	case ZYDIS_MNEMONIC_XSETBV:
	case ZYDIS_MNEMONIC_RSM:
	case ZYDIS_MNEMONIC_WRMSR:
	case ZYDIS_MNEMONIC_INVLPG:
	case ZYDIS_MNEMONIC_INVPCID:
	case ZYDIS_MNEMONIC_INT1:
		return true;
	case ZYDIS_MNEMONIC_MOV: /* to CR, DR, or a segment register (SS shadows) */
		return true;
	default:
		return false;
	}
}

static bool vector_unusable(const struct insn *in, u32 key)
{
	if (in->z.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
		return !(key & KEY_AVX512);
	if (in->z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
		switch (in->z.meta.category) {
		case ZYDIS_CATEGORY_BMI1:
		case ZYDIS_CATEGORY_BMI2:
			return false;
		case ZYDIS_CATEGORY_KMASK:
			return !(key & KEY_AVX512);
		default:
			return !(key & KEY_AVX);
		}
	}
	for (unsigned i = 0; i < in->z.operand_count; i++) {
		ZydisRegisterClass c;

		if (in->op[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		c = ZydisRegisterGetClass(in->op[i].reg.value);
		if (c == ZYDIS_REGCLASS_XMM || in->op[i].reg.value == ZYDIS_REGISTER_MXCSR)
			return !(key & KEY_SSE);
		if (c == ZYDIS_REGCLASS_MMX || c == ZYDIS_REGCLASS_X87)
			return !(key & KEY_X87);
	}
	switch (in->z.meta.category) {
	case ZYDIS_CATEGORY_X87_ALU:
	case ZYDIS_CATEGORY_FCMOV:
	case ZYDIS_CATEGORY_MMX:
		return !(key & KEY_X87);
	case ZYDIS_CATEGORY_SSE:
		return !(key & KEY_SSE);
	default:
		return false;
	}
}

bool insn_is_masked(const struct insn *in)
{
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return true;
	default:
		return in->z.avx.mask.mode != ZYDIS_MASK_MODE_INVALID &&
		       in->z.avx.mask.mode != ZYDIS_MASK_MODE_DISABLED;
	}
}

/* Memory operands whose extent or faults are not simply "size bytes at the address". */
static bool mem_is_special(const struct insn *in)
{
	if (!in->has_mem)
		return false;
	if (!(in->z.attributes & ZYDIS_ATTRIB_HAS_MODRM))
		return true; /* MOV with an absolute 64-bit address */
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return in->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
	case ZYDIS_MNEMONIC_LDS:
	case ZYDIS_MNEMONIC_LES:
	case ZYDIS_MNEMONIC_LSS:
	case ZYDIS_MNEMONIC_LFS:
	case ZYDIS_MNEMONIC_LGS:
	case ZYDIS_MNEMONIC_BOUND:
		return true;
	default:
		return in->mem_size == 0 || in->mem_size > 512;
	}
}

static bool touches_system_register(const struct insn *in)
{
	for (unsigned i = 0; i < in->z.operand_count_visible; i++) {
		if (in->op[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		switch (ZydisRegisterGetClass(in->op[i].reg.value)) {
		case ZYDIS_REGCLASS_SEGMENT:
		case ZYDIS_REGCLASS_CONTROL:
		case ZYDIS_REGCLASS_DEBUG:
		case ZYDIS_REGCLASS_TEST:
		case ZYDIS_REGCLASS_TABLE:
		case ZYDIS_REGCLASS_BOUND:
			return true;
		default:
			break;
		}
	}
	return false;
}

/* POP to an address whose displacement cannot take the step of RSP too. */
static bool pop_is_strange(const struct insn *in)
{
	return in->has_mem && in->op[0].mem.disp.value > 0x7ffffff0;
}

static u8 class_by_mnemonic(const struct insn *in, u32 key)
{
	bool op64 = in->z.operand_width == 64;

	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_LEA:
		return INSN_LEA;
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHW:
	case ZYDIS_MNEMONIC_PREFETCHWT1:
		return INSN_NOP;
	case ZYDIS_MNEMONIC_PUSH:
		if (!op64 || touches_system_register(in))
			return INSN_INTERP;
		return INSN_PUSH;
	case ZYDIS_MNEMONIC_POP:
		if (!op64 || pop_is_strange(in) || touches_system_register(in))
			return INSN_INTERP;
		return INSN_POP;
	case ZYDIS_MNEMONIC_LEAVE:
		return op64 ? INSN_LEAVE : INSN_INTERP;
	case ZYDIS_MNEMONIC_CLD:
	case ZYDIS_MNEMONIC_STD:
		return INSN_CLD_STD;
	case ZYDIS_MNEMONIC_PAUSE:
		return key & KEY_PAUSE_EXIT ? INSN_INTERP : INSN_VERBATIM;
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
		return INSN_VERBATIM;
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_ENTER:
	case ZYDIS_MNEMONIC_XLAT:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_XSAVES:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
	case ZYDIS_MNEMONIC_MONITORX:
	case ZYDIS_MNEMONIC_MWAITX:
	case ZYDIS_MNEMONIC_CLUI:
	case ZYDIS_MNEMONIC_STUI:
	case ZYDIS_MNEMONIC_XABORT:
	case ZYDIS_MNEMONIC_XEND:
	case ZYDIS_MNEMONIC_XTEST:
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_INVPCID:
	case ZYDIS_MNEMONIC_INCSSPD:
	case ZYDIS_MNEMONIC_INCSSPQ:
	case ZYDIS_MNEMONIC_RDSSPD:
	case ZYDIS_MNEMONIC_RDSSPQ:
	case ZYDIS_MNEMONIC_CLZERO:
	case ZYDIS_MNEMONIC_PTWRITE:
		return INSN_INTERP;
	default:
		return INSN_COPY;
	}
}

/* ---- system instructions with a short way -------------------------------------------------------- */

u8 insn_use_helper(struct insn *in, u8 id, u64 operand)
{
	static const u8 flags[HELPER_NR] = {
#define HELPER(id, mnemonic, flags) [HELPER_##id] = flags,
#include "hyp/rewrite/x86/helpers.inc"
#undef HELPER
	};

	in->helper = id;
	in->helper_op = operand;
	return flags[id] & H_ENDS ? INSN_HELPER_END : INSN_HELPER;
}

static bool helper_by_mnemonic(ZydisMnemonic m, u8 *id)
{
	static const u16 mnemonics[HELPER_NR] = {
#define HELPER(id, mnemonic, flags) [HELPER_##id] = mnemonic,
#include "hyp/rewrite/x86/helpers.inc"
#undef HELPER
	};

	for (*id = 0; *id < HELPER_NR; ++*id)
		if (mnemonics[*id] == m && m != ZYDIS_MNEMONIC_INVALID)
			return true;
	return false;
}

static unsigned code_width(u32 key)
{
	return key & KEY_CODE32 ? 32 : 64;
}

/* String instructions without segment override, addresses as wide as the code. Repeated LODS is the
 * interpreter's, and so is REPNE where it only repeats. */
static u8 class_of_string(struct insn *in, u32 key)
{
	ZydisInstructionAttributes rep = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
					 ZYDIS_ATTRIB_HAS_REPNE;
	u64 how = H_STR_REP | (key & KEY_CODE32 ? H_STR_A32 : 0);
	u8 op = in->z.opcode;

	if (in->z.address_width != code_width(key) || in->z.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT ||
	    in->z.attributes & (ZYDIS_ATTRIB_HAS_SEGMENT | ZYDIS_ATTRIB_HAS_LOCK))
		return INSN_INTERP;
	if (!(in->z.attributes & rep))
		return INSN_STRING;
	how |= op & 1 ? in->z.operand_width / 8 : 1;
	if (in->z.attributes & ZYDIS_ATTRIB_HAS_REPNE)
		how |= H_STR_NE;
	switch (op & 0xfe) {
	case 0xa4:
		return how & H_STR_NE ? INSN_INTERP : insn_use_helper(in, HELPER_movs, how);
	case 0xa6:
		return insn_use_helper(in, HELPER_cmps, how);
	case 0xaa:
		return how & H_STR_NE ? INSN_INTERP : insn_use_helper(in, HELPER_stos, how);
	case 0xae:
		return insn_use_helper(in, HELPER_scas, how);
	default:
		return INSN_INTERP;
	}
}

static u8 class_of_mov_cr(struct insn *in, u32 key)
{
	bool to = ZydisRegisterGetClass(in->op[0].reg.value) == ZYDIS_REGCLASS_CONTROL;
	const ZydisDecodedOperand *cr = &in->op[to ? 0 : 1], *gpr = &in->op[to ? 1 : 0];
	unsigned n;

	if (!(key & KEY_CPL0) || cr->type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    ZydisRegisterGetClass(cr->reg.value) != ZYDIS_REGCLASS_CONTROL)
		return INSN_INTERP;
	n = (unsigned)ZydisRegisterGetId(cr->reg.value);
	if (n > 4) /* CR8 exits */
		return INSN_INTERP;
	if (!to && n != 1)
		return INSN_MOV_FROM_CR;
	return insn_use_helper(in, to ? HELPER_mov_to_cr : HELPER_mov_from_cr,
			       n | (u64)insn_gpr(gpr->reg.value, NULL) << 8);
}

/* SS is the interpreter's: it blocks interrupts for one instruction. */
static u8 class_of_mov_seg(struct insn *in)
{
	bool to = in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		  ZydisRegisterGetClass(in->op[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
	const ZydisDecodedOperand *seg = &in->op[to ? 0 : 1];

	if (!to)
		return INSN_MOV_FROM_SEG;
	if (in->has_mem || seg->reg.value == ZYDIS_REGISTER_SS || seg->reg.value == ZYDIS_REGISTER_CS)
		return INSN_INTERP;
	return insn_use_helper(in, HELPER_mov_to_seg,
			       (u64)ZydisRegisterGetId(seg->reg.value) |
				       (u64)insn_gpr(in->op[1].reg.value, NULL) << 8);
}

static u8 class_of_privileged(struct insn *in, u32 key)
{
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_CLI:
		return INSN_CLI;
	case ZYDIS_MNEMONIC_STI:
		return INSN_STI;
	case ZYDIS_MNEMONIC_SWAPGS:
		return INSN_SWAPGS;
	case ZYDIS_MNEMONIC_STAC:
		return key & KEY_SMAP ? INSN_STAC : INSN_INTERP;
	case ZYDIS_MNEMONIC_CLAC:
		return key & KEY_SMAP ? INSN_CLAC : INSN_INTERP;
	case ZYDIS_MNEMONIC_INVLPG:
		return insn_use_helper(in, HELPER_invlpg, 0);
	default:
		return INSN_INTERP;
	}
}

/* BTx whose register says how far from the address the bit is. */
static bool is_bit_string(const struct insn *in, u32 key)
{
	if (!in->has_mem || in->op[1].type != ZYDIS_OPERAND_TYPE_REGISTER || in->z.operand_width == 16)
		return false;
	if (in->z.address_width != code_width(key))
		return false;
	return !(key & KEY_CODE32) || in->op[0].mem.segment < ZYDIS_REGISTER_FS; /* base and wrap-around */
}

/* INSN_COPY: not one of these. */
static u8 class_of_system(struct insn *in, u32 key)
{
	u8 id;

	if (helper_by_mnemonic(in->z.mnemonic, &id))
		return insn_use_helper(in, id, in->z.operand_width / 8);
	switch (in->z.mnemonic) {
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_SWAPGS:
	case ZYDIS_MNEMONIC_STAC:
	case ZYDIS_MNEMONIC_CLAC:
	case ZYDIS_MNEMONIC_INVLPG:
		return key & KEY_CPL0 ? class_of_privileged(in, key) : INSN_INTERP;
	case ZYDIS_MNEMONIC_RDTSC:
		return key & KEY_TSC ? INSN_RDTSC : insn_use_helper(in, HELPER_rdtsc, 0);
	case ZYDIS_MNEMONIC_RDTSCP:
		return key & KEY_RDTSCP ? INSN_RDTSCP : insn_use_helper(in, HELPER_rdtscp, 0);
	case ZYDIS_MNEMONIC_RDFSBASE:
	case ZYDIS_MNEMONIC_RDGSBASE:
		return key & KEY_FSGSBASE ? INSN_READ_BASE : INSN_INTERP;
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
		return key & KEY_FSGSBASE ? INSN_WRITE_BASE : INSN_INTERP;
	case ZYDIS_MNEMONIC_INT:
		return insn_use_helper(in, HELPER_int, in->op[0].imm.value.u & 0xff);
	case ZYDIS_MNEMONIC_PUSHFQ:
		return INSN_PUSHF;
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return is_bit_string(in, key) ? INSN_BIT_STRING : INSN_COPY;
	case ZYDIS_MNEMONIC_MOV:
		if (in->z.operand_count_visible == 2 && in->z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
		    (in->z.opcode == 0x8c || in->z.opcode == 0x8e))
			return class_of_mov_seg(in);
		if (in->z.meta.category == ZYDIS_CATEGORY_SYSTEM ||
		    in->z.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
			return class_of_mov_cr(in, key);
		return INSN_COPY;
	default:
		return in->z.meta.category == ZYDIS_CATEGORY_STRINGOP ? class_of_string(in, key) : INSN_COPY;
	}
}

static u8 class_of_vsib(struct insn *in, u32 key)
{
	u64 operand;
	u8 id;

	if (key & KEY_CODE32 || vector_unusable(in, key) || !insn_vsib(in, &id, &operand))
		return INSN_INTERP;
	return insn_use_helper(in, id, operand);
}

static bool has_eip_base(const struct insn *in)
{
	for (unsigned i = 0; i < in->z.operand_count_visible; i++)
		if (in->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY && in->op[i].mem.base == ZYDIS_REGISTER_EIP)
			return true;
	return false;
}

static u8 class_of(struct insn *in, u32 key)
{
	bool operands_ok = note_operands(in);
	u8 cls = class_of_flow(in);

	if (in->z.mnemonic == ZYDIS_MNEMONIC_ENDBR64 || in->z.mnemonic == ZYDIS_MNEMONIC_ENDBR32)
		return INSN_NOP;
	if (key & KEY_CODE32) {
		u8 cls32 = insn32_class(in, key, cls);

		if (cls32 != INSN_COPY)
			return cls32;
	}
	if (in->z.raw.prefix_count != in->op_start ||
	    has_eip_base(in)) /* a REX that is not the last prefix is ignored */
		return cls == INSN_COPY ? INSN_INTERP : INSN_INTERP_END;
	if (cls == INSN_COPY || cls == INSN_INTERP_END) {
		u8 sys = class_of_system(in, key);

		if (sys != INSN_COPY)
			return sys;
	}
	if (cls != INSN_COPY)
		return cls;
	cls = class_by_mnemonic(in, key);
	if (cls != INSN_COPY)
		return cls;
	if (in->z.meta.category == ZYDIS_CATEGORY_AVX2GATHER ||
	    in->z.meta.category == ZYDIS_CATEGORY_GATHER || in->z.meta.category == ZYDIS_CATEGORY_SCATTER)
		return class_of_vsib(in, key);
	if (in->high8 && in->gpr_used & 1u << X86_RSP && !in->has_mem)
		return INSN_INTERP; /* RSP's stand-in needs a REX prefix, which AH..BH exclude */
	if (!category_is_plain(in->z.meta.category) || touches_system_register(in) || !operands_ok ||
	    in->z.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED || mem_is_special(in) || vector_unusable(in, key) ||
	    in->z.encoding == ZYDIS_INSTRUCTION_ENCODING_XOP ||
	    in->z.encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW ||
	    in->z.encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX)
		return INSN_INTERP;
	return key & KEY_CODE32 && !insn32_is_same(in) ? INSN_INTERP : INSN_COPY;
}

void insn_classify(struct insn *in, u32 key)
{
	in->cls = class_of(in, key);
	if (in->cls == INSN_PUSHF || in->cls == INSN_WRITE_BASE) /* storing them; left to the interpreter */
		in->fl_read = FLAGS_ALL;
	if (in->cls == INSN_STRING) /* not repeated: it does write them */
		in->fl_write = in->z.cpu_flags ? flags_pack(in->z.cpu_flags->modified) : 0;
	if (in->cls == INSN_INTERP && interp_ends_block(in))
		in->cls = INSN_INTERP_END;
	if (in->cls == INSN_INTERP || in->cls == INSN_INTERP_END || in->cls == INSN_HELPER ||
	    in->cls == INSN_HELPER_END) {
		in->fl_read = FLAGS_ALL;
		in->fl_write = 0;
	}
}
