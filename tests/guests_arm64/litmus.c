/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpus: 2 or 4. Memory ordering as the architecture has it (Arm ARM, B2.3): litmus tests, each with the
 * outcome that tells. Where the order is forbidden to be seen that outcome must never come; where it is
 * allowed it is counted and printed, no more. With 2 CPUs the tests of two threads, then atomics under
 * contention and hand-over by WFE and SEV; with 4 those of three and four threads.
 *
 * A test is run over arrays: instance i uses x[i] and y[i], and the outcomes are looked at when all CPUs are
 * through. Two CPUs begin every instance at one time (side_by_side()), or they would hardly ever be in the
 * same one at the same time; four go at their own pace, since hosts may have fewer. After a sixteenth of a
 * second a test has been run often enough.
 *
 * Not here: that a store-exclusive fails when another CPU wrote the value that was there before. The monitor
 * is a compare-and-swap (hyp/sys/arm64/atomic.c says why) and does not see it.
 */
#include "tests/guests_arm64/lib.h"

#define N 512u
#define BATCHES 60u
#define FEWEST 2u
#define PATIENCE 32768u
#define ROUNDS 20000u
#define TURNS 2000u

static u64 x[N], y[N], r[4][N];

#define DMB(kind) __asm__ volatile("dmb " #kind : : : "memory")

static inline u64 ld(const u64 *p)
{
	u64 v;

	__asm__ volatile("ldr %0, [%1]" : "=r"(v) : "r"(p) : "memory");
	return v;
}

static inline void st(u64 *p, u64 v) { __asm__ volatile("str %0, [%1]" : : "r"(v), "r"(p) : "memory"); }

static inline u64 ldapr(const u64 *p)
{
	u64 v;

	__asm__ volatile(".arch_extension rcpc\nldapr %0, [%1]" : "=r"(v) : "r"(p) : "memory");
	return v;
}

static inline u64 swpal(u64 *p, u64 v)
{
	u64 old;

	__asm__ volatile("swpal %1, %0, [%2]" : "=&r"(old) : "r"(v), "r"(p) : "memory");
	return old;
}

/* 0, but only known once v is: an address or data dependency. */
static inline u64 zero_of(u64 v)
{
	__asm__ volatile("eor %0, %0, %0" : "+r"(v));
	return v;
}

/* ---- two threads; the first is the CPU with c 0 ---- */

/* Message passing: the flag is seen, the data are not. */
#define MP(name, write_order, read_flag, read_data) \
	static void name(u64 c, u32 i) \
	{ \
		if (c == 0) { \
			st(&x[i], 1); \
			write_order; \
		} else { \
			r[0][i] = read_flag; \
			r[1][i] = read_data; \
		} \
	}
#define LOAD_THEN(load, order) \
	({ \
		u64 v_ = load; \
		order; \
		v_; \
	})
MP(mp, st(&y[i], 1), ld(&y[i]), ld(&x[i]))
MP(mp_writer_only, ({
	   DMB(ish);
	   st(&y[i], 1);
   }),
   ld(&y[i]), ld(&x[i]))
MP(mp_dmb, ({
	   DMB(ish);
	   st(&y[i], 1);
   }),
   LOAD_THEN(ld(&y[i]), DMB(ish)), ld(&x[i]))
MP(mp_dmb_st_ld, ({
	   DMB(ishst);
	   st(&y[i], 1);
   }),
   LOAD_THEN(ld(&y[i]), DMB(ishld)), ld(&x[i]))
MP(mp_release, release(&y[i], 1), acquire(&y[i]), ld(&x[i]))
MP(mp_ldapr, release(&y[i], 1), ldapr(&y[i]), ld(&x[i]))
MP(mp_swpal, (void)swpal(&y[i], 1), acquire(&y[i]), ld(&x[i]))
MP(mp_addr, ({
	   DMB(ishst);
	   st(&y[i], 1);
   }),
   ld(&y[i]), ld(&x[i + zero_of(r[0][i])]))
static bool new_then_old(u32 i) { return r[0][i] && !r[1][i]; }

/* Store buffering: both see the old value. */
#define SB(name, store, order, load) \
	static void name(u64 c, u32 i) \
	{ \
		u64 *mine = c ? &y[i] : &x[i], *other = c ? &x[i] : &y[i]; \
\
		store(mine, 1); \
		order; \
		r[c][i] = load(other); \
	}
SB(sb, st, , ld)
SB(sb_dmb_st, st, DMB(ishst), ld)
SB(sb_dmb_ld, st, DMB(ishld), ld)
SB(sb_dmb, st, DMB(ish), ld)
SB(sb_dsb, st, dsb(), ld)
SB(sb_release, release, , acquire)
SB(sb_ldapr, release, , ldapr)
SB(sb_swpal, swpal, , acquire)
static bool both_old(u32 i) { return !r[0][i] && !r[1][i]; }

/* Load buffering: both see what the other writes after its own load. */
#define LB(name, load, store, value) \
	static void name(u64 c, u32 i) \
	{ \
		u64 v = load(c ? &y[i] : &x[i]); \
\
		store(c ? &x[i] : &y[i], value); \
		r[c][i] = v; \
	}
LB(lb, ld, st, 1)
LB(lb_data, ld, st, 1 + zero_of(v))
LB(lb_acquire, acquire, st, 1)
LB(lb_release, ld, release, 1)
static bool both_new(u32 i) { return r[0][i] && r[1][i]; }

/* Coherence holds without any barrier. */
static void corr(u64 c, u32 i)
{
	if (c == 0) {
		st(&x[i], 1);
	} else {
		r[0][i] = ld(&x[i]);
		r[1][i] = ld(&x[i]);
	}
}

static void coww(u64 c, u32 i)
{
	if (c == 0) {
		st(&x[i], 1);
		st(&x[i], 2);
	} else {
		r[0][i] = ld(&x[i]);
		r[1][i] = ld(&x[i]);
	}
}
static bool backwards(u32 i) { return r[0][i] > r[1][i] || x[i] != 2; }

static void cowr(u64 c, u32 i)
{
	st(&x[i], c + 1);
	r[c][i] = ld(&x[i]);
}
/* Who sees the other's value has lost; nobody sees less than his own. */
static bool overtaken(u32 i)
{
	return !r[0][i] || !r[1][i] || (r[0][i] == 2 && x[i] == 1) || (r[1][i] == 1 && x[i] == 2);
}

static void corw(u64 c, u32 i)
{
	if (c == 0) {
		r[0][i] = ld(&x[i]);
		st(&x[i], 1);
	} else {
		st(&x[i], 2);
	}
}
/* No load sees the store behind it; a load that saw 2 has its store after it. */
static bool from_future(u32 i) { return r[0][i] == 1 || (r[0][i] == 2 && x[i] != 1); }

static void s_data(u64 c, u32 i)
{
	if (c == 0) {
		st(&x[i], 2);
		DMB(ishst);
		st(&y[i], 1);
	} else {
		r[0][i] = ld(&y[i]);
		st(&x[i], 1 + zero_of(r[0][i]));
	}
}
static bool s_forbidden(u32 i) { return r[0][i] && x[i] == 2; }

static void two_plus_two_writes(u64 c, u32 i)
{
	st(c ? &y[i] : &x[i], 1);
	DMB(ishst);
	st(c ? &x[i] : &y[i], 2);
}
static bool both_first(u32 i) { return x[i] == 1 && y[i] == 1; }

static void r_dmb(u64 c, u32 i)
{
	if (c == 0) {
		st(&x[i], 1);
		DMB(ish);
		st(&y[i], 1);
	} else {
		st(&y[i], 2);
		DMB(ish);
		r[0][i] = ld(&x[i]);
	}
}
static bool r_forbidden(u32 i) { return y[i] == 2 && !r[0][i]; }

/* ---- three and four threads ---- */

/* Two write, two read in opposite order and disagree about which write was first. */
#define IRIW(name, load, order, offset) \
	static void name(u64 c, u32 i) \
	{ \
		u64 *a = c & 1 ? &y[i] : &x[i], *b = c & 1 ? &x[i] : &y[i]; \
\
		if (c < 2) { \
			st(a, 1); \
		} else { \
			u64 v = load(a); \
\
			order; \
			r[c & 1][i] = v; \
			r[c][i] = load(b + offset); \
		} \
	}
IRIW(iriw, ld, , 0)
IRIW(iriw_addr, ld, , zero_of(v))
IRIW(iriw_dmb, ld, DMB(ish), 0)
IRIW(iriw_acquire, acquire, , 0)
static bool disagree(u32 i) { return r[0][i] && !r[2][i] && r[1][i] && !r[3][i]; }

/* Write to read causality: a store that CPU 1 saw and passed on, CPU 2 sees too. */
static void wrc(u64 c, u32 i)
{
	if (c == 0) {
		st(&x[i], 1);
	} else if (c == 1) {
		r[0][i] = ld(&x[i]);
		st(&y[i], r[0][i]);
	} else if (c == 2) {
		r[1][i] = ld(&y[i]);
		r[2][i] = ld(&x[i + zero_of(r[1][i])]);
	}
}
static bool not_passed_on(u32 i) { return r[1][i] && !r[2][i]; }

static const struct litmus {
	const char *name;
	void (*run)(u64 c, u32 i);
	bool (*weak)(u32 i); /* the outcome that tells */
	bool allowed;
	u64 cpus;
} tests[] = {
	{ "MP", mp, new_then_old, true, 2 },
	{ "MP+dmb+po", mp_writer_only, new_then_old, true, 2 },
	{ "MP+dmb+dmb", mp_dmb, new_then_old, false, 2 },
	{ "MP+dmb.st+dmb.ld", mp_dmb_st_ld, new_then_old, false, 2 },
	{ "MP+stlr+ldar", mp_release, new_then_old, false, 2 },
	{ "MP+stlr+ldapr", mp_ldapr, new_then_old, false, 2 },
	{ "MP+swpal+ldar", mp_swpal, new_then_old, false, 2 },
	{ "MP+dmb.st+addr", mp_addr, new_then_old, false, 2 },
	{ "SB", sb, both_old, true, 2 },
	{ "SB+dmb.sts", sb_dmb_st, both_old, true, 2 },
	{ "SB+dmb.lds", sb_dmb_ld, both_old, true, 2 },
	{ "SB+dmbs", sb_dmb, both_old, false, 2 },
	{ "SB+dsbs", sb_dsb, both_old, false, 2 },
	{ "SB+stlr+ldar", sb_release, both_old, false, 2 },
	{ "SB+stlr+ldapr", sb_ldapr, both_old, true, 2 },
	{ "SB+swpal+ldar", sb_swpal, both_old, false, 2 },
	{ "LB", lb, both_new, true, 2 },
	{ "LB+datas", lb_data, both_new, false, 2 },
	{ "LB+ldars", lb_acquire, both_new, false, 2 },
	{ "LB+stlrs", lb_release, both_new, false, 2 },
	{ "CoRR", corr, new_then_old, false, 2 },
	{ "CoWW", coww, backwards, false, 2 },
	{ "CoWR", cowr, overtaken, false, 2 },
	{ "CoRW", corw, from_future, false, 2 },
	{ "S+dmb.st+data", s_data, s_forbidden, false, 2 },
	{ "2+2W+dmb.sts", two_plus_two_writes, both_first, false, 2 },
	{ "R+dmbs", r_dmb, r_forbidden, false, 2 },
	{ "IRIW", iriw, disagree, true, 4 },
	{ "IRIW+addrs", iriw_addr, disagree, false, 4 },
	{ "IRIW+dmbs", iriw_dmb, disagree, false, 4 },
	{ "IRIW+ldars", iriw_acquire, disagree, false, 4 },
	{ "WRC+data+addr", wrc, not_passed_on, false, 4 },
};
#define NR_TESTS (sizeof(tests) / sizeof(tests[0]))

static void clear(void)
{
	for (u32 i = 0; i < N; i++)
		x[i] = y[i] = r[0][i] = r[1][i] = r[2][i] = r[3][i] = 0;
}

/* How often the outcome came; a value that nobody wrote is never one. */
static u64 look(const struct litmus *t)
{
	u64 n = 0;

	for (u32 i = 0; i < N; i++) {
		check(x[i] <= 2 && y[i] <= 2);
		for (u32 k = 0; k < 4; k++)
			check(r[k][i] <= 2);
		n += t->weak(i);
	}
	return n;
}

static struct {
	u64 v, pad[15];
} at[4] __attribute__((aligned(128))); /* 0: start is set; 2, 3: who is here */

static u64 start;

static inline u64 now(void)
{
	isb();
	return mrs(cntvct_el0);
}

static bool come_as_far(const u64 *p, u64 n)
{
	for (u32 spins = 0; ld(p) < n; spins++) {
		if (spins == PATIENCE)
			return false;
		__asm__ volatile("yield");
	}
	return true;
}

/*
 * Both begin instance i at one time on the counter that they share, which CPU 0 sets when both are here. They
 * have the cache lines then, to read, so that loads are quick and stores are not. One of them is held back by
 * up to 15 loops. False: the other has no host CPU now, do not wait again in this batch.
 */
static bool side_by_side(u64 cpu, u64 n, u32 i)
{
	u64 soon = mrs(cntfrq_el0) >> 22; /* a quarter of a microsecond */
	u32 lag = (u32)(n / 2) % 16;

	(void)ld(&x[i]);
	(void)ld(&y[i]);
	st(&at[cpu + 2].v, n);
	if (!come_as_far(&at[!cpu + 2].v, n))
		return false;
	if (cpu == 0) {
		start = now() + soon;
		release(&at[0].v, n);
	} else if (!come_as_far(&at[0].v, n)) {
		return false;
	}
	while (now() < start)
		;
	for (u32 k = 0; (n & 1) == cpu && k < lag; k++)
		__asm__ volatile("" : : : "memory");
	return true;
}

static void run(const struct litmus *t, u64 cpu)
{
	u64 seen = 0, n = (u64)(t - tests) * BATCHES * N, end = now() + mrs(cntfrq_el0) / 16;
	u64 me = (u64)(t - tests) + 1;
	static u64 over; /* the last test that has been run often enough */

	for (u32 b = 0; b < BATCHES && ld(&over) != me; b++, n += N) {
		bool together = cpus == 2;

		if (cpu == 0)
			clear();
		barrier();
		for (u32 i = 0; i < N; i++) {
			together = together && side_by_side(cpu, n + i + 1, i);
			t->run(cpu, i);
		}
		if (cpu == 0 && b + 1 >= FEWEST && now() > end)
			st(&over, me);
		barrier();
		if (cpu == 0)
			seen += look(t);
	}
	if (cpu == 0 && seen) {
		puts_(t->name);
		puts_(t->allowed ? ": allowed outcomes " : ": FORBIDDEN outcomes ");
		puthex(seen);
		putch('\n');
		check(t->allowed);
	}
}

/* ---- contention ---- */
static u64 pair[2] __attribute__((aligned(16))), cas_pair[2] __attribute__((aligned(16)));
static u64 llsc, llsc_ordered, lse, cas, turn, plain;

static void add_llsc(u64 *p)
{
	u64 v, failed_;

	__asm__ volatile("1: ldxr %0, [%2]\nadd %0, %0, #1\nstxr %w1, %0, [%2]\ncbnz %w1, 1b"
			 : "=&r"(v), "=&r"(failed_) : "r"(p) : "memory");
}

static void add_llsc_ordered(u64 *p)
{
	u64 v, failed_;

	__asm__ volatile("1: ldaxr %0, [%2]\nadd %0, %0, #1\nstlxr %w1, %0, [%2]\ncbnz %w1, 1b"
			 : "=&r"(v), "=&r"(failed_) : "r"(p) : "memory");
}

static void add_cas(u64 *p)
{
	u64 old = ld(p), found;

	for (;;) {
		found = old;
		__asm__ volatile("casal %0, %1, [%2]" : "+r"(found) : "r"(old + 1), "r"(p) : "memory");
		if (found == old)
			return;
		old = found;
	}
}

/* The store was done: what was loaded is one value, never halves of two. */
static void add_pair(u64 *p)
{
	u64 lo, hi, a, b, failed_;

	do {
		__asm__ volatile("ldxp %0, %1, [%5]\nadd %2, %0, #1\nsub %3, %1, #1\nstxp %w4, %2, %3, [%5]"
				 : "=&r"(lo), "=&r"(hi), "=&r"(a), "=&r"(b), "=&r"(failed_) : "r"(p) : "memory");
	} while ((u32)failed_);
	check_eq(lo + hi, 0);
}

static void add_casp(u64 *p)
{
	u64 was_lo, was_hi;

	do {
		was_lo = ld(p);
		was_hi = ld(p + 1);
		register u64 lo __asm__("x0") = was_lo, hi __asm__("x1") = was_hi;
		register u64 new_lo __asm__("x2") = was_lo + 1, new_hi __asm__("x3") = was_hi - 1;

		__asm__ volatile("caspal x0, x1, x2, x3, [%4]"
				 : "+r"(lo), "+r"(hi) : "r"(new_lo), "r"(new_hi), "r"(p) : "memory");
		check_eq(lo + hi, 0); /* atomic, whether it compared equal or not */
		if (lo == was_lo && hi == was_hi)
			return;
	} while (true);
}

static void contention(u64 cpu)
{
	u64 last = 0;

	for (u32 i = 0; i < ROUNDS; i++) {
		u64 old = add_lse(&lse);

		check(!i || old > last);
		last = old;
		add_llsc(&llsc);
		add_llsc_ordered(&llsc_ordered);
		add_cas(&cas);
		add_pair(pair);
		add_casp(cas_pair);
	}
	barrier();
	check_eq(lse, cpus * ROUNDS);
	check_eq(llsc, cpus * ROUNDS);
	check_eq(llsc_ordered, cpus * ROUNDS);
	check_eq(cas, cpus * ROUNDS);
	check_eq(pair[0], cpus * ROUNDS);
	check_eq(pair[1], -(cpus * ROUNDS));
	check_eq(cas_pair[0], cpus * ROUNDS);
	check_eq(cas_pair[1], -(cpus * ROUNDS));
}

/* In turns; half of them announced by SEV, the others by the store alone, which clears the monitor. */
static void hand_over(u64 cpu)
{
	for (u64 i = 0; i < TURNS; i++) {
		u64 mine = i * cpus + cpu, now;

		__asm__ volatile("sevl\n1: wfe\nldaxr %0, [%1]\ncmp %0, %2\nb.ne 1b"
				 : "=&r"(now) : "r"(&turn), "r"(mine) : "memory", "cc");
		check_eq(plain, mine);
		plain = mine + 1;
		release(&turn, mine + 1);
		if (i & 1)
			__asm__ volatile("dsb ish\nsev" : : : "memory");
	}
	barrier();
	check_eq(plain, cpus * TURNS);
}

void guest_main(u64 cpu)
{
	smp_start(cpu);
	check(cpus == 2 || cpus == 4);
	for (u32 t = 0; t < NR_TESTS; t++)
		if (tests[t].cpus == cpus)
			run(&tests[t], cpu);
	if (cpus == 2) {
		contention(cpu);
		hand_over(cpu);
	}
	barrier();
	if (cpu == 0)
		done();
	for (;;)
		__asm__ volatile("wfi");
}
