/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine for testing arch/arm64/vgic alone: virt/'s buses and routing, RAM, and vCPUs whose threads are
 * the test's one: `on` says
 * whose it is. What the controllers do to the outside is in `fake`.
 */
#ifndef KUSE_TESTS_VGIC_FAKE_H
#define KUSE_TESTS_VGIC_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/arm64/vgic/its.h"

#define FAKE_MAX_VCPUS 8
#define FAKE_RAM_BASE 0x40000000ull
#define FAKE_RAM_SIZE 0x400000u
#define GICD 0x08000000ull
#define GICR(n) (0x080a0000ull + (n) * 0x20000ull)
#define GICR_SGI(n) (GICR(n) + 0x10000)
#define GICC 0x08010000ull
#define GITS 0x08080000ull
#define BAD_POINTER 8ul /* a client's address that cannot be read or written */

struct fake_log {
	unsigned kicks[FAKE_MAX_VCPUS];
	unsigned acks[1020]; /* kvm_notify_acked_irq of the pin */
	unsigned dead;       /* kvm_vm_dead */
	bool bus_full;       /* registrations fail with -ENOSPC */
	bool ran_once;       /* vcpu_has_run_once of all */
	unsigned cpu_lines;  /* vcpu_interrupt_line calls */
};
extern struct fake_log fake;
extern u8 fake_ram[FAKE_RAM_SIZE];

/* A VM with nr vCPUs and no interrupt controller. */
struct kvm *fake_vm(unsigned nr);
/* The same with a GIC of that type, its frames at GICD, GICR(n), GICC, initialized, on the bus and enabled.
 * */
struct kvm *fake_gic_vm(unsigned nr, u32 type);
void fake_vm_free(struct kvm *kvm);
struct kvm_vcpu *fake_add_vcpu(struct kvm *kvm);

/* Which vCPU the test's thread is; NULL: user space's thread. */
void on(struct kvm_vcpu *vcpu);

/* Guest accesses on the current vCPU. */
void w32(gpa_t addr, u32 val);
u32 r32(gpa_t addr);
void w64(gpa_t addr, u64 val);
u64 r64(gpa_t addr);
void w8(gpa_t addr, u8 val);
u8 r8(gpa_t addr);
/* MSR, MRS by the current vCPU; must not be UNDEFINED. */
void msr(u32 sys, u64 val);
u64 mrs(u32 sys);
bool undefined(u32 sys, bool write);

#define ICC_PMR ARM64_SYS(3, 0, 4, 6, 0)
#define ICC_IAR0 ARM64_SYS(3, 0, 12, 8, 0)
#define ICC_EOIR0 ARM64_SYS(3, 0, 12, 8, 1)
#define ICC_HPPIR0 ARM64_SYS(3, 0, 12, 8, 2)
#define ICC_BPR0 ARM64_SYS(3, 0, 12, 8, 3)
#define ICC_AP0R0 ARM64_SYS(3, 0, 12, 8, 4)
#define ICC_AP1R0 ARM64_SYS(3, 0, 12, 9, 0)
#define ICC_AP1R1 ARM64_SYS(3, 0, 12, 9, 1)
#define ICC_DIR ARM64_SYS(3, 0, 12, 11, 1)
#define ICC_RPR ARM64_SYS(3, 0, 12, 11, 3)
#define ICC_SGI1R ARM64_SYS(3, 0, 12, 11, 5)
#define ICC_ASGI1R ARM64_SYS(3, 0, 12, 11, 6)
#define ICC_SGI0R ARM64_SYS(3, 0, 12, 11, 7)
#define ICC_IAR1 ARM64_SYS(3, 0, 12, 12, 0)
#define ICC_EOIR1 ARM64_SYS(3, 0, 12, 12, 1)
#define ICC_HPPIR1 ARM64_SYS(3, 0, 12, 12, 2)
#define ICC_BPR1 ARM64_SYS(3, 0, 12, 12, 3)
#define ICC_CTLR ARM64_SYS(3, 0, 12, 12, 4)
#define ICC_SRE ARM64_SYS(3, 0, 12, 12, 5)
#define ICC_IGRPEN0 ARM64_SYS(3, 0, 12, 12, 6)
#define ICC_IGRPEN1 ARM64_SYS(3, 0, 12, 12, 7)

/* What the vCPU would see on its lines at its next entry: 'i', 'f' or '-'. */
char line(struct kvm_vcpu *vcpu);
/* The request to look at interrupts was made since, with a kick; both are reset. */
bool told(struct kvm_vcpu *vcpu);
/* An SPI's or (vcpu) a PPI's line as a device moves it. */
void raise(struct kvm *kvm, struct kvm_vcpu *vcpu, u32 intid);
void lower(struct kvm *kvm, struct kvm_vcpu *vcpu, u32 intid);

/* The device API: attributes of a device. */
struct kvm_device *fake_device(struct kvm *kvm, u32 type, int *err);
int dev_set(struct kvm_device *dev, u32 group, u64 attr, u64 val);
int dev_get(struct kvm_device *dev, u32 group, u64 attr, u64 *val);
int dev_has(struct kvm_device *dev, u32 group, u64 attr);
struct kvm_device *fake_dev_of(struct kvm *kvm, u32 type);

void ram_w64(gpa_t addr, u64 val);
u64 ram_r64(gpa_t addr);
u8 *ram(gpa_t addr);

#endif
