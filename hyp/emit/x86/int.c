/* SPDX-License-Identifier: Apache-2.0 */
/* Integer operations and state: one function each, found by a table. */
#include "hyp/emit/x86/em.h"

typedef void (*em_op)(struct em *x, const struct ir_insn *i);

static bool wide(const struct ir_insn *i)
{
	return i->type == IR_I64;
}

static unsigned width(const struct ir_insn *i)
{
	return ir_width(i->type);
}

/* ---- add, subtract, logic ---- */

static void op_add(struct em *x, const struct ir_insn *i)
{
	bool w = wide(i), fuse = x->val[x->v].fuse;
	u16 a = i->a, b = i->b;
	struct em_src s;
	int ra, d;

	if (em_is_const(x, a)) {
		a = i->b;
		b = i->a;
	}
	s = em_source(x, b);
	ra = em_use(x, a);
	if (fuse)
		em_clobber_flags(x);
	d = em_dest(x, (u16)x->v, s.kind == SRC_REG && s.x != ra && x->val[x->v].hint < 0 ? 0 : a);
	if (!fuse && d != ra && s.kind == SRC_IMM) {
		e_lea(&x->e, w, d, ra, NO_REG, 1, s.x);
		return;
	}
	if (!fuse && s.kind == SRC_REG && d != ra && d != s.x) {
		e_lea(&x->e, w, d, ra, s.x, 1, 0);
		return;
	}
	if (!fuse)
		em_clobber_flags(x);
	if (s.kind == SRC_REG && d == s.x) {
		em_alu(x, w, ALU_ADD, d, em_reg(ra));
	} else {
		if (d != ra)
			em_mov(x, true, d, em_reg(ra));
		em_alu(x, w, ALU_ADD, d, s);
	}
	em_flags_done(x, IR_FADD, i->a, i->b);
}

static void op_sub(struct em *x, const struct ir_insn *i)
{
	bool w = wide(i), fuse = x->val[x->v].fuse;
	struct em_src s = em_source(x, i->b);
	int a, d;

	if (em_is_const(x, i->a)) {
		em_clobber_flags(x);
		em_load(x, RAX, i->a);
		em_alu(x, w, ALU_SUB, RAX, s);
		em_result(x, (u16)x->v, RAX, w);
		em_flags_done(x, IR_FSUB, i->a, i->b);
		return;
	}
	a = em_use(x, i->a);
	if (!fuse && s.kind == SRC_IMM && s.x != (s32)0x80000000) {
		d = em_dest(x, (u16)x->v, i->a);
		if (d != a || x->fl) {
			e_lea(&x->e, w, d, a, NO_REG, 1, -s.x);
			return;
		}
		em_clobber_flags(x);
		em_alu(x, w, ALU_SUB, d, s);
		return;
	}
	em_clobber_flags(x);
	d = em_dest(x, (u16)x->v, i->a);
	if (s.kind == SRC_REG && d == s.x && d != a) {
		em_mov(x, true, RAX, em_reg(a));
		em_alu(x, w, ALU_SUB, RAX, s);
		em_mov(x, true, d, em_reg(RAX));
	} else {
		if (d != a)
			em_mov(x, true, d, em_reg(a));
		em_alu(x, w, ALU_SUB, d, s);
	}
	em_flags_done(x, IR_FSUB, i->a, i->b);
}

/* d = a op b where d may be either's register. */
static void logic(struct em *x, const struct ir_insn *i, unsigned n)
{
	bool w = wide(i);
	u16 a = i->a, b = i->b;
	struct em_src s;
	int ra, d;

	if (em_is_const(x, a)) {
		a = i->b;
		b = i->a;
	}
	s = em_source(x, b);
	ra = em_use(x, a);
	em_clobber_flags(x);
	d = em_dest(x, (u16)x->v, a);
	if (s.kind == SRC_REG && d == s.x) {
		em_alu(x, w, n, d, em_reg(ra));
	} else {
		if (d != ra)
			em_mov(x, true, d, em_reg(ra));
		em_alu(x, w, n, d, s);
	}
	em_flags_done(x, IR_FAND, (u16)x->v, 0);
}

static void op_and(struct em *x, const struct ir_insn *i) { logic(x, i, ALU_AND); }
static void op_or(struct em *x, const struct ir_insn *i) { logic(x, i, ALU_OR); }
static void op_xor(struct em *x, const struct ir_insn *i) { logic(x, i, ALU_XOR); }

/* d = a moved; for operations on one register in place. */
static int moved(struct em *x, const struct ir_insn *i)
{
	int a = em_use(x, i->a), d = em_dest(x, (u16)x->v, i->a);

	if (d != a)
		em_mov(x, wide(i), d, em_reg(a));
	return d;
}

static void op_not(struct em *x, const struct ir_insn *i)
{
	em_f7(x, wide(i), 2, moved(x, i));
}

static void op_neg(struct em *x, const struct ir_insn *i)
{
	int d = moved(x, i);

	if (x->fl && x->val[x->fl].last > x->v) { /* without touching flags */
		em_f7(x, wide(i), 2, d);
		e_lea(&x->e, wide(i), d, d, NO_REG, 1, 1);
		return;
	}
	em_clobber_flags(x);
	em_f7(x, wide(i), 3, d);
}

/* ---- shifts ---- */

static void shift(struct em *x, const struct ir_insn *i, unsigned n, unsigned pp)
{
	bool w = wide(i);
	unsigned by;
	int a, c, d;

	if (!em_is_const(x, i->b)) {
		a = em_use(x, i->a);
		c = em_use(x, i->b);
		d = em_dest(x, (u16)x->v, i->a);
		em_shiftx(x, w, pp, d, a, c);
		return;
	}
	by = (unsigned)em_const(x, i->b) & (width(i) - 1);
	if (x->fl && x->val[x->fl].last > x->v) {
		a = em_use(x, i->a);
		d = em_dest(x, (u16)x->v, i->a);
		e_mov_ri(&x->e, RAX, by);
		em_shiftx(x, w, pp, d, a, RAX);
		return;
	}
	d = moved(x, i);
	if (by) {
		em_clobber_flags(x);
		em_shift(x, w, n, d, by);
	} else if (!w) {
		em_mov(x, false, d, em_reg(d));
	}
}

static void op_shl(struct em *x, const struct ir_insn *i)
{
	unsigned by = em_is_const(x, i->b) ? (unsigned)em_const(x, i->b) & (width(i) - 1) : 0;
	int a, d;

	if (by < 1 || by > 3) {
		shift(x, i, 4, 1);
		return;
	}
	a = em_use(x, i->a);
	d = em_dest(x, (u16)x->v, i->a);
	if (d == a && !(x->fl && x->val[x->fl].last > x->v)) {
		em_clobber_flags(x);
		em_shift(x, wide(i), 4, d, by);
	} else {
		e_lea(&x->e, wide(i), d, NO_REG, a, 1u << by, 0);
	}
}
static void op_shr(struct em *x, const struct ir_insn *i) { shift(x, i, 5, 3); }
static void op_sar(struct em *x, const struct ir_insn *i) { shift(x, i, 7, 2); }

static void op_ror(struct em *x, const struct ir_insn *i)
{
	bool w = wide(i);
	int a = em_use(x, i->a), d;

	if (em_is_const(x, i->b)) {
		d = em_dest(x, (u16)x->v, i->a);
		em_rorx(x, w, d, a, (unsigned)em_const(x, i->b) & (width(i) - 1));
		return;
	}
	em_clobber_flags(x);
	em_load(x, RCX, i->b);
	d = em_dest(x, (u16)x->v, i->a);
	em_mov(x, w, d, em_reg(a));
	e_rr(&x->e, w, 0xd3, 1, d);
}

/* ---- multiply, divide ---- */

static void op_mul(struct em *x, const struct ir_insn *i)
{
	struct em_src s = em_source(x, i->b);
	bool w = wide(i);
	int a, d;

	em_clobber_flags(x);
	if (s.kind == SRC_IMM) {
		a = em_use(x, i->a);
		d = em_dest(x, (u16)x->v, i->a);
		e_rr(&x->e, w, 0x69, d, a);
		e_4(&x->e, (u32)s.x);
		return;
	}
	a = em_use(x, i->a);
	d = em_dest(x, (u16)x->v, i->a);
	if (s.kind == SRC_REG && d == s.x) {
		em_0f(x, w, 0xaf, d, em_reg(a));
		return;
	}
	if (d != a)
		em_mov(x, true, d, em_reg(a));
	em_0f(x, w, 0xaf, d, s);
}

static void mulh(struct em *x, const struct ir_insn *i, unsigned n)
{
	int b;

	em_clobber_flags(x);
	em_claim(x, RDX);
	b = em_use(x, i->b);
	em_load(x, RAX, i->a);
	em_f7(x, true, n, b);
	em_result(x, (u16)x->v, RDX, true);
}
static void op_umulh(struct em *x, const struct ir_insn *i) { mulh(x, i, 4); }
static void op_smulh(struct em *x, const struct ir_insn *i) { mulh(x, i, 5); }

/* 0 where the divisor is 0; signed: -a where it is -1, which the host refuses for the smallest number. */
static void divide(struct em *x, const struct ir_insn *i, bool sign)
{
	bool w = wide(i);
	u8 *zero, *minus = NULL, *end;

	em_clobber_flags(x);
	em_claim(x, RDX);
	em_load(x, RCX, i->b);
	em_load(x, RDX, i->a);
	e_rr(&x->e, false, 0x31, RAX, RAX);
	e_rr(&x->e, w, 0x85, RCX, RCX);
	zero = em_jcc8(x, CC_E);
	em_mov(x, w, RAX, em_reg(RDX));
	if (sign) {
		em_alu(x, w, ALU_CMP, RCX, em_imm(-1));
		minus = em_jcc8(x, CC_E);
		e_rex(&x->e, w, 0, 0, 0);
		e_1(&x->e, 0x99); /* cdq, cqo */
	} else {
		e_rr(&x->e, false, 0x31, RDX, RDX);
	}
	em_f7(x, w, sign ? 7 : 6, RCX);
	if (minus) {
		end = em_jmp8(x);
		em_land(x, minus);
		em_f7(x, w, 3, RAX);
		em_land(x, end);
	}
	em_land(x, zero);
	em_result(x, (u16)x->v, RAX, w);
}
static void op_udiv(struct em *x, const struct ir_insn *i) { divide(x, i, false); }
static void op_sdiv(struct em *x, const struct ir_insn *i) { divide(x, i, true); }

/* ---- bits ---- */

static void op_clz(struct em *x, const struct ir_insn *i)
{
	int a = em_use(x, i->a), d;

	em_clobber_flags(x);
	d = em_dest(x, (u16)x->v, i->a);
	e_1(&x->e, 0xf3);
	em_0f(x, wide(i), 0xbd, d, em_reg(a));
}

static void bswap(struct em *x, bool w, int r)
{
	e_rex(&x->e, w, 0, 0, r);
	e_1(&x->e, 0x0f);
	e_1(&x->e, (u8)(0xc8 | (r & 7)));
}

/* rax = (rax & mask) << by | (rax >> by & mask), by way of RCX and RDX */
static void swap_groups(struct em *x, u64 mask, unsigned by)
{
	em_mov(x, true, RDX, em_reg(RAX));
	em_shift(x, true, 5, RDX, by);
	e_mov_ri(&x->e, RCX, mask);
	em_alu(x, true, ALU_AND, RAX, em_reg(RCX));
	em_alu(x, true, ALU_AND, RDX, em_reg(RCX));
	em_shift(x, true, 4, RAX, by);
	em_alu(x, true, ALU_OR, RAX, em_reg(RDX));
}

static void op_rbit(struct em *x, const struct ir_insn *i)
{
	bool w = wide(i);

	em_clobber_flags(x);
	em_claim(x, RDX);
	em_load(x, RAX, i->a);
	bswap(x, w, RAX);
	swap_groups(x, 0x0f0f0f0f0f0f0f0full, 4);
	swap_groups(x, 0x3333333333333333ull, 2);
	swap_groups(x, 0x5555555555555555ull, 1);
	em_result(x, (u16)x->v, RAX, w);
}

static void op_rev(struct em *x, const struct ir_insn *i)
{
	int d;

	if (i->cc == 2 && wide(i)) {
		em_clobber_flags(x);
		em_claim(x, RDX);
		em_load(x, RAX, i->a);
		swap_groups(x, 0x00ff00ff00ff00ffull, 8);
		em_result(x, (u16)x->v, RAX, true);
		return;
	}
	d = moved(x, i);
	bswap(x, wide(i), d);
	if (i->cc == 2)
		em_rorx(x, false, d, d, 16);
	else if (i->cc == 4 && wide(i))
		em_rorx(x, true, d, d, 32);
}

/* The low `bits` of register a, extended, in d. */
static void extend(struct em *x, bool w, bool sign, unsigned bits, const s8 r[2])
{
	int d = r[0], a = r[1];

	if (bits == (w ? 64 : 32)) {
		em_mov(x, w, d, em_reg(a));
	} else if (bits == 32) { /* w */
		e_rr(&x->e, sign, sign ? 0x63 : 0x8b, d, a);
	} else if (bits == 16) {
		em_0f(x, sign && w, sign ? 0xbf : 0xb7, d, em_reg(a));
	} else if (bits == 8) {
		e_rex(&x->e, sign && w, d, 0, a);
		if (a >= 4 && a < 8 && !(sign && w) && d < 8)
			e_1(&x->e, 0x40); /* SIL, DIL, ... */
		e_1(&x->e, 0x0f);
		e_1(&x->e, sign ? 0xbe : 0xb6);
		e_1(&x->e, (u8)(0xc0 | (d & 7) << 3 | (a & 7)));
	} else {
		em_clobber_flags(x);
		if (d != a)
			em_mov(x, w, d, em_reg(a));
		if (!sign && bits < 32) {
			em_alu(x, false, ALU_AND, d, em_imm((s32)((1u << bits) - 1)));
			return;
		}
		em_shift(x, w, 4, d, (w ? 64 : 32) - bits);
		em_shift(x, w, sign ? 7 : 5, d, (w ? 64 : 32) - bits);
	}
}

static void extension(struct em *x, const struct ir_insn *i, bool sign)
{
	int a = em_use(x, i->a), d = em_dest(x, (u16)x->v, i->a);

	extend(x, wide(i), sign, (unsigned)i->imm, (s8[2]){ (s8)d, (s8)a });
}
static void op_sext(struct em *x, const struct ir_insn *i) { extension(x, i, true); }
static void op_zext(struct em *x, const struct ir_insn *i) { extension(x, i, false); }

static void field(struct em *x, const struct ir_insn *i, bool sign)
{
	unsigned lsb = (unsigned)i->imm & 63, bits = (unsigned)(i->imm >> 8), all = width(i);
	bool w = wide(i);
	int a = em_use(x, i->a), d = em_dest(x, (u16)x->v, i->a);

	if (!lsb) {
		extend(x, w, sign, bits, (s8[2]){ (s8)d, (s8)a });
		return;
	}
	em_clobber_flags(x);
	em_mov(x, w, d, em_reg(a));
	if (lsb + bits == all) {
		em_shift(x, w, sign ? 7 : 5, d, lsb);
	} else if (!sign && bits < 32) {
		em_shift(x, w, 5, d, lsb);
		extend(x, w, false, bits, (s8[2]){ (s8)d, (s8)d });
	} else {
		em_shift(x, w, 4, d, all - lsb - bits);
		em_shift(x, w, sign ? 7 : 5, d, all - bits);
	}
}
static void op_extract(struct em *x, const struct ir_insn *i) { field(x, i, false); }
static void op_sextract(struct em *x, const struct ir_insn *i) { field(x, i, true); }

static void op_deposit(struct em *x, const struct ir_insn *i)
{
	unsigned lsb = (unsigned)i->imm & 63, bits = (unsigned)(i->imm >> 8), all = width(i);
	u64 mask = ~0ull >> (64 - bits) << lsb, keep = ~mask & ir_mask(i->type);
	bool w = wide(i);
	int d;

	em_clobber_flags(x);
	em_load(x, RAX, i->b);
	if (bits < all) {
		em_shift(x, w, 4, RAX, all - bits);
		if (all - bits - lsb)
			em_shift(x, w, 5, RAX, all - bits - lsb);
	}
	em_load(x, RCX, i->a);
	if (!w || em_fits(keep)) {
		em_alu(x, w, ALU_AND, RCX, em_imm((s32)keep));
		em_alu(x, w, ALU_OR, RAX, em_reg(RCX));
		em_result(x, (u16)x->v, RAX, w);
		return;
	}
	em_mov(x, true, RCX, em_reg(RCX));
	d = em_dest(x, (u16)x->v, 0);
	e_mov_ri(&x->e, d, keep);
	em_alu(x, true, ALU_AND, d, em_reg(RCX));
	em_alu(x, true, ALU_OR, d, em_reg(RAX));
}

static void op_extr(struct em *x, const struct ir_insn *i)
{
	bool w = wide(i);
	int a = em_use(x, i->a), d;

	if (em_same_value(x, i->a, i->b)) {
		d = em_dest(x, (u16)x->v, i->a);
		em_rorx(x, w, d, a, (unsigned)i->imm);
		return;
	}
	em_clobber_flags(x);
	em_load(x, RAX, i->b);
	em_0f(x, w, 0xac, a, em_reg(RAX)); /* shrd rax, a, imm */
	e_1(&x->e, (u8)i->imm);
	em_result(x, (u16)x->v, RAX, w);
}

static void op_widen(struct em *x, const struct ir_insn *i)
{
	int a = em_use(x, i->a), d = em_dest(x, (u16)x->v, i->a);

	e_rr(&x->e, false, 0x8b, d, a);
}

static void op_widens(struct em *x, const struct ir_insn *i)
{
	int a = em_use(x, i->a), d = em_dest(x, (u16)x->v, i->a);

	e_rr(&x->e, true, 0x63, d, a);
}

static void op_crc32(struct em *x, const struct ir_insn *i)
{
	int a, b, d;

	if (i->imm != 1) { /* the host has only CRC32C */
		x->failed = true;
		return;
	}
	b = em_use(x, i->b);
	a = em_use(x, i->a);
	em_mov(x, false, RAX, em_reg(a));
	if (i->cc == 2)
		e_1(&x->e, 0x66);
	e_1(&x->e, 0xf2);
	e_rex(&x->e, i->cc == 8, RAX, 0, b);
	if (i->cc == 1 && b >= 4 && b < 8)
		e_1(&x->e, 0x40);
	e_bytes(&x->e, "\x0f\x38", 2);
	e_1(&x->e, i->cc == 1 ? 0xf0 : 0xf1);
	e_1(&x->e, (u8)(0xc0 | (b & 7)));
	d = em_dest(x, (u16)x->v, i->a);
	em_mov(x, false, d, em_reg(RAX));
}

/* ---- on flags ---- */

static void with_carry(struct em *x, const struct ir_insn *i, bool sub)
{
	struct em_src b = em_source(x, i->b);
	u16 f = em_root(x, i->c);

	em_use(x, i->a);
	em_carry(x, i->c, sub);
	if (x->val[f].last > x->v) {
		em_clobber_flags(x);
		em_carry(x, i->c, sub);
		x->fl = 0;
	}
	em_load(x, RAX, i->a);
	x->fl = 0;
	x->done.op = 0;
	em_alu(x, wide(i), sub ? ALU_SBB : ALU_ADC, RAX, b);
	em_result(x, (u16)x->v, RAX, wide(i));
}
static void op_adc(struct em *x, const struct ir_insn *i) { with_carry(x, i, false); }
static void op_sbc(struct em *x, const struct ir_insn *i) { with_carry(x, i, true); }

static void op_csel(struct em *x, const struct ir_insn *i)
{
	bool w = wide(i);
	struct em_src a = em_source(x, i->a);
	struct em_src b = em_source(x, i->b);
	int d;
	u8 cc;

	if (i->cc >= IR_AL) {
		d = em_dest(x, (u16)x->v, 0);
		em_mov(x, w, d, a);
		return;
	}
	if (a.kind == SRC_IMM && b.kind != SRC_IMM) { /* the other way round */
		cc = em_condition(x, i->c, i->cc) ^ 1;
		em_mov(x, w, RCX, b);
		e_mov_ri(&x->e, RAX, w ? (u64)(s64)a.x : (u32)a.x);
		em_0f(x, w, (u8)(0x40 | cc), RAX, em_reg(RCX));
		em_result(x, (u16)x->v, RAX, w);
		return;
	}
	if (a.kind == SRC_IMM) {
		cc = em_condition(x, i->c, i->cc);
		em_mov(x, w, RCX, a);
		a = em_reg(RCX);
	} else {
		cc = em_condition(x, i->c, i->cc);
	}
	d = em_dest(x, (u16)x->v, i->b);
	if (a.kind == SRC_REG && a.x == d && !(b.kind == SRC_REG && b.x == d)) { /* d = cc ? d : b */
		if (b.kind == SRC_IMM) {
			em_mov(x, w, RCX, b);
			b = em_reg(RCX);
		}
		em_0f(x, w, (u8)(0x40 | (cc ^ 1)), d, b);
		return;
	}
	em_mov(x, w, d, b);
	em_0f(x, w, (u8)(0x40 | cc), d, a);
}

static void op_cset(struct em *x, const struct ir_insn *i)
{
	int d;
	u8 cc;

	if (i->cc >= IR_AL) {
		e_mov_ri(&x->e, em_dest(x, (u16)x->v, 0), 1);
		return;
	}
	cc = em_condition(x, i->a, i->cc);
	e_1(&x->e, 0x0f);
	e_1(&x->e, (u8)(0x90 | cc));
	e_1(&x->e, 0xc0); /* al */
	d = em_dest(x, (u16)x->v, 0);
	em_0f(x, false, 0xb6, d, em_reg(RAX));
}

/* ---- state ---- */

static void op_get(struct em *x, const struct ir_insn *i)
{
	struct em_val *val = &x->val[x->v];

	if (val->last <= x->v)
		return;
	val->greg = (s8)i->imm;
	val->gnext = x->ghead[i->imm];
	x->ghead[i->imm] = (u16)x->v;
}

static void op_set(struct em *x, const struct ir_insn *i)
{
	em_set_greg(x, i->a, (unsigned)i->imm);
}

/* x[] and v[] have names of their own. */
static bool plain_state(s64 off)
{
	return off < (s64)OFF(s.x) || (off >= (s64)OFF_X(32) && off < (s64)OFF(s.v)) || off >= (s64)OFF_V(32);
}

static void op_ldstate(struct em *x, const struct ir_insn *i)
{
	if (!plain_state(i->imm))
		x->failed = true;
	e_gs(&x->e, wide(i), 0x8b, em_dest(x, (u16)x->v, 0), (u32)i->imm);
}

static void op_ststate(struct em *x, const struct ir_insn *i)
{
	if (!plain_state(i->imm))
		x->failed = true;
	e_gs(&x->e, em_wide(x, i->a), 0x89, em_use(x, i->a), (u32)i->imm);
}

static const em_op ops[IR_NR_OPS] = {
	[IR_GET] = op_get, [IR_SET] = op_set, [IR_LDSTATE] = op_ldstate, [IR_STSTATE] = op_ststate,
	[IR_ADD] = op_add, [IR_SUB] = op_sub, [IR_AND] = op_and, [IR_OR] = op_or, [IR_XOR] = op_xor,
	[IR_NOT] = op_not, [IR_NEG] = op_neg, [IR_SHL] = op_shl, [IR_SHR] = op_shr, [IR_SAR] = op_sar,
	[IR_ROR] = op_ror, [IR_MUL] = op_mul, [IR_UMULH] = op_umulh, [IR_SMULH] = op_smulh, [IR_UDIV] = op_udiv,
	[IR_SDIV] = op_sdiv, [IR_CLZ] = op_clz, [IR_RBIT] = op_rbit, [IR_REV] = op_rev, [IR_SEXT] = op_sext,
	[IR_ZEXT] = op_zext, [IR_EXTRACT] = op_extract, [IR_SEXTRACT] = op_sextract, [IR_DEPOSIT] = op_deposit,
	[IR_EXTR] = op_extr, [IR_WIDEN] = op_widen, [IR_WIDENS] = op_widens, [IR_CRC32] = op_crc32,
	[IR_ADC] = op_adc, [IR_SBC] = op_sbc, [IR_CSEL] = op_csel, [IR_CSET] = op_cset,
};

void em_op_int(struct em *x, const struct ir_insn *i)
{
	if (ops[i->op])
		ops[i->op](x, i);
	else
		x->failed = true;
}
