/* SPDX-License-Identifier: Apache-2.0 */
/* Stores to pages that are marked as code: which are most likely data by now, and which are on their way. */
#ifndef KUSE_HYP_MEM_REUSE_H
#define KUSE_HYP_MEM_REUSE_H

#include "hyp/mem/as.h"

#define HYP_REUSE_STORES 128u
#define HYP_CHECK_HITS 16u

static inline struct hyp_reuse *hyp_reuse_slot(struct hyp_cpu *cpu, gpa_t gpa)
{
	return &cpu->reuse[gpa >> PAGE_SHIFT & (HYP_REUSE_PAGES - 1)];
}

/* reuse.c. Guest-live. */
void hyp_reuse_look(struct hyp_cpu *cpu, gpa_t gpa);
void hyp_reuse_hit(struct hyp_cpu *cpu, gpa_t gpa);
/* Pages that have been checking themselves for long enough are marked again. Guest-live. */
void hyp_reuse_calm(struct hyp_cpu *cpu);

/* Do translations of gpa's page have to check themselves? Guest-live. */
static inline bool hyp_must_check_itself(struct hyp_as *as, gpa_t gpa)
{
	const u8 *pf = hyp_as_pf(as, gpa);

	return pf && __atomic_load_n(pf, __ATOMIC_SEQ_CST) & HYP_PF_CHECK;
}

/* A store to a marked page. hit: into code that was translated. May take the mark back. Guest-live. */
static inline void hyp_reuse_note(struct hyp_cpu *cpu, gpa_t gpa, bool hit)
{
	struct hyp_reuse *u = hyp_reuse_slot(cpu, gpa);

	if (hit) {
		u->stores = 0; /* of another page: no harm */
		if (unlikely(++u->hits % HYP_CHECK_HITS == 0))
			hyp_reuse_hit(cpu, gpa);
	} else if (unlikely(u->page != (gpa >> PAGE_SHIFT) + 1 || ++u->stores % HYP_REUSE_STORES == 0)) {
		hyp_reuse_look(cpu, gpa);
	}
}

static inline u64 hyp_store_filter(gpa_t gpa)
{
	return 1ull << (gpa >> PAGE_SHIFT & 63);
}

/* store.c: the CPU is about to store to gpa's page, which is marked. Guest-live. */
static inline void hyp_store_begins(struct hyp_cpu *cpu, gpa_t gpa)
{
	if (unlikely(!(cpu->storing & hyp_store_filter(gpa))))
		__atomic_fetch_or(&cpu->storing, hyp_store_filter(gpa), __ATOMIC_SEQ_CST);
}

/* The CPU is between two instructions. Guest-live. */
static inline void hyp_stores_over(struct hyp_cpu *cpu)
{
	__atomic_store_n(&cpu->storing, 0, __ATOMIC_RELEASE);
}

/* May another CPU be in the middle of such a store? It is asked to say when it is not. Guest-live. */
bool hyp_stores_pending(struct hyp_cpu *cpu, gpa_t gpa);

#endif
