/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpus: 2. What KVM offers a guest that knows it (Documentation/virt/kvm/x86/msr.rst, hypercalls.rst): steal
 * time, PV EOI, kick of a halted CPU, IPIs by hypercall. Each only where its feature bit is set.
 */
#include "guest/lib/guest.h"

#define FEATURE_STEAL_TIME 5
#define FEATURE_PV_EOI 6
#define FEATURE_PV_UNHALT 7
#define FEATURE_PV_SEND_IPI 11
#define MSR_STEAL 0x4b564d03
#define MSR_PV_EOI 0x4b564d04
#define HC_KICK_CPU 5
#define HC_SEND_IPI 10
#define V_IPI 0x61
#define V_AP 0x62

static volatile struct {
	u64 steal;
	u32 version, flags;
	u8 preempted, pad[47];
} steal __attribute__((aligned(64)));
static volatile u32 pv_eoi __attribute__((aligned(4)));
static volatile u32 ipis, ap_ipis, saved, ap_up, halted, woken;

static void eoi(void)
{
	bool skip;

	asm volatile("lock btrl $0, %1" : "=@ccc"(skip), "+m"(pv_eoi));
	if (skip)
		saved++;
	else
		apic_write(APIC_EOI, 0);
}

/* CPU 0: nothing here may leave to KVM before the EOI, or the offer is taken back. */
static void on_ipi(struct frame *f)
{
	ipis++;
	eoi();
}

static void on_ap_ipi(struct frame *f)
{
	ap_ipis++;
	apic_write(APIC_EOI, 0);
}

static void ap(void)
{
	apic_enable();
	ap_up = 1;
	while (!ap_ipis)
		sti_hlt();
	halted = 1;
	asm volatile("cli; hlt"); /* nothing but a kick ends this */
	woken = 1;
	for (;;)
		asm volatile("cli; hlt");
}

static void steal_time(void)
{
	wrmsr(MSR_STEAL, (u64)&steal | 1);
	cpuid(0, 0);
	inb(0x80);
	CHECK_EQ(steal.version & 1, 0);
	CHECK_EQ(steal.flags, 0);
	CHECK_EQ(rdmsr(MSR_STEAL), (u64)&steal | 1);
	wrmsr(MSR_STEAL, 0);
}

static void bad_steal(u64 a) { wrmsr(MSR_STEAL, a); }

static void pv_end_of_interrupt(void)
{
	wrmsr(MSR_PV_EOI, (u64)&pv_eoi | 1);
	ipis = 0;
	for (u32 i = 0; i < 1000; i++) {
		apic_write(APIC_ICR, 0x40000 | V_IPI);
		asm volatile("sti; nop; nop; cli");
		CHECK_EQ(ipis, i + 1);
	}
	CHECK(saved > 0);
	CHECK_EQ(pv_eoi, 0);
	wrmsr(MSR_PV_EOI, 0);
	for (u32 i = 0; i < 8; i++)
		CHECK_EQ(apic_read(0x100 + 16 * i), 0); /* nothing is left in service */
}

static void ipi_by_hypercall(void)
{
	CHECK_EQ(kvm_hypercall(HC_SEND_IPI, 2, 0, 0, V_AP), 1); /* APIC id 1 */
	CHECK(wait_change(&ap_ipis, 0, 3000));
	ipis = 0;
	CHECK_EQ(kvm_hypercall(HC_SEND_IPI, 1, 0, 0, V_IPI), 1);
	CHECK(wait_change(&ipis, 0, 3000));
}

static void kick(void)
{
	CHECK(wait_change(&halted, 0, 3000));
	CHECK(!wait_change(&woken, 0, 20));
	CHECK_EQ(kvm_hypercall(HC_KICK_CPU, 0, 1, 0, 0), 0);
	CHECK(wait_change(&woken, 0, 3000));
}

int guest_main(void)
{
	trap_handler(V_IPI, on_ipi);
	trap_handler(V_AP, on_ap_ipi);
	ap_start(ap);
	CHECK(wait_change(&ap_up, 0, 3000));
	if (kvm_has(FEATURE_STEAL_TIME)) {
		steal_time();
		CHECK_EQ(trap_of(bad_steal, (u64)&steal | 2), V_GP);
	}
	if (kvm_has(FEATURE_PV_EOI))
		pv_end_of_interrupt();
	if (kvm_has(FEATURE_PV_SEND_IPI)) {
		ipi_by_hypercall();
	} else {
		apic_write(APIC_ICR2, 1u << 24);
		apic_write(APIC_ICR, 0x4000 | V_AP);
	}
	if (kvm_has(FEATURE_PV_UNHALT))
		kick();
	return 0;
}
