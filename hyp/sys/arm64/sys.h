/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of hyp/sys/arm64 share: syndromes, control bits, the page walk. Private to that directory
 * and its tests. Names are the Arm ARM's (DDI 0487).
 */
#ifndef KUSE_HYP_ARM64_SYS_H
#define KUSE_HYP_ARM64_SYS_H

#include "hyp/mem/as.h"
#include "hyp/sys/arm64/cpu.h"

/* ---- exception syndromes (ESR_ELx) ------------------------------------------------------------ */
#define ESR_EC_SHIFT 26
#define ESR_IL (1u << 25)
#define ESR(ec, iss) ((u32)(ec) << ESR_EC_SHIFT | ESR_IL | (iss))

enum {
	EC_UNKNOWN = 0x00, EC_WFX = 0x01, EC_FP = 0x07, EC_ILL = 0x0e, EC_SVC64 = 0x15, EC_HVC64 = 0x16,
	EC_SMC64 = 0x17, EC_SYS64 = 0x18, EC_IABT_LOW = 0x20, EC_IABT_CUR = 0x21, EC_PC_ALIGN = 0x22,
	EC_DABT_LOW = 0x24, EC_DABT_CUR = 0x25, EC_SP_ALIGN = 0x26, EC_SERROR = 0x2f, EC_BREAKPT_LOW = 0x30,
	EC_SSTEP_LOW = 0x32, EC_SSTEP_CUR = 0x33, EC_WATCHPT_LOW = 0x34, EC_BRK64 = 0x3c,
};

#define ISS_ISV (1u << 24)
#define ISS_SAS(log2) ((u32)(log2) << 22)
#define ISS_SSE (1u << 21)
#define ISS_SRT(r) ((u32)(r) << 16)
#define ISS_SF (1u << 15)
#define ISS_CM (1u << 8)
#define ISS_WNR (1u << 6)
#define FSC_ADDRSZ 0x00u /* these four: + level */
#define FSC_TRANS 0x04u
#define FSC_ACCESS 0x08u
#define FSC_PERM 0x0cu
#define FSC_EXTABT 0x10u
#define FSC_ALIGN 0x21u

#define VEC_SYNC 0x000u
#define VEC_IRQ 0x080u
#define VEC_FIQ 0x100u
#define VEC_SERROR 0x180u

/* ---- control registers ------------------------------------------------------------------------- */
#define SCTLR_M (1ull << 0)
#define SCTLR_A (1ull << 1)
#define SCTLR_SA (1ull << 3)
#define SCTLR_SA0 (1ull << 4)
#define SCTLR_UMA (1ull << 9)
#define SCTLR_DZE (1ull << 14)
#define SCTLR_UCT (1ull << 15)
#define SCTLR_NTWI (1ull << 16)
#define SCTLR_NTWE (1ull << 18)
#define SCTLR_WXN (1ull << 19)
#define SCTLR_SPAN (1ull << 23)
#define SCTLR_UCI (1ull << 26)
#define SCTLR_DSSBS (1ull << 44)
#define SCTLR_EPAN (1ull << 57)

#define TCR_EPD0 (1ull << 7)
#define TCR_A1 (1ull << 22)
#define TCR_EPD1 (1ull << 23)
#define TCR_AS (1ull << 36)
#define TCR_TBI0 (1ull << 37)
#define TCR_TBI1 (1ull << 38)
#define TCR_HA (1ull << 39)
#define TCR_HD (1ull << 40)
#define TCR_HPD0 (1ull << 41)
#define TCR_HPD1 (1ull << 42)
#define TCR_E0PD0 (1ull << 55)
#define TCR_E0PD1 (1ull << 56)

#define MDSCR_SS (1ull << 0)
#define MDSCR_KDE (1ull << 13)
#define MDSCR_MDE (1ull << 15)

#define CNTKCTL_EL0PCTEN (1ull << 0)
#define CNTKCTL_EL0VCTEN (1ull << 1)
#define CNTKCTL_EL0VTEN (1ull << 8)
#define CNTKCTL_EL0PTEN (1ull << 9)

/* Largest sizes the walk knows: FEAT_LPA, LVA are not offered. */
#define ARM64_PA_BITS 48
#define ARM64_TSZ_MIN 16
#define ARM64_TSZ_MAX 39

static inline unsigned arm64_el(const struct hyp_cpu *cpu)
{
	return ARM64_PSR_GET_EL(cpu->s.pstate);
}

static inline u64 arm64_sctlr(const struct hyp_cpu *cpu)
{
	return cpu->s.sr[ARM64_SR_SCTLR_EL1];
}

/* Is the top byte of an address in va's half ignored? (TCR_EL1.TBI0, TBI1; MMU on or off) */
static inline bool arm64_tbi(const struct hyp_cpu *cpu, gva_t va)
{
	return cpu->s.sr[ARM64_SR_TCR_EL1] & (va >> 55 & 1 ? TCR_TBI1 : TCR_TBI0);
}

/* Bit 55 copied into bits 63:56. */
static inline gva_t arm64_untag(gva_t va)
{
	return (gva_t)((s64)(va << 8) >> 8);
}

/* ---- mmu.c: stage 1 of the EL1&0 regime ------------------------------------------------------------ */
struct arm64_walk {
	gpa_t gpa;
	u8 shift;      /* log2 of the page or block, 12 with the MMU off */
	bool global;
	bool device;   /* Device memory: unaligned accesses fault */
	bool writable; /* acc with ARM64_ACC_W would succeed and has nothing left to do */
	u8 attr;       /* MAIR byte, for PAR_EL1 */
	u8 sh;
	u8 fsc;        /* where the walk failed */
	bool ptw_ext;  /* fsc FSC_EXTABT: on a table walk */
};
#define ARM64_ACC_NOPAN 64u  /* AT, cache maintenance: PSTATE.PAN does not count */
#define ARM64_ACC_ATOMIC 128u /* read and write: a fault says WnR only where a read would have succeeded */

/* gva -> gpa with all checks for `acc`; sets AF and the dirty state where TCR_EL1 says so. False: w->fsc. */
bool arm64_walk(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct arm64_walk *w);
/* Size of the granule (log2) in va's half of the address space. */
unsigned arm64_granule(const struct hyp_cpu *cpu, gva_t va);
/* The ASID in use. */
u16 arm64_asid(const struct hyp_cpu *cpu);

/* ---- tlb.c ----------------------------------------------------------------------------------------- */
/* Where an access goes. False: an abort has been raised, or an exit filled in. */
struct arm64_place {
	u8 *host; /* NULL: no RAM (or read-only for a write) */
	gpa_t gpa;
	bool device;
};
bool arm64_place(struct hyp_cpu *cpu, gva_t gva, unsigned acc, struct arm64_place *p);

/* The host did not let C code have guest RAM (a guard's hva), or a private page is missing (hva 0): the
 * exit. */
bool arm64_host_refused(struct hyp_cpu *cpu, u64 hva);

/* TLB maintenance. */
void arm64_tlbi_local(struct hyp_cpu *cpu, const struct arm64_tlbi *t);
/* The same on every CPU of the address space; done when it returns. */
void arm64_tlbi_broadcast(struct hyp_cpu *cpu, const struct arm64_tlbi *t);
/* This CPU's side: what others have asked for. */
void arm64_tlbi_answer(struct hyp_cpu *cpu);

/* ---- exc.c ------------------------------------------------------------------------------------------ */
/* A data abort (FSC and WnR, CM in iss), an instruction abort. */
void arm64_data_abort(struct hyp_cpu *cpu, gva_t far, u32 iss);
void arm64_insn_abort(struct hyp_cpu *cpu, gva_t far, u32 iss);
/*
 * What hyp_cpu_run does between blocks: interrupts that may be taken now, software step, illegal state, pc
 * alignment. True: something was taken, or an exit is filled in (leave).
 */
bool arm64_take_pending(struct hyp_cpu *cpu);
/* The exception in cpu->exc. */
void arm64_take_raised(struct hyp_cpu *cpu);
/* After a change of PSTATE: the mode, and whether something pending may be taken now. */
void arm64_pstate_changed(struct hyp_cpu *cpu);
/* Fills an exit whose instruction is at pc. */
static inline void arm64_exit(struct hyp_cpu *cpu, enum hyp_exit reason, u8 insn_len)
{
	cpu->s.exit.reason = reason;
	cpu->s.exit.insn_len = insn_len;
	cpu->leave = ARM64_EXIT;
}

/* ---- pmu.c: where state->pmu.on ---------------------------------------------------------------------- */
/* Around the guest's time. */
void arm64_pmu_enter(struct hyp_cpu *cpu);
void arm64_pmu_leave(struct hyp_cpu *cpu);
/* Before the exception level changes. */
void arm64_pmu_event(struct hyp_cpu *cpu, enum arm64_pmu_count what);

/* ---- sysreg.c, sysins.c -------------------------------------------------------------------------------- */
/* NULL where the table is in order, else the name of the first row that is not. */
const char *arm64_sysreg_check(void);
/* sr[] at creation; at a warm reset (what identifies the CPU stays). */
void arm64_sysreg_init(struct hyp_cpu *cpu);
void arm64_sysreg_reset(struct hyp_cpu *cpu);
/* The TLB drops what a change of the translation registers makes void. */
void arm64_regime_update(struct hyp_cpu *cpu);
/* SYS instructions: TLBI, AT, DC, IC. False: not one of ours. */
bool arm64_sys_insn(struct hyp_cpu *cpu, u32 sys, u64 rt, u64 val);
/* EC 0x18: a trapped MSR, MRS or SYS. */
void arm64_trap_sys(struct hyp_cpu *cpu, u32 sys, u64 rt, bool read);

#endif
