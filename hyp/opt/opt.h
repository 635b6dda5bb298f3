/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes over a block of IR. Each leaves a well-formed block with the same effect; operations that go become
 * NONE. The order is that of opt_block(): forward (registers and flags known in the block, constants,
 * copies), then dead (what nobody reads).
 *
 * Flags are dropped where nothing reads them before they are written again, here or in the code that follows
 * in the same page (succ.c), although an access in between may fault: SPSR_EL1.NZCV of such an abort is then
 * an older one. No instruction can tell, since it would have to read flags that it has not computed.
 */
#ifndef KUSE_HYP_OPT_H
#define KUSE_HYP_OPT_H

#include "hyp/ir/ir.h"

/* page: contents of the guest page that the block is in; NULL: what follows the block is unknown. */
void opt_block(struct ir_block *b, const u8 *page);

void opt_forward(struct ir_block *b);
void opt_dead(struct ir_block *b, const u8 *page);

/* Are the flags overwritten before they are read, whatever way control goes from pc on? Widens b->look to
 * what it has read. */
bool opt_flags_dead_at(struct ir_block *b, const u8 *page, u64 pc);

#endif
