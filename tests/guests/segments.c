/* SPDX-License-Identifier: Apache-2.0 */
/* FS and GS bases, SWAPGS, null and bad selectors, LAR/LSL/VERR/VERW, far returns, call gates, LDT. */
#include "guest/lib/guest.h"

static u64 fs_word = 0x1111, gs_word = 0x2222, kgs_word = 0x3333;

static u64 read_fs(void) { u64 v; asm volatile("mov %%fs:0, %0" : "=r"(v)); return v; }
static u64 read_gs(void) { u64 v; asm volatile("mov %%gs:0, %0" : "=r"(v)); return v; }

/* The comparison's flags are to be in the frame of the fault. */
static void wrfsbase(u64 a) { asm volatile("cmp %%eax, %%eax; wrfsbase %0" : : "r"(a)); }
static void wrgsbase(u64 a) { asm volatile("cmp %%eax, %%eax; wrgsbase %0" : : "r"(a)); }

static void bases(void)
{
	wrmsr(MSR_FS_BASE, (u64)&fs_word);
	wrmsr(MSR_GS_BASE, (u64)&gs_word);
	wrmsr(MSR_KERNEL_GS_BASE, (u64)&kgs_word);
	CHECK_EQ(read_fs(), 0x1111);
	CHECK_EQ(read_gs(), 0x2222);
	asm volatile("swapgs");
	CHECK_EQ(read_gs(), 0x3333);
	CHECK_EQ(rdmsr(MSR_KERNEL_GS_BASE), (u64)&gs_word);
	asm volatile("swapgs");
	CHECK_EQ(read_gs(), 0x2222);
	asm volatile("mov %w0, %%gs" : : "r"(0x18)); /* loads the base from the descriptor */
	CHECK_EQ(rdmsr(MSR_GS_BASE), 0);
	if (cpuid(7, 0).b & 1) {
		u64 v;

		WRITE_CR(4, READ_CR(4) | CR4_FSGSBASE);
		asm volatile("wrfsbase %0" : : "r"(&gs_word));
		CHECK_EQ(read_fs(), 0x2222);
		asm volatile("rdfsbase %0" : "=r"(v));
		CHECK_EQ(v, (u64)&gs_word);
		asm volatile("mov %1, %%r13; swapgs; wrgsbase %%r13; rdgsbase %%r14; swapgs; mov %%r14, %0"
			     : "=r"(v) : "r"(0xffff800000000000) : "r13", "r14");
		CHECK_EQ(v, 0xffff800000000000);
		CHECK_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0xffff800000000000);
		asm volatile("mov %1, %%r13; wrfsbase %%r13d; mov %%rsp, %%r14; rdfsbase %%r14d; mov %%r14, %0"
			     : "=r"(v) : "r"(0x7fffffff87654321) : "r13", "r14");
		CHECK_EQ(v, 0x87654321);
		CHECK_EQ(trap_of(wrfsbase, 1ull << 47), V_GP);
		CHECK_EQ(trap_of(wrgsbase, 1ull << 63), V_GP);
		CHECK_EQ(trap.f.rflags & 0x8d5, 0x44);
		CHECK_EQ(rdmsr(MSR_FS_BASE), 0x87654321);
		WRITE_CR(4, READ_CR(4) & ~CR4_FSGSBASE);
		wrmsr(MSR_KERNEL_GS_BASE, 0);
	}
}

static void selector_widths(void)
{
	u64 a = ~0ull, b = ~0ull, c = ~0ull;

	asm volatile("mov %0, %%r14; mov %%ss, %%r14w; mov %%r14, %0\n"
		     "mov %%ss, %w1; mov %%ss, %k2" : "+r"(a), "+r"(b), "+r"(c) : : "r14");
	CHECK_EQ(a, 0xffffffffffff0000 | (u16)c);
	CHECK_EQ(b, a);
	CHECK_EQ(c >> 16, 0);
}

static void write_bad_base(u64 a) { wrmsr(MSR_FS_BASE, a); }
static void load_fs(u64 a) { asm volatile("mov %w0, %%fs" : : "r"(a)); }
static void load_ss(u64 a) { asm volatile("mov %w0, %%ss; mov %w1, %%ss" : : "r"(a), "r"(0x18)); }
static void load_cs(u64 a) { asm volatile("mov %w0, %%cs" : : "r"(a)); }
static void rdfsbase_off(u64 a) { asm volatile("rdfsbase %%rax" : : : "rax"); }
static USER_TEXT void user_swapgs(u64 a) { asm volatile("swapgs"); }
static USER_TEXT void user_load_ds(u64 a) { asm volatile("mov %w0, %%ds" : : "r"(a)); user_return(1); }

static void selectors(void)
{
	CHECK_EQ(trap_of(write_bad_base, 1ull << 63), V_GP);
	CHECK_EQ(trap_of(load_fs, 0), -1);
	CHECK_EQ(trap_of(load_fs, 3), -1);
	CHECK_EQ(trap_of(load_fs, 0x18), -1);
	CHECK_EQ(trap_of(load_fs, 0x10), -1); /* readable code */
	CHECK_EQ(trap_of(load_fs, 0x40), V_GP); /* a TSS */
	CHECK_EQ(trap.f.error, 0x40);
	CHECK_EQ(trap_of(load_ss, 0), -1); /* 64-bit ring 0 may */
	CHECK_EQ(trap_of(load_ss, 0x2b), V_GP);
	CHECK_EQ(trap_of(load_ss, 0x10), V_GP);
	CHECK_EQ(trap_of(load_cs, 0x10), V_UD);
	CHECK_EQ(trap_of(rdfsbase_off, 0), V_UD);
	CHECK_EQ(user_call(user_swapgs, 0), V_GP);
	CHECK_EQ(user_call(user_load_ds, 0x18), V_GP);
	CHECK_EQ(trap.f.error, 0x18);
	CHECK_EQ(user_call(user_load_ds, 0x2b), V_USER_RETURN);
	CHECK_EQ(user_call(user_load_ds, 0), V_USER_RETURN);
	asm volatile("mov %w0, %%ds; mov %w0, %%es" : : "r"(0x18));
}

struct lres { u64 v; bool zf; };
static struct lres lar(u16 sel)
{
	struct lres r = { .v = 0xdead };

	asm volatile("lar %w2, %k0" : "+r"(r.v), "=@ccz"(r.zf) : "r"(sel));
	return r;
}
static struct lres lsl(u16 sel)
{
	struct lres r = { .v = 0xdead };

	asm volatile("lsl %w2, %k0" : "+r"(r.v), "=@ccz"(r.zf) : "r"(sel));
	return r;
}
static bool verr(u16 sel) { bool z; asm volatile("verr %w1" : "=@ccz"(z) : "r"(sel)); return z; }
static bool verw(u16 sel) { bool z; asm volatile("verw %w1" : "=@ccz"(z) : "r"(sel)); return z; }

static void queries(void)
{
	struct lres r = lar(0x10);

	CHECK(r.zf);
	CHECK_EQ(r.v & 0xf0ff00, 0xa09b00); /* bits 19:16 are undefined */
	r = lar(0x2b);
	CHECK_EQ(r.v & 0xf0ff00, 0xc0f300);
	r = lsl(0x18);
	CHECK(r.zf);
	CHECK_EQ(r.v, 0xffffffff);
	r = lsl(0x40);
	CHECK(r.zf);
	CHECK_EQ(r.v, sizeof(struct tss64) - 1);
	r = lar(0);
	CHECK(!r.zf);
	CHECK_EQ(r.v, 0xdead);
	r = lar(0x1000);
	CHECK(!r.zf);
	CHECK(verr(0x10));
	CHECK(!verw(0x10));
	CHECK(verw(0x18));
	CHECK(!verw(0x40));
	CHECK(!verr(0));
}

/* ---- far transfers ----------------------------------------------------------------------------------- */

static void far_return_bad(u64 sel)
{
	asm volatile("push %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" : : "r"(sel) : "rax", "memory");
}

static void far_return(void)
{
	u64 ok = 0;

	asm volatile("push $0x10; lea 1f(%%rip), %%rax; push %%rax; lretq; ud2; 1: mov $1, %0"
		     : "=r"(ok) : : "rax", "memory");
	CHECK_EQ(ok, 1);
	CHECK_EQ(trap_of(far_return_bad, 0), V_GP);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(trap_of(far_return_bad, 0x18), V_GP);
	CHECK_EQ(trap.f.error, 0x18);
	CHECK_EQ(trap_of(far_return_bad, 0x1000), V_GP);
	CHECK_EQ(trap.f.error, 0x1000);
}

/* A 64-bit call gate, 0x50: from ring 0 and from ring 3. */
extern u8 gate_entry[];
u64 gate_cs, gate_ss, gate_caller_cs; /* written by the assembly */
asm(".text\ngate_entry:\n"
    "	mov %cs, gate_cs(%rip)\n"
    "	mov %ss, gate_ss(%rip)\n"
    "	mov 8(%rsp), %rdx\n"
    "	mov %rdx, gate_caller_cs(%rip)\n"
    "	lretq\n");
static struct { u64 off; u16 sel; } __attribute__((packed)) gate_ptr USER_DATA = { 0, 0x50 };
static USER_TEXT void user_gate(u64 a)
{
	asm volatile("mov $7, %%eax; rex.w lcall *%0" : : "m"(gate_ptr) : "rax", "rdx", "memory");
	user_return(5);
}

static void call_gate(void)
{
	u64 e = (u64)gate_entry;

	boot_gdt[10] = (e & 0xffff) | 0x10ull << 16 | 0xecull << 40 | (e >> 16 & 0xffff) << 48;
	boot_gdt[11] = e >> 32;
	asm volatile("rex.w lcall *%0" : : "m"(gate_ptr) : "rdx", "memory");
	CHECK_EQ(gate_cs & 0xffff, 0x10);
	CHECK_EQ(gate_caller_cs, 0x10);
	CHECK_EQ(user_call(user_gate, 0), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 5);
	CHECK_EQ(trap.f.cs, 0x33);
	CHECK_EQ(gate_cs & 0xffff, 0x10);
	CHECK_EQ(gate_ss & 0xffff, 0);
	CHECK_EQ(gate_caller_cs, 0x33);
	boot_gdt[10] &= ~(3ull << 45); /* DPL 0 */
	CHECK_EQ(user_call(user_gate, 0), V_GP);
	CHECK_EQ(trap.f.error, 0x50);
}

static void ldt(void)
{
	static u64 table[2];
	u64 a = (u64)table;
	u16 sel = 0;

	table[1] = boot_gdt[3];
	boot_gdt[10] = 15 | (a & 0xffffff) << 16 | 0x82ull << 40 | (a >> 24 & 0xff) << 56;
	boot_gdt[11] = a >> 32;
	asm volatile("lldt %w0" : : "r"(0x50));
	asm volatile("sldt %0" : "=m"(sel));
	CHECK_EQ(sel, 0x50);
	CHECK_EQ(trap_of(load_fs, 0xc), -1);
	asm volatile("lldt %w0" : : "r"(0));
	CHECK_EQ(trap_of(load_fs, 0xc), V_GP);
	asm volatile("mov %w0, %%fs; mov %w0, %%gs" : : "r"(0));
}

int guest_main(void)
{
	bases();
	selectors();
	selector_widths();
	queries();
	far_return();
	call_gate();
	ldt();
	return 0;
}
