/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The intermediate representation between lifters (hyp/lift) and host code (hyp/emit): one block of guest
 * code as a list of operations in program order, each defining at most one value. A value is the index of
 * the operation that defines it; 0 is none. No phi: a block has one entry, and side exits only. Types are
 * checked by ir_verify().
 *
 * Guest state is read by GET/GETV/GETF/LDSTATE and written by SET/SETV/SETF/STSTATE, in program order. INSN
 * marks where an instruction begins. Whatever may leave in the middle of a block (memory accesses, CALLX,
 * RAISE) does so with the state as all earlier SETs left it and pc at the current INSN: so a lifter places
 * every SET of an instruction behind everything of it that may fault, and a pass may only drop or move a SET
 * where no such operation comes between.
 *
 * Three users, one meaning: ir_interp() runs a block (the reference, exact and slow), the passes of hyp/opt
 * rewrite it, hyp/emit makes host code of it. Tests compare the first with the last.
 */
#ifndef KUSE_HYP_IR_H
#define KUSE_HYP_IR_H

#include "lib/types.h"

enum ir_type { IR_VOID, IR_I32, IR_I64, IR_FLAGS, IR_V128 }; /* scalars of FP live in lane 0 of a V128, the rest is zero */

enum ir_op {
#define IR(name, result, a, b, c, flags, text) IR_##name,
#include "hyp/ir/ops.inc"
#undef IR
	IR_NR_OPS
};

/* flags of an operation, see ops.inc */
#define IR_F_FAULT 1u   /* may leave with a guest exception or an exit: precise state needed */
#define IR_F_EFFECT 2u  /* not to be dropped though its value is unused */
#define IR_F_END 4u     /* last of a block */
#define IR_F_STATE 8u   /* reads or writes guest state behind the IR's back: all SETs before it must be done */

struct ir_insn {
	u16 op;
	u8 type; /* enum ir_type of the result */
	u8 cc;   /* enum ir_cc; or lane size etc. as the operation says */
	u16 a, b, c;
	u16 mem;  /* IR_MEM_* of accesses */
	s64 imm;
};

/* A64 condition codes, in their encoding; evaluated on a FLAGS value. */
enum ir_cc { IR_EQ, IR_NE, IR_CS, IR_CC, IR_MI, IR_PL, IR_VS, IR_VC, IR_HI, IR_LS, IR_GE, IR_LT, IR_GT, IR_LE, IR_AL, IR_NV };

/* mem: how an access is done */
#define IR_MEM_SIZE(m) (1u << ((m) & 7)) /* bytes: log2 in bits 2:0, 0..4 */
#define IR_MEM_SIGN 8u      /* loads: sign extended to the result type; else zero extended */
#define IR_MEM_USER 16u     /* LDTR/STTR: as EL0 (unless UAO) */
#define IR_MEM_ACQ 32u      /* load acquire */
#define IR_MEM_REL 64u      /* store release */
#define IR_MEM_ALIGN 128u   /* must be aligned to its size (exclusives, ordered) whatever SCTLR.A says */
#define IR_MEM_PAIR 256u    /* first or second half of LDP/STP: an MMIO exit has no valid syndrome */
#define IR_MEM_NOISV 512u   /* the same for writeback and others */
#define IR_MEM_RT(r) ((u32)(r) << 10) /* transfer register, for the syndrome of an MMIO exit */
#define IR_MEM_SF 0x8000u   /* 64-bit transfer register (ISS.SF) */

/* cc of VAES */
#define IR_AES_SUB 1u     /* ShiftRows, SubBytes */
#define IR_AES_MIX 2u     /* MixColumns, behind them */
#define IR_AES_INVERSE 4u /* the inverses, in the same order */

#define IR_MAX_INSNS 4000

struct ir_block {
	u64 pc;          /* of the first guest instruction */
	u32 n;           /* ir[1] .. ir[n - 1] are the operations; ir[0] is unused */
	u32 guest_insns; /* lifted */
	u32 guest_len;   /* bytes */
	u32 key;         /* mode the block was lifted for (hyp/sys/arm64/cpu.h) */
	struct {
		u16 from, to;
	} look; /* offsets in the page that a pass has looked at, besides the block's own code */
	bool overflow;   /* IR_MAX_INSNS reached: the lifter must end the block earlier */
	struct ir_insn ir[IR_MAX_INSNS];
};

/* Empties b. */
void ir_block_init(struct ir_block *b, u64 pc, u32 key);

/* Builders; return the new value, 0 and b->overflow where there is no room. Constants are folded and
 * shared by the passes, not here. */
u16 ir_add_insn(struct ir_block *b, struct ir_insn i);
static inline u16 ir3(struct ir_block *b, enum ir_op op, enum ir_type t, u16 x, u16 y, u16 z)
{
	return ir_add_insn(b, (struct ir_insn){ .op = op, .type = t, .a = x, .b = y, .c = z });
}
static inline u16 ir2(struct ir_block *b, enum ir_op op, enum ir_type t, u16 x, u16 y)
{
	return ir3(b, op, t, x, y, 0);
}
static inline u16 ir1(struct ir_block *b, enum ir_op op, enum ir_type t, u16 x)
{
	return ir3(b, op, t, x, 0, 0);
}
static inline u16 ir_const(struct ir_block *b, enum ir_type t, u64 value)
{
	return ir_add_insn(b, (struct ir_insn){ .op = IR_CONST, .type = t, .imm = (s64)(t == IR_I32 ? (u32)value : value) });
}

static inline unsigned ir_width(u8 type)
{
	return type == IR_I32 ? 32 : 64;
}
static inline u64 ir_mask(u8 type)
{
	return type == IR_I32 ? 0xffffffffu : ~0ull;
}

/* NULL where the block is well formed, else what is wrong (tests, debug builds). */
const char *ir_verify(const struct ir_block *b);
/* One line a value, as in docs/ir.md. Returns the length, as snprintf. */
int ir_print(const struct ir_block *b, char *buf, size_t size);

const struct ir_op_desc {
	const char *name;
	u8 result, arg[3]; /* enum ir_type; IR_VOID: none; IR_ANY: I32 or I64, the same for all that say so */
	u8 flags;
} * ir_op_desc(enum ir_op op);
#define IR_ANY 15

#define IR_VALUE(b, v) ((b)->ir[v])

/* What CLZ, RBIT, ... compute: the interpreter and constant folding (eval.c). x, y, z: the operands, zero
 * extended, flags as NZCV in bits 31:28. Integer and flag operations without effects only. */
u64 ir_eval(const struct ir_insn *i, u64 x, u64 y, u64 z);
bool ir_can_eval(enum ir_op op);
bool ir_cond_holds(unsigned cc, u32 nzcv);

struct hyp_cpu;
/* What IR_CALL and IR_CALLX call. Ordinary C: no guest state is in host registers meanwhile except MXCSR,
 * which holds the guest's rounding mode and flags. pc is in the state for CALLX; it raises by
 * hyp_arm64_raise() or fills an exit (cpu->leave != 0). */
typedef u64 (*ir_helper)(struct hyp_cpu *cpu, u64 a, u64 b, u64 c);

#endif
