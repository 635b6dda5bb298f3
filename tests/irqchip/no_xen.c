/* SPDX-License-Identifier: Apache-2.0 */
/* The machines of these tests run no Xen guests. */
#include "arch/x86/xen.h"

bool __kvm_xen_has_interrupt(struct kvm_vcpu *vcpu)
{
	return false;
}

void kvm_xen_sw_enable_lapic(struct kvm_vcpu *vcpu)
{
}

int kvm_xen_setup_evtchn(struct kvm_kernel_irq_routing_entry *e, const struct kvm_irq_routing_entry *ue)
{
	return -EINVAL;
}
