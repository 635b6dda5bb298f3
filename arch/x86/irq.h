/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In-kernel interrupt controllers of x86: what lapic.c, ioapic.c, i8259.c, i8254.c, irq_comm.c and
 * irq.c offer to the rest of arch/x86. Names are Linux's (lapic.h, ioapic.h, irq.h, i8254.h).
 *
 * "own thread": the thread inside the vCPU's KVM_RUN or holding vcpu->mutex for an ioctl.
 * "any": any thread; it changes another CPU only by IRR bits / pending events + request + kick.
 */
#ifndef KUSE_ARCH_X86_IRQ_H
#define KUSE_ARCH_X86_IRQ_H

#include "virt/kvm_host.h"

/* ---- which irqchip (inline here) ---------------------------------------------------------------- */
static inline enum kvm_irqchip_mode kvm_irqchip_mode(struct kvm *kvm)
{
	return __atomic_load_n(&kvm->arch.irqchip_mode, __ATOMIC_ACQUIRE);
}
static inline bool irqchip_split(struct kvm *kvm) { return kvm_irqchip_mode(kvm) == KVM_IRQCHIP_SPLIT; }
static inline bool irqchip_kernel(struct kvm *kvm) { return kvm_irqchip_mode(kvm) == KVM_IRQCHIP_KERNEL; }
static inline bool pic_in_kernel(struct kvm *kvm) { return irqchip_kernel(kvm); }
static inline bool irqchip_in_kernel(struct kvm *kvm) { return kvm_irqchip_mode(kvm) != KVM_IRQCHIP_NONE; }
static inline bool lapic_in_kernel(struct kvm_vcpu *vcpu) { return vcpu->arch.apic != NULL; }

/* ---- LAPIC (lapic.c) ---------------------------------------------------------------------------- */
int kvm_create_lapic(struct kvm_vcpu *vcpu); /* 0, -ENOMEM; sets arch.apic, apic_base stays for reset */
void kvm_free_lapic(struct kvm_vcpu *vcpu);
void kvm_apic_map_destroy(struct kvm *kvm); /* kvm_arch_destroy_vm, after the vCPUs */
/* Power-on (init_event false: also sets apic_base with BSP bit for bsp_vcpu_id) or INIT. Own thread. */
void kvm_lapic_reset(struct kvm_vcpu *vcpu, bool init_event);

/* Highest deliverable vector, or -1 (IRR above PPR). Own thread. */
int kvm_apic_has_interrupt(struct kvm_vcpu *vcpu);
int kvm_lapic_find_highest_irr(struct kvm_vcpu *vcpu);
bool kvm_apic_accept_pic_intr(struct kvm_vcpu *vcpu); /* LINT0 lets ExtINT through */
bool kvm_apic_pending_eoi(struct kvm_vcpu *vcpu, int vector);
bool kvm_apic_hw_enabled_vcpu(struct kvm_vcpu *vcpu);
bool kvm_lapic_enabled(struct kvm_vcpu *vcpu);
bool kvm_apic_x2apic_mode(struct kvm_vcpu *vcpu);

/* INIT / SIPI latched by others are executed here: INIT resets the vCPU (kvm_vcpu_reset) and sets
 * mp_state INIT_RECEIVED (BSP: RUNNABLE); SIPI vectors it (kvm_vcpu_deliver_sipi_vector) and makes it
 * RUNNABLE. 0 or < 0. Own thread. */
int kvm_apic_accept_events(struct kvm_vcpu *vcpu);
bool kvm_apic_has_pending_init_or_sipi(struct kvm_vcpu *vcpu); /* any */
bool kvm_apic_init_sipi_allowed(struct kvm_vcpu *vcpu);        /* not in SMM. Own thread */
bool kvm_lapic_latched_init(struct kvm_vcpu *vcpu);            /* for KVM_GET_VCPU_EVENTS / MP_STATE */
void kvm_lapic_set_pending_sipi(struct kvm_vcpu *vcpu);        /* KVM_SET_MP_STATE SIPI_RECEIVED */
void kvm_lapic_set_latched_init(struct kvm_vcpu *vcpu, bool on);/* KVM_SET_VCPU_EVENTS smi.latched_init */

/* TPR as CR8. Own thread. */
void kvm_lapic_set_tpr(struct kvm_vcpu *vcpu, unsigned long cr8);
u64 kvm_lapic_get_cr8(struct kvm_vcpu *vcpu);
void kvm_lapic_set_eoi(struct kvm_vcpu *vcpu);

/* Is addr in the enabled xAPIC page: 0 handled, -EOPNOTSUPP not mine. Own thread. */
int kvm_lapic_mmio_read(struct kvm_vcpu *vcpu, gpa_t addr, int len, void *data);
int kvm_lapic_mmio_write(struct kvm_vcpu *vcpu, gpa_t addr, int len, const void *data);

/* MSRs 0x800-0x8ff. 0, or 1: #GP. Own thread. */
int kvm_x2apic_msr_write(struct kvm_vcpu *vcpu, u32 msr, u64 data);
int kvm_x2apic_msr_read(struct kvm_vcpu *vcpu, u32 msr, u64 *data);
/* MSR_IA32_APICBASE with all its transition rules; stores vcpu->arch.apic_base, recalculates the map.
 * Works without an in-kernel LAPIC too. 0, or 1: #GP. */
int kvm_set_apic_base(struct kvm_vcpu *vcpu, u64 value, bool host_initiated);
u64 kvm_get_lapic_tscdeadline_msr(struct kvm_vcpu *vcpu);
void kvm_set_lapic_tscdeadline_msr(struct kvm_vcpu *vcpu, u64 data);
/* CPUID changed: version register, max LVT, x2APIC, TSC-deadline; the timer is restarted. */
void kvm_apic_set_version(struct kvm_vcpu *vcpu);

int kvm_apic_get_state(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s);
int kvm_apic_set_state(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s); /* 0, -EINVAL, -ENOMEM */
int kvm_lapic_set_vapic_addr(struct kvm_vcpu *vcpu, gpa_t vapic_addr);    /* 0, -EINVAL */

/* MSR_KVM_PV_EOI_EN. 0, or 1: #GP. The sync pair runs around guest entry: from: the guest cleared its
 * bit, so do the EOI; to: set the bit when the in-service vector qualifies. Own thread. */
int kvm_lapic_set_pv_eoi(struct kvm_vcpu *vcpu, u64 data);
void kvm_lapic_sync_from_vapic(struct kvm_vcpu *vcpu);
void kvm_lapic_sync_to_vapic(struct kvm_vcpu *vcpu);

/* Hypercalls KVM_HC_SEND_IPI (returns CPUs reached or -KVM_EINVAL), KVM_HC_KICK_CPU. */
int kvm_pv_send_ipi(struct kvm *kvm, u64 bitmap_low, u64 bitmap_high, u32 min, u64 icr, bool op_64_bit);
void kvm_pv_kick_cpu_op(struct kvm *kvm, int apicid);
struct kvm_vcpu *kvm_get_vcpu_by_apicid(struct kvm *kvm, u32 apicid);
/* KVM_CAP_X86_... nothing; LINT1 NMI of KVM_NMI is kvm_inject_nmi. MCE: LVT CMCI is not offered. */

/* ---- what can be injected now (irq.c) --------------------------------------------------------------- */
/* Own thread. Without any in-kernel irqchip they look at arch.interrupt / request_interrupt_window only. */
bool kvm_cpu_has_extint(struct kvm_vcpu *vcpu);        /* PIC, or pending_external_vector (split) */
bool kvm_cpu_has_injectable_intr(struct kvm_vcpu *vcpu);
bool kvm_cpu_has_interrupt(struct kvm_vcpu *vcpu);
int kvm_cpu_get_interrupt(struct kvm_vcpu *vcpu);      /* acknowledges; vector or -1 */
bool kvm_cpu_has_pending_timer(struct kvm_vcpu *vcpu);
void kvm_inject_pending_timer_irqs(struct kvm_vcpu *vcpu); /* before entry, cheap */

/* ---- PIC, IOAPIC, PIT ---------------------------------------------------------------------------------- */
int kvm_pic_init(struct kvm *kvm);      /* registers on the PIO bus, sets arch.vpic. kvm->lock held, takes slots_lock */
void kvm_pic_destroy(struct kvm *kvm);
int kvm_ioapic_init(struct kvm *kvm);
void kvm_ioapic_destroy(struct kvm *kvm);
struct kvm_pit *kvm_create_pit(struct kvm *kvm, u32 flags); /* NULL on failure; kvm->lock held; sets nothing */
void kvm_free_pit(struct kvm *kvm);

/* chip->chip_id says which. 0 or -EINVAL. Caller holds kvm->lock. */
int kvm_vm_ioctl_get_irqchip(struct kvm *kvm, struct kvm_irqchip *chip);
int kvm_vm_ioctl_set_irqchip(struct kvm *kvm, struct kvm_irqchip *chip);
int kvm_vm_ioctl_get_pit2(struct kvm *kvm, struct kvm_pit_state2 *ps);
int kvm_vm_ioctl_set_pit2(struct kvm *kvm, struct kvm_pit_state2 *ps);
int kvm_vm_ioctl_get_pit(struct kvm *kvm, struct kvm_pit_state *ps);
int kvm_vm_ioctl_set_pit(struct kvm *kvm, struct kvm_pit_state *ps);
int kvm_vm_ioctl_reinject(struct kvm *kvm, struct kvm_reinject_control *control);

/* ---- routing (irq_comm.c): also kvm_arch.h's kvm_set_routing_entry, kvm_set_msi,
 *      kvm_arch_set_irq_inatomic, kvm_arch_post_irq_routing_update, kvm_arch_can_set_irq_routing,
 *      kvm_arch_irqchip_in_kernel, kvm_arch_post_irq_ack_notifier_list_update, kvm_vm_ioctl_irq_line ---- */
int kvm_setup_default_irq_routing(struct kvm *kvm);
int kvm_setup_empty_irq_routing(struct kvm *kvm);
int kvm_request_irq_source_id(struct kvm *kvm);
void kvm_free_irq_source_id(struct kvm *kvm, int irq_source_id);
/* KVM_REQ_SCAN_IOAPIC: fills vcpu->arch.ioapic_handled_vectors (from the IOAPIC, or from MSI routes with
 * the split irqchip). Own thread. */
void vcpu_scan_ioapic(struct kvm_vcpu *vcpu);

/* ---- offered by the rest of arch/x86 to the above ---- */
void kvm_inject_nmi(struct kvm_vcpu *vcpu);            /* any: counts, requests, does not kick */
void kvm_vcpu_reset(struct kvm_vcpu *vcpu, bool init_event);
void kvm_vcpu_deliver_sipi_vector(struct kvm_vcpu *vcpu, u8 vector);
/* Guest TSC (own thread), and the CLOCK_MONOTONIC ns at which the guest's TSC will be `tsc`. */
u64 kvm_read_l1_tsc(struct kvm_vcpu *vcpu);
u64 kvm_guest_tsc_to_monotonic(struct kvm_vcpu *vcpu, u64 tsc);
static inline bool kvm_vcpu_is_bsp(struct kvm_vcpu *vcpu)
{
	return vcpu->vcpu_id == vcpu->kvm->arch.bsp_vcpu_id;
}
static inline bool kvm_check_has_quirk(struct kvm *kvm, u64 quirk)
{
	return !(kvm->arch.disabled_quirks & quirk);
}

#endif
