/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page that is code, then data, then code again, many times over: what runs is what was written last, and
 * stores to it are as fast as to a page that never held code (compared with one; times are the least of
 * many). The same for code that spans two pages, through an alias, and for code beside data that both stay
 * in use.
 */
#include "tests/guests/reuse.h"

#define LIFE (1u << 24) /* cycles a page is data at least: longer than REUSE_SOON in hyp/mem/reuse.c */
#define ROUNDS 8u
#define WORDS 512u

static u8 *page, *plain;

static u32 run(void *p, u32 arg) { return ((u32(*)(u32))p)(arg); }

static void live_as_data(volatile u64 *p)
{
	u64 end = rdtsc() + LIFE;

	for (u32 n = 0; n < 2 || rdtsc() < end; n++)
		for (u32 i = 0; i < WORDS; i++)
			p[i] = n + i;
	for (u32 i = 1; i < WORDS; i++)
		CHECK_EQ(p[i], p[0] + i);
}

static void check_fast(void *p)
{
	u64 used = cost_of(p, WORDS), never = cost_of((volatile u64 *)plain, WORDS);

	if (used > never * 8)
		print("%u cycles for %u stores, %u where no code was\n", (u32)used, WORDS, (u32)never);
	CHECK(used <= never * 8);
}

static void code_and_data(u32 round)
{
	u32 step = round & 1 ? 64 : 1000;

	for (u32 at = 0; at < 4090; at += step)
		write_code(page + at, round << 16 | at);
	for (u32 at = 0; at < 4090; at += step)
		CHECK_EQ(run(page + at, 0), round << 16 | at);
	live_as_data((volatile u64 *)page);
	check_fast(page);
}

/* One of its pages becomes data but for the code's bytes there, and then they change. */
static void spanning(u32 round)
{
	u8 *p = page + 4096 - 3;
	volatile u64 *data = (u64 *)(round & 1 ? page : page + 4096 + 512);

	write_code(p, round);
	CHECK_EQ(run(p, 0), round);
	for (u32 n = 0; n < 1000; n++)
		for (u32 i = 0; i < 4; i++)
			data[i * 7] = n;
	CHECK_EQ(run(p, 0), round);
	*(volatile u8 *)(page + 4096 + 1) = 0x55; /* top byte of the immediate, on the second page */
	CHECK_EQ(run(p, 0), 0x55000000u | round);
	p[1] = (u8)(round + 1);
	CHECK_EQ(run(p, 0), 0x55000000u | (u8)(round + 1));
	live_as_data((volatile u64 *)(page + 4096));
	check_fast(page + 4096);
}

static void alias(u32 round)
{
	u8 *other = (u8 *)GUEST_VA;

	write_code(page + 64, round);
	CHECK_EQ(run(other + 64, 0), round);
	live_as_data((volatile u64 *)page);
	write_code(other + 64, round + 1);
	CHECK_EQ(run(page + 64, 0), round + 1);
	write_code(page + 64, round + 2);
	CHECK_EQ(run(other + 64, 0), round + 2);
	live_as_data((volatile u64 *)other);
	check_fast(other);
}

/* Code that stores to its own page: at first beside itself, which gives the page up under it, then into its
 * next instruction. */
static void to_itself(u32 round)
{
	static const u8 beside[] = { 0x89, 0x3d, 0, 8, 0, 0, 0x89, 0xf8, 0xc3 };
	static const u8 ahead[] = { 0x89, 0x3d, 1, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xc3 };
	volatile u8 *p = page;

	for (u32 i = 0; i < sizeof(beside); i++)
		p[i] = beside[i];
	for (u32 i = 0; i < sizeof(ahead); i++)
		p[1024 + i] = ahead[i];
	for (u32 i = 0; i < 2000; i++) {
		CHECK_EQ(run(page, i + round), i + round);
		CHECK_EQ(*(volatile u32 *)(page + 2048 + 6), i + round);
		if (i % 50 < 3)
			CHECK_EQ(run(page + 1024, i), i);
	}
}

/* Both in use: correct, and the page does not change sides for ever (--max code_reused=... of guest_hyp). */
static void beside(void)
{
	volatile u64 *counter = (u64 *)(page + 2048);

	write_code(page, 1);
	*counter = 0;
	for (u32 i = 0; i < 20000; i++)
		*counter += run(page, 0);
	CHECK_EQ(*counter, 20000);
}

int guest_main(void)
{
	page = (u8 *)page_alloc();
	CHECK_EQ(page_alloc(), (u64)page + 4096);
	plain = (u8 *)page_alloc();
	page_map(READ_CR(3), GUEST_VA, (u64)page, PTE_P | PTE_W, 12);
	WRITE_CR(0, READ_CR(0) & ~CR0_WP);
	for (u32 round = 0; round < ROUNDS; round++) {
		code_and_data(round);
		spanning(round);
		alias(round);
		to_itself(round);
	}
	beside();
	return 0;
}
