/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lifters share: registers in and out, ends of blocks. A lifter checks first that its field values are
 * allocated (return false: UNDEFINED), and writes guest state last, behind everything that may fault.
 */
#ifndef KUSE_HYP_LIFT_ARM64_LIFT_H
#define KUSE_HYP_LIFT_ARM64_LIFT_H

#include "hyp/lift/arm64/decode.h"

struct hyp_cpu;

#define A64(name, bits, text, lifter, feature) bool lifter(struct lift *, const struct a64_insn *);
#include "hyp/lift/arm64/a64.inc"
#undef A64

/* Exception classes of ESR_ELx (D17.2.37). */
#define A64_EC_FP 0x07u
#define A64_EC_SP_ALIGN 0x26u
#define A64_EC_SVC 0x15u
#define A64_EC_BRK 0x3cu
#define A64_ESR(ec, iss) ((u32)(ec) << 26 | 1u << 25 | (iss))

static inline enum ir_type lift_type(const struct a64_insn *i)
{
	return F(i, sf) ? IR_I64 : IR_I32;
}

static inline u16 lift_const(struct lift *l, enum ir_type t, u64 v)
{
	return ir_const(l->b, t, v);
}

static inline u16 lift_imm_op(struct lift *l, enum ir_op op, enum ir_type t, u16 a, u64 imm)
{
	return ir_add_insn(l->b, (struct ir_insn){ .op = op, .type = t, .a = a, .imm = (s64)imm });
}

static inline u16 lift_cc_op(struct lift *l, enum ir_op op, enum ir_type t, u8 cc, u16 a)
{
	return ir_add_insn(l->b, (struct ir_insn){ .op = op, .type = t, .a = a, .cc = cc });
}

/* Register n of the file where 31 is SP, respectively zero. */
u16 lift_get_sp(struct lift *l, enum ir_type t, unsigned n);
u16 lift_get(struct lift *l, enum ir_type t, unsigned n);
void lift_set_sp(struct lift *l, enum ir_type t, unsigned n, u16 v);
void lift_set(struct lift *l, enum ir_type t, unsigned n, u16 v);

static inline u16 lift_getf(struct lift *l)
{
	return ir1(l->b, IR_GETF, IR_FLAGS, 0);
}
static inline void lift_setf(struct lift *l, u16 f)
{
	ir1(l->b, IR_SETF, IR_VOID, f);
}

/* The same as the base of an access, for which SP must be aligned where SCTLR_EL1 says so. */
u16 lift_base(struct lift *l, unsigned n);

/* a shifted by a constant; by: 0 LSL, 1 LSR, 2 ASR, 3 ROR. */
u16 lift_shift(struct lift *l, enum ir_type t, u16 a, unsigned by, unsigned amount);
/* ExtendReg(): Rm extended as option says, shifted left. */
u16 lift_extend(struct lift *l, enum ir_type t, unsigned rm, unsigned option, unsigned shift);

u16 lift_call(struct lift *l, ir_helper fn, u16 a, u16 b, u16 c);
u16 lift_callx(struct lift *l, ir_helper fn, u16 a, u16 b, u16 c);

/* Ends of a block. */
void lift_goto(struct lift *l, u64 target, u8 kind);
void lift_gotox(struct lift *l, u16 target, u8 kind);
void lift_leave(struct lift *l, u64 target);
void lift_raise(struct lift *l, u32 esr);

/* DecodeBitMasks() for logical immediates. False: reserved. */
u64 a64_fp_imm(unsigned imm8, unsigned bits); /* VFPExpandImm() */

bool lift_bitmask(unsigned n, unsigned imms, unsigned immr, bool is64, u64 *out);

static inline s64 lift_sext(u64 v, unsigned bits)
{
	return (s64)(v << (64 - bits)) >> (64 - bits);
}

#endif
