/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores on their way to a page with translations. A CPU that makes one asks the others to drop what they
 * have of the page, and then stores: in between another CPU may drop, translate again what it is just
 * executing, and be left with the old code for good. So a store of this kind is noted first, in a filter of
 * pages (cpu->storing), which is emptied when that CPU has been between two instructions (HYP_ATTN_INVAL).
 * Nobody translates code of a page that is in another CPU's filter: it is interpreted until it is not. (To
 * wait was tried: the other CPU's thread may not be running.) Ordinary stores need none of this: whoever
 * marks their page waits for their CPU (WTLB, sync.c). Guest-live.
 */
#include "hyp/mem/reuse.h"

bool hyp_stores_pending(struct hyp_cpu *cpu, gpa_t gpa)
{
	bool pending = false;

	for (struct hyp_cpu *c = cpu->as->cpus; c; c = c->as_next) {
		if (c == cpu || !(__atomic_load_n(&c->storing, __ATOMIC_SEQ_CST) & hyp_store_filter(gpa)) ||
		    !__atomic_load_n(&c->in_run, __ATOMIC_SEQ_CST))
			continue;
		hyp_attend(c, HYP_ATTN_INVAL);
		pending = true;
	}
	return pending;
}
