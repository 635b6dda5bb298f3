/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector operations. A row of ops[] is a function of its own, or an AVX instruction of two or three
 * registers by lane size; what has neither is refused, and the block is interpreted. Registers 14 and 15 are
 * temporaries.
 */
#include "hyp/emit/x86/em.h"

struct row {
	bool (*fn)(struct em *x, const struct ir_insn *i); /* false: refused */
	/* dst = a op b, or op a where the operation has one operand: VEX map, prefix, opcodes by cc; 0: none */
	u8 map, pp;
	u8 op[5];
};

/* 66 0F op xmm, gpr or the reverse: op reg, rm */
static void move_66(struct em *x, bool w, u8 op, int reg, int rm)
{
	e_1(&x->e, 0x66);
	em_0f(x, w, op, reg, em_reg(rm));
}

static void vex(struct em *x, unsigned map, unsigned pp, u8 op, const s8 r[3])
{
	em_vex_rr(x, map, pp, false, op, r);
}

static bool op_getv(struct em *x, const struct ir_insn *i)
{
	if (x->val[x->v].last > x->v)
		x->val[x->v].vreg = (s8)i->imm;
	return true;
}

static bool op_setv(struct em *x, const struct ir_insn *i)
{
	int r = em_xuse(x, i->a);

	if (x->val[i->a].vreg == (s8)i->imm)
		return true;
	em_clobber_vreg(x, (unsigned)i->imm);
	em_xmove(x, true, r, OFF_V(i->imm));
	if (x->val[i->a].vreg < 0)
		x->val[i->a].vreg = (s8)i->imm;
	return true;
}

static bool op_vconst(struct em *x, const struct ir_insn *i)
{
	int d = em_xdest(x, (u16)x->v, 0);

	if (!i->imm) {
		vex(x, 1, 1, 0xef, (s8[3]){ (s8)d, (s8)d, (s8)d }); /* vpxor */
		return true;
	}
	e_mov_ri(&x->e, RAX, (u64)i->imm);
	move_66(x, true, 0x6e, d, RAX);
	if (i->cc != 1)
		vex(x, 1, 1, 0x6c, (s8[3]){ (s8)d, (s8)d, (s8)d }); /* vpunpcklqdq */
	return true;
}

static bool op_vfrom(struct em *x, const struct ir_insn *i)
{
	int a = em_use(x, i->a);

	move_66(x, em_wide(x, i->a), 0x6e, em_xdest(x, (u16)x->v, 0), a);
	return true;
}

/* pextr, pinsr: opcodes in map 0F3A by lane size */
static const u8 pextr[4] = { 0x14, 0x15, 0x16, 0x16 }, pinsr[4] = { 0x20, 0xc4, 0x22, 0x22 };

static bool op_vto(struct em *x, const struct ir_insn *i)
{
	int a = em_xuse(x, i->a), d = em_dest(x, (u16)x->v, 0);
	bool wide = i->type == IR_I64, low = i->cc == 3 && !wide; /* of a 64-bit lane */
	unsigned cc = low ? 2 : i->cc;

	if (i->cc > 3)
		return false;
	em_vex(x, 3, 1, cc == 3, false, a, 0, d);
	e_1(&x->e, pextr[cc]);
	e_1(&x->e, (u8)(0xc0 | (a & 7) << 3 | (d & 7)));
	e_1(&x->e, (u8)(low ? i->imm * 2 : i->imm));
	if (i->mem != 1 || cc == 3)
		return true;
	if (cc == 2) {
		if (wide)
			e_rr(&x->e, true, 0x63, d, d);
		return true;
	}
	em_mov(x, true, RAX, em_reg(d));
	em_0f(x, wide, cc ? 0xbf : 0xbe, d, em_reg(RAX));
	return true;
}

static bool op_vins(struct em *x, const struct ir_insn *i)
{
	int b = em_use(x, i->b), a = em_xuse(x, i->a), d = em_xdest(x, (u16)x->v, i->a);

	if (i->cc > 3)
		return false;
	em_vex(x, i->cc == 1 ? 1 : 3, 1, i->cc == 3, false, d, a, b);
	e_1(&x->e, pinsr[i->cc]);
	e_1(&x->e, (u8)(0xc0 | (d & 7) << 3 | (b & 7)));
	e_1(&x->e, (u8)i->imm);
	return true;
}

static bool op_vdup(struct em *x, const struct ir_insn *i)
{
	static const u8 broadcast[4] = { 0x78, 0x79, 0x58, 0x59 }; /* vpbroadcastb, w, d, q */
	int a = em_use(x, i->a), d = em_xdest(x, (u16)x->v, 0);

	if (i->cc > 3)
		return false;
	move_66(x, em_wide(x, i->a), 0x6e, d, a);
	vex(x, 2, 1, broadcast[i->cc], (s8[3]){ (s8)d, 0, (s8)d });
	return true;
}

/*
 * The host's rounds end with the key, A64's begin with it: a zero key gives the steps alone. MixColumns has
 * no instruction of its own: a round, behind what undoes its first half.
 */
static bool op_vaes(struct em *x, const struct ir_insn *i)
{
	enum { ENC = 0xdc, ENCLAST, DEC, DECLAST, IMC = 0xdb };
	bool inv = i->cc & IR_AES_INVERSE;
	s8 a, d;

	if (!__builtin_cpu_supports("aes"))
		return false;
	a = (s8)em_xuse(x, i->a);
	d = (s8)em_xdest(x, (u16)x->v, i->a);
	if (!(i->cc & IR_AES_SUB) && inv) {
		vex(x, 2, 1, IMC, (s8[3]){ d, 0, a });
		return true;
	}
	vex(x, 1, 1, 0xef, (s8[3]){ XTMP, XTMP, XTMP }); /* vpxor */
	if (!(i->cc & IR_AES_MIX)) {
		vex(x, 2, 1, inv ? DECLAST : ENCLAST, (s8[3]){ d, a, XTMP });
		return true;
	}
	if (!(i->cc & IR_AES_SUB)) {
		vex(x, 2, 1, DECLAST, (s8[3]){ d, a, XTMP });
		a = d;
	}
	vex(x, 2, 1, inv ? DEC : ENC, (s8[3]){ d, a, XTMP });
	return true;
}

static bool op_vclmul(struct em *x, const struct ir_insn *i)
{
	s8 a, b;

	if (!__builtin_cpu_supports("pclmul"))
		return false;
	a = (s8)em_xuse(x, i->a);
	b = (s8)em_xuse(x, i->b);
	vex(x, 3, 1, 0x44, (s8[3]){ (s8)em_xdest(x, (u16)x->v, i->a), a, b });
	e_1(&x->e, i->imm ? 0x11 : 0);
	return true;
}

static const struct row ops[IR_NR_OPS] = {
	[IR_VAES] = { op_vaes },
	[IR_VCLMUL] = { op_vclmul },
	[IR_VADD ... IR_VZIPH] = { em_op_lanes },
	[IR_VSHL ... IR_VSAR] = { em_op_lane_shift },
	[IR_VAND ... IR_VXOR] = { em_op_lanes },
	[IR_VLOW] = { em_op_vlow },
	[IR_VEXT] = { em_op_vext },
	[IR_VUZP] = { em_op_vuzp },
	[IR_VTBL] = { em_op_vtbl },
	[IR_VFADD ... IR_VFSQRT] = { em_op_fp },
	[IR_VFMLA] = { em_op_fmla },
	[IR_VFCVT] = { em_op_fcvt },
	[IR_VFCMP] = { em_op_fcmp },
	[IR_VFFROM] = { em_op_ffrom },
	[IR_VFTO] = { em_op_fto },
	[IR_GETV] = { op_getv },
	[IR_SETV] = { op_setv },
	[IR_VCONST] = { op_vconst },
	[IR_VFROM] = { op_vfrom },
	[IR_VTO] = { op_vto },
	[IR_VINS] = { op_vins },
	[IR_VDUP] = { op_vdup },
};

bool em_can_vec(enum ir_op op)
{
	return ops[op].fn || ops[op].map;
}

static bool simple(struct em *x, const struct ir_insn *i, const struct row *row)
{
	int a, b, d;

	if (i->cc > 4 || !row->op[i->cc])
		return false;
	a = em_xuse(x, i->a);
	b = i->b ? em_xuse(x, i->b) : a;
	d = em_xdest(x, (u16)x->v, i->a);
	vex(x, row->map, row->pp, row->op[i->cc], (s8[3]){ (s8)d, i->b ? (s8)a : 0, (s8)b });
	return true;
}

bool em_op_vec(struct em *x, const struct ir_insn *i)
{
	const struct row *row = &ops[i->op];

	return row->fn ? row->fn(x, i) : row->map ? simple(x, i, row) : false;
}
