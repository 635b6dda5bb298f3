/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exceptions that exceptions.c and debug.c see from EL1 only, from EL0 and while SP_EL0 is used:
 * interrupts, breakpoint, watchpoint; and software step at EL1.
 */
#include "tests/guests_arm64/lib.h"

static u64 words[512] __attribute__((aligned(4096))), user_stack[256] __attribute__((aligned(16)));

/* The first exception after `unmask`, which EL0's SVC #1 is given to. */
static struct {
	u64 n, vector, esr, far, pc, spsr;
} first;

static void keep_first(struct frame *f, u64 vector)
{
	if (!first.n++) {
		first.vector = vector;
		first.esr = f->esr;
		first.far = f->far;
		first.pc = f->pc;
		first.spsr = f->spsr;
	}
	exception_hook = NULL;
	on_exception(f, vector);
	exception_hook = keep_first;
}

static void unmask(struct frame *f, u64 vector)
{
	first.n = 0;
	f->spsr &= ~0x3c0ul;
	exception_hook = keep_first;
}

/* Runs fn at EL0, interrupts unmasked from its SVC #1 on; exceptions are counted, the SVC that ends it,
 * too. */
static u64 at_el0(void (*fn)(u64, u64), u64 a, u64 b)
{
	exception_hook = unmask;
	call_el0((void (*)(u64, u64))user((void *)fn), a, b, user(user_stack) + sizeof(user_stack));
	exception_hook = NULL;
	return first.n;
}

static void u_idle(u64 a, u64 b) { __asm__ volatile("svc #1\nnop\nnop"); }
static void u_store(u64 a, u64 b) { __asm__ volatile("svc #1\nstr %1, [%0]" : : "r"(a), "r"(b) : "memory"); }
static void u_load(u64 a, u64 b) { __asm__ volatile("svc #1\nldr x9, [%0]" : : "r"(a) : "x9"); }

static void interrupts_of_el0(void)
{
	static const u64 lines[] = { LINE_IRQ, LINE_FIQ, LINE_SERROR | 0x7654321ul << 32 };

	for (u64 i = 0; i < 3; i++) {
		write64(DEV_LINES, lines[i]);
		check_eq(at_el0(u_idle, 0, 0), 2);
		check_eq(first.vector, VEC_LOW_IRQ + i);
		check_eq(first.spsr & 0x3df, 0);
	}
	check_eq(first.esr, ESR(0x2f, 0x654321 | 1 << 24));
	check_eq(at_el0(u_idle, 0, 0), 1);
}

/* EL1 with SP_EL0: the vectors from VBAR_EL1 on. */
static void interrupts_of_el1t(void)
{
	write64(DEV_LINES, LINE_IRQ);
	__asm__ volatile("msr spsel, #0\nmsr daifclr, #2\nnop\nmsr daifset, #2\nmsr spsel, #1" ::: "memory");
	check_eq(taken[0].vector, 1);
	check_eq(taken[0].spsr & 0x3df, 0x344);
	write64(DEV_LINES, LINE_FIQ);
	__asm__ volatile("msr spsel, #0\nmsr daifclr, #1\nnop\nmsr daifset, #1\nmsr spsel, #1" ::: "memory");
	check_eq(taken[0].vector, 2);
	write64(DEV_LINES, LINE_SERROR);
	__asm__ volatile("msr spsel, #0\nmsr daifclr, #4\nnop\nmsr daifset, #4\nmsr spsel, #1" ::: "memory");
	check_eq(taken[0].vector, 3);
}

/* A breakpoint of EL0 does not ask PSTATE.D, nor KDE; one for EL1 does not see EL0. */
static void breakpoint_of_el0(void)
{
	u64 at = user((void *)u_idle) + 4;

	msr(dbgbvr0_el1, at);
	msr(dbgbcr0_el1, 1 | 2 << 1 | 0xf << 5);
	isb();
	check_eq(at_el0(u_idle, 0, 0), 1); /* MDE is clear */
	msr(mdscr_el1, 1 << 15);
	isb();
	check_eq(at_el0(u_idle, 0, 0), 2);
	check_eq(first.esr, ESR(0x30, 0x22));
	check_eq(first.pc, at);
	check_eq(first.vector, VEC_LOW_SYNC);
	msr(dbgbcr0_el1, 1 | 1 << 1 | 0xf << 5);
	isb();
	check_eq(at_el0(u_idle, 0, 0), 1);
	msr(dbgbcr0_el1, 0);
}

static void watchpoint_of_el0(void)
{
	msr(dbgwvr0_el1, user(&words[8]));
	msr(dbgwcr0_el1, 1 | 2 << 1 | 2 << 3 | 0xff << 5); /* stores */
	isb();
	check_eq(at_el0(u_load, user(&words[8]), 0), 1);
	check_eq(at_el0(u_store, user(&words[9]), 1), 1);
	check_eq(at_el0(u_store, user(&words[8]), 1), 2);
	check_eq(first.esr, ESR(0x34, 0x62));
	check_eq(first.far, user(&words[8]));
	check_eq(words[8], 0);
	expect_none(*(volatile u64 *)user(&words[8]) = 2); /* EL1's store */
	msr(dbgwcr0_el1, 1 | 2 << 1 | 1 << 3 | 0xff << 5); /* loads */
	isb();
	check_eq(at_el0(u_load, user(&words[8]), 0), 2);
	check_eq(first.esr, ESR(0x34, 0x22));
	msr(dbgwcr0_el1, 0);
	msr(mdscr_el1, 0);
	isb();
}

/* ---- step of EL1 ---- */

static u64 steps, step_pc, step_esr;

static void on_step(struct frame *f, u64 vector)
{
	steps++;
	step_pc = f->pc;
	step_esr = f->esr;
	f->spsr |= 1ul << 9; /* D: no more */
}

/* Returns to a NOP with PSTATE.SS set and D clear; where it stops, from there. The address behind the NOP. */
static u64 step(void)
{
	u64 at, to;

	steps = 0;
	__asm__ volatile("adr %0, 1f\nmsr elr_el1, %0\nmsr spsr_el1, %2\nadr %1, 2f\neret\n"
			 "1: nop\n2: nop\nmsr daifset, #15"
			 : "=&r"(at), "=&r"(to)
			 : "r"(0x1c5 | 1ul << 21)
			 : "memory");
	return to;
}

static void step_of_el1(void)
{
	u64 to;

	exception_hook = on_step;
	msr(mdscr_el1, 1 | 1 << 13);
	isb();
	to = step();
	check_eq(steps, 1);
	check_eq(step_pc, to);
	check_eq(step_esr, ESR(0x33, 1 << 24 | 0x22));
	msr(mdscr_el1, 1); /* without KDE there is none */
	isb();
	step();
	check_eq(steps, 0);
	msr(mdscr_el1, 0);
	isb();
	exception_hook = NULL;
}

void guest_main(u64 cpu)
{
	map_user(mmu_on(0));
	interrupts_of_el0();
	interrupts_of_el1t();
	breakpoint_of_el0();
	watchpoint_of_el0();
	step_of_el1();
	done();
}
