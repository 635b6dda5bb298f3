/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which address spaces run directly. A stop costs some eight microseconds on a quiet machine and more on a
 * busy one, since two processes take turns; translated code runs at a third to a tenth of the speed.
 *
 * Whether it may pay is seen in translated code, where loops are looked at now and then (heat.c): since the
 * last look, how long was it from one entry into the kernel to the next? Whether it does is measured
 * afterwards, in moving averages over stops of whatever kind: the time that the stub has computed, by its own
 * CPU clock, less what the signal takes it; and all the time that went by besides. Where the latter is more
 * than GAIN times the former, the address space is translated again, and comes back no sooner than
 * BACKOFF_MIN later, twice as long each time it proves wrong. A stop for a page that was only to be mapped
 * counts for a quarter, at first: most will not come again.
 *
 * Guest-live.
 */
#include "hyp/direct/x86/direct.h"

#define MEAN_SHIFT 5
#define GAIN 2              /* translated code takes that much more, at least */
#define RUN_MAX 1000000u    /* ns: a longer run counts as this */
#define LOST_MAX 40000u     /* ns: more than that is somebody else's time slice */
#define RUN_START 300000u   /* credit for the pages that have to be mapped first */
#define YOUNG 1200          /* stops */
#define PROVED 256          /* stops, after which it is no mistake: the credit would be used up */
#define LOST_START 10000u
#define LOOK_CYCLES 60000u  /* from one entry into the kernel to the next, in translated code: 20 us */
#define LOOK_AGAIN 30000000u /* and it is found in user code twice within 10 ms, or so: not mostly in the kernel */
#define BACKOFF_MIN 22      /* 2^22 cycles: 1.4 ms */
#define BACKOFF_MAX 26

static bool confined; /* atomic */

void hyp_set_confined(bool yes)
{
	__atomic_store_n(&confined, yes, __ATOMIC_SEQ_CST);
}

static bool possible(const struct hyp_direct *d)
{
	return !d->broken && !__atomic_load_n(&confined, __ATOMIC_SEQ_CST);
}

bool hyp_direct_possible(const struct hyp_cpu *cpu)
{
	return possible(cpu->direct);
}

static struct hyp_direct_root *root_of(struct hyp_cpu *cpu)
{
	u64 cr3 = (cpu->s.cr3 & PAGE_MASK) | 1;
	struct hyp_direct_root *r =
		&cpu->direct->root[(cr3 >> PAGE_SHIFT ^ cr3 >> (PAGE_SHIFT + 6)) % HYP_DIRECT_ROOTS];

	if (r->cr3 != cr3)
		*r = (struct hyp_direct_root){ .cr3 = cr3, .backoff = BACKOFF_MIN };
	return r;
}

static void remember_look(struct hyp_cpu *cpu, const struct hyp_direct_root *r, u64 now)
{
	cpu->direct->looked = now;
	cpu->direct->looked_cr3 = r->cr3;
	cpu->direct->entries = cpu->kernel_entries;
}

void hyp_direct_user(struct hyp_cpu *cpu)
{
	const struct hyp_direct_root *r = root_of(cpu);
	struct hyp_direct *d = cpu->direct;

	cpu->direct_on = cpu->direct_armed = possible(d) && (d->always || r->on);
	if (d->looked_cr3 != r->cr3)
		remember_look(cpu, r, __builtin_ia32_rdtsc());
}

static void turn_on(struct hyp_cpu *cpu, struct hyp_direct_root *r)
{
	r->on = true;
	r->run = RUN_START >> MIN((r->backoff - BACKOFF_MIN) / 2, 5); /* less, if it did not pay before */
	r->stops = 0;
	r->lost = LOST_START;
	cpu->stats[HYP_STAT_direct_on]++;
	cpu->jc_ready[HYP_TLB_USER] = false; /* SYSRET comes through C from now on (fast.c) */
	hyp_direct_user(cpu);
}

void hyp_direct_look(struct hyp_cpu *cpu)
{
	struct hyp_direct *d = cpu->direct;
	u64 now = __builtin_ia32_rdtsc(), since = now - d->looked;
	u32 entries = cpu->kernel_entries - d->entries;
	struct hyp_direct_root *r;
	bool again;

	if (!possible(d) || cpu->tlb_part != HYP_TLB_USER || cpu->code_size != 64)
		return;
	r = root_of(cpu);
	again = now - r->seen < LOOK_AGAIN;
	r->seen = now;
	if (!r->on && again && d->looked_cr3 == r->cr3 && now >= r->not_before &&
	    since / (entries + 1) > LOOK_CYCLES)
		turn_on(cpu, r);
	remember_look(cpu, r, now);
}

void hyp_direct_give_up(struct hyp_cpu *cpu)
{
	struct hyp_direct_root *r = root_of(cpu);

	cpu->stats[HYP_STAT_direct_off]++;
	cpu->direct_on = cpu->direct_armed = false;
	r->on = false;
	r->not_before = __builtin_ia32_rdtsc() + (1ull << r->backoff);
	if (r->backoff < BACKOFF_MAX)
		r->backoff++;
}

static void average(u32 *mean, u64 ns, u32 max)
{
	*mean += (u32)(MIN(ns, max) >> MEAN_SHIFT) - (*mean >> MEAN_SHIFT);
}

void hyp_direct_ran(struct hyp_cpu *cpu, u64 wall, u64 stub, bool mapped)
{
	struct hyp_direct_root *r = root_of(cpu);
	struct hyp_direct *d = cpu->direct;
	bool young = mapped && r->mapped < YOUNG;

	r->mapped += young;
	d->least = stub < d->least ? stub : d->least + (d->least >> 12);
	average(&r->run, stub - MIN(stub, d->least), RUN_MAX);
	average(&r->lost, (wall - MIN(wall, stub) + d->least) >> (young ? 2 : 0), LOST_MAX);
	if (++r->stops == PROVED)
		r->backoff = BACKOFF_MIN;
	if (r->lost > GAIN * r->run && !d->always)
		hyp_direct_give_up(cpu);
}
