/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector instructions as C: what an instruction without an IR operation of its own does to v[]. A lifter
 * checks that the encoding is allocated and emits a call with the instruction word; the helper takes the
 * word apart again. One lane function an operation, found by tables indexed as the manual's (U, opcode).
 */
#ifndef KUSE_HYP_LIFT_ARM64_VEC_H
#define KUSE_HYP_LIFT_ARM64_VEC_H

#include "hyp/lift/arm64/lift.h"
#include "hyp/sys/arm64/cpu.h"

#include <string.h>

typedef __int128 i128;

#define A64_FPSR_QC (1u << 27)

/* Operands of one lane, sign or zero extended (u). A lane function returns the result, of which the low
 * bits count. */
struct lane {
	u64 x, y, d;   /* of Vn, Vm, and what Vd was */
	unsigned bits; /* of the operands */
	bool u;        /* unsigned */
	bool sat;      /* set: the result was saturated (FPSR.QC) */
	int shift;     /* of shifts by immediate */
};
typedef u64 (*lane_fn)(struct lane *l);

/* An operation of a class: which sizes it has as a vector (bits 3:0) and as a scalar (bits 7:4). */
struct vec_op {
	lane_fn fn;
	u8 sizes;
};
#define SZ_V012 0x07
#define SZ_V0123 0x0f
#define SZ_S3 0x80
#define SZ_S0123 0xf0

/* Fields of an instruction word that all classes share. */
#define W_RD(w) ((w)&31)
#define W_RN(w) ((w) >> 5 & 31)
#define W_RM(w) ((w) >> 16 & 31)
#define W_SIZE(w) ((w) >> 22 & 3)
#define W_U(w) ((w) >> 29 & 1)
#define W_Q(w) ((w) >> 30 & 1)
#define W_SCALAR(w) ((w) >> 28 & 1)

static inline u64 vec_get(const struct arm64_v *v, unsigned size, unsigned n)
{
	u64 x = 0;
	memcpy(&x, (const u8 *)v + (n << size), 1u << size);
	return x;
}

static inline u64 vec_get_s(const struct arm64_v *v, unsigned size, unsigned n)
{
	return (u64)lift_sext(vec_get(v, size, n), 8u << size);
}

static inline void vec_set(struct arm64_v *v, unsigned size, unsigned n, u64 x)
{
	memcpy((u8 *)v + (n << size), &x, 1u << size);
}

static inline u64 vec_get_ext(const struct arm64_v *v, unsigned size, unsigned n, bool u)
{
	return u ? vec_get(v, size, n) : vec_get_s(v, size, n);
}

/* Lanes of an instruction: one where it is scalar. */
static inline unsigned vec_lanes(u32 w, unsigned size)
{
	return W_SCALAR(w) ? 1 : (8u << W_Q(w)) >> size;
}

/* The call; the lifter returns what this returns. */
bool vec_call(struct lift *l, const struct a64_insn *i, ir_helper fn);
/* Is the operation allocated for size and Q (64-bit lanes need Q = 1)? */
bool vec_allowed(const struct vec_op *op, u32 w, unsigned size);
void vec_saturated(struct hyp_cpu *cpu, bool sat);

/* Lane arithmetic shared by classes (vec_int.c). */
u64 vec_sat(struct lane *l, i128 v, unsigned bits, bool u);
u64 vec_shift(struct lane *l, int shift, bool round, bool sat);
u64 vec_pmul(u64 x, u64 y);

#define LANE_FNS(X) \
	X(hadd) X(qadd) X(rhadd) X(hsub) X(qsub) X(gt) X(ge) X(shl) X(qshl) X(rshl) X(qrshl) X(max) X(min) X(abd) X(aba) \
	X(add) X(sub) X(tst) X(eq) X(mla) X(mls) X(mul) X(pmul) X(qdmulh) X(qrdmulh) X(qrdmlah) X(qrdmlsh) \
	X(suqadd) X(usqadd) X(cls) X(clz) X(cnt) X(not) X(rbit) X(qabs) X(qneg) X(gt0) X(ge0) X(eq0) X(le0) X(lt0) X(abs) X(neg)
#define X(name) u64 lane_##name(struct lane *l);
LANE_FNS(X)
#undef X

#endif
