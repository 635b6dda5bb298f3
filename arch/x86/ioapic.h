/* SPDX-License-Identifier: Apache-2.0 */
/* The 82093AA I/O APIC. See ioapic.c. */
#ifndef KUSE_X86_IOAPIC_H
#define KUSE_X86_IOAPIC_H

#include "virt/kvm_host.h"

#define IOAPIC_DEFAULT_BASE_ADDRESS 0xfec00000ull
#define IOAPIC_MEM_LENGTH 0x100

/* Redirection table entry */
#define IOAPIC_RTE_VECTOR 0xffull
#define IOAPIC_RTE_DELIVERY_MODE 0x700ull /* the places of APIC_MODE_MASK and APIC_DEST_LOGICAL */
#define IOAPIC_RTE_LOGICAL 0x800ull
#define IOAPIC_RTE_PENDING 0x1000ull
#define IOAPIC_RTE_ACTIVE_LOW 0x2000ull
#define IOAPIC_RTE_REMOTE_IRR 0x4000ull
#define IOAPIC_RTE_LEVEL 0x8000ull
#define IOAPIC_RTE_MASK 0x10000ull
#define IOAPIC_RTE_DEST_SHIFT 56

struct kvm_ioapic {
	pthread_mutex_t lock;
	struct kvm *kvm;
	u32 ioregsel;
	u32 id;
	u32 irr;           /* pins with a request: an edge not sent yet, or a level that is high */
	u32 irr_delivered; /* edge pins whose request has been sent; KVM_GET_IRQCHIP hides them */
	u64 redirtbl[KVM_IOAPIC_NUM_PINS];
	u64 vectors[4];                   /* bit v: some pin has vector v. Written under lock, read without */
	u32 irq_eoi[KVM_IOAPIC_NUM_PINS]; /* re-injections in a row at EOI, without a pause */
	unsigned long irq_states[KVM_IOAPIC_NUM_PINS]; /* per pin: one bit per irq source */
	struct kvm_timer eoi_inject; /* re-injects later where a guest drowns in a level interrupt */
	struct kvm_io_device dev;
};

/* A device drives pin 0..23. Any thread. > 0: delivered to that many CPUs, 0: coalesced, < 0: masked. */
int kvm_ioapic_set_irq(struct kvm_ioapic *ioapic, int pin, int irq_source_id, int level);
void kvm_ioapic_clear_all(struct kvm_ioapic *ioapic, int irq_source_id);

/* Does an EOI of this vector concern the IOAPIC? Any thread, no lock. */
static inline bool kvm_ioapic_handles_vector(struct kvm *kvm, u8 vector)
{
	return __atomic_load_n(&kvm->arch.vioapic->vectors[vector / 64], __ATOMIC_RELAXED) >> vector % 64 & 1;
}

/* EOI message from a local APIC: level says what its TMR bit said. On the vCPU's own thread. */
void kvm_ioapic_update_eoi(struct kvm_vcpu *vcpu, u8 vector, bool level);

void kvm_get_ioapic(struct kvm *kvm, struct kvm_ioapic_state *state);
void kvm_set_ioapic(struct kvm *kvm, const struct kvm_ioapic_state *state);

#endif
