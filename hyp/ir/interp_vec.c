/* SPDX-License-Identifier: Apache-2.0 */
/* Vector operations of the reference interpreter: one function each, found by a table. */
#include <string.h>

#include "hyp/ir/interp.h"

typedef void (*vec_op)(const struct ir_insn *i, const union ir_val *a, const union ir_val *b,
		       union ir_val *r);

static u64 get_lane(const union ir_val *v, unsigned size, unsigned lane)
{
	u64 x = 0;

	memcpy(&x, v->b + (lane << size), 1u << size);
	return x;
}

static void set_lane(union ir_val *v, unsigned size, unsigned lane, u64 x)
{
	memcpy(v->b + (lane << size), &x, 1u << size);
}

static void v_const(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	r->x[0] = (u64)i->imm;
	r->x[1] = i->cc == 1 ? 0 : (u64)i->imm;
}

static void v_from(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	r->x[0] = a->x[0];
	r->x[1] = 0;
}

static void v_to(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	unsigned bits = 8u << i->cc;
	u64 x = get_lane(a, i->cc, (unsigned)i->imm);

	if (i->mem == 1)
		x = (u64)((s64)(x << (64 - bits)) >> (64 - bits));
	r->x[0] = x & ir_mask(i->type);
}

static void v_ins(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	*r = *a;
	set_lane(r, i->cc, (unsigned)i->imm, b->x[0]);
}

static void v_dup(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	for (unsigned lane = 0; lane < 16u >> i->cc; lane++)
		set_lane(r, i->cc, lane, a->x[0]);
}

static const vec_op ops[IR_NR_OPS] = {
	[IR_VCONST] = v_const,
	[IR_VFROM] = v_from,
	[IR_VTO] = v_to,
	[IR_VINS] = v_ins,
	[IR_VDUP] = v_dup,
};

void ir_interp_vec(const struct ir_insn *i, const union ir_val *val, union ir_val *r)
{
	ops[i->op](i, &val[i->a], &val[i->b], r);
}
