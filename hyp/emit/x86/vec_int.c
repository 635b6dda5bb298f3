/* SPDX-License-Identifier: Apache-2.0 */
/* Integer lanes: AVX has an instruction for each of these, by lane size in another opcode map now and
 * then. */
#include "hyp/emit/x86/em.h"

#define M1(op) (0x100 | (op)) /* 66 0F */
#define M2(op) (0x200 | (op)) /* 66 0F38 */

static const u16 opcodes[IR_NR_OPS][4] = {
	[IR_VADD] = { M1(0xfc), M1(0xfd), M1(0xfe), M1(0xd4) },
	[IR_VSUB] = { M1(0xf8), M1(0xf9), M1(0xfa), M1(0xfb) },
	[IR_VMUL] = { 0, M1(0xd5), M2(0x40), 0 },
	[IR_VEQ] = { M1(0x74), M1(0x75), M1(0x76), M2(0x29) },
	[IR_VGT] = { M1(0x64), M1(0x65), M1(0x66), M2(0x37) },
	[IR_VSMAX] = { M2(0x3c), M1(0xee), M2(0x3d), 0 },
	[IR_VSMIN] = { M2(0x38), M1(0xea), M2(0x39), 0 },
	[IR_VUMAX] = { M1(0xde), M2(0x3e), M2(0x3f), 0 },
	[IR_VUMIN] = { M1(0xda), M2(0x3a), M2(0x3b), 0 },
	[IR_VZIPL] = { M1(0x60), M1(0x61), M1(0x62), M1(0x6c) },
	[IR_VZIPH] = { M1(0x68), M1(0x69), M1(0x6a), M1(0x6d) },
	[IR_VAND] = { M1(0xdb), M1(0xdb), M1(0xdb), M1(0xdb) },
	[IR_VBIC] = { M1(0xdf), M1(0xdf), M1(0xdf), M1(0xdf) },
	[IR_VOR] = { M1(0xeb), M1(0xeb), M1(0xeb), M1(0xeb) },
	[IR_VXOR] = { M1(0xef), M1(0xef), M1(0xef), M1(0xef) },
};

bool em_op_lanes(struct em *x, const struct ir_insn *i)
{
	u16 op = i->cc < 4 ? opcodes[i->op][i->cc] : 0;
	int a, b, d;

	if (!op)
		return false;
	a = em_xuse(x, i->a);
	b = em_xuse(x, i->b);
	d = em_xdest(x, (u16)x->v, i->a);
	if (i->op == IR_VBIC) { /* VPANDN inverts its first operand */
		em_vex_rr(x, op >> 8, 1, false, (u8)op, (s8[3]){ (s8)d, (s8)b, (s8)a });
		return true;
	}
	em_vex_rr(x, op >> 8, 1, false, (u8)op, (s8[3]){ (s8)d, (s8)a, (s8)b });
	return true;
}

/* 66 0F 71..73 /n imm8: the destination is in vvvv */
bool em_op_lane_shift(struct em *x, const struct ir_insn *i)
{
	unsigned n = i->op == IR_VSHL ? 6 : i->op == IR_VSHR ? 2 : 4;
	int a, d;

	if (!i->cc || i->cc > 3 || (i->op == IR_VSAR && i->cc == 3))
		return false;
	a = em_xuse(x, i->a);
	d = em_xdest(x, (u16)x->v, i->a);
	em_vex(x, 1, 1, false, false, (int)n, d, a);
	e_1(&x->e, (u8)(0x70 + i->cc));
	e_1(&x->e, (u8)(0xc0 | n << 3 | (a & 7)));
	e_1(&x->e, (u8)i->imm);
	return true;
}

bool em_op_vlow(struct em *x, const struct ir_insn *i)
{
	int a = em_xuse(x, i->a), d = em_xdest(x, (u16)x->v, i->a);

	em_vlow(x, i->cc, d, a);
	return true;
}

/* The low single or double, zero extended: VINSERTPS with a zero mask, VMOVQ. */
void em_vlow(struct em *x, unsigned size, int d, int a)
{
	if (size == 3) {
		em_vex_rr(x, 1, 2, false, 0x7e, (s8[3]){ (s8)d, 0, (s8)a });
		return;
	}
	em_vex_rr(x, 3, 1, false, 0x21, (s8[3]){ (s8)d, (s8)a, (s8)a });
	e_1(&x->e, 0x0e);
}

bool em_op_vext(struct em *x, const struct ir_insn *i)
{
	int a = em_xuse(x, i->a), b = em_xuse(x, i->b), d = em_xdest(x, (u16)x->v, i->a);

	em_vex_rr(x, 3, 1, false, 0x0f, (s8[3]){ (s8)d, (s8)b, (s8)a }); /* vpalignr */
	e_1(&x->e, (u8)i->imm);
	return true;
}

/* Lanes of bytes or halfwords, each alone in one of twice its size, packed. */
static void shift_lanes(struct em *x, unsigned n, unsigned cc, int d, int a)
{
	em_vex(x, 1, 1, false, false, (int)n, d, a);
	e_1(&x->e, (u8)(0x71 + cc));
	e_1(&x->e, (u8)(0xc0 | n << 3 | (a & 7)));
	e_1(&x->e, (u8)(8u << cc));
}

static void isolate(struct em *x, const struct ir_insn *i, int d, int a)
{
	if (!i->imm) {
		shift_lanes(x, 6, i->cc, d, a);
		a = d;
	}
	shift_lanes(x, 2, i->cc, d, a);
}

bool em_op_vuzp(struct em *x, const struct ir_insn *i)
{
	int a = em_xuse(x, i->a), b = em_xuse(x, i->b), d = em_xdest(x, (u16)x->v, i->a);

	if (i->cc == 3) { /* vpunpcklqdq, vpunpckhqdq */
		em_vex_rr(x, 1, 1, false, i->imm ? 0x6d : 0x6c, (s8[3]){ (s8)d, (s8)a, (s8)b });
	} else if (i->cc == 2) { /* vshufps */
		em_vex_rr(x, 1, 0, false, 0xc6, (s8[3]){ (s8)d, (s8)a, (s8)b });
		e_1(&x->e, i->imm ? 0xdd : 0x88);
	} else {
		isolate(x, i, XTMP, a);
		isolate(x, i, XTMP2, b);
		/* vpackuswb, vpackusdw */
		em_vex_rr(x, i->cc ? 2 : 1, 1, false, i->cc ? 0x2b : 0x67, (s8[3]){ (s8)d, XTMP, XTMP2 });
	}
	return true;
}

/* VPSHUFB takes bit 7 for beyond: adding 0x70, saturated, makes that of 16 and more. */
bool em_op_vtbl(struct em *x, const struct ir_insn *i)
{
	int a = em_xuse(x, i->a), b = em_xuse(x, i->b), d = em_xdest(x, (u16)x->v, i->a);

	e_mov_ri(&x->e, RAX, 0x7070707070707070ull);
	em_vex_rr(x, 1, 1, true, 0x6e, (s8[3]){ XTMP, 0, RAX });        /* vmovq */
	em_vex_rr(x, 1, 1, false, 0x6c, (s8[3]){ XTMP, XTMP, XTMP });   /* vpunpcklqdq */
	em_vex_rr(x, 1, 1, false, 0xdc, (s8[3]){ XTMP, XTMP, (s8)b });  /* vpaddusb */
	em_vex_rr(x, 2, 1, false, 0x00, (s8[3]){ (s8)d, (s8)a, XTMP }); /* vpshufb */
	return true;
}
