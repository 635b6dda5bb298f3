/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine for testing the interrupt chips alone: the virt/ functions they call, with virtual time, one
 * thread, and everything observable. The guest's TSC runs at FAKE_TSC_PER_NS ticks a nanosecond.
 */
#ifndef KUSE_TESTS_IRQCHIP_FAKE_H
#define KUSE_TESTS_IRQCHIP_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86/i8254.h"
#include "arch/x86/i8259.h"
#include "arch/x86/ioapic.h"
#include "arch/x86/irq_comm.h"
#include "arch/x86/lapic.h"

#define FAKE_TSC_PER_NS 2
#define FAKE_GUEST_RAM 0x10000

/* What the chips did to the outside. */
struct fake_log {
	unsigned kicks[KVM_MAX_VCPUS];
	unsigned nmis[KVM_MAX_VCPUS];
	unsigned resets[KVM_MAX_VCPUS]; /* kvm_vcpu_reset(INIT) */
	int sipi[KVM_MAX_VCPUS];        /* vector, -1 none */
	unsigned acks[3][24];           /* kvm_notify_acked_irq(chip, pin) */
	unsigned reg_failures; /* registrations on a bus left to succeed before one fails; ~0: all do */
	unsigned srcu_readers;
};
extern struct fake_log fake;
extern u8 fake_ram[FAKE_GUEST_RAM];
extern u64 fake_now;

/* nr vCPUs with ids first_id.., reset as after creation; the chips that the mode has. */
struct kvm *fake_vm(enum kvm_irqchip_mode mode, unsigned nr, int first_id);
void fake_vm_free(struct kvm *kvm);
struct kvm_vcpu *fake_add_vcpu(struct kvm *kvm, int id);
/* Lets ns pass: expired timers run, each at its own time. */
void fake_advance(u64 ns);
unsigned fake_timers_armed(void);

/* Accesses on the buses; the write/read must find a device. */
void outb(struct kvm *kvm, u16 port, u8 val);
u8 inb(struct kvm *kvm, u16 port);
int fake_pio(struct kvm *kvm, u16 port, int len, void *data, bool write);
void mmio_write32(struct kvm *kvm, gpa_t addr, u32 val);
u32 mmio_read32(struct kvm *kvm, gpa_t addr);

/* xAPIC page and x2APIC MSRs of one vCPU. */
void xapic_write(struct kvm_vcpu *vcpu, u32 reg, u32 val);
u32 xapic_read(struct kvm_vcpu *vcpu, u32 reg);
/* The APIC software-enabled, spurious vector 0xff. */
void xapic_enable(struct kvm_vcpu *vcpu);
void x2apic_enable(struct kvm_vcpu *vcpu);
void x2apic_write(struct kvm_vcpu *vcpu, u32 reg, u64 val); /* must not fault */
u64 x2apic_read(struct kvm_vcpu *vcpu, u32 reg);            /* must not fault */

/* Clears KVM_REQ_EVENT and says whether it was set. */
bool take_event(struct kvm_vcpu *vcpu);

#endif
