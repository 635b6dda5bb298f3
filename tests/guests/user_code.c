/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code of ring 3 that changes: rewritten by the kernel under the program, by the program itself through
 * another mapping or between two protections, as just-in-time compilers do; pages exchanged; and code of
 * the kernel's that the program writes into.
 */
#include "guest/lib/guest.h"

#define X GUEST_VA            /* where the code is run */
#define W (GUEST_VA + 0x8000) /* the same page, where it is written */
#define RW (PTE_P | PTE_W | PTE_U | PTE_NX)
#define RX (PTE_P | PTE_U)
#define ROUNDS 300u

static u64 cr3, page, other;
static void (*on_call)(struct frame *);

static void sys_call(struct frame *f) { on_call(f); }

static inline __attribute__((always_inline)) u64 call(u64 v)
{
	asm volatile("int $0x42" : "+a"(v) : : "memory");
	return v;
}

/* mov eax, imm32; ret */
static inline __attribute__((always_inline)) void write_code(u64 at, u32 imm)
{
	*(volatile u8 *)at = 0xb8;
	*(volatile u32 *)(at + 1) = imm;
	*(volatile u8 *)(at + 5) = 0xc3;
}

static inline __attribute__((always_inline)) u64 run(u64 at)
{
	return ((u64(*)(void))at)();
}

/*
 * ---- the kernel changes it
 * ------------------------------------------------------------------------------------
 */

/* Runs the code `rounds` times; the kernel has changed it before each, and says what it is to return. */
static USER_TEXT void runner(u64 rounds)
{
	u64 wrong = 0;

	for (u64 i = 0; i < rounds; i++) {
		u64 want = call(i);

		wrong += run(X) != want;
		wrong += run(X) != want;
	}
	user_return(wrong);
}

static void rewrite(struct frame *f)
{
	f->rax = f->rax * 0x01000193u & 0xffffffff;
	write_code(page, (u32)f->rax);
}

static void exchange(struct frame *f)
{
	u64 to = f->rax & 1 ? page : other;

	page_map(cr3, X, to, RX, 12);
	f->rax = f->rax & 1 ? 'p' : 'o';
}

/* Not there for a moment, in which it changes: nobody flushes what was not there. */
static void rewrite_absent(struct frame *f)
{
	*page_entry(cr3, X, 12) = 0;
	invlpg(X);
	rewrite(f);
	*page_entry(cr3, X, 12) = page | RX;
}

static void by_the_kernel(void)
{
	static void (*const ways[])(struct frame *) = { rewrite, exchange, rewrite_absent };

	for (unsigned i = 0; i < 3; i++) {
		write_code(page, 'p');
		write_code(other, 'o');
		page_map(cr3, X, page, RX, 12);
		on_call = ways[i];
		CHECK_EQ(user_call(runner, ROUNDS), V_USER_RETURN);
		CHECK_EQ(trap.f.rax, 0);
	}
}

/*
 * ---- the program changes it
 * -----------------------------------------------------------------------------------
 */

/* Two mappings at once: seen at the next call, with nothing in between. */
static USER_TEXT void two_mappings(u64 rounds)
{
	u64 wrong = 0;

	for (u64 i = 0; i < rounds; i++) {
		write_code(W, (u32)i);
		wrong += run(X) != i;
		*(volatile u32 *)(W + 1) = (u32)~i;
		wrong += run(X) != (u32)~i;
	}
	user_return(wrong);
}

/* One mapping, either writable or executable. */
static USER_TEXT void two_protections(u64 rounds)
{
	u64 wrong = 0;

	for (u64 i = 0; i < rounds; i++) {
		call(RW);
		write_code(X, (u32)i);
		call(RX);
		wrong += run(X) != i;
	}
	user_return(wrong);
}

/* Writable and executable at once. */
static USER_TEXT void one_mapping(u64 rounds)
{
	u64 wrong = 0;

	for (u64 i = 0; i < rounds; i++) {
		write_code(X + 0x100, (u32)i);
		wrong += run(X + 0x100) != i;
	}
	user_return(wrong);
}

static void set_protection(struct frame *f)
{
	page_map(cr3, X, page, f->rax, 12);
}

static void by_the_program(void)
{
	page_map(cr3, X, page, RX, 12);
	page_map(cr3, W, page, RW, 12);
	CHECK_EQ(user_call(two_mappings, ROUNDS), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0);
	page_map(cr3, W, 0, 0, 12);
	on_call = set_protection;
	CHECK_EQ(user_call(two_protections, ROUNDS), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0);
	page_map(cr3, X, page, PTE_P | PTE_W | PTE_U, 12);
	CHECK_EQ(user_call(one_mapping, ROUNDS), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0);
}

/*
 * ---- code of the kernel's
 * ---------------------------------------------------------------------------------------
 */

/* The page is the kernel's to execute and the program's to write. */
static USER_TEXT void kernels_code(u64 rounds)
{
	u64 wrong = 0;

	for (u64 i = 0; i < rounds; i++) {
		write_code(W, (u32)(i ^ 0x1234567));
		wrong += call(0) != (i ^ 0x1234567);
		*(volatile u32 *)(W + 2048) = (u32)i; /* data beside it */
		wrong += call(0) != (i ^ 0x1234567);
	}
	user_return(wrong);
}

static void run_in_kernel(struct frame *f)
{
	f->rax = run(page);
}

static void in_the_kernel(void)
{
	write_code(page, 1);
	CHECK_EQ(run(page), 1);
	page_map(cr3, X, 0, 0, 12);
	page_map(cr3, W, page, RW, 12);
	on_call = run_in_kernel;
	CHECK_EQ(user_call(kernels_code, ROUNDS), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 0);
	page_map(cr3, W, 0, 0, 12);
}

/*
 * ---- code that tells of the CPU turns up in a page that had none
 * ---------------------------------------------------
 */

/* rdtsc; shl $32, %rdx; or %rdx, %rax; ret. And CPUID's leaf 1: its EBX and ECX. */
static const u8 tsc_code[] = { 0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0xc3 };
static const u8 cpuid_code[] = { 0x53, 0xb8, 1, 0, 0, 0, 0x0f, 0xa2, 0x89, 0xd8, 0x48, 0xc1, 0xe0, 0x20, 0x48, 0x09, 0xc8,
				 0x5b, 0xc3 };

static void put(const u8 *code, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		((volatile u8 *)page)[i] = code[i];
}

static USER_TEXT void run_once(u64 a) { user_return(run(a)); }

static void new_page_of(const u8 *code, unsigned n)
{
	write_code(page, 5);
	page_map(cr3, X, page, RX, 12);
	CHECK_EQ(user_call(run_once, X), V_USER_RETURN);
	CHECK_EQ(trap.f.rax, 5);
	page_map(cr3, X, 0, 0, 12);
	put(code, n);
	page_map(cr3, X, page, RX, 12);
	CHECK_EQ(user_call(run_once, X), V_USER_RETURN);
}

static void tells_of_the_cpu(void)
{
	struct cpuid c = cpuid(1, 0);
	u64 before;

	for (unsigned i = 0; i < 10; i++) {
		before = rdtsc();
		new_page_of(tsc_code, sizeof(tsc_code));
		CHECK(trap.f.rax >= before);
		CHECK(trap.f.rax <= rdtsc());
		new_page_of(cpuid_code, sizeof(cpuid_code));
		CHECK_EQ(trap.f.rax, (u64)c.b << 32 | c.c);
	}
}

int guest_main(void)
{
	user_as_os();
	cr3 = READ_CR(3);
	page = page_alloc();
	other = page_alloc();
	page_map(cr3, X, page, RX, 12);
	trap_handler(V_SYSTEM_CALL, sys_call);
	by_the_kernel();
	by_the_program();
	in_the_kernel();
	tells_of_the_cpu();
	return 0;
}
