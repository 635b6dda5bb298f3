/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of system registers and system instructions that leave the guest, or that user space reaches by
 * KVM_GET/SET_ONE_REG. One row each, sorted by encoding, with a column for what the guest's access does and
 * one for user space's.
 */
#ifndef KUSE_ARCH_ARM64_SYS_REGS_H
#define KUSE_ARCH_ARM64_SYS_REGS_H

#include "arch/arm64/arm64.h"

struct sys_reg_desc;

struct sys_reg_params {
	bool write;
	u64 val; /* in: what is written; out: what is read */
};

/* How user space gets and sets it; NULL in a row: it does not, there is no such register for it. */
struct sys_reg_user {
	int (*get)(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val);
	int (*set)(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val); /* 0, -EINVAL, -EBUSY */
	bool (*hidden)(struct kvm_vcpu *vcpu); /* NULL: never */
};

struct sys_reg_desc {
	const char *name;
	u32 sys; /* ARM64_SYS() */
	/* The guest's access. False: it is UNDEFINED. NULL: never leaves the CPU. */
	bool (*access)(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r);
	void (*reset)(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r); /* of the vCPU; NULL: nothing */
	const struct sys_reg_user *user;
	u64 val;  /* at reset; of an ID register: the bits that user space may lower */
	u16 slot; /* in kvm_vcpu_arch.sys_regs, where KVM holds it */
};

extern const struct sys_reg_desc sys_reg_table[];
extern const size_t nr_sys_regs;
const struct sys_reg_desc *find_sys_reg(u32 sys);

/* id_regs.c: an ID register's columns */
#define ID_AA64DFR0_EL1 ARM64_SYS(3, 0, 0, 5, 0)
#define PMUVER_SHIFT 8
enum { PMUVER_NONE, PMUVER_IMP = 1, PMUVER_V3P1 = 4, PMUVER_V3P4, PMUVER_V3P5, PMUVER_V3P7, PMUVER_IMP_DEF = 15 };
#define IDREG_CRM(sys) ((sys) >> 3 & 15)
bool access_id_reg(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r);
extern const struct sys_reg_user id_reg_user, ctr_user;
bool kvm_is_id_reg(u32 sys); /* op0=3 op1=0 CRn=0 CRm=1..7 */
u64 kvm_id_reg_limit(struct kvm *kvm, u32 sys); /* largest value of every field that can be offered */

/* sys_regs.c: what the rows name */
typedef bool sys_reg_access(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r);
sys_reg_access access_cpu, access_slot, access_undef, access_raz_wi, access_write_ignored, access_actlr,
	access_oslar, access_oslsr, access_dbgauthstatus, access_lor, access_ccsidr, access_clidr,
	access_timer, access_gic, access_set_way;
typedef void sys_reg_reset(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r);
sys_reg_reset reset_slot, reset_cpu, reset_oslsr, reset_mpidr, reset_clidr, reset_ctr, reset_midr;
extern const struct sys_reg_user user_cpu, user_slot, user_mpidr, user_oslsr, user_clidr, user_invariant,
	user_ptrauth;

/* pmu_regs.c */
sys_reg_access access_pmcr, access_pmcnten, access_pminten, access_pmovs, access_pmswinc, access_pmselr,
	access_pmceid, access_pmuserenr, access_pmu_evcntr, access_pmu_evtyper;
extern const struct sys_reg_user user_pmcr, user_pmset, user_pmclr, user_pmswinc, user_pmu, user_pmevcntr;

/* pmu.c, for these and pmu_attr.c: counters by number, the cycle counter is 31 */
#define PMU_CYCLE_IDX 31u
#define PMU_EVENT_COUNTERS 6 /* at most */
#define PMCR_E BIT_ULL(0)
#define PMCR_P BIT_ULL(1)
#define PMCR_C BIT_ULL(2)
#define PMCR_LC BIT_ULL(6)
#define PMCR_LP BIT_ULL(7)
#define PMCR_WRITABLE 0xffull
#define PMCR_N_SHIFT 11
enum { PMU_SW_INCR = 0, PMU_EXC_TAKEN = 9, PMU_EXC_RETURN = 10, PMU_CPU_CYCLES = 0x11, PMU_CHAIN = 0x1e };
#define kvm_vcpu_has_pmu(vcpu) vcpu_has_feature(vcpu, KVM_ARM_VCPU_PMU_V3)
u64 kvm_vcpu_read_pmcr(struct kvm_vcpu *vcpu);
u64 kvm_pmu_valid_counter_mask(struct kvm_vcpu *vcpu);
u32 kvm_pmu_event_mask(struct kvm *kvm); /* of PMEVTYPER<n>_EL0.evtCount, by the VM's PMUVer */
void kvm_pmu_handle_pmcr(struct kvm_vcpu *vcpu, u64 val);
void kvm_pmu_software_increment(struct kvm_vcpu *vcpu, u64 mask);
u64 kvm_pmu_get_pmceid(struct kvm_vcpu *vcpu, bool pmceid1);
bool kvm_pmu_counter_is_64bit(struct kvm_vcpu *vcpu, u32 idx);
/* Before and after a change of the monitor's registers: counted until now by the old ones; on by the new. */
void kvm_pmu_count(struct kvm_vcpu *vcpu);
void kvm_pmu_reconfigure(struct kvm_vcpu *vcpu);
static inline bool kvm_arm_pmu_irq_initialized(const struct kvm_vcpu *vcpu)
{
	return vcpu->arch.pmu.irq_num >= VGIC_NR_SGIS;
}

#endif
