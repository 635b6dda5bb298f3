/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameters of the modules kvm and (the architecture's) kvm_intel or kvm_amd, as
 * /sys/module/<module>/parameters shows them on Linux 6.12. The values tell what is so here, which is not
 * always the module's default: there is no TDP MMU, and no huge page is ever split.
 */
#include <stddef.h>
#include "virt/kvm_host.h"
#include "virt/path.h"

static const struct kvm_module_param params[] = {
	{ "kvm", "eager_page_split", "N" },
	{ "kvm", "enable_pmu", "N" },
	{ "kvm", "enable_vmware_backdoor", "N" },
	{ "kvm", "flush_on_reuse", "N" },
	{ "kvm", "force_emulation_prefix", "0" },
	{ "kvm", "halt_poll_ns", "0" },
	{ "kvm", "halt_poll_ns_grow", "2" },
	{ "kvm", "halt_poll_ns_grow_start", "10000" },
	{ "kvm", "halt_poll_ns_shrink", "0" },
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

const struct kvm_module_param *kvm_module_param(unsigned i)
{
	return i < ARRAY_SIZE(params) ? &params[i] : kvm_arch_module_param(i - ARRAY_SIZE(params));
}
