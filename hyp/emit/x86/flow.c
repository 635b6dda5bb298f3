/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways out of a block. Direct branches within the page are jumps that first lead to a site (em.h) and are
 * patched when the run loop has found the target; others look their target up in cpu->jc, like indirect
 * ones:
 *
 *	imul ecx, eax, LIFT_JC_HASH; shr ecx, 13	; lift_jc_slot(), not where the target is known
 *	and ecx, (HYP_JC_SIZE - 1) * 16
 *	cmp gs:[rcx + jc], rax
 *	jne miss
 *	jmp gs:[rcx + jc + 8]
 */
#include "hyp/emit/x86/em.h"

_Static_assert(sizeof(struct hyp_jc_entry) == 16, "emitted index arithmetic");
_Static_assert(sizeof(struct em_site) == 20, "tramp.c steps over it");

struct em_cold *em_cold(struct em *x, u8 kind)
{
	if (x->n_cold == ARRAY_SIZE(x->cold)) {
		x->failed = true;
		x->n_cold--;
	}
	x->cold[x->n_cold] = (struct em_cold){ .kind = kind, .reg = { NO_REG, NO_REG }, .dst = { NO_REG, NO_REG } };
	return &x->cold[x->n_cold++];
}

void em_call_stub(struct em *x, unsigned stub, struct em_site site)
{
	site.block = (u32)(x->blk - x->eng->blocks);
	e_1(&x->e, 0xe8);
	e_4(&x->e, x->eng->stub[stub] - (em_here(x) + 4));
	e_bytes(&x->e, &site, sizeof(site));
}

void em_exit(struct em *x, struct em_site site)
{
	em_call_stub(x, STUB_LEAVE, site);
}

static u32 jc_offset(const struct em *x)
{
	return OFF(jc) + (x->b->key & HYP_KEY_EL1) * (u32)sizeof(((struct hyp_cpu *)0)->jc[0]);
}

static void jc_miss(struct em *x)
{
	em_patch(x, em_jcc(x, CC_NE), x->eng->stub[STUB_JC_MISS]);
}

/* To a known address in another page. */
static void go_across(struct em *x, u64 target)
{
	u32 entry = jc_offset(x) + lift_jc_slot(target) * 16;

	e_mov_ri(&x->e, RAX, target);
	e_gs(&x->e, true, 0x39, RAX, entry);
	jc_miss(x);
	e_gs(&x->e, false, 0xff, 4, entry + 8);
}

static void op_gotox(struct em *x, const struct ir_insn *i)
{
	u32 jc = jc_offset(x);

	em_load(x, RAX, i->a);
	e_rr(&x->e, false, 0x69, RCX, RAX);
	e_4(&x->e, LIFT_JC_HASH);
	em_shift(x, false, 5, RCX, 32 - HYP_JC_BITS - 4);
	em_alu(x, false, ALU_AND, RCX, em_imm((HYP_JC_SIZE - 1) << 4));
	e_gs_base(&x->e, true, 0x39, RAX, RCX, jc);
	jc_miss(x);
	e_gs_base(&x->e, false, 0xff, 4, RCX, jc + 8);
}

static bool same_page(const struct em *x, u64 target)
{
	return !((target ^ x->b->pc) >> PAGE_SHIFT);
}

static void branch(struct em *x, u8 cc, u64 target)
{
	struct em_cold *c = em_cold(x, same_page(x, target) ? COLD_EDGE : COLD_CROSS);

	c->from = em_jcc(x, cc);
	c->target = target;
}

static void op_goto(struct em *x, const struct ir_insn *i)
{
	struct em_cold *c;

	if (!same_page(x, (u64)i->imm)) {
		go_across(x, (u64)i->imm);
		return;
	}
	c = em_cold(x, COLD_EDGE);
	c->from = em_jmp(x);
	c->target = (u64)i->imm;
}

void em_cold_flow(struct em *x, const struct em_cold *c)
{
	em_patch(x, c->from, em_here(x));
	if (c->kind == COLD_CROSS)
		go_across(x, c->target);
	else if (c->kind == COLD_LEAVE)
		em_exit(x, (struct em_site){ .kind = SITE_LEAVE, .target = c->target });
	else if (c->kind == COLD_RAISE)
		em_exit(x, (struct em_site){ .kind = SITE_RAISE, .target = c->target, .patch = c->guest });
	else
		em_exit(x, (struct em_site){ .kind = SITE_EDGE, .target = c->target, .patch = c->from });
}

/* BNZ, BZ */
static void op_branch_zero(struct em *x, const struct ir_insn *i)
{
	u16 root = em_root(x, i->a);
	bool nz = i->op == IR_BNZ, w = em_wide(x, i->a);
	struct em_src s;
	unsigned bit;

	em_clobber_flags(x);
	if (x->val[root].deferred && em_bit_test(x, root, &bit)) {
		int r = em_use(x, em_insn(x, root)->a);

		e_rex(&x->e, bit >= 32, 0, 0, r);
		e_bytes(&x->e, "\x0f\xba", 2); /* bt r, bit */
		e_1(&x->e, (u8)(0xe0 | (r & 7)));
		e_1(&x->e, (u8)bit);
		branch(x, nz ? CC_B : CC_AE, (u64)i->imm);
		return;
	}
	s = em_source(x, i->a);
	if (s.kind == SRC_MEM) {
		e_gs(&x->e, w, 0x83, 7, (u32)s.x);
		e_1(&x->e, 0);
	} else {
		int r = s.kind == SRC_REG ? s.x : em_use(x, i->a);

		e_rr(&x->e, w, 0x85, r, r);
	}
	branch(x, nz ? CC_NE : CC_E, (u64)i->imm);
}

/* test byte, cc */
static void op_trap(struct em *x, const struct ir_insn *i)
{
	struct em_cold *c;
	int r;

	em_clobber_flags(x);
	r = em_use(x, i->a);
	e_1(&x->e, (u8)(0x40 | r >> 3)); /* also for what would be AH, CH, DH, BH */
	e_1(&x->e, 0xf6);
	e_1(&x->e, (u8)(0xc0 | (r & 7)));
	e_1(&x->e, i->cc);
	c = em_cold(x, COLD_RAISE);
	c->from = em_jcc(x, CC_NE);
	c->target = (u64)i->imm;
	c->guest = x->guest;
}

/* ---- calls into C ---- */

static void op_call(struct em *x, const struct ir_insn *i)
{
	const u16 args[3] = { i->a, i->b, i->c };
	struct em_site site = { .target = (u64)i->imm, .patch = x->guest };
	bool state = i->op == IR_CALLX;

	em_clobber_flags(x);
	for (unsigned k = 0; k < 3; k++) {
		if (args[k])
			em_load(x, RAX, args[k]);
		else
			e_mov_ri(&x->e, RAX, 0);
		e_store_gs(&x->e, OFF_SCRATCH(EM_ARG + k), RAX);
	}
	for (unsigned g = 0; g < 32; g++) {
		if (state)
			em_clobber_greg(x, g);
		em_clobber_vreg(x, g);
		x->xlocked = 0;
	}
	em_spill_xmm(x);
	if (state)
		em_flags_leave_memory(x);
	site.kind = state ? SITE_CALLX : SITE_CALL;
	em_call_stub(x, STUB_CALL, site);
	em_result(x, (u16)x->v, RAX, true);
}

/* The mode may have changed: if not, on through the jump cache, which is emptied when the page may be
 * another one, and by way of the attention word. */
static void op_leave(struct em *x, const struct ir_insn *i)
{
	struct em_cold *c = em_cold(x, COLD_LEAVE);

	e_gs(&x->e, false, 0x81, 7, OFF(key));
	e_4(&x->e, x->b->key);
	c->from = em_jcc(x, CC_NE);
	c->target = (u64)i->imm;
	go_across(x, (u64)i->imm);
}

void em_op_flow(struct em *x, const struct ir_insn *i)
{
	switch (i->op) {
	case IR_INSN: x->guest = (u32)i->imm; break;
	case IR_CALL:
	case IR_CALLX: op_call(x, i); break;
	case IR_TRAPNZ: op_trap(x, i); break;
	case IR_BCC:
		if (i->cc >= IR_AL)
			x->failed = true;
		else
			branch(x, em_condition(x, i->a, i->cc), (u64)i->imm);
		break;
	case IR_BNZ:
	case IR_BZ: op_branch_zero(x, i); break;
	case IR_GOTO: op_goto(x, i); break;
	case IR_GOTOX: op_gotox(x, i); break;
	case IR_LEAVE: op_leave(x, i); break;
	case IR_LEAVEX: em_exit(x, (struct em_site){ .kind = SITE_STATE }); break;
	default: em_exit(x, (struct em_site){ .kind = SITE_RAISE, .target = (u64)i->imm, .patch = x->guest }); break;
	}
}
