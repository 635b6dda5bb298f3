/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arm's floating point in integer arithmetic, bit-exact: NaN propagation, default NaN, flush to zero,
 * tininess before rounding, all rounding modes, FPSR flags (DDI 0487, J1.3 "shared/functions/float").
 * Operands and results are bit patterns in the low bits of a u64. This is the reference; fast paths on the
 * host's FPU stand elsewhere and fall back to it.
 */
#ifndef KUSE_HYP_LIFT_ARM64_SOFTFP_H
#define KUSE_HYP_LIFT_ARM64_SOFTFP_H

#include "lib/types.h"

#define FPSR_IOC 0x01u
#define FPSR_DZC 0x02u
#define FPSR_OFC 0x04u
#define FPSR_UFC 0x08u
#define FPSR_IXC 0x10u
#define FPSR_IDC 0x80u
#define FPCR_AHP (1u << 26)
#define FPCR_DN (1u << 25)
#define FPCR_FZ (1u << 24)
#define FPCR_FZ16 (1u << 19)

/* FPCR.RMode, and what only instructions ask for. */
enum fp_round { FP_TIEEVEN, FP_POSINF, FP_NEGINF, FP_ZERO, FP_TIEAWAY, FP_ODD };

/* A format, by log2 of its bytes: 1 half, 2 single, 3 double. */
struct fp {
	u32 fpcr, flags; /* flags: FPSR bits raised so far */
	u8 size;
};

static inline enum fp_round fp_mode(const struct fp *c)
{
	return (enum fp_round)(c->fpcr >> 22 & 3);
}

u64 fp_add(struct fp *c, u64 a, u64 b);
u64 fp_sub(struct fp *c, u64 a, u64 b);
u64 fp_mul(struct fp *c, u64 a, u64 b);
u64 fp_mulx(struct fp *c, u64 a, u64 b);
u64 fp_div(struct fp *c, u64 a, u64 b);
u64 fp_sqrt(struct fp *c, u64 a);
u64 fp_muladd(struct fp *c, u64 addend, u64 a, u64 b);
u64 fp_max(struct fp *c, u64 a, u64 b);
u64 fp_min(struct fp *c, u64 a, u64 b);
u64 fp_maxnum(struct fp *c, u64 a, u64 b);
u64 fp_minnum(struct fp *c, u64 a, u64 b);
u64 fp_neg(const struct fp *c, u64 a);
u64 fp_abs(const struct fp *c, u64 a);
u64 fp_recpe(struct fp *c, u64 a);
u64 fp_rsqrte(struct fp *c, u64 a);
u64 fp_recpx(struct fp *c, u64 a);
u64 fp_recps(struct fp *c, u64 a, u64 b);
u64 fp_rsqrts(struct fp *c, u64 a, u64 b);

/* RecipEstimate(), RecipSqrtEstimate(): 9 bits in, 9 bits out. */
unsigned fp_recip_estimate(unsigned a);
unsigned fp_rsqrt_estimate(unsigned a);

/* NZCV in bits 3:0. signal: quiet NaNs raise IOC too. */
unsigned fp_compare(struct fp *c, u64 a, u64 b, bool signal);
bool fp_eq(struct fp *c, u64 a, u64 b);
bool fp_ge(struct fp *c, u64 a, u64 b);
bool fp_gt(struct fp *c, u64 a, u64 b);

/* exact: inexact results raise IXC (FRINTX). */
u64 fp_round_int(struct fp *c, u64 a, enum fp_round mode, bool exact);
/* From c->size to another format. */
u64 fp_convert(struct fp *c, u64 a, unsigned to, enum fp_round mode);
/* To a fixed-point number of `bits` with fbits of fraction, saturated; and from one (v sign or zero
 * extended). */
u64 fp_to_fixed(struct fp *c, u64 a, unsigned fbits, unsigned bits, bool u, enum fp_round mode);
u64 fp_from_fixed(struct fp *c, u64 v, unsigned fbits, bool u);

#endif
