/* SPDX-License-Identifier: Apache-2.0 */
/* The PC: addresses, and what it adds to struct vm. Found by include path (vmm/machine.h). */
#ifndef KUSE_VMM_X86_MACHINE_H
#define KUSE_VMM_X86_MACHINE_H

#include <elf.h>

#include "lib/types.h"

#define MACHINE_ARCH "amd64" /* Debian's name */
#define MACHINE_ELF EM_X86_64
#define MACHINE_CPUS 1u /* unless --cpus says otherwise */
#define MACHINE_HALT_SPINS 0 /* HLT: it uses no CPU time */
#define MACHINE_PMU 0 /* --pmu */
#define MACHINE_RAM_FILE 1 /* user code runs in processes of its own (hyp/direct) */
#define MACHINE_CONSOLE "console=ttyS0 reboot=k"
#define MACHINE_EARLYCON "earlyprintk=serial,ttyS0,115200"
#define MACHINE_INITRAMFS "initramfs.cpio" /* its name in the cache */

/* RAM, and the guest-physical map of what is not RAM. */
#define GPA_RAM 0ull
#define RAM_LOW_MAX GPA_PCI_HOLE
#define GPA_PCI_HOLE 0xc0000000ull
#define GPA_COMMAND 0xd0000000ull /* command-status register (hw/command.c) */
#define GPA_COMMAND_STATUS "0xd0000000" /* the same for the init script */
#define GPA_COMMAND_READY "0xd0000004"
#define GPA_IOAPIC 0xfec00000ull
#define GPA_LAPIC 0xfee00000ull
#define GPA_IDENTITY_MAP 0xfffbc000ull
#define GPA_TSS 0xfffbd000ull
#define GPA_4G 0x100000000ull

#define SERIAL_BASE 0x3f8u
#define SERIAL_IRQ 4u
#define serial_add_range io_add_ports

struct kvm_cpuid2;
struct vm_machine {
	struct kvm_cpuid2 *cpuid;
	bool tsc_deadline;
	bool irq_override; /* GSI 2 carries ISA IRQ 0 */
};

#endif
