/* SPDX-License-Identifier: Apache-2.0 */
/* The translator's working state for one block. Private to rewrite/x86. */
#ifndef KUSE_HYP_X86_XLATE_H
#define KUSE_HYP_X86_XLATE_H

#include "hyp/rewrite/x86/decode.h"
#include "hyp/rewrite/x86/emit.h"
#include "hyp/rewrite/x86/engine.h"

#define XLATE_MAX_INSNS 48
#define XLATE_MAX_BRANCHES 4 /* conditional branches in one block */
#define XLATE_MAX_COLD 256
#define XLATE_MAX_MAPS (1 + XLATE_MAX_INSNS + XLATE_MAX_COLD + XLATE_MAX_BRANCHES)
#define XLATE_MAX_BYTES (64u << 10) /* room a block may need */

/* Code out of the hot line, emitted after the block's body. */
struct cold {
	u32 from;   /* rel32 that jumps here */
	u32 from2;  /* another one, or 0 */
	u32 resume; /* where to go on; 0: nowhere */
	bool restore_flags;
	u32 resume_check; /* with a cell: behind the look, the cell's number, how the operand is addressed */
	u16 cell;
	bool has_cell, based;
	bool hold_again; /* SITE_MEM: the code at resume expects the flags in RAX */
	u8 kind; /* enum hyp_site_kind */
	struct hyp_site site;
	u64 target;
	u32 patch;
};

/* The taken side of a conditional branch inside a block, emitted behind the block's end. */
struct side_edge {
	u32 from; /* rel32 of the branch */
	u64 target;
	struct insn *in;
};

/* One look at a cell for several accesses through the same registers (xlate_plan.c). */
struct check {
	u8 at;    /* the instruction it stands before */
	u8 first; /* that with the first access */
	u8 n;     /* accesses */
	bool write;
	bool open, conditional; /* while planning: more may join; a branch lies between */
	ZydisRegister seg, base_reg, index_reg;
	u8 base, index, scale; /* guest registers, GPR_NONE */
	s64 lo, hi;            /* displacements, as the registers are at `at` */
	s64 moved;             /* while planning: how far base is from there */
	u16 cell;
	bool stack_cell;
	u32 addend; /* gs offset */
};
#define XLATE_MAX_CHECKS HYP_MAX_CHECKS
#define PLAN_NOWHERE 0xff

struct xlate {
	struct emit e;
	struct hyp_cpu *cpu;
	struct hyp_engine *eng;
	struct hyp_block *b;
	u32 block_idx;
	u32 key;
	unsigned part, code_size;
	bool hot; /* heat.c */
	u64 page; /* linear page of the block */
	const u8 *page_host;
	struct insn *cur;
	u16 insn_state; /* INSN_MAP_* of the current instruction */
	bool flags_held; /* the guest's flags are in RAX (x_save_flags) between two instructions */
	unsigned n;
	unsigned n_cold;
	unsigned n_side;
	unsigned n_checks;
	struct check check[XLATE_MAX_CHECKS];
	int s2_check; /* whose addend S2 holds, -1: nobody's */
	struct side_edge side[XLATE_MAX_BRANCHES];
	struct cold cold[XLATE_MAX_COLD];
	struct insn insn[XLATE_MAX_INSNS];
	struct insn look; /* for looking ahead */
	/* xlate_self.c */
	bool self;       /* the block checks itself */
	unsigned n_pre;  /* entries in the instruction map in front of the instructions' */
	const u8 *where; /* the page's bytes; page_host is `copy` */
	const u8 *where2;
	u8 copy[PAGE_SIZE], copy2[16]; /* of the block's bytes in its page, and in the next one */
};

#define OFF(field) ((u32)offsetof(struct hyp_cpu, field))
#define OFF_GPR(n) (8u * (u32)(n))

/* Where guest register g lives: a host register, or NO_REG for memory. */
static inline int host_of(u8 g)
{
	return g == X86_RSP ? HRSP : g >= X86_R13 ? NO_REG : g;
}

/* The guest's code: 64-bit or 32-bit. */
static inline bool x_is64(const struct xlate *x)
{
	return x->code_size == 64;
}

/* The other segments start at 0 in the code that is translated. */
static inline bool x_has_segment_base(ZydisRegister seg)
{
	return seg == ZYDIS_REGISTER_FS || seg == ZYDIS_REGISTER_GS;
}

/* Bytes of a stack slot, of a return address, of a branch target in memory. */
static inline unsigned x_word(const struct xlate *x)
{
	return x->code_size / 8;
}

/* 32-bit addresses wrap. */
static inline u64 x_wrap(const struct xlate *x, u64 pc)
{
	return x_is64(x) ? pc : (u32)pc;
}

static inline u64 x_next(const struct xlate *x, const struct insn *in)
{
	return x_wrap(x, in->pc + in->len);
}

static inline u64 x_target(const struct xlate *x, const struct insn *in)
{
	return x_wrap(x, in->pc + in->len + (u64)in->op[0].imm.value.s);
}

/* Register move at the code's width. */
static inline void x_mov(struct xlate *x, int dst, int src)
{
	e_rr(&x->e, x_is64(x), 0x89, src, dst);
}

static inline u32 x_here(struct xlate *x)
{
	return (u32)(x->e.p - x->eng->rw);
}

/* What is emitted next is off the hot line, and the instruction's at guest_off: for profiles. */
static inline void x_note_tail(struct xlate *x, u16 guest_off)
{
	struct hyp_insn_map *m = x->eng->maps + x->eng->n_maps + x->n_pre + x->n + x->b->n_tail++;

	*m = (struct hyp_insn_map){ (u16)(x_here(x) - x->b->direct), guest_off };
}

/* xlate_mem.c */
void x_save_flags(struct xlate *x);
void x_restore_flags(struct xlate *x);
/* Flags stay in RAX over a run of instructions that neither touch flags nor RAX nor can fault: moves,
 * pushes, pops, and the branch behind them. */
bool x_can_hold_flags(const struct insn *in);
void x_release_flags(struct xlate *x);
/* S1 = linear address of the instruction's memory operand. Destroys S2; keeps flags. */
void x_address(struct xlate *x, const struct insn *in);
struct address {
	ZydisRegister base, index;
	u8 scale;
	bool wide; /* 64-bit */
	s64 disp;
};
void x_address_of(struct xlate *x, const struct address *a);
/* S1: linear -> host address; `live`: the guest's flags must survive. Destroys S2. */
void x_check(struct xlate *x, unsigned size, bool write, bool live);
/* The soft TLB's part of x_check: S1 = host address; flags destroyed. x_end_check follows. */
struct cold *x_look_up(struct xlate *x, unsigned size, bool write);
/* Keeps the flags in RAX from here on if they are live; returns whether they stay there. */
bool x_begin_check(struct xlate *x, bool live);
void x_end_check(struct xlate *x, struct cold *c, unsigned size, bool write);
u32 x_part_offset(unsigned part);
struct cold *x_cold(struct xlate *x, u8 kind, u32 from);
void x_emit_cold(struct xlate *x);
/* CALL hyp_leave with a site for instruction `in`, resuming behind it. */
void x_leave(struct xlate *x, u8 kind, const struct insn *in);
struct hyp_site x_site(struct xlate *x, u8 kind, const struct insn *in);

/* xlate_cell.c */
/* The instruction's memory operand, checked: how the host reaches it. Takes S1, S2 or both. */
struct memref x_operand(struct xlate *x, const struct insn *in, unsigned size, bool write);
/* The same for [guest's rsp + disp]. Takes S2 and destroys S1. */
struct memref x_stack(struct xlate *x, s32 disp, bool write, bool live);
/* A register of S1 and S2 that the operand does not need (any more). */
int x_spare(struct xlate *x, struct memref *m);
void x_to_s1(struct xlate *x, struct memref *m);
bool x_has_cells(const struct xlate *x); /* does the block use cells? (The stack does always.) */
bool x_check_is_stack(const struct check *p);
void x_planned_checks(struct xlate *x, unsigned i); /* those that stand before instruction i */
void x_emit_cell_cold(struct xlate *x, struct cold *c);

/* xlate_plan.c */
void x_plan(struct xlate *x);

/* xlate_copy.c */
void x_copy(struct xlate *x, const struct insn *in);
void x_lea(struct xlate *x, const struct insn *in);
void x_bit_string(struct xlate *x, const struct insn *in);
void x_vzero(struct xlate *x, const struct insn *in);

/* xlate_self.c */
void x_copy_code(struct xlate *x, const u8 *host); /* decode from a copy of the code at host */
void x_copy_second(struct xlate *x, const u8 *bytes, unsigned head, const u8 *next);
bool x_self_ends(const struct xlate *x, const struct insn *in); /* nothing may follow in the block */
bool x_self_loads(const struct xlate *x, const struct insn *in); /* its immediate is not compared */
void x_check_self(struct xlate *x);
void x_load_target(struct xlate *x, const struct insn *in);
void x_copy_loading(struct xlate *x, const struct insn *in);

/* xlate_seg.c */
/* S1: offset -> linear address, where the memory operand's segment is FS or GS. Destroys S2; keeps flags. */
void x_segment(struct xlate *x, const struct insn *in);
void x_segment_base(struct xlate *x, ZydisRegister seg); /* 64-bit code: S1 += base. Destroys S2 */

/* xlate_str.c */
void x_string(struct xlate *x, const struct insn *in);

/* xlate_sys.c */
void x_helper(struct xlate *x, const struct insn *in);
void x_helper_site(struct xlate *x, const struct insn *in); /* the call itself */
void x_rdtsc(struct xlate *x, const struct insn *in);
void x_cli_sti(struct xlate *x, const struct insn *in);
void x_stac_clac(struct xlate *x, const struct insn *in);
void x_swapgs(struct xlate *x);
void x_pushf(struct xlate *x, const struct insn *in);
void x_mov_from_seg(struct xlate *x, const struct insn *in);
void x_mov_from_cr(struct xlate *x, const struct insn *in);
void x_read_base(struct xlate *x, const struct insn *in);
void x_write_base(struct xlate *x, const struct insn *in);

/* xlate_vec.c */
void x_gather_scatter(struct xlate *x, const struct insn *in);

/* xlate_flow.c */
void x_push_done(struct xlate *x);
void x_entry(struct xlate *x);
u8 x_live_at(struct xlate *x, u64 target);
void x_edge(struct xlate *x, u64 target);
void x_side_edges(struct xlate *x);
bool x_flow(struct xlate *x, const struct insn *in); /* false: not a branch */
void x_push(struct xlate *x, const struct insn *in);
void x_pop(struct xlate *x, const struct insn *in);
void x_leave_insn(struct xlate *x, const struct insn *in);

#endif
