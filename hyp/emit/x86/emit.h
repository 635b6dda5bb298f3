/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host code (x86-64-v3) from IR. Some guest registers live in host registers across blocks (alloc.c says
 * which and why), the others and NZCV in struct hyp_cpu, reached through GS; vector registers are in memory
 * between blocks.
 */
#ifndef KUSE_HYP_EMIT_X86_H
#define KUSE_HYP_EMIT_X86_H

#include "hyp/ir/ir.h"

struct em;
struct hyp_cpu;
struct lift_engine; /* hyp/lift/block.h: code area, block table */
struct lift_block;

/* Working memory; NULL where there is none. */
struct em *emit_create(void);
void emit_destroy(struct em *x);
/* Writes the fixed stubs to the beginning of the code area and sets e->base. */
void emit_stubs(struct lift_engine *e);

/* Emits b (passes have been run) at the end of the engine's code area and fills blk: entries, map of its
 * accesses. -ENOSPC: the area is full, the caller empties it and tries again. -EOPNOTSUPP: it is for the
 * interpreter. */
int emit_block(struct lift_engine *e, const struct ir_block *b, struct lift_block *blk);
/* An entry for a block that is interpreted. */
int emit_interp_block(struct lift_engine *e, struct lift_block *blk);

/* From now on who enters blk leaves it at once. */
void emit_kill(struct lift_engine *e, const struct lift_block *blk);
/* The branch whose rel32 is at offset `patch` leads to a block; poll: by way of the attention word. */
void emit_link(struct lift_engine *e, u32 patch, const struct lift_block *to, bool poll);

/* Runs emitted code from s.pc on, as lift_run() says. */
void emit_run(struct hyp_cpu *cpu);

/* For the signal handler: where emitted code accesses guest memory at this host address, the guest's state
 * goes from the host's registers (by number) to the structure. */
void emit_fault(struct hyp_cpu *cpu, u64 host_pc, const u64 host[16]);

#endif
