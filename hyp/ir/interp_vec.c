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

/* ---- integer lanes ---- */

static u64 lane_op(unsigned op, u64 x, u64 y, unsigned bits)
{
	s64 sx = (s64)(x << (64 - bits)) >> (64 - bits), sy = (s64)(y << (64 - bits)) >> (64 - bits);

	switch (op) {
	case IR_VADD: return x + y;
	case IR_VSUB: return x - y;
	case IR_VMUL: return x * y;
	case IR_VEQ: return x == y ? ~0ull : 0;
	case IR_VGT: return sx > sy ? ~0ull : 0;
	case IR_VSMAX: return sx > sy ? x : y;
	case IR_VSMIN: return sx < sy ? x : y;
	case IR_VUMAX: return x > y ? x : y;
	default: return x < y ? x : y;
	}
}

static void v_lanes(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	union ir_val out;

	for (unsigned e = 0; e < 16u >> i->cc; e++)
		set_lane(&out, i->cc, e,
			 lane_op(i->op, get_lane(a, i->cc, e), get_lane(b, i->cc, e), 8u << i->cc));
	*r = out;
}

static void v_shift(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	unsigned bits = 8u << i->cc, by = (unsigned)i->imm;
	union ir_val out;

	for (unsigned e = 0; e < 16u >> i->cc; e++) {
		u64 x = get_lane(a, i->cc, e);
		s64 sx = (s64)(x << (64 - bits)) >> (64 - bits);
		set_lane(&out, i->cc, e,
			 i->op == IR_VSHL   ? x << by
			 : i->op == IR_VSHR ? x >> by
					    : (u64)(sx >> by));
	}
	*r = out;
}

static void v_zip(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	unsigned lanes = 16u >> i->cc, from = i->op == IR_VZIPH ? lanes / 2 : 0;
	union ir_val out;

	for (unsigned e = 0; e < lanes; e++)
		set_lane(&out, i->cc, e, get_lane(e & 1 ? b : a, i->cc, from + e / 2));
	*r = out;
}

static u64 logical(unsigned op, u64 x, u64 y)
{
	return op == IR_VAND ? x & y : op == IR_VBIC ? x & ~y : op == IR_VOR ? x | y : x ^ y;
}

static void v_logical(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	u64 hi = logical(i->op, a->x[1], b->x[1]);

	r->x[0] = logical(i->op, a->x[0], b->x[0]);
	r->x[1] = hi;
}

static void v_low(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	r->x[0] = i->cc == 3 ? a->x[0] : a->w[0];
	r->x[1] = 0;
}

static void v_ext(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	u8 both[32];

	memcpy(both, a, 16);
	memcpy(both + 16, b, 16);
	memcpy(r, both + i->imm, 16);
}

static void v_uzp(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	unsigned half = 8u >> (i->cc & 3); /* lanes of up to 8 bytes */
	union ir_val out;

	for (unsigned e = 0; e < 2 * half; e++)
		set_lane(&out, i->cc, e,
			 get_lane(e < half ? a : b, i->cc, 2 * (e % half) + (unsigned)i->imm));
	*r = out;
}

static void v_tbl(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	union ir_val out;

	for (unsigned e = 0; e < 16; e++)
		out.b[e] = b->b[e] < 16 ? a->b[b->b[e]] : 0;
	*r = out;
}

static void v_aes(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	memcpy(r, a, 16);
	ir_aes(i->cc, r->b);
}

static void v_clmul(const struct ir_insn *i, const union ir_val *a, const union ir_val *b, union ir_val *r)
{
	u64 x = a->x[i->imm], y = b->x[i->imm];
	unsigned __int128 sum = 0;

	for (unsigned k = 0; k < 64; k++)
		if (y >> k & 1)
			sum ^= (unsigned __int128)x << k;
	r->x[0] = (u64)sum;
	r->x[1] = (u64)(sum >> 64);
}

static const vec_op ops[IR_NR_OPS] = {
	[IR_VAES] = v_aes,
	[IR_VCLMUL] = v_clmul,
	[IR_VUZP] = v_uzp,
	[IR_VTBL] = v_tbl,
	[IR_VADD ... IR_VUMIN] = v_lanes,
	[IR_VZIPL] = v_zip,
	[IR_VZIPH] = v_zip,
	[IR_VSHL ... IR_VSAR] = v_shift,
	[IR_VAND ... IR_VXOR] = v_logical,
	[IR_VLOW] = v_low,
	[IR_VEXT] = v_ext,
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
