/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which address spaces run directly. A stop costs some eight microseconds, translated code runs at a third to
 * a tenth of the speed: so it pays where the guest computes for more than three microseconds between two
 * stops.
 *
 * Whether it may is seen in translated code, where loops are looked at now and then (heat.c): since the last
 * look, how long was it from one entry into the kernel to the next? Whether it does is measured afterwards:
 * a moving average of the time from stop to stop, of whatever kind. Where that comes near to what a stop
 * alone costs, the address space is translated again, and comes back no sooner than BACKOFF_MIN later, twice
 * as long each time it proves wrong. What a stop costs is learned too: it is the shortest that was seen.
 *
 * Guest-live.
 */
#include "hyp/direct/x86/direct.h"

#define MEAN_SHIFT 5
#define MEAN_MAX 64   /* a longer run counts as so many stops' time */
#define MEAN_START 32 /* stops' time: credit for the pages that have to be mapped first */
#define LOOK 3        /* stops' time from one entry into the kernel to the next, in translated code */
#define BACKOFF_MIN 22 /* 2^22 cycles: 1.4 ms */
#define BACKOFF_MAX 30

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
		*r = (struct hyp_direct_root){ .cr3 = cr3,  .backoff = BACKOFF_MIN };
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
	r->mean = MEAN_START * cpu->direct->stop_cycles;
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

	if (!possible(d) || cpu->tlb_part != HYP_TLB_USER || cpu->code_size != 64)
		return;
	r = root_of(cpu);
	if (!r->on && d->looked_cr3 == r->cr3 && now >= r->not_before &&
	    since / (entries + 1) > LOOK * d->stop_cycles)
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

void hyp_direct_ran(struct hyp_cpu *cpu, u64 cycles)
{
	struct hyp_direct_root *r = root_of(cpu);
	struct hyp_direct *d = cpu->direct;

	d->stop_cycles = cycles < d->stop_cycles ? cycles : d->stop_cycles + (d->stop_cycles >> 12);
	cycles = MIN(cycles, MEAN_MAX * d->stop_cycles);
	r->mean += (cycles >> MEAN_SHIFT) - (r->mean >> MEAN_SHIFT);
	if (r->mean > MEAN_START / 2 * d->stop_cycles && r->backoff > BACKOFF_MIN)
		r->backoff--;
	if (r->mean < d->stop_cycles * 4 / 3 && !d->always)
		hyp_direct_give_up(cpu);
}
