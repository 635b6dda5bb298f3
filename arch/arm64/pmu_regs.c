/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The performance monitor's registers: the guest's accesses, with what PMUSERENR_EL0 lets EL0 do, and user
 * space's. In a VM without the feature they are UNDEFINED and not there. As in Linux's KVM an access that
 * PMUSERENR_EL0 does not let through is UNDEFINED as well (EC 0x00, not the trap's 0x18).
 */
#include "arch/arm64/sys_regs.h"

#define USERENR_EN 1u /* all of it */
#define USERENR_SW 2u /* PMSWINC_EL0 */
#define USERENR_CR 4u /* the cycle counter, reading */
#define USERENR_ER 8u /* event counters, reading, and PMSELR_EL0 */
#define USERENR_MASK 15u
#define PMSELR_SEL 31u
#define EVTYPER_P BIT_ULL(31)
#define EVTYPER_U BIT_ULL(30)
#define OP2(sys) ((sys)&7)
#define CRM(sys) ((sys) >> 3 & 15)
#define CRN(sys) ((sys) >> 7 & 15)

/* At EL0: any of the flags. */
static bool allowed(struct kvm_vcpu *vcpu, u64 flags)
{
	if (!kvm_vcpu_has_pmu(vcpu))
		return false;
	return ARM64_PSR_GET_EL(arm64s(vcpu)->pstate) || vcpu->arch.sys_regs[KVM_SR_PMUSERENR] & flags;
}

/* ---- the guest's accesses ------------------------------------------------------------------------------ */

bool access_pmcr(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	if (!allowed(vcpu, USERENR_EN))
		return false;
	if (p->write) {
		kvm_pmu_count(vcpu);
		kvm_pmu_handle_pmcr(vcpu, (p->val & PMCR_WRITABLE) | PMCR_LC);
	} else {
		p->val = kvm_vcpu_read_pmcr(vcpu) & ~(PMCR_P | PMCR_C);
	}
	return true;
}

/* A register that is read by two names; writing ones sets the bits by one and clears them by the other. */
static void access_bits(struct kvm_vcpu *vcpu, struct sys_reg_params *p, u64 *bits, bool set)
{
	u64 val = p->val & kvm_pmu_valid_counter_mask(vcpu);

	kvm_pmu_count(vcpu);
	if (p->write)
		*bits = set ? *bits | val : *bits & ~val;
	else
		p->val = *bits;
	kvm_pmu_reconfigure(vcpu);
}

bool access_pmcnten(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	if (!allowed(vcpu, USERENR_EN))
		return false;
	access_bits(vcpu, p, &vcpu->arch.sys_regs[r->slot], OP2(r->sys) & 1);
	return true;
}

bool access_pminten(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	if (!allowed(vcpu, 0))
		return false;
	access_bits(vcpu, p, &vcpu->arch.sys_regs[r->slot], OP2(r->sys) & 1);
	return true;
}

bool access_pmovs(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	if (!allowed(vcpu, USERENR_EN))
		return false;
	access_bits(vcpu, p, &vcpu->arch.sys_regs[r->slot], CRM(r->sys) & 2);
	return true;
}

bool access_pmswinc(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	if (!p->write || !allowed(vcpu, USERENR_SW | USERENR_EN))
		return false;
	kvm_pmu_count(vcpu);
	kvm_pmu_software_increment(vcpu, p->val);
	kvm_pmu_reconfigure(vcpu);
	return true;
}

bool access_pmselr(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	if (!allowed(vcpu, USERENR_ER | USERENR_EN))
		return false;
	if (p->write)
		vcpu->arch.sys_regs[r->slot] = p->val;
	else
		p->val = vcpu->arch.sys_regs[r->slot] & PMSELR_SEL;
	return true;
}

bool access_pmuserenr(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	if (!kvm_vcpu_has_pmu(vcpu) || (p->write && !allowed(vcpu, 0)))
		return false;
	if (p->write)
		vcpu->arch.sys_regs[r->slot] = p->val & USERENR_MASK;
	else
		p->val = vcpu->arch.sys_regs[r->slot] & USERENR_MASK;
	return true;
}

/* PMCEID<n>_EL0: common events from 32 * n on in the lower half, from 0x4000 + 32 * n on in the upper. */
bool access_pmceid(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	if (p->write || !allowed(vcpu, USERENR_EN))
		return false;
	p->val = kvm_pmu_get_pmceid(vcpu, OP2(r->sys) & 1);
	return true;
}

/* The counter a register belongs to. PMXEVCNTR_EL0, PMXEVTYPER_EL0: of PMSELR_EL0. */
static u32 counter_of(struct kvm_vcpu *vcpu, u32 sys)
{
	if (CRN(sys) == 14)
		return (CRM(sys) & 3) << 3 | OP2(sys);
	return OP2(sys) ? (u32)vcpu->arch.sys_regs[KVM_SR_PMSELR] & PMSELR_SEL : PMU_CYCLE_IDX;
}

static bool counter_exists(struct kvm_vcpu *vcpu, u32 idx)
{
	return kvm_pmu_valid_counter_mask(vcpu) >> idx & 1;
}

static u64 read_counter(struct kvm_vcpu *vcpu, u32 idx)
{
	u64 val;

	kvm_pmu_sync(vcpu);
	val = vcpu->arch.sys_regs[KVM_SR_PMEVCNTR0 + idx];
	return kvm_pmu_counter_is_64bit(vcpu, idx) ? val : (u32)val;
}

/* Also an event type, PMSELR_EL0 and PMUSERENR_EL0: anything a counter's future depends on. */
static void write_reg(struct kvm_vcpu *vcpu, unsigned slot, u64 val)
{
	kvm_pmu_count(vcpu);
	vcpu->arch.sys_regs[slot] = val;
	kvm_pmu_reconfigure(vcpu);
}

/* EL0 reads by a flag of its own, and writes where it may everything. */
bool access_pmu_evcntr(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	u64 reading = r->slot == KVM_SR_PMCCNTR ? USERENR_CR : USERENR_ER;
	u32 idx;

	if (!allowed(vcpu, p->write ? USERENR_EN : reading | USERENR_EN))
		return false;
	idx = counter_of(vcpu, r->sys);
	if (!counter_exists(vcpu, idx))
		return false;
	if (p->write)
		write_reg(vcpu, KVM_SR_PMEVCNTR0 + idx, p->val);
	else
		p->val = read_counter(vcpu, idx);
	return true;
}

bool access_pmu_evtyper(struct kvm_vcpu *vcpu, struct sys_reg_params *p, const struct sys_reg_desc *r)
{
	u32 idx;

	if (!allowed(vcpu, USERENR_EN))
		return false;
	idx = counter_of(vcpu, r->sys);
	if (!counter_exists(vcpu, idx))
		return false;
	if (p->write)
		write_reg(vcpu, KVM_SR_PMEVTYPER0 + idx,
			  p->val & (EVTYPER_P | EVTYPER_U | kvm_pmu_event_mask(vcpu->kvm)));
	else
		p->val = vcpu->arch.sys_regs[KVM_SR_PMEVTYPER0 + idx];
	return true;
}

/*
 * ---- user space's
 * ------------------------------------------------------------------------------------------
 */

static bool no_pmu(struct kvm_vcpu *vcpu)
{
	return !kvm_vcpu_has_pmu(vcpu);
}

static int get_pmcr(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val)
{
	*val = kvm_vcpu_read_pmcr(vcpu);
	return 0;
}

/* The number of counters is the VM's, and final once it has run; what is too large is not taken, silently. */
static int set_pmcr(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	struct kvm *kvm = vcpu->kvm;
	u8 n = val >> PMCR_N_SHIFT & 31;

	pthread_mutex_lock(&kvm->arch.config_lock);
	if (!kvm_vm_has_ran_once(kvm) && n <= PMU_EVENT_COUNTERS)
		__atomic_store_n(&kvm->arch.pmu.n, n, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&kvm->arch.config_lock);
	write_reg(vcpu, KVM_SR_PMCR, (val & PMCR_WRITABLE) | PMCR_LC);
	return 0;
}

static int get_bits(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val)
{
	kvm_pmu_sync(vcpu);
	*val = vcpu->arch.sys_regs[r->slot] & kvm_pmu_valid_counter_mask(vcpu);
	return 0;
}

static int set_bits(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	u64 bits = vcpu->arch.sys_regs[r->slot];

	write_reg(vcpu, r->slot, bits | (val & kvm_pmu_valid_counter_mask(vcpu)));
	return 0;
}

static int clear_bits(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	u64 bits = vcpu->arch.sys_regs[r->slot];

	write_reg(vcpu, r->slot, bits & ~(val & kvm_pmu_valid_counter_mask(vcpu)));
	return 0;
}

static int get_zero(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val)
{
	*val = 0;
	return 0;
}

static int set_ignored(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	return 0;
}

static int get_slot(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val)
{
	*val = vcpu->arch.sys_regs[r->slot];
	return 0;
}

static int get_counter(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 *val)
{
	*val = read_counter(vcpu, counter_of(vcpu, r->sys));
	return 0;
}

static int set_slot(struct kvm_vcpu *vcpu, const struct sys_reg_desc *r, u64 val)
{
	write_reg(vcpu, r->slot, val);
	return 0;
}

const struct sys_reg_user user_pmcr = { get_pmcr, set_pmcr, no_pmu };
const struct sys_reg_user user_pmset = { get_bits, set_bits, no_pmu };
const struct sys_reg_user user_pmclr = { get_bits, clear_bits, no_pmu };
const struct sys_reg_user user_pmswinc = { get_zero, set_ignored, no_pmu };
const struct sys_reg_user user_pmu = { get_slot, set_slot, no_pmu };
const struct sys_reg_user user_pmevcntr = { get_counter, set_slot, no_pmu };
