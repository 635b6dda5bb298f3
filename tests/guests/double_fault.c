/* SPDX-License-Identifier: Apache-2.0 */
/* Faults while delivering faults: #DF on an IST stack, benign pairs delivered one after the other. */
#include "guest/lib/guest.h"

static u8 df_stack[4096] __attribute__((aligned(16)));

static void bad_stack(u64 a)
{
	asm volatile("mov %0, %%rsp; ud2" : : "r"(a) : "memory");
}

static void push_bad(u64 a)
{
	asm volatile("mov %0, %%rsp; push %%rax" : : "r"(a) : "memory");
}

static void ud(u64 a) { asm volatile("ud2"); }

int guest_main(void)
{
	u64 ud_gate = idt[V_UD].lo, np_gate = idt[V_NP].lo;

	trap_ist(V_DF, 1, (u64)df_stack + sizeof(df_stack));

	/* the #UD's frame cannot be pushed: #PF, whose frame cannot be pushed either: #DF */
	CHECK_EQ(trap_of(bad_stack, GUEST_VA), V_DF);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(trap_of(push_bad, GUEST_VA), V_DF);

	/* #UD (benign) through a gate that is not present: #NP, delivered serially */
	idt[V_UD].lo &= ~(1ull << 47);
	CHECK_EQ(trap_of(ud, 0), V_NP);
	CHECK_EQ(trap.f.error, V_UD * 8 + 3); /* IDT, EXT */

	/* #NP's gate is not present either: contributory upon contributory */
	idt[V_NP].lo &= ~(1ull << 47);
	CHECK_EQ(trap_of(ud, 0), V_DF);
	idt[V_UD].lo = ud_gate;
	idt[V_NP].lo = np_gate;
	CHECK_EQ(trap_of(ud, 0), V_UD);
	return 0;
}
