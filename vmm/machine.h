/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the VMM requires of one guest architecture: x86/machine.c and arm64/machine.c. vmm/ is built once
 * for each, with that architecture's include directory, which brings vmm_machine.h: addresses and struct
 * vm_machine.
 */
#ifndef KUSE_VMM_MACHINE_H
#define KUSE_VMM_MACHINE_H

#include "vmm/boot.h"
#include "vmm/vcpu.h"

/* The whole chain from open to running vCPUs, ends with a row without a name. */
extern const struct vm_step machine_steps[];

/* Capabilities that must be there, ends with a row without a name. */
extern const struct machine_cap {
	int cap;
	const char *name;
} machine_caps[];
/* Argument of KVM_CREATE_VM. */
unsigned long machine_type(struct vm *vm);
/* More to ask of the KVM once the caps above are there. */
int machine_check(struct vm *vm);
/* irq (vmm_machine.h) as KVM_IRQ_LINE has it. */
u32 machine_irq(u32 irq);

/* What --irqchip offers, in the order of struct vm_machine's enum if there is one; ends with a row without
 * a name. */
extern const struct machine_irqchip {
	const char *name;
	u32 max_cpus;
} machine_irqchips[];

/* The loaders asked for a kernel, in order, ends with NULL; images of other worlds, ends with len 0. */
extern const struct boot_loader *const machine_loaders[];
struct boot_foreign {
	u32 offset;
	const char *magic;
	u32 len;
	const char *what;
};
extern const struct boot_foreign machine_foreign[];
/* "neither a ... nor a ...; give ..." */
extern const char machine_kernels[];

/* A vCPU's state before its first KVM_RUN. */
int machine_vcpu_reset(struct vcpu *vcpu);
u64 machine_vcpu_pc(struct vcpu *vcpu);
/* Halted with interrupts off, or never started: it can wake by itself no more. Asked while it is out of
 * KVM_RUN. */
bool machine_vcpu_off(struct vcpu *vcpu);
/* Where a Linux guest has put this symbol of its kernel, by a register that it keeps there; 0: not told
 * yet. */
extern const char machine_entry_symbol[];
u64 machine_entry_address(struct vcpu *vcpu);

#endif
