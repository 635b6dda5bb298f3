/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpus: 2. CPU 1 is in user code all the time while CPU 0 changes its page tables and says so by an IPI: a
 * page exchanged, a page taken away, and a page protected from writing, into which nothing more may go once
 * the IPI is answered.
 */
#include "guest/lib/guest.h"

#define V_FLUSH 0x62
#define VA GUEST_VA
#define RW (PTE_P | PTE_W | PTE_U | PTE_NX)
#define RO (PTE_P | PTE_U | PTE_NX)
#define ROUNDS 400u

_Noreturn void user_enter(u64 rip, u64 rsp, u64 arg, u64 rflags);
static volatile u32 ap_up, flushes, faults, go_on;
static volatile u64 have USER_DATA, mode USER_DATA, alive USER_DATA;
static u8 ap_user_stack[4096] USER_DATA __attribute__((aligned(16)));
static u8 ap_kernel_stack[8192] __attribute__((aligned(16)));
static struct tss64 ap_tss;
static u64 cr3, a, b;

/* mode 0: idle. 1: reads VA into `have`. 2: counts at VA. */
static USER_TEXT void ap_program(u64 arg)
{
	for (;;) {
		alive++;
		if (mode == 1)
			have = *(volatile u64 *)VA;
		else if (mode == 2)
			asm volatile("incq %0" : "+m"(*(volatile u64 *)VA));
	}
}

static void on_flush(struct frame *f)
{
	CHECK_EQ(f->cs, 0x33);
	if (flushes & 1)
		WRITE_CR(3, READ_CR(3));
	else
		invlpg(VA);
	apic_write(APIC_EOI, 0);
	flushes++;
}

/* Only CPU 1 takes it: waits until it may go on. */
static void on_fault(struct frame *f)
{
	u32 n = faults;

	CHECK_EQ(READ_CR(2), VA);
	faults = n + 1;
	while (go_on == n)
		asm volatile("sti; pause; cli" : : : "memory");
}

static void load_ap_tss(void)
{
	u64 t = (u64)&ap_tss;

	ap_tss.rsp[0] = (u64)ap_kernel_stack + sizeof(ap_kernel_stack);
	ap_tss.iomap = sizeof(ap_tss);
	boot_gdt[12] = (sizeof(ap_tss) - 1) | (t & 0xffffff) << 16 | 0x89ull << 40 | (t >> 24 & 0xff) << 56;
	boot_gdt[13] = t >> 32;
	asm volatile("ltr %w0" : : "r"(0x60));
}

static void ap(void)
{
	u64 cr4 = READ_CR(4), xcr0 = cpuid(0xd, 0).a;

	apic_enable();
	load_ap_tss();
	if (cpuid(1, 0).c >> 26 & 1) {
		WRITE_CR(4, cr4 | CR4_OSXSAVE);
		asm volatile("xsetbv" : : "c"(0), "a"((u32)xcr0), "d"(0));
	}
	ap_up = 1;
	user_enter((u64)ap_program, (u64)ap_user_stack + sizeof(ap_user_stack) - 8, 0, 0x202);
}

/* CPU 1 is told, and has answered. */
static void send_flush(void)
{
	u32 before = flushes;

	apic_write(APIC_ICR2, 1u << 24);
	apic_write(APIC_ICR, 0x4000 | V_FLUSH);
	while (flushes == before)
		pause();
}

static void wait_alive(void)
{
	u64 before = alive;

	while (alive < before + 3)
		pause();
}

/* Once the IPI is answered the other page is read, and only that one. */
static void exchanged(void)
{
	u64 *e = page_entry(cr3, VA, 12);

	mode = 1;
	for (u32 i = 0; i < ROUNDS; i++) {
		*e = (i & 1 ? a : b) | RW;
		send_flush();
		wait_alive(); /* what it had read before, it has stored */
		have = 0;
		while (!have)
			pause();
		CHECK_EQ(have, i & 1 ? 'a' : 'b');
	}
	mode = 0;
	wait_alive();
}

/*
 * The page can be read still, or not even that. CPU 1 counts in it until it is told, then not any more;
 * what it counts after the fault is seen.
 */
static void protected(u64 flags, u64 page)
{
	u64 *e = page_entry(cr3, VA, 12), before;
	volatile u64 *count = (u64 *)page;

	*e = page | RW;
	send_flush();
	for (u32 i = 0; i < ROUNDS / 4; i++) {
		mode = 2;
		for (before = *count; *count == before;)
			pause();
		*e = flags ? page | flags : 0;
		send_flush();
		before = *count;
		while (faults == go_on)
			pause();
		CHECK_EQ(*count, before);
		*count = before + 1000;
		mode = 0;
		*e = page | RW;
		go_on = go_on + 1;
		wait_alive();
		CHECK(*count >= before + 1001);
	}
	wait_alive();
}

int guest_main(void)
{
	user_as_os();
	cr3 = READ_CR(3);
	a = page_alloc();
	b = page_alloc();
	*(volatile u64 *)a = 'a';
	*(volatile u64 *)b = 'b';
	page_map(cr3, VA, a, RW, 12);
	trap_handler(V_FLUSH, on_flush);
	trap_handler(V_PF, on_fault);
	ap_start(ap);
	CHECK(wait_change(&ap_up, 0, 3000));
	if (!ap_up)
		return 0;
	wait_alive();
	exchanged();
	protected(RO, a);
	protected(0, b);
	return 0;
}
