/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When interrupts and NMIs come: IF, the shadows of STI and MOV SS, priorities and nesting, NMI blocking
 * until IRET, HLT, x2APIC registers as MSRs.
 */
#include "guest/lib/guest.h"

#define V_LOW 0x51
#define V_HIGH 0x81
#define V_NMI 2
#define ICR_SELF 0x40000u
#define ICR_NMI 0x400u

static volatile u32 low, high, nmis, order, rip_at;
static volatile u64 last_rip;

static void self_ipi(u32 vector) { apic_write(APIC_ICR, ICR_SELF | vector); }

static void on_low(struct frame *f)
{
	low++;
	order = order << 4 | 1;
	last_rip = f->rip;
	apic_write(APIC_EOI, 0);
}

static void on_high(struct frame *f)
{
	high++;
	order = order << 4 | 2;
	apic_write(APIC_EOI, 0);
}

static void interrupt_flag(void)
{
	low = 0;
	self_ipi(V_LOW);
	for (volatile int i = 0; i < 1000; i++)
		;
	CHECK_EQ(low, 0);
	asm volatile("sti; nop; nop; cli");
	CHECK_EQ(low, 1);
}

/* The instruction after STI runs first; STI; CLI lets nothing in. */
extern u8 after_sti[], after_ss[];
static void shadows(void)
{
	low = 0;
	self_ipi(V_LOW);
	asm volatile("sti; cli");
	CHECK_EQ(low, 0);
	asm volatile("sti; nop; after_sti: nop; cli");
	CHECK_EQ(low, 1);
	CHECK_EQ(last_rip, (u64)after_sti);
	low = 0;
	self_ipi(V_LOW);
	asm volatile("mov %%ss, %%eax; sti; mov %%eax, %%ss; nop; after_ss: nop; cli" : : : "rax");
	CHECK_EQ(low, 1);
	CHECK_EQ(last_rip, (u64)after_ss);
}

/* A pending lower priority waits for EOI of the higher one. */
static void on_high_nested(struct frame *f)
{
	high++;
	self_ipi(V_LOW);
	asm volatile("sti; nop; nop; nop; cli");
	order = order << 4 | (low ? 9 : 2);
	apic_write(APIC_EOI, 0);
}

static void priorities(void)
{
	low = high = order = 0;
	self_ipi(V_LOW);
	self_ipi(V_HIGH);
	asm volatile("sti; nop; nop; nop; cli");
	CHECK_EQ(order, 0x21);
	low = high = order = 0;
	trap_handler(V_HIGH, on_high_nested);
	self_ipi(V_HIGH);
	asm volatile("sti; nop; nop; nop; cli");
	CHECK_EQ(order, 0x21);
	trap_handler(V_HIGH, on_high);
}

/* ---- NMI ---------------------------------------------------------------------------------------- */

static void on_nmi(struct frame *f)
{
	nmis++;
	if (nmis == 1) {
		u32 seen;

		apic_write(APIC_ICR, ICR_SELF | ICR_NMI); /* held back until our IRET */
		apic_write(APIC_ICR2, apic_read(APIC_ID));
		for (volatile int i = 0; i < 1000; i++)
			;
		seen = nmis;
		CHECK_EQ(seen, 1);
	}
}

static void nmi(void)
{
	trap_handler(V_NMI, on_nmi);
	apic_write(APIC_ICR2, apic_read(APIC_ID));
	apic_write(APIC_ICR, 0x4000 | ICR_NMI); /* physical, to ourselves: IF is off and does not matter */
	for (volatile u32 i = 0; i < 100000 && nmis < 2; i++)
		;
	CHECK(nmis >= 1);
}

/* ---- HLT ------------------------------------------------------------------------------------------- */

static void halt(void)
{
	low = 0;
	self_ipi(V_LOW);
	sti_hlt(); /* pending already: HLT ends at once */
	CHECK_EQ(low, 1);
	apic_write(APIC_TDCR, 3);
	apic_write(APIC_LVTT, V_LOW);
	apic_write(APIC_TMICT, 10000);
	sti_hlt();
	CHECK_EQ(low, 2);
	apic_write(APIC_LVTT, 1u << 16);
}

/* ---- x2APIC ------------------------------------------------------------------------------------------ */

static void on_low_x2(struct frame *f)
{
	low++;
	wrmsr(0x80b, 0);
}

static void read_reserved(u64 a) { rdmsr(0x80c); }
static void eoi_nonzero(u64 a) { wrmsr(0x80b, 1); }
static void back_to_xapic(u64 a) { wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~0x400ull); }

static void x2apic(void)
{
	u32 id = apic_read(APIC_ID) >> 24;

	if (!(cpuid(1, 0).c >> 21 & 1))
		return;
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0xc00);
	CHECK_EQ(rdmsr(0x802), id);
	CHECK_EQ(rdmsr(0x80f) & 0x100, 0x100); /* the spurious register keeps its value */
	trap_handler(V_LOW, on_low_x2);
	low = 0;
	wrmsr(0x83f, V_LOW); /* SELF IPI */
	asm volatile("sti; nop; nop; cli");
	CHECK_EQ(low, 1);
	wrmsr(0x830, (u64)id << 32 | 0x4000 | V_LOW);
	asm volatile("sti; nop; nop; cli");
	CHECK_EQ(low, 2);
	CHECK_EQ(trap_of(eoi_nonzero, 0), V_GP);
	CHECK_EQ(trap_of(read_reserved, 0), V_GP);
	CHECK_EQ(trap_of(back_to_xapic, 0), V_GP);
}

int guest_main(void)
{
	trap_handler(V_LOW, on_low);
	trap_handler(V_HIGH, on_high);
	apic_enable();
	interrupt_flag();
	shadows();
	priorities();
	nmi();
	halt();
	x2apic();
	return 0;
}
