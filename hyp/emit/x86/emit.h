/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host code (x86-64-v3) from IR. Some guest registers live in host registers across blocks (regs.h says
 * which and why), the others and NZCV in struct hyp_cpu, reached through GS; vector registers are in memory
 * between blocks.
 */
#ifndef KUSE_HYP_EMIT_X86_H
#define KUSE_HYP_EMIT_X86_H

#include "hyp/ir/ir.h"

struct hyp_cpu;
struct lift_engine; /* hyp/lift/engine.h: code cache, stubs, block table */
struct lift_block;

/* Emits b (passes have been run) at the end of the engine's code area and fills blk: entry, exits to be
 * chained, map from host to guest pc. -ENOSPC: the area is full, the caller empties it and tries again. */
int emit_block(struct lift_engine *e, const struct ir_block *b, struct lift_block *blk);

#endif
