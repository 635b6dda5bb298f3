/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be injected into a vCPU now: the PIC through LINT0 (or the user-space PIC of the split
 * irqchip) comes before the local APIC. All functions run on the vCPU's own thread.
 */
#include "arch/x86/i8259.h"
#include "arch/x86/lapic.h"
#include "arch/x86/xen.h"

bool kvm_cpu_has_pending_timer(struct kvm_vcpu *vcpu)
{
	return lapic_in_kernel(vcpu) && apic_has_pending_timer(vcpu);
}

void kvm_inject_pending_timer_irqs(struct kvm_vcpu *vcpu)
{
	if (lapic_in_kernel(vcpu))
		kvm_inject_apic_timer_irqs(vcpu);
}

/* Without an in-kernel irqchip KVM_INTERRUPT has put the vector in arch.interrupt. */
bool kvm_cpu_has_extint(struct kvm_vcpu *vcpu)
{
	if (!lapic_in_kernel(vcpu))
		return vcpu->arch.interrupt.injected;
	if (kvm_xen_has_interrupt(vcpu))
		return true;
	if (!kvm_apic_accept_pic_intr(vcpu))
		return false;
	if (irqchip_split(vcpu->kvm))
		return vcpu->arch.pending_external_vector != -1;
	return kvm_pic_output(vcpu->kvm);
}

bool kvm_cpu_has_interrupt(struct kvm_vcpu *vcpu)
{
	return kvm_cpu_has_extint(vcpu) || (lapic_in_kernel(vcpu) && kvm_apic_has_interrupt(vcpu) >= 0);
}

bool kvm_cpu_has_injectable_intr(struct kvm_vcpu *vcpu)
{
	return kvm_cpu_has_interrupt(vcpu);
}

static int kvm_cpu_get_extint(struct kvm_vcpu *vcpu)
{
	int vector;

	if (!kvm_cpu_has_extint(vcpu))
		return -1;
	if (!lapic_in_kernel(vcpu))
		return vcpu->arch.interrupt.nr;
	if (kvm_xen_has_interrupt(vcpu))
		return vcpu->kvm->arch.xen.upcall_vector; /* stays until the guest has seen to it */
	if (!irqchip_split(vcpu->kvm))
		return kvm_pic_read_irq(vcpu->kvm);
	vector = vcpu->arch.pending_external_vector;
	vcpu->arch.pending_external_vector = -1;
	return vector;
}

int kvm_cpu_get_interrupt(struct kvm_vcpu *vcpu)
{
	int vector = kvm_cpu_get_extint(vcpu);

	if (vector >= 0 || !lapic_in_kernel(vcpu))
		return vector;
	vector = kvm_apic_has_interrupt(vcpu);
	if (vector >= 0)
		kvm_apic_ack_interrupt(vcpu, vector);
	return vector;
}
