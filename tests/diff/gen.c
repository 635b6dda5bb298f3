/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One random instruction. We roll prefixes, REX/VEX/EVEX, an opcode byte and operands, and let Zydis
 * say whether that is an instruction; its decoder table is the instruction space. ModRM is rolled so
 * that the address is a pointer register plus something small, a static address, or RIP-relative.
 * Then the filters: instructions whose result is not a function of the registers and memory we
 * control (reject()), and those that would destroy the pointers. Instructions with implicit
 * addresses (strings, XLAT, MASKMOV) and with wild ones (bit strings, gathers) are prepared for by
 * extra MOVs in front of them.
 */
#include <string.h>

#include "tests/diff/diff.h"

static ZydisDecoder dec64, dec32;

void gen_init(void)
{
	ZydisDecoderInit(&dec64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderInit(&dec32, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
}

const ZydisDecoder *gen_decoder(enum dt_mode mode)
{
	return dt_is64(mode) ? &dec64 : &dec32;
}

struct dt_item *item_add(struct dt_case *c, const void *bytes, unsigned len)
{
	struct dt_item *it = &c->item[c->n++];

	memset(it, 0, sizeof(*it));
	memcpy(it->b, bytes, len);
	it->len = len;
	it->flags_undef = c->flags_undef;
	return it;
}

struct decoded {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* ---- what is never generated, or only for CPL 3 ---------------------------------------------- */

/* Results that depend on the machine, on time, on Linux, or on tables that differ; control transfers
 * (seq.c makes those). */
static bool mnemonic_rejected(ZydisMnemonic m)
{
	static const u16 list[] = {
		ZYDIS_MNEMONIC_RDTSC, ZYDIS_MNEMONIC_RDTSCP, ZYDIS_MNEMONIC_RDPMC, ZYDIS_MNEMONIC_RDRAND,
		ZYDIS_MNEMONIC_RDSEED, ZYDIS_MNEMONIC_CPUID, ZYDIS_MNEMONIC_XGETBV, ZYDIS_MNEMONIC_RDPID,
		ZYDIS_MNEMONIC_RDPRU, ZYDIS_MNEMONIC_SGDT, ZYDIS_MNEMONIC_SIDT, ZYDIS_MNEMONIC_SLDT,
		ZYDIS_MNEMONIC_STR, ZYDIS_MNEMONIC_SMSW, ZYDIS_MNEMONIC_LAR, ZYDIS_MNEMONIC_LSL,
		ZYDIS_MNEMONIC_VERR, ZYDIS_MNEMONIC_VERW, ZYDIS_MNEMONIC_VMCALL, ZYDIS_MNEMONIC_VMMCALL,
		ZYDIS_MNEMONIC_MONITORX, ZYDIS_MNEMONIC_MWAITX, ZYDIS_MNEMONIC_MCOMMIT,
		ZYDIS_MNEMONIC_SYSCALL,
		ZYDIS_MNEMONIC_SYSENTER, ZYDIS_MNEMONIC_POPF, ZYDIS_MNEMONIC_POPFD, ZYDIS_MNEMONIC_POPFQ,
		ZYDIS_MNEMONIC_UD2, ZYDIS_MNEMONIC_LDS, ZYDIS_MNEMONIC_LES, ZYDIS_MNEMONIC_LFS,
		ZYDIS_MNEMONIC_LGS, ZYDIS_MNEMONIC_LSS, ZYDIS_MNEMONIC_TPAUSE, ZYDIS_MNEMONIC_UMWAIT,
		ZYDIS_MNEMONIC_UMONITOR, ZYDIS_MNEMONIC_XBEGIN, ZYDIS_MNEMONIC_INVLPGB,
		ZYDIS_MNEMONIC_TLBSYNC,
		ZYDIS_MNEMONIC_SKINIT, ZYDIS_MNEMONIC_CLGI, ZYDIS_MNEMONIC_STGI, ZYDIS_MNEMONIC_VMRUN,
		ZYDIS_MNEMONIC_VMLOAD, ZYDIS_MNEMONIC_VMSAVE, ZYDIS_MNEMONIC_INVLPGA, ZYDIS_MNEMONIC_GETSEC,
		ZYDIS_MNEMONIC_PVALIDATE, ZYDIS_MNEMONIC_PSMASH, ZYDIS_MNEMONIC_RMPADJUST,
		ZYDIS_MNEMONIC_RMPUPDATE,
		/* areas with FIP/FDP in them: seq.c's shape_save; what it leaves out */
		ZYDIS_MNEMONIC_FNSTENV, ZYDIS_MNEMONIC_FNSAVE, ZYDIS_MNEMONIC_FXSAVE, ZYDIS_MNEMONIC_FXSAVE64,
		ZYDIS_MNEMONIC_XSAVE, ZYDIS_MNEMONIC_XSAVE64, ZYDIS_MNEMONIC_XSAVEC, ZYDIS_MNEMONIC_XSAVEC64,
		ZYDIS_MNEMONIC_XSAVEOPT, ZYDIS_MNEMONIC_XSAVEOPT64, ZYDIS_MNEMONIC_XSAVES,
		ZYDIS_MNEMONIC_XSAVES64,
		ZYDIS_MNEMONIC_XRSTORS, ZYDIS_MNEMONIC_XRSTORS64,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(list); i++)
		if (list[i] == m)
			return true;
	return false;
}

static bool category_rejected(const ZydisDecodedInstruction *in)
{
	switch (in->meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_VTX:
	case ZYDIS_CATEGORY_SGX:
	case ZYDIS_CATEGORY_KNC:
	case ZYDIS_CATEGORY_KNCMASK:
	case ZYDIS_CATEGORY_KNCSCALAR:
	case ZYDIS_CATEGORY_WAITPKG:
	case ZYDIS_CATEGORY_UINTR:
	case ZYDIS_CATEGORY_PADLOCK:
	case ZYDIS_CATEGORY_ENQCMD:
	case ZYDIS_CATEGORY_PCONFIG:
		return true;
	default:
		return in->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX;
	}
}

static bool is_user_only(const struct decoded *d)
{
	const ZydisDecodedInstruction *in = &d->in;

	for (unsigned i = 0; i < in->operand_count; i++) {
		ZydisRegisterClass k = d->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER
					       ? ZydisRegisterGetClass(d->op[i].reg.value)
					       : ZYDIS_REGCLASS_INVALID;

		if (k == ZYDIS_REGCLASS_CONTROL || k == ZYDIS_REGCLASS_DEBUG || k == ZYDIS_REGCLASS_TEST)
			return true;
	}
	switch (in->meta.category) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_SMAP:
	case ZYDIS_CATEGORY_CET:
		return true;
	default:
		break;
	}
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_XSETBV:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_INVPCID:
	case ZYDIS_MNEMONIC_MONITOR:
	case ZYDIS_MNEMONIC_MWAIT:
	case ZYDIS_MNEMONIC_CLAC:
	case ZYDIS_MNEMONIC_STAC:
		return true;
	default:
		return false;
	}
}

/* Instructions the host lacks are #UD on both sides: worth a few cases, not most of them. */
static bool host_lacks(const ZydisDecodedInstruction *in)
{
	static const u8 ext[] = {
		ZYDIS_ISA_EXT_AMD3DNOW, ZYDIS_ISA_EXT_AMX_BF16, ZYDIS_ISA_EXT_AMX_INT8,
		ZYDIS_ISA_EXT_AMX_TILE,
		ZYDIS_ISA_EXT_FMA4, ZYDIS_ISA_EXT_XOP, ZYDIS_ISA_EXT_TBM, ZYDIS_ISA_EXT_KEYLOCKER,
		ZYDIS_ISA_EXT_KEYLOCKER_WIDE, ZYDIS_ISA_EXT_HRESET, ZYDIS_ISA_EXT_TSX_LDTRK,
		ZYDIS_ISA_EXT_RTM,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(ext); i++)
		if (in->meta.isa_ext == ext[i])
			return true;
	switch (in->meta.isa_set) {
	case ZYDIS_ISA_SET_AVX512ER_512:
	case ZYDIS_ISA_SET_AVX512ER_SCALAR:
	case ZYDIS_ISA_SET_AVX512PF_512:
	case ZYDIS_ISA_SET_AVX512_4FMAPS_512:
	case ZYDIS_ISA_SET_AVX512_4FMAPS_SCALAR:
	case ZYDIS_ISA_SET_AVX512_4VNNIW_512:
		return true;
	default:
		return in->meta.category == ZYDIS_CATEGORY_FP16;
	}
}

/* ---- decoded operands ------------------------------------------------------------------------- */

static bool decode(struct dt_case *c, const u8 *b, struct decoded *d)
{
	ZydisDecoderContext ctx;
	const ZydisDecoder *dec = gen_decoder(c->mode);

	if (ZYAN_FAILED(ZydisDecoderDecodeInstruction(dec, &ctx, b, 15, &d->in)))
		return false;
	return !ZYAN_FAILED(ZydisDecoderDecodeOperands(dec, &ctx, &d->in, d->op, d->in.operand_count));
}

/* Encoding number of the GPR that contains r, or -1. */
static int gpr_id(ZydisRegister r)
{
	ZydisRegister e = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);

	if (e < ZYDIS_REGISTER_RAX || e > ZYDIS_REGISTER_R15)
		return -1;
	return e - ZYDIS_REGISTER_RAX;
}

static u32 gprs_written(const struct decoded *d)
{
	u32 mask = 0;

	for (unsigned i = 0; i < d->in.operand_count; i++) {
		const ZydisDecodedOperand *o = &d->op[i];
		int id = o->type == ZYDIS_OPERAND_TYPE_REGISTER ? gpr_id(o->reg.value) : -1;

		if (id >= 0 && (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			if (id != 4 || o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN)
				mask |= 1u << id;
	}
	return mask;
}

static u32 gprs_named(const struct decoded *d)
{
	u32 mask = 0;

	for (unsigned i = 0; i < d->in.operand_count_visible; i++)
		if (d->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER && gpr_id(d->op[i].reg.value) >= 0)
			mask |= 1u << gpr_id(d->op[i].reg.value);
	return mask;
}

static bool touches_segment(const struct decoded *d, bool write)
{
	for (unsigned i = 0; i < d->in.operand_count; i++) {
		const ZydisDecodedOperand *o = &d->op[i];

		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			continue;
		if (ZydisRegisterGetClass(o->reg.value) != ZYDIS_REGCLASS_SEGMENT)
			continue;
		if (!write || (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			return true;
	}
	return false;
}

static const ZydisDecodedOperand *explicit_mem(const struct decoded *d)
{
	for (unsigned i = 0; i < d->in.operand_count; i++) {
		const ZydisDecodedOperand *o = &d->op[i];

		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
			return o;
	}
	return NULL;
}

/* ---- undefined flags -------------------------------------------------------------------------- */

#define ARITH 0x8d5u

static bool count_may_be_zero(const struct decoded *d)
{
	switch (d->in.meta.category) {
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_STRINGOP:
		return true;
	default:
		return false;
	}
}

static bool flags_ok(struct dt_case *c, const struct decoded *d)
{
	const ZydisAccessedFlags *f = d->in.cpu_flags;

	return !f || !(f->tested & c->flags_undef & ARITH);
}

static void flags_apply(struct dt_case *c, const struct decoded *d)
{
	const ZydisAccessedFlags *f = d->in.cpu_flags;
	u32 written;

	if (!f)
		return;
	written = (f->modified | f->set_0 | f->set_1) & ARITH;
	if (!count_may_be_zero(d))
		c->flags_undef &= ~written;
	c->flags_undef |= f->undefined & ARITH;
}

/* ---- preparations ------------------------------------------------------------------------------ */

/* MOV r32, imm32 */
void emit_mov_imm(struct dt_case *c, int reg, u32 imm)
{
	u8 b[6], n = 0;

	if (reg >= 8)
		b[n++] = 0x41;
	b[n++] = 0xb8 | (reg & 7);
	memcpy(b + n, &imm, 4);
	item_add(c, b, n + 4);
}

static u32 data_addr(struct rng *r)
{
	u32 a = DT_DATA + 0x600 + rng_below(r, 0x2000);

	return rng_pct(r, 60) ? a & ~63u : a;
}

/* rsi, rdi, rcx, rbx where the instruction uses them without naming them. */
static void prepare_implicit(struct rng *r, struct dt_case *c, const struct decoded *d)
{
	bool rep = d->in.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);

	for (unsigned i = 0; i < d->in.operand_count; i++) {
		const ZydisDecodedOperand *o = &d->op[i];
		int id;

		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
			continue;
		id = gpr_id(o->mem.base);
		if (id == 3 || id == 6 || id == 7 || id == 0)
			emit_mov_imm(c, id, data_addr(r));
	}
	if (rep)
		emit_mov_imm(c, 1, rng_pct(r, 10) ? 0 : rng_below(r, rng_pct(r, 20) ? 2000 : 40));
}

/* BT/BTS/BTR/BTC m, r: the register is a bit offset anywhere in memory. */
static void prepare_bit_string(struct rng *r, struct dt_case *c, const struct decoded *d)
{
	switch (d->in.mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		break;
	default:
		return;
	}
	if (d->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY && d->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
		int id = gpr_id(d->op[1].reg.value);

		if (id >= 0 && id != 4 && !(c->ptr_regs >> id & 1))
			emit_mov_imm(c, id, rng_below(r, 8192));
	}
}

/* VMOVDQU32 zmmN, [abs32] */
static void emit_load_index(struct dt_case *c, int reg, u32 addr)
{
	u8 p0 = 0x61 | (reg & 8 ? 0 : 0x80) | (reg & 16 ? 0 : 0x10);
	u8 b[] = { 0x62, p0, 0x7e, 0x48, 0x6f, 0x04 | (reg & 7) << 3, 0x25, 0, 0, 0, 0 };

	memcpy(b + 7, &addr, 4);
	if (!dt_is64(c->mode)) { /* no SIB: mod 0, rm 5 is disp32 */
		b[5] = 0x05 | (reg & 7) << 3;
		memcpy(b + 6, &addr, 4);
		item_add(c, b, 10);
		return;
	}
	item_add(c, b, sizeof(b));
}

static void prepare_vsib(struct dt_case *c, const struct decoded *d)
{
	const ZydisDecodedOperand *o = explicit_mem(d);
	ZydisRegister ix = o ? o->mem.index : ZYDIS_REGISTER_NONE;
	bool qword = false;

	if (ix < ZYDIS_REGISTER_XMM0 || ix > ZYDIS_REGISTER_ZMM31)
		return;
	switch (d->in.opcode) {
	case 0x91: case 0x93: case 0xa1: case 0xa3: case 0xc7:
		qword = true;
	}
	emit_load_index(c, ZydisRegisterGetId(ix), qword ? DT_IDX64 : DT_IDX32);
}

/* KMOVQ k, [abs32]: a random mask has lanes on both sides of every edge. */
static void prepare_mask(struct rng *r, struct dt_case *c, const struct decoded *d)
{
	u8 k = d->in.raw.evex.aaa, b[] = { 0xc4, 0xe1, 0xf8, 0x90, (u8)(4 | k << 3), 0x25, 0, 0, 0, 0 };
	u32 addr = DT_KMASK + 8 * rng_below(r, DT_KMASKS);
	bool sib = dt_is64(c->mode);

	if (d->in.encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX || !k || !explicit_mem(d) || rng_pct(r, 30))
		return;
	b[4] |= !sib;
	memcpy(b + 5 + sib, &addr, 4);
	item_add(c, b, 9 + sib);
}

/* DIV of a random 128-bit number is #DE; keep half of them small. */
static void prepare_div(struct rng *r, struct dt_case *c, const struct decoded *d)
{
	if ((d->in.mnemonic == ZYDIS_MNEMONIC_DIV || d->in.mnemonic == ZYDIS_MNEMONIC_IDIV) &&
	    rng_pct(r, 60)) {
		if (!(c->ptr_regs & 4))
			emit_mov_imm(c, 2, 0);
		if (!(c->ptr_regs & 1))
			emit_mov_imm(c, 0, rng_u64(r) & 0xfff);
	}
}

/* ---- rolling bytes -------------------------------------------------------------------------------- */

struct memform {
	u8 base, index, scale;   /* base/index 16: none */
	u8 mod;
	u8 abs;                  /* no base: disp32 */
	u8 rip;
	u32 disp;
};

static int pick_reg(struct rng *r, u32 mask)
{
	unsigned n = rng_below(r, __builtin_popcount(mask));

	while (n--)
		mask &= mask - 1;
	return __builtin_ctz(mask);
}

static void roll_memform(struct rng *r, const struct dt_case *c, struct memform *f)
{
	memset(f, 0, sizeof(*f));
	f->index = 16;
	f->disp = data_addr(r);
	if (rng_pct(r, 12)) {
		f->abs = 1;
		f->rip = dt_is64(c->mode) && rng_pct(r, 70);
		f->base = 5;
		if (!f->rip && rng_pct(r, 40)) {
			f->index = pick_reg(r, c->idx_regs);
			f->disp -= 0x200;
		}
		return;
	}
	f->base = rng_pct(r, 12) ? 4 : pick_reg(r, c->ptr_regs);
	f->mod = rng_below(r, 3);
	if ((f->base & 7) == 5 && !f->mod)
		f->mod = 1;
	f->disp = (s32)rng_below(r, 0x500) - 0x280;
	if (rng_pct(r, 50))
		f->disp &= ~63u;
	if (rng_pct(r, 35))
		f->index = pick_reg(r, c->idx_regs);
	f->scale = rng_below(r, 4);
}

/* Around the edges of pages and of what is mapped, for instructions that access a part of their operand. */
static void roll_edge(struct rng *r, const struct dt_case *c, struct memform *f)
{
	static const u32 edge[] = { DT_DATA, DT_DATA + PAGE_SIZE, DT_RO, DT_RO + PAGE_SIZE, DT_RO + PAGE_SIZE };

	*f = (struct memform){ .abs = 1, .base = 5, .index = 16 };
	f->rip = dt_is64(c->mode) && rng_pct(r, 50);
	f->disp = edge[rng_below(r, ARRAY_SIZE(edge))] - rng_below(r, 80);
}

/* ModRM, SIB, displacement. Returns bytes written. */
static unsigned put_modrm(struct rng *r, const struct dt_case *c, const struct memform *f, u8 *b)
{
	u8 reg = rng_below(r, 8) << 3;
	unsigned n = 0;

	if (f->abs) {
		bool sib = f->index != 16 || (dt_is64(c->mode) && !f->rip);

		b[n++] = reg | (sib ? 4 : 5);
		if (sib)
			b[n++] = f->scale << 6 | ((f->index == 16 ? 4 : f->index) & 7) << 3 | 5;
		memcpy(b + n, &f->disp, 4);
		return n + 4;
	}
	b[n++] = f->mod << 6 | reg | (f->index != 16 || (f->base & 7) == 4 ? 4 : f->base & 7);
	if (f->index != 16 || (f->base & 7) == 4)
		b[n++] = f->scale << 6 | ((f->index == 16 ? 4 : f->index) & 7) << 3 | (f->base & 7);
	if (f->mod == 1)
		b[n++] = f->disp;
	if (f->mod == 2) {
		memcpy(b + n, &f->disp, 4);
		n += 4;
	}
	return n;
}

static unsigned put_operands(struct rng *r, const struct dt_case *c, const struct memform *f, bool mem, u8 *b)
{
	unsigned n;

	if (mem)
		n = put_modrm(r, c, f, b);
	else
		b[0] = 0xc0 | rng_below(r, 64), n = 1;
	for (unsigned i = 0; i < 8; i++)
		b[n + i] = rng_pct(r, 50) ? rng_below(r, 16) : rng_u64(r);
	return n;
}

static unsigned put_prefixes(struct rng *r, u8 *b)
{
	static const u8 segs[] = { 0x64, 0x65, 0x64, 0x65, 0x2e, 0x36, 0x3e, 0x26 };
	unsigned n = 0;

	if (rng_pct(r, 25))
		b[n++] = 0x66;
	if (rng_pct(r, 4))
		b[n++] = 0x67;
	if (rng_pct(r, 18))
		b[n++] = rng_pct(r, 50) ? 0xf2 : 0xf3;
	if (rng_pct(r, 8))
		b[n++] = segs[rng_below(r, 8)];
	if (rng_pct(r, 6))
		b[n++] = 0xf0;
	return n;
}

/* REX, VEX and EVEX carry the high bits of base and index: 1 where set, for SIB and plain forms. */
static u8 high_x(const struct memform *f) { return f->index != 16 && f->index & 8 ? 1 : 0; }
static u8 high_b(const struct memform *f) { return !f->abs && f->base & 8 ? 1 : 0; }

static unsigned roll_legacy(struct rng *r, struct dt_case *c, const struct memform *f, bool mem, u8 *b)
{
	unsigned n = put_prefixes(r, b), map = rng_below(r, 100);
	u8 rex = rng_below(r, 16) | 0x40;

	if (mem)
		rex = (rex & ~3) | high_x(f) << 1 | high_b(f);
	if (dt_is64(c->mode) && (rng_pct(r, 55) || (mem && rex & 3)))
		b[n++] = rex;
	if (map >= 45)
		b[n++] = 0x0f;
	if (map >= 85)
		b[n++] = map >= 94 ? 0x3a : 0x38;
	if (map < 8) /* x87 has eight opcodes with lots behind them */
		b[n++] = 0xd8 + rng_below(r, 8);
	else
		b[n++] = rng_u64(r);
	return n + put_operands(r, c, f, mem, b + n);
}

/* Opcode of a gather or scatter; map 0F38. Few of all rolls would be one. */
static u8 vsib_opcode(struct rng *r, bool scatters)
{
	return (scatters && rng_pct(r, 40) ? 0xa0 : 0x90) + rng_below(r, 4);
}

static unsigned roll_vex(struct rng *r, struct dt_case *c, const struct memform *f, bool mem, u8 *b)
{
	u8 x = mem ? high_x(f) : rng_below(r, 2), bb = mem ? high_b(f) : rng_below(r, 2);
	u8 rr = rng_below(r, 2), vvvv = rng_pct(r, 40) ? 15 : rng_below(r, 16);
	bool vsib = mem && rng_pct(r, 8);
	unsigned n = 0;

	if (!dt_is64(c->mode))
		x = bb = rr = 0, vvvv |= 8;
	if (rng_pct(r, 6))
		b[n++] = 0x64 + rng_below(r, 2);
	b[n++] = 0xc4;
	b[n++] = !rr << 7 | !x << 6 | !bb << 5 | (vsib ? 2 : 1 + rng_below(r, 3));
	b[n++] = (rng_below(r, vsib ? 2 : 3) ? 0 : 0x80) | vvvv << 3 |
		 (vsib ? rng_below(r, 2) << 2 | 1 : rng_below(r, 8));
	if (!vsib && !x && !bb && (b[n - 2] & 31) == 1 && !(b[n - 1] & 0x80) && rng_pct(r, 50)) {
		b[n - 3] = 0xc5;
		b[n - 2] = b[n - 1] | !rr << 7;
		n--;
	}
	b[n++] = vsib ? vsib_opcode(r, false) : rng_u64(r);
	return n + put_operands(r, c, f, mem, b + n);
}

static unsigned roll_evex(struct rng *r, struct dt_case *c, const struct memform *f, bool mem, u8 *b)
{
	u8 x = mem ? high_x(f) : rng_below(r, 2), bb = mem ? high_b(f) : rng_below(r, 2);
	u8 rr = rng_below(r, 2), r2 = rng_below(r, 2), vvvv = rng_pct(r, 35) ? 31 : rng_below(r, 32);
	u8 aaa = rng_pct(r, 40) ? 0 : rng_below(r, 8);
	bool vsib = mem && rng_pct(r, 8);
	unsigned n = 0;

	if (!dt_is64(c->mode))
		x = bb = rr = r2 = 0, vvvv |= 24;
	if (rng_pct(r, 6))
		b[n++] = 0x64 + rng_below(r, 2);
	b[n++] = 0x62;
	b[n++] = !rr << 7 | !x << 6 | !bb << 5 | !r2 << 4 | (vsib ? 2 : 1 + rng_below(r, 3));
	b[n++] = rng_below(r, 2) << 7 | (vvvv & 15) << 3 | 4 | (vsib ? 1 : rng_below(r, 4));
	b[n++] = (aaa && rng_pct(r, 50) ? 0x80 : 0) | rng_below(r, 3) << 5 | (rng_pct(r, 20) ? 0x10 : 0) |
		 (vvvv & 16 ? 8 : 0) | aaa;
	b[n++] = vsib ? vsib_opcode(r, true) : rng_u64(r);
	return n + put_operands(r, c, f, mem, b + n);
}

static void roll(struct rng *r, struct dt_case *c, struct memform *f, u8 *b)
{
	unsigned kind = rng_below(r, 100);
	bool mem = rng_pct(r, 60);

	memset(b, 0, 40);
	roll_memform(r, c, f);
	if (kind >= 66 && rng_pct(r, 20))
		roll_edge(r, c, f);
	if (kind < 66)
		roll_legacy(r, c, f, mem, b);
	else if (kind < 80)
		roll_vex(r, c, f, mem, b);
	else
		roll_evex(r, c, f, mem, b);
}

/* ---- acceptance -------------------------------------------------------------------------------------- */

static bool reject(struct rng *r, struct dt_case *c, const struct decoded *d)
{
	u32 w = gprs_written(d);

	if (mnemonic_rejected(d->in.mnemonic) || category_rejected(&d->in))
		return true;
	if (d->in.mnemonic == ZYDIS_MNEMONIC_INT && d->op[0].imm.value.u == 0x80)
		return true;
	if (d->in.opcode_map == ZYDIS_OPCODE_MAP_0F && d->in.opcode == 0x0d && d->in.raw.modrm.mod == 3)
		return true; /* Intel: a NOP; AMD: #UD */
	if (d->in.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && gprs_named(d) & 1u << 4)
		return true; /* Zen 5, EVEX.X clear, after a PUSH: the RSP of before */
	if (d->in.mnemonic == ZYDIS_MNEMONIC_INT1)
		return true; /* under a hypervisor the frame's RIP is its own idea */
	if (d->in.mnemonic == ZYDIS_MNEMONIC_CLZERO && d->in.attributes & ZYDIS_ATTRIB_HAS_SEGMENT)
		return true; /* AMD's own; its faults with a base are its own too */
	if (d->in.mnemonic == ZYDIS_MNEMONIC_PAUSE && d->in.attributes & ZYDIS_ATTRIB_HAS_REX)
		return true; /* with REX.B an XCHG, which Zydis does not know */
	if (host_lacks(&d->in) && (explicit_mem(d) || !rng_pct(r, 3)))
		return true;
	if (is_user_only(d) && !rng_pct(r, 10))
		return true;
	if (is_user_only(d) && dt_is_kernel(c->mode))
		return true;
	if (touches_segment(d, true) || (dt_is_kernel(c->mode) && touches_segment(d, false)))
		return true;
	if (w & c->locked)
		return true;
	if ((w & (c->ptr_regs | 1u << 4) && !rng_pct(r, 4)) || (w & c->idx_regs && !rng_pct(r, 20)))
		return true;
	return !flags_ok(c, d);
}

/* Where the decoder found a static address, remember to relocate it. */
static void note_address(struct rng *r, struct dt_item *it, const struct decoded *d, const struct memform *f)
{
	const ZydisDecodedOperand *o = explicit_mem(d);
	u64 a = f->abs && f->index == 16 ? f->disp : data_addr(r);

	if (!o)
		return;
	if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP) {
		it->fix = DT_FIX_RIP;
		it->fix_off = d->in.raw.disp.offset;
		it->fix_size = 4;
		it->addr = a;
	} else if (o->mem.base == ZYDIS_REGISTER_NONE && o->mem.index == ZYDIS_REGISTER_NONE &&
		   d->in.raw.disp.size >= 32) {
		memcpy(it->b + d->in.raw.disp.offset, &a, d->in.raw.disp.size / 8);
	}
}

static void tame_immediate(struct rng *r, struct dt_item *it, const struct decoded *d)
{
	if (d->in.mnemonic == ZYDIS_MNEMONIC_ENTER) {
		it->b[it->len - 2] = 0;
		if (rng_pct(r, 80))
			it->b[it->len - 1] &= 3;
	}
}

bool gen_insn(struct rng *r, struct dt_case *c)
{
	struct decoded d;
	struct memform f;
	struct dt_item *it;
	u8 b[40];

	if (c->n > DT_ITEMS - 8)
		return false;
	do
		roll(r, c, &f, b);
	while (!decode(c, b, &d) || reject(r, c, &d));

	prepare_implicit(r, c, &d);
	prepare_bit_string(r, c, &d);
	prepare_vsib(c, &d);
	prepare_mask(r, c, &d);
	prepare_div(r, c, &d);
	it = item_add(c, b, d.in.length);
	note_address(r, it, &d, &f);
	tame_immediate(r, it, &d);
	flags_apply(c, &d);
	c->user_only |= is_user_only(&d);
	return true;
}
