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
 * What is known of a page is forgotten when another one needs the slot. How the mark goes: sync.c.
 * Guest-live.
 */
#include "hyp/mem/reuse.h"

#define REUSE_STORES_MAX (1u << 17)
#define REUSE_SOON (1u << 23)  /* 3 to 4 ms */
#define REUSE_LATER (1u << 28) /* a tenth of a second */

/* The slot has another page, or it is time to look again. */
void hyp_reuse_look(struct hyp_cpu *cpu, gpa_t gpa)
{
	struct hyp_reuse *u = hyp_reuse_slot(cpu, gpa);
	u64 since = __builtin_ia32_rdtsc() - u->when;

	if (u->page != (gpa >> PAGE_SHIFT) + 1) {
		*u = (struct hyp_reuse){ .page = (gpa >> PAGE_SHIFT) + 1, .stores = 1, .limit = HYP_REUSE_STORES };
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
