/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exclusives and atomics, by the host's LOCKed instructions; each is a full barrier there, whatever the guest
 * asked for. The place is found and checked like a store's (mem.c), and everything unusual goes the slow way,
 * which is hyp/sys/arm64/atomic.c: alignment faults, pages that are not to be written, MMIO, and a
 * store-exclusive whose monitor is open or closed for something else.
 *
 *	...				; as in mem.c: rax = addend, or slow
 *	cmp  gs:[ex_addr], base
 *	jne  slow
 *	cmp  byte gs:[exclusive], size
 *	jne  slow
 *	lea  rcx, [base + rax + disp]
 *	mov  rax, gs:[ex_val]
 *	lock cmpxchg [rcx], value
 *	mov  byte gs:[exclusive], 0
 *	setne al
 *
 * Until the host instruction that may fault is over no pinned register is written, but for RBX: what
 * CMPXCHG16B wants there takes x0's place, and x0 is in the structure meanwhile (x0_saved).
 */
#include "hyp/emit/x86/em.h"

_Static_assert(sizeof(((struct hyp_cpu *)0)->s.exclusive) == 1, "cmp byte, mov byte");
_Static_assert(sizeof(((struct hyp_cpu *)0)->spins) == 1, "dec byte");

/* rex op reg, [m]: op | 1 for all sizes but bytes; 0x0f00 | op: of the second map */
static void op_at(struct em *x, unsigned size, u16 op, int reg, int m)
{
	u8 rex = (u8)(0x40 | (size == 8) << 3 | (reg >> 3 & 1) << 2 | (m >> 3 & 1));

	if (size == 2)
		e_1(&x->e, 0x66);
	if (rex != 0x40 || (size == 1 && reg >= 4)) /* SIL, not DH */
		e_1(&x->e, rex);
	if (op >> 8)
		e_1(&x->e, 0x0f);
	e_1(&x->e, (u8)(op | (size > 1)));
	e_1(&x->e, (u8)(1 << 6 | (reg & 7) << 3 | (m & 7)));
	if ((m & 7) == 4)
		e_1(&x->e, 0x24);
	e_1(&x->e, 0);
}

static void lock(struct em *x)
{
	em_note_access(x, false);
	e_1(&x->e, 0xf0);
}

#define CMPXCHG 0x0fb0
#define XADD 0x0fc0
#define XCHG 0x86
#define LOAD 0x8a
#define OR 0x08
#define AND 0x20
#define XOR 0x30
#define CMP 0x38

/* d = a, zero extended from the size, which it has if it is d */
static void extend(struct em *x, unsigned size, int d, int a)
{
	if (size < 4)
		em_0f(x, false, size == 1 ? 0xb6 : 0xb7, d, em_reg(a));
	else if (d != a)
		e_rr(&x->e, size == 8, 0x8b, d, a);
}

/* Behind em_check(). */
static void host_address(struct em *x, const struct em_access *a, int r)
{
	e_lea(&x->e, true, r, a->base, RAX, 1, a->disp);
}

static void end(struct em *x, struct em_cold *c, int d)
{
	c->dst[0] = (s8)d;
	c->back = em_here(x);
}

static void note_operand(struct em_cold *c, int r)
{
	c->reg[c->n_reg++] = (s8)r;
}

/* ---- the monitor ---- */

static void monitor_byte(struct em *x, u8 op, unsigned n, unsigned imm)
{
	e_gs(&x->e, false, op, (int)n, OFF(s.exclusive));
	e_1(&x->e, (u8)imm);
}

static void close_monitor(struct em *x, const struct em_access *a)
{
	e_lea(&x->e, true, RCX, a->base, NO_REG, 1, a->disp);
	e_store_gs(&x->e, OFF(ex_addr), RCX);
	monitor_byte(x, 0xc6, 0, a->size);
}

static void open_monitor(struct em *x)
{
	monitor_byte(x, 0xc6, 0, 0);
}

static void check_monitor(struct em *x, const struct em_access *a, struct em_cold *c)
{
	int r = a->base;

	if (a->disp)
		e_lea(&x->e, true, r = RCX, a->base, NO_REG, 1, a->disp);
	e_gs(&x->e, true, 0x39, r, OFF(ex_addr));
	c->more[1] = em_jcc(x, CC_NE);
	monitor_byte(x, 0x80, 7, a->size);
	c->more[2] = em_jcc(x, CC_NE);
}

/* d = ZF ? 0 : 1 */
static void status(struct em *x, int d)
{
	e_bytes(&x->e, "\x0f\x95\xc0", 3); /* setne al */
	extend(x, 1, d, RAX);
}

/* ---- LDXR, LDXP: the value goes from [rcx] to d, and to ex_val for the store that will compare ---- */

static void load_word(struct em *x, unsigned size)
{
	op_at(x, size, LOAD, RAX, RCX);
	extend(x, size, RAX, RAX);
}

static void keep_word(struct em *x, int d)
{
	e_store_gs(&x->e, OFF(ex_val), RAX);
	em_mov(x, true, d, em_reg(RAX));
}

/* vmovdqa: at once, as the host's manuals promise with AVX */
static void load_quad(struct em *x, int d)
{
	em_vex(x, 1, 1, false, false, d, 0, RCX);
	e_bytes(&x->e, "\x6f", 1);
	e_1(&x->e, (u8)((d & 7) << 3 | RCX));
}

static void op_ldx(struct em *x, const struct ir_insn *i)
{
	struct em_access a = { .pair = false };
	bool quad = i->op == IR_LDXQ;
	struct em_cold *c;
	int d;

	em_address(x, i, &a);
	d = quad ? em_xdest(x, (u16)x->v, 0) : em_dest(x, (u16)x->v, 0);
	c = em_check(x, &a);
	if (quad)
		c->xmm &= ~(1u << d);
	host_address(x, &a, RCX);
	em_note_access(x, false);
	if (quad)
		load_quad(x, d);
	else
		load_word(x, a.size);
	close_monitor(x, &a);
	if (quad)
		em_xmove(x, true, d, OFF(ex_val));
	else
		keep_word(x, d);
	end(x, c, d);
}

/* ---- words ---- */

static void op_stx(struct em *x, const struct ir_insn *i)
{
	struct em_access a = { .pair = false };
	int b = em_use(x, i->b), d;
	struct em_cold *c;

	em_address(x, i, &a);
	d = em_dest(x, (u16)x->v, 0);
	c = em_check(x, &a);
	note_operand(c, b);
	check_monitor(x, &a, c);
	host_address(x, &a, RCX);
	e_load_gs(&x->e, RAX, OFF(ex_val));
	lock(x);
	op_at(x, a.size, CMPXCHG, b, RCX);
	open_monitor(x);
	status(x, d);
	end(x, c, d);
}

static void op_cas(struct em *x, const struct ir_insn *i)
{
	int expect = em_use(x, i->b), b = em_use(x, i->c), d;
	struct em_access a = { .pair = false };
	struct em_cold *c;

	em_address(x, i, &a);
	d = em_dest(x, (u16)x->v, 0);
	c = em_check(x, &a);
	note_operand(c, expect);
	note_operand(c, b);
	host_address(x, &a, RCX);
	em_mov(x, true, RAX, em_reg(expect));
	lock(x);
	op_at(x, a.size, CMPXCHG, b, RCX);
	extend(x, a.size, d, RAX);
	end(x, c, d);
}

/* ---- read-modify-write, by IR_ATOMIC's cc: rcx is the place, rax becomes the old value ---- */

enum { RMW_ADD, RMW_CLR, RMW_EOR, RMW_SET, RMW_SMAX, RMW_SMIN, RMW_UMAX, RMW_UMIN, RMW_SWP };

/* XADD, XCHG */
static void at_once(struct em *x, const struct ir_insn *i, unsigned size, int b)
{
	em_mov(x, true, RAX, em_reg(b));
	lock(x);
	op_at(x, size, i->cc == RMW_ADD ? XADD : XCHG, RAX, RCX);
}

/* Nobody wants the old value. */
static void without_result(struct em *x, const struct ir_insn *i, unsigned size, int b)
{
	static const u16 op[] = { [RMW_CLR] = AND, [RMW_EOR] = XOR, [RMW_SET] = OR };

	if (i->cc == RMW_CLR) {
		em_mov(x, true, RAX, em_reg(b));
		em_f7(x, true, 2, b = RAX); /* not */
	}
	lock(x);
	op_at(x, size, op[i->cc], b, RCX);
}

/* new = what old (rax) and b make */
static void combine(struct em *x, const struct ir_insn *i, unsigned size, const int r[2])
{
	static const u8 worse[] = { [RMW_SMAX] = CC_L, [RMW_SMIN] = CC_G, [RMW_UMAX] = CC_B, [RMW_UMIN] = CC_A };
	int new = r[0], b = r[1];

	if (i->cc == RMW_CLR) { /* andn */
		em_vex_rr(x, 2, 0, true, 0xf2, (s8[3]){ (s8)new, (s8)b, RAX });
		return;
	}
	em_mov(x, true, new, em_reg(RAX));
	if (i->cc == RMW_EOR || i->cc == RMW_SET) {
		em_alu(x, true, i->cc == RMW_EOR ? ALU_XOR : ALU_OR, new, em_reg(b));
		return;
	}
	if (size == 2)
		e_1(&x->e, 0x66);
	e_1(&x->e, (u8)(0x40 | (size == 8) << 3 | (b >> 3 & 1))); /* cmp rax, b */
	e_1(&x->e, (u8)(0x3a | (size > 1)));
	e_1(&x->e, (u8)(0xc0 | (b & 7)));
	em_0f(x, true, (u8)(0x40 | worse[i->cc]), new, em_reg(b));
}

static void by_loop(struct em *x, const struct ir_insn *i, unsigned size, const int r[2])
{
	u32 again;

	em_note_access(x, false);
	op_at(x, size, LOAD, RAX, RCX);
	again = em_here(x);
	combine(x, i, size, r);
	lock(x);
	op_at(x, size, CMPXCHG, r[0], RCX);
	em_patch(x, em_jcc(x, CC_NE), again);
}

static void op_rmw(struct em *x, const struct ir_insn *i)
{
	bool at_one_go = i->cc == RMW_ADD || i->cc == RMW_SWP;
	bool unused = !x->val[x->v].uses && i->cc >= RMW_CLR && i->cc <= RMW_SET;
	struct em_access a = { .pair = false };
	int r[2] = { NO_REG, em_use(x, i->b) }, d;
	struct em_cold *c;

	em_address(x, i, &a);
	if (!at_one_go && !unused)
		r[0] = em_temp(x);
	d = em_dest(x, (u16)x->v, 0);
	c = em_check(x, &a);
	note_operand(c, r[1]);
	host_address(x, &a, RCX);
	if (at_one_go)
		at_once(x, i, a.size, r[1]);
	else if (unused)
		without_result(x, i, a.size, r[1]);
	else
		by_loop(x, i, a.size, r);
	extend(x, a.size, d, RAX);
	end(x, c, d);
}

/* ---- sixteen bytes ---- */

/* lane 0 or 1 of an xmm register from or to a host register */
static void lane(struct em *x, bool to_gpr, unsigned n, int xmm, int r)
{
	if (n) { /* vpextrq, vpinsrq */
		em_vex_rr(x, 3, 1, true, to_gpr ? 0x16 : 0x22,
			  (s8[3]){ (s8)xmm, to_gpr ? 0 : (s8)xmm, (s8)r });
		e_1(&x->e, 1);
	} else { /* vmovq */
		em_vex_rr(x, 1, 1, true, to_gpr ? 0x7e : 0x6e, (s8[3]){ (s8)xmm, 0, (s8)r });
	}
}

/* RDX:RAX are compared, q is stored; at is the place. ZF says whether. */
static void cmpxchg16(struct em *x, int at, int q)
{
	e_store_gs(&x->e, OFF_X(0), RBX);
	lane(x, true, 0, q, RBX);
	lane(x, true, 1, q, RCX);
	em_note_access(x, true);
	e_1(&x->e, 0xf0);
	op_at(x, 8, 0x0fc7, 1, at);
	e_load_gs(&x->e, RBX, OFF_X(0));
}

static void op_stxq(struct em *x, const struct ir_insn *i)
{
	struct em_access a = { .pair = false };
	int q = em_xuse(x, i->b), at, d;
	struct em_cold *c;

	em_claim(x, RDX);
	em_address(x, i, &a);
	at = em_temp(x);
	d = em_dest(x, (u16)x->v, 0);
	c = em_check(x, &a);
	note_operand(c, q);
	check_monitor(x, &a, c);
	host_address(x, &a, at);
	e_load_gs(&x->e, RAX, OFF(ex_val));
	e_load_gs(&x->e, RDX, OFF(ex_val) + 8);
	cmpxchg16(x, at, q);
	open_monitor(x);
	status(x, d);
	end(x, c, d);
}

static void op_casq(struct em *x, const struct ir_insn *i)
{
	int expect = em_xuse(x, i->b), q = em_xuse(x, i->c), at, d;
	struct em_access a = { .pair = false };
	struct em_cold *c;

	em_claim(x, RDX);
	em_address(x, i, &a);
	at = em_temp(x);
	d = em_xdest(x, (u16)x->v, 0);
	c = em_check(x, &a);
	c->xmm &= ~(1u << d);
	note_operand(c, expect);
	note_operand(c, q);
	host_address(x, &a, at);
	lane(x, true, 0, expect, RAX);
	lane(x, true, 1, expect, RDX);
	cmpxchg16(x, at, q);
	lane(x, false, 0, d, RAX);
	lane(x, false, 1, d, RDX);
	end(x, c, d);
}

/* ---- spinning ---- */

/* dec byte gs:[spins]; je; pause */
static void op_spin(struct em *x)
{
	struct em_cold *c = em_cold(x, COLD_SPIN);

	em_clobber_flags(x);
	e_gs(&x->e, false, 0xfe, 1, OFF(spins));
	c->from = em_jcc(x, CC_E);
	e_bytes(&x->e, "\xf3\x90", 2);
	c->xmm = em_live_xmm(x);
	c->back = em_here(x);
}

void em_cold_spin(struct em *x, const struct em_cold *c)
{
	em_patch(x, c->from, em_here(x));
	em_keep_xmm(x, true, c->xmm);
	em_call_stub(x, STUB_CALL, (struct em_site){ .kind = SITE_CALL, .target = (u64)a64_helper_spin });
	em_keep_xmm(x, false, c->xmm);
	em_patch(x, em_jmp(x), c->back);
}

void em_op_atomic(struct em *x, const struct ir_insn *i)
{
	switch (i->op) {
	case IR_LDX:
	case IR_LDXQ: op_ldx(x, i); break;
	case IR_STX: op_stx(x, i); break;
	case IR_CAS: op_cas(x, i); break;
	case IR_STXQ: op_stxq(x, i); break;
	case IR_CASQ: op_casq(x, i); break;
	case IR_CLREX: open_monitor(x); break;
	case IR_SPIN: op_spin(x); break;
	default: op_rmw(x, i); break;
	}
}
