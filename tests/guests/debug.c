/* SPDX-License-Identifier: Apache-2.0 */
/* #DB: single-step through every kind of instruction, breakpoints on execution and data, ICEBP, RF. */
#include "guest/lib/guest.h"

#define DR(n) ({ u64 v_; asm volatile("mov %%db" #n ", %0" : "=r"(v_)); v_; })
#define SET_DR(n, v) asm volatile("mov %0, %%db" #n : : "r"((u64)(v)))

static u64 rips[64], dr6;
static volatile u32 n;

static void on_db(struct frame *f)
{
	dr6 = DR(6);
	SET_DR(6, 0xffff0ff0);
	if (n < 64)
		rips[n] = f->rip;
	n++;
	if (dr6 & 0xf)
		f->rflags |= 0x10000; /* RF: do not stop at it again */
}

extern u8 step_a[], step_b[], step_c[], step_d[], step_e[], step_f[], bp_here[];

/* TF on: each instruction retires and traps; REP traps after each round; the POPF that clears TF still
 * traps. */
static void single_step(void)
{
	u64 src[2] = { 1, 2 }, dst[2];

	n = 0;
	asm volatile("pushfq; orl $0x100, (%%rsp); popfq\n"
		     "step_a: nop\n"
		     "step_b: jmp step_c; ud2\n"
		     "step_c: mov $2, %%ecx\n"
		     "step_d: rep movsq\n"
		     "step_e: pushfq; andl $~0x100, (%%rsp); popfq\n"
		     "step_f: nop"
		     : : "S"(src), "D"(dst) : "rcx", "memory", "cc");
	CHECK_EQ(n, 8);
	CHECK_EQ(rips[0], (u64)step_b);
	CHECK_EQ(rips[1], (u64)step_c);
	CHECK_EQ(rips[2], (u64)step_d);
	CHECK_EQ(rips[3], (u64)step_d);
	CHECK_EQ(rips[4], (u64)step_e);
	CHECK_EQ(rips[7], (u64)step_f);
	CHECK_EQ(dr6 & 0x4000, 0x4000);
}

static __attribute__((noinline)) void hit_bp(void)
{
	asm volatile("bp_here: nop");
}

static void execution_breakpoint(void)
{
	n = 0;
	SET_DR(0, bp_here);
	SET_DR(7, 0x402);
	for (int i = 0; i < 3; i++)
		hit_bp();
	SET_DR(7, 0x400);
	CHECK_EQ(n, 3);
	CHECK_EQ(rips[0], (u64)bp_here);
	CHECK_EQ(dr6 & 0xf, 1);
}

static volatile u64 watched;
static void data_breakpoint(void)
{
	n = 0;
	SET_DR(1, &watched);
	SET_DR(7, 0x400 | 8 | 1u << 20 | 2u << 22); /* G1, write, 8 bytes */
	watched = 1;
	CHECK_EQ(n, 1);
	CHECK_EQ(dr6 & 0xf, 2);
	(void)watched;
	CHECK_EQ(n, 1);
	asm volatile("incl 4(%0)" : : "r"(&watched) : "memory");
	CHECK_EQ(n, 2);
	SET_DR(7, 0x400);
	watched = 2;
	CHECK_EQ(n, 2);
}

static void icebp(void)
{
	n = 0;
	asm volatile(".byte 0xf1");
	CHECK_EQ(n, 1);
}

int guest_main(void)
{
	trap_handler(V_DB, on_db);
	single_step();
	execution_breakpoint();
	data_breakpoint();
	icebp();
	return 0;
}
