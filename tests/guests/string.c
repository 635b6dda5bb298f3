/* SPDX-License-Identifier: Apache-2.0 */
/* String instructions: over many pages, backwards, overlapping, and stopped by a fault in the middle. */
#include "guest/lib/guest.h"

#define VA GUEST_VA
static u64 pa[4];

static void movs(u64 *d, u64 *s, u64 *n)
{
	asm volatile("rep movsb" : "+D"(*d), "+S"(*s), "+c"(*n) : : "memory");
}

static u8 pattern(u64 i) { return i * 7 + (i >> 8); }

static void map4(void)
{
	static const u8 order[4] = { 2, 0, 3, 1 };

	for (int i = 0; i < 4; i++) {
		pa[i] = page_alloc();
	}
	for (int i = 0; i < 4; i++)
		page_map(READ_CR(3), VA + i * 4096, pa[order[i]], PTE_P | PTE_W, 12);
}

static void over_pages(void)
{
	static u8 src[9000];
	u64 d = VA + 1000, s = (u64)src, n = sizeof(src), bad = 0;

	for (u64 i = 0; i < sizeof(src); i++)
		src[i] = pattern(i);
	movs(&d, &s, &n);
	CHECK_EQ(n, 0);
	CHECK_EQ(d, VA + 10000);
	for (u64 i = 0; i < sizeof(src); i++)
		bad += ((volatile u8 *)VA)[1000 + i] != pattern(i);
	CHECK_EQ(bad, 0);
}

static void backwards(void)
{
	u64 d = VA + 9000, s = VA + 8990, n = 5000, bad = 0;

	for (u64 i = 0; i < 10000; i++)
		((volatile u8 *)VA)[i] = pattern(i);
	asm volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	CHECK_EQ(d, VA + 4000);
	CHECK_EQ(s, VA + 3990);
	CHECK_EQ(((volatile u8 *)VA)[9000], pattern(8990));
	CHECK_EQ(((volatile u8 *)VA)[4001], pattern(3991));
	CHECK_EQ(((volatile u8 *)VA)[4000], pattern(4000));
	for (u64 i = 4001; i <= 9000; i++)
		bad += ((volatile u8 *)VA)[i] != pattern(i - 10);
	CHECK_EQ(bad, 0);
}

/* Words at an odd address, over two borders of pages. */
static void backwards_words(void)
{
	u64 d = VA + 12001, s = VA + 5003, n = 600, bad = 0;

	for (u64 i = 0; i < 6000; i++)
		((volatile u8 *)VA)[i] = pattern(i);
	asm volatile("std; rep movsq; cld" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	CHECK_EQ(d, VA + 12001 - 4800);
	CHECK_EQ(s, VA + 5003 - 4800);
	for (u64 i = 7209; i < 12009; i++)
		bad += ((volatile u8 *)VA)[i] != pattern(i - 6998);
	CHECK_EQ(bad, 0);
}

/* Overlap by one word backward: the last word fills all. */
static void backwards_overlap(void)
{
	u64 d = VA + 8000, s = VA + 8008, n = 300, bad = 0;

	*(volatile u64 *)s = 0x1122334455667788;
	asm volatile("std; rep movsq; cld" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	for (u64 i = 0; i < 300; i++)
		bad += *(volatile u64 *)(VA + 8000 - 8 * i) != 0x1122334455667788;
	CHECK_EQ(bad, 0);
}

/* Overlap by one byte forward: the first byte fills all. */
static void overlap(void)
{
	u64 d = VA + 4090, s = VA + 4089, n = 20;

	*(volatile u8 *)s = 0x5a;
	movs(&d, &s, &n);
	CHECK_EQ(((volatile u8 *)VA)[4109], 0x5a);
	CHECK_EQ(((volatile u8 *)VA)[4098], 0x5a);
}

static void stos_into_hole(u64 va)
{
	asm volatile("rep stosq" : : "D"(va), "c"(64), "a"(0x7777) : "memory");
}

/* The 4th page ends the mapping: 5 stores fit. */
static void fault_in_the_middle(void)
{
	u64 start = VA + 4 * 4096 - 40;

	CHECK_EQ(trap_of(stos_into_hole, start), V_PF);
	CHECK_EQ(trap.cr2, VA + 4 * 4096);
	CHECK_EQ(trap.f.rcx, 59);
	CHECK_EQ(trap.f.rdi, VA + 4 * 4096);
	CHECK_EQ(*(volatile u64 *)(VA + 4 * 4096 - 8), 0x7777);
	CHECK_EQ(*(u8 *)trap.f.rip, 0xf3);
}

static void stos_mend(struct frame *f)
{
	page_map(READ_CR(3), READ_CR(2) & ~4095ull, page_alloc(), PTE_P | PTE_W, 12);
}

/* A handler maps the page and the instruction goes on where it was. */
static void restarted(void)
{
	u64 d = VA + 0x100000 + 5, n = 10000;

	trap_handler(V_PF, stos_mend);
	asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(0x42) : "memory");
	trap_handler(V_PF, NULL);
	CHECK_EQ(n, 0);
	CHECK_EQ(d, VA + 0x100000 + 5 + 10000);
	CHECK_EQ(*(volatile u8 *)(d - 1), 0x42);
	CHECK_EQ(*(volatile u8 *)d, 0);
}

static void compare_and_scan(void)
{
	u64 d = VA + 4000, n = 1000;
	bool z;

	for (u64 i = 0; i < 2000; i++)
		((volatile u8 *)VA)[3500 + i] = 1;
	*(volatile u8 *)(VA + 4200) = 9;
	asm volatile("repne scasb" : "+D"(d), "+c"(n), "=@ccz"(z) : "a"(9) : "memory");
	CHECK(z);
	CHECK_EQ(d, VA + 4201);
	CHECK_EQ(n, 1000 - 201);
	d = VA + 4000, n = 0;
	asm volatile("cmp %%eax, %%eax; repne scasb" : "+D"(d), "+c"(n), "=@ccz"(z) : "a"(9) : "memory");
	CHECK(z); /* no iteration: flags stay */
	CHECK_EQ(d, VA + 4000);
}

/* 67 prefix: ECX, EDI; the upper halves stay out of it. */
static void address32(void)
{
	u64 d = 0x600000, n = 0xffffffff00000003ull;

	asm volatile("addr32 rep stosb" : "+D"(d), "+c"(n) : "a"(0x33) : "memory");
	CHECK_EQ(*(volatile u8 *)0x600002, 0x33);
	CHECK_EQ(n & 0xffffffff, 0);
	CHECK_EQ(d, 0x600003);
}

int guest_main(void)
{
	map4();
	over_pages();
	backwards();
	backwards_words();
	backwards_overlap();
	overlap();
	fault_in_the_middle();
	restarted();
	compare_and_scan();
	address32();
	return 0;
}
