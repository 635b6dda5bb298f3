/* SPDX-License-Identifier: Apache-2.0 */
/* Floating-point operations of the reference interpreter; emitted code calls them where the host's result
 * is a NaN. */
#include <string.h>

#include "hyp/ir/interp.h"
#include "hyp/lift/arm64/softfp.h"

static u64 get(const union ir_val *v, unsigned size, unsigned lane)
{
	return size == 3 ? v->x[lane] : v->w[lane];
}

static void set(union ir_val *v, unsigned size, unsigned lane, u64 x)
{
	if (size == 3)
		v->x[lane] = x;
	else
		v->w[lane] = (u32)x;
}

static u64 lane(struct fp *c, const struct ir_insn *i, u64 a, u64 b, u64 d)
{
	switch (i->op) {
	case IR_VFADD: return fp_add(c, a, b);
	case IR_VFSUB: return fp_sub(c, a, b);
	case IR_VFMUL: return fp_mul(c, a, b);
	case IR_VFDIV: return fp_div(c, a, b);
	case IR_VFSQRT: return fp_sqrt(c, a);
	default: return fp_muladd(c, a, b, d);
	}
}

static void lanes(struct fp *c, const struct ir_insn *i, const struct ir_fp_args *arg, union ir_val *r)
{
	unsigned n = i->mem & 1 ? 1 : 16u >> i->cc;
	union ir_val out = { 0 };

	for (unsigned e = 0; e < n; e++)
		set(&out, i->cc, e,
		    lane(c, i, get(arg->a, i->cc, e), get(arg->b, i->cc, e), get(arg->c, i->cc, e)));
	*r = out;
}

void ir_fp(struct hyp_cpu *cpu, const struct ir_insn *i, const struct ir_fp_args *arg, union ir_val *r)
{
	struct fp c = { .fpcr = cpu->s.fpcr, .size = i->cc };
	u64 a = get(arg->a, i->cc, 0), x = arg->a->x[0];
	union ir_val out = { 0 };

	switch (i->op) {
	case IR_VFCVT: out.x[0] = fp_convert(&c, a, i->cc == 3 ? 2 : 3, fp_mode(&c)); break;
	case IR_VFCMP: out.x[0] = (u64)fp_compare(&c, a, get(arg->b, i->cc, 0), i->imm) << 28; break;
	case IR_VFFROM: out.x[0] = fp_from_fixed(&c, arg->from_i32 ? (u64)(s32)x : x, 0, false); break;
	case IR_VFTO:
		out.x[0] = fp_to_fixed(&c, a, 0, ir_width(i->type), false, FP_ZERO) & ir_mask(i->type);
		break;
	default: lanes(&c, i, arg, &out);
	}
	*r = out;
	cpu->s.fpsr |= c.flags;
}
