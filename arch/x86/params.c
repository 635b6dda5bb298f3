/* SPDX-License-Identifier: Apache-2.0 */
/* What clients see of the host's vendor: the parameters of kvm, and of kvm_amd or kvm_intel (virt/params.c),
 * and the CPUID bit without which some do not look for /dev/kvm. */
#include <cpuid.h>
#include "arch/x86/x86.h"
#include "virt/kvm_arch.h"

/* There is no TDP MMU, and no huge page is ever split. */
static const struct kvm_module_param kvm[] = {
	{ "kvm", "eager_page_split", "N" },
	{ "kvm", "enable_pmu", "N" },
	{ "kvm", "enable_vmware_backdoor", "N" },
	{ "kvm", "flush_on_reuse", "N" },
	{ "kvm", "force_emulation_prefix", "0" },
	{ "kvm", "ignore_msrs", "N" },
	{ "kvm", "kvmclock_periodic_sync", "N" },
	{ "kvm", "lapic_timer_advance", "N" },
	{ "kvm", "min_timer_period_us", "200" },
	{ "kvm", "mitigate_smt_rsb", "N" },
	{ "kvm", "mmio_caching", "N" },
	{ "kvm", "nx_huge_pages", "N" },
	{ "kvm", "nx_huge_pages_recovery_period_ms", "0" },
	{ "kvm", "nx_huge_pages_recovery_ratio", "0" },
	{ "kvm", "pi_inject_timer", "0" },
	{ "kvm", "report_ignored_msrs", "N" },
	{ "kvm", "tdp_mmu", "N" },
	{ "kvm", "tsc_tolerance_ppm", "250" },
	{ "kvm", "vector_hashing", "Y" },
};

static const struct kvm_module_param amd[] = {
	{ "kvm_amd", "avic", "N" },
	{ "kvm_amd", "debug_swap", "N" },
	{ "kvm_amd", "dump_invalid_vmcb", "N" },
	{ "kvm_amd", "force_avic", "N" },
	{ "kvm_amd", "intercept_smi", "Y" },
	{ "kvm_amd", "lbrv", "0" },
	{ "kvm_amd", "nested", "0" },
	{ "kvm_amd", "npt", "Y" },
	{ "kvm_amd", "nrips", "1" },
	{ "kvm_amd", "pause_filter_count", "0" },
	{ "kvm_amd", "pause_filter_count_grow", "2" },
	{ "kvm_amd", "pause_filter_count_max", "65535" },
	{ "kvm_amd", "pause_filter_count_shrink", "0" },
	{ "kvm_amd", "pause_filter_thresh", "0" },
	{ "kvm_amd", "sev", "N" },
	{ "kvm_amd", "sev_es", "N" },
	{ "kvm_amd", "sev_snp", "N" },
	{ "kvm_amd", "tsc_scaling", "1" },
	{ "kvm_amd", "vgif", "0" },
	{ "kvm_amd", "vls", "0" },
	{ "kvm_amd", "vnmi", "N" },
};

static const struct kvm_module_param intel[] = {
	{ "kvm_intel", "allow_smaller_maxphyaddr", "N" },
	{ "kvm_intel", "dump_invalid_vmcs", "N" },
	{ "kvm_intel", "emulate_invalid_guest_state", "Y" },
	{ "kvm_intel", "enable_apicv", "N" },
	{ "kvm_intel", "enable_ipiv", "N" },
	{ "kvm_intel", "enable_shadow_vmcs", "N" },
	{ "kvm_intel", "ept", "Y" },
	{ "kvm_intel", "eptad", "Y" },
	{ "kvm_intel", "error_on_inconsistent_vmcs_config", "Y" },
	{ "kvm_intel", "fasteoi", "N" },
	{ "kvm_intel", "flexpriority", "N" },
	{ "kvm_intel", "nested", "N" },
	{ "kvm_intel", "ple_gap", "0" },
	{ "kvm_intel", "ple_window", "0" },
	{ "kvm_intel", "ple_window_grow", "0" },
	{ "kvm_intel", "ple_window_max", "0" },
	{ "kvm_intel", "ple_window_shrink", "0" },
	{ "kvm_intel", "pml", "N" },
	{ "kvm_intel", "preemption_timer", "N" },
	{ "kvm_intel", "sgx", "N" },
	{ "kvm_intel", "unrestricted_guest", "Y" },
	{ "kvm_intel", "vmentry_l1d_flush", "not required" },
	{ "kvm_intel", "vnmi", "Y" },
	{ "kvm_intel", "vpid", "Y" },
};

const struct kvm_module_param *kvm_arch_module_param(unsigned i)
{
	if (i < ARRAY_SIZE(kvm))
		return &kvm[i];
	i -= ARRAY_SIZE(kvm);
	if (kvm_vendor_amd_host())
		return i < ARRAY_SIZE(amd) ? &amd[i] : NULL;
	return i < ARRAY_SIZE(intel) ? &intel[i] : NULL;
}

/* Where the vendor tells of its extension: CPUID.1:ECX.VMX[5], CPUID.80000001H:ECX.SVM[2]. */
static u32 extension_leaf(u32 *bit)
{
	bool amd = kvm_vendor_amd_host();

	*bit = amd ? BIT(2) : BIT(5);
	return amd ? 0x80000001 : 1;
}

bool kvm_arch_cpuid_hides_kvm(void)
{
	u32 bit, r[4];

	__cpuid_count(extension_leaf(&bit), 0, r[0], r[1], r[2], r[3]);
	return !(r[2] & bit);
}

void kvm_arch_client_cpuid(u32 r[4], u32 leaf, u32 subleaf)
{
	u32 bit;

	__cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
	if (leaf == extension_leaf(&bit))
		r[2] |= bit;
}
