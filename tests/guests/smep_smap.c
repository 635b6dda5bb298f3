/* SPDX-License-Identifier: Apache-2.0 */
/* SMEP: the kernel does not execute user pages. SMAP: it does not touch them outside STAC/CLAC. */
#include "guest/lib/guest.h"

static USER_TEXT void user_ret(u64 arg) { asm volatile(""); }
static u64 user_word USER_DATA = 77;
static u64 got;

static void call(u64 a) { ((void (*)(u64))a)(0); }
static void load(u64 a) { got = *(volatile u64 *)a; }
static void store(u64 a) { *(volatile u64 *)a = 78; }
static void load_stac(u64 a) { asm volatile("stac; mov (%1), %0; clac" : "=&r"(got) : "r"(a) : "memory"); }
static void after_clac(u64 a)
{
	asm volatile("stac; mov (%1), %0; clac; mov (%1), %0" : "=&r"(got) : "r"(a) : "memory");
}
static void push_there(u64 a)
{
	asm volatile("mov %%rsp, %%rbx; mov %0, %%rsp; push %%rax; mov %%rbx, %%rsp"
		     : : "r"(a) : "rbx", "memory");
}
static USER_TEXT void user_stac(u64 a) { asm volatile("stac"); }

static void smep(void)
{
	CHECK_EQ(trap_of(call, (u64)user_ret), -1);
	WRITE_CR(4, READ_CR(4) | CR4_SMEP);
	CHECK_EQ(trap_of(call, (u64)user_ret), V_PF);
	CHECK_EQ(trap.f.error, 0x11);
	CHECK_EQ(trap.f.rip, (u64)user_ret);
	CHECK_EQ(trap_of(load, (u64)&user_word), -1);
	WRITE_CR(4, READ_CR(4) & ~CR4_SMEP);
	CHECK_EQ(trap_of(call, (u64)user_ret), -1);
}

static u8 pf_stack[4096] __attribute__((aligned(16)));

static void smap(void)
{
	u64 a = (u64)&user_word;

	trap_ist(V_PF, 1, (u64)pf_stack + sizeof(pf_stack)); /* push_there leaves no other stack */

	CHECK_EQ(trap_of(load, a), -1);
	WRITE_CR(4, READ_CR(4) | CR4_SMAP);
	CHECK_EQ(trap_of(load, a), V_PF);
	CHECK_EQ(trap.f.error, 1);
	CHECK_EQ(trap.cr2, a);
	CHECK_EQ(trap_of(store, a), V_PF);
	CHECK_EQ(trap.f.error, 3);
	got = 0;
	CHECK_EQ(trap_of(load_stac, a), -1);
	CHECK_EQ(got, 77);
	CHECK_EQ(trap_of(after_clac, a), V_PF);
	CHECK_EQ(trap_of(push_there, a + 8), V_PF);
	CHECK_EQ(trap_of(load, (u64)&got), -1);
	WRITE_CR(4, READ_CR(4) & ~CR4_SMAP);
	CHECK_EQ(trap_of(store, a), -1);
	CHECK_EQ(user_word, 78);
}

/* Interrupt delivery clears nothing by itself: AC is saved, and the handler runs without it here. */
static u64 ac_in_handler;
static void on_bp(struct frame *f)
{
	u64 fl;

	asm volatile("pushfq; pop %0" : "=r"(fl));
	ac_in_handler = fl >> 18 & 1;
	CHECK_EQ(f->rflags >> 18 & 1, 1);
}

static void ac_across_trap(void)
{
	trap_handler(V_BP, on_bp);
	asm volatile("stac; int3; clac");
	CHECK_EQ(ac_in_handler, 1);
	trap_handler(V_BP, NULL);
	CHECK_EQ(user_call(user_stac, 0), V_UD);
}

int guest_main(void)
{
	u32 b = cpuid(7, 0).b;

	if (b >> 7 & 1)
		smep();
	if (b >> 20 & 1) {
		smap();
		ac_across_trap();
	}
	if (!(b & (1u << 7 | 1u << 20)))
		guest_skip("neither SMEP nor SMAP offered");
	return 0;
}
