/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt routing for x86: what a GSI means (a PIC pin, an IOAPIC pin, an MSI), the default table of
 * the in-kernel irqchip, irq sources, and the irqchip ioctls.
 *
 * Default routing is Linux's: GSI n is IOAPIC pin n for n < 24, and PIC pin n too for n < 16. That PIT
 * and timer override (GSI 0 on IOAPIC pin 2, as ACPI tables of PCs say) belong together is the VMM's
 * business: it sets that up with KVM_SET_GSI_ROUTING.
 */
#include <errno.h>
#include <string.h>

#include "arch/x86/hyperv.h"
#include "arch/x86/i8254.h"
#include "arch/x86/i8259.h"
#include "arch/x86/ioapic.h"
#include "arch/x86/irq_comm.h"
#include "arch/x86/lapic.h"
#include "arch/x86/xen.h"

#define MSI_ADDR_DEST_LOGICAL (1u << 2)
#define MSI_ADDR_REDIRECT (1u << 3)
#define MSI_DATA_LEVEL (1u << 15)
#define RESERVED_IRQ_SOURCES (BIT(KVM_USERSPACE_IRQ_SOURCE_ID) | BIT(KVM_IRQFD_RESAMPLE_IRQ_SOURCE_ID))

/* ---- routes ---------------------------------------------------------------------------------- */

static int kvm_set_pic_irq(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id,
			   int level, bool line_status)
{
	return kvm_pic_set_irq(kvm->arch.vpic, e->irqchip.pin, irq_source_id, level);
}

static int kvm_set_ioapic_irq(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id,
			      int level, bool line_status)
{
	return kvm_ioapic_set_irq(kvm->arch.vioapic, e->irqchip.pin, irq_source_id, level);
}

/* SDM vol. 3, 11.11 (message address and data); with KVM_X2APIC_API_USE_32BIT_IDS bits 31:8 of the
 * destination are bits 63:40 of the address. */
static struct kvm_lapic_irq kvm_msi_message(struct kvm *kvm, const struct kvm_kernel_irq_routing_entry *e)
{
	u32 dest_id = e->msi.address_lo >> 12 & 0xff;

	if (kvm->arch.x2apic_format)
		dest_id |= e->msi.address_hi & 0xffffff00;
	return (struct kvm_lapic_irq){
		.vector = e->msi.data & APIC_VECTOR_MASK,
		.delivery_mode = e->msi.data & APIC_MODE_MASK,
		.dest_mode = e->msi.address_lo & MSI_ADDR_DEST_LOGICAL ? APIC_DEST_LOGICAL
								       : APIC_DEST_PHYSICAL,
		.level = true,
		.trig_mode = e->msi.data & MSI_DATA_LEVEL,
		.shorthand = APIC_DEST_NOSHORT,
		.dest_id = dest_id,
		.msi_redir_hint = e->msi.address_lo & MSI_ADDR_REDIRECT,
	};
}

static bool kvm_msi_route_invalid(struct kvm *kvm, const struct kvm_kernel_irq_routing_entry *e)
{
	return kvm->arch.x2apic_format && (e->msi.address_hi & 0xff);
}

int kvm_set_msi(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id, int level,
		bool line_status)
{
	struct kvm_lapic_irq irq;

	if (kvm_msi_route_invalid(kvm, e))
		return -EINVAL;
	if (!level)
		return -1;
	irq = kvm_msi_message(kvm, e);
	return kvm_irq_delivery_to_apic(kvm, NULL, &irq);
}

static int kvm_hv_set_sint(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id,
			   int level, bool line_status)
{
	return level ? kvm_hv_synic_set_irq(kvm, e->hv_sint.vcpu, e->hv_sint.sint) : -1;
}

int kvm_arch_set_irq_inatomic(struct kvm_kernel_irq_routing_entry *e, struct kvm *kvm, int irq_source_id,
			      int level, bool line_status)
{
	struct kvm_lapic_irq irq;
	int r;

	if (e->type == KVM_IRQ_ROUTING_HV_SINT)
		return kvm_hv_set_sint(e, kvm, irq_source_id, level, line_status);
	if (e->type == KVM_IRQ_ROUTING_XEN_EVTCHN)
		return level ? e->set(e, kvm, irq_source_id, level, line_status) : -1;
	if (e->type != KVM_IRQ_ROUTING_MSI)
		return -EWOULDBLOCK;
	if (kvm_msi_route_invalid(kvm, e))
		return -EINVAL;
	irq = kvm_msi_message(kvm, e);
	return kvm_irq_delivery_to_apic_fast(kvm, NULL, &irq, &r) ? r : -EWOULDBLOCK;
}

static int kvm_set_irqchip_route(struct kvm *kvm, struct kvm_kernel_irq_routing_entry *e,
				 const struct kvm_irq_routing_irqchip *ue)
{
	bool ioapic = ue->irqchip == KVM_IRQCHIP_IOAPIC;
	bool slave = ue->irqchip == KVM_IRQCHIP_PIC_SLAVE;

	if (irqchip_split(kvm) || ue->irqchip >= KVM_NR_IRQCHIPS)
		return -EINVAL;
	if (ue->pin >= (ioapic ? KVM_IOAPIC_NUM_PINS : PIC_NUM_PINS / 2))
		return -EINVAL;
	e->irqchip.irqchip = ue->irqchip;
	e->irqchip.pin = ue->pin + (slave ? PIC_NUM_PINS / 2 : 0);
	e->set = ioapic ? kvm_set_ioapic_irq : kvm_set_pic_irq;
	return 0;
}

int kvm_set_routing_entry(struct kvm *kvm, struct kvm_kernel_irq_routing_entry *e,
			  const struct kvm_irq_routing_entry *ue)
{
	switch (ue->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		return kvm_set_irqchip_route(kvm, e, &ue->u.irqchip);
	case KVM_IRQ_ROUTING_MSI:
		e->set = kvm_set_msi;
		e->msi.address_lo = ue->u.msi.address_lo;
		e->msi.address_hi = ue->u.msi.address_hi;
		e->msi.data = ue->u.msi.data;
		return kvm_msi_route_invalid(kvm, e) ? -EINVAL : 0;
	case KVM_IRQ_ROUTING_HV_SINT:
		e->set = kvm_hv_set_sint;
		e->hv_sint.vcpu = ue->u.hv_sint.vcpu;
		e->hv_sint.sint = ue->u.hv_sint.sint;
		return 0;
	case KVM_IRQ_ROUTING_XEN_EVTCHN:
		return kvm_xen_setup_evtchn(e, ue);
	}
	return -EINVAL;
}

int kvm_setup_default_irq_routing(struct kvm *kvm)
{
	struct kvm_irq_routing_entry table[KVM_IOAPIC_NUM_PINS + PIC_NUM_PINS];
	unsigned n = 0;

	memset(table, 0, sizeof(table));
	for (u32 gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; gsi++) {
		table[n].gsi = gsi;
		table[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		table[n].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		table[n++].u.irqchip.pin = gsi;
	}
	for (u32 gsi = 0; gsi < PIC_NUM_PINS; gsi++) {
		table[n].gsi = gsi;
		table[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		table[n].u.irqchip.irqchip = SELECT_PIC(gsi);
		table[n++].u.irqchip.pin = gsi % 8;
	}
	return kvm_set_irq_routing(kvm, table, n, 0);
}

int kvm_setup_empty_irq_routing(struct kvm *kvm)
{
	return kvm_set_irq_routing(kvm, NULL, 0, 0);
}

bool kvm_arch_irqchip_in_kernel(struct kvm *kvm)
{
	return irqchip_in_kernel(kvm);
}

bool kvm_arch_can_set_irq_routing(struct kvm *kvm)
{
	return irqchip_in_kernel(kvm);
}

/* ---- EOI of the split irqchip ---------------------------------------------------------------- */

void kvm_arch_post_irq_routing_update(struct kvm *kvm)
{
	kvm_hv_irq_routing_update(kvm);
	if (irqchip_split(kvm))
		kvm_make_all_cpus_request(kvm, KVM_REQ_SCAN_IOAPIC);
}

/* The in-kernel IOAPIC reports every EOI of its vectors, whoever listens. */
void kvm_arch_post_irq_ack_notifier_list_update(struct kvm *kvm)
{
}

static void kvm_scan_msi_route(struct kvm_vcpu *vcpu, const struct kvm_kernel_irq_routing_entry *e)
{
	struct kvm_lapic_irq irq;

	if (e->type != KVM_IRQ_ROUTING_MSI)
		return;
	irq = kvm_msi_message(vcpu->kvm, e);
	if (irq.trig_mode &&
	    (kvm_apic_match_dest(vcpu, NULL, &irq) || kvm_apic_pending_eoi(vcpu, irq.vector)))
		vcpu->arch.ioapic_handled_vectors[irq.vector / 64] |= 1ull << irq.vector % 64;
}

/* The user-space IOAPIC's pins are the first nr_reserved_ioapic_pins GSIs, routed as MSIs; the EOI of
 * those that are level-triggered must leave to user space. */
static void kvm_scan_ioapic_routes(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_irq_routing_table *table;
	int idx = srcu_read_lock(&kvm->irq_srcu);

	table = srcu_dereference(kvm->irq_routing);
	if (table && table->nr_rt_entries) {
		u32 gsis = MIN(table->nr_rt_entries, kvm->arch.nr_reserved_ioapic_pins);

		for (u32 i = 0; i < table->gsi_start[gsis]; i++)
			kvm_scan_msi_route(vcpu, &table->entry[i]);
	}
	srcu_read_unlock(&kvm->irq_srcu, idx);
}

void vcpu_scan_ioapic(struct kvm_vcpu *vcpu)
{
	if (!kvm_apic_present(vcpu))
		return;
	memset(vcpu->arch.ioapic_handled_vectors, 0, sizeof(vcpu->arch.ioapic_handled_vectors));
	if (irqchip_split(vcpu->kvm))
		kvm_scan_ioapic_routes(vcpu);
}

/* ---- sources, mask notifiers ----------------------------------------------------------------- */

int kvm_request_irq_source_id(struct kvm *kvm)
{
	u64 *used = &kvm->arch.irq_sources_bitmap;
	int id = -EFAULT;

	pthread_mutex_lock(&kvm->irq_lock);
	*used |= RESERVED_IRQ_SOURCES;
	if (~*used) {
		id = __builtin_ctzll(~*used);
		*used |= BIT_ULL(id);
	}
	pthread_mutex_unlock(&kvm->irq_lock);
	return id;
}

void kvm_free_irq_source_id(struct kvm *kvm, int irq_source_id)
{
	pthread_mutex_lock(&kvm->irq_lock);
	kvm->arch.irq_sources_bitmap &= ~BIT_ULL(irq_source_id);
	if (irqchip_kernel(kvm)) {
		if (kvm->arch.vioapic)
			kvm_ioapic_clear_all(kvm->arch.vioapic, irq_source_id);
		if (kvm->arch.vpic)
			kvm_pic_clear_all(kvm->arch.vpic, irq_source_id);
	}
	pthread_mutex_unlock(&kvm->irq_lock);
}

/* The PIT is the only one who wants to know: its ticks start afresh when GSI 0 is unmasked. */
void kvm_fire_mask_notifiers(struct kvm *kvm, unsigned irqchip, unsigned pin, bool mask)
{
	struct kvm_pit *pit = __atomic_load_n(&kvm->arch.vpit, __ATOMIC_ACQUIRE);

	if (pit && !mask && kvm_irq_map_chip_pin(kvm, irqchip, pin) == PIT_GSI)
		kvm_pit_irq_unmasked(pit);
}

/* ---- ioctls ---------------------------------------------------------------------------------- */

int kvm_vm_ioctl_irq_line(struct kvm *kvm, struct kvm_irq_level *irq_event, bool line_status)
{
	if (!irqchip_in_kernel(kvm))
		return -ENXIO;
	irq_event->status = kvm_set_irq(kvm, KVM_USERSPACE_IRQ_SOURCE_ID, irq_event->irq, irq_event->level,
					line_status);
	return 0;
}

int kvm_vm_ioctl_get_irqchip(struct kvm *kvm, struct kvm_irqchip *chip)
{
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		kvm_get_pic(kvm, chip->chip_id, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		kvm_get_ioapic(kvm, &chip->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}

int kvm_vm_ioctl_set_irqchip(struct kvm *kvm, struct kvm_irqchip *chip)
{
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		kvm_set_pic(kvm, chip->chip_id, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		kvm_set_ioapic(kvm, &chip->chip.ioapic);
		return 0;
	}
	return -EINVAL;
}
