/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start-up chain of KVM on x86, in Linux's order: kvm_x86_init (vendor checks, MMU, capabilities,
 * MSR lists, clock), then kvm_init, whose last step makes the device visible.
 */
#include "arch/x86/x86.h"

/* Linux: kvm_x86_check_cpu_compatibility / x86's early checks. */
static int x86_vendor_init(const char **verdict, const char **remedy)
{
	*verdict = kvm_vendor_amd_host() ? "guests see an AMD processor, as the host is one"
					 : "guests see the host's vendor";
	return 0;
}

static int mmu_module_init(const char **verdict, const char **remedy)
{
	*verdict = "guest page tables are walked into a software TLB; no shadow pages";
	return 0;
}

static int hardware_enable(const char **verdict, const char **remedy)
{
	*verdict = "each host thread enables the CPU when it enters KVM_RUN";
	return 0;
}

const struct kvm_init_step kvm_arch_init_steps[] = {
	{ "is_hyp_mode_available", kvm_hyp_available, NULL },
	{ "kvm_get_mode", kvm_mode_check, NULL },
	{ "kvm_mmu_x86_module_init", mmu_module_init, NULL },
	{ "kvm_x86_vendor_init", x86_vendor_init, NULL },
	{ "kvm_set_cpu_caps", kvm_cpuid_init, NULL },
	{ "kvm_init_msr_lists", kvm_msr_table_init, NULL },
	{ "kvm_timer_init", kvm_tsc_init, NULL },
	{ "kvm_vcpu_cache", kvm_vcpu_cache_init, NULL },
	{ "cpu_kick_mask", kvm_kick_mask_init, NULL },
	{ "kvm_irqfd_init", kvm_irqfd_init, NULL },
	{ "kvm_async_pf_init", kvm_async_pf_init, NULL },
	{ "kvm_ops", kvm_ops_init, NULL },
	{ "kvm_vfio_ops_init", kvm_vfio_ops_init, NULL },
	{ "init_hyp_mode", kvm_hyp_enable, kvm_hyp_disable },
	{ "uaccess", kvm_uaccess_setup, kvm_uaccess_teardown },
	{ "kvm_init_virtualization", hardware_enable, NULL },
	{ "misc_register", kvm_dev_register, kvm_dev_deregister },
};
const size_t kvm_arch_nr_init_steps = ARRAY_SIZE(kvm_arch_init_steps);
