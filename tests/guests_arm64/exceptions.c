/* SPDX-License-Identifier: Apache-2.0 */
/* Exception entry and return: every vector, syndrome, PSTATE, stack pointers, illegal returns, interrupts,
 * step. */
#include "tests/guests_arm64/lib.h"

static u64 user_stack[256] __attribute__((aligned(16)));
static u64 *root;

#define U_SP (user(user_stack) + sizeof(user_stack))

static void (*user_fn(void (*fn)(u64, u64)))(u64, u64) { return (void (*)(u64, u64))user((const void *)fn); }

static void el0(void (*fn)(u64, u64), u64 a, u64 b) { call_el0(user_fn(fn), a, b, U_SP); }

/* ---- from EL1 --------------------------------------------------------------------------------------- */

static void svc_brk(void)
{
	expect_esr(ESR(0x15, 0x1234), __asm__ volatile("svc #0x1234"));
	check_eq(taken[0].vector, VEC_CUR_SYNC);
	check_eq(taken[0].spsr & 0x3cf, 0x3c5);
	expect_esr(ESR(0x3c, 0x42), __asm__ volatile("brk #0x42"));
}

static void undefined(void)
{
	expect_esr(UNDEF, __asm__ volatile("udf #0"));
	expect_esr(UNDEF, __asm__ volatile(".inst 0xffffffff"));
	expect_esr(UNDEF, msr(midr_el1, 0));
	expect_esr(UNDEF, msr(CurrentEL, 0));
	expect_esr(UNDEF, __asm__ volatile("mrs x0, sp_el1" ::: "x0"));
	expect_esr(UNDEF, __asm__ volatile("mrs x0, S3_4_C1_C1_0" ::: "x0")); /* HCR_EL2 */
}

static void aborts(void)
{
	volatile u64 *hole = (u64 *)0x7f12345000;

	expect_esr(ESR(0x25, 0x05), (void)*hole); /* level 1: 0x7f_.... is in the first 512 GiB */
	check_eq(taken[0].far, (u64)hole);
	check_eq(taken[0].vector, VEC_CUR_SYNC);
	expect_esr(ESR(0x25, 0x45), *hole = 1);
	expect_esr(ESR(0x25, 0x04), (void)*(volatile u64 *)0x0000ff0000000000);
	expect_esr(ESR(0x21, 0x05), ((void (*)(void))0x7f12345000)());
	check_eq(taken[0].far, 0x7f12345000);
	check_eq(taken[0].pc, 0x7f12345000);
	expect_esr(ESR(0x22, 0), ((void (*)(void))((u64)svc_brk + 2))());
	check_eq(taken[0].far, (u64)svc_brk + 2);
	map_page(root, 0x9000200000, 0x40000000 | PTE_PAGE | PTE_NORMAL | PTE_PXN);
	dsb();
	expect_esr(ESR(0x21, 0x0f), ((void (*)(void))0x9000200000)());
}

/* ---- from EL0 ---- */

static void u_nothing(u64 a, u64 b) {}
static void u_svc(u64 a, u64 b) { __asm__ volatile("svc #7"); }
static void u_load(u64 a, u64 b) { (void)*(volatile u64 *)a; }
static void u_store(u64 a, u64 b) { *(volatile u64 *)a = b; }
static void u_jump(u64 a, u64 b) { ((void (*)(void))a)(); }
static void u_udf(u64 a, u64 b) { __asm__ volatile("udf #0"); }
static void u_hvc(u64 a, u64 b) { __asm__ volatile("hvc #0"); }
static void u_smc(u64 a, u64 b) { __asm__ volatile("smc #0"); }
static void u_eret(u64 a, u64 b) { __asm__ volatile("eret"); }
static void u_brk(u64 a, u64 b) { __asm__ volatile("brk #1"); }
static void u_fp(u64 a, u64 b) { __asm__ volatile(".inst 0x1e604000"); } /* fmov d0, d0 */

#define expect_el0(esr, fn, a, b) \
	do { \
		u64 n0 = taken[0].n; \
		el0(fn, a, b); \
		check_eq(taken[0].n, n0 + 2); /* and the SVC that ends it */ \
		check_eq(el0_esr, esr); \
		check_eq(el0_vector, VEC_LOW_SYNC); \
	} while (0)
static u64 el0_esr, el0_vector, el0_far;

/* Keeps the first of the two. */
static void keep_first(struct frame *f, u64 vector)
{
	exception_hook = NULL;
	on_exception(f, vector);
	exception_hook = keep_first;
	if ((f->esr & 0xffff) != 0xe0 || f->esr >> 26 != 0x15) {
		el0_esr = f->esr;
		el0_vector = vector;
		el0_far = f->far;
	}
}

static void from_el0(void)
{
	u64 n = taken[0].n;

	el0(u_nothing, 1, 2);
	check_eq(taken[0].n, n + 1);
	check_eq(taken[0].esr, ESR(0x15, 0xe0));
	check_eq(taken[0].vector, VEC_LOW_SYNC);
	check_eq(taken[0].spsr & 0x1f, 0);
	exception_hook = keep_first;
	expect_el0(ESR(0x15, 7), u_svc, 0, 0);
	expect_el0(ESR(0x24, 0x0d), u_load, 0x40000000, 0); /* EL1's */
	check_eq(el0_far, 0x40000000);
	expect_el0(ESR(0x24, 0x4d), u_store, 0x40000000, 0);
	expect_el0(ESR(0x24, 0x05), u_load, 0x7f12345670, 0);
	expect_el0(ESR(0x20, 0x0d), u_jump, 0x40000000, 0);
	expect_el0(ESR(0x22, 0), u_jump, user((void *)u_svc) + 1, 0);
	expect_el0(UNDEF, u_udf, 0, 0);
	expect_el0(UNDEF, u_hvc, 0, 0);
	expect_el0(UNDEF, u_smc, 0, 0);
	expect_el0(UNDEF, u_eret, 0, 0);
	expect_el0(ESR(0x3c, 1), u_brk, 0, 0);
	msr(cpacr_el1, 1ul << 20);
	isb();
	expect_el0(ESR(7, 0x1e00000), u_fp, 0, 0);
	exception_hook = NULL;
	expect_none(__asm__ volatile(".inst 0x1e604000"));
	msr(cpacr_el1, 0);
	isb();
	expect_esr(ESR(7, 0x1e00000), __asm__ volatile(".inst 0x1e604000"));
	msr(cpacr_el1, 3ul << 20);
	isb();
}

/* EL1 executes nothing that EL0 can write, and reads EL0's memory unless PAN says no. */
static void el1_on_user_pages(void)
{
	exception_hook = NULL;
	expect_esr(ESR(0x21, 0x0d), u_jump(user((void *)u_nothing), 0));
	expect_none((void)*(volatile u64 *)user(user_stack));
	__asm__ volatile("msr pan, #1");
	expect_esr(ESR(0x25, 0x0d), (void)*(volatile u64 *)user(user_stack));
	expect_none(__asm__ volatile("ldtr x0, [%0]" : : "r"(user(user_stack)) : "x0"));
	expect_esr(ESR(0x25, 0x0d), __asm__ volatile("ldtr x0, [%0]" : : "r"(user_stack) : "x0"));
	expect_esr(ESR(0x25, 0x4d), __asm__ volatile("sttr x0, [%0]" : : "r"(user_stack)));
	__asm__ volatile("msr uao, #1");
	expect_none(__asm__ volatile("ldtr x0, [%0]" : : "r"(user_stack) : "x0"));
	__asm__ volatile("msr uao, #0\nmsr pan, #0");
}

/* ---- PSTATE of a handler ---- */

static u64 seen_pan, seen_daif, seen_spsel;

static void look(struct frame *f, u64 vector)
{
	seen_pan = mrs(S3_0_C4_C2_3);
	seen_daif = mrs(daif);
	seen_spsel = mrs(SPSel);
}

static void handler_pstate(void)
{
	exception_hook = look;
	msr(sctlr_el1, mrs(sctlr_el1) | 1ul << 23);
	__asm__ volatile("svc #0");
	check_eq(seen_pan, 0);
	check_eq(seen_daif, 0x3c0);
	check_eq(seen_spsel, 1);
	msr(sctlr_el1, mrs(sctlr_el1) & ~(1ul << 23)); /* SPAN = 0: PAN is set */
	__asm__ volatile("svc #0");
	check_eq(seen_pan, 1ul << 22);
	check_eq(mrs(S3_0_C4_C2_3), 0);
	msr(sctlr_el1, mrs(sctlr_el1) | 1ul << 23);
	exception_hook = NULL;
}

/* With SP_EL0 in use the vectors are others, and the stack is SP_EL1's. */
static void sp_el0(void)
{
	u64 sp0 = (u64)&user_stack[128], sp, before;

	__asm__ volatile("mov %0, sp" : "=r"(before));
	msr(sp_el0, sp0);
	__asm__ volatile("msr spsel, #0\nmov %0, sp\nsvc #9\nmsr spsel, #1" : "=r"(sp));
	check_eq(sp, sp0);
	check_eq(taken[0].vector, 0);
	check_eq(taken[0].spsr & 0xf, 4);
	__asm__ volatile("mov %0, sp" : "=r"(sp));
	check_eq(sp, before);
	__asm__ volatile("msr spsel, #0\nmrs x0, sp_el0\nmsr spsel, #1" ::: "x0");
	check_eq(taken[0].esr, UNDEF);
}

/* ---- returns that are not legal ---- */

static void eret_to(u64 spsr)
{
	u64 at;

	__asm__ volatile("adr %0, 1f\nmsr elr_el1, %0\nmsr spsr_el1, %1\neret\n1: nop" : "=&r"(at) : "r"(spsr) : "memory");
}

static void skip_illegal(struct frame *f, u64 vector)
{
	exception_hook = NULL;
	on_exception(f, vector);
	f->pc -= 4;
	f->spsr &= ~(1ul << 20);
}

static void illegal_returns(void)
{
	static const u32 bad[] = { 0x3c1, 0x3c9, 0x3c8, 0x3cd, 0x3c6, 0x3d0, 0x3d3, 0x3c2 };

	for (unsigned i = 0; i < sizeof(bad) / 4; i++) {
		exception_hook = skip_illegal;
		expect_esr(ESR(0x0e, 0), eret_to(bad[i] | 0x60000000));
		check_eq(taken[0].spsr & 0xf01fffff, 0x601003c5); /* IL; flags and masks from SPSR, mode as before */
	}
	expect_none(eret_to(0x3c5));
}

/* ---- interrupts ---- */

static void interrupts(void)
{
	u64 n = taken[0].n;

	__asm__ volatile("msr daifset, #15");
	write64(DEV_LINES, LINE_IRQ);
	check_eq(taken[0].n, n);
	__asm__ volatile("msr daifclr, #2\nnop\nnop\nmsr daifset, #2");
	check_eq(taken[0].n, n + 1);
	check_eq(taken[0].vector, VEC_CUR_IRQ);
	write64(DEV_LINES, LINE_FIQ);
	__asm__ volatile("msr daifclr, #3\nnop\nmsr daifset, #3");
	check_eq(taken[0].vector, VEC_CUR_FIQ);
	write64(DEV_LINES, LINE_SERROR | 0x1234567ul << 32);
	msr(daif, 0);
	__asm__ volatile("nop");
	msr(daif, 0x3c0);
	check_eq(taken[0].vector, VEC_CUR_SERROR);
	check_eq(taken[0].esr, ESR(0x2f, 0x1234567));
	check_eq(taken[0].n, n + 3);
	__asm__ volatile("wfi"); /* the machine makes an interrupt of it */
	check_eq(taken[0].n, n + 3);
	__asm__ volatile("msr daifclr, #2\nnop\nmsr daifset, #2");
	check_eq(taken[0].n, n + 4);
}

/* ---- software step of EL0 ---- */

static u64 steps, step_pc[8];

static void on_step(struct frame *f, u64 vector)
{
	if (f->esr >> 26 != 0x32) {
		f->spsr = 0x3c5;
		f->pc = (u64)back_from_el0;
		msr(mdscr_el1, 0);
		return;
	}
	check_eq(f->esr, ESR(0x32, 0x1000022));
	if (steps < 8)
		step_pc[steps] = f->pc;
	steps++;
	f->spsr |= 1ul << 21;
}

static void first_step(struct frame *f, u64 vector)
{
	exception_hook = on_step;
	f->spsr |= 1ul << 21; /* the SVC below: step what it returns to */
	msr(mdscr_el1, 1);
}

static void u_three(u64 a, u64 b) { __asm__ volatile("svc #1\n1: nop\nadd x0, x0, #1\nb 2f\nnop\n2: nop"); }

static void software_step(void)
{
	exception_hook = first_step;
	el0(u_three, 0, 0);
	exception_hook = NULL;
	check(steps >= 5);
	check_eq(step_pc[1], step_pc[0] + 4);
	check_eq(step_pc[2], step_pc[1] + 8); /* b 2f */
	check_eq(step_pc[3], step_pc[2] + 4);
}

static void calls(void)
{
	register u64 x0 __asm__("x0") = 1;

	__asm__ volatile("hvc #0x10" : "+r"(x0));
	check_eq(x0, 0x11);
	__asm__ volatile("smc #0" : "+r"(x0));
	check_eq(x0, ~0ul);
}

void guest_main(u64 cpu)
{
	root = mmu_on(0);
	map_user(root);
	svc_brk();
	undefined();
	aborts();
	from_el0();
	el1_on_user_pages();
	handler_pstate();
	sp_el0();
	illegal_returns();
	interrupts();
	software_step();
	calls();
	done();
}
