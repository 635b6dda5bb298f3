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
	u8 demoted; /* the place does without its cell */
} __attribute__((packed));

#define HYP_CELL_MISSES 255

/* Bytes of the check before `resume` (sub, cmp, ja), and of its first instruction. */
#define CELL_CHECK_LEN 22
#define CELL_SUB_LEN 9

/* Stubs that look the page up in the soft TLB; S2 = reference. Flags are dead or in RAX. */
enum { CELL_FILL, CELL_PASS, CELL_STUBS }; /* fill the cell; leave it alone (demoted places) */
#define CELL_STUB(part, write, kind) (((part) * 2 + (write)) * CELL_STUBS + (kind))
extern const char hyp_cell_stubs_end[]; /* they begin with hyp_cell_stubs[0] */
extern const char *const hyp_cell_stubs[HYP_TLB_PARTS * 2 * CELL_STUBS];

/* A place missed and is about to go on at host page `p`: is its cell worth keeping? Guest-live. */
void hyp_cell_judge(struct hyp_cpu *cpu, const struct hyp_cell_ref *ref, const struct hyp_site *site);

/* Copies the soft-TLB entry of gva's page to the cell of a SITE_CHECK (ref NULL: it has none, and only the
 * entry is wanted); false: there is no entry that would do. */
bool hyp_cell_refill(struct hyp_cpu *cpu, const struct hyp_cell_ref *ref, const struct hyp_site *site,
		     gva_t gva);

/* A planned check did not find its range. Often enough, and block b is made anew without plans. */
void hyp_cell_failed(struct hyp_cpu *cpu, struct hyp_block *b);
bool hyp_cell_unplanned(const struct hyp_engine *e, u64 pc);

#endif
