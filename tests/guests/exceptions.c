/* SPDX-License-Identifier: Apache-2.0 */
/* Each exception of ring 0 and 3: vector, error code, and where RIP is. */
#include "guest/lib/guest.h"

static void de(u64 a) { asm volatile("xor %%edx, %%edx; mov $1, %%eax; div %%edx" : : : "rax", "rdx"); }
static void de_overflow(u64 a)
{
	asm volatile("mov $5, %%edx; mov $4, %%ecx; idiv %%ecx" : : : "rax", "rcx", "rdx");
}
static void ud(u64 a) { asm volatile("ud2"); }
static void ud_lock(u64 a) { asm volatile(".byte 0xf0, 0x90"); }
static void gp_msr(u64 a) { rdmsr(0x12345678); }
static void gp_cr4(u64 a) { WRITE_CR(4, 1ull << 40); }
static void gp_cr0(u64 a) { WRITE_CR(0, 0x80000000); }
static void gp_align(u64 a) { asm volatile("movaps (%0), %%xmm0" : : "r"(a | 1)); }
static void gp_long(u64 a)
{
	asm volatile(".byte 0x2e,0x3e,0x26,0x36,0x64,0x65,0x2e,0x3e,0x26,0x36,0x64,0x65,0x2e,0x3e,0x26,0x90");
}
static void ss_canonical(u64 a)
{
	asm volatile("mov %%rsp, %%rcx; mov %0, %%rbp; mov (%%rbp), %%rax"
		     : : "r"(1ull << 63) : "rax", "rcx", "rbp");
}
static void np(u64 a) { asm volatile("mov %w0, %%ds" : : "r"(0x50)); }
static void np_ss(u64 a) { asm volatile("mov %w0, %%ss" : : "r"(0x50)); }
static void gp_sel(u64 a) { asm volatile("mov %w0, %%ds" : : "r"(0x10 + 0x1000)); }
static void nm(u64 a) { asm volatile("fnop"); }
static void nm_sse(u64 a) { asm volatile("movaps %xmm0, %xmm1"); }
static void int_n(u64 a) { asm volatile("int $0x50"); }
static USER_TEXT void user_int_kernel(u64 a) { asm volatile("int $0x50"); }
static USER_TEXT void user_cli(u64 a) { asm volatile("cli"); }
static USER_TEXT void user_in(u64 a) { asm volatile("inb $0x80, %al"); }
static USER_TEXT void user_rdmsr(u64 a) { asm volatile("rdmsr" : : "c"(0x10) : "rax", "rdx"); }
static USER_TEXT void user_cr(u64 a) { asm volatile("mov %%cr0, %%rax" : : : "rax"); }
static USER_TEXT void user_bp(u64 a) { asm volatile("int3"); }
static USER_TEXT void user_syscall_off(u64 a) { asm volatile("sysretq"); }

static void faults(void)
{
	CHECK_EQ(trap_of(de, 0), V_DE);
	CHECK_EQ(trap_of(de_overflow, 0), V_DE);
	CHECK_EQ(trap_of(ud, 0), V_UD);
	CHECK_EQ(trap_of(ud_lock, 0), V_UD);
	CHECK_EQ(trap_of(gp_msr, 0), V_GP);
	CHECK_EQ(trap_of(gp_cr4, 0), V_GP);
	CHECK_EQ(trap_of(gp_cr0, 0), V_GP);
	CHECK_EQ(trap_of(gp_align, 0x300000), V_GP);
	CHECK_EQ(trap_of(gp_long, 0), V_GP);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(trap_of(ss_canonical, 0), V_SS);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(trap_of(gp_sel, 0), V_GP);
	CHECK_EQ(trap.f.error, 0x1010);
}

static void segments(void)
{
	boot_gdt[0x50 / 8] = 0x00cf13000000ffff; /* data, not present */
	CHECK_EQ(trap_of(np, 0), V_NP);
	CHECK_EQ(trap.f.error, 0x50);
	CHECK_EQ(trap_of(np_ss, 0), V_SS);
	CHECK_EQ(trap.f.error, 0x50);
	idt[0x50].lo &= ~(1ull << 47);
	CHECK_EQ(trap_of(int_n, 0), V_NP);
	CHECK_EQ(trap.f.error, 0x50 * 8 + 2);
	idt[0x50].lo |= 1ull << 47;
	CHECK_EQ(trap_of(int_n, 0), 0x50);
}

static void device_not_available(void)
{
	WRITE_CR(0, READ_CR(0) | CR0_TS);
	CHECK_EQ(trap_of(nm, 0), V_NM);
	CHECK_EQ(trap_of(nm_sse, 0), V_NM);
	asm volatile("clts");
	CHECK_EQ(trap_of(nm, 0), -1);
	CHECK_EQ(trap_of(nm_sse, 0), -1);
}

static void user(void)
{
	CHECK_EQ(user_call(user_int_kernel, 0), V_GP);
	CHECK_EQ(trap.f.error, 0x50 * 8 + 2);
	CHECK_EQ(user_call(user_cli, 0), V_GP);
	CHECK_EQ(user_call(user_in, 0), V_GP);
	CHECK_EQ(user_call(user_rdmsr, 0), V_GP);
	CHECK_EQ(user_call(user_cr, 0), V_GP);
	CHECK_EQ(user_call(user_bp, 0), V_BP);
	CHECK_EQ(*(u8 *)(trap.f.rip - 1), 0xcc);
	CHECK_EQ(user_call(user_syscall_off, 0), V_GP);
}

/* ---- alignment check: ring 3, CR0.AM, EFLAGS.AC ------------------------------------------------- */
static u64 words[2] USER_DATA;
static USER_TEXT void user_ac(u64 a)
{
	asm volatile("pushfq; orl $0x40000, (%%rsp); popfq; mov 1(%0), %%eax"
		     : : "r"(words) : "rax", "memory");
	user_return(0);
}

static void alignment(void)
{
	CHECK_EQ(user_call(user_ac, 0), V_USER_RETURN);
	WRITE_CR(0, READ_CR(0) | CR0_AM);
	CHECK_EQ(user_call(user_ac, 0), V_AC);
	CHECK_EQ(trap.f.error, 0);
	WRITE_CR(0, READ_CR(0) & ~CR0_AM);
}

/* ---- a handler that mends and goes on ------------------------------------------------------------- */
static volatile u32 hits;
static void skip2(struct frame *f) { f->rip += 2; hits++; }

static void resume(void)
{
	trap_handler(V_UD, skip2);
	for (int i = 0; i < 1000; i++)
		asm volatile("ud2");
	CHECK_EQ(hits, 1000);
	trap_handler(V_UD, NULL);
}

int guest_main(void)
{
	faults();
	segments();
	device_not_available();
	user();
	alignment();
	resume();
	return 0;
}
