/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System registers: who may touch which, what a write does besides (DDI 0487, D17). The registers a CPU
 * holds are rows of sysregs.inc; PSTATE fields, counters and the like are rows of special[] here. What is
 * in neither table leaves as HYP_EXIT_SYSREG: KVM answers, or has the CPU take an UNDEFINED exception.
 *
 * The order of checks is the manual's: UNDEFINED at EL0 for all with op1 != 3, traps to EL1, then to EL2
 * (KVM).
 */
#include <errno.h>

#include "hyp/sys/arm64/debug.h"
#include "hyp/sys/arm64/sys.h"

#define SR_RO 1u      /* writes are UNDEFINED */
#define SR_VM 2u      /* translation control: writes exit where HCR_EL2.TVM is set */
#define SR_HOOK 4u    /* a write changes more than the register */
#define SR_EL0_R 8u
#define SR_EL0_W 16u
#define SR_UCT 32u    /* EL0 by SCTLR_EL1.UCT */
#define SR_SP0 64u    /* UNDEFINED where it is the SP in use */
#define SR_EL2 128u   /* not EL1's */
#define SR_PAUTH 256u /* FEAT_PAuth is not offered: KVM's to refuse */
#define SR_DZE 1024u  /* what EL0 reads depends on SCTLR_EL1.DZE */
#define DCZID_DZP 16u
#define SR_MASK 512u  /* has RES0 or RES1 bits, no other effect */

struct sr_row {
	const char *name;
	u16 sys, flags;
	u64 reset;
};

static const struct sr_row rows[] = {
#define SYSREG(name, op0, op1, crn, crm, op2, flags, reset) \
	[ARM64_SR_##name] = { #name, ARM64_SYS(op0, op1, crn, crm, op2), flags, reset },
#include "hyp/sys/arm64/sysregs.inc"
#undef SYSREG
};
_Static_assert(ARRAY_SIZE(rows) == ARM64_NR_SR, "one row a register");

static const struct sr_row *find_row(u32 sys)
{
	unsigned lo = 0, hi = ARRAY_SIZE(rows);

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (rows[mid].sys == sys)
			return &rows[mid];
		if (rows[mid].sys < sys)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const char *arm64_sysreg_check(void)
{
	for (unsigned i = 1; i < ARRAY_SIZE(rows); i++)
		if (rows[i - 1].sys >= rows[i].sys)
			return rows[i].name;
	return NULL;
}

void arm64_sysreg_reset(struct hyp_cpu *cpu)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (!(rows[i].flags & SR_RO))
			cpu->s.sr[i] = rows[i].reset;
}

void arm64_sysreg_init(struct hyp_cpu *cpu)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		cpu->s.sr[i] = rows[i].reset;
}

/* ---- traps ------------------------------------------------------------------------------------------ */

void arm64_trap_sys(struct hyp_cpu *cpu, u32 sys, u64 rt, bool read)
{
	u32 op0 = sys >> 14 & 3, op1 = sys >> 11 & 7, crn = sys >> 7 & 15, crm = sys >> 3 & 15, op2 = sys & 7;

	hyp_arm64_raise(cpu,
			ESR(EC_SYS64,
			    op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | (u32)rt << 5 | crm << 1 | read),
			0);
}

static void exit_sysreg(struct hyp_cpu *cpu, u32 sys, u64 rt, bool write)
{
	arm64_exit(cpu, HYP_EXIT_SYSREG, 4);
	cpu->s.exit.sysreg.sys = sys;
	cpu->s.exit.sysreg.rt = (u8)rt;
	cpu->s.exit.sysreg.write = write;
}

static bool fp_trapped(const struct hyp_cpu *cpu)
{
	return !(cpu->key & HYP_KEY_FP);
}

static bool raise_fp_trap(struct hyp_cpu *cpu)
{
	hyp_arm64_raise(cpu, ESR(EC_FP, 0x1e00000), 0);
	return false;
}

/* ---- values that are not plain memory ------------------------------------------------------------------ */

static u64 *live(struct hyp_cpu *cpu, enum arm64_sr r)
{
	if (r == (cpu->sp_bank ? ARM64_SR_SP_EL1 : ARM64_SR_SP_EL0))
		return &cpu->s.x[31];
	return &cpu->s.sr[r];
}

/* M A C SA SA0 UMA I DZE UCT nTWI nTWE WXN SPAN UCI DSSBS EPAN; big endian and AArch32 are not offered. */
#define SCTLR_WRITABLE 0x02001000048dd21full
#define SCTLR_RES1 0x30500980ull

/* RES0 bits dropped, RES1 bits set. */
static u64 masked(enum arm64_sr r, u64 v)
{
	switch (r) {
	case ARM64_SR_SCTLR_EL1: return (v & SCTLR_WRITABLE) | SCTLR_RES1;
	case ARM64_SR_VBAR_EL1: return v & ~0x7ffull;
	case ARM64_SR_CPACR_EL1: return v & 0x00300000;
	case ARM64_SR_CNTKCTL_EL1: return v & 0x203ff;
	default: return v;
	}
}

/* ---- effects of a write ---- */

/* The registers translations depend on, as the TLB last saw them. */
static const enum arm64_sr tr[] = { ARM64_SR_SCTLR_EL1, ARM64_SR_TCR_EL1, ARM64_SR_MAIR_EL1,
				    ARM64_SR_TTBR1_EL1, ARM64_SR_TTBR0_EL1 };
#define TTBR_ADDR 0x0000ffffffffffffull
#define SCTLR_TR (SCTLR_M | SCTLR_WXN | SCTLR_EPAN)

static bool regime_changed(const struct hyp_cpu *cpu)
{
	const u64 *sr = cpu->s.sr;

	return (sr[ARM64_SR_SCTLR_EL1] ^ cpu->tr[0]) & SCTLR_TR || sr[ARM64_SR_TCR_EL1] != cpu->tr[1] ||
	       sr[ARM64_SR_MAIR_EL1] != cpu->tr[2] || (sr[ARM64_SR_TTBR1_EL1] ^ cpu->tr[3]) & TTBR_ADDR;
}

/* Drops what may no longer be used. The TLB holds one ASID: its entries go with a change of ASID or TTBR0. */
void arm64_regime_update(struct hyp_cpu *cpu)
{
	const u64 *sr = cpu->s.sr;

	if (regime_changed(cpu))
		hyp_tlb_flush_all(cpu);
	else if (sr[ARM64_SR_TTBR0_EL1] != cpu->tr[4] || sr[ARM64_SR_TTBR1_EL1] != cpu->tr[3])
		hyp_tlb_flush_nonglobal(cpu);
	for (unsigned i = 0; i < ARRAY_SIZE(tr); i++)
		cpu->tr[i] = sr[tr[i]];
}

static void write_effects(struct hyp_cpu *cpu, const struct sr_row *row)
{
	if (row->flags & SR_VM)
		arm64_regime_update(cpu);
	else if (row - rows == ARM64_SR_MDSCR_EL1)
		arm64_debug_update(cpu);
	arm64_pstate_changed(cpu); /* key */
}

/* ---- registers that are no rows ---- */

static u64 read_pstate(struct hyp_cpu *cpu, u32 sys)
{
	static const u32 mask[8] = { [2] = ARM64_PSR_EL(3), [3] = ARM64_PSR_PAN, [4] = ARM64_PSR_UAO };

	return (sys & 7) ? cpu->s.pstate & mask[sys & 7] : cpu->s.pstate & ARM64_PSR_SP;
}

static void set_pstate(struct hyp_cpu *cpu, u32 mask, u64 v)
{
	const struct arm64_state *s = &cpu->s;

	cpu->s.pstate = (s->pstate & ~mask) | ((u32)v & mask);
	if (mask & ~ARM64_PSR_DAIF || s->vi || s->vf || s->vse ||
	    s->sr[ARM64_SR_MDSCR_EL1] & (MDSCR_SS | MDSCR_MDE))
		arm64_pstate_changed(cpu);
}

static void write_pstate(struct hyp_cpu *cpu, u32 sys, u64 v)
{
	static const u32 mask[8] = { [0] = ARM64_PSR_SP, [3] = ARM64_PSR_PAN, [4] = ARM64_PSR_UAO };

	set_pstate(cpu, mask[sys & 7], v);
}

/* NZCV, DAIF, DIT, SSBS: by op2 of 3, 3, 4, 2 */
static u32 user_pstate_mask(u32 sys)
{
	static const u32 mask[8] = { [0] = ARM64_PSR_NZCV, [1] = ARM64_PSR_DAIF, [5] = ARM64_PSR_DIT,
				     [6] = ARM64_PSR_SSBS };

	return mask[sys & 7];
}

static u64 read_user_pstate(struct hyp_cpu *cpu, u32 sys)
{
	return cpu->s.pstate & user_pstate_mask(sys);
}

static void write_user_pstate(struct hyp_cpu *cpu, u32 sys, u64 v)
{
	set_pstate(cpu, user_pstate_mask(sys), v);
}

#define FPCR_MASK 0x07c80000u /* AHP, DN, FZ, RMode, FZ16 */
#define FPSR_MASK 0x0800009fu

static u64 read_fp(struct hyp_cpu *cpu, u32 sys)
{
	if (!(sys & 7))
		return cpu->s.fpcr;
	arm64_fp_leave(cpu);
	arm64_fp_enter(cpu);
	return cpu->s.fpsr;
}

static void write_fp(struct hyp_cpu *cpu, u32 sys, u64 v)
{
	arm64_fp_leave(cpu);
	if (sys & 7)
		cpu->s.fpsr = (u32)v & FPSR_MASK;
	else
		cpu->s.fpcr = (u32)v & FPCR_MASK;
	arm64_fp_enter(cpu);
	hyp_mode_update(cpu);
}

static u64 read_counter(struct hyp_cpu *cpu, u32 sys)
{
	return hyp_arm64_counter() - (sys & 7 & 1 ? cpu->s.cntpoff : cpu->s.cntvoff);
}

static u64 read_frequency(struct hyp_cpu *cpu, u32 sys)
{
	return hyp_arm64_counter_hz();
}

enum gate { G_NONE, G_UMA, G_FP, G_CNT };

/* What EL0 needs for it is in `cntkctl` (bits of CNTKCTL_EL1) or said by the gate. */
static const struct special {
	u16 sys;
	u8 gate;
	u16 cntkctl;
	u64 (*read)(struct hyp_cpu *cpu, u32 sys);
	void (*write)(struct hyp_cpu *cpu, u32 sys, u64 v); /* NULL: UNDEFINED */
} special[] = {
	{ ARM64_SYS(3, 0, 4, 2, 0), G_NONE, 0, read_pstate, write_pstate }, /* SPSel */
	{ ARM64_SYS(3, 0, 4, 2, 2), G_NONE, 0, read_pstate, NULL },	    /* CurrentEL */
	{ ARM64_SYS(3, 0, 4, 2, 3), G_NONE, 0, read_pstate, write_pstate }, /* PAN */
	{ ARM64_SYS(3, 0, 4, 2, 4), G_NONE, 0, read_pstate, write_pstate }, /* UAO */
	{ ARM64_SYS(3, 3, 4, 2, 0), G_NONE, 0, read_user_pstate, write_user_pstate }, /* NZCV */
	{ ARM64_SYS(3, 3, 4, 2, 1), G_UMA, 0, read_user_pstate, write_user_pstate },  /* DAIF */
	{ ARM64_SYS(3, 3, 4, 2, 5), G_NONE, 0, read_user_pstate, write_user_pstate }, /* DIT */
	{ ARM64_SYS(3, 3, 4, 2, 6), G_NONE, 0, read_user_pstate, write_user_pstate }, /* SSBS */
	{ ARM64_SYS(3, 3, 4, 4, 0), G_FP, 0, read_fp, write_fp }, /* FPCR */
	{ ARM64_SYS(3, 3, 4, 4, 1), G_FP, 0, read_fp, write_fp }, /* FPSR */
	{ ARM64_SYS(3, 3, 14, 0, 0), G_CNT, CNTKCTL_EL0PCTEN | CNTKCTL_EL0VCTEN, read_frequency, NULL },
	{ ARM64_SYS(3, 3, 14, 0, 1), G_CNT, CNTKCTL_EL0PCTEN, read_counter, NULL }, /* CNTPCT_EL0 */
	{ ARM64_SYS(3, 3, 14, 0, 2), G_CNT, CNTKCTL_EL0VCTEN, read_counter, NULL }, /* CNTVCT_EL0 */
};

static const struct special *find_special(u32 sys)
{
	for (unsigned i = 0; i < ARRAY_SIZE(special); i++)
		if (special[i].sys == sys)
			return &special[i];
	return NULL;
}

/* May the access be made? False: raised. */
static bool special_allowed(struct hyp_cpu *cpu, const struct special *sp, u64 rt, bool read)
{
	bool el0 = !arm64_el(cpu), trap = false;

	if (sp->gate == G_FP && fp_trapped(cpu))
		return raise_fp_trap(cpu);
	if (!read && !sp->write) {
		hyp_arm64_undefined(cpu);
		return false;
	}
	if (el0 && sp->gate == G_UMA)
		trap = !(arm64_sctlr(cpu) & SCTLR_UMA);
	else if (el0 && sp->gate == G_CNT)
		trap = !(cpu->s.sr[ARM64_SR_CNTKCTL_EL1] & sp->cntkctl);
	if (trap)
		arm64_trap_sys(cpu, sp->sys, rt, read);
	return !trap;
}

/* ---- MRS, MSR ---- */

static bool row_allowed(struct hyp_cpu *cpu, const struct sr_row *row, u64 rt, bool read)
{
	bool el0 = !arm64_el(cpu);

	if ((!read && row->flags & SR_RO) || row->flags & SR_EL2 ||
	    (el0 && !(row->flags & (read ? SR_EL0_R : SR_EL0_W))) || (row->flags & SR_SP0 && !cpu->sp_bank)) {
		hyp_arm64_undefined(cpu);
		return false;
	}
	if (el0 && row->flags & SR_UCT && !(arm64_sctlr(cpu) & SCTLR_UCT)) {
		arm64_trap_sys(cpu, row->sys, rt, read);
		return false;
	}
	if (row->flags & SR_PAUTH || (!read && row->flags & SR_VM && cpu->s.hcr & ARM64_HCR_TVM)) {
		exit_sysreg(cpu, row->sys, rt, !read);
		return false;
	}
	return true;
}

/* Timer registers of EL0 are gated by CNTKCTL_EL1 before they are KVM's: CNTP_* and CNTV_*. */
static bool timer_trapped(struct hyp_cpu *cpu, u32 sys)
{
	u64 ctl = cpu->s.sr[ARM64_SR_CNTKCTL_EL1];

	if ((sys & ~7u) == ARM64_SYS(3, 3, 14, 2, 0))
		return !(ctl & CNTKCTL_EL0PTEN);
	if ((sys & ~7u) == ARM64_SYS(3, 3, 14, 3, 0))
		return !(ctl & CNTKCTL_EL0VTEN);
	return false;
}

/* Neither table has it. */
static void unknown(struct hyp_cpu *cpu, u32 sys, u64 rt, bool read)
{
	bool el0 = !arm64_el(cpu);

	if (el0 && (sys >> 11 & 7) != 3)
		hyp_arm64_undefined(cpu);
	else if (el0 && timer_trapped(cpu, sys))
		arm64_trap_sys(cpu, sys, rt, read);
	else
		exit_sysreg(cpu, sys, rt, !read);
}

/* UNDEFINED at EL0 whatever the table says. */
static bool el0_undefined(struct hyp_cpu *cpu, u32 sys)
{
	if (arm64_el(cpu) || (sys >> 11 & 7) == 3)
		return false;
	hyp_arm64_undefined(cpu);
	return true;
}

static u64 read_row(struct hyp_cpu *cpu, const struct sr_row *row)
{
	enum arm64_sr r = (enum arm64_sr)(row - rows);
	bool prohibited = r == ARM64_SR_DCZID_EL0 && !arm64_el(cpu) && !(arm64_sctlr(cpu) & SCTLR_DZE);

	return *live(cpu, r) | (prohibited ? DCZID_DZP : 0);
}

u64 a64_helper_mrs(struct hyp_cpu *cpu, u64 sys, u64 rt, u64 unused)
{
	const struct sr_row *row = find_row((u32)sys);
	const struct special *sp = row ? NULL : find_special((u32)sys);

	if (el0_undefined(cpu, (u32)sys))
		return 0;
	if (row)
		return row_allowed(cpu, row, rt, true) ? read_row(cpu, row) : 0;
	if (sp)
		return special_allowed(cpu, sp, rt, true) ? sp->read(cpu, (u32)sys) : 0;
	unknown(cpu, (u32)sys, rt, true);
	return 0;
}

static void write_row(struct hyp_cpu *cpu, const struct sr_row *row, u64 val)
{
	enum arm64_sr r = (enum arm64_sr)(row - rows);

	*live(cpu, r) = masked(r, val);
	if (row->flags & SR_HOOK)
		write_effects(cpu, row);
}

u64 a64_helper_msr(struct hyp_cpu *cpu, u64 sys, u64 rt, u64 val)
{
	const struct sr_row *row = find_row((u32)sys);
	const struct special *sp = row ? NULL : find_special((u32)sys);

	if (el0_undefined(cpu, (u32)sys))
		return 0;
	if (row) {
		if (row_allowed(cpu, row, rt, false))
			write_row(cpu, row, val);
	} else if (sp) {
		if (special_allowed(cpu, sp, rt, false))
			sp->write(cpu, (u32)sys, val);
	} else if ((sys >> 14 & 3) != 1 || !arm64_sys_insn(cpu, (u32)sys, rt, val)) {
		unknown(cpu, (u32)sys, rt, false);
	}
	return 0;
}

/* MSR (immediate): op1 << 3 | op2 says which field. */
static bool msr_imm_el0(struct hyp_cpu *cpu, u32 which, u64 imm)
{
	if (arm64_el(cpu))
		return true;
	if (which >> 3 != 3)
		hyp_arm64_undefined(cpu);
	else if ((which & 7) >= 6 && !(arm64_sctlr(cpu) & SCTLR_UMA))
		arm64_trap_sys(cpu, ARM64_SYS(0, 3, 4, (u32)imm, which & 7), 31, false);
	else
		return true;
	return false;
}

u64 a64_helper_msr_imm(struct hyp_cpu *cpu, u64 which, u64 imm, u64 unused)
{
	if (!msr_imm_el0(cpu, (u32)which, imm))
		return 0;
	switch (which) {
	case 0 << 3 | 3: set_pstate(cpu, ARM64_PSR_UAO, imm & 1 ? ~0u : 0); break;
	case 0 << 3 | 4: set_pstate(cpu, ARM64_PSR_PAN, imm & 1 ? ~0u : 0); break;
	case 0 << 3 | 5: set_pstate(cpu, ARM64_PSR_SP, imm & 1); break;
	case 3 << 3 | 1: set_pstate(cpu, ARM64_PSR_SSBS, imm & 1 ? ~0u : 0); break;
	case 3 << 3 | 2: set_pstate(cpu, ARM64_PSR_DIT, imm & 1 ? ~0u : 0); break;
	case 3 << 3 | 6: set_pstate(cpu, (u32)imm << 6 & ARM64_PSR_DAIF, ~0u); break;
	case 3 << 3 | 7: set_pstate(cpu, (u32)imm << 6 & ARM64_PSR_DAIF, 0); break;
	default: hyp_arm64_undefined(cpu);
	}
	return 0;
}

/* ---- for the lifter: what emitted code may do itself ---- */

unsigned hyp_arm64_plain_sr(u32 sys, u32 key, bool write, unsigned *size)
{
	const struct sr_row *row = find_row(sys);
	bool el1 = key & HYP_KEY_EL1;

	*size = 8;
	if (!row || row->flags & (SR_EL2 | SR_PAUTH) ||
	    (write && row->flags & (SR_RO | SR_VM | SR_HOOK | SR_MASK)))
		return 0;
	if (!el1 && (row->flags & SR_DZE || !(row->flags & (write ? SR_EL0_W : SR_EL0_R))))
		return 0;
	if ((row->flags & SR_UCT && !el1 && !(key & HYP_KEY_UCT)) ||
	    (row->flags & SR_SP0 && !(key & HYP_KEY_SPSEL)))
		return 0;
	return (unsigned)(offsetof(struct hyp_cpu, s.sr) + 8 * (row - rows));
}

/* ---- for KVM ---- */

int hyp_arm64_get_sr(struct hyp_cpu *cpu, u32 sys, u64 *val)
{
	const struct sr_row *row = find_row(sys);

	if (!row)
		return -ENOENT;
	*val = *live(cpu, (enum arm64_sr)(row - rows));
	return 0;
}

int hyp_arm64_set_sr(struct hyp_cpu *cpu, u32 sys, u64 val)
{
	const struct sr_row *row = find_row(sys);

	if (!row)
		return -ENOENT;
	*live(cpu, (enum arm64_sr)(row - rows)) = val;
	write_effects(cpu, row);
	return 0;
}
