/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System instructions: the checks the SDM's vol. 2 lists, in its order, then the mechanism (sys.h) or
 * an exit. CPL 0 is checked by the table (X86_OP_CPL0) where #GP(0) comes first.
 */
#include "hyp/sys/x86/interp.h"

static enum x86_ret gp0(struct hyp_cpu *cpu)
{
	return x86_raise_err(cpu, X86_GP, 0);
}

/* ---- flags ----------------------------------------------------------------------------------- */

enum x86_ret x86_op_cli(struct hyp_cpu *cpu, const struct x86_insn *in) { return x86_cli(cpu); }
enum x86_ret x86_op_sti(struct hyp_cpu *cpu, const struct x86_insn *in) { return x86_sti(cpu); }
enum x86_ret x86_op_stac(struct hyp_cpu *cpu, const struct x86_insn *in) { return x86_stac_clac(cpu, true); }
enum x86_ret x86_op_clac(struct hyp_cpu *cpu, const struct x86_insn *in) { return x86_stac_clac(cpu, false); }

enum x86_ret x86_op_cld(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	cpu->df = 0;
	cpu->s.rflags &= ~(u64)X86_FL_DF;
	return X86_OK;
}

enum x86_ret x86_op_std(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	cpu->df = X86_FL_DF;
	cpu->s.rflags |= X86_FL_DF;
	return X86_OK;
}

/* ---- exits to KVM ---------------------------------------------------------------------------- */

enum x86_ret x86_op_cpuid(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (cpu->s.cpuid_faulting && x86_priv(&cpu->s) && !cpu->s.in_smm)
		return gp0(cpu);
	return x86_exit_at(cpu, in, HYP_EXIT_CPUID);
}

enum x86_ret x86_op_rdmsr(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_exit_at(cpu, in, HYP_EXIT_RDMSR);
}

enum x86_ret x86_op_wrmsr(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_exit_at(cpu, in, HYP_EXIT_WRMSR);
}

enum x86_ret x86_op_hlt(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_exit_at(cpu, in, HYP_EXIT_HLT);
}

enum x86_ret x86_op_invd(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return x86_exit_at(cpu, in, HYP_EXIT_INVD);
}

static enum x86_ret hypercall(struct hyp_cpu *cpu, const struct x86_insn *in, bool vmmcall)
{
	cpu->s.exit.hypercall.vmmcall = vmmcall;
	return x86_exit_at(cpu, in, HYP_EXIT_HYPERCALL);
}

enum x86_ret x86_op_vmcall(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return hypercall(cpu, in, false);
}

enum x86_ret x86_op_vmmcall(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return hypercall(cpu, in, true);
}

enum x86_ret x86_op_pause(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return cpu->s.want_pause_exit ? x86_exit_at(cpu, in, HYP_EXIT_PAUSE) : X86_OK;
}

/* MONITOR and MWAIT are #UD outside CPL 0 */
enum x86_ret x86_op_mwait(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (x86_priv(&cpu->s))
		return x86_raise(cpu, X86_UD);
	return cpu->s.want_mwait_nop ? X86_OK : x86_exit_at(cpu, in, HYP_EXIT_MWAIT);
}

enum x86_ret x86_op_rdpmc(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (!(cpu->s.cr4 & X86_CR4_PCE) && x86_priv(&cpu->s))
		return gp0(cpu);
	return x86_exit_at(cpu, in, HYP_EXIT_RDPMC);
}

enum x86_ret x86_op_xsetbv(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (!(cpu->s.cr4 & X86_CR4_OSXSAVE))
		return x86_raise(cpu, X86_UD);
	if (x86_priv(&cpu->s))
		return gp0(cpu);
	return x86_exit_at(cpu, in, HYP_EXIT_XSETBV);
}

enum x86_ret x86_op_rsm(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return cpu->s.in_smm ? x86_exit_at(cpu, in, HYP_EXIT_RSM) : x86_raise(cpu, X86_UD);
}

/* ---- reads of the machine's state ------------------------------------------------------------ */

static void set_edx_eax(struct hyp_cpu *cpu, u64 val)
{
	cpu->s.gpr[X86_RAX] = (u32)val;
	cpu->s.gpr[X86_RDX] = val >> 32;
}

enum x86_ret x86_op_xgetbv(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 xstate_bv;

	if (!(cpu->s.cr4 & X86_CR4_OSXSAVE))
		return x86_raise(cpu, X86_UD);
	if ((u32)cpu->s.gpr[X86_RCX] > 1)
		return gp0(cpu);
	__builtin_memcpy(&xstate_bv, cpu->s.xsave + 512, 8);
	set_edx_eax(cpu, (u32)cpu->s.gpr[X86_RCX] ? cpu->s.xcr0 & xstate_bv : cpu->s.xcr0);
	return X86_OK;
}

static bool tsc_denied(const struct hyp_cpu *cpu)
{
	return cpu->s.cr4 & X86_CR4_TSD && x86_priv(&cpu->s);
}

enum x86_ret x86_op_rdtsc(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (tsc_denied(cpu))
		return gp0(cpu);
	set_edx_eax(cpu, hyp_x86_tsc(cpu));
	return X86_OK;
}

enum x86_ret x86_op_rdtscp(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (!cpu->s.has_rdtscp)
		return x86_raise(cpu, X86_UD);
	if (tsc_denied(cpu))
		return gp0(cpu);
	set_edx_eax(cpu, hyp_x86_tsc(cpu));
	cpu->s.gpr[X86_RCX] = (u32)cpu->s.tsc_aux;
	return X86_OK;
}

enum x86_ret x86_op_rdpid(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (!cpu->s.has_rdpid)
		return x86_raise(cpu, X86_UD);
	x86_reg_set(cpu, in->opnd[0].reg, in->opnd[0].size, cpu->s.tsc_aux);
	return X86_OK;
}

static enum x86_ret read_base(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned seg)
{
	if (!(cpu->s.cr4 & X86_CR4_FSGSBASE))
		return x86_raise(cpu, X86_UD);
	x86_reg_set(cpu, in->opnd[0].reg, in->opnd[0].size, cpu->s.seg[seg].base);
	return X86_OK;
}

static enum x86_ret write_base(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned seg)
{
	u64 base = x86_reg_get(cpu, in->opnd[0].reg, in->opnd[0].size);

	if (!(cpu->s.cr4 & X86_CR4_FSGSBASE))
		return x86_raise(cpu, X86_UD);
	if (!x86_canonical(cpu, base))
		return gp0(cpu);
	cpu->s.seg[seg].base = base;
	return X86_OK;
}

enum x86_ret x86_op_rdfsbase(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return read_base(cpu, in, X86_FS);
}

enum x86_ret x86_op_rdgsbase(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return read_base(cpu, in, X86_GS);
}

enum x86_ret x86_op_wrfsbase(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return write_base(cpu, in, X86_FS);
}

enum x86_ret x86_op_wrgsbase(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return write_base(cpu, in, X86_GS);
}

/* ---- control state --------------------------------------------------------------------------- */

enum x86_ret x86_op_clts(struct hyp_cpu *cpu, const struct x86_insn *in) { return x86_clts(cpu); }

enum x86_ret x86_op_lmsw(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 val;

	X86_TRY(x86_opnd_get(cpu, in, 0, &val));
	return x86_lmsw(cpu, val);
}

static bool umip_denied(const struct hyp_cpu *cpu)
{
	return cpu->s.cr4 & X86_CR4_UMIP && x86_priv(&cpu->s);
}

/* A register receives the operand size, memory a word. */
static enum x86_ret store_word(struct hyp_cpu *cpu, const struct x86_insn *in, u64 val)
{
	gva_t gva;

	if (umip_denied(cpu))
		return gp0(cpu);
	if (in->opnd[0].type == X86_OPND_GPR) {
		x86_reg_set(cpu, in->opnd[0].reg, in->opsize, val);
		return X86_OK;
	}
	X86_TRY(x86_ea(cpu, in, 2, X86_ACC_W, &gva));
	return x86_lin_write(cpu, gva, &val, 2);
}

enum x86_ret x86_op_smsw(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return store_word(cpu, in, cpu->s.cr0);
}

static bool no_selectors(const struct hyp_cpu *cpu)
{
	return !(cpu->s.cr0 & X86_CR0_PE) || cpu->s.rflags & X86_FL_VM;
}

enum x86_ret x86_op_sldt(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (no_selectors(cpu))
		return x86_raise(cpu, X86_UD);
	return store_word(cpu, in, cpu->s.seg[X86_LDTR].sel);
}

enum x86_ret x86_op_str(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	if (no_selectors(cpu))
		return x86_raise(cpu, X86_UD);
	return store_word(cpu, in, cpu->s.seg[X86_TR].sel);
}

static enum x86_ret load_system_seg(struct hyp_cpu *cpu, const struct x86_insn *in,
				    enum x86_ret (*load)(struct hyp_cpu *, u16))
{
	u64 sel;

	if (no_selectors(cpu))
		return x86_raise(cpu, X86_UD);
	if (x86_priv(&cpu->s))
		return gp0(cpu);
	X86_TRY(x86_opnd_get(cpu, in, 0, &sel));
	return load(cpu, sel);
}

enum x86_ret x86_op_lldt(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return load_system_seg(cpu, in, x86_lldt);
}

enum x86_ret x86_op_ltr(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return load_system_seg(cpu, in, x86_ltr);
}

static enum x86_ret store_table(struct hyp_cpu *cpu, const struct x86_insn *in, const struct x86_dtable *t)
{
	unsigned size = cpu->code_size == 64 ? 10 : 6;
	u8 buf[10];
	gva_t gva;

	if (umip_denied(cpu))
		return gp0(cpu);
	__builtin_memcpy(buf, &t->limit, 2);
	__builtin_memcpy(buf + 2, &t->base, 8);
	X86_TRY(x86_ea(cpu, in, size, X86_ACC_W, &gva));
	return x86_lin_write(cpu, gva, buf, size);
}

/* A 16-bit operand size loads 24 bits of base. */
static enum x86_ret load_table(struct hyp_cpu *cpu, const struct x86_insn *in, struct x86_dtable *t)
{
	unsigned size = cpu->code_size == 64 ? 10 : 6;
	u8 buf[10] = { 0 };
	u64 base;
	gva_t gva;

	X86_TRY(x86_ea(cpu, in, size, X86_ACC_R, &gva));
	X86_TRY(x86_lin_read(cpu, gva, buf, size));
	__builtin_memcpy(&base, buf + 2, 8);
	if (size == 6 && in->opsize == 2)
		base &= 0xffffff;
	if (size == 10 && !x86_canonical(cpu, base))
		return gp0(cpu);
	t->base = base;
	__builtin_memcpy(&t->limit, buf, 2);
	return X86_OK;
}

enum x86_ret x86_op_sgdt(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return store_table(cpu, in, &cpu->s.gdtr);
}

enum x86_ret x86_op_sidt(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return store_table(cpu, in, &cpu->s.idtr);
}

enum x86_ret x86_op_lgdt(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return load_table(cpu, in, &cpu->s.gdtr);
}

enum x86_ret x86_op_lidt(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	return load_table(cpu, in, &cpu->s.idtr);
}

enum x86_ret x86_op_swapgs(struct hyp_cpu *cpu, const struct x86_insn *in) { return x86_swapgs(cpu); }

/* ---- translation caches ---------------------------------------------------------------------- */

/* No access is made: no limit, no canonical fault. */
enum x86_ret x86_op_invlpg(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 off = x86_ea_offset(cpu, in);
	bool flat = cpu->code_size == 64 && in->mem.seg < X86_FS;
	gva_t gva = flat ? off : cpu->s.seg[in->mem.seg].base + off;

	return x86_invlpg(cpu, cpu->code_size == 64 ? gva : (u32)gva);
}

enum x86_ret x86_op_invpcid(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 desc[2];
	gva_t gva;

	if (!cpu->s.has_invpcid)
		return x86_raise(cpu, X86_UD);
	X86_TRY(x86_ea(cpu, in, 16, X86_ACC_R, &gva));
	X86_TRY(x86_lin_read(cpu, gva, desc, 16));
	if (desc[0] >> 12)
		return gp0(cpu);
	return x86_invpcid(cpu, x86_reg_get(cpu, in->opnd[0].reg, in->opnd[0].size), desc[0], desc[1]);
}

/* CLFLUSH and its kin fault as a load of the byte does */
enum x86_ret x86_op_clflush(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	enum x86_ret ret = X86_OK;
	gva_t gva;
	gpa_t gpa;

	X86_TRY(x86_ea(cpu, in, 1, X86_ACC_R, &gva));
	if (!hyp_mem_ptr(cpu, gva, X86_ACC_R, &gpa, &ret) && ret == X86_FAULT)
		return ret;
	return X86_OK;
}

enum x86_ret x86_op_clzero(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	static const u8 zero[64];

	gva_t gva;

	X86_TRY(x86_linear(cpu, in->mem.seg, x86_get_a(cpu, in, X86_RAX), 1, X86_ACC_W, &gva));
	return x86_lin_write(cpu, gva & ~63ull, zero, 64);
}

/* ---- descriptors asked about ----------------------------------------------------------------- */

static void set_zf(struct hyp_cpu *cpu, bool zf)
{
	cpu->s.rflags = zf ? cpu->s.rflags | X86_FL_ZF : cpu->s.rflags & ~(u64)X86_FL_ZF;
}

/* ok: sel names a descriptor within its table */
static enum x86_ret read_desc(struct hyp_cpu *cpu, u16 sel, u32 desc[2], bool *ok)
{
	u64 base = cpu->s.gdtr.base;
	u32 limit = cpu->s.gdtr.limit;

	*ok = false;
	if (!(sel & ~3))
		return X86_OK;
	if (sel & 4) {
		if (cpu->s.seg[X86_LDTR].ar & X86_AR_UNUSABLE)
			return X86_OK;
		base = cpu->s.seg[X86_LDTR].base;
		limit = cpu->s.seg[X86_LDTR].limit;
	}
	if ((sel | 7u) > limit)
		return X86_OK;
	*ok = true;
	return x86_mem_read(cpu, base + (sel & ~7u), desc, 8, X86_ACC_R | X86_ACC_SUPER);
}

static bool visible(const struct hyp_cpu *cpu, u16 sel, u32 hi)
{
	unsigned dpl = hi >> 13 & 3;
	bool conforming = (hi & 0x1c00) == 0x1c00;

	return conforming || (dpl >= x86_cpl(&cpu->s) && dpl >= (sel & 3u));
}

#define SYSTEM_TYPES_LAR 0x1a3eu /* bit n: type n. SDM vol. 2, LAR: 1-5, 9, B, C */
#define SYSTEM_TYPES_LSL 0x0a0eu /* 1-3, 9, B */
#define SYSTEM_TYPES_LONG 0x1a04u /* 2, 9, B, C */

static bool type_known(const struct hyp_cpu *cpu, u32 hi, u32 types)
{
	if (hi & 0x1000)
		return true;
	if (cpu->s.efer & X86_EFER_LMA)
		types &= SYSTEM_TYPES_LONG;
	return types >> (hi >> 8 & 15) & 1;
}

static enum x86_ret ask_desc(struct hyp_cpu *cpu, const struct x86_insn *in, unsigned opnd, u32 desc[2],
			     bool *ok)
{
	gva_t gva;
	u16 sel;

	if (no_selectors(cpu))
		return x86_raise(cpu, X86_UD);
	if (in->opnd[opnd].type == X86_OPND_GPR) {
		sel = cpu->s.gpr[in->opnd[opnd].reg];
	} else {
		X86_TRY(x86_ea(cpu, in, 2, X86_ACC_R, &gva));
		X86_TRY(x86_lin_read(cpu, gva, &sel, 2));
	}
	X86_TRY(read_desc(cpu, sel, desc, ok));
	*ok = *ok && visible(cpu, sel, desc[1]);
	return X86_OK;
}

enum x86_ret x86_op_lar(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u32 desc[2];
	bool ok;

	X86_TRY(ask_desc(cpu, in, 1, desc, &ok));
	ok = ok && type_known(cpu, desc[1], SYSTEM_TYPES_LAR);
	if (ok)
		x86_reg_set(cpu, in->opnd[0].reg, in->opnd[0].size, desc[1] & 0x00f0ff00);
	set_zf(cpu, ok);
	return X86_OK;
}

enum x86_ret x86_op_lsl(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u32 desc[2], limit;
	bool ok;

	X86_TRY(ask_desc(cpu, in, 1, desc, &ok));
	ok = ok && type_known(cpu, desc[1], SYSTEM_TYPES_LSL);
	if (ok) {
		limit = (desc[0] & 0xffff) | (desc[1] & 0xf0000);
		if (desc[1] & 0x800000)
			limit = limit << 12 | 0xfff;
		x86_reg_set(cpu, in->opnd[0].reg, in->opnd[0].size, limit);
	}
	set_zf(cpu, ok);
	return X86_OK;
}

/* VERR: data, or readable code */
enum x86_ret x86_op_verr(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u32 desc[2];
	bool ok;

	X86_TRY(ask_desc(cpu, in, 0, desc, &ok));
	set_zf(cpu, ok && desc[1] & 0x1000 && (desc[1] & 0xa00) != 0x800);
	return X86_OK;
}

enum x86_ret x86_op_verw(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u32 desc[2];
	bool ok;

	X86_TRY(ask_desc(cpu, in, 0, desc, &ok));
	set_zf(cpu, ok && (desc[1] & 0x1a00) == 0x1200);
	return X86_OK;
}

/* ARPL r/m16, r16: raise the RPL of the first to the second's */
enum x86_ret x86_op_arpl(struct hyp_cpu *cpu, const struct x86_insn *in)
{
	u64 dst, src;

	if (no_selectors(cpu))
		return x86_raise(cpu, X86_UD);
	X86_TRY(x86_opnd_get(cpu, in, 0, &dst));
	X86_TRY(x86_opnd_get(cpu, in, 1, &src));
	if ((dst & 3) >= (src & 3)) {
		set_zf(cpu, false);
		return X86_OK;
	}
	X86_TRY(x86_opnd_set(cpu, in, 0, (dst & ~3ull) | (src & 3)));
	set_zf(cpu, true);
	return X86_OK;
}
