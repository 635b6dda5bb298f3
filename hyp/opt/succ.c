/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What A64 code does to NZCV, by its encoding alone: enough to see that flags are dead at the end of a
 * block. Whatever is not known to leave them alone or to overwrite them reads them. The bytes looked at are
 * part of what the block is made of (ir_block.look): when they change, the block goes.
 */
#include <string.h>

#include "hyp/opt/opt.h"

#define MAX_INSNS 24
#define MAX_DEPTH 3

enum effect { READS, WRITES, NEITHER, BRANCH, BRANCH_IF };

static const struct {
	u32 mask, bits;
	u8 effect;
} classes[] = {
	{ 0x1f000000, 0x10000000, NEITHER }, /* ADR, ADRP */
	{ 0x3f800000, 0x31000000, WRITES },  /* ADDS, SUBS immediate */
	{ 0x1f800000, 0x11000000, NEITHER }, /* ADD, SUB immediate */
	{ 0x7f800000, 0x72000000, WRITES },  /* ANDS immediate */
	{ 0x1f800000, 0x12000000, NEITHER }, /* logical immediate, move wide, bit field, EXTR */
	{ 0x1f800000, 0x12800000, NEITHER },
	{ 0x1f800000, 0x13000000, NEITHER },
	{ 0x1f800000, 0x13800000, NEITHER },
	{ 0x7f000000, 0x6a000000, WRITES },  /* ANDS, BICS */
	{ 0x1f000000, 0x0a000000, NEITHER }, /* logical register */
	{ 0x3f000000, 0x2b000000, WRITES },  /* ADDS, SUBS register */
	{ 0x1f000000, 0x0b000000, NEITHER },
	{ 0x5fe00000, 0x1ac00000, NEITHER }, /* two sources */
	{ 0x5fe00000, 0x5ac00000, NEITHER }, /* one source */
	{ 0x1f000000, 0x1b000000, NEITHER }, /* three sources */
	{ 0x0a000000, 0x08000000, NEITHER }, /* loads and stores */
	{ 0xfffff01f, 0xd503201f, NEITHER }, /* hints */
	{ 0xfc000000, 0x14000000, BRANCH },
	{ 0x7e000000, 0x34000000, BRANCH_IF }, /* CBZ, CBNZ */
	{ 0x7e000000, 0x36000000, BRANCH_IF }, /* TBZ, TBNZ */
};

static enum effect effect_of(u32 raw)
{
	for (unsigned k = 0; k < ARRAY_SIZE(classes); k++)
		if ((raw & classes[k].mask) == classes[k].bits)
			return (enum effect)classes[k].effect;
	return READS;
}

static s64 offset_of(u32 raw)
{
	if (effect_of(raw) == BRANCH)
		return (s32)(raw << 6) >> 4;
	if (raw & 0x02000000)
		return (s32)(raw << 13) >> 16 & ~3;
	return (s32)(raw << 8) >> 11 & ~3;
}

static u32 read_insn(struct ir_block *b, const u8 *page, u64 pc)
{
	u16 off = (u16)(pc & ~PAGE_MASK);
	u32 raw;

	if (b->look.from == b->look.to) {
		b->look.from = off;
		b->look.to = off;
	}
	b->look.from = MIN(b->look.from, off);
	b->look.to = MAX(b->look.to, (u16)(off + 4));
	memcpy(&raw, page + off, 4);
	return raw;
}

static bool dead_at(struct ir_block *b, const u8 *page, u64 pc, unsigned depth)
{
	for (unsigned n = 0; n < MAX_INSNS; n++, pc += 4) {
		u32 raw;
		enum effect e;

		if ((pc ^ b->pc) >> PAGE_SHIFT || pc & 3)
			return false;
		raw = read_insn(b, page, pc);
		e = effect_of(raw);
		if (e == READS || e == WRITES)
			return e == WRITES;
		if (e == NEITHER)
			continue;
		if (!depth || (e == BRANCH_IF && !dead_at(b, page, pc + 4, depth - 1)))
			return false;
		return dead_at(b, page, pc + (u64)offset_of(raw), depth - 1);
	}
	return false;
}

bool opt_flags_dead_at(struct ir_block *b, const u8 *page, u64 pc)
{
	return dead_at(b, page, pc, MAX_DEPTH);
}
