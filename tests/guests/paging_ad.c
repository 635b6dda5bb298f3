/* SPDX-License-Identifier: Apache-2.0 */
/* Accessed and dirty bits on every level, for 4 KiB, 2 MiB and 1 GiB pages; set again after clearing. */
#include "guest/lib/guest.h"

#define VA GUEST_VA

static u64 ad(u64 cr3, u64 va, unsigned s)
{
	return *page_entry(cr3, va, s) & (PTE_A | PTE_D);
}

static void one_size(u64 cr3, u64 va, u64 pa, unsigned shift)
{
	volatile u64 *p = (u64 *)(va + 0x10);
	u64 *e;

	page_map(cr3, va, pa, PTE_P | PTE_W, shift);
	for (unsigned s = 39; s > shift; s -= 9)
		*page_entry(cr3, va, s) &= ~PTE_A;
	invlpg(va);
	(void)*p;
	for (unsigned s = 39; s > shift; s -= 9)
		CHECK_EQ(ad(cr3, va, s), PTE_A);
	CHECK_EQ(ad(cr3, va, shift), PTE_A);
	*p = 5;
	CHECK_EQ(ad(cr3, va, shift), PTE_A | PTE_D);
	CHECK_EQ(*(u64 *)(pa + 0x10), 5);

	/* cleared and flushed: set again, by an atomic operation too */
	e = page_entry(cr3, va, shift);
	*e &= ~(PTE_A | PTE_D);
	invlpg(va);
	asm volatile("lock incq %0" : "+m"(*p));
	CHECK_EQ(ad(cr3, va, shift), PTE_A | PTE_D);
	CHECK_EQ(*(u64 *)(pa + 0x10), 6);
	*e &= ~PTE_D;
	invlpg(va);
	(void)*p;
	CHECK_EQ(ad(cr3, va, shift), PTE_A);
	asm volatile("push %0; pop %1" : : "r"(1ull), "m"(*p) : "memory");
	CHECK_EQ(ad(cr3, va, shift), PTE_A | PTE_D);
}

/* The one GiB page is the first: our own code and tables through another address. */
static void one_gigabyte(u64 cr3)
{
	volatile u64 *mark = (u64 *)page_alloc();
	u64 va = VA + (2ull << 39);

	*mark = 7;
	page_map(cr3, va, 0, PTE_P | PTE_W, 30);
	CHECK_EQ(*(volatile u64 *)(va + (u64)mark), 7);
	CHECK_EQ(ad(cr3, va, 30), PTE_A);
	*(volatile u64 *)(va + (u64)mark) = 8;
	CHECK_EQ(ad(cr3, va, 30), PTE_A | PTE_D);
	CHECK_EQ(*mark, 8);
}

static void load(u64 a) { (void)*(volatile u8 *)a; }

/* Alignment bits of large pages are reserved. */
static void misaligned(u64 cr3)
{
	page_map(cr3, VA + (5ull << 39), 0x2000, PTE_P | PTE_W, 21);
	CHECK_EQ(trap_of(load, VA + (5ull << 39)), V_PF);
	CHECK_EQ(trap.f.error, 9);
}

int guest_main(void)
{
	u64 cr3 = READ_CR(3);

	one_size(cr3, VA, page_alloc(), 12);
	one_size(cr3, VA + (1ull << 39), 0xc00000, 21);
	if (cpuid(0x80000001, 0).d >> 26 & 1)
		one_gigabyte(cr3);
	misaligned(cr3);
	return 0;
}
