/* SPDX-License-Identifier: Apache-2.0 */
/* Breakpoints and watchpoints of the guest's own, at EL1. Software step is in exceptions.c. */
#include "tests/guests_arm64/lib.h"

#define MDSCR_KDE (1ul << 13)
#define MDSCR_MDE (1ul << 15)
#define BCR_EL1 (1ul | 1ul << 1 | 0xful << 5)
#define WCR(bas, lsc) (1ul | 1ul << 1 | (u64)(lsc) << 3 | (u64)(bas) << 5)
#define LOAD 1
#define STORE 2

static u64 words[1024] __attribute__((aligned(4096)));

static __attribute__((noinline)) void callee(void)
{
	__asm__ volatile("nop");
}

/* Goes on behind: the breakpoint stays armed. A breakpoint's instruction is stepped over, here a NOP. */
static void breakpoint(void)
{
	msr(dbgbvr0_el1, callee);
	msr(dbgbcr0_el1, BCR_EL1);
	isb();
	expect_none(callee()); /* MDE is clear */
	msr(mdscr_el1, MDSCR_MDE | MDSCR_KDE);
	isb();
	expect_none(callee()); /* PSTATE.D is set */
	__asm__ volatile("msr daifclr, #8");
	expect_esr(ESR(0x31, 0x22), callee());
	check_eq(taken[0].pc, (u64)callee);
	msr(dbgbcr0_el1, 1ul | 2ul << 1 | 0xful << 5); /* EL0 only */
	isb();
	expect_none(callee());
	msr(dbgbcr0_el1, 0);
	isb();
	expect_none(callee());
}

static u64 load(const u64 *p)
{
	u64 v;

	__asm__ volatile("ldr %0, [%1]" : "=r"(v) : "r"(p) : "memory");
	return v;
}

static void store(u64 *p, u64 v)
{
	__asm__ volatile("str %1, [%0]" : : "r"(p), "r"(v) : "memory");
}

static void watchpoint(void)
{
	words[8] = 5;
	load(&words[8]); /* has its TLB entry */
	msr(dbgwvr0_el1, &words[8]);
	msr(dbgwcr0_el1, WCR(0xff, STORE));
	isb();
	expect_none(load(&words[8]));
	expect_esr(ESR(0x35, 0x62), store(&words[8], 6));
	check_eq(taken[0].far, (u64)&words[8]);
	check_eq(words[8], 5); /* not written */
	expect_none(store(&words[7], 1));
	expect_none(store(&words[9], 1));
	expect_esr(ESR(0x35, 0x62), store((u64 *)((u64)&words[8] - 4), 0)); /* reaches into it */
	check_eq(taken[0].far, (u64)&words[8]);
	msr(dbgwcr0_el1, WCR(0x0f, LOAD));
	isb();
	expect_none(store(&words[8], 6));
	expect_esr(ESR(0x35, 0x22), load(&words[8]));
	expect_none(__asm__ volatile("ldr w0, [%0, #4]" : : "r"(&words[8]) : "x0"));
	expect_esr(ESR(0x35, 0x22), __asm__ volatile("ldxr x0, [%0]" : : "r"(&words[8]) : "x0"));
	msr(dbgwcr0_el1, WCR(0xff, LOAD | STORE));
	isb();
	expect_esr(ESR(0x35, 0x62), __asm__ volatile("ldadd xzr, x0, [%0]"
						     :
						     : "r"(&words[8])
						     : "x0", "memory"));
	msr(dbgwcr0_el1, 0);
	isb();
	expect_none(store(&words[8], 7));
	check_eq(words[8], 7);
}

void guest_main(u64 cpu)
{
	mmu_on(0);
	breakpoint();
	watchpoint();
	done();
}
