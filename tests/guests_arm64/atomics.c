/* SPDX-License-Identifier: Apache-2.0 */
/* Exclusives and LSE atomics on one CPU: every size, the monitor's rules, faults. */
#include "tests/guests_arm64/lib.h"

static u64 word[4] __attribute__((aligned(64)));

#define asm_u64(text, ...) \
	({ \
		u64 r_; \
		__asm__ volatile(text : "=&r"(r_) : __VA_ARGS__ : "memory"); \
		r_; \
	})

static void exclusives(void)
{
	u64 v, st;

	word[0] = 0x1122334455667788;
	__asm__ volatile("ldxr %0, [%2]\nadd %0, %0, #1\nstxr %w1, %0, [%2]"
			 : "=&r"(v), "=&r"(st) : "r"(word) : "memory");
	check_eq(st, 0);
	check_eq(word[0], 0x1122334455667789);
	__asm__ volatile("stxr %w0, %1, [%2]"
			 : "=&r"(st) : "r"(v), "r"(word) : "memory"); /* monitor is open */
	check_eq(st, 1);
	__asm__ volatile("ldxr %0, [%2]\nclrex\nstxr %w1, %0, [%2]"
			 : "=&r"(v), "=&r"(st) : "r"(word) : "memory");
	check_eq(st, 1);
	__asm__ volatile("ldxr %0, [%2]\nstxr %w1, %0, [%3]"
			 : "=&r"(v), "=&r"(st) : "r"(word), "r"(word + 1) : "memory");
	check_eq(st, 1); /* another address */
	__asm__ volatile("ldxr %0, [%2]\nstr xzr, [%2]\nstxr %w1, %0, [%2]"
			 : "=&r"(v), "=&r"(st) : "r"(word) : "memory");
	check_eq(st, 1); /* another value */
	check_eq(word[0], 0);
	__asm__ volatile("ldxr %0, [%2]\nsvc #0\nstxr %w1, %0, [%2]"
			 : "=&r"(v), "=&r"(st) : "r"(word) : "memory");
	check_eq(st, 1); /* ERET clears the monitor */
}

static void exclusive_sizes(void)
{
	u64 v, w, st;

	word[0] = 0xffffffffffffff80;
	__asm__ volatile("ldaxrb %w0, [%2]\nadd %w0, %w0, #1\nstlxrb %w1, %w0, [%2]"
			 : "=&r"(v), "=&r"(st) : "r"(word) : "memory");
	check_eq(v, 0x81);
	check_eq(word[0], 0xffffffffffffff81);
	__asm__ volatile("ldaxrh %w0, [%2]\nadd %w0, %w0, #1\nstlxrh %w1, %w0, [%2]"
			 : "=&r"(v), "=&r"(st) : "r"(word) : "memory");
	check_eq(v, 0xff82);
	__asm__ volatile("ldaxr %w0, [%2]\nadd %w0, %w0, #1\nstlxr %w1, %w0, [%2]"
			 : "=&r"(v), "=&r"(st) : "r"(word) : "memory");
	check_eq(v, 0xffffff83);
	check_eq(word[0], 0xffffffffffffff83);
	word[1] = 7;
	__asm__ volatile("ldxp %0, %1, [%3]\nadd %1, %1, #1\nstxp %w2, %0, %1, [%3]"
			 : "=&r"(v), "=&r"(w), "=&r"(st) : "r"(word) : "memory");
	check_eq(st, 0);
	check_eq(word[1], 8);
	check_eq(word[0], 0xffffffffffffff83);
	__asm__ volatile("ldxp %w0, %w1, [%3]\nstxp %w2, %w1, %w0, [%3]"
			 : "=&r"(v), "=&r"(w), "=&r"(st) : "r"(word) : "memory");
	check_eq(word[0], 0xffffff83ffffffff);
}

#define LSE(insn, old, operand, want) \
	do { \
		word[0] = (old); \
		check_eq(asm_u64(insn " %1, %0, [%2]", "r"((u64)(operand)), "r"(word)), (u64)(old)); \
		check_eq(word[0], (u64)(want)); \
	} while (0)
#define LSEB(insn, old, operand, want) \
	do { \
		word[0] = (old) | 0xabcdef00; \
		check_eq(asm_u64(insn " %w1, %w0, [%2]", "r"((u64)(operand)), "r"(word)), (u64)(old)); \
		check_eq(word[0], (u64)(want) | 0xabcdef00); \
	} while (0)

static void lse(void)
{
	LSE("ldadd", 5, 7, 12);
	LSE("ldaddal", ~0ul, 1, 0);
	LSE("ldclr", 0xff, 0x0f, 0xf0);
	LSE("ldeor", 0xff, 0x0f, 0xf0);
	LSE("ldset", 0xf0, 0x0f, 0xff);
	LSE("ldsmax", (u64)-5, 3, 3);
	LSE("ldsmin", (u64)-5, 3, -5);
	LSE("ldumax", (u64)-5, 3, -5);
	LSE("ldumin", (u64)-5, 3, 3);
	LSE("swpal", 1, 2, 2);
	LSEB("ldaddb", 0xff, 2, 1);
	LSEB("ldsmaxb", 0x80, 0x7f, 0x7f);
	LSEB("ldumaxb", 0x80, 0x7f, 0x80);
	LSEB("ldsminalb", 0x80, 0x7f, 0x80);
	LSEB("swpb", 0x80, 0x1234, 0x34);
	word[0] = 0x80000000ffffffff;
	check_eq(asm_u64("ldadd %w1, %w0, [%2]", "r"(1), "r"(word)), 0xffffffff);
	check_eq(word[0], 0x8000000000000000);
}

static void cas(void)
{
	u64 old = 5;

	word[0] = 5;
	__asm__ volatile("cas %0, %1, [%2]" : "+r"(old) : "r"(9ul), "r"(word) : "memory");
	check_eq(old, 5);
	check_eq(word[0], 9);
	__asm__ volatile("casal %0, %1, [%2]" : "+r"(old) : "r"(11ul), "r"(word) : "memory");
	check_eq(old, 9);
	check_eq(word[0], 9);
	word[0] = 0xffffffffffffff12;
	old = 0xabcd12; /* the upper bits do not count */
	__asm__ volatile("casb %w0, %w1, [%2]" : "+r"(old) : "r"(0x34ul), "r"(word) : "memory");
	check_eq(old, 0x12);
	check_eq(word[0], 0xffffffffffffff34);
}

static void casp(void)
{
	register u64 x0 __asm__("x0") = 1;
	register u64 x1 __asm__("x1") = 2;
	register u64 x2 __asm__("x2") = 3;
	register u64 x3 __asm__("x3") = 4;

	word[0] = 1;
	word[1] = 2;
	__asm__ volatile("casp x0, x1, x2, x3, [%4]"
			 : "+r"(x0), "+r"(x1) : "r"(x2), "r"(x3), "r"(word) : "memory");
	check_eq(word[0], 3);
	check_eq(word[1], 4);
	__asm__ volatile("caspal x0, x1, x2, x3, [%4]"
			 : "+r"(x0), "+r"(x1) : "r"(x2), "r"(x3), "r"(word) : "memory");
	check_eq(word[0], 3); /* (1, 2) as read is not what is there */
	check_eq(x0, 3);
	check_eq(x1, 4);
}

#define faults_with(iss, at, insn) \
	do { \
		expect_esr(ESR(0x25, iss), __asm__ volatile("mov x9, %0\n" insn \
							    : \
							    : "r"((u64)(at)) \
							    : "x0", "x1", "x2", "x3", "x9", "memory")); \
		check_eq(taken[0].far, (u64)(at)); \
	} while (0)

/* The page has just been read. Nothing of it changes, the monitor stays closed. */
static void read_only(u64 va)
{
	faults_with(0x4f, va + 8, "ldr x0, [x9]\nswpal x0, x1, [x9]");
	faults_with(0x4f, va, "ldset x0, x1, [x9]");
	faults_with(0x4f, va, "ldumaxb w0, w1, [x9]");
	faults_with(0x4f, va, "caspal x0, x1, x2, x3, [x9]");
	faults_with(0x4f, va + 16, "ldxp x0, x1, [x9]\nstlxp w2, x0, x1, [x9]");
	faults_with(0x4f, va + 2, "ldaxrh w0, [x9]\nstlxrh w1, w0, [x9]");
}

/* RAM that is read and written all the time; an exclusive store is a store (WnR), an atomic is none. */
static void misaligned(void)
{
	u64 at = (u64)word;

	for (u32 k = 0; k < 2; k++) {
		word[0] = 1;
		faults_with(0x21, at + 1, "ldxrh w0, [x9]");
		faults_with(0x21, at + 4, "ldaxr x0, [x9]");
		faults_with(0x21, at + 8, "ldxp x0, x1, [x9]");
		faults_with(0x61, at + 2, "stxr w0, w1, [x9]"); /* whatever the monitor says */
		faults_with(0x61, at + 4, "stlxr w0, x1, [x9]");
		faults_with(0x61, at + 8, "stxp w0, x1, x2, [x9]");
		faults_with(0x21, at + 8, "casp x0, x1, x2, x3, [x9]");
		faults_with(0x21, at + 4, "casp w0, w1, w2, w3, [x9]");
		faults_with(0x21, at + 2, "casal w0, w1, [x9]");
		faults_with(0x21, at + 4, "swp x0, x1, [x9]");
		faults_with(0x21, at + 1, "ldeorlh w0, w1, [x9]");
		faults_with(0x21, at + 4, "ldsmin x0, x1, [x9]");
		check_eq(word[0], 1);
	}
}

/* No such access has a syndrome that a device could be asked with. */
static void without_ram(void)
{
	u64 at = DEV_SCRATCH, st;

	for (u32 k = 0; k < 2; k++) {
		expect_esr(NISV_ESR, __asm__ volatile("ldaddal x0, x1, [%0]" : : "r"(at) : "x0", "x1", "memory"));
		expect_esr(NISV_ESR, __asm__ volatile("cas x0, x1, [%0]" : : "r"(at) : "x0", "x1", "memory"));
		expect_esr(NISV_ESR, __asm__ volatile("caspal x0, x1, x2, x3, [%0]"
						      :
						      : "r"(at & ~15ul)
						      : "x0", "x1", "x2", "x3", "memory"));
		expect_esr(NISV_ESR, __asm__ volatile("ldxr x0, [%0]" : : "r"(at) : "x0", "memory"));
	}
	__asm__ volatile("clrex\nstxr %w0, %w1, [%1]" : "=&r"(st) : "r"(at) : "memory");
	check_eq(st, 1); /* not tried at all */
}

/* Both halves count; a failed store leaves both. x0 is an operand, which has a place of its own. */
static void pairs(void)
{
	register u64 x0 __asm__("x0");
	register u64 x1 __asm__("x1");
	u64 st;

	for (u64 k = 0; k < 3; k++) {
		word[0] = 10;
		word[1] = 20;
		__asm__ volatile("ldaxp x0, x1, [%3]\nadd x1, x1, #1\nstlxp %w2, x1, x0, [%3]"
				 : "=&r"(x0), "=&r"(x1), "=&r"(st) : "r"(word) : "memory");
		check_eq(st, 0);
		check_eq(word[0], 21);
		check_eq(word[1], 10);
		check_eq(x0, 10);
		__asm__ volatile("ldxp x0, x1, [%3]\nstr xzr, [%3, #8]\nstxp %w2, x1, x0, [%3]"
				 : "=&r"(x0), "=&r"(x1), "=&r"(st) : "r"(word) : "memory");
		check_eq(st, 1); /* the second half is another one */
		check_eq(word[0], 21);
		check_eq(word[1], 0);
		__asm__ volatile("ldxp x0, x1, [%3]\nstxr %w2, x1, [%3]"
				 : "=&r"(x0), "=&r"(x1), "=&r"(st) : "r"(word) : "memory");
		check_eq(st, 1); /* another size */
		x0 = 21;
		x1 = 0;
		__asm__ volatile("casp x0, x1, x0, x1, [%2]" : "+r"(x0), "+r"(x1) : "r"(word) : "memory");
		check_eq(x0, 21);
		check_eq(word[0], 21);
	}
}

/* WnR of an atomic says whether a read would have faulted. */
static void faults(void)
{
	u64 *root = mmu_on(0), va = 0x9000000000, *pte;

	pte = map_page(root, va, (u64)alloc_page() | PTE_PAGE | PTE_NORMAL | PTE_RO);
	tlbi_all();
	expect_esr(ESR(0x25, 0x4f), __asm__ volatile("ldadd xzr, x0, [%0]" : : "r"(va) : "x0", "memory"));
	expect_esr(ESR(0x25, 0x4f), __asm__ volatile("cas x0, x1, [%0]" : : "r"(va) : "x0", "x1", "memory"));
	expect_esr(ESR(0x25, 0x4f), __asm__ volatile("ldxr x0, [%0]\nstxr w1, x0, [%0]"
						     :
						     : "r"(va)
						     : "x0", "x1", "memory"));
	expect_esr(ESR(0x25, 0x21), __asm__ volatile("ldadd xzr, x0, [%0]" : : "r"(va + 4) : "x0", "memory"));
	read_only(va);
	*pte = 0;
	tlbi_all();
	expect_esr(ESR(0x25, 0x07), __asm__ volatile("ldadd xzr, x0, [%0]" : : "r"(va) : "x0", "memory"));
	expect_esr(ESR(0x25, 0x07), __asm__ volatile("ldxr x0, [%0]" : : "r"(va) : "x0", "memory"));
}

void guest_main(u64 cpu)
{
	for (u32 k = 0; k < 2; k++) { /* as Device memory; then as what translated code accesses itself */
		exclusives();
		exclusive_sizes();
		lse();
		cas();
		casp();
		pairs();
		if (k == 0)
			faults();
	}
	misaligned();
	without_ram();
	done();
}
