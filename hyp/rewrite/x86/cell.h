/* SPDX-License-Identifier: Apache-2.0 */
/* Page cells: the first look of a memory access (see cell.c). */
#ifndef KUSE_HYP_X86_CELL_H
#define KUSE_HYP_X86_CELL_H

#include "hyp/rewrite/x86/engine.h"

/* Follows the jump to a cell stub, for the stub and for the handler of a miss. */
struct hyp_cell_ref {
	s32 resume; /* from here to the code behind the check, which loads S2 from the cell */
	u16 cell;
	u16 limit;  /* greatest offset in the page that does not cross its end */
	u8 based;   /* 1: the operand becomes [its own base + S2]; 0: [S1 + S2] */
	u8 unused;
} __attribute__((packed));

#define HYP_CELL_MISSES 255

/* The time as a cell has it. */
static inline u32 hyp_cell_now(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u32)(((u64)hi << 32 | lo) >> 10);
}

/* Stubs that look the page up in the soft TLB and fill the cell; S2 = reference. Flags are dead or in RAX. */
#define CELL_STUB(part, write) ((part) * 2 + (write))
extern const char hyp_cell_stubs_end[]; /* they begin with hyp_cell_stubs[0] */
extern const char *const hyp_cell_stubs[HYP_TLB_PARTS * 2];

/* A place of block b missed: is its cell worth keeping? Guest-live. */
void hyp_cell_judge(struct hyp_cpu *cpu, const struct hyp_cell_ref *ref, struct hyp_block *b,
		    const struct hyp_site *site);

/* Copies the soft-TLB entry of gva's page to the cell of a SITE_CHECK (ref NULL: it has none, and only the
 * entry is wanted); false: there is no entry that would do. */
bool hyp_cell_refill(struct hyp_cpu *cpu, const struct hyp_cell_ref *ref, const struct hyp_site *site,
		     gva_t gva);

/* A planned check did not find its range. Often enough, and block b is made anew without plans. */
void hyp_cell_failed(struct hyp_cpu *cpu, struct hyp_block *b);
bool hyp_cell_unplanned(const struct hyp_engine *e, u64 pc);

#endif
