/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses through RSP to two pages that are no neighbours in memory, mixed in one run of instructions: above
 * the page's start by displacement, below it by PUSH and POP. Each must reach its own page however their
 * translations are looked up together. Flags live through it all; again over the edge of a page.
 */
#include "guest/lib/guest.h"

#define EDGE (GUEST_VA + 0x1000)

struct seen {
	u64 first, second, third, low, top, flags;
};

/* rsp is rbx meanwhile; what is pushed and popped lies at [EDGE - 16, EDGE) if rsp = EDGE. */
static struct seen mixed(u64 rsp)
{
	struct seen s;

	asm volatile("mov %%rsp, %%rbx\n"
		     "mov %[rsp], %%rsp\n"
		     "jmp 1f\n"
		     "1: mov 0x140(%%rsp), %%rax\n"
		     "cmp $1, %%rax\n"
		     "push 0x148(%%rsp)\n"
		     "push %[rsp]\n"
		     "mov 0x160(%%rsp), %%rcx\n"
		     "mov (%%rsp), %%rdx\n"
		     "sete %%al\n"
		     "mov 8(%%rsp), %%rsi\n"
		     "pop %%rdi\n"
		     "pop %%r8\n"
		     "mov %%rbx, %%rsp\n"
		     : "=&c"(s.third), "=&d"(s.low), "=&a"(s.flags), "=&S"(s.second), "=&D"(s.top)
		     : [rsp] "r"(rsp)
		     : "rbx", "r8", "memory", "cc");
	s.first = *(volatile u64 *)(rsp + 0x140);
	s.flags &= 0xff;
	return s;
}

static void check_at(u64 rsp)
{
	*(volatile u64 *)(rsp + 0x140) = 1;
	*(volatile u64 *)(rsp + 0x148) = 2;
	*(volatile u64 *)(rsp + 0x150) = 3;
	for (int i = 0; i < 4; i++) {
		struct seen s = mixed(rsp);

		CHECK_EQ(s.flags, 1);
		CHECK_EQ(s.second, 2);
		CHECK_EQ(s.third, 3);
		CHECK_EQ(s.low, rsp);
		CHECK_EQ(s.top, rsp);
		CHECK_EQ(*(volatile u64 *)(rsp - 8), 2);
		CHECK_EQ(*(volatile u64 *)(rsp - 16), rsp);
		*(volatile u64 *)(rsp - 8) = *(volatile u64 *)(rsp - 16) = 0;
	}
}

int guest_main(void)
{
	u64 a = page_alloc(), between = page_alloc(), b = page_alloc(), cr3 = READ_CR(3);

	CHECK(between != 0);
	page_map(cr3, EDGE - 0x1000, b, PTE_P | PTE_W, 12);
	page_map(cr3, EDGE, a, PTE_P | PTE_W, 12);
	check_at(EDGE);
	check_at(EDGE + 0x100); /* all in one page */
	for (u64 rsp = EDGE + 8; rsp <= EDGE + 24; rsp += 4)
		check_at(rsp); /* slots over the edge */
	for (u64 rsp = EDGE - 0x158; rsp <= EDGE - 0x138; rsp += 4)
		check_at(rsp); /* operands over it */
	return 0;
}
