/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that held code once. A store to a page that is marked (HYP_PF_CODE) goes the slow way, some 65 ns.
 * When the guest gives such a page to data, the mark has to go, or a guest that runs for long gets slower
 * and slower. When it does: after HYP_REUSE_STORES stores of this CPU that hit no translation of its own.
 *
 * This may be wrong: code and data can share a page, and both be in use. Then the code is translated anew
 * and the page marked again, which takes tens of microseconds (other CPUs empty their soft TLBs). So a page
 * that is marked again soon after it lost its mark has to wait four times longer, up to REUSE_STORES_MAX,
 * where that is little beside what the slow stores take; but not longer than REUSE_LATER cycles. If it was
 * data for REUSE_SOON cycles, it begins anew: memory may go from code to data and back as often as it likes.
 *
 * A page whose code is stored into again and again (a JIT's) loses its mark too, but its code is still in
 * use: translations made of it check themselves from then on (rewrite/x86/xlate_self.c), and stores to it
 * are like any others. When: HYP_CHECK_HITS stores into translations, twice, in CHECK_SOON cycles. That
 * costs whoever executes the page, so after CHECK_FOR cycles it is marked again; twice as long each time it
 * has to come back.
 *
 * What is known of a page is forgotten when another one needs the slot. How the mark goes: sync.c.
 * Guest-live.
 */
#include "hyp/mem/reuse.h"

#define REUSE_STORES_MAX (1u << 17)
#define REUSE_SOON (1u << 23)  /* 3 to 4 ms */
#define REUSE_LATER (1u << 28) /* a tenth of a second */
#define CHECK_SOON (1u << 23)
#define CHECK_FOR (1ull << 28)
#define CHECKS_MAX 5 /* doublings of CHECK_FOR */

static void take_slot(struct hyp_reuse *u, gpa_t gpa)
{
	*u = (struct hyp_reuse){ .page = (gpa >> PAGE_SHIFT) + 1, .limit = HYP_REUSE_STORES };
}

/* The slot has another page, or it is time to look again. */
void hyp_reuse_look(struct hyp_cpu *cpu, gpa_t gpa)
{
	struct hyp_reuse *u = hyp_reuse_slot(cpu, gpa);
	u64 since = __builtin_ia32_rdtsc() - u->when;

	if (u->page != (gpa >> PAGE_SHIFT) + 1) {
		take_slot(u, gpa);
		u->stores = 1;
		return;
	}
	if (u->gone) {
		u->limit = since < REUSE_SOON ? MIN(u->limit * 4, REUSE_STORES_MAX) : HYP_REUSE_STORES;
		u->gone = false;
	}
	if ((u->stores < u->limit && since < REUSE_LATER) || !hyp_as_unmark_code(cpu, gpa))
		return;
	u->when = __builtin_ia32_rdtsc();
	u->gone = true;
	u->stores = 0;
	cpu->stats[HYP_STAT_code_reused]++;
}

/* Translations of the page are made with a mark again. Those that check themselves go: in time. */
static void calm(struct hyp_cpu *cpu, struct hyp_checked *c, u64 now)
{
	struct hyp_reuse *u = hyp_reuse_slot(cpu, c->gpa);

	hyp_as_mark_again(cpu, c->gpa);
	if (u->page == (c->gpa >> PAGE_SHIFT) + 1)
		u->calm = now;
	*c = cpu->checked[--cpu->n_checked];
}

void hyp_reuse_calm(struct hyp_cpu *cpu)
{
	u64 now = __builtin_ia32_rdtsc(), next = ~0ull;

	if (now <= cpu->calm_at)
		return;
	for (u32 i = cpu->n_checked; i-- > 0;)
		if (now > cpu->checked[i].until)
			calm(cpu, &cpu->checked[i], now);
		else
			next = MIN(next, cpu->checked[i].until);
	cpu->calm_at = next;
}

/* False: too many are. */
static bool note_checked(struct hyp_cpu *cpu, gpa_t gpa, u64 until)
{
	u32 i = 0;

	while (i < cpu->n_checked && cpu->checked[i].gpa != (gpa & PAGE_MASK))
		i++;
	if (i == HYP_CHECKED_PAGES)
		return false;
	cpu->checked[i] = (struct hyp_checked){ gpa & PAGE_MASK, until };
	cpu->calm_at = cpu->n_checked ? MIN(cpu->calm_at, until) : until;
	cpu->n_checked = MAX(cpu->n_checked, i + 1);
	return true;
}

/* HYP_CHECK_HITS stores into translations of pages that share the slot. Another CPU may have marked the page
 * since its code checks itself: then it is told again. */
void hyp_reuse_hit(struct hyp_cpu *cpu, gpa_t gpa)
{
	struct hyp_reuse *u = hyp_reuse_slot(cpu, gpa);
	u64 now = __builtin_ia32_rdtsc(), since = u->since;

	if (u->page != (gpa >> PAGE_SHIFT) + 1) {
		take_slot(u, gpa);
		since = 0;
	}
	u->since = now;
	if (now - since > CHECK_SOON)
		return;
	u->checks = now - u->calm > CHECK_FOR << u->checks ? 0 : MIN(u->checks + 1, CHECKS_MAX);
	if (!note_checked(cpu, gpa, now + (CHECK_FOR << u->checks)))
		return;
	hyp_as_check_code(cpu->as, gpa);
	hyp_as_unmark_code(cpu, gpa);
	cpu->stats[HYP_STAT_self_checked]++;
}

/* Code that another CPU stores to counts as if we did. */
void hyp_engine_drop(struct hyp_cpu *cpu, gpa_t page)
{
	if (hyp_engine_invalidate(cpu, page, PAGE_SIZE))
		hyp_reuse_note(cpu, page, true);
}
