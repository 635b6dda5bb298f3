/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of the reference interpreter. */
#ifndef KUSE_HYP_IR_INTERP_H
#define KUSE_HYP_IR_INTERP_H

#include "hyp/ir/ir.h"
#include "hyp/sys/arm64/cpu.h"

union ir_val {
	u64 x[2]; /* integers zero extended; flags: NZCV in bits 31:28 */
	u8 b[16];
	u16 h[8];
	u32 w[4];
	double d[2];
	float s[4];
};

/* An operation of vec_ops.inc that neither reads nor writes anything but its operands. val: all values of
 * the block. */
void ir_interp_vec(const struct ir_insn *i, const union ir_val *val, union ir_val *r);

/* VFADD to VFTO. Operands that an operation does not have point to anything. */
struct ir_fp_args {
	const union ir_val *a, *b, *c;
	bool from_i32; /* VFFROM */
};
void ir_fp(struct hyp_cpu *cpu, const struct ir_insn *i, const struct ir_fp_args *arg, union ir_val *r);
static inline bool ir_is_fp(u16 op)
{
	return op >= IR_VFADD && op <= IR_VFTO;
}

/* VAES, in place. */
void ir_aes(unsigned step, u8 v[16]);

#endif
