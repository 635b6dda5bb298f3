/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpus: 2. Memory ordering between two CPUs: the two-thread litmus tests of the SDM (vol. 3, 9.2.3) and a
 * few more, each with the outcome that x86 forbids; and locked instructions whose operand crosses a page.
 *
 * A test is run over arrays: instance i uses x[i] and y[i], both CPUs go through all instances at their own
 * pace, then the outcomes are looked at. That needs two meetings per batch instead of two per instance.
 */
#include "guest/lib/guest.h"

#define N 1024u
#define BATCHES 24u
#define CROSSING 20000u

static volatile u64 x[N], y[N];
static u64 r0[N], r1[N];
static volatile u32 arrived, round, ap_up;
static u8 pages[2 * 4096] __attribute__((aligned(4096)));
#define CROSSING_WORD (*(volatile u64 *)(pages + 4096 - 3))

#define MFENCE asm volatile("mfence" : : : "memory")
#define LOCKED asm volatile("lock orq $0, (%%rsp)" : : : "memory", "cc")
#define ORDER asm volatile("" : : : "memory")

static u64 xchg(volatile u64 *p, u64 v)
{
	asm volatile("xchg %0, %1" : "+r"(v), "+m"(*p) : : "memory");
	return v;
}

/* Both CPUs, then on. */
static void meet(void)
{
	u32 now = round;

	if (__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST) == 2) {
		arrived = 0;
		__atomic_store_n(&round, now + 1, __ATOMIC_SEQ_CST);
	}
	while (__atomic_load_n(&round, __ATOMIC_SEQ_CST) == now)
		pause();
}

static void sb_mfence(u32 cpu, u32 i)
{
	if (!cpu) {
		x[i] = 1;
		MFENCE;
		r0[i] = y[i];
	} else {
		y[i] = 1;
		MFENCE;
		r1[i] = x[i];
	}
}

static void sb_locked(u32 cpu, u32 i)
{
	if (!cpu) {
		x[i] = 1;
		LOCKED;
		r0[i] = y[i];
	} else {
		y[i] = 1;
		LOCKED;
		r1[i] = x[i];
	}
}

static void sb_xchg(u32 cpu, u32 i)
{
	if (!cpu) {
		xchg(&x[i], 1);
		r0[i] = y[i];
	} else {
		xchg(&y[i], 1);
		r1[i] = x[i];
	}
}

static bool both_old(u32 i) { return !r0[i] && !r1[i]; }

static void message_passing(u32 cpu, u32 i)
{
	if (!cpu) {
		x[i] = 1;
		ORDER;
		y[i] = 1;
	} else {
		r0[i] = y[i];
		ORDER;
		r1[i] = x[i];
	}
}

static void coherence(u32 cpu, u32 i)
{
	if (!cpu) {
		x[i] = 1;
	} else {
		r0[i] = x[i];
		ORDER;
		r1[i] = x[i];
	}
}

static bool new_then_old(u32 i) { return r0[i] && !r1[i]; }

static void load_buffering(u32 cpu, u32 i)
{
	if (!cpu) {
		r0[i] = x[i];
		ORDER;
		y[i] = 1;
	} else {
		r1[i] = y[i];
		ORDER;
		x[i] = 1;
	}
}

static bool both_new(u32 i) { return r0[i] && r1[i]; }

static void s_test(u32 cpu, u32 i)
{
	if (!cpu) {
		x[i] = 2;
		ORDER;
		y[i] = 1;
	} else {
		r0[i] = y[i];
		ORDER;
		x[i] = 1;
	}
}

static bool s_forbidden(u32 i) { return r0[i] && x[i] == 2; }

static void two_plus_two_writes(u32 cpu, u32 i)
{
	if (!cpu) {
		x[i] = 1;
		ORDER;
		y[i] = 2;
	} else {
		y[i] = 1;
		ORDER;
		x[i] = 2;
	}
}

static bool both_first(u32 i) { return x[i] == 1 && y[i] == 1; }

static void r_mfence(u32 cpu, u32 i)
{
	if (!cpu) {
		x[i] = 1;
		ORDER;
		y[i] = 1;
	} else {
		y[i] = 2;
		MFENCE;
		r0[i] = x[i];
	}
}

static bool r_forbidden(u32 i) { return y[i] == 2 && !r0[i]; }

static const struct {
	const char *name;
	void (*run)(u32 cpu, u32 i);
	bool (*forbidden)(u32 i);
} tests[] = {
	{ "SB+mfence", sb_mfence, both_old },     { "SB+locked", sb_locked, both_old },
	{ "SB+xchg", sb_xchg, both_old },         { "MP", message_passing, new_then_old },
	{ "CoRR", coherence, new_then_old },      { "LB", load_buffering, both_new },
	{ "S", s_test, s_forbidden },             { "2+2W", two_plus_two_writes, both_first },
	{ "R+mfence", r_mfence, r_forbidden },
};
#define NR_TESTS (sizeof(tests) / sizeof(tests[0]))

static void all_tests(u32 cpu)
{
	for (u32 t = 0; t < NR_TESTS; t++)
		for (u32 b = 0; b < BATCHES; b++) {
			u32 bad = 0;

			if (!cpu)
				for (u32 i = 0; i < N; i++)
					x[i] = y[i] = r0[i] = r1[i] = 0;
			meet();
			for (u32 i = 0; i < N; i++)
				tests[t].run(cpu, i);
			meet();
			for (u32 i = 0; !cpu && i < N; i++)
				bad += tests[t].forbidden(i);
			if (bad)
				print("%s: %u forbidden outcomes\n", tests[t].name, bad);
			CHECK_EQ(bad, 0);
		}
}

static void crossing(void)
{
	meet();
	for (u32 i = 0; i < CROSSING; i++) {
		u64 one = 1, old = CROSSING_WORD;

		asm volatile("lock xadd %0, %1" : "+r"(one), "+m"(CROSSING_WORD) : : "memory", "cc");
		do
			asm volatile("" : : : "memory");
		while (!__atomic_compare_exchange_n(&CROSSING_WORD, &old, old + (1ull << 32), false,
						    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
		asm volatile("lock incq %0" : "+m"(CROSSING_WORD) : : "memory", "cc");
	}
	meet();
}

static void ap(void)
{
	ap_up = 1;
	all_tests(1);
	crossing();
	for (;;)
		asm volatile("cli; hlt");
}

int guest_main(void)
{
	ap_start(ap);
	CHECK(wait_change(&ap_up, 0, 3000));
	if (!ap_up)
		return 0;
	all_tests(0);
	crossing();
	CHECK_EQ(CROSSING_WORD, 2ull * CROSSING * 2 + (2ull * CROSSING << 32));
	return 0;
}
