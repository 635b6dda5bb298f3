/* SPDX-License-Identifier: Apache-2.0 */
/* The arm64 machine: kvmtool's memory map, and what it adds to struct vm. Found by include path
 * (vmm/machine.h). */
#ifndef KUSE_VMM_ARM64_MACHINE_H
#define KUSE_VMM_ARM64_MACHINE_H

#include <elf.h>

#include "lib/types.h"

#define MACHINE_ARCH "arm64" /* Debian's name */
#define MACHINE_ELF EM_AARCH64
#define MACHINE_CPUS 2u /* unless --cpus says otherwise */
#define MACHINE_HALT_SPINS 1 /* "b .": it uses a core (stuck.c) */
#define MACHINE_PMU 1 /* --pmu */
#define MACHINE_RAM_FILE 0 /* all code is translated */
#define MACHINE_CONSOLE "console=ttyS0"
#define MACHINE_EARLYCON "earlycon=uart8250,mmio,0x1000000"
#define MACHINE_INITRAMFS "initramfs-arm64.cpio" /* its name in the cache */

/* RAM is one piece from 2 GiB up. */
#define GPA_RAM 0x80000000ull
#define RAM_LOW_MAX (1ull << 40)
#define GPA_4G 0x100000000ull

#define GPA_UART 0x01000000ull
#define GPA_RTC 0x01010000ull
#define GPA_COMMAND 0x01020000ull /* command-status register (hw/command.c) */
#define GPA_COMMAND_STATUS "0x01020000" /* the same for the init script */
#define GPA_COMMAND_READY "0x01020004"
/* Interrupt controllers lie below the end of the I/O area, the distributor last. */
#define GPA_GIC_DIST 0x3fff0000ull
#define GIC_DIST_SIZE 0x10000ull
#define GIC_REDIST_SIZE 0x20000ull /* each vCPU's */
#define GIC_CPU_SIZE 0x20000ull    /* GICv2's CPU interface */
#define GIC_ITS_SIZE 0x20000ull

#define SERIAL_BASE GPA_UART
#define SERIAL_IRQ 4u /* SPIs are counted from 0 */
#define RTC_IRQ 5u
#define GIC_NR_IRQS 128u /* SGIs and PPIs included */
#define serial_add_range io_add_mmio

struct vm_machine {
	int gic_fd, its_fd; /* -1: none */
	bool gicv2;
	gpa_t redist; /* of all vCPUs, one after the other; GICv2: the CPU interface */
	gpa_t its;    /* 0: none */
	u64 mpidr[64];
	u32 vtimer_hz;
};

#endif
