/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Isolation: whatever a guest executes, it reaches no memory but its slots'.
 *
 * A case is one address space with one or two CPUs that run random code under random page tables, in any
 * mode, with both engines. The RAM lies in an otherwise empty piece of host address space, each slot between
 * neighbours that are either unmapped or filled with a secret. What is found wrong:
 *   - a host signal that the engine does not explain, or an access of its own that faults: the CPU touched
 *     something that is not a slot's,
 *   - a neighbour that has changed,
 *   - in guest RAM or in a register: a secret, or a number that is an address in this process (the guest is
 *     given none and cannot guess one): the CPU let the guest see something that is not the guest's,
 *   - HYP_EXIT_INTERNAL, HYP_EXIT_HOST_FAULT, a CPU that cannot be stopped.
 *
 *   space.c   the slots, their neighbours, and the verdict
 *   start.c   random page tables, descriptor tables and registers
 *   code.c    random code: what an adversary would try
 *   main.c    cases and exits
 */
#ifndef KUSE_FUZZ_GUEST_H
#define KUSE_FUZZ_GUEST_H

#include "hyp/hyp.h"
#include "hyp/sys/x86/state.h"
#include "tests/fuzz/driver.h"

struct slot {
	u64 gpa, pages;
	u32 flags;
	u8 *hva;
};
#define NR_SLOTS 8
extern struct slot slots[NR_SLOTS];

/* space.c */
void space_up(struct fuzz_rng *r);       /* maps the slots anew, fills RAM and neighbours */
struct hyp_as *space_as(void);           /* a new address space over them */
void space_verdict(struct hyp_cpu *const *cpus, unsigned n);
u8 *ram(u64 gpa);                        /* of slot 0 */

/* start.c: linear addresses of interest, page tables, registers */
#define CODE 0x20000u      /* identity mapped */
#define CODE_SIZE 0x4000u
#define P_IDT 0x10000u
#define P_GDT 0x12000u
#define P_TSS 0x14000u
void tables_random(struct fuzz_rng *r);
void state_random(struct fuzz_rng *r, struct hyp_cpu *cpu); /* all of it */
void registers_random(struct fuzz_rng *r, struct x86_state *s); /* general ones, RIP into the code */
u64 address_random(struct fuzz_rng *r);

/* code.c */
void code_random(struct fuzz_rng *r, u8 *at, unsigned size);

#endif
