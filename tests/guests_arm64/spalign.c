/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack pointer's alignment, SCTLR_EL1.SA and SA0: which accesses check it, what they leave as it was.
 * At EL1 with SP_EL0 in use, so that the handler has a stack.
 */
#include "tests/guests_arm64/lib.h"

#define UVA 0x8000000000ul
#define SP_FAULT ESR(0x26, 0)
#define SA (1ul << 3)
#define SA0 (1ul << 4)

static u64 stack[64] __attribute__((aligned(16)));
static u64 sp_after, at;

static void sctlr(u64 set, u64 clear)
{
	msr(sctlr_el1, (mrs(sctlr_el1) | set) & ~clear);
	isb();
}

/* One instruction at label 1 with SP = the middle of `stack` + off. Afterwards sp_after, at. */
#define WITH_SP(off, insn) \
	__asm__ volatile("msr spsel, #0\nmov x10, sp\nadd x9, %2, %3\nmov sp, x9\nadr x11, 1f\n1: " insn \
			 "\nmov x12, sp\nmov sp, x10\nmsr spsel, #1\nmov %0, x12\nmov %1, x11" \
			 : "=r"(sp_after), "=r"(at) \
			 : "r"(&stack[32]), "r"((u64)(off)) \
			 : "x9", "x10", "x11", "x12", "x13", "x14", "x15", "v0", "v1", "memory")

#define faults(insn) \
	do { \
		u64 far = mrs(far_el1); \
		expect_none(WITH_SP(0, insn)); \
		for (u64 off_ = 1; off_ < 16; off_ += 7) { \
			expect_esr(SP_FAULT, WITH_SP(off_, insn)); \
			check_eq(taken[0].pc, at); \
			check_eq(taken[0].vector, 0); \
			check_eq(taken[0].far, far); \
			check_eq(sp_after, (u64)&stack[32] + off_); \
		} \
	} while (0)
#define passes(insn) expect_none(WITH_SP(8, insn))

static void accesses(void)
{
	faults("ldr x13, [sp]");
	faults("str w13, [sp, #4]");
	faults("ldrb w13, [sp, #1]");
	faults("ldur x13, [sp, #-8]");
	__asm__ volatile("msr uao, #1"); /* the stack is not EL0's */
	faults("ldtr x13, [sp]");
	__asm__ volatile("msr uao, #0");
	faults("ldr x13, [sp, #16]!");
	faults("str x13, [sp], #-16");
	faults("stp x13, x14, [sp, #-32]!");
	faults("ldp x13, x14, [sp], #32");
	faults("ldr x13, [sp, xzr]");
	faults("ldr q0, [sp]");
	faults("stp q0, q1, [sp]");
	faults("ld1 {v0.16b}, [sp]");
	faults("ld1 {v0.b}[3], [sp], #1");
	faults("ldxr x13, [sp]");
	faults("stlr x13, [sp]");
	faults("ldadd x13, x14, [sp]");
	faults("cas x13, x14, [sp]");
}

static void no_accesses(void)
{
	passes("add x13, sp, #1");
	passes("mov x13, sp");
	passes("sub sp, sp, #3");
	passes("prfm pldl1keep, [sp]");
	passes("ldr x13, 1b"); /* relative to PC */
	passes("str x13, [x9]");
}

/* In one block: a check holds as long as SP keeps its alignment. */
static void moves(void)
{
	expect_none(
		WITH_SP(0, "ldr x13, [sp]\nsub sp, sp, #16\nstr x13, [sp]\nadd sp, sp, #32\nstr x13, [sp]"));
	expect_none(WITH_SP(0, "ldr x13, [sp]\nadd sp, sp, #8\nadd sp, sp, #8\nldr x13, [sp]"));
	expect_esr(SP_FAULT, WITH_SP(0, "ldr x13, [sp]\nadd sp, sp, #8\nldr x13, [sp]"));
	check_eq(taken[0].pc, at + 8);
	expect_esr(SP_FAULT, WITH_SP(0, "ldr x13, [sp], #8\nldr x13, [sp]"));
	check_eq(taken[0].pc, at + 4);
	expect_esr(SP_FAULT, WITH_SP(0, "ldr x13, [sp]\nmov x14, #4\nsub sp, sp, x14\nldr x13, [sp]"));
	expect_esr(SP_FAULT, WITH_SP(0, "ldr x13, [sp]\nadd x14, sp, #4\nmov sp, x14\nldr x13, [sp]"));
	expect_none(WITH_SP(4, "and sp, x9, #-16\nldr x13, [sp]"));
	/* flags live over it */
	expect_esr(SP_FAULT, WITH_SP(8, "cmp x9, #0\nldr x13, [sp]\nb.eq 2f\nadd sp, sp, #8\n2:"));
	check_eq(sp_after, (u64)&stack[32] + 16);
	check_eq(taken[0].spsr >> 28, 2); /* C */
}

/* ---- EL0 ---- */

static u64 el0_esr, el0_pc;

static void keep(struct frame *f, u64 vector)
{
	if (f->esr >> 26 == 0x15 && (f->esr & 0xffff) == 0xe0) {
		f->pc = (u64)back_from_el0;
		f->spsr = 0x3c5;
	} else {
		el0_esr = f->esr;
		el0_pc = f->pc;
		f->pc += 4;
	}
}

static void user_load(u64 off, u64 b)
{
	__asm__ volatile("mov x10, sp\nadd x9, sp, %0\nmov sp, x9\nldr x11, [sp]\nmov sp, x10" : : "r"(off) : "x9", "x10", "x11");
}

static u64 at_el0(u64 off)
{
	el0_esr = 0;
	exception_hook = keep;
	call_el0((void (*)(u64, u64))((u64)user_load + UVA), off, 0, (u64)&stack[32] + UVA);
	exception_hook = NULL;
	return el0_esr;
}

void guest_main(u64 cpu)
{
	u64 *root = mmu_on(0), *l1 = alloc_page();

	l1[1] = 0x40000000 | PTE_BLOCK | PTE_NORMAL | PTE_USER | PTE_NG | PTE_PXN;
	root[1] = (u64)l1 | PTE_TABLE;
	dsb();
	msr(cpacr_el1, 3ul << 20);
	msr(sp_el0, &stack[48]);
	sctlr(SA0, SA);
	expect_none(WITH_SP(8, "ldr x13, [sp]"));
	check_eq(at_el0(0), 0);
	check_eq(at_el0(8), SP_FAULT);
	sctlr(SA, SA0);
	check_eq(at_el0(8), 0);
	accesses();
	no_accesses();
	moves();
	done();
}
