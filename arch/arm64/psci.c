/* SPDX-License-Identifier: Apache-2.0 */
/* PSCI (DEN0022), versions 0.1 to 1.1: KVM is the firmware that switches CPUs and the machine on and off. */
#include <linux/psci.h>
#include "arch/arm64/arm64.h"

#define PSCI_VERSION_0_1 1u
#define PSCI_VERSION_0_2 0x2u
#define PSCI_VERSION_1_0 0x10000u
#define PSCI_VERSION_1_1 0x10001u
#define SMCCC_VERSION_FN 0x80000000u
#define MPIDR_LEVELS 0xff00ffffffull /* Aff3..Aff0 */

#define RET(x) ((u64)(s64)(PSCI_RET_##x))

/* Linux: kvm_psci_version. User space may choose one (KVM_REG_ARM_PSCI_VERSION). */
u32 kvm_psci_version(struct kvm_vcpu *vcpu)
{
	if (!vcpu_has_feature(vcpu, KVM_ARM_VCPU_PSCI_0_2))
		return PSCI_VERSION_0_1;
	return vcpu->kvm->arch.psci_version ? vcpu->kvm->arch.psci_version : PSCI_VERSION_1_1;
}

/* A call's number and arguments; those of 32-bit calls are 32 bits wide. */
struct psci_args {
	u32 fn;
	u64 a[3];
};

static struct psci_args args_of(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);
	struct psci_args p = { .fn = (u32)s->x[0] };
	bool narrow = (p.fn & ~0xffffu) == PSCI_0_2_FN_BASE;

	for (int i = 0; i < 3; i++)
		p.a[i] = narrow ? (u32)s->x[i + 1] : s->x[i + 1];
	return p;
}

/* What a call does: > 0 with its result in *ret, or 0: the vCPU leaves for user space. */
typedef int psci_fn(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret);

/* ---- CPUs --------------------------------------------------------------------------------------------- */

/* Every state is standby: an interrupt ends it and nothing is lost. */
static int cpu_suspend(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	kvm_vcpu_wfi(vcpu);
	*ret = RET(SUCCESS);
	return 1;
}

static int cpu_off(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	kvm_arm_vcpu_power_off(vcpu);
	*ret = RET(SUCCESS);
	return 1;
}

/* target's mp_state_lock held. What it starts with is published by the request, that by the state. */
static void switch_on(struct kvm_vcpu *target, struct vcpu_reset_state rs)
{
	target->arch.reset_state = rs;
	kvm_make_request(KVM_REQ_VCPU_RESET, target);
	kvm_make_request(KVM_REQ_UNBLOCK, target);
	__atomic_store_n(&target->arch.mp_state, KVM_MP_STATE_RUNNABLE, __ATOMIC_SEQ_CST);
	kvm_vcpu_wake_up(target);
}

static int cpu_on(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	struct kvm_vcpu *target = p->a[0] & ~MPIDR_LEVELS ? NULL : kvm_mpidr_to_vcpu(vcpu->kvm, p->a[0]);
	bool be = arm64s(vcpu)->sr[ARM64_SR_SCTLR_EL1] & BIT(25);

	*ret = RET(INVALID_PARAMS);
	if (!target)
		return 1;
	pthread_mutex_lock(&target->arch.mp_state_lock);
	if (kvm_arm_vcpu_stopped(target)) {
		switch_on(target, (struct vcpu_reset_state){ .pc = p->a[1], .r0 = p->a[2], .be = be, .reset = true });
		*ret = RET(SUCCESS);
	} else if (kvm_psci_version(vcpu) != PSCI_VERSION_0_1) {
		*ret = RET(ALREADY_ON);
	}
	pthread_mutex_unlock(&target->arch.mp_state_lock);
	return 1;
}

static u64 affinity_state(struct kvm *kvm, u64 target, u64 mask)
{
	struct kvm_vcpu *vcpu;
	u64 state = RET(INVALID_PARAMS);
	u32 i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		if ((kvm_vcpu_get_mpidr_aff(vcpu) ^ target) & mask)
			continue;
		if (!kvm_arm_vcpu_stopped(vcpu))
			return PSCI_0_2_AFFINITY_LEVEL_ON;
		state = PSCI_0_2_AFFINITY_LEVEL_OFF;
	}
	return state;
}

static int affinity_info(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	u64 level = p->a[1];

	*ret = RET(INVALID_PARAMS);
	if (!(p->a[0] & ~MPIDR_LEVELS) && level <= 3)
		*ret = affinity_state(vcpu->kvm, p->a[0], MPIDR_LEVELS & ~((1ull << 8 * level) - 1));
	return 1;
}

static int migrate_info_type(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	*ret = PSCI_0_2_TOS_MP; /* there is no trusted OS that would have to migrate */
	return 1;
}

/* ---- the machine ----------------------------------------------------------------------------------------
 * */

/* No vCPU runs on before user space has initialized it anew. */
static int system_event(struct kvm_vcpu *vcpu, u32 type, u64 flags)
{
	struct kvm_vcpu *v;
	u32 i;

	kvm_for_each_vcpu(i, v, vcpu->kvm) {
		pthread_mutex_lock(&v->arch.mp_state_lock);
		__atomic_store_n(&v->arch.mp_state, KVM_MP_STATE_STOPPED, __ATOMIC_SEQ_CST);
		pthread_mutex_unlock(&v->arch.mp_state_lock);
	}
	kvm_make_all_cpus_request(vcpu->kvm, KVM_REQ_SLEEP);
	return kvm_exit_system_event(vcpu, type, &flags, 1);
}

/* Where user space resumes the guest all the same, the call has failed. */
static int system_off(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	*ret = RET(INTERNAL_FAILURE);
	return system_event(vcpu, KVM_SYSTEM_EVENT_SHUTDOWN, 0);
}

static int system_reset(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	*ret = RET(INTERNAL_FAILURE);
	return system_event(vcpu, KVM_SYSTEM_EVENT_RESET, 0);
}

static int system_reset2(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	u32 type = (u32)p->a[0];

	*ret = RET(INVALID_PARAMS);
	if (type > PSCI_1_1_RESET_TYPE_SYSTEM_WARM_RESET && type < PSCI_1_1_RESET_TYPE_VENDOR_START)
		return 1;
	*ret = RET(INTERNAL_FAILURE);
	return system_event(vcpu, KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2);
}

static bool suspend_offered(struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->kvm->arch.system_suspend_enabled, __ATOMIC_RELAXED);
}

/* User space reads the arguments from the registers: they stay (kvm_psci_call). */
static int system_suspend(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	*ret = RET(NOT_SUPPORTED);
	if (!suspend_offered(vcpu))
		return 1;
	return kvm_exit_system_event(vcpu, KVM_SYSTEM_EVENT_SUSPEND, NULL, 0);
}

/* ---- the table --------------------------------------------------------------------------------------------
 * */

static psci_fn psci_version, psci_features;

static const struct {
	u32 fn;
	u32 since, until; /* versions that have it; 0: all later ones */
	psci_fn *call;
	bool (*offered)(struct kvm_vcpu *vcpu); /* to PSCI_FEATURES; NULL: always */
} psci_calls[] = {
	{ KVM_PSCI_FN_CPU_OFF, PSCI_VERSION_0_1, PSCI_VERSION_0_1, cpu_off, NULL },
	{ KVM_PSCI_FN_CPU_ON, PSCI_VERSION_0_1, PSCI_VERSION_0_1, cpu_on, NULL },
	{ PSCI_0_2_FN_PSCI_VERSION, PSCI_VERSION_0_2, 0, psci_version, NULL },
	{ PSCI_0_2_FN_CPU_SUSPEND, PSCI_VERSION_0_2, 0, cpu_suspend, NULL },
	{ PSCI_0_2_FN64_CPU_SUSPEND, PSCI_VERSION_0_2, 0, cpu_suspend, NULL },
	{ PSCI_0_2_FN_CPU_OFF, PSCI_VERSION_0_2, 0, cpu_off, NULL },
	{ PSCI_0_2_FN_CPU_ON, PSCI_VERSION_0_2, 0, cpu_on, NULL },
	{ PSCI_0_2_FN64_CPU_ON, PSCI_VERSION_0_2, 0, cpu_on, NULL },
	{ PSCI_0_2_FN_AFFINITY_INFO, PSCI_VERSION_0_2, 0, affinity_info, NULL },
	{ PSCI_0_2_FN64_AFFINITY_INFO, PSCI_VERSION_0_2, 0, affinity_info, NULL },
	{ PSCI_0_2_FN_MIGRATE_INFO_TYPE, PSCI_VERSION_0_2, 0, migrate_info_type, NULL },
	{ PSCI_0_2_FN_SYSTEM_OFF, PSCI_VERSION_0_2, 0, system_off, NULL },
	{ PSCI_0_2_FN_SYSTEM_RESET, PSCI_VERSION_0_2, 0, system_reset, NULL },
	{ PSCI_1_0_FN_PSCI_FEATURES, PSCI_VERSION_1_0, 0, psci_features, NULL },
	{ PSCI_1_0_FN_SYSTEM_SUSPEND, PSCI_VERSION_1_0, 0, system_suspend, suspend_offered },
	{ PSCI_1_0_FN64_SYSTEM_SUSPEND, PSCI_VERSION_1_0, 0, system_suspend, suspend_offered },
	{ PSCI_1_1_FN_SYSTEM_RESET2, PSCI_VERSION_1_1, 0, system_reset2, NULL },
	{ PSCI_1_1_FN64_SYSTEM_RESET2, PSCI_VERSION_1_1, 0, system_reset2, NULL },
};

/* Its place in the table, or -1. */
static int find_call(struct kvm_vcpu *vcpu, u32 fn)
{
	u32 version = kvm_psci_version(vcpu);

	for (size_t i = 0; i < ARRAY_SIZE(psci_calls); i++)
		if (psci_calls[i].fn == fn && version >= psci_calls[i].since &&
		    (!psci_calls[i].until || version <= psci_calls[i].until))
			return (int)i;
	return -1;
}

static int psci_version(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	*ret = kvm_psci_version(vcpu);
	return 1;
}

static int psci_features(struct kvm_vcpu *vcpu, const struct psci_args *p, u64 *ret)
{
	u32 fn = (u32)p->a[0];
	int i = find_call(vcpu, fn);
	bool known = fn == SMCCC_VERSION_FN ||
		     (i >= 0 && (!psci_calls[i].offered || psci_calls[i].offered(vcpu)));

	*ret = known ? 0 : RET(NOT_SUPPORTED);
	return 1;
}

int kvm_psci_call(struct kvm_vcpu *vcpu)
{
	struct psci_args p = args_of(vcpu);
	int i = find_call(vcpu, p.fn), r = 1;
	u64 ret = RET(NOT_SUPPORTED);

	if (i >= 0)
		r = psci_calls[i].call(vcpu, &p, &ret);
	if (r || psci_calls[i].call != system_suspend)
		smccc_set_retval(vcpu, ret, 0, 0, 0);
	return r;
}
