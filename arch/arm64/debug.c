/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User space debugs the guest: KVM_SET_GUEST_DEBUG. Debug exceptions leave the guest (ARM64_HCR_TDE) and the
 * CPU runs with an MDSCR_EL1 that is user space's; the guest's own comes back on the way out.
 */
#include "arch/arm64/arm64.h"

#define MDSCR_SS BIT_ULL(0)

long kvm_arch_vcpu_ioctl_set_guest_debug(struct kvm_vcpu *vcpu, const struct kvm_guest_debug *dbg)
{
	if (dbg->control & ~KVM_GUESTDBG_VALID_MASK)
		return -EINVAL;
	hyp_arm64_ic_all(vcpu->hyp); /* a debugger that has put or removed a BRK comes here next */
	if (!(dbg->control & KVM_GUESTDBG_ENABLE)) {
		vcpu->arch.guest_debug = 0;
		return 0;
	}
	vcpu->arch.guest_debug = dbg->control;
	return 0;
}

void kvm_arm_setup_debug(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);
	u64 *mdscr = &s->sr[ARM64_SR_MDSCR_EL1];

	if (likely(!vcpu->arch.guest_debug))
		return;
	vcpu->arch.mdscr_saved = *mdscr;
	vcpu->arch.debug_loaded = true;
	s->hcr |= ARM64_HCR_TDE | ARM64_HCR_TDA;
	*mdscr &= ~MDSCR_SS;
	if (vcpu->arch.guest_debug & KVM_GUESTDBG_SINGLESTEP) {
		*mdscr |= MDSCR_SS;
		s->pstate |= ARM64_PSR_SS;
	}
	hyp_arm64_state_changed(vcpu->hyp);
}

void kvm_arm_clear_debug(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);

	if (likely(!vcpu->arch.debug_loaded))
		return;
	vcpu->arch.debug_loaded = false;
	s->sr[ARM64_SR_MDSCR_EL1] = vcpu->arch.mdscr_saved;
	s->hcr &= ~(ARM64_HCR_TDE | ARM64_HCR_TDA);
	s->pstate &= ~ARM64_PSR_SS;
	hyp_arm64_state_changed(vcpu->hyp);
}
