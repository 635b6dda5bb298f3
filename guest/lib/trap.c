/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions, interrupts, ring 3. A trap goes to the handler of its vector; without one it ends the
 * innermost trap_call, and without that the guest.
 */
#include "guest/lib/guest.h"

struct gate idt[256] __attribute__((aligned(16)));
struct tss64 tss __attribute__((aligned(16)));
struct trap trap;
static void (*handler[256])(struct frame *);
u64 user_rflags = 2;
static u8 kernel_stack[8192] __attribute__((aligned(16)));
static u8 user_stack[8192] __attribute__((aligned(16))) USER_DATA;

extern u8 guest_stubs[];
extern u64 trap_sp;
_Noreturn void trap_return(void);
_Noreturn void user_enter(u64 rip, u64 rsp, u64 arg, u64 rflags);

void trap_handler(u8 vector, void (*fn)(struct frame *))
{
	handler[vector] = fn;
}

__attribute__((used)) void guest_trap(struct frame *f)
{
	if (handler[f->vector]) {
		handler[f->vector](f);
		return;
	}
	trap.f = *f;
	trap.cr2 = READ_CR(2);
	if (trap_sp)
		trap_return();
	print("unexpected vector %lu error %lx at %lx, cr2 %lx, rsp %lx\n", f->vector, f->error, f->rip,
	      trap.cr2, f->rsp);
	guest_exit(99);
}

int trap_of(void (*fn)(u64), u64 arg)
{
	return trap_call(fn, arg) ? (int)trap.f.vector : -1;
}

static void enter_user(u64 pack)
{
	u64 *a = (u64 *)pack;

	user_enter(a[0], (u64)user_stack + sizeof(user_stack) - 8, a[1], user_rflags);
}

int user_call(void (*fn)(u64), u64 arg)
{
	u64 a[2] = { (u64)fn, arg };

	return trap_of(enter_user, (u64)a);
}

void trap_ist(u8 vector, u8 slot, u64 stack_top)
{
	if (slot)
		tss.ist[slot - 1] = stack_top;
	idt[vector].lo = (idt[vector].lo & ~(7ull << 32)) | (u64)slot << 32;
}

static void set_gate(unsigned v, u64 type)
{
	u64 a = (u64)guest_stubs + 16 * v;

	idt[v].lo = (a & 0xffff) | 0x10ull << 16 | type << 40 | (a >> 16 & 0xffff) << 48;
	idt[v].hi = a >> 32;
}

static void load_tss(void)
{
	u64 a = (u64)&tss;

	tss.rsp[0] = (u64)kernel_stack + sizeof(kernel_stack);
	tss.iomap = sizeof(tss);
	boot_gdt[8] = (sizeof(tss) - 1) | (a & 0xffffff) << 16 | 0x89ull << 40 | (a >> 24 & 0xff) << 56;
	boot_gdt[9] = a >> 32;
	asm volatile("ltr %w0" : : "r"(0x40));
}

static void load_idt(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) d = { sizeof(idt) - 1, (u64)idt };

	asm volatile("lidt %0" : : "m"(d));
}

static void (*ap_fn)(void);

void guest_ap_set(void (*fn)(void))
{
	__atomic_store_n(&ap_fn, fn, __ATOMIC_SEQ_CST);
}

/* The second CPU shares the IDT; it has no TSS, so it stays in ring 0. */
__attribute__((used)) void guest_ap_main(void)
{
	load_idt();
	ap_fn();
}

__attribute__((used)) void guest_start64(void)
{
	for (unsigned v = 0; v < 256; v++)
		set_gate(v, v == V_BP || v == V_OF || v == V_USER_RETURN || v == V_SYSTEM_CALL ? 0xee : 0x8e);
	load_idt();
	load_tss();
	guest_failed += guest_main();
	print(guest_failed ? "FAILED: %d\n" : "ok\n", guest_failed);
	guest_exit(guest_failed ? 1 : 0);
}
