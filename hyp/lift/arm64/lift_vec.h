/* SPDX-License-Identifier: Apache-2.0 */
/* Vector and FP instructions as IR (lift_vec.c). False: the IR has no operations for this one; nothing of
 * use was emitted. */
#ifndef KUSE_HYP_LIFT_ARM64_LIFT_VEC_H
#define KUSE_HYP_LIFT_ARM64_LIFT_VEC_H

#include "hyp/lift/arm64/lift.h"

u16 lift_getv(struct lift *l, unsigned n);
void lift_setv(struct lift *l, unsigned n, u16 v);
u16 lift_vop(struct lift *l, enum ir_op op, unsigned size, u16 a, u16 b);

bool lift_vsame_ir(struct lift *l, u32 w);
void lift_vlogical_ir(struct lift *l, u32 w);
bool lift_vmisc_ir(struct lift *l, u32 w);
bool lift_vnot_ir(struct lift *l, u32 w);
bool lift_vrev_ir(struct lift *l, u32 w, unsigned container);
bool lift_vpairwise_ir(struct lift *l, u32 w);
bool lift_vacross_ir(struct lift *l, u32 w);
bool lift_vnarrow_ir(struct lift *l, u32 w, unsigned size, int shift);
void lift_vorr_imm(struct lift *l, u32 w, bool clear, u64 imm);
bool lift_vtbl_ir(struct lift *l, u32 w);
bool lift_vfsign_ir(struct lift *l, u32 w, unsigned size);
bool lift_vshift_ir(struct lift *l, u32 w, unsigned size, int shift);
bool lift_vshll_ir(struct lift *l, u32 w, unsigned size, int shift);
bool lift_vlong_ir(struct lift *l, u32 w);
bool lift_vaddlp_ir(struct lift *l, u32 w);
bool lift_vzip_ir(struct lift *l, u32 w);
bool lift_vext_ir(struct lift *l, u32 w);

/* size: log2 of a number's bytes; 1 (half) has no operations. */
bool lift_f2_ir(struct lift *l, u32 w, unsigned size);
bool lift_f3_ir(struct lift *l, u32 w, unsigned size);
bool lift_fsqrt_ir(struct lift *l, u32 w, unsigned size);
bool lift_fcvt_ir(struct lift *l, u32 w, unsigned from, unsigned to);
bool lift_fcmp_ir(struct lift *l, u32 w, unsigned size);
bool lift_fcvtzs_ir(struct lift *l, u32 w, unsigned size);
bool lift_cvtf_ir(struct lift *l, u32 w, unsigned size);
bool lift_vfsame_ir(struct lift *l, u32 w, unsigned size);
bool lift_vfelement_ir(struct lift *l, u32 w, unsigned size);

#endif
