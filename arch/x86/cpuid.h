/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by cpuid.c (features, lookup) and cpuid_leaf.c (leaves, ioctls). */
#ifndef KUSE_ARCH_X86_CPUID_H
#define KUSE_ARCH_X86_CPUID_H

#include "arch/x86/x86.h"

struct cpuid_feature_row {
	u32 leaf, index;
	int reg;
	u32 host; /* offered where the host has it */
	u32 ours; /* offered always */
};

struct cpuid_regs cpuid_host(u32 leaf, u32 index); /* zeros where the host lacks the leaf */
u32 cpuid_supported(u32 leaf, u32 index, int reg);
/* What user space has set, or NULL. */
const struct kvm_cpuid_entry2 *kvm_find_cpuid_entry(struct kvm_vcpu *vcpu, u32 function, u32 index);
/* First leaf of the hypervisor with this signature of 12 bytes, or 0. */
u32 kvm_hypervisor_cpuid_base(struct kvm_vcpu *vcpu, const char *signature);
void cpuid_entry_now(struct kvm_vcpu *vcpu, struct kvm_cpuid_entry2 *e);

#endif
