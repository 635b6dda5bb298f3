/* SPDX-License-Identifier: Apache-2.0 */
/* Between softfp and the helpers of FP instructions: one instruction's FPCR in, its FPSR flags out. */
#ifndef KUSE_HYP_LIFT_ARM64_FP_H
#define KUSE_HYP_LIFT_ARM64_FP_H

#include "hyp/lift/arm64/softfp.h"
#include "hyp/lift/arm64/vec.h"

static inline struct fp fp_begin(const struct hyp_cpu *cpu, unsigned size)
{
	return (struct fp){ .fpcr = cpu->s.fpcr, .size = (u8)size };
}

static inline void fp_end(struct hyp_cpu *cpu, const struct fp *c)
{
	cpu->s.fpsr |= c->flags;
}

/* Formats by log2 of their bytes, of the field type: S, D, -, H. 0: unallocated. */
static inline unsigned fp_type_size(unsigned type)
{
	static const u8 size[] = { 2, 3, 0, 1 };
	return size[type];
}

#endif
