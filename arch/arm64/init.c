/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start-up chain of KVM on arm64, in the order of Linux's kvm_arm_init: what can be offered, the
 * hypervisor's CPUs, the subsystems, then kvm_init, whose last step makes the device visible.
 */
#include "arch/arm64/arm64.h"

#define ID_AA64MMFR1_EL1 ARM64_SYS(3, 0, 0, 7, 1)

static u32 kvm_ipa_limit;

u32 get_kvm_ipa_limit(void)
{
	return kvm_ipa_limit;
}

static int cpu_errata(const char **verdict, const char **remedy)
{
	*verdict = "the software CPU has no erratum that guests must work around";
	return 0;
}

/* 4 KiB pages at stage 2, as the slots are cut; less than 40 bits (the default VM) is no machine. */
static int kvm_set_ipa_limit(const char **verdict, const char **remedy)
{
	kvm_ipa_limit = hyp_arm64_ipa_bits();
	if (kvm_ipa_limit < 32) {
		*verdict = "the host's address space is too small for guests' physical memory";
		return -EINVAL;
	}
	*verdict = kvm_ipa_limit >= 48 ? "IPA size limit: 48 bits"
				       : "IPA size limit below 48 bits (KVM_CAP_ARM_VM_IPA_SIZE)";
	return 0;
}

static int kvm_arm_init_sve(const char **verdict, const char **remedy)
{
	*verdict = "SVE is not offered";
	return 0;
}

static int vmid_alloc_init(const char **verdict, const char **remedy)
{
	kvm_arm_vmid_bits = (hyp_arm64_id_max(ID_AA64MMFR1_EL1) >> 4 & 15) == 2 ? 16 : 8;
	return kvm_arm_vmid_alloc_init(verdict, remedy);
}

static int kvm_init_vector_slots(const char **verdict, const char **remedy)
{
	*verdict = "the software CPU does not speculate: no hardened vectors";
	return 0;
}

static int cpu_hyp_init(const char **verdict, const char **remedy)
{
	*verdict = "each host thread enables the CPU when it enters KVM_RUN";
	return 0;
}

static int hyp_cpu_pm_init(const char **verdict, const char **remedy)
{
	*verdict = "nothing is kept in a host CPU that a suspend could lose";
	return 0;
}

static int vgic_hyp_init(const char **verdict, const char **remedy)
{
	int err = kvm_vgic_hyp_init();

	*verdict = err ? "the interrupt controllers could not be registered" : "GICv3 with ITS, GICv2";
	return err;
}

static int enable_virtualization(const char **verdict, const char **remedy)
{
	return 0;
}

static int finalize_init_hyp_mode(const char **verdict, const char **remedy)
{
	*verdict = "VHE mode initialized successfully";
	return 0;
}

const struct kvm_init_step kvm_arch_init_steps[] = {
	{ "is_hyp_mode_available", kvm_hyp_available, NULL },
	{ "kvm_get_mode", kvm_mode_check, NULL },
	{ "kvm_sys_reg_table_init", kvm_sys_reg_table_init, NULL },
	{ "cpu_errata", cpu_errata, NULL },
	{ "kvm_set_ipa_limit", kvm_set_ipa_limit, NULL },
	{ "kvm_arm_init_sve", kvm_arm_init_sve, NULL },
	{ "kvm_arm_vmid_alloc_init", vmid_alloc_init, kvm_arm_vmid_alloc_free },
	{ "init_hyp_mode", kvm_hyp_enable, kvm_hyp_disable },
	{ "uaccess", kvm_uaccess_setup, kvm_uaccess_teardown },
	{ "kvm_init_vector_slots", kvm_init_vector_slots, NULL },
	{ "cpu_hyp_init", cpu_hyp_init, NULL },
	{ "hyp_cpu_pm_init", hyp_cpu_pm_init, NULL },
	{ "kvm_vgic_hyp_init", vgic_hyp_init, kvm_vgic_hyp_exit },
	{ "kvm_timer_hyp_init", kvm_timer_hyp_init, NULL },
	{ "kvm_vcpu_cache", kvm_vcpu_cache_init, NULL },
	{ "cpu_kick_mask", kvm_kick_mask_init, NULL },
	{ "kvm_irqfd_init", kvm_irqfd_init, NULL },
	{ "kvm_async_pf_init", kvm_async_pf_init, NULL },
	{ "kvm_ops", kvm_ops_init, NULL },
	{ "kvm_vfio_ops_init", kvm_vfio_ops_init, NULL },
	{ "kvm_init_virtualization", enable_virtualization, NULL },
	{ "misc_register", kvm_dev_register, kvm_dev_deregister },
	{ "finalize_init_hyp_mode", finalize_init_hyp_mode, NULL },
};
const size_t kvm_arch_nr_init_steps = ARRAY_SIZE(kvm_arch_init_steps);
