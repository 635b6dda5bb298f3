/* SPDX-License-Identifier: Apache-2.0 */
/* Local APIC in xAPIC mode, the two 8259s, time by PIT and TSC, start of CPU 1. */
#include "guest/lib/guest.h"

#define APIC 0xfee00000ull
#define TRAMPOLINE 0x8000

u32 apic_read(u32 reg)
{
	return *(volatile u32 *)(APIC + reg);
}

void apic_write(u32 reg, u32 v)
{
	*(volatile u32 *)(APIC + reg) = v;
}

void apic_enable(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0x800);
	apic_write(APIC_SVR, 0x1ff);
}

void pic_init(u8 base, u16 unmasked)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, base);
	outb(0xa1, base + 8);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	outb(0x21, ~unmasked);
	outb(0xa1, ~unmasked >> 8);
}

/* PIT channel 2, gate by port 0x61: counts 1/1193182 s down once; OUT is bit 5. */
static void pit_wait(u16 ticks)
{
	outb(0x61, (inb(0x61) & ~2) | 1);
	outb(0x43, 0xb0);
	outb(0x42, ticks);
	outb(0x42, ticks >> 8);
	while (!(inb(0x61) & 0x20))
		;
}

/* The shortest of twenty: a host that lets us wait makes it longer. */
u64 tsc_hz(void)
{
	static u64 hz;
	u64 t, best = ~0ull;

	for (int i = 0; !hz && i < 20; i++) {
		t = rdtsc();
		pit_wait(1193); /* 1 ms */
		t = rdtsc() - t;
		best = t < best ? t : best;
	}
	if (!hz)
		hz = best * 1000;
	return hz;
}

bool wait_change(volatile u32 *word, u32 old, u32 ms)
{
	u64 end = rdtsc() + tsc_hz() / 1000 * ms;

	while (*word == old && rdtsc() < end)
		asm volatile("sti; nop; pause; cli" : : : "memory");
	return *word != old;
}

extern u8 guest_ap_trampoline[], guest_ap_trampoline_end[];
void guest_ap_set(void (*fn)(void));

static void delay_ms(u32 ms)
{
	u64 end = rdtsc() + tsc_hz() / 1000 * ms;

	while (rdtsc() < end)
		pause();
}

void ap_start(void (*fn)(void))
{
	u8 *to = (u8 *)TRAMPOLINE;

	guest_ap_set(fn);
	for (u8 *from = guest_ap_trampoline; from < guest_ap_trampoline_end; from++)
		*to++ = *from;
	apic_enable();
	apic_write(APIC_ICR2, 1u << 24);
	apic_write(APIC_ICR, 0x4500); /* INIT */
	delay_ms(10);
	apic_write(APIC_ICR2, 1u << 24);
	apic_write(APIC_ICR, 0x4600 | TRAMPOLINE >> 12); /* STARTUP */
}
