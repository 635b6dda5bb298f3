/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions that KVM has the guest take (Linux: inject_fault.c). The CPU is at its exception vector
 * afterwards. */
#include "arch/arm64/arm64.h"

/* Same or lower exception level: the class of an abort says. */
static u32 abort_class(struct kvm_vcpu *vcpu, u32 low)
{
	return ARM64_PSR_GET_EL(arm64s(vcpu)->pstate) ? low + 1 : low;
}

static void inject(struct kvm_vcpu *vcpu, u32 ec, u32 iss, u64 far)
{
	vcpu->mmio_needed = false; /* the instruction that waited for an answer is not executed */
	hyp_arm64_inject_sync(vcpu->hyp, ec << ESR_ELx_EC_SHIFT | ESR_ELx_IL | iss, far);
}

void kvm_inject_undefined(struct kvm_vcpu *vcpu)
{
	inject(vcpu, ESR_ELx_EC_UNKNOWN, 0, 0);
}

void kvm_inject_dabt(struct kvm_vcpu *vcpu, u64 far)
{
	inject(vcpu, abort_class(vcpu, ESR_ELx_EC_DABT_LOW), ESR_ELx_FSC_EXTABT, far);
}

void kvm_inject_pabt(struct kvm_vcpu *vcpu, u64 far)
{
	inject(vcpu, abort_class(vcpu, ESR_ELx_EC_IABT_LOW), ESR_ELx_FSC_EXTABT, far);
}

void kvm_inject_serror(struct kvm_vcpu *vcpu, u64 esr)
{
	arm64s(vcpu)->vsesr = esr;
	arm64s(vcpu)->vse = true;
}
