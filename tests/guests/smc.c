/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code that changes: by its own stores (same block, same page, another page), through an alias
 * mapping, by changing the mapping, by string instructions, across a page end, and many times.
 */
#include "guest/lib/guest.h"

typedef u32 (*code_fn)(void);
static u8 *page;

/* mov eax, imm32; ret */
static void write_code(volatile u8 *p, u32 imm)
{
	p[0] = 0xb8;
	*(volatile u32 *)(p + 1) = imm;
	p[5] = 0xc3;
}

static u32 run(void *p) { return ((code_fn)p)(); }

static void many_times(void)
{
	for (u32 i = 0; i < 2000; i++) {
		write_code(page, i);
		CHECK_EQ(run(page), i);
	}
}

/* The store patches the immediate of the next instruction. */
static void same_block(void)
{
	for (u32 i = 0; i < 200; i++) {
		u32 got;

		asm volatile("movl %1, 1f + 1(%%rip)\n"
			     "1: mov $0x12345678, %0" : "=a"(got) : "r"(i) : "memory");
		CHECK_EQ(got, i);
	}
}

static void crossing(void)
{
	u8 *p = page + 4096 - 3;

	for (u32 i = 0; i < 100; i++) {
		write_code(p, i << 8 | i);
		CHECK_EQ(run(p), i << 8 | i);
		*(volatile u8 *)(page + 4096 + 1) = 0x55; /* top byte of the immediate, on the second page */
		CHECK_EQ(run(p), 0x55000000u | i << 8 | i);
	}
}

/* The second page is mapped anew, to where the instruction ends otherwise. */
static void crossing_remapped(void)
{
	u64 first = page_alloc(), second[2] = { page_alloc(), page_alloc() }, va = GUEST_VA + 0x10000;

	page_map(READ_CR(3), va, first, PTE_P | PTE_W, 12);
	for (u32 i = 0; i < 2; i++) {
		page_map(READ_CR(3), va + 4096, second[i], PTE_P | PTE_W, 12);
		write_code((u8 *)va + 4096 - 3, (i + 1) * 0x01010101);
	}
	for (u32 i = 0; i < 100; i++) {
		page_map(READ_CR(3), va + 4096, second[i & 1], PTE_P | PTE_W, 12);
		CHECK_EQ(run((u8 *)va + 4096 - 3), ((i & 1) + 1) * 0x01010000 + 0x0202);
	}
}

static void alias(void)
{
	volatile u8 *other = (volatile u8 *)GUEST_VA;

	page_map(READ_CR(3), GUEST_VA, (u64)page, PTE_P | PTE_W, 12);
	for (u32 i = 0; i < 100; i++) {
		write_code(other, i + 7);
		CHECK_EQ(run(page), i + 7);
		CHECK_EQ(run((void *)other), i + 7);
		write_code(page, i + 9);
		CHECK_EQ(run((void *)other), i + 9);
	}
}

static void remap(void)
{
	u64 a = page_alloc(), b = page_alloc();

	write_code((u8 *)a, 'a');
	write_code((u8 *)b, 'b');
	for (int i = 0; i < 100; i++) {
		page_map(READ_CR(3), GUEST_VA + 4096, i & 1 ? a : b, PTE_P | PTE_W, 12);
		CHECK_EQ(run((void *)(GUEST_VA + 4096)), i & 1 ? 'a' : 'b');
	}
}

static void by_string(void)
{
	u8 src[6];

	for (u32 i = 0; i < 100; i++) {
		void *d = page, *s = src;
		u64 n = 6;

		write_code(src, ~i);
		asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
		CHECK_EQ(run(page), ~i);
	}
}

/* Data beside code on one page: correct, and not endlessly slow. */
static void beside(void)
{
	volatile u64 *counter = (u64 *)(page + 2048);

	write_code(page, 1);
	*counter = 0;
	for (u32 i = 0; i < 20000; i++)
		*counter += run(page);
	CHECK_EQ(*counter, 20000);
}

/* A caller whose own code is changed by its callee. */
static void caller_changed(void)
{
	static u32 imm;
	u32 got;

	for (imm = 0; imm < 50; imm++) {
		asm volatile("call 2f\n"
			     "1: mov $0, %0\n"
			     "jmp 3f\n"
			     "2: movl %1, 1b + 1(%%rip)\n"
			     "ret\n"
			     "3:" : "=a"(got) : "r"(imm) : "memory");
		CHECK_EQ(got, imm);
	}
}

int guest_main(void)
{
	u64 cr3 = READ_CR(3);

	WRITE_CR(0, READ_CR(0) & ~CR0_WP);
	page = (u8 *)page_alloc();
	page_alloc();
	(void)cr3;
	many_times();
	same_block();
	crossing();
	crossing_remapped();
	alias();
	remap();
	by_string();
	beside();
	caller_changed();
	return 0;
}
