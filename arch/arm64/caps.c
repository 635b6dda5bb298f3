/* SPDX-License-Identifier: Apache-2.0 */
/* KVM_CHECK_EXTENSION and KVM_ENABLE_CAP of arm64. What is not in the table is not offered. */
#include <unistd.h>
#include "arch/arm64/arm64.h"

#define DIRTY_RING_MAX_SIZE (65536 * (int)sizeof(struct kvm_dirty_gfn))

static int max_vcpus(struct kvm *kvm)
{
	return kvm ? (int)kvm->max_vcpus : (int)kvm_vgic_get_max_vcpus();
}

static int nr_vcpus(struct kvm *kvm)
{
	return (int)MIN(sysconf(_SC_NPROCESSORS_ONLN), (long)kvm_vgic_get_max_vcpus());
}

static int msi_devid(struct kvm *kvm)
{
	return kvm ? vgic_msis_require_devid(kvm) : -EINVAL;
}

static int ipa_limit(struct kvm *kvm)
{
	return (int)get_kvm_ipa_limit();
}

/* BRPs, bits 15:12 of ID_AA64DFR0_EL1; WRPs, bits 23:20: one less than there are. */
static int debug_regs(int shift)
{
	return (int)(hyp_arm64_id_max(ARM64_SYS(3, 0, 0, 5, 0)) >> shift & 15) + 1;
}

static int nr_breakpoints(struct kvm *kvm)
{
	return debug_regs(12);
}

static int nr_watchpoints(struct kvm *kvm)
{
	return debug_regs(20);
}

static int ptrauth(struct kvm *kvm)
{
	return !!(kvm_system_supported_vcpu_features() & 1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS);
}

static int ras(struct kvm *kvm)
{
	return (hyp_arm64_id_max(ARM64_SYS(3, 0, 0, 4, 0)) >> 28 & 15) != 0;
}

static const struct {
	int cap, value;
	int (*fn)(struct kvm *kvm); /* instead of value */
} arm64_caps[] = {
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_ONE_REG, 1 },
	{ KVM_CAP_ARM_PSCI, 1 },
	{ KVM_CAP_ARM_PSCI_0_2, 1 },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_ARM_IRQ_LINE_LAYOUT_2, 1 },
	{ KVM_CAP_ARM_NISV_TO_USER, 1 },
	{ KVM_CAP_ARM_INJECT_EXT_DABT, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG2, KVM_GUESTDBG_VALID_MASK },
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ KVM_CAP_PTP_KVM, 1 },
	{ KVM_CAP_ARM_SYSTEM_SUSPEND, 1 },
	{ KVM_CAP_COUNTER_OFFSET, 1 },
	{ KVM_CAP_ARM_SET_DEVICE_ADDR, 1 },
	{ KVM_CAP_ARM_USER_IRQ, 1 },
	{ KVM_CAP_STEAL_TIME, 1 },
	{ KVM_CAP_ARM_PMU_V3, 1 },
	{ KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES, 1 },
	{ KVM_CAP_ARM_SUPPORTED_BLOCK_SIZES, PAGE_SIZE }, /* nothing larger is ever split */
	{ KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 1 },
	{ KVM_CAP_NR_VCPUS, 0, nr_vcpus },
	{ KVM_CAP_MAX_VCPUS, 0, max_vcpus },
	{ KVM_CAP_MAX_VCPU_ID, 0, max_vcpus },
	{ KVM_CAP_MSI_DEVID, 0, msi_devid },
	{ KVM_CAP_ARM_VM_IPA_SIZE, 0, ipa_limit },
	{ KVM_CAP_GUEST_DEBUG_HW_BPS, 0, nr_breakpoints },
	{ KVM_CAP_GUEST_DEBUG_HW_WPS, 0, nr_watchpoints },
	{ KVM_CAP_ARM_PTRAUTH_ADDRESS, 0, ptrauth },
	{ KVM_CAP_ARM_PTRAUTH_GENERIC, 0, ptrauth },
	{ KVM_CAP_ARM_INJECT_SERROR_ESR, 0, ras },
	/* Known and not offered: ARM_EL1_32BIT, ARM_SVE, ARM_MTE, ARM_EAGER_SPLIT_CHUNK_SIZE. */
};

int kvm_vm_ioctl_check_extension(struct kvm *kvm, long ext)
{
	for (size_t i = 0; i < ARRAY_SIZE(arm64_caps); i++)
		if (arm64_caps[i].cap == ext)
			return arm64_caps[i].fn ? arm64_caps[i].fn(kvm) : arm64_caps[i].value;
	return 0;
}

/* ---- KVM_ENABLE_CAP on a VM: each runs with kvm->lock held ----------------------------------------- */

static int enable_nisv_to_user(struct kvm *kvm)
{
	__atomic_store_n(&kvm->arch.nisv_to_user, true, __ATOMIC_RELAXED);
	return 0;
}

static int enable_system_suspend(struct kvm *kvm)
{
	__atomic_store_n(&kvm->arch.system_suspend_enabled, true, __ATOMIC_RELAXED);
	return 0;
}

static const struct {
	u32 cap;
	int (*enable)(struct kvm *kvm);
} arm64_enable[] = {
	{ KVM_CAP_ARM_NISV_TO_USER, enable_nisv_to_user },
	{ KVM_CAP_ARM_SYSTEM_SUSPEND, enable_system_suspend },
};

int kvm_vm_ioctl_enable_cap(struct kvm *kvm, struct kvm_enable_cap *cap)
{
	int ret = -EINVAL;

	if (cap->flags)
		return -EINVAL;
	pthread_mutex_lock(&kvm->lock);
	for (size_t i = 0; i < ARRAY_SIZE(arm64_enable); i++)
		if (arm64_enable[i].cap == cap->cap)
			ret = arm64_enable[i].enable(kvm);
	pthread_mutex_unlock(&kvm->lock);
	return ret;
}
