/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFLAGS, control and debug registers, and the instructions on them (SDM vol. 3, ch. 2; vol. 2). Every
 * check comes before the first change. None of these functions touches RIP.
 *
 * The soft TLB has no PCID tags: it holds the current PCID's translations only, so MOV CR3 with bit 63
 * ("keep") still drops them when the register changes, which the manual permits, and INVPCID of
 * another PCID has nothing to drop.
 */
#include "hyp/sys/x86/desc.h"

#define CR3_NOFLUSH (1ull << 63)
#define CR3_PCID 0xfffull

#define DR6_FIXED 0xffff0ff0ull
#define DR6_WRITABLE 0xe00full
#define DR6_BD 0x2000ull
#define DR7_FIXED 0x400ull
#define DR7_WRITABLE 0xffff23ffull
#define DR7_GD 0x2000ull

static enum x86_ret gp0(struct hyp_cpu *cpu)
{
	return x86_raise_err(cpu, X86_GP, 0);
}

/* CPL as privileged instructions see it: real mode is 0, VM86 is 3. */
static unsigned priv(const struct x86_state *s)
{
	return s->cr0 & X86_CR0_PE ? x86_cpl(s) : 0;
}

static unsigned iopl(const struct x86_state *s)
{
	return (s->rflags & X86_FL_IOPL) >> 12;
}

/* ---- RFLAGS ---- */

u64 x86_get_rflags(struct hyp_cpu *cpu)
{
	return x86_rflags(cpu);
}

void x86_set_rflags(struct hyp_cpu *cpu, u64 val)
{
	u64 changed = cpu->s.rflags ^ val;

	x86_put_rflags(cpu, val);
	if (unlikely(changed & (X86_FL_AC | X86_FL_VM)))
		hyp_mode_update(cpu);
}

enum x86_ret x86_pushf(struct hyp_cpu *cpu, unsigned opsize)
{
	if (unlikely((cpu->s.rflags & X86_FL_VM) && iopl(&cpu->s) < 3))
		return gp0(cpu);
	return x86_push(cpu, x86_rflags(cpu) & ~(u64)(X86_FL_VM | X86_FL_RF), opsize);
}

#define POPF_ANY (X86_FL_ARITH | X86_FL_TF | X86_FL_DF | X86_FL_NT | X86_FL_AC | X86_FL_ID)

enum x86_ret x86_popf(struct hyp_cpu *cpu, unsigned opsize)
{
	struct x86_state *s = &cpu->s;
	unsigned cpl = priv(s);
	u64 img, old = x86_rflags(cpu), mask = POPF_ANY, clear = X86_FL_RF;
	enum x86_ret ret;

	if (unlikely((old & X86_FL_VM) && iopl(s) < 3))
		return gp0(cpu);
	ret = x86_pop(cpu, &img, opsize);
	if (unlikely(ret != X86_OK))
		return ret;
	if (cpl <= iopl(s))
		mask |= X86_FL_IF;
	if (cpl == 0)
		mask |= X86_FL_IOPL;
	if (opsize == 2)
		mask &= 0xffff;
	else if (cpl == 0)
		clear |= X86_FL_VIP | X86_FL_VIF;
	x86_set_rflags(cpu, ((old & ~mask) | (img & mask)) & ~clear);
	return X86_OK;
}

/* CLI/STI below IOPL act on VIF where CR4.PVI (protected) or CR4.VME (VM86) says so (SDM 20.3). */
static bool virtual_if(const struct x86_state *s)
{
	return priv(s) == 3 && (s->cr4 & (s->rflags & X86_FL_VM ? X86_CR4_VME : X86_CR4_PVI));
}

enum x86_ret x86_cli(struct hyp_cpu *cpu)
{
	struct x86_state *s = &cpu->s;

	if (likely(priv(s) <= iopl(s)))
		s->rflags &= ~(u64)X86_FL_IF;
	else if (virtual_if(s))
		s->rflags &= ~(u64)X86_FL_VIF;
	else
		return gp0(cpu);
	return X86_OK;
}

enum x86_ret x86_sti(struct hyp_cpu *cpu)
{
	struct x86_state *s = &cpu->s;

	if (likely(priv(s) <= iopl(s))) {
		if (s->rflags & X86_FL_IF)
			return X86_OK;
		s->shadow = X86_SHADOW_STI;
		s->rflags |= X86_FL_IF;
		x86_window_opened(cpu);
	} else if (virtual_if(s) && !(s->rflags & X86_FL_VIP)) {
		s->rflags |= X86_FL_VIF;
	} else {
		return gp0(cpu);
	}
	return X86_OK;
}

enum x86_ret x86_stac_clac(struct hyp_cpu *cpu, bool ac)
{
	struct x86_state *s = &cpu->s;

	if (unlikely(priv(s) || !(s->cr4_valid & X86_CR4_SMAP)))
		return x86_raise(cpu, X86_UD);
	if (ac)
		s->rflags |= X86_FL_AC;
	else
		s->rflags &= ~(u64)X86_FL_AC;
	hyp_mode_update(cpu);
	return X86_OK;
}

/* ---- CR0 ---- */

/* PAE without long mode: the four top-level entries must not have reserved bits (SDM 4.4.1). */
static bool pdptes_ok(struct hyp_cpu *cpu, u64 cr3)
{
	u64 rsvd = (~0ull << cpu->s.maxphyaddr) | 0x1e6;
	const u64 *pdpte = (const u64 *)hyp_phys_ptr(cpu, cr3 & 0xffffffe0, false);

	if (!pdpte)
		return false;
	for (unsigned i = 0; i < 4; i++)
		if ((pdpte[i] & 1) && (pdpte[i] & rsvd))
			return false;
	return true;
}

static enum x86_ret paging_on(struct hyp_cpu *cpu)
{
	struct x86_state *s = &cpu->s;

	if (!(s->efer & X86_EFER_LME)) {
		if ((s->cr4 & X86_CR4_PAE) && !pdptes_ok(cpu, s->cr3))
			return gp0(cpu);
		return X86_OK;
	}
	if (!(s->cr4 & X86_CR4_PAE) || (s->seg[X86_CS].ar & X86_AR_L) || !(s->seg[X86_TR].ar & 8))
		return gp0(cpu);
	s->efer |= X86_EFER_LMA;
	return X86_OK;
}

static enum x86_ret paging_off(struct hyp_cpu *cpu)
{
	if (cpu->code_size == 64 || (cpu->s.cr4 & X86_CR4_PCIDE))
		return gp0(cpu);
	cpu->s.efer &= ~(u64)X86_EFER_LMA;
	return X86_OK;
}

static enum x86_ret set_cr0(struct hyp_cpu *cpu, u64 val)
{
	struct x86_state *s = &cpu->s;
	u64 changed;
	enum x86_ret ret = X86_OK;

	if (val >> 32)
		return gp0(cpu);
	val = (val & s->cr0_valid) | X86_CR0_ET;
	if (((val & X86_CR0_NW) && !(val & X86_CR0_CD)) || ((val & X86_CR0_PG) && !(val & X86_CR0_PE)))
		return gp0(cpu);
	changed = val ^ s->cr0;
	if (changed & X86_CR0_PG)
		ret = val & X86_CR0_PG ? paging_on(cpu) : paging_off(cpu);
	if (ret != X86_OK)
		return ret;
	s->cr0 = val;
	hyp_keys_changed(cpu);
	if (changed & X86_CR0_PE) /* CPL is 0, whatever user space gave SS in real mode */
		s->seg[X86_SS].ar &= ~X86_AR_DPL;
	if (changed & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE)) {
		hyp_mode_update(cpu);
		hyp_tlb_flush_all(cpu);
	}
	return X86_OK;
}

/* ---- CR3, CR4, CR8 ---- */

static enum x86_ret set_cr3(struct hyp_cpu *cpu, u64 val)
{
	struct x86_state *s = &cpu->s;
	bool keep = (s->cr4 & X86_CR4_PCIDE) && (val & CR3_NOFLUSH);

	if (keep)
		val &= ~CR3_NOFLUSH;
	if (x86_long_active(s)) {
		if (unlikely(val & (~0ull << s->maxphyaddr)))
			return gp0(cpu);
	} else if ((s->cr0 & X86_CR0_PG) && (s->cr4 & X86_CR4_PAE) && !pdptes_ok(cpu, val)) {
		return gp0(cpu);
	}
	if (keep && val == s->cr3)
		return X86_OK;
	s->cr3 = val;
	hyp_tlb_flush_nonglobal(cpu);
	return X86_OK;
}

#define CR4_PAGING (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_LA57 | X86_CR4_PCIDE | X86_CR4_SMEP | \
		    X86_CR4_SMAP | X86_CR4_PKE)
#define CR4_PDPTE (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP)

static enum x86_ret set_cr4(struct hyp_cpu *cpu, u64 val)
{
	struct x86_state *s = &cpu->s;
	u64 changed = val ^ s->cr4;
	bool lm = x86_long_active(s), paging = s->cr0 & X86_CR0_PG;

	if (val & ~s->cr4_valid)
		return gp0(cpu);
	if (lm && ((changed & X86_CR4_LA57) || !(val & X86_CR4_PAE)))
		return gp0(cpu);
	if ((changed & val & X86_CR4_PCIDE) && (!lm || (s->cr3 & CR3_PCID)))
		return gp0(cpu);
	if (!lm && paging && (val & X86_CR4_PAE) && (changed & CR4_PDPTE) && !pdptes_ok(cpu, s->cr3))
		return gp0(cpu);
	s->cr4 = val;
	hyp_keys_changed(cpu);
	if (changed & CR4_PAGING) {
		hyp_mode_update(cpu);
		hyp_tlb_flush_all(cpu);
	}
	return X86_OK;
}

static enum x86_ret set_cr8(struct hyp_cpu *cpu, u64 val)
{
	if (val & ~0xfull)
		return gp0(cpu);
	if (val == cpu->s.cr8)
		return X86_OK;
	cpu->s.cr8 = val;
	cpu->s.exit.reason = HYP_EXIT_CR8;
	cpu->s.exit.insn_len = 0;
	return X86_EXIT;
}

static bool cr_exists(const struct hyp_cpu *cpu, unsigned cr)
{
	return cr == 0 || (cr >= 2 && cr <= 4) || (cr == 8 && cpu->code_size == 64);
}

enum x86_ret x86_mov_to_cr(struct hyp_cpu *cpu, unsigned cr, u64 val)
{
	if (unlikely(!cr_exists(cpu, cr)))
		return x86_raise(cpu, X86_UD);
	if (unlikely(priv(&cpu->s)))
		return gp0(cpu);
	if (cpu->code_size != 64)
		val = (u32)val;
	switch (cr) {
	case 0: return set_cr0(cpu, val);
	case 3: return set_cr3(cpu, val);
	case 4: return set_cr4(cpu, val);
	case 8: return set_cr8(cpu, val);
	}
	cpu->s.cr2 = val;
	return X86_OK;
}

enum x86_ret x86_mov_from_cr(struct hyp_cpu *cpu, unsigned cr, u64 *val)
{
	const struct x86_state *s = &cpu->s;

	if (unlikely(!cr_exists(cpu, cr)))
		return x86_raise(cpu, X86_UD);
	if (unlikely(priv(s)))
		return gp0(cpu);
	switch (cr) {
	case 0: *val = s->cr0; break;
	case 2: *val = s->cr2; break;
	case 3: *val = s->cr3; break;
	case 4: *val = s->cr4; break;
	case 8: *val = s->cr8; break;
	}
	return X86_OK;
}

enum x86_ret x86_clts(struct hyp_cpu *cpu)
{
	if (priv(&cpu->s))
		return gp0(cpu);
	cpu->s.cr0 &= ~(u64)X86_CR0_TS;
	hyp_keys_changed(cpu);
	return X86_OK;
}

/* Sets MP, EM, TS as given and PE only upwards. */
enum x86_ret x86_lmsw(struct hyp_cpu *cpu, u16 val)
{
	const u64 bits = X86_CR0_MP | X86_CR0_EM | X86_CR0_TS;

	if (priv(&cpu->s))
		return gp0(cpu);
	return set_cr0(cpu, (cpu->s.cr0 & ~bits) | (val & (bits | X86_CR0_PE)));
}

/* ---- debug registers ---- */

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE; then privilege; then DR7.GD. */
static enum x86_ret check_dr(struct hyp_cpu *cpu, unsigned *dr)
{
	struct x86_state *s = &cpu->s;

	if (*dr > 7 || ((*dr & ~1u) == 4 && (s->cr4 & X86_CR4_DE)))
		return x86_raise(cpu, X86_UD);
	if (priv(s))
		return gp0(cpu);
	if ((*dr & ~1u) == 4)
		*dr += 2;
	if (x86_dr7(s) & DR7_GD)
		return x86_raise_db(cpu, DR6_BD);
	return X86_OK;
}

enum x86_ret x86_mov_to_dr(struct hyp_cpu *cpu, unsigned dr, u64 val)
{
	struct x86_state *s = &cpu->s;
	enum x86_ret ret = check_dr(cpu, &dr);

	if (ret != X86_OK)
		return ret;
	if (cpu->code_size != 64)
		val = (u32)val;
	if (dr >= 6 && val >> 32)
		return gp0(cpu);
	if (dr == 6)
		s->dr6 = (val & DR6_WRITABLE) | DR6_FIXED;
	else if (dr == 7)
		s->dr7 = (val & DR7_WRITABLE) | DR7_FIXED;
	else
		s->dr[dr] = val;
	return X86_OK;
}

enum x86_ret x86_mov_from_dr(struct hyp_cpu *cpu, unsigned dr, u64 *val)
{
	const struct x86_state *s = &cpu->s;
	enum x86_ret ret = check_dr(cpu, &dr);

	if (ret == X86_OK)
		*val = dr == 6 ? s->dr6 : dr == 7 ? s->dr7 : s->dr[dr];
	return ret;
}

/* ---- TLB ---- */

enum x86_ret x86_invlpg(struct hyp_cpu *cpu, gva_t gva)
{
	if (priv(&cpu->s))
		return gp0(cpu);
	if (x86_is_canonical(&cpu->s, gva))
		hyp_tlb_flush_page(cpu, gva);
	return X86_OK;
}

enum { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL_GLOBAL, INVPCID_ALL };

enum x86_ret x86_invpcid(struct hyp_cpu *cpu, u64 type, u64 pcid, gva_t gva)
{
	const struct x86_state *s = &cpu->s;
	bool current = pcid == (s->cr4 & X86_CR4_PCIDE ? s->cr3 & CR3_PCID : 0);

	if (!s->has_invpcid || (s->rflags & X86_FL_VM))
		return x86_raise(cpu, X86_UD);
	if (priv(s) || type > INVPCID_ALL || pcid > CR3_PCID)
		return gp0(cpu);
	if (type <= INVPCID_CONTEXT && pcid && !(s->cr4 & X86_CR4_PCIDE))
		return gp0(cpu);
	if (type == INVPCID_ADDRESS && !x86_is_canonical(&cpu->s, gva))
		return gp0(cpu);
	if (type == INVPCID_ALL_GLOBAL)
		hyp_tlb_flush_all(cpu);
	else if (type == INVPCID_ALL || (type == INVPCID_CONTEXT && current))
		hyp_tlb_flush_nonglobal(cpu);
	else if (current)
		hyp_tlb_flush_page(cpu, gva);
	return X86_OK;
}
