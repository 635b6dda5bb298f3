/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ring 3 may not do, or not without the kernel's learning of it: the vector, error code and RIP of every
 * exception; and what instructions tell that depend on the CPU: the same as in the kernel.
 */
#include "guest/lib/guest.h"

#define VA GUEST_VA

/* A piece of code and the place in it that traps. */
#define SNIPPET_IN(section, name, before, at, after) \
	extern u8 name[], name##_at[]; \
	asm(".pushsection " section ", \"ax\"\n" \
	    ".globl " #name ", " #name "_at\n" #name ": " before "\n" #name "_at: " at "\n" after "\n" \
	    "mov $0x1bad, %eax; int $0x41\n.popsection\n")
#define SNIPPET(name, before, at) SNIPPET_IN(".user.text", name, before, at, "")
#define FAULT(name, at) SNIPPET(name, "", at)

SNIPPET(de_div, "mov $1, %eax; xor %edx, %edx; xor %ecx, %ecx", "div %ecx");
SNIPPET(de_idiv, "mov $1 << 31, %eax; mov $-1, %edx; mov $-1, %ecx", "idiv %ecx");
SNIPPET(de_64, "mov $1, %eax; mov $5, %edx; mov $4, %ecx", "div %rcx");
FAULT(ud_2, "ud2");
FAULT(ud_1, ".byte 0x0f, 0xb9, 0xc0");
FAULT(ud_push_es, ".byte 0x06");
FAULT(ud_lock, ".byte 0xf0, 0x90");
FAULT(ud_lock_reg, ".byte 0xf0, 0x01, 0xc0");
FAULT(ud_mov_cs, "mov %eax, %eax; .byte 0x8e, 0xc8");
FAULT(gp_hlt, "hlt");
FAULT(gp_cli, "cli");
FAULT(gp_sti, "sti");
SNIPPET(gp_in, "mov $0x80, %edx", "in (%dx), %al");
SNIPPET(gp_out, "mov $0x80, %edx", "out %al, (%dx)");
FAULT(gp_in_imm, "inb $0x60, %al");
SNIPPET(gp_outs, "mov $0x80, %edx; lea user_words(%rip), %rsi", "outsb");
SNIPPET(gp_rdmsr, "mov $0xc0000080, %ecx", "rdmsr");
SNIPPET(gp_wrmsr, "mov $0xc0000100, %ecx", "wrmsr");
FAULT(gp_read_cr0, "mov %cr0, %rax");
FAULT(gp_write_cr3, "mov %rax, %cr3");
FAULT(gp_read_cr8, "mov %cr8, %rax");
FAULT(gp_read_dr7, "mov %db7, %rax");
FAULT(gp_write_dr0, "mov %rax, %db0");
FAULT(gp_invlpg, "invlpg (%rsp)");
FAULT(gp_wbinvd, "wbinvd");
FAULT(gp_invd, "invd");
FAULT(gp_clts, "clts");
FAULT(gp_swapgs, "swapgs");
FAULT(gp_sysret, "sysretq");
FAULT(gp_lmsw, "lmsw %ax");
FAULT(gp_lgdt, "lgdt user_words(%rip)");
FAULT(gp_lidt, "lidt user_words(%rip)");
FAULT(gp_ltr, "ltr %ax");
FAULT(gp_lldt, "lldt %ax");
SNIPPET(gp_xsetbv, "xor %ecx, %ecx; xor %edx, %edx; mov $1, %eax", "xsetbv");
SNIPPET(gp_movaps, "lea user_words + 1(%rip), %rax", "movaps (%rax), %xmm0");
SNIPPET(gp_far, "mov $1 << 63, %rax; shr $1, %rax", "mov (%rax), %rcx");
SNIPPET(gp_far_store, "mov $1 << 63, %rax; shr $1, %rax", "lock incl (%rax)");
SNIPPET(ss_far, "mov %rsp, %r14; mov $1 << 63, %rbp; shr $1, %rbp", "mov 8(%rbp), %rcx");
SNIPPET(ss_push, "mov $1 << 63, %rsp; shr $1, %rsp", "push %rax");
SNIPPET(gp_mov_ss, "xor %eax, %eax", "mov %eax, %ss");
SNIPPET(gp_mov_ds, "mov $0x10, %eax", "mov %eax, %ds");
SNIPPET(gp_mov_fs_beyond, "mov $0xfff3, %eax", "mov %eax, %fs");
FAULT(gp_int_50, "int $0x50");
SNIPPET_IN(".user.special", gp_int_80, "", "int $0x80", "");
FAULT(gp_int_2, "int $2");
FAULT(gp_int_13, "int $13");
FAULT(gp_int_14, "int $14");
SNIPPET(gp_long, "", ".byte 0x2e,0x3e,0x26,0x36,0x64,0x65,0x2e,0x3e,0x26,0x36,0x64,0x65,0x2e,0x3e,0x26,0x90");
SNIPPET(mf, "fninit; fldcw cw(%rip); fld1; fldz; fdivrp", "fwait");
SNIPPET(xm, "ldmxcsr csr(%rip); xorps %xmm1, %xmm1; mov $0x3f800000, %eax; movd %eax, %xmm0",
	"divss %xmm1, %xmm0");
SNIPPET(ac, "pushfq; orl $0x40000, (%rsp); popfq", "mov user_words + 1(%rip), %eax");

u64 user_words[4] USER_DATA;
u16 cw USER_DATA = 0x37b;   /* zero divide unmasked */
u32 csr USER_DATA = 0x1d80; /* likewise */

#define ROW(name, vector, error) { #name, name, name##_at, vector, error }
static const struct {
	const char *name;
	u8 *code, *at;
	int vector;
	u64 error;
} rows[] = {
	ROW(de_div, V_DE, 0), ROW(de_idiv, V_DE, 0), ROW(de_64, V_DE, 0),
	ROW(ud_2, V_UD, 0), ROW(ud_1, V_UD, 0), ROW(ud_push_es, V_UD, 0), ROW(ud_lock, V_UD, 0), ROW(ud_lock_reg, V_UD, 0),
	ROW(gp_hlt, V_GP, 0), ROW(gp_cli, V_GP, 0), ROW(gp_sti, V_GP, 0), ROW(gp_in, V_GP, 0), ROW(gp_out, V_GP, 0),
	ROW(gp_in_imm, V_GP, 0), ROW(gp_outs, V_GP, 0), ROW(gp_rdmsr, V_GP, 0), ROW(gp_wrmsr, V_GP, 0),
	ROW(gp_read_cr0, V_GP, 0), ROW(gp_write_cr3, V_GP, 0), ROW(gp_read_cr8, V_GP, 0), ROW(gp_read_dr7, V_GP, 0),
	ROW(gp_write_dr0, V_GP, 0), ROW(gp_invlpg, V_GP, 0), ROW(gp_wbinvd, V_GP, 0), ROW(gp_invd, V_GP, 0),
	ROW(gp_clts, V_GP, 0), ROW(gp_swapgs, V_GP, 0), ROW(gp_sysret, V_GP, 0), ROW(gp_lmsw, V_GP, 0),
	ROW(gp_lgdt, V_GP, 0), ROW(gp_lidt, V_GP, 0), ROW(gp_ltr, V_GP, 0), ROW(gp_lldt, V_GP, 0), ROW(gp_xsetbv, V_GP, 0),
	ROW(gp_movaps, V_GP, 0), ROW(gp_far, V_GP, 0), ROW(gp_far_store, V_GP, 0), ROW(ss_far, V_SS, 0),
	ROW(ss_push, V_SS, 0), ROW(gp_mov_ss, V_GP, 0), ROW(gp_mov_ds, V_GP, 0x10),
	ROW(gp_mov_fs_beyond, V_GP, 0xfff0), ROW(gp_int_50, V_GP, 0x50 * 8 + 2), ROW(gp_int_80, V_GP, 0x80 * 8 + 2),
	ROW(gp_int_2, V_GP, 2 * 8 + 2), ROW(gp_int_13, V_GP, 13 * 8 + 2), ROW(gp_int_14, V_GP, 14 * 8 + 2),
	ROW(gp_long, V_GP, 0), ROW(mf, V_MF, 0), ROW(xm, V_XM, 0),
};

static void call_snippet(const char *name, u8 *code, u8 *at, int vector, u64 error)
{
	int v = user_call((void (*)(u64))code, 0);

	if (v == vector && trap.f.error == error && trap.f.rip == (u64)at)
		return;
	print("%s: vector %d error %lx rip %lx (at %p)\n", name, v, trap.f.error, trap.f.rip, at);
	CHECK_EQ(v, vector);
}

static void exceptions(void)
{
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int twice = 0; twice < 2; twice++)
			call_snippet(rows[i].name, rows[i].code, rows[i].at, rows[i].vector, rows[i].error);
	WRITE_CR(0, READ_CR(0) | CR0_AM);
	call_snippet("ac", ac, ac_at, V_AC, 0);
	WRITE_CR(0, READ_CR(0) & ~CR0_AM);
	CHECK_EQ(user_call((void (*)(u64))ac, 0), V_USER_RETURN);
}

/*
 * ---- traps: RIP is behind the instruction
 * ------------------------------------------------------------------------
 */

SNIPPET(bp, "int3", "nop");
SNIPPET(bp_long, ".byte 0xcd, 3", "nop");
SNIPPET(of, "int $4", "nop");
SNIPPET(icebp, ".byte 0xf1", "nop");
/* TF: the instruction after POPF is stepped, so is each one after it; the trap ends it here. */
SNIPPET(step, "pushfq; orl $0x100, (%rsp); popfq; inc %rbx", "nop");

static void traps(void)
{
	for (int twice = 0; twice < 2; twice++) {
		call_snippet("bp", bp, bp_at, V_BP, 0);
		call_snippet("bp_long", bp_long, bp_long_at, V_BP, 0);
		call_snippet("of", of, of_at, V_OF, 0);
		call_snippet("icebp", icebp, icebp_at, V_DB, 0);
		call_snippet("step", step, step_at, V_DB, 0);
		CHECK_EQ(trap.f.rflags & 0x100, 0x100);
	}
}

/*
 * ---- what the CPU tells
 * ---------------------------------------------------------------------------------------------
 */

static USER_SPECIAL void user_cpuid(u64 leaf)
{
	struct cpuid r = cpuid((u32)leaf, (u32)(leaf >> 32));

	user_words[0] = (u64)r.a << 32 | r.b;
	user_words[1] = (u64)r.c << 32 | r.d;
	user_return(0);
}

static USER_SPECIAL void user_rdtsc(u64 n)
{
	user_return(rdtsc());
}

static USER_SPECIAL void user_rdtscp(u64 n)
{
	u32 lo, hi, aux;

	asm volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(aux));
	user_words[0] = aux;
	user_return(lo | (u64)hi << 32);
}

static USER_SPECIAL void user_rdpid(u64 n)
{
	u64 v;

	asm volatile(".byte 0xf3, 0x0f, 0xc7, 0xf8" : "=a"(v));
	user_return(v);
}

static USER_SPECIAL void user_xgetbv(u64 n)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"((u32)n));
	user_return(lo | (u64)hi << 32);
}

/* Selectors, and what reads the tables: LSL and LAR of the TSS (ring 0's: not readable), SLDT, STR, SMSW. */
static USER_SPECIAL void user_segments(u64 n)
{
	u64 cs, ss, ds, es, fs, gs, limit = 5, tr, cr0;
	bool readable;

	asm volatile("mov %%cs, %0; mov %%ss, %1; mov %%ds, %2; mov %%es, %3; mov %%fs, %4; mov %%gs, %5"
		     : "=r"(cs), "=r"(ss), "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
	asm volatile("lsl %2, %0" : "+r"(limit), "=@ccz"(readable) : "r"(0x10ull));
	asm volatile("str %0; smsw %1" : "=r"(tr), "=r"(cr0));
	user_words[0] = cs << 48 | ss << 32 | ds << 16 | es;
	user_words[1] = fs << 16 | gs | limit << 32 | (u64)readable << 63;
	user_words[2] = tr << 32 | (u32)cr0;
	asm volatile("lsl %2, %0" : "+r"(limit), "=@ccz"(readable) : "r"(0x2bull));
	user_return(readable ? limit : 0);
}

static void cpuids(void)
{
	static const u64 leaves[] = { 0, 1, 2, 4, 7, 0xd, 1ull << 32 | 0xd, 0x40000000, 0x40000001, 0x80000000,
				      0x80000001, 0x80000002, 0x80000008 };

	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		struct cpuid k = cpuid((u32)leaves[i], (u32)(leaves[i] >> 32));
		u32 but = leaves[i] == 1 ? 0xff000000 : 0; /* the APIC ID: on a bare CPU the host's, at the moment */

		CHECK_EQ(user_call(user_cpuid, leaves[i]), V_USER_RETURN);
		CHECK_EQ(user_words[0] >> 32, k.a);
		CHECK_EQ((u32)user_words[0] & ~but, k.b & ~but);
		CHECK_EQ(user_words[1] >> 32, k.c);
		CHECK_EQ((u32)user_words[1], k.d);
	}
}

static void time(void)
{
	u64 cr4 = READ_CR(4), before;

	wrmsr(0xc0000103, 0x1234567); /* TSC_AUX */
	for (int i = 0; i < 20; i++) {
		before = rdtsc();
		CHECK_EQ(user_call(i & 1 ? user_rdtscp : user_rdtsc, 0), V_USER_RETURN);
		CHECK(trap.f.rax >= before);
		CHECK(trap.f.rax <= rdtsc());
	}
	CHECK_EQ(user_words[0], 0x1234567);
	if (cpuid(7, 0).c >> 22 & 1) {
		CHECK_EQ(user_call(user_rdpid, 0), V_USER_RETURN);
		CHECK_EQ(trap.f.rax, 0x1234567);
	}
	WRITE_CR(4, cr4 | 4); /* TSD */
	CHECK_EQ(user_call(user_rdtsc, 0), V_GP);
	CHECK_EQ(user_call(user_rdtscp, 0), V_GP);
	WRITE_CR(4, cr4);
	CHECK_EQ(user_call(user_rdtsc, 0), V_USER_RETURN);
}

static void others(void)
{
	CHECK_EQ(user_call(user_segments, 0), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0xffffffff);
	CHECK_EQ(user_words[0], 0x33ull << 48 | 0x2bull << 32);
	CHECK_EQ(user_words[1], 5ull << 32);
	CHECK_EQ(user_words[2] >> 32, 0x40);
	CHECK_EQ((u32)user_words[2], (u32)READ_CR(0));
	if (!(READ_CR(4) & CR4_OSXSAVE))
		return;
	CHECK_EQ(user_call(user_xgetbv, 0), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, cpuid(0xd, 0).a);
	WRITE_CR(4, READ_CR(4) & ~CR4_OSXSAVE);
	CHECK_EQ(user_call(user_xgetbv, 0), V_UD);
	WRITE_CR(4, READ_CR(4) | CR4_OSXSAVE);
}

/*
 * ---- memory that is none: a device's place, mapped for ring 3
 * ----------------------------------------------------------
 */

static USER_TEXT void device_read(u64 a)
{
	user_return(*(volatile u32 *)a);
}

static void device(void)
{
	page_map(READ_CR(3), VA, 0xd0000000, PTE_P | PTE_W | PTE_U | PTE_NX, 12);
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(user_call(device_read, VA + 16), V_USER_RETURN);
		CHECK_EQ(trap.f.rax, 0xffffffff);
	}
}

int guest_main(void)
{
	user_as_os();
	exceptions();
	traps();
	cpuids();
	time();
	others();
	device();
	return 0;
}
