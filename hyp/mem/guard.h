/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses to guest RAM that the host refuses. The client may unmap, protect or truncate what lies behind a
 * slot at any time; a guest access there must end as -EFAULT, not as the client's death.
 *
 * C code that touches guest RAM does so under a guard: a place to go on from when the host raises SIGSEGV or
 * SIGBUS for an address inside the address space's regions (rewrite/x86/signal.c). Guards nest, one chain per
 * thread. What runs under a guard holds no lock while it touches guest RAM, and leaves state from which the
 * instruction can be tried again. Translated code needs none: its faults are mapped to the instruction.
 *
 *	struct hyp_guard g;
 *
 *	if (HYP_GUARD(&g, as))
 *		return -EFAULT;
 *	... touch guest RAM ...
 *	hyp_guard_end(&g);
 */
#ifndef KUSE_HYP_MEM_GUARD_H
#define KUSE_HYP_MEM_GUARD_H

#include "hyp/mem/as.h"

struct hyp_guard {
	void *place[5]; /* of __builtin_setjmp */
	struct hyp_as *as;
	struct hyp_guard *outer;
	u64 hva; /* the address that faulted; 0: s.exit says what happened */
};

extern __thread struct hyp_guard *hyp_guard_top __attribute__((tls_model("initial-exec")));

static inline void hyp_guard_begin(struct hyp_guard *g, struct hyp_as *as)
{
	g->as = as;
	g->outer = hyp_guard_top;
	hyp_guard_top = g;
}

static inline void hyp_guard_end(struct hyp_guard *g)
{
	hyp_guard_top = g->outer;
}

/* False first; true, with the guard ended, after a fault. It must be in the function that returns last. */
#define HYP_GUARD(g, address_space) \
	(hyp_guard_begin(g, address_space), __builtin_setjmp((g)->place) ? (hyp_guard_end(g), true) : false)

/* Is there guest RAM of the address space at this host address? Signal handler. */
bool hyp_as_is_ram(struct hyp_as *as, u64 hva);

/* Goes to the guard of the thread: the instruction needs a private page that is not there. */
__attribute__((noreturn)) void hyp_memory_fault(struct hyp_cpu *cpu, gpa_t gpa);

#endif
