/* SPDX-License-Identifier: Apache-2.0 */
/* The machines of these tests have no SynIC. */
#include "arch/x86/hyperv.h"

bool kvm_hv_synic_has_vector(struct kvm_vcpu *vcpu, u8 vector)
{
	return false;
}

bool kvm_hv_synic_auto_eoi_set(struct kvm_vcpu *vcpu, u8 vector)
{
	return false;
}

void kvm_hv_synic_send_eoi(struct kvm_vcpu *vcpu, u8 vector)
{
}

int kvm_hv_synic_set_irq(struct kvm *kvm, u32 vpidx, u32 sint)
{
	return -EINVAL;
}

void kvm_hv_irq_routing_update(struct kvm *kvm)
{
}
