/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the engine for lifted code (engine.h): its blocks and where their code is.
 *
 * A block is found by (pc, gpa, key) and lies in one page. Memory of dead blocks is reused only when
 * everything is emptied; a dead block's entry is overwritten with a jump to its own way out, so links into
 * it need no bookkeeping.
 */
#ifndef KUSE_HYP_LIFT_BLOCK_H
#define KUSE_HYP_LIFT_BLOCK_H

#include "hyp/ir/ir.h"
#include "hyp/lift/engine.h"
#include "hyp/mem/pages.h"

#define LIFT_NONE 0xffffffffu

struct lift_block {
	u64 pc;
	gpa_t gpa;
	u32 key;
	u32 sum; /* of the guest's bytes */
	u32 look_sum; /* of those that passes have looked at, [look_from, look_to) in the page */
	u16 look_from, look_to;
	u32 hash_next, page_next;
	u16 guest_len, guest_insns;
	bool dead;
	u32 code;   /* entry that polls the attention word, offset in the code area; 0: none */
	u32 direct; /* entry that does not */
	u32 again;  /* way out with the block's pc: attention, or it is dead */
	u32 end;    /* offset behind the last byte */
	u32 map, n_map; /* its accesses in the engine's maps */
	const struct ir_block *ir; /* interpreted: in the engine's arena, only as long as ->n says */
};

/* Offset of a host instruction that accesses guest memory -> guest offset from the block's pc. */
struct lift_insn_map {
	u32 host;
	u16 guest;
	bool x0_saved; /* x0 is in the state meanwhile, not in its host register */
};

/* A guest page with translations. */
struct lift_page {
	u64 frame; /* number + 1; 0: free */
	u32 first; /* block */
};

#define LIFT_HASH_BITS 17
#define LIFT_PAGE_BITS 16
#define LIFT_FILLS 2048
#define LIFT_STUBS 8

struct lift_engine {
	bool interp_only;
	bool running; /* in lift_run(): GS and MXCSR are the guest's */
	struct lift_block *blocks;
	u32 n_blocks, max_blocks;
	struct lift_insn_map *maps;
	u32 n_maps, max_maps;
	u32 *hash;
	struct lift_page *pages;
	u32 n_pages;
	u32 generation; /* counts flushes */
	bool low_el1;   /* the jump cache has entries of EL1 at low addresses */
	u32 jc_key[2];  /* mode that the jump cache's entries are for, by EL */
	struct {
		u32 n; /* beyond LIFT_FILLS: not listed */
		u16 slot[LIFT_FILLS];
	} fills[2];
	u8 *arena; /* IR of interpreted blocks */
	size_t arena_used, arena_size;
	struct ir_block *work;

	/* code area: two views of one memfd */
	struct hyp_code_area area;
	u8 *rw, *rx; /* the area's */
	u32 size, base, next;
	u32 stub[LIFT_STUBS]; /* offsets of what emit/x86/stubs.c made */
	struct em *emit; /* working memory of hyp/emit */
};

/* A few hundred hot targets, far apart and aligned: they must not meet. */
#define LIFT_JC_HASH 0x9e3779b1u
static inline unsigned lift_jc_slot(u64 pc)
{
	return (u32)pc * LIFT_JC_HASH >> (32 - HYP_JC_BITS);
}

/* An address that no look-up in this slot asks for. */
#define LIFT_JC_EMPTY_SLOT ((0u - LIFT_JC_HASH) >> (32 - HYP_JC_BITS)) /* lift_jc_slot(~0) */
#define LIFT_JC_EMPTY(slot) ((slot) == LIFT_JC_EMPTY_SLOT ? 4 : ~0ull)

/* Before a look-up in the jump cache: entries of another mode go. */
void lift_check_key(struct hyp_cpu *cpu);
void lift_fill_jc(struct hyp_cpu *cpu, const struct lift_block *b);
/* The block at s.pc for the current key, translated if need be. NULL: cpu->leave says why. */
struct lift_block *lift_find_block(struct hyp_cpu *cpu, u64 pc);

#endif
