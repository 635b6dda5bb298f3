/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct execution: guest user code that the host CPU runs as it is, in a process of its own (stub.h).
 *
 * The soft TLB, page cells and entries of blocks make user code two to ten times slower than native; large
 * programs suffer most. The stub's address space has the guest's user pages at their own linear addresses,
 * mapped from the file that backs guest RAM, so there the hardware does all that. A hand-over costs some
 * eight microseconds and a page that is mapped three more, so this is for code that computes, not for code
 * that makes a system call every microsecond: policy.c finds out which is which. The guest's kernel, and
 * all that is not 64-bit user code, stays translated.
 *
 * run.c: the hand-over. pages.c: what is mapped in each stub. Beside them scan.c (code that may not run
 * directly) and ../backing.c (which file is behind a host address).
 *
 * To the rest of hyp a stub's mappings are a part of the CPU's soft TLB: a page mapped writable is a write
 * entry (mem/as.h, WTLB); whatever flushes the TLB makes them stale, and they are walked again before the
 * stub runs next. A CPU that runs directly is *attended* by a signal (hyp_attend in hyp/cpu.h), since
 * nobody polls there.
 */
#ifndef KUSE_HYP_DIRECT_X86_DIRECT_H
#define KUSE_HYP_DIRECT_X86_DIRECT_H

#include "hyp/cpu.h"
#include "hyp/direct/x86/copy.h"
#include "hyp/direct/x86/stub.h"

/* An address space of the guest's as direct execution sees it; CR3's address names it. */
struct hyp_direct_root {
	u64 cr3;        /* | 1; 0: nothing known */
	u64 not_before; /* TSC: until then it stays translated */
	u64 seen;       /* TSC: when it was found in user code last */
	u32 run, lost;  /* ns from stop to stop, moving averages: computing, and besides */
	u32 stops;      /* since it was turned on */
	u16 mapped;     /* stops for pages, as long as they count less */
	u8 backoff;     /* not_before moves on by this power of two */
	bool on;
};
#define HYP_DIRECT_ROOTS 64

#define HYP_DIRECT_STUBS 4
#define HYP_DIRECT_LEAST 4000 /* a first guess of hyp_direct.least */

struct hyp_direct {
	bool always;   /* KUSE_HYP_ENGINE=direct */
	bool broken;   /* no stub can be had */
	bool busy;     /* atomic: in hyp_direct_run; nobody else touches the stubs then (hyp_cpu_confine) */
	u64 least;     /* ns of the stub's that a stop costs (policy.c) */
	const struct hyp_stub *measured; /* whose clock was at `used` at its last stop */
	u64 used;
	u64 looked;    /* TSC and entries into the kernel at the last look (policy.c), and whose */
	u32 entries;
	u64 looked_cr3;
	struct hyp_direct_root root[HYP_DIRECT_ROOTS];
	/* The page fault that the guest's kernel was given last: when the instruction is tried again, its page
	 * is mapped first. */
	gva_t fault;
	u64 fault_rip, fault_cr3; /* rip 0: none */
	u32 fault_error;
	struct hyp_copies copies; /* of code pages */
	struct direct_space *space[HYP_DIRECT_STUBS]; /* pages.c; the one used last is first */
};

/* Before the first run; cpu->direct stays NULL where the environment says so (KUSE_HYP_DIRECT=0). */
int hyp_direct_create(struct hyp_cpu *cpu);
void hyp_direct_destroy(struct hyp_cpu *cpu);

enum hyp_direct_end {
	HYP_DIRECT_AGAIN,     /* attention; or this cannot be run directly (cpu->direct_armed is false then) */
	HYP_DIRECT_INTERPRET, /* the interpreter is to find out what it is about the instruction at s.rip */
	HYP_DIRECT_FAULT,     /* cpu->fault is to be delivered */
};
/* Runs user code from s.rip on. The caller has called hyp_fpu_put, and hyp_direct_due is true. */
enum hyp_direct_end hyp_direct_run(struct hyp_cpu *cpu);

/* ---- policy.c, guest-live ---- */
/* The CPU has come to user code in C. */
void hyp_direct_user(struct hyp_cpu *cpu);
/* User code was found running for a while (heat.c). */
void hyp_direct_look(struct hyp_cpu *cpu);
/* From hand-over to stop it took so many ns, of which the stub has used `stub` itself.
 * mapped: the stop was for a page that is mapped now. */
void hyp_direct_ran(struct hyp_cpu *cpu, u64 wall, u64 stub, bool mapped);
/* Not after hyp_set_confined, and not where no stub can be had. */
bool hyp_direct_possible(const struct hyp_cpu *cpu);
/* This address space cannot be run directly now. */
void hyp_direct_give_up(struct hyp_cpu *cpu);

/* Is the code at s.rip to be run directly? */
static inline bool hyp_direct_due(const struct hyp_cpu *cpu)
{
	return unlikely(cpu->direct_armed) && cpu->tlb_part == HYP_TLB_USER && cpu->code_size == 64;
}

/* ---- pages.c ---- */
struct hyp_stub *hyp_direct_space(struct hyp_cpu *cpu); /* the stub of the current CR3, brought up to date; or NULL */
enum direct_fault {
	DIRECT_MAPPED,
	DIRECT_NOT_MAPPED, /* the guest has no such page, or the access is special */
	DIRECT_NOT_CODE,   /* what is there must not run directly */
	DIRECT_LATER,      /* attention first */
	DIRECT_FAULTS,     /* the page fault is the guest's, in cpu->fault */
};
/* A page fault of the stub's: maps the page where the guest may use it so. error: X86_PFEC_*. */
enum direct_fault hyp_direct_fault(struct hyp_cpu *cpu, gva_t gva, u32 error);
void hyp_direct_lost(struct hyp_cpu *cpu); /* the current stub has died */

/* ---- run.c ---- */
/* Does the guest have all state components that XSAVE has on the host? */
bool hyp_direct_all_xstate(const struct x86_state *s);

#endif
