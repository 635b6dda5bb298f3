/* SPDX-License-Identifier: Apache-2.0 */
/* PIT through the 8259, LAPIC one-shot, periodic and TSC-deadline: they come, and at about the right time. */
#include "guest/lib/guest.h"

#define V_PIT 0x20
#define V_LAPIC 0x60

static volatile u32 pit_ticks, lapic_ticks;

static void on_pit(struct frame *f)
{
	pit_ticks++;
	outb(0x20, 0x20);
}

static void on_lapic(struct frame *f)
{
	lapic_ticks++;
	apic_write(APIC_EOI, 0);
}

static u64 ms_since(u64 t) { return (rdtsc() - t) / (tsc_hz() / 1000); }

static void pit(void)
{
	u64 t;

	trap_handler(V_PIT, on_pit);
	apic_write(0x350, 0x700); /* LINT0: ExtINT */
	pic_init(V_PIT, 1);
	outb(0x43, 0x34);
	outb(0x40, 11932 & 255); /* 100 Hz */
	outb(0x40, 11932 >> 8);
	t = rdtsc();
	while (pit_ticks < 10 && ms_since(t) < 10000)
		sti_hlt();
	CHECK(pit_ticks >= 10);
	CHECK(ms_since(t) >= 40 && ms_since(t) < 5000);
	pic_init(V_PIT, 0);
	CHECK_EQ(inb(0x21), 0xff);
}

static void one_shot(void)
{
	u64 t = rdtsc();

	lapic_ticks = 0;
	apic_write(APIC_TDCR, 3); /* by 16 */
	apic_write(APIC_LVTT, V_LAPIC);
	apic_write(APIC_TMICT, 100000);
	CHECK(wait_change(&lapic_ticks, 0, 5000));
	CHECK(ms_since(t) < 5000);
	CHECK(!wait_change(&lapic_ticks, 1, 20)); /* once */
	CHECK_EQ(apic_read(APIC_TMCCT), 0);
}

static void periodic(void)
{
	u64 t = rdtsc();

	lapic_ticks = 0;
	apic_write(APIC_LVTT, V_LAPIC | 1u << 17);
	apic_write(APIC_TMICT, 100000);
	while (lapic_ticks < 20 && ms_since(t) < 10000)
		sti_hlt();
	CHECK(lapic_ticks >= 20);
	apic_write(APIC_LVTT, V_LAPIC | 1u << 16);
	apic_write(APIC_TMICT, 0);
}

static void tsc_deadline(void)
{
	u64 t, hz = tsc_hz();

	if (!(cpuid(1, 0).c >> 24 & 1))
		return;
	lapic_ticks = 0;
	apic_write(APIC_LVTT, V_LAPIC | 2u << 17);
	asm volatile("mfence");
	t = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, t + hz / 50);
	CHECK(wait_change(&lapic_ticks, 0, 5000));
	CHECK(rdtsc() - t >= hz / 50);
	CHECK_EQ(rdmsr(MSR_TSC_DEADLINE), 0);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + hz);
	wrmsr(MSR_TSC_DEADLINE, 0); /* called off */
	CHECK(!wait_change(&lapic_ticks, 1, 20));
	wrmsr(MSR_TSC_DEADLINE, 1); /* long past: now */
	CHECK(wait_change(&lapic_ticks, 1, 5000));
}

/* Interrupts wait for IF, for the instruction after STI, and for the task priority. */
static void priorities(void)
{
	u64 vector = V_LAPIC;

	lapic_ticks = 0;
	apic_write(APIC_LVTT, 1u << 16);
	apic_write(APIC_TPR, 0x60);
	apic_write(APIC_ICR2, apic_read(APIC_ID));
	apic_write(APIC_ICR, 0x4000 | vector);
	CHECK(!wait_change(&lapic_ticks, 0, 5));
	apic_write(APIC_TPR, 0x50);
	CHECK(wait_change(&lapic_ticks, 0, 5000));
	WRITE_CR(8, 6);
	CHECK_EQ(apic_read(APIC_TPR), 0x60);
	apic_write(APIC_ICR, 0x4000 | vector);
	CHECK(!wait_change(&lapic_ticks, 1, 5));
	WRITE_CR(8, 0);
	CHECK(wait_change(&lapic_ticks, 1, 5000));
	CHECK_EQ(lapic_ticks, 2);
}

int guest_main(void)
{
	trap_handler(V_LAPIC, on_lapic);
	apic_enable();
	pit();
	one_shot();
	periodic();
	tsc_deadline();
	priorities();
	return 0;
}
