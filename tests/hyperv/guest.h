/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in flat 32-bit protected mode that does one instruction at a time for the test: each call below
 * puts the operands into registers, runs the instruction, and looks where the guest came out. An exception
 * or interrupt leaves by its handler and is told as its vector.
 */
#ifndef KUSE_TESTS_HYPERV_GUEST_H
#define KUSE_TESTS_HYPERV_GUEST_H

#include "arch/x86/hyperv_tlfs.h"
#include "tests/ioctl/ioctl.h"

#define GP 13
#define UD 6
#define NONE (-1)     /* the instruction was done */
#define OTHER_EXIT 256 /* KVM_RUN came back with something else: m.run says what */

#define PORT_VECTOR 0x98
#define HCALL_IN 0x10000u
#define HCALL_OUT 0x11000u
#define PAGE_A 0x12000u
#define PAGE_B 0x13000u
#define OS_ID (0x8100ull << 48)

extern struct machine m;

/* machine_up, protected mode; hyperv: with all of KVM_GET_SUPPORTED_HV_CPUID in the guest's CPUID. */
void guest_up(int irqchip, bool hyperv);
void guest_down(void);
/* A leaf of the guest's CPUID with these registers instead. Before the guest has run. */
void guest_set_leaf(uint32_t function, uint32_t eax, uint32_t ebx, uint32_t edx);
/* Another handler, at most 256 bytes; it leaves by OUT to PORT_VECTOR and goes on with IRET. */
void guest_set_handler(unsigned vector, const uint8_t *code, size_t len);
void guest_enable_apic(void);
void guest_user_mode(void); /* CPL 3 from now on, until an exception */
void guest_enable_cap(uint32_t cap, uint64_t arg);

int guest_wrmsr(uint32_t msr, uint64_t val);
int guest_rdmsr(uint32_t msr, uint64_t *val);
/* Interrupts on: waits for one in HLT; NONE: none came in 10 s. Leaves the handler with IRET. */
int guest_take_interrupt(void);
/* The same, for one that is not to come: waits a moment only. */
int guest_interrupt_now(void);
/* VMCALL or VMMCALL; rax is what came back in EDX:EAX. */
int guest_hypercall(uint64_t input, uint64_t a, uint64_t b, uint64_t *result);
/* Goes on after OTHER_EXIT. */
int guest_continue(void);
uint64_t guest_hypercall_result(void);
uint32_t guest_cpuid_edx(uint32_t leaf);
uint64_t guest_rdtsc(void);

uint64_t host_get_msr(uint32_t msr);
int host_set_msr(uint32_t msr, uint64_t val); /* 1: accepted */

#endif
