/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupt routing for arm64: GSI n is SPI n at first (INTID 32 + n), or an MSI for the ITS; KVM_IRQ_LINE,
 * which names INTIDs. */
#include <stdlib.h>

#include "arch/arm64/vgic/its.h"

bool kvm_arch_irqchip_in_kernel(struct kvm *kvm)
{
	return irqchip_in_kernel(kvm);
}

bool kvm_arch_irqfd_allowed(struct kvm *kvm, bool resample)
{
	return true;
}

bool kvm_arch_can_set_irq_routing(struct kvm *kvm)
{
	return irqchip_in_kernel(kvm);
}

void kvm_arch_post_irq_routing_update(struct kvm *kvm)
{
}

void kvm_arch_post_irq_ack_notifier_list_update(struct kvm *kvm)
{
}

static int vgic_irqfd_set_irq(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id,
			      int level, bool line_status)
{
	u32 spi = e->irqchip.pin + VGIC_NR_PRIVATE_IRQS;

	return vgic_valid_spi(kvm, spi) ? kvm_vgic_inject_irq(kvm, NULL, spi, level, NULL) : -EINVAL;
}

int kvm_set_routing_entry(struct kvm *kvm, struct kvm_kernel_irq_routing_entry *e,
			  const struct kvm_irq_routing_entry *ue)
{
	switch (ue->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		if (ue->u.irqchip.pin >= KVM_IRQCHIP_NUM_PINS || ue->u.irqchip.irqchip >= KVM_NR_IRQCHIPS)
			return -EINVAL;
		e->set = vgic_irqfd_set_irq;
		e->irqchip.irqchip = ue->u.irqchip.irqchip;
		e->irqchip.pin = ue->u.irqchip.pin;
		return 0;
	case KVM_IRQ_ROUTING_MSI:
		e->set = kvm_set_msi;
		e->msi.address_lo = ue->u.msi.address_lo;
		e->msi.address_hi = ue->u.msi.address_hi;
		e->msi.data = ue->u.msi.data;
		e->msi.flags = ue->flags;
		e->msi.devid = ue->u.msi.devid;
		return 0;
	}
	return -EINVAL;
}

int kvm_set_msi(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id, int level,
		bool line_status)
{
	struct kvm_msi msi = {
		.address_lo = e->msi.address_lo,
		.address_hi = e->msi.address_hi,
		.data = e->msi.data,
		.flags = e->msi.flags,
		.devid = e->msi.devid,
	};

	if (!vgic_has_its(kvm))
		return -ENODEV;
	return level ? vgic_its_inject_msi(kvm, &msi) : -1;
}

/* The ITS's tables are under a lock that may be waited for. */
int kvm_arch_set_irq_inatomic(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id,
			      int level, bool line_status)
{
	if (level && e->type == KVM_IRQ_ROUTING_IRQCHIP && vgic_initialized(kvm))
		return vgic_irqfd_set_irq(e, kvm, irq_source_id, 1, line_status);
	return -EWOULDBLOCK;
}

int kvm_vgic_setup_default_irq_routing(struct kvm *kvm)
{
	u32 nr = kvm->arch.vgic.nr_spis;
	struct kvm_irq_routing_entry *entries = calloc(nr, sizeof(*entries));
	int ret;

	if (!entries)
		return -ENOMEM;
	for (u32 i = 0; i < nr; i++) {
		entries[i].gsi = i;
		entries[i].type = KVM_IRQ_ROUTING_IRQCHIP;
		entries[i].u.irqchip.pin = i;
	}
	ret = kvm_set_irq_routing(kvm, entries, nr, 0);
	free(entries);
	return ret;
}

/* ---- KVM_IRQ_LINE (api.rst, 4.25): type in bits 27:24, vCPU in 31:28 and 23:16, number in 15:0 ---- */

static int cpu_line(struct kvm *kvm, struct kvm_vcpu *vcpu, u32 number, bool level)
{
	if (irqchip_in_kernel(kvm))
		return -ENXIO;
	if (!vcpu || number > KVM_ARM_IRQ_CPU_FIQ)
		return -EINVAL;
	return vcpu_interrupt_line(vcpu, number, level);
}

static int ppi_line(struct kvm *kvm, struct kvm_vcpu *vcpu, u32 number, bool level)
{
	if (!irqchip_in_kernel(kvm))
		return -ENXIO;
	return vcpu && irq_is_ppi(number) ? kvm_vgic_inject_irq(kvm, vcpu, number, level, NULL) : -EINVAL;
}

static int spi_line(struct kvm *kvm, struct kvm_vcpu *vcpu, u32 number, bool level)
{
	if (!irqchip_in_kernel(kvm))
		return -ENXIO;
	return number >= VGIC_NR_PRIVATE_IRQS ? kvm_vgic_inject_irq(kvm, NULL, number, level, NULL) : -EINVAL;
}

int kvm_vm_ioctl_irq_line(struct kvm *kvm, struct kvm_irq_level *irq_event, bool line_status)
{
	u32 irq = irq_event->irq, number = irq >> KVM_ARM_IRQ_NUM_SHIFT & KVM_ARM_IRQ_NUM_MASK;
	u32 id = (irq >> KVM_ARM_IRQ_VCPU_SHIFT & KVM_ARM_IRQ_VCPU_MASK) +
		 (irq >> KVM_ARM_IRQ_VCPU2_SHIFT & KVM_ARM_IRQ_VCPU2_MASK) * (KVM_ARM_IRQ_VCPU_MASK + 1);
	struct kvm_vcpu *vcpu = kvm_get_vcpu_by_id(kvm, (int)id);

	switch (irq >> KVM_ARM_IRQ_TYPE_SHIFT & KVM_ARM_IRQ_TYPE_MASK) {
	case KVM_ARM_IRQ_TYPE_CPU:
		return cpu_line(kvm, vcpu, number, irq_event->level);
	case KVM_ARM_IRQ_TYPE_PPI:
		return ppi_line(kvm, vcpu, number, irq_event->level);
	case KVM_ARM_IRQ_TYPE_SPI:
		return spi_line(kvm, vcpu, number, irq_event->level);
	}
	return -EINVAL;
}
