/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the emitter. One forward pass over a block; where each value is, is known at every operation:
 *
 *   constant            in the instruction that uses it, if it fits   hreg                in an allocatable
 * host register   greg                equal to what guest register greg holds: a pinned host register, or
 * memory (gs:[8 * greg])   xreg, vreg          the same for vectors: an xmm register; v[vreg] in memory
 * slot                in cpu->spill[slot]   flags               in EFLAGS (x->fl), in cpu->hflags (x->hfl),
 * or in a slot
 *
 * A value may be in several places. Guest registers are written where the IR says SET and no later; earlier
 * only where nothing in between can leave the block (em_plan's hints), which makes `add x0, x0, #1` one host
 * instruction. TRUNC and most WIDENs are no code: the value is its operand (root).
 *
 * The carry: after a host SUB, CF is the inverse of Arm's C. That is the normal form, also in memory; after
 * an ADD or AND it is Arm's own (FL_DIRECT), and CMC makes it normal where a condition needs C and Z
 * together or flags are stored.
 *
 * Host registers: RAX and RCX are temporaries of one operation; the others are in regs[] (alloc.c). GS is
 * the CPU, RSP the host's stack.
 */
#ifndef KUSE_HYP_EMIT_X86_EM_H
#define KUSE_HYP_EMIT_X86_EM_H

#include "hyp/emit/x86/emit.h"
#include "hyp/lift/block.h"
#include "hyp/rewrite/x86/emit.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

#define OFF(field) ((u32)offsetof(struct hyp_cpu, field))
#define OFF_X(g) (OFF(s.x) + 8 * (u32)(g))
#define OFF_V(g) (OFF(s.v) + 16 * (u32)(g))
#define OFF_SLOT(n) (OFF(spill) + 16 * (u32)(n))
#define OFF_HFLAGS OFF(hflags)

/* cpu->scratch */
#define EM_ARG 0     /* 0..3: operands of helpers; value (2 words) and expected value of an access that takes the slow path */
#define EM_GVA 4     /* its address */
#define EM_RESULT 5  /* 5..8 */
#define EM_SAVE 9    /* 9..12: the allocatable registers meanwhile */
#define EM_TARGET 13 /* where an indirect branch goes */
#define EM_SLOTS 32  /* cpu->spill: values; behind them, xmm registers during a slow path */
#define OFF_SCRATCH(n) (OFF(scratch) + 8 * (u32)(n))

/* host register of guest register g, or NO_REG */
extern const s8 em_pin[32];
#define EM_NR_ALLOC 4
extern const s8 em_alloc_regs[EM_NR_ALLOC];
#define EM_NR_XMM 14 /* xmm14, xmm15: temporaries */
#define XTMP 15
#define XTMP2 14

/* ---- what follows the CALL that leaves, or calls a stub ------------------------------------------------ */
enum em_site_kind {
	SITE_EDGE,    /* a direct branch to `target`, not linked yet; patch: offset of its rel32 */
	SITE_AGAIN,   /* attention, or the block is dead: back to the loop with the block's pc */
	SITE_JC_MISS, /* scratch[EM_TARGET] */
	SITE_LEAVE,   /* target is the pc */
	SITE_STATE,   /* the pc is in the state, or a helper has left */
	SITE_RAISE,   /* target: ESR; patch: guest offset */
	SITE_INTERP,  /* run the block's IR */
	/* of stubs that come back */
	SITE_CALL,    /* target: ir_helper */
	SITE_CALLX,   /* the same with pc (patch: guest offset) and flags */
	SITE_MEM,     /* target: IR_MEM_*, op << 16, cc << 32, pair << 40; patch: guest offset */
};

struct em_site {
	u32 block;
	u32 kind;
	u64 target;
	u32 patch;
} __attribute__((packed));

/* ---- values ---- */
struct em_val {
	u16 root;
	u16 last; /* operation that uses it last */
	u16 uses;
	s8 hreg, greg, xreg, vreg, slot;
	s8 hint;  /* pinned guest register to compute it in */
	bool deferred; /* emitted with its only user */
	bool fused;    /* flags that the SUB or ADD before leaves in EFLAGS */
	bool fuse;     /* such a SUB or ADD */
	u32 gmask; /* guest registers it is read from or written to in this block */
	u16 gnext; /* list of values with the same greg */
};

enum { FL_NONE, FL_INVERTED, FL_DIRECT };

struct em_cold {
	u8 kind; /* COLD_* */
	u32 from, back; /* code offsets: rel32 to patch; where to go on */
	u32 xmm; /* registers live */
	u16 v;   /* operation */
	s8 base, reg[2];  /* host registers: address, n_reg values; NO_REG: a constant is stored */
	s8 dst[2];        /* results, or NO_REG */
	u8 n_reg;
	s32 disp;
	u64 konst[2];
	bool pair;
	u32 more[3];      /* other ways here, 0: none */
	u64 target;
	u32 guest;
};
enum { COLD_MEM, COLD_EDGE, COLD_CROSS, COLD_LEAVE, COLD_RAISE, COLD_FP, COLD_SPIN };

struct em {
	struct emit e;
	struct lift_engine *eng;
	struct lift_block *blk;
	const struct ir_block *b;
	u8 *limit;
	bool failed; /* something cannot be emitted: the block is interpreted */
	bool full;
	u32 v;       /* operation being emitted */
	u32 guest;   /* offset of its instruction */
	u32 locked, xlocked; /* host registers its operands are in */
	u16 in_reg[16], in_xmm[16]; /* roots */
	u64 slots;
	u16 ghead[32], vhead[32];
	u16 fl;
	u8 fl_kind;
	u16 hfl; /* flags value that cpu->hflags holds */
	struct {
		u16 op, a, b; /* of the flags operation that EFLAGS would satisfy; roots. 0: none */
	} done;
	struct em_cold cold[512];
	u32 n_cold;
	struct em_val val[IR_MAX_INSNS];
};

static inline const struct ir_insn *em_insn(const struct em *x, u32 v)
{
	return &x->b->ir[v];
}
static inline u16 em_root(const struct em *x, u16 v)
{
	return x->val[v].root;
}
static inline bool em_is_const(const struct em *x, u16 v)
{
	return x->b->ir[x->val[v].root].op == IR_CONST;
}
static inline u64 em_const(const struct em *x, u16 v)
{
	const struct ir_insn *i = &x->b->ir[x->val[v].root];

	return x->b->ir[v].type == IR_I32 ? (u32)i->imm : (u64)i->imm;
}
static inline bool em_wide(const struct em *x, u16 v)
{
	return x->b->ir[v].type == IR_I64;
}
static inline u32 em_here(const struct em *x)
{
	return (u32)(x->e.p - x->eng->rw);
}
static inline bool em_fits(u64 c)
{
	return (u64)(s64)(s32)c == c;
}

/* ---- plan.c ---- */
void em_plan(struct em *x);

/* ---- alloc.c: the values of one operation ---- */
/* Host register that holds v (its low half where v is I32); not to be written. Locked until the operation
 * ends. */
int em_use(struct em *x, u16 v);
/* Operand of an instruction that takes a register, memory or an immediate (sign extended 32 bits). */
struct em_src {
	enum { SRC_REG, SRC_MEM, SRC_IMM } kind;
	s32 x; /* register, offset from GS, immediate */
};
struct em_src em_source(struct em *x, u16 v);
/* Host register for v's result. a: an operand whose register may be taken over if this is its last use,
 * 0: none. Call it when all operands have been found. */
int em_dest(struct em *x, u16 v, u16 a);
/* The result is in host register r, which is a temporary (RAX, RCX). */
void em_result(struct em *x, u16 v, int r, bool wide);
/* A free allocatable register for the operation's own use. */
int em_temp(struct em *x);
/* Frees host register r for the operation's own use; locked. */
void em_claim(struct em *x, int r);
/* v into temporary r. */
void em_load(struct em *x, int r, u16 v);
/* Guest register g is about to change: who needs its old value gets it elsewhere. */
void em_clobber_greg(struct em *x, unsigned g);
void em_clobber_vreg(struct em *x, unsigned g);
void em_set_greg(struct em *x, u16 v, unsigned g);
void em_spill_xmm(struct em *x); /* no xmm register holds a value that is only there */
u32 em_live_xmm(struct em *x);
void em_xmove(struct em *x, bool store, int xmm, u32 off);
int em_slot(struct em *x);
void em_end_op(struct em *x);
int em_xuse(struct em *x, u16 v);
int em_xdest(struct em *x, u16 v, u16 a);

/* ---- flags.c ---- */
/* EFLAGS are about to be destroyed. */
void em_clobber_flags(struct em *x);
/* Flags f into EFLAGS; the host condition for cc on them. */
u8 em_condition(struct em *x, u16 f, unsigned cc);
/* Flags into EFLAGS with CF = C (invert: CF = !C). */
void em_carry(struct em *x, u16 f, bool inverted);
void em_flags_done(struct em *x, u16 op, u16 a, u16 b);
bool em_same_value(const struct em *x, u16 a, u16 b);
void em_op_flags(struct em *x, const struct ir_insn *i);
/* A helper may change NZCV: who needs what cpu->hflags holds gets it elsewhere. */
void em_flags_leave_memory(struct em *x);

/* ---- int.c, mem.c, flow.c, vec.c: one operation ---- */
void em_op_int(struct em *x, const struct ir_insn *i);
void em_op_mem(struct em *x, const struct ir_insn *i);
void em_op_flow(struct em *x, const struct ir_insn *i);
bool em_op_vec(struct em *x, const struct ir_insn *i);
bool em_can_vec(enum ir_op op);
/* vec_int.c, fp.c: rows of vec.c's table */
bool em_op_lanes(struct em *x, const struct ir_insn *i);
bool em_op_lane_shift(struct em *x, const struct ir_insn *i);
bool em_op_vlow(struct em *x, const struct ir_insn *i);
bool em_op_vext(struct em *x, const struct ir_insn *i);
bool em_op_vuzp(struct em *x, const struct ir_insn *i);
bool em_op_vtbl(struct em *x, const struct ir_insn *i);
void em_vlow(struct em *x, unsigned size, int d, int a);
bool em_op_fp(struct em *x, const struct ir_insn *i);
bool em_op_fmla(struct em *x, const struct ir_insn *i);
bool em_op_fcvt(struct em *x, const struct ir_insn *i);
bool em_op_fcmp(struct em *x, const struct ir_insn *i);
bool em_op_ffrom(struct em *x, const struct ir_insn *i);
bool em_op_fto(struct em *x, const struct ir_insn *i);
void em_cold_fp(struct em *x, const struct em_cold *c);
void em_cold_mem(struct em *x, const struct em_cold *c);
void em_cold_flow(struct em *x, const struct em_cold *c);
void em_exit(struct em *x, struct em_site site);
struct em_cold *em_cold(struct em *x, u8 kind);
void em_call_stub(struct em *x, unsigned stub, struct em_site site);
/* mem.c, for atomic.c: base register and displacement of a + imm; */
struct em_access {
	const struct ir_insn *i;
	int base;
	s32 disp;
	unsigned size; /* of all: pairs are checked at once */
	bool write, pair;
};
void em_address(struct em *x, const struct ir_insn *i, struct em_access *a);
/* RAX = addend, RCX changed, or to the cold code; */
struct em_cold *em_check(struct em *x, const struct em_access *a);
/* the host instruction that comes now may fault. x0_saved: the guest's x0 is in cpu->s.x[0]. */
void em_note_access(struct em *x, bool x0_saved);
/* xmm registers of the set go to their places beside the slots, or come back, around a call. */
void em_keep_xmm(struct em *x, bool store, u32 live);
void em_op_atomic(struct em *x, const struct ir_insn *i);
void em_cold_spin(struct em *x, const struct em_cold *c);
/* Are v and v + 1 the halves of a pair that is done at once? */
bool em_is_pair(const struct em *x, u32 v);
bool em_bit_test(const struct em *x, u16 v, unsigned *bit);

/* ---- tramp.c ---- */
void emit_enter(struct hyp_cpu *cpu, u64 code);
extern const char emit_leave[], emit_leave_tail[], emit_stub_call[], emit_stub_mem[];

/* ---- more encodings ---- */
/* op reg, src */
static inline void em_alu(struct em *x, bool w, unsigned n, int reg, struct em_src s)
{
	if (s.kind == SRC_REG) {
		e_rr(&x->e, w, (u8)(n * 8 + 3), reg, s.x);
	} else if (s.kind == SRC_MEM) {
		e_gs(&x->e, w, (u8)(n * 8 + 3), reg, (u32)s.x);
	} else if (s.x >= -128 && s.x < 128) {
		e_rr(&x->e, w, 0x83, (int)n, reg);
		e_1(&x->e, (u8)s.x);
	} else {
		e_rr(&x->e, w, 0x81, (int)n, reg);
		e_4(&x->e, (u32)s.x);
	}
}
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

/* 0F op reg, src (register or memory) */
static inline void em_0f(struct em *x, bool w, u8 op, int reg, struct em_src s)
{
	if (s.kind == SRC_MEM)
		e_1(&x->e, 0x65);
	e_rex(&x->e, w, reg, 0, s.kind == SRC_REG ? s.x : 0);
	e_1(&x->e, 0x0f);
	e_1(&x->e, op);
	if (s.kind == SRC_REG) {
		e_1(&x->e, (u8)(0xc0 | (reg & 7) << 3 | (s.x & 7)));
	} else {
		e_1(&x->e, (u8)((reg & 7) << 3 | 4));
		e_1(&x->e, 0x25);
		e_4(&x->e, (u32)s.x);
	}
}
static inline struct em_src em_reg(int r)
{
	return (struct em_src){ SRC_REG, r };
}
static inline struct em_src em_imm(s32 v)
{
	return (struct em_src){ SRC_IMM, v };
}
static inline struct em_src em_mem(u32 off)
{
	return (struct em_src){ SRC_MEM, (s32)off };
}
/* mov reg, src */
static inline void em_mov(struct em *x, bool w, int reg, struct em_src s)
{
	if (s.kind == SRC_REG) {
		if (s.x != reg || !w)
			e_rr(&x->e, w, 0x8b, reg, s.x);
	} else if (s.kind == SRC_MEM) {
		e_gs(&x->e, w, 0x8b, reg, (u32)s.x);
	} else {
		e_mov_ri(&x->e, reg, w ? (u64)(s64)s.x : (u32)s.x);
	}
}
/* shift by an immediate: 0 rol 1 ror 4 shl 5 shr 7 sar */
static inline void em_shift(struct em *x, bool w, unsigned n, int reg, unsigned by)
{
	e_rr(&x->e, w, 0xc1, (int)n, reg);
	e_1(&x->e, (u8)by);
}
/* F6/F7 group: 2 not 3 neg 4 mul 5 imul 6 div 7 idiv */
static inline void em_f7(struct em *x, bool w, unsigned n, int reg)
{
	e_rr(&x->e, w, 0xf7, (int)n, reg);
}
/* VEX with register operands. map 1: 0F, 2: 0F38, 3: 0F3A; pp 0 none 1 66 2 F3 3 F2 */
static inline void em_vex(struct em *x, unsigned map, unsigned pp, bool w, bool l, int reg, int vvvv, int rm)
{
	e_1(&x->e, 0xc4);
	e_1(&x->e, (u8)((~reg >> 3 & 1) << 7 | 1 << 6 | (~rm >> 3 & 1) << 5 | map));
	e_1(&x->e, (u8)(w << 7 | (~vvvv & 15) << 3 | l << 2 | pp));
}
static inline void em_vex_rr(struct em *x, unsigned map, unsigned pp, bool w, u8 op, const s8 r[3])
{
	em_vex(x, map, pp, w, false, r[0], r[1], r[2]);
	e_1(&x->e, op);
	e_1(&x->e, (u8)(0xc0 | (r[0] & 7) << 3 | (r[2] & 7)));
}
/* shlx/shrx/sarx/rorx-like: dst, src shifted by count. pp: 1 shlx 3 shrx 2 sarx */
static inline void em_shiftx(struct em *x, bool w, unsigned pp, int dst, int src, int count)
{
	em_vex(x, 2, pp, w, false, dst, count, src);
	e_1(&x->e, 0xf7);
	e_1(&x->e, (u8)(0xc0 | (dst & 7) << 3 | (src & 7)));
}
static inline void em_rorx(struct em *x, bool w, int dst, int src, unsigned by)
{
	em_vex(x, 3, 3, w, false, dst, 0, src);
	e_1(&x->e, 0xf0);
	e_1(&x->e, (u8)(0xc0 | (dst & 7) << 3 | (src & 7)));
	e_1(&x->e, (u8)by);
}
static inline u32 em_jcc(struct em *x, u8 cc)
{
	e_1(&x->e, 0x0f);
	e_1(&x->e, (u8)(0x80 | cc));
	e_4(&x->e, 0);
	return em_here(x) - 4;
}
static inline u32 em_jmp(struct em *x)
{
	e_1(&x->e, 0xe9);
	e_4(&x->e, 0);
	return em_here(x) - 4;
}
static inline void em_patch(struct em *x, u32 at, u32 to)
{
	u32 rel = to - (at + 4);

	memcpy(x->eng->rw + at, &rel, 4);
}
/* short forward jump; em_land() puts its target here */
static inline u8 *em_jcc8(struct em *x, u8 cc)
{
	e_1(&x->e, (u8)(0x70 | cc));
	e_1(&x->e, 0);
	return x->e.p;
}
static inline u8 *em_jmp8(struct em *x)
{
	e_1(&x->e, 0xeb);
	e_1(&x->e, 0);
	return x->e.p;
}
static inline void em_land(struct em *x, u8 *from)
{
	from[-1] = (u8)(x->e.p - from);
}

/* host conditions */
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };

/* stubs: indexes of lift_engine.stub */
enum { STUB_LEAVE, STUB_CALL, STUB_MEM, STUB_JC_MISS, EM_NR_STUBS };

#endif
