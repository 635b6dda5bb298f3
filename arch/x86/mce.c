/* SPDX-License-Identifier: Apache-2.0 */
/* Machine checks: the bank registers, KVM_X86_SETUP_MCE, KVM_X86_SET_MCE. */
#include "arch/x86/lapic.h"
#include "arch/x86/msr.h"

#define MCG_CTL_P BIT_ULL(8)
#define MCG_SER_P BIT_ULL(24)
#define MCG_STATUS_MCIP BIT_ULL(2)
#define MCI_STATUS_VAL BIT_ULL(63)
#define MCI_STATUS_OVER BIT_ULL(62)
#define MCI_STATUS_UC BIT_ULL(61)
#define MCI_STATUS_PCC BIT_ULL(57) /* processor context corrupt */
#define MCI_STATUS_S BIT_ULL(56)   /* signaled as a machine check */
#define MCI_STATUS_AR BIT_ULL(55)  /* action required */
#define MCI_CTL2_CMCI_EN BIT_ULL(30)
#define HWCR_MCSTATUS_WREN BIT_ULL(18)

static u32 nr_banks(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.mcg_cap & 0xff;
}

int kvm_msr_get_mcg_ctl(struct msr_access *a)
{
	a->data = a->vcpu->arch.mcg_ctl;
	return !(a->vcpu->arch.mcg_cap & MCG_CTL_P) && !a->host;
}

int kvm_msr_set_mcg_ctl(struct msr_access *a)
{
	if (!(a->vcpu->arch.mcg_cap & MCG_CTL_P) && (a->data || !a->host))
		return 1;
	if (a->data != 0 && a->data != ~0ull)
		return 1;
	a->vcpu->arch.mcg_ctl = a->data;
	return 0;
}

int kvm_msr_get_mci_ctl2(struct msr_access *a)
{
	u32 bank = a->index - 0x280;

	if (bank >= nr_banks(a->vcpu) || (!(a->vcpu->arch.mcg_cap & MCG_CMCI_P) && !a->host))
		return 1;
	a->data = a->vcpu->arch.mci_ctl2_banks[bank];
	return 0;
}

int kvm_msr_set_mci_ctl2(struct msr_access *a)
{
	u32 bank = a->index - 0x280;

	if (bank >= nr_banks(a->vcpu) || (!(a->vcpu->arch.mcg_cap & MCG_CMCI_P) && (a->data || !a->host)))
		return 1;
	if (a->data & ~(MCI_CTL2_CMCI_EN | 0x7fff))
		return 1;
	a->vcpu->arch.mci_ctl2_banks[bank] = a->data;
	return 0;
}

int kvm_msr_get_mce_bank(struct msr_access *a)
{
	u32 offset = a->index - 0x400;

	if (offset >= 4 * nr_banks(a->vcpu))
		return 1;
	a->data = a->vcpu->arch.mce_banks[offset];
	return 0;
}

int kvm_msr_set_mce_bank(struct msr_access *a)
{
	u32 offset = a->index - 0x400;

	if (offset >= 4 * nr_banks(a->vcpu))
		return 1;
	/* CTL: all ones or zeros (bit 10 of bank 4 and bit 0 may be masked by old Linux guests). */
	if (!a->host && (offset & 3) == 0 && a->data != 0 && (a->data | BIT_ULL(10) | 1) != ~0ull)
		return 1;
	/* STATUS: the guest may only clear it, but for AMD's McStatusWrEn. */
	if (!a->host && (offset & 3) == 1 && a->data != 0 && !(a->vcpu->arch.hwcr & HWCR_MCSTATUS_WREN))
		return 1;
	a->vcpu->arch.mce_banks[offset] = a->data;
	return 0;
}

long kvm_vcpu_ioctl_setup_mce(struct kvm_vcpu *vcpu, u64 mcg_cap)
{
	u32 banks = mcg_cap & 0xff;

	if (!banks || banks > KVM_MAX_MCE_BANKS)
		return -EINVAL;
	if (mcg_cap & ~(KVM_MCE_CAP_SUPPORTED | 0xff | 0xff0000))
		return -EINVAL;
	vcpu->arch.mcg_cap = mcg_cap;
	if (mcg_cap & MCG_CTL_P)
		vcpu->arch.mcg_ctl = ~0ull;
	for (u32 i = 0; i < banks; i++) {
		vcpu->arch.mce_banks[4 * i] = ~0ull;
		if (mcg_cap & MCG_CMCI_P)
			vcpu->arch.mci_ctl2_banks[i] = 0;
	}
	if (lapic_in_kernel(vcpu))
		kvm_apic_set_version(vcpu); /* with or without LVT CMCI */
	return 0;
}

static void store(u64 *bank, const struct kvm_x86_mce *mce)
{
	bank[1] = mce->status;
	bank[2] = mce->addr;
	bank[3] = mce->misc;
}

/* Uncorrected, no action required: no machine check, but a CMCI where the bank asks for one. */
static bool is_ucna(const struct kvm_x86_mce *mce)
{
	return !mce->mcg_status && (mce->status & MCI_STATUS_UC) &&
	       !(mce->status & (MCI_STATUS_PCC | MCI_STATUS_S | MCI_STATUS_AR));
}

static void ucna(struct kvm_vcpu *vcpu, u64 *bank, const struct kvm_x86_mce *mce)
{
	store(bank, mce);
	vcpu->arch.mcg_status = mce->mcg_status;
	if ((vcpu->arch.mcg_cap & MCG_CMCI_P) && (vcpu->arch.mci_ctl2_banks[mce->bank] & MCI_CTL2_CMCI_EN) &&
	    lapic_in_kernel(vcpu))
		kvm_apic_local_deliver(vcpu->arch.apic, APIC_LVTCMCI);
}

static void uncorrected(struct kvm_vcpu *vcpu, u64 *bank, const struct kvm_x86_mce *mce)
{
	u64 over;

	if ((vcpu->arch.mcg_status & MCG_STATUS_MCIP) || !(x86s(vcpu)->cr4 & X86_CR4_MCE)) {
		kvm_make_request(KVM_REQ_TRIPLE_FAULT, vcpu);
		return;
	}
	over = bank[1] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0;
	store(bank, mce);
	bank[1] |= over;
	vcpu->arch.mcg_status = mce->mcg_status;
	kvm_queue_exception(vcpu, X86_MC);
}

long kvm_vcpu_ioctl_set_mce(struct kvm_vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	u64 *bank;

	if (mce->bank >= nr_banks(vcpu) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &vcpu->arch.mce_banks[4 * mce->bank];
	if (is_ucna(mce)) {
		ucna(vcpu, bank, mce);
		return 0;
	}
	/* Reporting of uncorrected errors is off for all banks, or for this one. */
	if ((mce->status & MCI_STATUS_UC) && (vcpu->arch.mcg_cap & MCG_CTL_P) && vcpu->arch.mcg_ctl != ~0ull)
		return 0;
	if ((mce->status & MCI_STATUS_UC) && bank[0] != ~0ull)
		return 0;
	if (mce->status & MCI_STATUS_UC) {
		uncorrected(vcpu, bank, mce);
	} else if (!(bank[1] & MCI_STATUS_VAL) || !(bank[1] & MCI_STATUS_UC)) {
		u64 over = bank[1] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0;

		store(bank, mce);
		bank[1] |= over;
	} else {
		bank[1] |= MCI_STATUS_OVER;
	}
	return 0;
}
