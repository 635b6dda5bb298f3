/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpus: 2. A page that both CPUs execute becomes data, of one of them or of both, and code again: what runs
 * is what was written last, and stores are as fast as to a page that never held code. Then everything at
 * once, on one page after the other: CPU 1 runs code that CPU 0 patches, each runs code that it has just
 * written itself, both store data beside it.
 */
#include "tests/guests/reuse.h"

/* Cycles that a page is data at least: more than REUSE_SOON, REUSE_LATER in hyp/mem/reuse.c. */
#define LIFE (1u << 24)
#define LONG_LIFE (1u << 29)
#define ROUNDS 8u
#define STRESS 400u /* milliseconds */
#define WORDS 256u  /* of one CPU: half the page */
#define PAGES 200u

static u8 *page, *plain, *many;
static u8 *volatile current;
static volatile u32 ap_up, turn, version, seen, stop;
static volatile u64 wrong;

static u32 run(void *p) { return ((u32(*)(void))p)(); }
static void serialize(void) { cpuid(0, 0); }

static void live_as_data(volatile u64 *p, u64 life)
{
	u64 end = rdtsc() + life;

	for (u32 n = 0; n < 2 || rdtsc() < end; n++)
		for (u32 i = 0; i < WORDS; i++)
			p[i] = n + i;
	for (u32 i = 1; i < WORDS; i++)
		wrong += p[i] != p[0] + i;
}

/* ---- CPU 1: what `turn` says, then 0 ------------------------------------------------------------- */

enum { IDLE, RUN, DATA, HALT, STRESS_IT };

/* Code that is patched by CPU 0, code of its own, data of its own. */
static void stress_ap(void)
{
	for (u32 i = 1; !stop; i++) {
		u32 old = version;
		u8 *p = current;
		volatile u64 *data = (u64 *)(p + 3072);

		serialize();
		wrong += run(p + 3) < old;
		if (i % 16 == 0) {
			write_code(p + 1024, i);
			wrong += run(p + 1024) != i;
		}
		data[i % 16] = i;
		wrong += data[i % 16] != i;
		seen = i;
	}
}

static void ap(void)
{
	apic_enable();
	ap_up = 1;
	for (;; pause()) {
		if (turn == RUN) {
			serialize();
			seen = run(page + 3);
		} else if (turn == DATA) {
			live_as_data((volatile u64 *)(page + 2048), LIFE);
		} else if (turn == STRESS_IT) {
			stress_ap();
		} else if (turn == HALT) {
			turn = IDLE;
			for (;;)
				asm volatile("cli; hlt");
		} else {
			continue;
		}
		turn = IDLE;
	}
}

/* ---- CPU 0 ------------------------------------------------------------------------------------------ */

static void wait_turn(void)
{
	while (turn != IDLE)
		pause();
}

static void let_run(u32 what)
{
	turn = what;
	wait_turn();
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
	for (u32 i = 0; i < 3; i++) {
		write_code(page + 3, round * 8 + i);
		let_run(RUN);
		CHECK_EQ(seen, round * 8 + i);
		CHECK_EQ(run(page + 3), round * 8 + i);
	}
	if (round & 1)
		turn = DATA; /* both at once */
	live_as_data((volatile u64 *)page, LIFE);
	check_fast(page);
	wait_turn();
	CHECK_EQ(wrong, 0);
}

/* CPU 1 has run once more from the beginning, or has not for a tenth of a millisecond. */
static void let_see(void)
{
	u32 before = seen;
	u64 end = rdtsc() + (1u << 18);

	while (seen - before < 2 && rdtsc() < end)
		pause();
}

static void stress_page(u8 *p, u32 *v, u32 stores)
{
	volatile u64 *data = (u64 *)(p + 512);

	for (u32 i = 0; stores % 4 == 0 && i < 100; i++) { /* a page whose code changes often */
		write_code(p + 3, *v + i);
		wrong += run(p + 3) != *v + i;
	}
	write_code(p + 3, *v);
	write_code(p + 2048, *v);
	current = p;
	for (u32 i = 0; i < 3; i++) {
		wrong += run(p + 3) != *v;
		for (u32 k = 0; k < stores; k++)
			data[k % 16] = k;
		*(volatile u32 *)(p + 4) = ++*v;
		version = *v;
		let_see();
	}
	wrong += run(p + 3) != *v;
	*(volatile u32 *)(p + 2048 + 1) = stores;
	wrong += run(p + 2048) != stores;
}

/* Many pages: one that changes sides quickly is left alone for a while. */
static void stress(void)
{
	u64 end = rdtsc() + tsc_hz() / 1000 * STRESS;
	u32 v = 1;

	write_code(many + 3, v);
	current = many;
	turn = STRESS_IT;
	for (u32 i = 1; rdtsc() < end; i++)
		stress_page(many + 4096 * (i % PAGES), &v, i * 37 % 500);
	stop = 1;
	wait_turn();
	CHECK_EQ(wrong, 0);
	CHECK(seen > 0);
}

/* CPU 1 sleeps with the page translated, and does not hinder us. */
static void other_sleeps(void)
{
	write_code(page + 3, 99);
	let_run(RUN);
	CHECK_EQ(seen, 99);
	let_run(HALT);
	live_as_data((volatile u64 *)page, LONG_LIFE);
	check_fast(page);
}

int guest_main(void)
{
	page = (u8 *)page_alloc();
	plain = (u8 *)page_alloc();
	many = (u8 *)page_alloc();
	for (u32 i = 1; i < PAGES; i++)
		CHECK_EQ(page_alloc(), (u64)many + 4096 * i);
	ap_start(ap);
	CHECK(wait_change(&ap_up, 0, 3000));
	if (!ap_up)
		return 0;
	for (u32 round = 0; round < ROUNDS; round++)
		code_and_data(round);
	stress();
	other_sleeps();
	return 0;
}
