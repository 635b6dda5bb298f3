/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the MSR table: msr.c holds it, mce.c has the machine-check rows' functions. */
#ifndef KUSE_ARCH_X86_MSR_H
#define KUSE_ARCH_X86_MSR_H

#include "arch/x86/x86.h"

struct msr_access;

struct msr_row {
	u32 first, last;
	u32 flags; /* MSR_* */
	int (*get)(struct msr_access *a);
	int (*set)(struct msr_access *a);
	size_t offset; /* of the word in kvm_vcpu_arch or x86_state */
	u64 valid;     /* writable bits, or the constant */
	u8 pv;         /* 1 + the bit of KVM_CPUID_FEATURES without which it does not exist; 0: always there */
};
#define MSR_LIST 1u    /* in KVM_GET_MSR_INDEX_LIST */
#define MSR_FEATURE 2u /* in KVM_GET_MSR_FEATURE_INDEX_LIST */

struct msr_access {
	struct kvm_vcpu *vcpu;
	const struct msr_row *row;
	u32 index;
	u64 data;
	bool host; /* user space, not the guest */
};

int kvm_msr_get_mcg_ctl(struct msr_access *a);
int kvm_msr_set_mcg_ctl(struct msr_access *a);
int kvm_msr_get_mci_ctl2(struct msr_access *a);
int kvm_msr_set_mci_ctl2(struct msr_access *a);
int kvm_msr_get_mce_bank(struct msr_access *a);
int kvm_msr_set_mce_bank(struct msr_access *a);

#endif
