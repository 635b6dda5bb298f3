/* SPDX-License-Identifier: Apache-2.0 */
/* Translations as seen by accesses: what the TLB may keep, maintenance in all forms, ASIDs, faults of
 * every kind. */
#include "tests/guests_arm64/lib.h"

#define VA 0x9000000000ul
#define NORMAL (PTE_PAGE | PTE_NORMAL | PTE_UXN | PTE_PXN)

static u64 *root;
static u8 *a, *b; /* two pages */

/* One instruction each, aligned or not. */
static inline u64 load(u64 va)
{
	u64 v;

	__asm__ volatile("ldr %0, [%1]" : "=r"(v) : "r"(va) : "memory");
	return v;
}

static inline void store(u64 va, u64 v)
{
	__asm__ volatile("str %x1, [%0]" : : "r"(va), "rZ"(v) : "memory");
}

static void tlbi_va(u64 va, u64 asid)
{
	__asm__ volatile("dsb sy\ntlbi vae1is, %0\ndsb sy\nisb" : : "r"((va >> 12 & 0xfffffffffff) | asid << 48) : "memory");
}

static void set_asid(u64 asid)
{
	msr(ttbr0_el1, (u64)root | asid << 48);
	isb();
}

static u64 *map(u64 va, const void *page, u64 attr) { return map_page(root, va, (u64)page | attr); }

/* ---- what a change of a descriptor needs
 * ------------------------------------------------------------------ */

static void maintenance(void)
{
	u64 *pte = map(VA, a, NORMAL);

	store((u64)a, 1);
	store((u64)b, 2);
	dsb();
	check_eq(load(VA), 1);
	*pte = (u64)b | NORMAL;
	tlbi_va(VA, 0);
	check_eq(load(VA), 2);
	*pte = (u64)a | NORMAL;
	__asm__ volatile("dsb sy\ntlbi vaae1, %0\ndsb sy\nisb" : : "r"(VA >> 12) : "memory");
	check_eq(load(VA), 1);
	*pte = (u64)b | NORMAL;
	__asm__ volatile("dsb sy\ntlbi vale1is, %0\ndsb sy\nisb" : : "r"(VA >> 12) : "memory");
	check_eq(load(VA), 2);
	*pte = (u64)a | NORMAL;
	tlbi_all();
	check_eq(load(VA), 1);
	*pte = (u64)a | NORMAL | PTE_RO;
	tlbi_va(VA, 0);
	expect_none((void)load(VA));
	expect_esr(ESR(0x25, 0x4f), store(VA, 3));
	check_eq(taken[0].far, VA);
	*pte = 0;
	tlbi_va(VA, 0);
	expect_esr(ESR(0x25, 0x07), (void)load(VA));
	*pte = (u64)b | NORMAL; /* invalid entries are not kept */
	dsb();
	check_eq(load(VA), 2);
}

/* RVAE1: BaseADDR, NUM, SCALE, TG = 4K */
static void range(void)
{
	u64 *pte[64];

	for (u64 i = 0; i < 64; i++) {
		pte[i] = map(VA + i * 4096, a, NORMAL);
		(void)load(VA + i * 4096);
	}
	store((u64)b, 7);
	for (u64 i = 0; i < 64; i++)
		*pte[i] = (u64)b | NORMAL;
	register u64 x0 __asm__("x0") = VA >> 12 | 31ul << 39 | 1ul << 46; /* 64 pages */

	__asm__ volatile("dsb sy\n.inst 0xd5088220\ndsb sy\nisb" : : "r"(x0) : "memory");
	for (u64 i = 0; i < 64; i++)
		check_eq(load(VA + i * 4096), 7);
}

/* More pages than are looked up one by one: SCALE 1, 2 * 64 pages. */
static void wide_range(void)
{
	u64 *last = map(VA + 127 * 4096, a, NORMAL), *first = map(VA, a, NORMAL);

	tlbi_all();
	store((u64)a, 8);
	store((u64)b, 9);
	check_eq(load(VA) + load(VA + 127 * 4096), 16);
	*first = *last = (u64)b | NORMAL;
	register u64 x0 __asm__("x0") = VA >> 12 | 1ul << 39 | 1ul << 44 | 1ul << 46;

	__asm__ volatile("dsb sy\n.inst 0xd5088220\ndsb sy\nisb" : : "r"(x0) : "memory");
	check_eq(load(VA) + load(VA + 127 * 4096), 18);
}

/* A block's entries go with a TLBI of any address in it. */
static void blocks(void)
{
	u64 va = VA + 0x40000000, *l3 = map(va, a, NORMAL), *l2;

	l2 = (u64 *)((u64 *)(root[va >> 39 & 511] & 0xfffffffff000))[va >> 30 & 511];
	l2 = (u64 *)((u64)l2 & 0xfffffffff000);
	(void)l3;
	l2[0] = 0x41000000 | (NORMAL & ~2ul);
	tlbi_all();
	store(0x41000000 + 0x123000, 5);
	store(0x41200000 + 0x123000, 6);
	check_eq(load(va + 0x123000), 5);
	l2[0] = 0x41200000 | (NORMAL & ~2ul);
	tlbi_va(va + 0x1000, 0);
	check_eq(load(va + 0x123000), 6);
}

/* ---- ASIDs: non-global entries of one do not serve another, global ones do
 * -------------------------------- */

static void asids(void)
{
	u64 *pte = map(VA, a, NORMAL | PTE_NG);

	tlbi_all();
	store((u64)a, 1);
	store((u64)b, 2);
	set_asid(1);
	check_eq(load(VA), 1);
	*pte = (u64)b | NORMAL | PTE_NG;
	dsb();
	set_asid(2);
	check_eq(load(VA), 2);
	*pte = (u64)a | NORMAL | PTE_NG;
	__asm__ volatile("dsb sy\ntlbi aside1is, %0\ndsb sy\nisb" : : "r"(2ul << 48) : "memory");
	check_eq(load(VA), 1);
	__asm__ volatile("dsb sy\ntlbi aside1is, %0\ndsb sy\nisb" : : "r"(1ul << 48) : "memory");
	set_asid(0);
}

/* ---- accesses over the border of two pages
 * ------------------------------------------------------------------- */

static void crossing(void)
{
	u64 at = VA + 4096 - 4, *second = map(VA + 4096, b, NORMAL);

	map(VA, a, NORMAL);
	tlbi_all();
	store(at, 0x1122334455667788);
	check_eq(*(volatile u32 *)(a + 4092), 0x55667788);
	check_eq(*(volatile u32 *)b, 0x11223344);
	check_eq(load(at), 0x1122334455667788);
	*second = (u64)b | NORMAL | PTE_RO;
	tlbi_all();
	expect_esr(ESR(0x25, 0x4f), store(at, 0));
	check_eq(taken[0].far, VA + 4096);
	check_eq(load(at), 0x1122334455667788); /* nothing of it was written */
	*second = 0;
	tlbi_all();
	expect_esr(ESR(0x25, 0x07), (void)load(at));
	check_eq(taken[0].far, VA + 4096);
}

/* The same where both pages have one place in a TLB with a folded index (hyp_tlb_slot). */
static void crossing_with_one_slot(void)
{
	u64 border = 3ul << 37, at = border - 4;

	map(border - 4096, b, NORMAL);
	map(border, a, NORMAL);
	tlbi_all();
	*(volatile u32 *)(b + 4092) = 0x55667788;
	*(volatile u32 *)a = 0x11223344;
	check_eq(load(border) & 0xffffffff, 0x11223344);
	check_eq(load(at), 0x1122334455667788);
	store(border + 8, 0);
	store(at, 0x99aabbccddeeff00);
	check_eq(*(volatile u32 *)(b + 4092), 0xddeeff00);
	check_eq(*(volatile u32 *)a, 0x99aabbcc);
}

static void alignment(void)
{
	u64 sctlr = mrs(sctlr_el1);

	map(VA, a, NORMAL);
	tlbi_all();
	expect_none((void)load(VA + 1));
	msr(sctlr_el1, sctlr | 2);
	isb();
	expect_esr(ESR(0x25, 0x21), (void)load(VA + 1));
	check_eq(taken[0].far, VA + 1);
	expect_esr(ESR(0x25, 0x61), store(VA + 4, 0));
	expect_none(*(volatile u32 *)(VA + 4));
	msr(sctlr_el1, sctlr);
	isb();
	expect_esr(ESR(0x25, 0x21), __asm__ volatile("ldaxr x0, [%0]" : : "r"(VA + 4) : "x0", "memory"));
	expect_esr(ESR(0x25, 0x61), __asm__ volatile("stlr x0, [%0]" : : "r"(VA + 4) : "memory"));
	map(VA, a, PTE_PAGE | PTE_DEVICE);
	tlbi_all();
	expect_none((void)load(VA + 8));
	expect_esr(ESR(0x25, 0x21), (void)load(VA + 1));
}

/* ---- access flag, dirty state by hardware
 * ------------------------------------------------------------------------ */

static void hardware_update(void)
{
	u64 *pte = map(VA, a, (NORMAL & ~PTE_AF) | PTE_RO | PTE_DBM);

	tlbi_all();
	expect_esr(ESR(0x25, 0x0b), (void)load(VA));
	msr(tcr_el1, mrs(tcr_el1) | 3ul << 39);
	isb();
	tlbi_all();
	expect_none((void)load(VA));
	check_eq(*pte & (PTE_AF | PTE_RO), PTE_AF | PTE_RO);
	expect_none(store(VA, 77));
	check_eq(*pte & (PTE_AF | PTE_RO), PTE_AF);
	check_eq(*(volatile u64 *)a, 77);
	msr(tcr_el1, mrs(tcr_el1) & ~(3ul << 39));
	isb();
}

/* ---- address translation instructions
 * ------------------------------------------------------------------------------ */

#define at(op, va) \
	({ \
		__asm__ volatile("at " op ", %0\nisb" : : "r"(va) : "memory"); \
		mrs(par_el1); \
	})

static void address_translation(void)
{
	map(VA, a, NORMAL | PTE_RO);
	map(VA + 4096, b, NORMAL | PTE_USER);
	tlbi_all();
	check_eq(at("s1e1r", VA + 0x123), (u64)a | 0xff00000000000980);
	check_eq(at("s1e1w", VA), 1 | 0x800 | 0x0f << 1);
	check_eq(at("s1e0r", VA), 1 | 0x800 | 0x0f << 1);
	check_eq(at("s1e0w", VA + 4096) & 0xfffffffff001, (u64)b);
	check_eq(at("s1e1r", VA + 0x40000000000) & 0x7f, 1 | 0x04 << 1);
	__asm__ volatile("msr pan, #1");
	check_eq(at("s1e1r", VA + 4096) & 1, 0);
	__asm__ volatile(".inst 0xd5087900\nisb" : : "r"(0) : "memory"); /* at s1e1rp, x0 */
	register u64 x0 __asm__("x0") = VA + 4096;

	__asm__ volatile(".inst 0xd5087900\nisb" : : "r"(x0) : "memory");
	check_eq(mrs(par_el1) & 0x7f, 1 | 0x0f << 1);
	__asm__ volatile("msr pan, #0");
}

/* ---- the other half, tags
 * --------------------------------------------------------------------------------------------- */

static void upper_half(void)
{
	u64 *top = alloc_page(), va = 0xffff000000000000 | VA;

	map_page(top, va, (u64)a | NORMAL);
	map(VA, b, NORMAL);
	msr(ttbr1_el1, top);
	msr(tcr_el1, (mrs(tcr_el1) & ~(1ul << 23)) | 1ul << 37);
	isb();
	tlbi_all();
	store((u64)a, 10);
	store((u64)b, 20);
	check_eq(load(va), 10);
	check_eq(load(VA), 20);
	check_eq(load(VA | 0x5aul << 56), 20); /* TBI0 */
	store(VA | 0xa5ul << 56, 21);
	check_eq(load(VA), 21);
	expect_esr(ESR(0x25, 0x04), (void)load(va ^ 0x0100000000000000));
	check_eq(taken[0].far, va ^ 0x0100000000000000);
	map(VA, a, NORMAL);
	tlbi_va(VA, 0); /* all tags */
	check_eq(load(VA | 0xa5ul << 56), 10);
	check_eq(load(VA | 0x5aul << 56), 10);
	msr(tcr_el1, (mrs(tcr_el1) | 1ul << 23) & ~(1ul << 37));
	isb();
}

/* ---- memory that is not RAM, caches
 * --------------------------------------------------------------------------------------- */

static void no_ram(void)
{
	write64(DEV_SCRATCH, 0x8182838485868788);
	check_eq(*(volatile u8 *)DEV_SCRATCH, 0x88);
	s64 s;
	u64 w;

	__asm__ volatile("ldrsb %0, [%1]" : "=r"(s) : "r"(DEV_SCRATCH));
	check_eq(s, -0x78l);
	__asm__ volatile("ldrsh %w0, [%1]" : "=r"(w) : "r"(DEV_SCRATCH));
	check_eq(w, 0xffff8788);
	__asm__ volatile("ldr %w0, [%1]" : "=r"(w) : "r"(DEV_SCRATCH));
	check_eq(w, 0x85868788);
	__asm__ volatile("str xzr, [%0]" : : "r"(DEV_SCRATCH));
	check_eq(read64(DEV_SCRATCH), 0);
	expect_esr(NISV_ESR, __asm__ volatile("ldp x0, x1, [%0]" : : "r"(DEV_SCRATCH) : "x0", "x1"));
	check_eq(taken[0].far, DEV_SCRATCH);
	expect_esr(NISV_ESR, __asm__ volatile("ldr x1, [%0], #8" : : "r"(DEV_SCRATCH) : "x1"));
	expect_none((void)read64(ROM_BASE));
	map_page(root, VA, 0x0000700000000000 | NORMAL);
	tlbi_all();
	expect_esr(ESR(0x25, 0x03), (void)load(VA)); /* TCR.IPS is 40 bits */
}

static void caches(void)
{
	u64 *pte = map(VA, a, NORMAL | PTE_RO);

	tlbi_all();
	expect_none(__asm__ volatile("dc cvau, %0\ndc civac, %0\nic ivau, %0\nic iallu\ndsb sy\nisb"
				     :
				     : "r"(VA)
				     : "memory"));
	expect_esr(ESR(0x25, 0x4f), __asm__ volatile("dc zva, %0" : : "r"(VA) : "memory"));
	expect_esr(ESR(0x25, 0x14f), __asm__ volatile("dc ivac, %0" : : "r"(VA) : "memory"));
	*pte = 0;
	tlbi_all();
	expect_esr(ESR(0x25, 0x147), __asm__ volatile("dc cvac, %0" : : "r"(VA) : "memory"));
	expect_esr(ESR(0x25, 0x147), __asm__ volatile("ic ivau, %0" : : "r"(VA) : "memory"));
	*pte = (u64)a | NORMAL;
	dsb();
	for (int i = 0; i < 256; i++)
		a[i] = 0xff;
	__asm__ volatile("dc zva, %0" : : "r"(VA + 64 + 5) : "memory");
	for (int i = 0; i < 256; i++)
		check_eq(a[i], i >= 64 && i < 128 ? 0 : 0xff);
}

/* Code that is rewritten runs as it was, or as it is, until IC; then as it is. */
static void new_code(void)
{
	u32 *code = (u32 *)b;
	u64 (*fn)(void) = (u64(*)(void))b;

	for (u32 i = 0; i < 20; i++) {
		code[0] = 0xd2800000 | i << 5; /* mov x0, #i */
		code[1] = 0xd65f03c0;	       /* ret */
		__asm__ volatile("dc cvau, %0\ndsb sy\nic ivau, %0\ndsb sy\nisb" : : "r"(code) : "memory");
		check_eq(fn(), i);
	}
}

void guest_main(u64 cpu)
{
	root = mmu_on(1ul << 36); /* 16-bit ASIDs */
	a = alloc_page();
	b = alloc_page();
	maintenance();
	range();
	wide_range();
	blocks();
	asids();
	crossing();
	crossing_with_one_slot();
	alignment();
	hardware_update();
	address_translation();
	upper_half();
	no_ram();
	caches();
	new_code();
	done();
}
