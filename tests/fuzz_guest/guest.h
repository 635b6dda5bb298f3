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
 *   space.c    the slots, their neighbours, and the verdict
 *   main.c     cases, threads, kicks
 *   x86/, arm64/  a guest architecture's part:
 *     start.c  random page tables and other tables, random registers
 *     code.c   random code: what an adversary would try
 *     cpu.c    exits
 */
#ifndef KUSE_FUZZ_GUEST_H
#define KUSE_FUZZ_GUEST_H

#include "hyp/hyp.h"
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
/* Is a secret, or an address of this process, in there? where and at name it in the report. */
void space_look(const void *what, size_t size, const char *where, u64 at);
u8 *ram(u64 gpa);                        /* of slot 0 */
void ram_put(u32 gpa, u64 value);
u64 gpa_random(struct fuzz_rng *r);      /* a page of a slot, or near one */

/* Where the code lies, mapped at its physical address. */
#define CODE 0x20000u
#define CODE_SIZE 0x4000u

/* x86/, arm64/ */
extern const char program_name[];
extern const char *const engines[4]; /* the interpreter's name, the others' */
void memory_random(struct fuzz_rng *r); /* tables and code in slot 0 */
void cpu_start(struct fuzz_rng *r, struct hyp_cpu *cpu); /* all of its state, at random */
/* False: go on somewhere else. */
bool exit_answer(struct fuzz_rng *r, struct hyp_cpu *cpu, enum hyp_exit reason);
/* The guest goes on somewhere else, now and then in another mode. */
void cpu_restart(struct fuzz_rng *r, struct hyp_cpu *cpu);
void cpu_describe(struct hyp_cpu *cpu, char *text, size_t size);
void cpu_look(struct hyp_cpu *cpu); /* space_look at all registers */

#endif
