/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Translated blocks of one CPU: executable memory, look-up, invalidation.
 *
 * Every CPU has a cache of its own: no lock, no atomic patching on the hot path, at the price of
 * translating shared code once per CPU. The memory is a memfd mapped twice, writable and executable.
 *
 * A block is found by (guest-physical address, key) and additionally knows the linear address it was
 * translated for, which its code depends on. A block never spans a page, except one made of a single
 * instruction that does. Memory of dead blocks is reused only when the whole cache is emptied; a dead
 * block's two entries are overwritten with jumps out, so links into it need no bookkeeping.
 */
#ifndef KUSE_HYP_TCACHE_H
#define KUSE_HYP_TCACHE_H

#include "hyp/cpu.h"
#include "hyp/mem/pages.h"

#define TCACHE_NONE 0xffffffffu
#define TCACHE_NO_GPA (~0ull)

struct hyp_block {
	u64 pc;     /* linear address of the first instruction */
	gpa_t gpa;  /* its guest-physical address */
	gpa_t gpa2; /* first byte in a second page, or TCACHE_NO_GPA */
	u64 looks;  /* 64-byte pieces of the first page that it also depends on: which flags code there needs */
	u32 key;    /* see hyp_block_key */
	u32 ind;    /* offset of the checked entry (r14 = pc) in the code area */
	u32 direct; /* offset of the unchecked entry */
	u32 end;    /* offset behind the last byte */
	u32 map;    /* first entry in the instruction map */
	u32 hash_next;
	u32 page_next[2]; /* next block with code in the same page (first, second) */
	union {
		u32 sum[2]; /* of the guest's bytes in the first and the second page */
		struct {    /* of a block that checks itself */
			u32 next; /* the one to try if it finds other bytes, TCACHE_NONE: none */
			u32 miss; /* offset of the jump there */
		};
	};
	u16 guest_len;
	u8 n_insns;
	bool dead;
	u16 n_tail; /* entries in the instruction map behind the instructions': code off the hot line */
	u8 fails; /* planned checks given up */
	u8 checks; /* enum tcache_checks */
};

/*
 * Blocks that check themselves (rewrite/x86/xlate_self.c) may be several for one place, with different bytes.
 * The first made of them is found by look-ups; each jumps to the next if the bytes are not its own, and the
 * last leaves translated code. They die together.
 */
enum tcache_checks { TCACHE_MARKED, TCACHE_CHECKS, TCACHE_VARIANT };
#define TCACHE_VARIANTS 4

/* Host offset from the block's direct entry -> guest offset from its pc, and which guest registers are
 * elsewhere while the instruction accesses memory. */
struct hyp_insn_map {
	u16 host;
	u16 guest; /* INSN_MAP_* */
};
#define INSN_MAP_OFFSET 0x7ffu
#define INSN_MAP_HELD 0x800u          /* the flags are in RAX, RAX in scratch[0] */
#define INSN_MAP_SPILLED(r) ((r) << 12) /* host register r's guest value is in scratch[1]; 0: none */

#define TCACHE_WATCHED 16u
#define TCACHE_HOT 64u
#define TCACHE_LOOKS 16u
#define TCACHE_NO_CELL 1024u
#define TCACHE_MOVES 64u

struct hyp_engine {
	struct hyp_code_area area;
	u8 *rw, *rx; /* its two views */
	u32 size;    /* bytes of code area */
	u32 base;    /* first byte behind the fixed stubs */
	u32 next;    /* first free byte */
	u32 stub_jc_miss, stub_leave;
	u32 cell_stub[HYP_TLB_PARTS * 2]; /* see CELL_STUB */
	u32 fast_stub[2];  /* see HYP_FAST_STUBS */
	u32 str_stub[24]; /* see HYP_FAST_STR */
	u16 n_cells[HYP_TLB_PARTS];         /* handed out last */
	u64 unplanned[256];                 /* see hyp_cell_failed */
	/* heat.c: pages found executing; by hash, hot pages and places whose cells were taken, blocks that change, a bit each */
	struct tcache_look {
		u64 page;
		u32 n;
	} look[TCACHE_LOOKS];
	u64 hot[TCACHE_HOT];
	u64 no_cell[TCACHE_NO_CELL];
	u64 moves[TCACHE_MOVES]; /* blocks whose branch at the end has a target that changes */
	bool always_hot; /* KUSE_HYP_ENGINE=hot: cells from the beginning */
	bool always_checks; /* KUSE_HYP_ENGINE=checked: all blocks check themselves */

	struct hyp_block *blocks;
	u32 n_blocks, max_blocks;
	struct hyp_insn_map *maps;
	u32 n_maps, max_maps;
	u32 *hash;                 /* block heads */
	struct tcache_page *pages; /* open addressing */
	u32 n_pages;
	u32 generation;      /* counts flushes */
	gpa_t watched[TCACHE_WATCHED]; /* pages, see tcache_watch; the newest */
	u32 n_watched;
	struct xlate *xlate; /* translator's working memory */
	bool interp_only;
};

int tcache_create(struct hyp_cpu *cpu);
void tcache_destroy(struct hyp_cpu *cpu);

/* Guest-live: */
struct hyp_block *tcache_lookup(struct hyp_engine *e, u64 pc, gpa_t gpa, u32 key);
struct hyp_block *tcache_add(struct hyp_engine *e); /* next free block, not yet findable */
void tcache_publish(struct hyp_engine *e, struct hyp_block *b);
/* The block depends on these bytes of its page, too. */
void tcache_note_look(struct hyp_block *b, unsigned off, unsigned len);
/* Checksum of the block's bytes in one of its pages, which is at `page` on the host. */
u32 tcache_block_sum(const struct hyp_block *b, unsigned which, const u8 *page);
/* Kills the blocks with code in gpa's page whose bytes are no longer those they were made from. */
void tcache_compare_page(struct hyp_cpu *cpu, gpa_t gpa, const u8 *page);
/* A page whose code a device may write over without a TLB flush in between: user code in a page that is
 * writable, too. It is compared whenever the CPU is entered (tcache_compare_watched), and not only when a
 * block is looked up. */
void tcache_watch(struct hyp_engine *e, gpa_t gpa);
void tcache_compare_watched(struct hyp_cpu *cpu);
/* The direct entry of dead block `b` leads to the code at offset `to` from now on. */
void tcache_forward(struct hyp_engine *e, struct hyp_block *b, u32 to);
void tcache_kill(struct hyp_engine *e, struct hyp_block *b);
/* The block that checks itself at that place is dropped with its variants, if they are as many as may be. */
bool tcache_limit_variants(struct hyp_engine *e, u64 pc, gpa_t gpa, u32 key);
struct hyp_block *tcache_find_host(struct hyp_engine *e, u64 host_pc);
/* Where the guest was when host_pc ran, as a linear address; 0 where no block is there any more. */
u64 tcache_guest_pc(struct hyp_engine *e, u64 host_pc);

#endif
