/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User space debugs the guest: KVM_SET_GUEST_DEBUG. Debug exceptions leave the guest (ARM64_HCR_TDE) and the
 * CPU runs with an MDSCR_EL1 that is user space's; the guest's own comes back on the way out.
 */
#include "arch/arm64/arm64.h"
#include <string.h>

#define MDSCR_SS BIT_ULL(0)
#define MDSCR_MDE BIT_ULL(15)

long kvm_arch_vcpu_ioctl_set_guest_debug(struct kvm_vcpu *vcpu, const struct kvm_guest_debug *dbg)
{
	if (dbg->control & ~KVM_GUESTDBG_VALID_MASK)
		return -EINVAL;
	vcpu->arch.debug_stale = true;
	hyp_arm64_ic_all(vcpu->hyp); /* a debugger that has put or removed a BRK comes here next */
	if (!(dbg->control & KVM_GUESTDBG_ENABLE)) {
		vcpu->arch.guest_debug = 0;
		return 0;
	}
	vcpu->arch.guest_debug = dbg->control;
	if (dbg->control & KVM_GUESTDBG_USE_HW)
		vcpu->arch.external_debug_state = dbg->arch;
	return 0;
}

_Static_assert(sizeof(struct arm64_debug_regs) == sizeof(struct kvm_guest_debug_arch) &&
		       offsetof(struct arm64_debug_regs, wcr) ==
			       offsetof(struct kvm_guest_debug_arch, dbg_wcr),
	       "one layout");

/* The breakpoints that count: user space's, or the guest's own. */
static void load_debug_regs(struct kvm_vcpu *vcpu)
{
	struct arm64_debug_regs *d = &arm64s(vcpu)->dbg;
	const u64 *r = vcpu->arch.sys_regs;

	vcpu->arch.debug_stale = false;
	if (vcpu->arch.guest_debug & KVM_GUESTDBG_USE_HW) {
		memcpy(d, &vcpu->arch.external_debug_state, sizeof(*d));
	} else {
		memcpy(d->bcr, &r[KVM_SR_DBGBCR0], sizeof(d->bcr));
		memcpy(d->bvr, &r[KVM_SR_DBGBVR0], sizeof(d->bvr));
		memcpy(d->wcr, &r[KVM_SR_DBGWCR0], sizeof(d->wcr));
		memcpy(d->wvr, &r[KVM_SR_DBGWVR0], sizeof(d->wvr));
	}
	hyp_arm64_state_changed(vcpu->hyp);
}

void kvm_arm_setup_debug(struct kvm_vcpu *vcpu)
{
	struct arm64_state *s = arm64s(vcpu);
	u64 *mdscr = &s->sr[ARM64_SR_MDSCR_EL1];

	if (unlikely(vcpu->arch.debug_stale))
		load_debug_regs(vcpu);
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
	if (vcpu->arch.guest_debug & KVM_GUESTDBG_USE_HW)
		*mdscr |= MDSCR_MDE;
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
