/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows, in the order of their encodings (kvm_sys_reg_table_init checks that). What is not offered stays
 * listed as access_undef where Linux lists it. Columns: name, encoding, the guest's access, reset, user
 * space's access, value, slot.
 */
#include "arch/arm64/sys_regs.h"

#define ROW(name, op0, op1, crn, crm, op2, ...) { #name, ARM64_SYS(op0, op1, crn, crm, op2), __VA_ARGS__ }
/* A register of the CPU's that does not leave it. */
#define CPU(name, op0, op1, crn, crm, op2, val) \
	ROW(name, op0, op1, crn, crm, op2, access_cpu, reset_cpu, &user_cpu, val)
/* One that KVM holds. */
#define HELD(name, op0, op1, crn, crm, op2, val, slot) \
	ROW(name, op0, op1, crn, crm, op2, access_slot, reset_slot, &user_slot, val, slot)
/* KVM holds it for user space; the guest does not have it. */
#define USER_ONLY(name, op0, op1, crn, crm, op2, val, slot) \
	ROW(name, op0, op1, crn, crm, op2, access_undef, reset_slot, &user_slot, val, slot)
#define RAZ_WI(name, op0, op1, crn, crm, op2) ROW(name, op0, op1, crn, crm, op2, access_raz_wi)
#define UNDEF(name, op0, op1, crn, crm, op2) ROW(name, op0, op1, crn, crm, op2, access_undef)
#define GIC(name, op0, op1, crn, crm, op2) ROW(name, op0, op1, crn, crm, op2, access_gic)
#define TIMER(name, op2, crm) ROW(name, 3, 3, 14, crm, op2, access_timer)
#define PTRAUTH(name, crm, op2) ROW(name, 3, 0, 2, crm, op2, access_cpu, reset_cpu, &user_ptrauth, 0)
/* mask: the bits that user space may change, downwards. */
#define ID_WRITABLE(name, crm, op2, mask) ROW(name, 3, 0, 0, crm, op2, access_id_reg, NULL, &id_reg_user, mask)
#define ID_FIXED(name, crm, op2) ID_WRITABLE(name, crm, op2, 0)
#define ID_UNALLOCATED(crm, op2) ID_FIXED(S3_0_0_##crm##_##op2, crm, op2)

#define DBG(n)                                                          \
	HELD(DBGBVR##n##_EL1, 2, 0, 0, n, 4, 0, KVM_SR_DBGBVR0 + n),    \
	HELD(DBGBCR##n##_EL1, 2, 0, 0, n, 5, 0, KVM_SR_DBGBCR0 + n),    \
	HELD(DBGWVR##n##_EL1, 2, 0, 0, n, 6, 0, KVM_SR_DBGWVR0 + n),    \
	HELD(DBGWCR##n##_EL1, 2, 0, 0, n, 7, 0, KVM_SR_DBGWCR0 + n)

/* The performance monitor's. */
#define PMU(name, crn, crm, op2, ...) ROW(name, 3, 3, crn, crm, op2, __VA_ARGS__)
#define PMSET(name, op1, crm, op2, access, slot) \
	ROW(name, 3, op1, 9, crm, op2, access, reset_slot, &user_pmset, 0, slot)
#define PMCLR(name, op1, crm, op2, access, slot) \
	ROW(name, 3, op1, 9, crm, op2, access, reset_slot, &user_pmclr, 0, slot)
/* PMEVCNTR<8 * c + i>_EL0, PMEVTYPER<8 * c + i>_EL0 */
#define PMEVCNTR(c, i) \
	PMU(PMEVCNTR_##c##_##i##_EL0, 14, 8 + c, i, access_pmu_evcntr, reset_slot, &user_pmevcntr, 0, \
	    KVM_SR_PMEVCNTR0 + 8 * c + i)
#define PMEVTYPER(c, i) \
	PMU(PMEVTYPER_##c##_##i##_EL0, 14, 12 + c, i, access_pmu_evtyper, reset_slot, &user_pmu, 0, \
	    KVM_SR_PMEVTYPER0 + 8 * c + i)
#define PM_SEVEN(row, c) row(c, 0), row(c, 1), row(c, 2), row(c, 3), row(c, 4), row(c, 5), row(c, 6)
#define PM_EIGHT(row, c) PM_SEVEN(row, c), row(c, 7)

#define FIELD(lsb) (15ull << (lsb))

const struct sys_reg_desc sys_reg_table[] = {
	/* system instructions: caches by set and way, which guests use to flush everything */
	ROW(DC_ISW, 1, 0, 7, 6, 2, access_set_way),
	ROW(DC_CSW, 1, 0, 7, 10, 2, access_set_way),
	ROW(DC_CISW, 1, 0, 7, 14, 2, access_set_way),

	/* debug */
	DBG(0),
	DBG(1),
	HELD(MDCCINT_EL1, 2, 0, 0, 2, 0, 0, KVM_SR_MDCCINT),
	CPU(MDSCR_EL1, 2, 0, 0, 2, 2, 0),
	DBG(2),
	DBG(3),
	DBG(4),
	DBG(5),
	DBG(6),
	DBG(7),
	DBG(8),
	DBG(9),
	DBG(10),
	DBG(11),
	DBG(12),
	DBG(13),
	DBG(14),
	DBG(15),
	RAZ_WI(MDRAR_EL1, 2, 0, 1, 0, 0),
	ROW(OSLAR_EL1, 2, 0, 1, 0, 4, access_oslar),
	ROW(OSLSR_EL1, 2, 0, 1, 1, 4, access_oslsr, reset_oslsr, &user_oslsr, BIT(3), KVM_SR_OSLSR),
	RAZ_WI(OSDLR_EL1, 2, 0, 1, 3, 4),
	RAZ_WI(DBGPRCR_EL1, 2, 0, 1, 4, 4),
	RAZ_WI(DBGCLAIMSET_EL1, 2, 0, 7, 8, 6),
	RAZ_WI(DBGCLAIMCLR_EL1, 2, 0, 7, 9, 6),
	ROW(DBGAUTHSTATUS_EL1, 2, 0, 7, 14, 6, access_dbgauthstatus),
	RAZ_WI(MDCCSR_EL0, 2, 3, 0, 1, 0),
	RAZ_WI(DBGDTR_EL0, 2, 3, 0, 4, 0),
	RAZ_WI(DBGDTRTX_EL0, 2, 3, 0, 5, 0), /* reads: DBGDTRRX_EL0 */
	USER_ONLY(DBGVCR32_EL2, 2, 4, 0, 7, 0, 0, KVM_SR_DBGVCR32),

	/* identification */
	ROW(MIDR_EL1, 3, 0, 0, 0, 0, access_cpu, reset_midr, &user_invariant, 0),
	ROW(MPIDR_EL1, 3, 0, 0, 0, 5, access_cpu, reset_mpidr, &user_mpidr, 0),
	ROW(REVIDR_EL1, 3, 0, 0, 0, 6, access_write_ignored, NULL, &user_invariant, 0),
	ID_FIXED(ID_PFR0_EL1, 1, 0),
	ID_FIXED(ID_PFR1_EL1, 1, 1),
	ID_FIXED(ID_DFR0_EL1, 1, 2),
	ID_FIXED(ID_AFR0_EL1, 1, 3),
	ID_FIXED(ID_MMFR0_EL1, 1, 4),
	ID_FIXED(ID_MMFR1_EL1, 1, 5),
	ID_FIXED(ID_MMFR2_EL1, 1, 6),
	ID_FIXED(ID_MMFR3_EL1, 1, 7),
	ID_FIXED(ID_ISAR0_EL1, 2, 0),
	ID_FIXED(ID_ISAR1_EL1, 2, 1),
	ID_FIXED(ID_ISAR2_EL1, 2, 2),
	ID_FIXED(ID_ISAR3_EL1, 2, 3),
	ID_FIXED(ID_ISAR4_EL1, 2, 4),
	ID_FIXED(ID_ISAR5_EL1, 2, 5),
	ID_FIXED(ID_MMFR4_EL1, 2, 6),
	ID_FIXED(ID_ISAR6_EL1, 2, 7),
	ID_FIXED(MVFR0_EL1, 3, 0),
	ID_FIXED(MVFR1_EL1, 3, 1),
	ID_FIXED(MVFR2_EL1, 3, 2),
	ID_UNALLOCATED(3, 3),
	ID_FIXED(ID_PFR2_EL1, 3, 4),
	ID_FIXED(ID_DFR1_EL1, 3, 5),
	ID_FIXED(ID_MMFR5_EL1, 3, 6),
	ID_UNALLOCATED(3, 7),
	/* all but AMU, MPAM, SVE, RAS, AdvSIMD, FP */
	ID_WRITABLE(ID_AA64PFR0_EL1, 4, 0, ~(FIELD(44) | FIELD(40) | FIELD(32) | FIELD(28) | FIELD(20) | FIELD(16))),
	/* BT, SSBS, CSV2_frac */
	ID_WRITABLE(ID_AA64PFR1_EL1, 4, 1, FIELD(0) | FIELD(4) | FIELD(32)),
	ID_WRITABLE(ID_AA64PFR2_EL1, 4, 2, FIELD(32)),
	ID_UNALLOCATED(4, 3),
	ID_WRITABLE(ID_AA64ZFR0_EL1, 4, 4, FIELD(0) | FIELD(4) | FIELD(16) | FIELD(20) | FIELD(24) | FIELD(32) |
						   FIELD(40) | FIELD(44) | FIELD(52) | FIELD(56)),
	ID_FIXED(ID_AA64SMFR0_EL1, 4, 5),
	ID_UNALLOCATED(4, 6),
	ID_WRITABLE(ID_AA64FPFR0_EL1, 4, 7, 0xf0000003ull),
	/* DoubleLock, WRPs, PMUVer, DebugVer */
	ID_WRITABLE(ID_AA64DFR0_EL1, 5, 0, FIELD(36) | FIELD(20) | FIELD(8) | FIELD(0)),
	ID_FIXED(ID_AA64DFR1_EL1, 5, 1),
	ID_UNALLOCATED(5, 2),
	ID_UNALLOCATED(5, 3),
	ID_FIXED(ID_AA64AFR0_EL1, 5, 4),
	ID_FIXED(ID_AA64AFR1_EL1, 5, 5),
	ID_UNALLOCATED(5, 6),
	ID_UNALLOCATED(5, 7),
	ID_WRITABLE(ID_AA64ISAR0_EL1, 6, 0, ~FIELD(0)),
	/* all but APA, API, GPA, GPI */
	ID_WRITABLE(ID_AA64ISAR1_EL1, 6, 1, ~(FIELD(4) | FIELD(8) | FIELD(24) | FIELD(28))),
	/* all but GPA3, APA3 and what is reserved */
	ID_WRITABLE(ID_AA64ISAR2_EL1, 6, 2, 0x00ffff00f0ffull & ~(FIELD(8) | FIELD(12))),
	ID_UNALLOCATED(6, 3),
	ID_UNALLOCATED(6, 4),
	ID_UNALLOCATED(6, 5),
	ID_UNALLOCATED(6, 6),
	ID_UNALLOCATED(6, 7),
	/* PARANGE, BIGEND, SNSMEM, BIGENDEL0, TGRAN*, EXS, FGT, ECV */
	ID_WRITABLE(ID_AA64MMFR0_EL1, 7, 0, FIELD(0) | FIELD(8) | FIELD(12) | FIELD(16) | FIELD(20) | FIELD(24) |
						    FIELD(28) | FIELD(44) | FIELD(56) | FIELD(60)),
	/* all but VMIDBits, VH, XNX, TWED, HCX */
	ID_WRITABLE(ID_AA64MMFR1_EL1, 7, 1, ~(FIELD(4) | FIELD(8) | FIELD(28) | FIELD(32) | FIELD(40))),
	/* all but CCIDX, NV, IDS, FWB, EVT and what is reserved */
	ID_WRITABLE(ID_AA64MMFR2_EL1, 7, 2, FIELD(0) | FIELD(4) | FIELD(8) | FIELD(12) | FIELD(16) | FIELD(28) |
						    FIELD(32) | FIELD(48) | FIELD(52) | FIELD(60)),
	ID_WRITABLE(ID_AA64MMFR3_EL1, 7, 3, FIELD(0) | FIELD(8) | FIELD(16)),
	ID_FIXED(ID_AA64MMFR4_EL1, 7, 4),
	ID_UNALLOCATED(7, 5),
	ID_UNALLOCATED(7, 6),
	ID_UNALLOCATED(7, 7),

	/* EL1 control */
	CPU(SCTLR_EL1, 3, 0, 1, 0, 0, 0x00c50078),
	ROW(ACTLR_EL1, 3, 0, 1, 0, 1, access_actlr, reset_cpu, &user_cpu, 0),
	CPU(CPACR_EL1, 3, 0, 1, 0, 2, 0),
	UNDEF(RGSR_EL1, 3, 0, 1, 0, 5),
	UNDEF(GCR_EL1, 3, 0, 1, 0, 6),
	UNDEF(ZCR_EL1, 3, 0, 1, 2, 0),
	UNDEF(TRFCR_EL1, 3, 0, 1, 2, 1),
	UNDEF(SMPRI_EL1, 3, 0, 1, 2, 4),
	UNDEF(SMCR_EL1, 3, 0, 1, 2, 6),
	CPU(TTBR0_EL1, 3, 0, 2, 0, 0, 0),
	CPU(TTBR1_EL1, 3, 0, 2, 0, 1, 0),
	CPU(TCR_EL1, 3, 0, 2, 0, 2, 0),
	USER_ONLY(TCR2_EL1, 3, 0, 2, 0, 3, 0, KVM_SR_TCR2),
	PTRAUTH(APIAKEYLO_EL1, 1, 0),
	PTRAUTH(APIAKEYHI_EL1, 1, 1),
	PTRAUTH(APIBKEYLO_EL1, 1, 2),
	PTRAUTH(APIBKEYHI_EL1, 1, 3),
	PTRAUTH(APDAKEYLO_EL1, 2, 0),
	PTRAUTH(APDAKEYHI_EL1, 2, 1),
	PTRAUTH(APDBKEYLO_EL1, 2, 2),
	PTRAUTH(APDBKEYHI_EL1, 2, 3),
	PTRAUTH(APGAKEYLO_EL1, 3, 0),
	PTRAUTH(APGAKEYHI_EL1, 3, 1),
	ROW(SPSR_EL1, 3, 0, 4, 0, 0, access_cpu),
	ROW(ELR_EL1, 3, 0, 4, 0, 1, access_cpu),
	ROW(SP_EL0, 3, 0, 4, 1, 0, access_cpu),
	GIC(ICC_PMR_EL1, 3, 0, 4, 6, 0),
	CPU(AFSR0_EL1, 3, 0, 5, 1, 0, 0),
	CPU(AFSR1_EL1, 3, 0, 5, 1, 1, 0),
	CPU(ESR_EL1, 3, 0, 5, 2, 0, 0),
	RAZ_WI(ERRIDR_EL1, 3, 0, 5, 3, 0),
	RAZ_WI(ERRSELR_EL1, 3, 0, 5, 3, 1),
	RAZ_WI(ERXFR_EL1, 3, 0, 5, 4, 0),
	RAZ_WI(ERXCTLR_EL1, 3, 0, 5, 4, 1),
	RAZ_WI(ERXSTATUS_EL1, 3, 0, 5, 4, 2),
	RAZ_WI(ERXADDR_EL1, 3, 0, 5, 4, 3),
	RAZ_WI(ERXMISC0_EL1, 3, 0, 5, 5, 0),
	RAZ_WI(ERXMISC1_EL1, 3, 0, 5, 5, 1),
	UNDEF(TFSR_EL1, 3, 0, 5, 6, 0),
	UNDEF(TFSRE0_EL1, 3, 0, 5, 6, 1),
	CPU(FAR_EL1, 3, 0, 6, 0, 0, 0),
	CPU(PAR_EL1, 3, 0, 7, 4, 0, 0),
	UNDEF(PMSCR_EL1, 3, 0, 9, 9, 0),
	UNDEF(PMSIDR_EL1, 3, 0, 9, 9, 7),
	UNDEF(PMBLIMITR_EL1, 3, 0, 9, 10, 0),
	PMSET(PMINTENSET_EL1, 0, 14, 1, access_pminten, KVM_SR_PMINTEN),
	PMCLR(PMINTENCLR_EL1, 0, 14, 2, access_pminten, KVM_SR_PMINTEN),
	RAZ_WI(PMMIR_EL1, 3, 0, 9, 14, 6),
	CPU(MAIR_EL1, 3, 0, 10, 2, 0, 0),
	USER_ONLY(PIRE0_EL1, 3, 0, 10, 2, 2, 0, KVM_SR_PIRE0),
	USER_ONLY(PIR_EL1, 3, 0, 10, 2, 3, 0, KVM_SR_PIR),
	UNDEF(POR_EL1, 3, 0, 10, 2, 4),
	CPU(AMAIR_EL1, 3, 0, 10, 3, 0, 0),
	ROW(LORSA_EL1, 3, 0, 10, 4, 0, access_lor),
	ROW(LOREA_EL1, 3, 0, 10, 4, 1, access_lor),
	ROW(LORN_EL1, 3, 0, 10, 4, 2, access_lor),
	ROW(LORC_EL1, 3, 0, 10, 4, 3, access_lor),
	ROW(LORID_EL1, 3, 0, 10, 4, 7, access_lor),
	CPU(VBAR_EL1, 3, 0, 12, 0, 0, 0),
	HELD(DISR_EL1, 3, 0, 12, 1, 1, 0, KVM_SR_DISR),
	GIC(ICC_IAR0_EL1, 3, 0, 12, 8, 0),
	GIC(ICC_EOIR0_EL1, 3, 0, 12, 8, 1),
	GIC(ICC_HPPIR0_EL1, 3, 0, 12, 8, 2),
	GIC(ICC_BPR0_EL1, 3, 0, 12, 8, 3),
	GIC(ICC_AP0R0_EL1, 3, 0, 12, 8, 4),
	GIC(ICC_AP0R1_EL1, 3, 0, 12, 8, 5),
	GIC(ICC_AP0R2_EL1, 3, 0, 12, 8, 6),
	GIC(ICC_AP0R3_EL1, 3, 0, 12, 8, 7),
	GIC(ICC_AP1R0_EL1, 3, 0, 12, 9, 0),
	GIC(ICC_AP1R1_EL1, 3, 0, 12, 9, 1),
	GIC(ICC_AP1R2_EL1, 3, 0, 12, 9, 2),
	GIC(ICC_AP1R3_EL1, 3, 0, 12, 9, 3),
	GIC(ICC_DIR_EL1, 3, 0, 12, 11, 1),
	GIC(ICC_RPR_EL1, 3, 0, 12, 11, 3),
	GIC(ICC_SGI1R_EL1, 3, 0, 12, 11, 5),
	GIC(ICC_ASGI1R_EL1, 3, 0, 12, 11, 6),
	GIC(ICC_SGI0R_EL1, 3, 0, 12, 11, 7),
	GIC(ICC_IAR1_EL1, 3, 0, 12, 12, 0),
	GIC(ICC_EOIR1_EL1, 3, 0, 12, 12, 1),
	GIC(ICC_HPPIR1_EL1, 3, 0, 12, 12, 2),
	GIC(ICC_BPR1_EL1, 3, 0, 12, 12, 3),
	GIC(ICC_CTLR_EL1, 3, 0, 12, 12, 4),
	GIC(ICC_SRE_EL1, 3, 0, 12, 12, 5),
	GIC(ICC_IGRPEN0_EL1, 3, 0, 12, 12, 6),
	GIC(ICC_IGRPEN1_EL1, 3, 0, 12, 12, 7),
	CPU(CONTEXTIDR_EL1, 3, 0, 13, 0, 1, 0),
	CPU(TPIDR_EL1, 3, 0, 13, 0, 4, 0),
	UNDEF(ACCDATA_EL1, 3, 0, 13, 0, 5),
	UNDEF(SCXTNUM_EL1, 3, 0, 13, 0, 7),
	CPU(CNTKCTL_EL1, 3, 0, 14, 1, 0, 0),

	/* caches */
	ROW(CCSIDR_EL1, 3, 1, 0, 0, 0, access_ccsidr),
	ROW(CLIDR_EL1, 3, 1, 0, 0, 1, access_clidr, reset_clidr, &user_clidr, 0, KVM_SR_CLIDR),
	UNDEF(CCSIDR2_EL1, 3, 1, 0, 0, 2),
	UNDEF(SMIDR_EL1, 3, 1, 0, 0, 6),
	ROW(AIDR_EL1, 3, 1, 0, 0, 7, access_write_ignored, NULL, &user_invariant, 0),
	CPU(CSSELR_EL1, 3, 2, 0, 0, 0, 0),
	/* DIC, IDC, DminLine, IminLine */
	ROW(CTR_EL0, 3, 3, 0, 0, 1, access_cpu, reset_ctr, &ctr_user, BIT_ULL(29) | BIT_ULL(28) | FIELD(16) | FIELD(0)),
	ROW(DCZID_EL0, 3, 3, 0, 0, 7, access_cpu),
	UNDEF(SVCR, 3, 3, 4, 2, 2),
	UNDEF(FPMR, 3, 3, 4, 4, 2),

	/* performance monitor */
	PMU(PMCR_EL0, 9, 12, 0, access_pmcr, reset_slot, &user_pmcr, PMCR_LC, KVM_SR_PMCR),
	PMSET(PMCNTENSET_EL0, 3, 12, 1, access_pmcnten, KVM_SR_PMCNTEN),
	PMCLR(PMCNTENCLR_EL0, 3, 12, 2, access_pmcnten, KVM_SR_PMCNTEN),
	PMCLR(PMOVSCLR_EL0, 3, 12, 3, access_pmovs, KVM_SR_PMOVS),
	PMU(PMSWINC_EL0, 9, 12, 4, access_pmswinc, NULL, &user_pmswinc),
	PMU(PMSELR_EL0, 9, 12, 5, access_pmselr, reset_slot, &user_pmu, 0, KVM_SR_PMSELR),
	PMU(PMCEID0_EL0, 9, 12, 6, access_pmceid),
	PMU(PMCEID1_EL0, 9, 12, 7, access_pmceid),
	PMU(PMCCNTR_EL0, 9, 13, 0, access_pmu_evcntr, reset_slot, &user_pmevcntr, 0, KVM_SR_PMCCNTR),
	PMU(PMXEVTYPER_EL0, 9, 13, 1, access_pmu_evtyper),
	PMU(PMXEVCNTR_EL0, 9, 13, 2, access_pmu_evcntr),
	PMU(PMUSERENR_EL0, 9, 14, 0, access_pmuserenr, reset_slot, &user_pmu, 0, KVM_SR_PMUSERENR),
	PMSET(PMOVSSET_EL0, 3, 14, 3, access_pmovs, KVM_SR_PMOVS),

	UNDEF(POR_EL0, 3, 3, 10, 2, 4),
	CPU(TPIDR_EL0, 3, 3, 13, 0, 2, 0),
	CPU(TPIDRRO_EL0, 3, 3, 13, 0, 3, 0),
	UNDEF(TPIDR2_EL0, 3, 3, 13, 0, 5),
	UNDEF(SCXTNUM_EL0, 3, 3, 13, 0, 7),
	UNDEF(AMCR_EL0, 3, 3, 13, 2, 0),
	UNDEF(AMUSERENR_EL0, 3, 3, 13, 2, 3),

	/* generic timer */
	TIMER(CNTPCT_EL0, 1, 0),
	TIMER(CNTVCT_EL0, 2, 0),
	TIMER(CNTPCTSS_EL0, 5, 0),
	TIMER(CNTVCTSS_EL0, 6, 0),
	TIMER(CNTP_TVAL_EL0, 0, 2),
	TIMER(CNTP_CTL_EL0, 1, 2),
	TIMER(CNTP_CVAL_EL0, 2, 2),
	TIMER(CNTV_TVAL_EL0, 0, 3),
	TIMER(CNTV_CTL_EL0, 1, 3),
	TIMER(CNTV_CVAL_EL0, 2, 3),

	PM_EIGHT(PMEVCNTR, 0),
	PM_EIGHT(PMEVCNTR, 1),
	PM_EIGHT(PMEVCNTR, 2),
	PM_SEVEN(PMEVCNTR, 3),
	PM_EIGHT(PMEVTYPER, 0),
	PM_EIGHT(PMEVTYPER, 1),
	PM_EIGHT(PMEVTYPER, 2),
	PM_SEVEN(PMEVTYPER, 3),
	PMU(PMCCFILTR_EL0, 14, 15, 7, access_pmu_evtyper, reset_slot, &user_pmu, 0, KVM_SR_PMCCFILTR),

	/* AArch32's, for user space */
	USER_ONLY(DACR32_EL2, 3, 4, 3, 0, 0, 0, KVM_SR_DACR32),
	USER_ONLY(IFSR32_EL2, 3, 4, 5, 0, 1, 0, KVM_SR_IFSR32),
	USER_ONLY(FPEXC32_EL2, 3, 4, 5, 3, 0, 0x700, KVM_SR_FPEXC32),
};
const size_t nr_sys_regs = ARRAY_SIZE(sys_reg_table);
