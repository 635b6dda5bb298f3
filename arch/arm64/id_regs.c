/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ID registers: what the engine can (hyp_arm64_id_max), less what KVM does not offer, is a VM's limit; user
 * space may lower the fields that a register's row names writable, until a vCPU has run. They are the VM's,
 * not a vCPU's.
 */
#include "arch/arm64/sys_regs.h"

#define ID(crm, op2) ARM64_SYS(3, 0, 0, crm, op2)
#define ID_AA64PFR0_EL1 ID(4, 0)
#define ID_AA64PFR1_EL1 ID(4, 1)
#define ID_AA64PFR2_EL1 ID(4, 2)
#define ID_AA64ZFR0_EL1 ID(4, 4)
#define ID_AA64SMFR0_EL1 ID(4, 5)
#define ID_AA64ISAR1_EL1 ID(6, 1)
#define ID_AA64ISAR2_EL1 ID(6, 2)
#define ID_AA64MMFR0_EL1 ID(7, 0)
#define ID_AA64MMFR2_EL1 ID(7, 2)
#define ID_AA64MMFR3_EL1 ID(7, 3)
#define CTR_EL0 ARM64_SYS(3, 3, 0, 0, 1)

#define FIELD(lsb) (15ull << (lsb))
#define PFR0_GIC FIELD(24)

bool kvm_is_id_reg(u32 sys)
{
	return sys >= ID(1, 0) && sys <= ID(7, 7);
}

static u64 *vm_reg(struct kvm *kvm, u32 sys)
{
	return kvm_is_id_reg(sys) ? &kvm->arch.id_regs[(sys - ID(1, 0)) % KVM_ARM_NR_ID_REGS]
				  : &kvm->arch.ctr_el0;
}

/* ---- limits ---------------------------------------------------------------------------------------------
 * */

/* Fields that KVM takes away whatever the engine can; and those it gives. */
static const struct {
	u32 sys;
	u64 clear, set;
} kvm_fields[] = {
	/* AMU, MPAM, SVE go; GIC: the system registers are there; CSV3, CSV2: no speculation */
	{ ID_AA64PFR0_EL1, FIELD(44) | FIELD(40) | FIELD(32) | PFR0_GIC | FIELD(60) | FIELD(56),
	  1ull << 24 | 1ull << 60 | 1ull << 56 },
	/* MTE, RAS_frac, MPAM_frac, SME, RNDR_trap, NMI, MTE_frac, GCS, THE, MTEX, DF2, PFAR */
	{ ID_AA64PFR1_EL1, FIELD(8) | ~0xffffull, 0 },
	{ ID_AA64PFR2_EL1, ~0ull, 0 },
	{ ID_AA64ZFR0_EL1, ~0ull, 0 },
	{ ID_AA64SMFR0_EL1, ~0ull, 0 },
	/* TraceVer, PMUVer, PMSVer, TraceFilt, TraceBuffer, BRBE go */
	{ ID_AA64DFR0_EL1, FIELD(4) | FIELD(8) | FIELD(32) | FIELD(40) | FIELD(44) | FIELD(52), 0 },
	{ ID_AA64MMFR2_EL1, FIELD(20), 0 }, /* CCIDX */
	{ ID_AA64MMFR3_EL1, ~0ull, 0 },
};

static u64 without_ptrauth(u32 sys, u64 val)
{
	if (sys == ID_AA64ISAR1_EL1)
		return val & ~(FIELD(4) | FIELD(8) | FIELD(24) | FIELD(28));
	return sys == ID_AA64ISAR2_EL1 ? val & ~(FIELD(8) | FIELD(12)) : val;
}

u64 kvm_id_reg_limit(struct kvm *kvm, u32 sys)
{
	u64 val = hyp_arm64_id_max(sys);

	/* AArch32 is not offered: its ID registers are RAZ. */
	if (kvm_is_id_reg(sys) && IDREG_CRM(sys) < 4)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(kvm_fields); i++)
		if (kvm_fields[i].sys == sys)
			val = (val & ~kvm_fields[i].clear) | kvm_fields[i].set;
	if (sys == ID_AA64DFR0_EL1 && kvm->arch.vcpu_features & 1u << KVM_ARM_VCPU_PMU_V3)
		val |= (u64)PMUVER_V3P5 << PMUVER_SHIFT;
	if (!(kvm->arch.vcpu_features & 1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS))
		val = without_ptrauth(sys, val);
	return val;
}

/* config_lock held. */
void kvm_init_id_regs(struct kvm *kvm)
{
	for (u32 sys = ID(1, 0); sys <= ID(7, 7); sys++)
		*vm_reg(kvm, sys) = kvm_id_reg_limit(kvm, sys);
	kvm->arch.ctr_el0 = kvm_id_reg_limit(kvm, CTR_EL0);
}

u64 kvm_read_id_reg(struct kvm *kvm, u32 sys)
{
	return __atomic_load_n(vm_reg(kvm, sys), __ATOMIC_RELAXED);
}

/* Without a GICv3 there are no ICC registers. */
int kvm_finalize_sys_regs(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;

	pthread_mutex_lock(&kvm->arch.config_lock);
	if (!irqchip_in_kernel(kvm) || kvm->arch.vgic.vgic_model != KVM_DEV_TYPE_ARM_VGIC_V3)
		*vm_reg(kvm, ID_AA64PFR0_EL1) &= ~PFR0_GIC;
	pthread_mutex_unlock(&kvm->arch.config_lock);
	hyp_arm64_set_sr(vcpu->hyp, CTR_EL0, kvm_read_id_reg(kvm, CTR_EL0));
	hyp_arm64_state_changed(vcpu->hyp);
	return 0;
}

/* ---- user space lowers a field
 * ------------------------------------------------------------------------------ */

enum field_order {
	UNSIGNED_LOWER, /* less is safe */
	SIGNED_LOWER,   /* 0xf is "not there", less than 0 */
};

/* Fields of another order, or width, than 4 bits unsigned. */
static const struct {
	u32 sys;
	u8 lsb, width;
	enum field_order order;
} odd_fields[] = {
	{ ID_AA64PFR0_EL1, 16, 4, SIGNED_LOWER }, /* FP */
	{ ID_AA64PFR0_EL1, 20, 4, SIGNED_LOWER }, /* AdvSIMD */
	{ ID_AA64MMFR0_EL1, 24, 4, SIGNED_LOWER }, /* TGRAN64 */
	{ ID_AA64MMFR0_EL1, 28, 4, SIGNED_LOWER }, /* TGRAN4 */
	{ CTR_EL0, 28, 1, UNSIGNED_LOWER }, /* IDC */
	{ CTR_EL0, 29, 1, UNSIGNED_LOWER }, /* DIC */
};

static int odd_field(u32 sys, u8 lsb)
{
	for (size_t i = 0; i < ARRAY_SIZE(odd_fields); i++)
		if (odd_fields[i].sys == sys && odd_fields[i].lsb == lsb)
			return (int)i;
	return -1;
}

static bool field_safe(u32 sys, u8 lsb, u64 val, u64 limit)
{
	int odd = odd_field(sys, lsb);
	u64 mask = odd >= 0 && odd_fields[odd].width == 1 ? 1 : 15;
	u64 v = val >> lsb & mask, l = limit >> lsb & mask;

	if (odd >= 0 && odd_fields[odd].order == SIGNED_LOWER)
		return (s8)(v << 4) <= (s8)(l << 4);
	return v <= l;
}

/* Writable bits field by field, all others as they are. */
static bool value_allowed(struct kvm *kvm, const struct sys_reg_desc *r, u64 val)
{
	u64 limit = kvm_id_reg_limit(kvm, r->sys);

	if ((val ^ limit) & ~r->val)
		return false;
	for (u8 lsb = 0; lsb < 64;) {
		int odd = odd_field(r->sys, lsb);
		u8 width = odd >= 0 ? odd_fields[odd].width : 4;

		if (r->val >> lsb & 1 && !field_safe(r->sys, lsb, val, limit))
			return false;
		lsb = (u8)(lsb + width);
	}
	/* DebugVer has a smallest value that is not 0. */
	return r->sys != ID_AA64DFR0_EL1 || (val & 15) >= 6;
}

static int set_locked(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	struct kvm *kvm = vcpu->kvm;

	/* An IMPLEMENTATION DEFINED monitor was told of once by a fault of Linux's: none. */
	if (r->sys == ID_AA64DFR0_EL1 && (val >> PMUVER_SHIFT & 15) == PMUVER_IMP_DEF)
		val &= ~FIELD(PMUVER_SHIFT);
	if (kvm_vm_has_ran_once(kvm))
		return val == kvm_read_id_reg(kvm, r->sys) ? 0 : -EBUSY;
	if (!value_allowed(kvm, r, val))
		return -EINVAL;
	__atomic_store_n(vm_reg(kvm, r->sys), val, __ATOMIC_RELAXED);
	return 0;
}

static int set_id_reg(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	int ret;

	pthread_mutex_lock(&vcpu->kvm->arch.config_lock);
	ret = set_locked(vcpu, r, val);
	pthread_mutex_unlock(&vcpu->kvm->arch.config_lock);
	return ret;
}

static int get_id_reg(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val)
{
	*val = kvm_read_id_reg(vcpu->kvm, r->sys);
	return 0;
}

const struct sys_reg_user id_reg_user = { get_id_reg, set_id_reg, NULL };
const struct sys_reg_user ctr_user = { get_id_reg, set_id_reg, NULL };

bool access_id_reg(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	p->val = kvm_read_id_reg(vcpu->kvm, r->sys);
	return !p->write;
}

/* ---- KVM_ARM_GET_REG_WRITABLE_MASKS
 * --------------------------------------------------------------------------- */

/* Place of a register of the feature ID space: op0=3, op1=0, 1, 3, CRn=0, CRm<8; or -1. */
static int feature_index(u32 sys)
{
	u32 op1 = sys >> 11 & 7;

	if (sys >> 14 != 3 || (op1 != 0 && op1 != 1 && op1 != 3) || sys >> 7 & 15 || IDREG_CRM(sys) > 7)
		return -1;
	return (int)((op1 == 3 ? 2 : op1) << 6 | IDREG_CRM(sys) << 3 | (sys & 7));
}

long kvm_vm_ioctl_get_reg_writable_masks(struct kvm *kvm, const struct reg_mask_range *range)
{
	u64 masks[KVM_ARM_FEATURE_ID_RANGE_SIZE] = { 0 };

	if (range->range)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(range->reserved); i++)
		if (range->reserved[i])
			return -EINVAL;
	for (size_t i = 0; i < nr_sys_regs; i++) {
		const struct sys_reg_desc *r = &sys_reg_table[i];
		int at = feature_index(r->sys);

		if (at >= 0 && (r->user == &id_reg_user || r->user == &ctr_user))
			masks[at] = r->val;
	}
	return copy_to_client(range->addr, masks, sizeof(masks));
}
